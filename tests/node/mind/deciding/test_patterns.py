import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.deciding.patterns import bare_sum, hinted, is_sum
from plugins.builtin.calculator import calculate


@pytest.mark.parametrize(
    ("goal", "expression"),
    [
        ("What is 17 * 23?", "17 * 23"),
        ("please calculate (1 + 2)^3 =", "(1 + 2)**3"),
        ("Work out (48 - 13) * 7.", "(48 - 13) * 7"),
        ("2.5 + .5", "2.5 + .5"),
        ("How much is 3 * 7 crowns?", None),
        ("2026-02-10", None),
        ("2026-03-01 - 2026-06-15", None),
        ("10-12", None),
        ("call 555-0134", None),
        ("17", None),
        ("1 +", None),
        ("1 / 0", None),
        ("", None),
        ("1+" * 200 + "1", None),
    ],
)
def test_a_calculation_and_nothing_else(goal: str, expression: str | None) -> None:
    assert bare_sum(goal) == expression


@given(st.text(alphabet="0123456789 .()+*/%^-=?", max_size=300))
def test_what_is_a_sum_has_a_value(goal: str) -> None:
    expression = bare_sum(goal)
    assert expression is None or calculate(expression) is not None
    assert not is_sum(f"{goal} 2026-01-01")


def test_what_may_be_needed_is_hinted_at() -> None:
    assert hinted("How much are 3 times 4?", ()) == {"calculator"}
    assert hinted("How much is the total?", ["gave 3", "gave 4"]) == {"calculator"}
    assert hinted("How many days until today's feast", ()) == {"clock"}
    assert hinted("Tell me a joke", ()) == frozenset()
