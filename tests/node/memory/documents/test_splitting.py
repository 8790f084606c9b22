"""Cutting texts: nothing is lost, nothing is too long, sentences stay whole."""

from hypothesis import given
from hypothesis import strategies as st

from node.memory.documents.splitting import FRAGMENT_CHARS, TARGET_CHARS, split_text

FACT = "The harbour bridge was painted green in 1931 by a crew of forty."
OTHER = "Aunt Vera eats Gouda on Sundays and never on any other day at all."


def test_paragraphs_are_pieces() -> None:
    assert split_text(f"{FACT}\n\n{OTHER}\n") == [FACT, OTHER]
    assert split_text(f"\r\n{FACT}\r\n \t\r\n\r\n{OTHER}") == [FACT, OTHER]
    assert split_text(f"{FACT}\n{OTHER}") == [f"{FACT} {OTHER}"]


def test_a_heading_goes_with_what_follows_and_a_last_fragment_with_what_precedes() -> None:
    assert split_text(f"Bridges\n\n{FACT}\n\n{OTHER}\n\nThe end.") == [f"Bridges {FACT}", f"{OTHER} The end."]
    assert split_text("short") == ["short"]
    assert split_text(" \n\n ") == []


def test_long_paragraphs_are_cut_between_sentences() -> None:
    pieces = split_text(" ".join([FACT, OTHER] * 20))
    assert len(pieces) > 2
    for piece in pieces:
        assert piece.endswith((FACT, OTHER))
        assert piece.startswith((FACT[:10], OTHER[:10]))
        assert TARGET_CHARS - len(OTHER) - 1 <= len(piece) + len(FACT) or piece is pieces[-1]


def test_a_sentence_that_is_too_long_is_cut_between_words_and_a_word_anywhere() -> None:
    assert split_text("aaaa bbbb cccc", target_chars=9) == ["aaaa bbbb", "cccc"]
    assert split_text("a" * 25, target_chars=10) == ["a" * 10, "a" * 10, "a" * 5]


@given(st.text(st.sampled_from("ab. \n\r\t!?é🚀"), max_size=400) | st.text(max_size=200), st.integers(1, 120))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, target_chars: int) -> None:
    pieces = split_text(text, target_chars=target_chars)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= target_chars for piece in pieces)
    assert all(piece == " ".join(piece.split()) for piece in pieces)


@given(st.lists(st.text("ab. ", max_size=300), max_size=8))
def test_only_the_last_piece_may_be_a_fragment(paragraphs: list[str]) -> None:
    pieces = split_text("\n\n".join(paragraphs))
    assert all(len(piece) >= FRAGMENT_CHARS for piece in pieces[:-1])
