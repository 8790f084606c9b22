"""Text without what the eye does not see: the tricks that hide words from a reader, named and undone. Pure.

What is normalised is only what cannot carry meaning to a person: controls, invisible and tag characters, marks piled
on one letter, compatibility forms of letters. Letters of other alphabets stay as they are, also where they stand in
one word with Latin ones: the mixing is named, and the comparison with red lines reads through it (red_lines/plain.py).
"""

import re
import unicodedata
from typing import Final

MAX_MARKS: Final = 4
"""Combining marks on one letter that are kept: Vietnamese needs two, pointed Hebrew three, Zalgo fifty."""

_BIDI: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TAGS: Final = re.compile("[\U000e0000-\U000e007f]+")
_TAGGED_FLAG: Final = re.compile("\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{1,8}\U000e007f")
_SELECTORS: Final = re.compile("[\ufe00-\ufe0d\U000e0100-\U000e01ef]+")
_ZERO_WIDTH: Final = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]+"
)
_JOINERS: Final = re.compile("(?<![\u0600-\u06ff\u0900-\u0dff\U0001f000-\U0001faff\u2600-\u27bf\ufe0f])[\u200c\u200d]+")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff]+")
_LINE_ENDS: Final = re.compile("\r\n?|[\u2028\u2029\x85]")
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,1024}(?:\x07|\x1b\\)?)")
_WORD: Final = re.compile(r"[^\W\d_]{2,64}")
_LATIN: Final = re.compile("[A-Za-z]")
_LOOKALIKE: Final = re.compile("[\u0370-\u03ff\u0400-\u052f\u0531-\u058f\u13a0-\u13ff\u1c80-\u1c8f]")
_FORMS: Final = re.compile("[\uff01-\uff5e\U0001d400-\U0001d7ff\u2460-\u24ff\U0001f100-\U0001f1e5\u2100-\u214f]")


def plain(text: str) -> tuple[str, tuple[str, ...]]:
    """The text as a reader sees it, and the names of the tricks that were in it.

    Takes time in proportion to the text. Plain ASCII comes back as it is.
    """
    if text.isascii() and not _CONTROLS.search(text) and "\r" not in text:
        return text, ()
    found: list[str] = []

    def without(name: str, pattern: re.Pattern[str], by: str = "") -> None:
        nonlocal text
        text, count = pattern.subn(by, text)
        if count:
            found.append(name)

    text = _LINE_ENDS.sub("\n", text)
    without("terminal escapes", _ESCAPES)
    flags = _TAGGED_FLAG.findall(text)
    text = _TAGGED_FLAG.sub("\U0001f3f4", text) if flags else text
    without("tag characters", _TAGS)
    without("bidirectional controls", _BIDI)
    without("variation selectors", _SELECTORS)
    without("zero-width characters", _ZERO_WIDTH)
    without("joiners inside words", _JOINERS)
    without("control characters", _CONTROLS)
    text, marked = _without_piles(unicodedata.normalize("NFC", text))
    if marked:
        found.append("piled marks")
    if _FORMS.search(text):
        found.append("letters in disguise")
        text = _FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    if any(_LATIN.search(word) and _LOOKALIKE.search(word) for word in _mixed(text)):
        found.append("alphabets mixed in a word")
    return text, tuple(found)


def _mixed(text: str) -> list[str]:
    """Words that could mix alphabets: none where the text has only one."""
    return _WORD.findall(text) if _LOOKALIKE.search(text) and _LATIN.search(text) else []


def _without_piles(text: str) -> tuple[str, bool]:
    """At most MAX_MARKS marks in a row."""
    if not any(unicodedata.combining(char) for char in set(text)):
        return text, False
    kept: list[str] = []
    run = 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me") else 0
        if run <= MAX_MARKS:
            kept.append(char)
    return "".join(kept), len(kept) < len(text)
