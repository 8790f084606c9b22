"""What is shown of a provider's refusal: never the key, never words of the prompt."""

import pytest

from node.inference.providers.refusing import Refusal, fit_to_show

KEY = "9f3ac1d27be84450a6f1c2d3e4b5a697"
"""Without a beginning that gives it away, as some providers hand them out."""


@pytest.mark.parametrize("before", range(150, 200, 7))
def test_no_part_of_a_key_is_left_where_the_message_is_cut(before: int) -> None:
    shown = fit_to_show(Refusal("x" * before + f" {KEY} is no key"), key=KEY, prompt=())
    assert not any(KEY[: n + 4] in shown for n in range(len(KEY)))


def test_the_kind_does_not_stand_in_for_a_key() -> None:
    assert fit_to_show(Refusal("a\x1b[31m", kind=KEY), key=KEY, prompt=()) == ""


def test_a_short_turn_is_not_repeated_either() -> None:
    for turn in ("PIN 4711", "  PIN\n4711 "):
        assert fit_to_show(Refusal("cannot do: PIN 4711.", "bad"), key=None, prompt=("Be brief.", turn)) == ": bad"
    assert fit_to_show(Refusal("it is down", "bad"), key=None, prompt=("it",)) == ": it is down"
