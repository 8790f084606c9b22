"""Whether two statements say the same or contradict each other; what is not plainly so is neither."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.memory.facts import excludes, relation


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("My sister is Ana", "my sister is Ana.", "same"),
        ("I live in Lyon now", "I live in Lyon", "same"),
        ("My sister is Ana", "My sister is Eva", "contradicts"),
        ("The mill closes at 5", "The mill closes at 6", "contradicts"),
        ("I live in Paris", "I moved to Lyon", "contradicts"),
        ("I don’t like tea", "I like tea", "contradicts"),
        ("I no longer live in Rome", "I live in Rome", "contradicts"),
        ("Sam has two dogs", "Sam has three dogs", "contradicts"),
        ("I'm from Bonn", "I'm from Kiel", "contradicts"),
        ("My favourite colour is blue", "My favourite colour is dark red", "contradicts"),
        ("My brother lives in Toronto now (moved two years ago)", "My brother lives in Ottawa", "contradicts"),
        ("My aunt lives in Rome (by the river)", "My aunt lives in Rome (by the park)", None),
        ("I was born in Lyon", "I was born in 1986", None),
        ("My sister is Ana", "My sister is a doctor", None),
        ("Room 5 is red", "Room 6 is red", None),
        ("Bo likes Ana", "Ana likes Bo", None),
        ("I like tea", "I like coffee", None),
        ("I have a dog", "I have a cat", None),
        ("The bridge is 90 metres long", "The tower is 90 metres long", None),
        ("", "", None),
        ("My sister is Ana. " * 30, "My sister is Ana. " * 30, None),
    ],
)
def test_relation(one: str, other: str, expected: str | None) -> None:
    assert relation(one, other) == expected
    assert relation(other, one) == expected


@given(st.text(max_size=120), st.text(max_size=120))
def test_it_does_not_matter_which_comes_first(one: str, other: str) -> None:
    assert relation(one, other) == relation(other, one)
    assert relation(one, one) in ("same", None)


def test_what_excludes_every_other_value() -> None:
    for text in ("My sister lives in Porto", "I work as a nurse", "My name is Tom", "My wife is called Eva"):
        assert excludes(text), text
    for text in ("I prefer tea", "I like trains", "My lives are nine"):
        assert not excludes(text), text
