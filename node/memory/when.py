"""Times as people say them: "last Tuesday", "in May", "two weeks ago". Pure, and in English only.

A name of a day or a month means the latest one that has begun. "last Tuesday" is the one before today. What can be read
as a time and as something else ("may", "second") counts as a time only in a phrase that leaves no doubt.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

MAX_CHARS: Final = 2000
"""Of a text, so much is looked at."""

_DAY: Final = timedelta(days=1)
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9998

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_NUMBERS: Final = {
    **{word: number for number, word in enumerate(("one", "two", "three", "four", "five", "six", "seven"), 1)},
    **{"a": 1, "an": 1, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12},
    **{"a couple of": 2, "a couple": 2, "couple of": 2, "a few": 3, "few": 3, "several": 4},
}
_PARTS_OF_A_DAY: Final = {"morning": (5, 12), "afternoon": (12, 18), "evening": (17, 24), "night": (18, 29)}
"""Hours of the day in which each part lies. They overlap, as they do in speech, and a night ends on the next day."""

_MOST_YEARS_BACK: Final = 8
"""Between two 29ths of February."""

_WEEKDAY: Final = f"(?P<weekday>{'|'.join(_WEEKDAYS)})"
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_YEAR: Final = r"(?P<year>(?:19|20)\d\d)"
_NUMBER: Final = r"(?P<number>\d{1,3}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + ")"
_UNIT: Final = r"(?P<unit>minute|hour|day|week|month|year)s?"
_NTH: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_PART: Final = r"(?P<part>morning|afternoon|evening|night)"


@dataclass(frozen=True, slots=True)
class Period:
    """From `from_ms` to before `to_ms`, of Unix time; `phrase` is how the text said it."""

    from_ms: int
    to_ms: int
    phrase: str


_Span = tuple[datetime, datetime]


def period(text: str, now: datetime, tz: tzinfo) -> Period | None:
    """The first time that a text names, as seen from `now` (aware) by somebody in `tz`; None if it names none."""
    said = " ".join(text[:MAX_CHARS].lower().split())
    local = now.astimezone(tz)
    for pattern, span_of in _FORMS:
        for match in pattern.finditer(said):
            span = span_of(match, local)
            if span is not None:
                since = match["since"] is not None
                begin, end = span[0], max(local, span[1]) if since else span[1]
                return Period(_ms(begin), max(_ms(end), _ms(begin) + 1), match[0].strip())
    return None


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _days(local: datetime, first: date, count: int = 1) -> _Span | None:
    """Whole days from midnight to midnight; a day has 23 to 25 hours."""
    if not _FIRST_YEAR <= first.year <= _LAST_YEAR:
        return None
    midnight = [datetime.combine(day, time(), local.tzinfo) for day in (first, first + count * _DAY)]
    return midnight[0], midnight[1]


def _part_of(local: datetime, day: date, part: str | None) -> _Span | None:
    whole = _days(local, day)
    if part is None or whole is None:
        return whole
    begin, end = _PARTS_OF_A_DAY[part]
    last = datetime.combine(day + end // 24 * _DAY, time(end % 24), local.tzinfo)
    return datetime.combine(day, time(begin), local.tzinfo), last


def _near_day(match: re.Match[str], local: datetime) -> _Span | None:
    back = {"today": 0, "yesterday": 1, "this": 0, "tonight": 0, "last night": 1}
    named = match["near"]
    if named.endswith("before yesterday"):
        return _days(local, local.date() - 2 * _DAY)
    part = "night" if named in ("tonight", "last night") else match["part"]
    days = back[named]
    if part == "night" and not days and local.hour < _PARTS_OF_A_DAY["night"][1] % 24:
        days = 1  # it began yesterday
    return _part_of(local, local.date() - days * _DAY, part)


def _weekday(match: re.Match[str], local: datetime) -> _Span | None:
    today = local.date()
    back = (today.weekday() - _WEEKDAYS.index(match["weekday"])) % 7
    if match["which"] in ("last", "past", "previous") and back == 0:
        back = 7
    return _part_of(local, today - back * _DAY, match["part"])


def _ago(match: re.Match[str], local: datetime) -> _Span | None:
    number = _NUMBERS.get(match["number"]) or int(match["number"])
    match match["unit"]:
        case "minute" | "hour" as unit:
            length = timedelta(hours=1) if unit == "hour" else timedelta(minutes=10)
            now = local.astimezone(UTC)  # where an hour is an hour when the clocks change
            then = now - (timedelta(hours=number) if unit == "hour" else timedelta(minutes=number))
            return then - length, min(now, then + length)
        case "day":
            return _days(local, local.date() - number * _DAY)
        case "week":
            middle = local.date() - 7 * number * _DAY
            return _days(local, middle - 3 * _DAY, 7)
        case "month":
            return _month(local, *_months_back(local, number))
        case _:
            return _year(local, local.year - number)


def _recent(match: re.Match[str], local: datetime) -> _Span | None:
    """`the last three days`, `this week`, `last month`."""
    number, unit = match.groupdict().get("number"), match["unit"]
    today = local.date()
    if number is not None:
        count = _NUMBERS.get(number) or int(number)
        if unit in ("minute", "hour"):
            length = timedelta(hours=1) if unit == "hour" else timedelta(minutes=1)
            return local.astimezone(UTC) - count * length, local
        days = {"day": 1, "week": 7, "month": 30, "year": 365}[unit] * count
        begin = _days(local, today - days * _DAY)
        return (begin[0], local) if begin is not None and begin[0] < local else None
    back = 0 if match["which"] in ("this", "the") else 1
    monday = today - today.weekday() * _DAY
    match unit:
        case "week":
            return _days(local, monday - 7 * back * _DAY, 7)
        case "weekend":
            under_way = not back and today.weekday() >= 5
            return _days(local, monday + (5 if under_way else -2) * _DAY, 2)
        case "month":
            return _month(local, *_months_back(local, back))
        case "year":
            return _year(local, local.year - back)
        case _:
            return None


def _named_month(match: re.Match[str], local: datetime) -> _Span | None:
    month, groups = _MONTHS.index(match["month"]) + 1, match.groupdict()
    if groups.get("year"):
        return _month(local, int(match["year"]), month)
    past = groups.get("which") == "last"
    year = local.year - (month > local.month or (past and month == local.month))
    return _month(local, year, month)


def _named_date(match: re.Match[str], local: datetime) -> _Span | None:
    """A day of a month, of the latest one that has had it where the year or the month is not named."""
    groups = match.groupdict()
    number = int(match["day"])
    if groups.get("iso_month"):
        return _day(local, int(match["year"]), int(match["iso_month"]), number)
    month = _MONTHS.index(match["month"]) + 1 if groups.get("month") else None
    if month is not None and groups.get("year"):
        return _day(local, int(match["year"]), month, number)
    if month is not None:
        later = (month, number) > (local.month, local.day)
        months = [(local.year - later - back, month) for back in range(_MOST_YEARS_BACK + 1)]
    else:
        months = [_months_back(local, (number > local.day) + back) for back in range(2)]
    return next((span for each in months if (span := _day(local, *each, number)) is not None), None)


def _day(local: datetime, year: int, month: int, day: int) -> _Span | None:
    try:
        return _days(local, date(year, month, day))
    except ValueError:  # there is no such day
        return None


def _iso_month(match: re.Match[str], local: datetime) -> _Span | None:
    month = int(match["iso_month"])
    return _month(local, int(match["year"]), month) if 1 <= month <= 12 else None


def _named_year(match: re.Match[str], local: datetime) -> _Span | None:
    return _year(local, int(match["year"]))


def _months_back(local: datetime, number: int) -> tuple[int, int]:
    year, month = divmod(local.year * 12 + local.month - 1 - number, 12)
    return year, month + 1


def _month(local: datetime, year: int, month: int) -> _Span | None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    first = date(year, month, 1)
    following = date(year + month // 12, month % 12 + 1, 1)
    return _days(local, first, (following - first).days)


def _year(local: datetime, year: int) -> _Span | None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    return _days(local, date(year, 1, 1), (date(year + 1, 1, 1) - date(year, 1, 1)).days)


_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], _Span | None]], ...]] = tuple(
    (re.compile(rf"(?<![\w-])(?P<since>since )?{pattern}(?![\w-])"), span_of)
    for pattern, span_of in (
        (rf"{_YEAR}-(?P<iso_month>\d\d)-(?P<day>\d\d)", _named_date),
        (rf"{_YEAR}-(?P<iso_month>\d\d)", _iso_month),
        (rf"{_MONTH} {_NTH},? {_YEAR}", _named_date),
        (rf"{_NTH} (?:of )?{_MONTH},? {_YEAR}", _named_date),
        (rf"{_MONTH} {_NTH}", _named_date),
        (rf"{_NTH} (?:of )?{_MONTH}", _named_date),
        (r"(?P<near>(?:the )?day before yesterday|last night|tonight|today|yesterday)(?: " + _PART + ")?", _near_day),
        (r"(?P<near>this) " + _PART, _near_day),
        (rf"(?:(?P<which>last|past|previous|this|on) )?{_WEEKDAY}(?: {_PART})?", _weekday),
        (rf"{_NUMBER} {_UNIT} (?:ago|back|earlier)", _ago),
        (rf"(?:the |in |over |within )*(?P<which>last|past) {_NUMBER} {_UNIT}", _recent),
        (r"(?P<which>this|last|past|previous) (?P<unit>weekend|week|month|year)", _recent),
        (rf"(?:(?P<which>in|last|this|during|of) |(?<=since )){_MONTH}(?:,? (?:of )?{_YEAR})?", _named_month),
        (rf"{_MONTH} {_YEAR}", _named_month),
        (r"on the (?P<day>\d{1,2})(?:st|nd|rd|th)", _named_date),
        (rf"(?:(?:in|during|of) |(?<=since )){_YEAR}", _named_year),
    )
)

_HAPPENED: Final = re.compile(
    r"\b(?:(?:we|you|i|us)\b.{0,40}?\b(?:talk|talked|speak|spoke|discuss|discussed|say|said|tell|told|ask|asked|chat"
    r"|chatted|mention|mentioned|do|did|work|worked|decide|decided|meet|met|go|went)|what happened|conversations?)\b"
)


def asks_what_happened(text: str) -> bool:
    """Whether a text asks what was said or done, so that the time in it is the answer's and not the subject's."""
    return bool(_HAPPENED.search(" ".join(text[:MAX_CHARS].lower().split())))
