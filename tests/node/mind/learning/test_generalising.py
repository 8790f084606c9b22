import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.learning.generalising import Example, is_about, rule_of


def test_what_differs_gets_a_name_and_what_stays_is_kept() -> None:
    rule = rule_of(
        (
            Example("What does our taxi cost for 12 km?", "4 + 12 * 2.5"),
            Example("What does our taxi cost for 7 km?", "4 + 7 * 2.5."),
        )
    )
    assert rule == "What does our taxi cost for … km? It is 4 + km * 2.5."


def test_two_numbers_with_one_word_behind_them_are_told_apart_by_their_place() -> None:
    rule = rule_of(
        (
            Example("We buy at 20 euros and sell at 30 euros. What is our margin?", "(30 - 20) / 20 * 100"),
            Example("We buy at 50 euros and sell at 80 euros. What is our margin?", "(80 - 50) / 50 * 100"),
        )
    )
    assert rule is not None
    assert rule.endswith("It is (the second number - the first number) / the first number * 100.")


def test_a_question_put_otherwise_is_no_hindrance_and_a_name_that_only_one_has_is_left_out() -> None:
    rule = rule_of(
        (
            Example("What do we bill Marta for 6 hours in the workshop?", "6 * 78 * 1.15"),
            Example("What do we bill Jonas for 1,200 hours in the workshop?", "1200 * 78 * 1.15"),
            Example("The workshop worked 31 hours. What do we bill?", "31 * 78 * 1.15"),
        )
    )
    assert rule == "What do we bill … for … hours in the workshop? It is hours * 78 * 1.15."


def test_a_reason_that_is_of_another_form_is_left_out() -> None:
    rule = rule_of(
        (
            Example("How many hours are 3 working days?", "3 * 7.6"),
            Example("How many hours are 5 working days?", "7.6 hours each, so 38"),
            Example("How many hours are 9 working days?", "9 * 7.6"),
        )
    )
    assert rule == "How many hours are … working days? It is working * 7.6."


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("How much for 3 km?", "3 * 2"), ("How much for 5 km?", "2 + 5")),
        (("How much for 3 km?", "__import__('os')"), ("How much for 5 km?", "__import__('os')")),
        (("How much for 3 km?", "7 * 2"), ("How much for 5 km?", "9 * 2")),
        (("How much for 3 km?", "4 * 2"), ("What is due for 5 km?", "4 * 2")),
        (("12 km?", "12 * 2"), ("15 km?", "15 * 2")),
        (("How much for 3 km?", "3"), ("How much for 5 km?", "5")),
        (("How much for 3 km? " + "x" * 600, "3 * 2"), ("How much for 5 km?", "5 * 2")),
    ],
    ids=["other sums", "no sum", "numbers of no question", "nothing differs", "about nothing", "a bare number", "long"],
)
def test_where_nothing_is_common_there_is_no_rule(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert rule_of((Example(*first), Example(*second))) is None


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=5))
def test_any_feedback_can_be_read(told: list[tuple[str, str]]) -> None:
    rule_of([Example(question, because) for question, because in told])


@given(
    st.lists(st.integers(2, 9_999), min_size=2, max_size=5, unique=True),
    st.integers(2, 99),
    st.integers(10_000, 99_999),
)
def test_a_rule_of_any_numbers_gives_their_values_again(numbers: list[int], factor: int, more: int) -> None:
    rule = rule_of(
        [
            Example(f"What do we pay for {n} hours of work?", f"({n} + {more}) * {factor} - ceil({n} / 7)")
            for n in numbers
        ]
    )
    assert rule is not None
    expression = rule.partition(" It is ")[2].rstrip(".")
    for n in numbers:
        value = eval(expression, {"__builtins__": {}}, {"hours": n, "ceil": math.ceil})
        assert value == (n + more) * factor - math.ceil(n / 7)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("We sold 40 keg units. How many litres is that?", True),
        ("How many litres are 12 US gallons?", False),
        ("How many people work here?", False),
    ],
)
def test_a_rule_is_for_questions_like_its_own_alone(question: str, expected: bool) -> None:
    rule = rule_of(
        (
            Example("How many litres are 3 of our keg units?", "3 * 37.5"),
            Example("How many litres are 8 of our keg units?", "8 * 37.5"),
        )
    )
    assert rule is not None
    assert is_about(rule, question) is expected


def test_what_somebody_wrote_may_be_about_anything() -> None:
    assert is_about("A dozen is 12 pieces. It is never 13.", "How many eggs are 7 trays?")
