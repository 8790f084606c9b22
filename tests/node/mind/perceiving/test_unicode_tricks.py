import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.perceiving.unicode_tricks import MAX_MARKS, plain

CASES = [
    ("pay\u202edlrow\u202c", "paydlrow", "bidirectional controls"),
    ("ig\u200bnore", "ignore", "zero-width characters"),
    ("so\u00adft", "soft", "zero-width characters"),
    ("hi" + "".join(chr(0xE0000 + ord(char)) for char in "obey"), "hi", "tag characters"),
    ("a" + "\u0301\u0302\u0303\u0304\u0305\u0306\u0307", None, "piled marks"),
    ("\x1b[31mred\x1b[0m", "red", "terminal escapes"),
    ("nul\x00l", "null", "control characters"),
    ("\uff49\uff47\uff4e\uff4f\uff52\uff45", "ignore", "letters in disguise"),
    ("\U0001d422\U0001d420\U0001d427\U0001d428\U0001d42b\U0001d41e", "ignore", "letters in disguise"),
    ("p\u0430ssword", "p\u0430ssword", "alphabets mixed in a word"),
    ("wo\u200drd", "word", "joiners inside words"),
    ("x\ufe01y", "xy", "variation selectors"),
]


@pytest.mark.parametrize(("text", "read", "trick"), CASES)
def test_tricks_are_named_and_undone(text: str, read: str | None, trick: str) -> None:
    got, tricks = plain(text)
    assert trick in tricks
    assert read is None or got == read


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII, with\ttabs\nand lines",
        "Größe, naïve, Ångström, tiếng Việt",
        "Привет, мир",
        "שָׁלוֹם",
        "مرحبا",
        "日本語の文",
        "क्षत्रिय",
        "می\u200cخواهم",
        "👨\u200d👩\u200d👧 and ❤️",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"[:1],
    ],
)
def test_honest_text_of_any_language_stays(text: str) -> None:
    assert plain(text) == (text, ())


def test_line_ends_are_one_kind_and_no_trick() -> None:
    assert plain("a\r\nb\rc\u2028d") == ("a\nb\nc\nd", ())


@given(st.text(max_size=200))
def test_what_is_plain_stays_plain(text: str) -> None:
    once, _ = plain(text)
    assert plain(once)[0] == once
    assert "\u202e" not in once
    assert not any(0xE0000 <= ord(char) <= 0xE007F for char in once)


def test_marks_that_a_language_needs_stay() -> None:
    text, tricks = plain("x" + "\u0323\u0301")
    assert len(text) == 3
    assert tricks == ()
    assert len(plain("x" + "\u0301" * 50)[0]) <= 2 + MAX_MARKS
