import pytest

from node.red_lines.errors import RedLineUnusable
from node.red_lines.patterns import MAX_PATTERN_CHARS, Pattern


def test_it_is_found_anywhere_whatever_the_capitals() -> None:
    assert Pattern(r"key\s*=\s*\w+").found_in("then KEY = abc")
    assert not Pattern(r"^key$").found_in("monkey")


@pytest.mark.parametrize(
    "expression", ["", "(", "[", "a)(b", r"(a)\1", "(?=a)", "(a{1000}){1000}", "a" * (MAX_PATTERN_CHARS + 1)]
)
def test_what_is_wrong_or_costs_too_much_is_refused(expression: str) -> None:
    with pytest.raises(RedLineUnusable):
        Pattern(expression)


@pytest.mark.parametrize("expression", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}b", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_patterns_that_keep_other_engines_busy_for_hours(expression: str) -> None:
    Pattern(expression).found_in("a" * 4096 + "!")  # the test's own time limit is what it would break
