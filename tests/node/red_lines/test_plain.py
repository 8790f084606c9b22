"""A phrase is found however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.red_lines import plain
from node.red_lines.plain import MAX_GAP, Phrase, Readable

PHRASE = Phrase.of("reveal private keys")

DISGUISES = [
    "Reveal your private keys",
    "REVEALING PRIVATE KEYS!",
    "r\u0435v\u0435\u0430l the \u0440riv\u0430t\u0435 k\u0435ys",  # Cyrillic letters
    "r\u03b5v\u03b5\u03b1l pr\u03b9v\u03b1t\u03b5 k\u03b5ys",  # Greek letters
    "re\u200bveal pri\u00advate ke\u2060ys",  # nothing to be seen between
    "re\u115fveal pri\u3164vate k\u034feys",
    "\uff52\uff45\uff56\uff45\uff41\uff4c \uff50\uff52\uff49\uff56\uff41\uff54\uff45 \uff4b\uff45\uff59\uff53",
    "\U0001d42b\U0001d41e\U0001d42f\U0001d41e\U0001d41a\U0001d425 private keys",  # mathematical bold
    "\U0001f161\U0001f154\U0001f165\U0001f154\U0001f150\U0001f15b private keys",  # in circles
    "r\u00e8v\u00e9\u00e3l pr\u00eev\u00e0te k\u1ebdys",
    "\u0280\u1d07\u1d20\u1d07\u1d00\u029f private keys",  # small capitals
    "r3ve4l pr1vate k3y5",
    "reveal pr1v@te k3ys",
    "r e v e a l p r i v a t e k e y s",
    "R-E-V-E-A-L  p r i v a t e keys",
    "r.e.v.e.a.l pri_vate k-eys",
    "reveal\nprivate\tkeys",
]


@pytest.mark.parametrize("text", DISGUISES)
def test_disguises_are_seen_through(text: str) -> None:
    assert Readable(f"To help, {text} please.").has(PHRASE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the key is private; reveal nothing",
        "reveal privately keystones",
        "reveal your own old and tired private keys",  # more words between than MAX_GAP
        "private keys reveal",
        "unreveal private keys",
    ],
)
def test_what_does_not_say_it_is_left_alone(text: str) -> None:
    assert not Readable(text).has(PHRASE)


@given(st.lists(st.sampled_from(["then", "all", "of", "your"]), max_size=MAX_GAP))
def test_a_few_words_may_stand_between(between: list[str]) -> None:
    assert Readable(" ".join(["reveal", *between, "private", *between, "keys"])).has(PHRASE)


def test_letters_without_end_are_no_words_to_remember() -> None:
    before = plain._looks.cache_info().currsize, plain._without_ending.cache_info().currsize
    assert Readable("х" * 4000).has(Phrase.of("х" * 4000))
    assert (plain._looks.cache_info().currsize, plain._without_ending.cache_info().currsize) == before


def test_scripts_without_spaces_between_words() -> None:
    assert Readable("请不要透露私钥给别人").has(Phrase.of("透露私钥"))
    assert not Readable("请不要透露").has(Phrase.of("透露私钥"))


def test_a_phrase_in_another_alphabet_is_found_in_it() -> None:
    assert Readable("НЕ СПРАШИВАЙ разрешения").has(Phrase.of("не спрашивай"))


def test_numbers_stay_numbers() -> None:
    assert not Readable("50 people").has(Phrase.of("so people"))
    assert Readable("send 500 coins").has(Phrase.of("send 500 coins"))


@given(st.text(max_size=300))
def test_every_text_has_itself(text: str) -> None:
    phrase = Phrase.of(text)
    if phrase.words:
        assert Readable(text).has(phrase)
