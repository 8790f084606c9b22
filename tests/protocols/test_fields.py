"""Bounded reading: every bound is exact, and no control character comes through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import fields
from protocols.errors import LocalProtocolError, MalformedMessage

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
HIDDEN = ["\x00", "\x1b", "\x7f", "\x85", "\r", "\u2028", "\u202e", "\u2066", "\ufeff", "\ud800"]


@pytest.mark.parametrize("character", [*HIDDEN, "\n", "\t"])
def test_a_line_holds_no_control_character(character: str) -> None:
    with pytest.raises(MalformedMessage):
        fields.line(f"a{character}b", "name", 10)


@pytest.mark.parametrize("character", HIDDEN)
def test_text_holds_line_feeds_and_tabs_only(character: str) -> None:
    assert fields.text("a\n\tb", "text", 4) == "a\n\tb"
    with pytest.raises(MalformedMessage):
        fields.text(f"a{character}b", "text", 100)


def test_bounds_of_lengths_are_exact() -> None:
    assert fields.line("äöü", "name", 3) == "äöü"
    assert fields.text("äöü", "text", 6) == "äöü"
    assert fields.text("", "text", 6) == ""
    assert fields.lines(["a", "b"], "names", 2, 1) == ("a", "b")
    for refused in (
        lambda: fields.line("äöüß", "name", 3),
        lambda: fields.line("", "name", 3),
        lambda: fields.text("äöü", "text", 5),
        lambda: fields.text("", "text", 5, min_bytes=1),
        lambda: fields.lines(["a", "b"], "names", 1, 1),
        lambda: fields.lines(["a", "a"], "names", 2, 1),
        lambda: fields.lines(["ab"], "names", 2, 1),
        lambda: fields.lines("ab", "names", 2, 1),
    ):
        with pytest.raises(MalformedMessage):
            refused()


def test_numbers_are_numbers() -> None:
    assert fields.integer(5, "n", 5, 5) == 5
    assert fields.number(1, "x", 0, 1) == 1.0
    assert fields.finite(-1.5, "x", 1.5) == -1.5
    for refused in (
        lambda: fields.integer(True, "n", 0),
        lambda: fields.integer(1.0, "n", 0),
        lambda: fields.integer(2**53, "n", 0),
        lambda: fields.integer(-1, "n", 0),
        lambda: fields.number(False, "x", 0, 1),
        lambda: fields.number(float("nan"), "x", 0, 1),
        lambda: fields.number(10**400, "x", 0, 1),
        lambda: fields.number("1", "x", 0, 1),
        lambda: fields.finite(1, "x", 2),
        lambda: fields.finite(float("inf"), "x", 2),
        lambda: fields.finite(2.5, "x", 2),
        lambda: fields.flag(1, "flag"),
    ):
        with pytest.raises(MalformedMessage):
            refused()


@given(ANYTHING)
def test_anything_is_read_or_refused(value: object) -> None:
    for read in (
        lambda: fields.line(value, "x", 4),
        lambda: fields.lines(value, "x", 4, 4),
        lambda: fields.text(value, "x", 4),
        lambda: fields.sequence(value, "x", 4),
        lambda: fields.mapping(value, "x"),
        lambda: fields.integer(value, "x", 0),
        lambda: fields.number(value, "x", 0, 1),
        lambda: fields.finite(value, "x", 1),
        lambda: fields.flag(value, "x"),
    ):
        try:
            result = read()
        except MalformedMessage:
            continue
        assert result in (value, tuple(value) if isinstance(value, list) else value)


@given(st.text(max_size=60), st.integers(0, 40))
def test_what_was_cleaned_and_cut_is_accepted(text: str, max_bytes: int) -> None:
    cleaned = fields.clean_and_cut(text, max_bytes)
    assert fields.text(cleaned, "text", max_bytes) == cleaned
    assert fields.clean(text).startswith(cleaned)


def test_cleaning_keeps_lines() -> None:
    assert fields.clean("one\r\ntwo\tthree\x1b[0m\u202e") == "one\ntwo\tthree[0m"


def test_what_our_own_reader_refuses_is_our_own_fault() -> None:
    assert fields.sendable(lambda body: fields.flag(body, "flag"), True) is True
    with pytest.raises(LocalProtocolError):
        fields.sendable(lambda body: fields.flag(body, "flag"), 1)
