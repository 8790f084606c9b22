"""Cutting a text into pieces that are each worth a memory of their own. Pure.

A piece is a paragraph. Headings and other fragments go with what follows them; a paragraph that is too long is cut
between sentences, and only a sentence that is too long is cut between words.
"""

import re
from itertools import pairwise
from typing import Final

TARGET_CHARS: Final = 800
"""The greatest piece: about 200 tokens, so that a handful of them fits into a small model's prompt."""

FRAGMENT_CHARS: Final = 60
"""What is shorter says too little alone. Facts of a line each stay apart: an average over many is like none of them."""

_PARAGRAPH_BORDER: Final = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE_BORDER: Final = re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+")


def split_text(text: str, *, target_chars: int = TARGET_CHARS) -> list[str]:
    """The pieces in their order, each from 1 to `target_chars` characters, whitespace made single spaces."""
    pieces: list[str] = []
    waiting = ""
    for paragraph in _PARAGRAPH_BORDER.split(text.replace("\r\n", "\n").replace("\r", "\n")):
        joined = " ".join(f"{waiting} {paragraph}".split())
        if len(joined) < FRAGMENT_CHARS:
            waiting = joined
            continue
        pieces += _packed(joined, target_chars)
        waiting = ""
    if waiting and pieces and len(pieces[-1]) + 1 + len(waiting) <= target_chars:
        pieces[-1] += f" {waiting}"
    elif waiting:
        pieces += _packed(waiting, target_chars)
    return pieces


def _packed(paragraph: str, limit: int) -> list[str]:
    """One paragraph as few pieces as its sentences allow."""
    if len(paragraph) <= limit:
        return [paragraph]
    return _joined([part for sentence in _sentences(paragraph) for part in _cut(sentence, limit)], limit)


def _sentences(paragraph: str) -> list[str]:
    ends = [match.end() for match in _SENTENCE_BORDER.finditer(paragraph)]
    borders = [0, *ends, len(paragraph)]
    return [one for start, end in pairwise(borders) if (one := paragraph[start:end].strip())]


def _cut(sentence: str, limit: int) -> list[str]:
    """A sentence, or its words where it is too long, or slices of a word that is too long."""
    if len(sentence) <= limit:
        return [sentence]
    words = [word[start : start + limit] for word in sentence.split() for start in range(0, len(word), limit)]
    return _joined(words, limit)


def _joined(parts: list[str], limit: int) -> list[str]:
    """Neighbours together as long as they fit."""
    pieces: list[str] = []
    for part in parts:
        if pieces and len(pieces[-1]) + 1 + len(part) <= limit:
            pieces[-1] += f" {part}"
        else:
            pieces.append(part)
    return pieces
