"""Sums with dates: what day it is in three weeks, how many days there are until Christmas. Pure, in English.

A model of a few billion parameters gets these wrong, and says them as if they were right.
"""

import calendar
import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Final

MAX_CHARS: Final = 160
"""A longer goal is more than such a question."""

_WORDS: Final = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBERS: Final[Mapping[str, int]] = {word: number for number, word in enumerate(_WORDS.split())} | {"a": 1, "an": 1}
_MONTHS: Final[Mapping[str, int]] = {name.lower(): n for n, name in enumerate(calendar.month_name) if name} | {
    name.lower(): n for n, name in enumerate(calendar.month_abbr) if name
}
_FEASTS: Final[Mapping[str, tuple[int, int]]] = {
    "christmas eve": (12, 24),
    "christmas": (12, 25),
    "christmas day": (12, 25),
    "new year's eve": (12, 31),
    "new year": (1, 1),
    "new year's day": (1, 1),
}
_DAY: Final = (
    rf"(?:\d{{4}}-\d{{2}}-\d{{2}}|today|tomorrow|{'|'.join(sorted(map(re.escape, _FEASTS), key=len, reverse=True))}"
    rf"|(?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{'|'.join(_MONTHS)})(?:,? \d{{4}})?"
    rf"|(?:{'|'.join(_MONTHS)}) (?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?)"
)
_MANY: Final = rf"(?:\d{{1,4}}|{'|'.join(_NUMBERS)})"
_UNIT: Final = r"(?:day|week|month|year)s?"
_BEFORE: Final = r"(?:(?:hi|hey|ok|and|so|please|can you|tell me|do you know)[, ]+)*"
_WHICH: Final = (
    r"(?:what|which)(?:'s| is| was| will be)?(?: the)? (?:date|day|weekday)"
    r"(?: (?:is it|is|was it|was|will it be|do we have))?"
)
_IN: Final = re.compile(
    rf"{_BEFORE}{_WHICH}(?: be)? (?:(?:in|after) (?P<many>{_MANY}) (?P<unit>{_UNIT})(?: from (?:now|today))?"
    rf"|(?P<then>{_MANY}) (?P<units>{_UNIT}) (?P<way>from (?:now|today)|ago|(?:after|before) (?P<day>{_DAY})))[ ?.!]*",
    re.IGNORECASE,
)
_UNTIL: Final = re.compile(
    rf"{_BEFORE}how (?:many (?P<unit>days|weeks)|long|far)(?: (?:are|is|do we have|have we|have i|do i have))?"
    rf"(?: (?:there|it|left|still|to go))*(?: from (?P<first>{_DAY}))?"
    rf" (?:until|till|to|before|between (?P<between>{_DAY}) and) (?P<last>{_DAY})[ ?.!]*",
    re.IGNORECASE,
)


def asks_for_dates(goal: str) -> bool:
    """Whether a goal is such a question and nothing else."""
    return answer_from(goal, date(2000, 1, 1)) is not None


def answer_from(goal: str, today: date) -> str | None:
    """The answer, if `today` is today; None if it is no such question, or such a day does not exist."""
    said = " ".join(goal.split())
    if len(said) > MAX_CHARS:
        return None
    try:
        if (found := _IN.fullmatch(said)) is not None:
            return _day_after(found, today)
        if (found := _UNTIL.fullmatch(said)) is not None:
            return _days_between(found, today)
    except (ValueError, OverflowError):  # the 30th of February, the year 12000
        return None
    return None


def _day_after(found: "re.Match[str]", today: date) -> str:
    many, unit = _number(found["many"] or found["then"]), (found["unit"] or found["units"]).lower().rstrip("s")
    way = (found["way"] or "").lower()
    start = _day(found["day"], today) if found["day"] else today
    day = _moved(start, -many if way == "ago" or way.startswith("before") else many, unit)
    return f"{day:%A}, {in_words(day)}."


def _days_between(found: "re.Match[str]", today: date) -> str:
    named = found["first"] or found["between"]
    first = _day(named, today) if named else today
    last = _day(found["last"], first if named else today)
    days = abs((last - first).days)
    weeks = (
        f", {_some(days // 7, 'week')} and {_some(days % 7, 'day')}" if (found["unit"] or "").lower() == "weeks" else ""
    )
    return f"{_some(days, 'day')}{weeks}: from {in_words(first)} to {in_words(last)}."


def _some(many: int, what: str) -> str:
    return f"{many} {what}" if many == 1 else f"{many} {what}s"


def in_words(day: date) -> str:
    """A day, as "20 November 2026"."""
    return f"{day.day} {day:%B %Y}"


def _number(word: str) -> int:
    return int(word) if word.isdecimal() else _NUMBERS[word.lower()]


def _moved(day: date, by: int, unit: str) -> date:
    if unit in ("day", "week"):
        return day + timedelta(days=by * (7 if unit == "week" else 1))
    months = day.year * 12 + day.month - 1 + by * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _day(words: str, after: date) -> date:
    """The day that is meant; where no year is said the next one."""
    said = words.lower()
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", said):
        return date.fromisoformat(said)
    if said in ("today", "tomorrow"):
        return after + timedelta(days=said == "tomorrow")
    if said in _FEASTS:
        return _next(after, lambda year: date(year, *_FEASTS[said]))
    numbers = [int(one) for one in re.findall(r"\d+", said)]
    month = next(_MONTHS[word] for word in re.findall(r"[a-z]+", said) if word in _MONTHS)
    if len(numbers) > 1:
        return date(numbers[1], month, numbers[0])
    return _next(after, lambda year: date(year, month, numbers[0]))


def _next(after: date, in_year: Callable[[int], date]) -> date:
    this = in_year(after.year)
    return this if this >= after else in_year(after.year + 1)
