"""Times as people say them: the examples by hand, and what holds for any of them at any moment."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.clock import MachineZone
from node.memory.when import MAX_CHARS, asks_what_happened, period

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 11, 20, 15, 0, tzinfo=BERLIN)


_NUMBER = st.one_of(st.integers(1, 999).map(str), st.sampled_from(["a", "two", "a few", "a couple of", "twelve"]))
_PHRASES = st.one_of(
    st.builds("{} {} ago".format, _NUMBER, st.sampled_from(["minutes", "hours", "days", "weeks", "months", "years"])),
    st.builds("the last {} {}".format, _NUMBER, st.sampled_from(["hours", "days", "weeks", "months"])),
    st.builds("{} {}".format, st.sampled_from(["last", "on", "this", "since"]), st.sampled_from(["monday", "sunday"])),
    st.builds("{} {}".format, st.sampled_from(["in", "last", "since"]), st.sampled_from(["may", "february"])),
    st.sampled_from(["today", "yesterday", "last night", "last weekend", "this weekend", "last year", "this month"]),
)
_MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "UTC"]).map(
    ZoneInfo
)


def span(text: str, now: datetime = FRIDAY) -> tuple[str, str] | None:
    found = period(text, now, BERLIN)
    if found is None:
        return None
    begin, end = (datetime.fromtimestamp(ms / 1000, BERLIN) for ms in (found.from_ms, found.to_ms))
    return f"{begin:%F %H:%M}", f"{end:%F %H:%M}"


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("What did we talk about last Tuesday?", "2026-11-17 00:00", "2026-11-18 00:00"),
        ("yesterday", "2026-11-19 00:00", "2026-11-20 00:00"),
        ("yesterday evening", "2026-11-19 17:00", "2026-11-20 00:00"),
        ("the day before yesterday", "2026-11-18 00:00", "2026-11-19 00:00"),
        ("this morning", "2026-11-20 05:00", "2026-11-20 12:00"),
        ("last night", "2026-11-19 18:00", "2026-11-20 05:00"),
        ("Tuesday night", "2026-11-17 18:00", "2026-11-18 05:00"),
        ("on Friday", "2026-11-20 00:00", "2026-11-21 00:00"),
        ("last Friday", "2026-11-13 00:00", "2026-11-14 00:00"),
        ("last weekend", "2026-11-14 00:00", "2026-11-16 00:00"),
        ("this week", "2026-11-16 00:00", "2026-11-23 00:00"),
        ("last week", "2026-11-09 00:00", "2026-11-16 00:00"),
        ("two weeks ago", "2026-11-03 00:00", "2026-11-10 00:00"),
        ("a couple of days ago", "2026-11-18 00:00", "2026-11-19 00:00"),
        ("over the last few days", "2026-11-17 00:00", "2026-11-20 15:00"),
        ("3 hours ago", "2026-11-20 11:00", "2026-11-20 13:00"),
        ("in May", "2026-05-01 00:00", "2026-06-01 00:00"),
        ("in December", "2025-12-01 00:00", "2026-01-01 00:00"),
        ("last November", "2025-11-01 00:00", "2025-12-01 00:00"),
        ("in May 2025", "2025-05-01 00:00", "2025-06-01 00:00"),
        ("last month", "2026-10-01 00:00", "2026-11-01 00:00"),
        ("a year ago", "2025-01-01 00:00", "2026-01-01 00:00"),
        ("in 2024", "2024-01-01 00:00", "2025-01-01 00:00"),
        ("May 14th", "2026-05-14 00:00", "2026-05-15 00:00"),
        ("on December 24", "2025-12-24 00:00", "2025-12-25 00:00"),
        ("14 May, 2024", "2024-05-14 00:00", "2024-05-15 00:00"),
        ("on the 25th", "2026-10-25 00:00", "2026-10-26 00:00"),
        ("on the 31st", "2026-10-31 00:00", "2026-11-01 00:00"),
        ("on February 29", "2024-02-29 00:00", "2024-03-01 00:00"),
        ("2026-05-14", "2026-05-14 00:00", "2026-05-15 00:00"),
        ("2026-05", "2026-05-01 00:00", "2026-06-01 00:00"),
        ("since Monday", "2026-11-16 00:00", "2026-11-20 15:00"),
        ("since May", "2026-05-01 00:00", "2026-11-20 15:00"),
    ],
)
def test_what_people_say(text: str, begin: str, end: str) -> None:
    assert span(text) == (begin, end)
    assert span(f"  Tell me: what was it, {text.upper()}, really?") == (begin, end)


@pytest.mark.parametrize(
    "text", ["", "May I ask something?", "a second opinion", "the marching band", "30 February", "2026-13-41", "ago"]
)
def test_what_names_no_time(text: str) -> None:
    assert span(text) is None


def test_a_day_of_the_change_of_clocks_has_its_hours() -> None:
    found = period("2026-10-25", FRIDAY, BERLIN)
    assert found is not None
    assert found.to_ms - found.from_ms == 25 * 3_600_000


def test_the_latest_month_that_has_had_such_a_day() -> None:
    assert span("on the 31st", datetime(2026, 12, 15, tzinfo=BERLIN)) == ("2026-10-31 00:00", "2026-11-01 00:00")
    assert span("on the 31st", datetime(2026, 1, 15, tzinfo=BERLIN)) == ("2025-12-31 00:00", "2026-01-01 00:00")


def test_hours_are_as_long_as_ever_when_the_clocks_change() -> None:
    now = datetime(2026, 10, 25, 3, 30, tzinfo=UTC)  # half past four; an hour came twice at three
    for text, begin, end in (("3 hours ago", 4, 2), ("the last 3 hours", 3, 0)):
        found = period(text, now, BERLIN)
        assert found is not None
        assert [now.timestamp() * 1000 - ms for ms in (found.from_ms, found.to_ms)] == [
            begin * 3_600_000,
            end * 3_600_000,
        ]


def test_what_is_said_after_midnight_is_of_the_night() -> None:
    now = datetime(2026, 11, 20, 1, 0, tzinfo=BERLIN)
    assert span("tonight", now) == ("2026-11-19 18:00", "2026-11-20 05:00")
    assert span("this night", now) == ("2026-11-19 18:00", "2026-11-20 05:00")
    assert span("tonight", datetime(2026, 11, 20, 22, 0, tzinfo=BERLIN)) == ("2026-11-20 18:00", "2026-11-21 05:00")


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
@given(_MOMENTS, _MOMENTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_zone_of_the_machine_has_its_summer_time(now: datetime, moment: datetime) -> None:
    """Asked in winter, a summer's day begins when it began."""
    zone = MachineZone()
    assert moment.astimezone(zone).utcoffset() == moment.astimezone(BERLIN).utcoffset()
    assert moment.astimezone(zone).astimezone(UTC) == moment
    for text in ("in may", "last tuesday", "yesterday", "3 hours ago", f"{moment:%F}"):
        assert period(text, now, zone) == period(text, now, BERLIN)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("what did we talk about last Tuesday?", True),
        ("What happened yesterday?", True),
        ("what have I told you about Ana", True),
        ("our conversation of last week", True),
        ("How high is the bridge?", False),
        ("What is the opening time on Tuesday?", False),
    ],
)
def test_whether_it_asks_what_happened(text: str, asks: bool) -> None:
    assert asks_what_happened(text) is asks


