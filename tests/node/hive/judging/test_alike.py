import pytest

from node.hive.judging.alike import MIN_LIKENESS, says_the_same


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Thank whoever answered.", "Say thank you to whoever answered."),
        ("Convert crowns to euros before you compare prices.", "Before comparing prices, convert crowns to euros."),
        ("Mention allergies when you suggest a meal.", "When you suggest a meal, mention allergies!"),
    ],
)
def test_the_same_in_other_words(a: str, b: str) -> None:
    assert says_the_same(a, b, MIN_LIKENESS)
    assert says_the_same(b, a, MIN_LIKENESS)
    assert not says_the_same(a, b, MIN_LIKENESS - 0.01)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Always verify the signature.", "Never verify the signature."),
        ("Thank whoever answered.", "Do not thank whoever answered."),
        ("Thank whoever answered.", "Don't thank whoever answered."),
        ("Round money to two decimals.", "Round money to 2 decimals."),
        ("Give degrees Celsius.", "Give degrees Fahrenheit."),
        ("Keep the checks on.", "Keep the checks off."),
        ("Mention allergies when you suggest a meal.", "Mention allergies unless you suggest a meal."),
    ],
)
def test_one_word_that_turns_it_around(a: str, b: str) -> None:
    assert not says_the_same(a, b, 0.99)
    assert not says_the_same(b, a, 0.99)
