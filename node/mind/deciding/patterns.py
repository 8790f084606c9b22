"""What a goal wants, by patterns: a calculation, numbers to work with, the time. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from node.mind.deciding.asking import asks_of_own_life
from node.mind.deciding.dates import asks_for_dates
from plugins.builtin.calculator import calculate
from plugins.sdk import ToolError

MAX_SUM_CHARS: Final = 256
"""A longer goal is more than a calculation."""

_BARE_SUM: Final = re.compile(
    r"(?:what(?:'s| is| are)|how much is|calculate|compute|work out|evaluate|solve|please|[\s,:])*"
    r"(?P<sum>[\d(.][\d\s.()+*/%^-]*)(?:please|=|[\s?.!])*",
    re.IGNORECASE,
)
_BARE_SHARE: Final = re.compile(
    r"(?:what(?:'s| is| are)|how much is|calculate|compute|work out|please|[\s,:])*"
    r"(?P<percent>\d+(?:\.\d+)?) ?(?:%|percent|per cent) of (?P<of>\d+(?:\.\d+)?)(?:please|=|[\s?.!])*",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_SUM_WORD: Final = re.compile(
    r"\d\s*[-+*/%]|\b(how (?:much|many)|times|percent|sum|total|altogether|add(?:ed)? up|average|difference|per|each|"
    r"minus|plus|divided|half|twice|double)\b",
    re.IGNORECASE,
)
_NOW_WORD: Final = re.compile(
    r"\b(now|today|tonight|current|currently|at the moment|what (?:time|day|date))\b", re.IGNORECASE
)
_STILL: Final = re.compile(r"^(?:and |so |but )?(?:who|whom|where|which)\b", re.IGNORECASE)
"""Where my brother lives now is no question of the time."""

_BARE_NOW: Final = re.compile(
    r"(?:hi|hey|hello|ok|and|so|please|tell me|can you tell me|do you know|[\s,])*"
    r"(?:what(?:'s| is)? (?:the )?(?:current )?(?:time|date|day|weekday)(?: of the week)?(?: is it| do we have)?"
    r"|what time it is|how late is it|which (?:day|weekday|date) is it|today'?s date)"
    r"(?: today| now| right now| at the moment|,? please|[\s?.!])*",
    re.IGNORECASE,
)
_DATE_OR_RANGE: Final = re.compile(r"\d{4}-\d{2}-\d{2}|^\s*\d+\s*-\s*\d+\s*$")
_SIGN: Final = re.compile(r"\d\s*\)*\s*[-+*/%]")


def bare_sum(goal: str) -> str | None:
    """The expression, if the goal is a calculation and nothing else."""
    share = _BARE_SHARE.fullmatch(goal) if len(goal) <= MAX_SUM_CHARS else None
    if share:
        return f"{share['of']} * {share['percent']} / 100"
    found = _BARE_SUM.fullmatch(goal) if len(goal) <= MAX_SUM_CHARS else None
    expression = found["sum"].strip().rstrip(".").replace("^", "**") if found else ""
    return expression if is_sum(expression) else None


def whole_call(goal: str) -> tuple[str, Mapping[str, Any]] | None:
    """The built-in tool whose result is the whole answer, with its parameters: a bare calculation, the time here,
    or a day that is counted from now."""
    expression = bare_sum(goal)
    if expression is not None:
        return "calculator", {"expression": expression}
    asks_now = len(goal) <= MAX_SUM_CHARS and _BARE_NOW.fullmatch(goal)
    return ("clock", {}) if asks_now or asks_for_dates(goal) else None


def is_sum(expression: str) -> bool:
    """Whether it is something to be worked out: not a date, a range of numbers or a single number."""
    if _DATE_OR_RANGE.search(expression) or not _SIGN.search(expression):
        return False
    try:
        calculate(expression)
    except ToolError:
        return False
    return True


def hinted(goal: str, known: Sequence[str]) -> frozenset[str]:
    """The built-in tools that a goal may need by what stands in it and in the results so far."""
    numbers = _NUMBER.findall(" ".join((goal, *known)))
    names = {"calculator"} if len(numbers) > 1 and _SUM_WORD.search(goal) else set()
    needs_clock = _NOW_WORD.search(goal) and not (asks_of_own_life(goal) and _STILL.search(goal))
    return frozenset(names | ({"clock"} if needs_clock else set()))