@given(_PHRASES, _MOMENTS, _ZONES)
def test_a_time_lies_in_the_past_and_takes_some_time(phrase: str, now: datetime, zone: ZoneInfo) -> None:
    found = period(phrase, now, zone)
    if found is None:  # only what lies before there was a Unix time
        assert "ago" in phrase or "the last" in phrase
        return
    assert found.from_ms < found.to_ms
    assert found.from_ms <= now.timestamp() * 1000
    assert found == period(f"what did we say {phrase}?", now, zone)


@given(st.integers(0, 6), _MOMENTS, _ZONES)
def test_a_weekday_is_that_day_within_the_week_before(day: int, now: datetime, zone: ZoneInfo) -> None:
    name = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"][day]
    found = period(f"last {name}", now, zone)
    assert found is not None
    begin = datetime.fromtimestamp(found.from_ms / 1000, zone)
    assert (begin.weekday(), begin.hour, begin.minute) == (day, 0, 0)
    local = now.astimezone(zone)
    assert timedelta(days=1) <= local.date() - begin.date() <= timedelta(days=7)


@given(st.text(max_size=300), _MOMENTS, _ZONES)
def test_no_text_breaks_it(text: str, now: datetime, zone: ZoneInfo) -> None:
    period(text, now, zone)
    asks_what_happened(text)


def test_only_the_beginning_of_a_long_text_is_looked_at() -> None:
    assert period("x" * MAX_CHARS + " yesterday", FRIDAY, BERLIN) is None
    assert period("we talked " * 100_000, FRIDAY, BERLIN) is None
    assert period("in the last " * 100_000, FRIDAY, BERLIN) is None
