"""Whether two bullets say the same: alike in meaning, and no word in one that turns the other around. Pure.

The embedder averages words, so "always verify" and "never verify" are nearly one to it. Merging what is not the same
loses a lesson; not merging what is the same costs a line. So the words have the last word: docs/decisions/red-lines.md
has the figures.
"""

import re
from functools import lru_cache
from typing import Final

MIN_LIKENESS: Final = 0.80
"""Cosine of two bullets from which they may say the same: measured, docs/decisions/red-lines.md."""

_TEXTS_KEPT: Final = 512
"""Texts whose words are remembered. A text of 4 KiB has 60 KiB of words: 30 MB, whatever authors write."""

_WORD: Final = re.compile(r"[^\W_]+")
_NOT: Final = re.compile(r"n['’]t\b")

_EMPTY: Final = frozenset(
    """
    a about all also always an and any are as at be been by can could do does each every for from has have i if in into
    is it its may must my of or our please shall should so than that the their them then these they this those to too
    was we were when where which who whoever whom whose will with would you your
    """.split()  # noqa: SIM905 - sixty quoted words are harder to read
)
"""Words that may differ without another meaning."""

_TURNING: Final = frozenset(
    """
    after before except first instead last least less more most neither never no nobody none nor not nothing off on only
    out over under unless until up without
    """.split()  # noqa: SIM905
)
"""Words that turn a sentence around, where only one of two has them."""


def says_the_same(a: str, b: str, likeness: float) -> bool:
    """Whether two texts of this cosine say the same: one may have more words, but no other ones, and no turning one."""
    if likeness < MIN_LIKENESS:
        return False
    words_a, words_b = meaning_words(a), meaning_words(b)
    only_a, only_b = words_a - words_b, words_b - words_a
    if any(word in _TURNING or any(map(str.isdigit, word)) for word in only_a | only_b):
        return False
    return not (only_a and only_b)


@lru_cache(maxsize=_TEXTS_KEPT)
def meaning_words(text: str) -> frozenset[str]:
    """The words that carry a text's meaning, without the usual endings."""
    words = (match[0] for match in _WORD.finditer(_NOT.sub(" not", text.casefold())))
    return frozenset(word if word in _TURNING else _stem(word) for word in words if word not in _EMPTY)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word
