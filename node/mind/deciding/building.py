"""Tools that the twin builds for its owner: a formula with a name, kept, and registered like any other tool.

A built tool can do what the calculator can and no more: it reads nothing and changes nothing. It is on disk before it
is listed, is there again after a restart, and goes when the owner removes it.
"""

import json
import logging
import re
import sqlite3
from typing import Any, Final

from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.inference.engine import ChatRequest, ChatTurn, Engine
from node.mind.actions import BuildTool
from node.mind.answering.fencing import cut, one_line
from node.mind.deciding.choosing import Question
from node.mind.errors import BuiltToolUnknown, FormulaRefused, TooManyBuilt
from plugins import formula
from plugins.errors import PluginError
from plugins.host import PluginHost
from plugins.sdk import ToolError
from storage import built_tools as rows
from storage.built_tools import BuiltTool
from storage.database import Database

logger = logging.getLogger(__name__)

MAX_BUILT: Final = 64
"""Each one is another tool that every goal is compared with."""

MAX_NAME_CHARS: Final = 48
_MAX_GOAL_CHARS: Final = 2_000
_DRAFT_TOKENS: Final = 320

_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]+")

_DRAFT: Final = (
    "You write a tool as one formula. Answer in JSON. The expression uses the parameters, numbers, + - * / // % **, "
    "parentheses and abs, ceil, exp, floor, log, log10, max, min, round, sqrt, sin, cos, tan. Use every parameter."
)
_EXAMPLE: Final = "Make me a tool that tells how much paint a wall needs, at one litre for 8 square metres."
_EXAMPLE_DRAFT: Final = {
    "name": "paint_needed",
    "description": "Tells how many litres of paint a wall needs.",
    "parameters": [
        {"name": "width", "about": "width of the wall in metres"},
        {"name": "height", "about": "height of the wall in metres"},
    ],
    "expression": "width * height / 8",
}
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 120}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 32}
_DRAFT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": _NAME,
        "description": _TEXT,
        "parameters": {
            "type": "array",
            "minItems": 1,
            "maxItems": formula.MAX_PARAMETERS,
            "items": {
                "type": "object",
                "properties": {"name": _NAME, "about": _TEXT},
                "required": ["name", "about"],
                "additionalProperties": False,
            },
        },
        "expression": {"type": "string", "minLength": 1, "maxLength": 200},
    },
    "required": ["name", "description", "parameters", "expression"],
    "additionalProperties": False,
}


class Builder:
    """The tools that were built."""

    def __init__(self, database: Database, tools: PluginHost, now: NowMs = now_ms) -> None:
        self._database = database
        self._tools = tools
        self._now = now

    async def load(self) -> None:
        """Register what was built before. One that fits no longer is left out, and stays on disk."""
        for row in await self._database.read(rows.everything):
            try:
                self._register(row)
            except (PluginError, ToolError) as error:
                logger.warning("the built tool %s is left out: %s", row.name, error)

    def refusal(self, wanted: BuildTool) -> str | None:
        """Why this tool cannot be built, as far as that can be told without trying; None if it can."""
        try:
            self._checked(wanted)
        except FormulaRefused as error:
            return str(error)
        return None

    async def build(self, wanted: BuildTool) -> str:
        """Keep the tool and register it; its name. Building the same one again changes nothing.

        Raises FormulaRefused or TooManyBuilt.
        """
        tool = self._checked(wanted)

        def keep(conn: sqlite3.Connection) -> bool:
            kept = {row.name: row for row in rows.everything(conn)}
            if tool.name in kept:
                return _same(kept[tool.name], tool)
            if len(kept) >= MAX_BUILT:
                raise TooManyBuilt(f"{MAX_BUILT} tools were built")
            rows.put(conn, tool)
            return True

        if not await self._database.write(keep):
            raise FormulaRefused(f"another tool that was built is called {tool.name}")
        if not self._is_registered(tool.name):
            self._register(tool)
        return tool.name

    async def remove(self, name: str) -> None:
        """Take a built tool away. Raises BuiltToolUnknown."""
        if not await self._database.write(lambda conn: rows.remove(conn, name)):
            raise BuiltToolUnknown(f"no tool {name[:64]!r} was built here")
        self._tools.unregister(formula.plugin_name(name))

    def _checked(self, wanted: BuildTool) -> BuiltTool:
        """The tool as it is kept. Raises FormulaRefused."""
        name = plain_name(wanted.name)
        taken = next((info for info in self._tools.list() if info.name == name and info.kind != "built"), None)
        if not name or taken is not None:
            raise FormulaRefused(f"there is a tool {name} already" if taken else f"{wanted.name[:64]!r} is no name")
        expression, about = wanted.expression.strip(), " ".join(wanted.description.split())
        try:
            formula.check(about, wanted.parameters, expression)
        except ToolError as error:
            raise FormulaRefused(f"{name}: {error}") from error
        return BuiltTool(name, about, dict(wanted.parameters), expression, self._now())

    def _register(self, tool: BuiltTool) -> None:
        made = formula.plugin(tool.name, tool.description, tool.parameters, tool.expression)
        self._tools.register(made, kind="built")

    def _is_registered(self, name: str) -> bool:
        return any(info.name == name and info.kind == "built" for info in self._tools.list())


def plain_name(name: str) -> str:
    """The name in letters, digits, `_` and `-`; empty if nothing is left of it."""
    return _UNFIT.sub("_", name).strip("_-")[:MAX_NAME_CHARS].rstrip("_-")


async def draft(engine: Engine, question: Question) -> BuildTool | str:
    """The formula that the goal asks for, as the model writes it; nothing of it is checked but its form.

    In words why there is none, where the model wrote none.
    """
    turns = (
        ChatTurn("system", _DRAFT),
        ChatTurn("user", _EXAMPLE),
        ChatTurn("assistant", json.dumps(_EXAMPLE_DRAFT)),
        ChatTurn("user", cut(one_line(question.goal), _MAX_GOAL_CHARS)),
    )
    request = ChatRequest(
        turns=turns,
        max_tokens=_DRAFT_TOKENS,
        json_schema=_DRAFT_SCHEMA,
        private=question.private,
        session_id=question.session_id,
    )
    try:
        said = json.loads((await engine.complete(request)).text)
        parameters = {str(one["name"]): str(one["about"]) for one in said["parameters"]}
        expression = str(said["expression"]).replace("^", "**")
        return BuildTool(str(said["name"]), str(said["description"]), parameters, expression)
    except PagiError as error:
        return f"the model did not answer: {error}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "the model wrote no formula"


def _same(one: BuiltTool, other: BuiltTool) -> bool:
    return (one.description, one.parameters, one.expression) == (other.description, other.parameters, other.expression)
