"""Calls of tools in what a model writes: found where they are, and never where text is."""

import json

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.inference.engine import ToolCall, ToolSpec
from node.inference.errors import BadInferenceRequest
from node.inference.tool_calls import CallReader, calls_in, forced_schema, in_prompt

CITY = ToolSpec("get_time", "Tells the time.", {"type": "object", "properties": {"city": {"type": "string"}}})
ADD = ToolSpec(
    "add", "Adds.", {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"type": "number"}}}
)
NAMES = ["get_time", "add"]
CALL = '{"name": "get_time", "arguments": {"city": "Paris"}}'


def shape(calls: tuple[ToolCall, ...]) -> list[tuple[str, object]]:
    return [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"\n {CALL} \n",
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tool_call>{CALL}",
        f"[{CALL}]",
        CALL.replace("arguments", "parameters"),
    ],
)
def test_a_call_is_found_however_it_is_written(text: str) -> None:
    assert shape(calls_in(text, NAMES)) == [("get_time", {"city": "Paris"})]


def test_several_calls_are_found_with_ids_of_their_own() -> None:
    calls = calls_in(f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>", NAMES)
    assert len(calls) == len({call.id for call in calls}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is noon.",
        '{"name": "format_disk", "arguments": {}}',
        '{"name": "get_time", "arguments": "Paris"}',
        f"{CALL} and more",
        f"```json\n{CALL}\n``` so",
        CALL[:-2],
        f"[{CALL}, 1]",
        "[" * 50_000,
        '{"name": ["get_time"]}',
        '{"name": "add", "arguments": {"n": NaN}}',
        '{"name": "add", "arguments": {"n": 1e999}}',
        f"<tool_call>{CALL}</tool_call> and {CALL}",
        f"<tool_call>{CALL}<tool_call>{CALL}",
        # A model that goes round in circles: each of these took a backtracking expression minutes.
        "```" + "\n" * 20_000 + "x",
        "```\n" + " " * 100_000 + "x",
        f"<tool_call>{CALL}</tool_call>" + " " * 200_000 + "x",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_call_is_text(text: str) -> None:
    assert calls_in(text, NAMES) == ()


def test_half_a_character_is_no_part_of_a_call() -> None:
    (call,) = calls_in('{"name": "get_time", "arguments": {"city": "\\ud83d"}}', NAMES)
    assert json.loads(call.arguments.encode()) == {"city": "?"}


@pytest.mark.parametrize("choice", ["required", "get_time", "add"])
def test_a_forced_call_is_one_of_the_tools(choice: str) -> None:
    schema = forced_schema([CITY, ADD], choice)
    valid = jsonschema_rs.validator_for(schema).is_valid
    assert valid({"name": "get_time", "arguments": {"city": "Rome"}}) == (choice != "add")
    assert valid({"name": "add", "arguments": {"n": 1}}) == (choice != "get_time")
    assert not valid({"name": "add", "arguments": {"n": "one"}})
    assert not valid({"name": "other", "arguments": {}})


def test_tools_that_cannot_be_forced_are_refused() -> None:
    with pytest.raises(BadInferenceRequest, match="none of the tools"):
        forced_schema([CITY], "add")
    other = ToolSpec("sub", "", {"$defs": {"N": {"type": "string"}}})
    with pytest.raises(BadInferenceRequest, match="differently"):
        forced_schema([ADD, other], "required")


def test_a_prompt_lists_every_tool() -> None:
    text = in_prompt([CITY, ADD])
    assert all(tool.name in text and tool.description in text for tool in (CITY, ADD))


def read(pieces: list[str], *, forced: bool = False) -> tuple[str, list[tuple[str, object]]]:
    reader = CallReader(NAMES, forced=forced)
    shown = "".join(reader.feed(piece) for piece in pieces)
    rest, calls = reader.end()
    return shown + rest, shape(calls)


@given(st.text(st.sampled_from('{}[]"`<>tool_cal/jsn \n'), max_size=40), st.integers(1, 7))
def test_no_text_is_lost_or_changed(text: str, size: int) -> None:
    shown, calls = read([text[at : at + size] for at in range(0, len(text), size)])
    assert (shown, calls) == (text, [])


@given(st.integers(1, 60), st.sampled_from([CALL, f"```json\n{CALL}\n```", f"<tool_call>{CALL}</tool_call>"]))
def test_a_call_is_never_shown_as_text(size: int, text: str) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert read(pieces) == ("", [("get_time", {"city": "Paris"})])
    assert read(["I look. ", *[f"<tool_call>{CALL}"[at : at + size] for at in range(0, 70, size)]])[0] == "I look. "


def test_plain_text_is_shown_at_once() -> None:
    reader = CallReader(NAMES)
    assert [reader.feed(piece) for piece in ("It", " is", " {noon}")] == ["It", " is", " {noon}"]


def test_a_forced_call_that_was_cut_short_is_text() -> None:
    assert read([CALL[:20]], forced=True) == (CALL[:20], [])
