"""JSON within bounds, and times."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.credentials import bounds
from identity.credentials.errors import CredentialTooLarge, MalformedCredential
from identity.credentials.values import canonical, check_bounds, read_json, time_text, timestamp, walk


@pytest.mark.parametrize(
    "value",
    [
        [[]] * bounds.MAX_VALUES,
        {"a": "x" * (bounds.MAX_TEXT_CHARS + 1)},
        {"x" * (bounds.MAX_TEXT_CHARS + 1): 1},
        ["x" * bounds.MAX_TEXT_CHARS] * 5,
    ],
)
def test_too_much_is_refused(value: Any) -> None:
    with pytest.raises(CredentialTooLarge):
        check_bounds(value)


def test_ten_megabytes_and_deep_nesting_are_refused_before_parsing() -> None:
    with pytest.raises(CredentialTooLarge):
        read_json(b'{"a": "' + b"x" * 10_000_000 + b'"}')
    with pytest.raises((CredentialTooLarge, MalformedCredential)):
        read_json(b"[" * 100_000)
    nested = json.dumps([])
    for _ in range(bounds.MAX_DEPTH + 1):
        nested = f"[{nested}]"
    with pytest.raises(CredentialTooLarge, match="deeper"):
        read_json(nested)
    assert read_json(nested[1:-1]) is not None


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
trees = st.recursive(
    leaves, lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(max_size=3), one, max_size=3), max_leaves=12
)


@given(trees)
def test_walk_gives_every_value_once(value: Any) -> None:

    def count(one: Any) -> int:
        below = one.values() if isinstance(one, dict) else one if isinstance(one, list) else []
        return 1 + sum(count(inner) for inner in below)

    assert sum(1 for _ in walk(value)) == count(value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"a": NaN}', "\ud800"])
def test_what_is_not_json_is_refused(data: Any) -> None:
    with pytest.raises(MalformedCredential):
        read_json(data)


@pytest.mark.parametrize("value", [{"a": 2**53}, {"a": float("nan")}, {"a": "\ud800"}])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(MalformedCredential):
        canonical(value)


moments = st.integers(1, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds + 0.25, UTC))


@given(
    moments,
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_times_in_every_zone(moment: datetime, minutes: int) -> None:
    moment = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert timestamp(moment.isoformat(), "t") == pytest.approx(moment.timestamp())
    whole = moment.astimezone(UTC).replace(microsecond=0)
    assert timestamp(time_text(moment.timestamp()), "t") == whole.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00z",
        "２026-01-31T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "",
        None,
        5,
    ],
)
def test_what_is_not_a_time_with_a_zone_is_refused(text: Any) -> None:
    with pytest.raises(MalformedCredential):
        timestamp(text, "validFrom")


def test_fractions_and_offsets() -> None:
    assert timestamp("1970-01-01T00:00:01.5Z", "t") == 1.5
    assert timestamp("1970-01-01T01:00:00.25+01:00", "t") == 0.25
