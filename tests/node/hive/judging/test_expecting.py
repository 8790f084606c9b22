import pytest

from node.hive.judging.errors import CheckUnusable
from node.hive.judging.expecting import Expectation


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        ("Anna", ["It was Anna.", "ANNA!", "\uff21nna"], ["Joanna", "An na", ""]),
        ("low tide", ["At low tide.", "Low-tide it is"], ["tide low", "low tides are"]),
        ("42", ["it is 42.", "42", "42.0 exactly", "=42,"], ["420", "4.2", "142", "-42", "forty-two"]),
        ("1200", ["1,200 crowns", "1'200", "1200"], ["1,2000", "12"]),
        ("-1.5", ["at -1.5 degrees"], ["1.5"]),
        ("/^yes|sure$/", ["Yes, it is", "I am sure"], ["no, yes"]),
    ],
)
def test_what_an_answer_holds(expected: str, right: list[str], wrong: list[str]) -> None:
    expectation = Expectation.of(expected)
    assert [answer for answer in right if not expectation.met_by(answer)] == []
    assert [answer for answer in wrong if expectation.met_by(answer)] == []


def test_an_answer_of_before_is_met_by_its_gist() -> None:
    good = "The mill grinds two tonnes of flour.\n(from memory 1234: “the mill”)"
    expectation = Expectation.of_history(good)
    assert "from memory" not in expectation.text
    assert expectation.met_by("Two tonnes of flour are what the mill grinds each day.")
    assert not expectation.met_by("The mill is closed.")


@pytest.mark.parametrize("expected", ["", "  ", "?!", "/(/", "x" * 2000])
def test_what_cannot_be_expected(expected: str) -> None:
    with pytest.raises(CheckUnusable):
        Expectation.of(expected)
    if expected != "x" * 2000 and "(" not in expected:
        with pytest.raises(CheckUnusable):
            Expectation.of_history(expected)
