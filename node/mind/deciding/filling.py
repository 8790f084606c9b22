"""A tool's arguments by rule, where no capable model is here: what stands in the goal in a plain form.

A number, dates, paths, quoted words, and the goal itself for a query. Where a needed value is not found, or several
numbers could be meant, there are no arguments, and the tool is not called. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from node.mind.deciding.argument_schema import mistakes
from plugins.host import ToolInfo

MAX_GOAL_CHARS: Final = 2_000
"""A longer goal names its values somewhere in a text of its own: no rule tells which they are."""

_DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_PATH: Final = re.compile(r"(?<![\w/])(?:~?/[\w./~-]+|[\w-]+(?:/[\w.-]+)+/?|[\w-]+\.[A-Za-z]\w{0,5})(?![\w/])")
_ZONE: Final = re.compile(r"\b[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+\b")
_NUMBER: Final = re.compile(r"(?<![\w./-])-?\d+(?:\.\d+)?(?![\w/-]|\.\d)")
_QUOTED: Final = re.compile(r"[\"“]([^\"”]+)[\"”]|(?<!\w)['‘]([^'’]+)['’](?!\w)")

_QUERIES: Final = ("query", "question", "search", "topic")
"""Parameters that take any words: the goal's own."""

_PATHS: Final = ("path", "file", "folder", "directory")


class _Said:
    """What stands in a goal, each thing given out once, in order."""

    def __init__(self, goal: str) -> None:
        self.goal = goal
        self._dates = iter(_DATE.findall(goal))
        self._paths = iter(_PATH.findall(goal))
        self._zones = iter(_ZONE.findall(goal))
        self._numbers = iter(_NUMBER.findall(goal))
        self._quoted = iter(one or other for one, other in _QUOTED.findall(goal))

    def value(self, name: str, schema: Mapping[str, Any]) -> Any:
        """The value of one parameter, or None."""
        if isinstance(schema.get("enum"), list):
            return self._named(schema["enum"])
        kind = schema.get("type")
        if kind in ("integer", "number"):
            return self._number(kind)
        return self._text(name, str(schema.get("description", ""))) if kind == "string" else None

    def _named(self, choices: list[Any]) -> Any:
        words = set(re.findall(r"\w+", self.goal.lower()))
        named = [choice for choice in choices if isinstance(choice, str) and choice.lower() in words]
        return named[0] if len(named) == 1 else None

    def _number(self, kind: str) -> int | float | None:
        found = next(self._numbers, None)
        if found is None:
            return None
        value = float(found)
        return int(value) if value.is_integer() and (kind == "integer" or "." not in found) else value

    def _text(self, name: str, about: str) -> str | None:
        what = f"{name} {about}".lower()
        if "yyyy-mm-dd" in what:
            return next(self._dates, None)
        if "time zone" in what or name == "timezone":
            return next(self._zones, None)
        if any(word in what for word in _PATHS):
            return next(self._paths, None)
        return next(self._quoted, None) or (self.goal if name in _QUERIES else None)


def fill_by_rule(tool: ToolInfo, goal: str) -> dict[str, Any] | None:
    """The arguments that stand in the goal and fit the tool's schema; None if a needed one does not."""
    if len(goal) > MAX_GOAL_CHARS or (_takes_numbers(tool.parameters) > 1 and len(_NUMBER.findall(goal)) > 1):
        return None
    arguments = dict(_values(tool.parameters, _Said(goal)))
    return None if mistakes(arguments, tool.parameters) else arguments


def _takes_numbers(schema: Mapping[str, Any]) -> int:
    properties = schema.get("properties", {})
    kinds = [one.get("type") for one in properties.values() if isinstance(one, Mapping)]
    return sum(kind in ("integer", "number") for kind in kinds)


def _values(schema: Mapping[str, Any], said: _Said) -> Iterator[tuple[str, Any]]:
    properties = schema.get("properties", {})
    for name, one in properties.items() if isinstance(properties, Mapping) else ():
        value = said.value(name, one) if isinstance(one, Mapping) else None
        if value is not None:
            yield name, value
