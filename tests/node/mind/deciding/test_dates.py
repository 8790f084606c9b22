"""Sums with dates."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.deciding.dates import MAX_CHARS, answer_from, asks_for_dates

TODAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("goal", "answer"),
    [
        ("what's the date in three weeks?", "Friday, 11 December 2026."),
        ("What date is it in 10 days", "Monday, 30 November 2026."),
        ("What date was it a month ago?", "Tuesday, 20 October 2026."),
        ("What day is 40 days after 2027-01-31?", "Friday, 12 March 2027."),
        ("Which day is it in 3 months from now?", "Saturday, 20 February 2027."),
        ("how many days are left until christmas?", "35 days: from 20 November 2026 to 25 December 2026."),
        ("How many days until 3 March?", "103 days: from 20 November 2026 to 3 March 2027."),
        (
            "How many weeks is it to December 3rd?",
            "13 days, 1 week and 6 days: from 20 November 2026 to 3 December 2026.",
        ),
        ("How long is it from 2026-11-20 to 2026-12-03?", "13 days: from 20 November 2026 to 3 December 2026."),
        ("How many days between May 1 and May 2, 2027", "1 day: from 1 May 2027 to 2 May 2027."),
    ],
)
def test_days_are_counted(goal: str, answer: str) -> None:
    assert answer_from(goal, TODAY) == answer


@pytest.mark.parametrize(
    "goal",
    [
        "What date is it?",
        "How many days until my birthday?",
        "How many days until 30 February?",
        "What is the date of the fair?",
    ],
)
def test_what_is_no_such_sum(goal: str) -> None:
    assert answer_from(goal, TODAY) is None


@given(st.text(max_size=MAX_CHARS + 10))
def test_any_text_is_looked_at(text: str) -> None:
    asks_for_dates(text)


@given(st.dates(date(1900, 1, 1), date(2900, 1, 1)), st.integers(0, 9999))
def test_days_are_those_of_the_calendar(today: date, many: int) -> None:
    said = answer_from(f"what date is it in {many} days", today)
    back = answer_from(f"how many days from {today} to {date.fromordinal(today.toordinal() + many)}", today)
    assert said is not None
    assert back is not None
    assert back.startswith(f"{many} ")
