from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.deciding.argument_schema import mistakes
from node.mind.deciding.filling import MAX_GOAL_CHARS, fill_by_rule
from plugins.host import ToolInfo

TEXT = {"type": "string"}


def tool(required: list[str], **properties: Any) -> ToolInfo:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return ToolInfo("tool", "", schema, "plugin", "builtin", "ok", effect="none")


DATE = {"type": "string", "description": "a day as YYYY-MM-DD"}
FILE = {"type": "string", "description": "the file's path"}
UNIT = {"enum": ["days", "weeks"]}


@pytest.mark.parametrize(
    ("goal", "wanted", "arguments"),
    [
        (
            "2026-01-05 to 2026-02-01",
            tool(["a", "b"], a=DATE, b=DATE),
            {"a": "2026-01-05", "b": "2026-02-01"},
        ),
        ("2 weeks after 2026-01-05", tool(["n", "unit"], n={"type": "integer"}, unit=UNIT), {"n": 2, "unit": "weeks"}),
        ("open notes/agenda.txt", tool(["path"], path=FILE), {"path": "notes/agenda.txt"}),
        ("print 'Good day' twice", tool(["text"], text=TEXT), {"text": "Good day"}),
        ("rules about files", tool(["query"], query=TEXT), {"query": "rules about files"}),
        ("time in Asia/Tokyo", tool([], timezone=TEXT), {"timezone": "Asia/Tokyo"}),
        ("what time is it", tool([], timezone=TEXT), {}),
        ("print something", tool(["text"], text=TEXT), None),
        ("weeks or days", tool(["unit"], unit=UNIT), None),
        ("-2.5 degrees", tool(["x"], x={"type": "number"}), {"x": -2.5}),
        ("3 by 4", tool(["x", "y"], x={"type": "number"}, y={"type": "number"}), None),
        ("2.5 pieces", tool(["x"], x={"type": "integer"}), None),
        ("x" * (MAX_GOAL_CHARS + 1), tool(["query"], query=TEXT), None),
    ],
)
def test_what_stands_in_the_goal_is_taken(goal: str, wanted: ToolInfo, arguments: dict[str, Any] | None) -> None:
    assert fill_by_rule(wanted, goal) == arguments


@given(st.text(max_size=200))
def test_arguments_fit_or_there_are_none(goal: str) -> None:
    wanted = tool(["n", "day"], n={"type": "integer", "minimum": 1}, day=DATE, unit=UNIT, file=FILE)
    arguments = fill_by_rule(wanted, goal)
    assert arguments is None or mistakes(arguments, wanted.parameters) == ()
