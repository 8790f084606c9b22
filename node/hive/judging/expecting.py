"""What the answer to a check must hold: text, a number, a /regular expression/, or a good answer's gist. Pure.

A number may say how far off an answer may be: `450 ± 2`, or `450 ± 0.5%`.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self

from node.hive.judging.alike import meaning_words
from node.hive.judging.errors import CheckUnusable
from node.red_lines.errors import RedLineUnusable
from node.red_lines.patterns import Pattern
from node.red_lines.plain import reading
from protocols import fields, limits
from protocols.errors import MalformedMessage

MAX_EXPECTED_BYTES: Final = 1024
"""A fact, not a document."""

_NUMBER: Final = re.compile(r"(?<![\w.])-?\d{1,18}(?:\.\d{1,18})?(?![\w.]*\d)")
_WITHIN: Final = re.compile(r"(-?\d{1,18}(?:\.\d{1,18})?)(?: *(?:±|\+-) *(\d{1,18}(?:\.\d{1,18})?)( *%)?)?")
_SAME_NUMBER: Final = 1e-9
"""Relative difference up to which two numbers are the same."""

MIN_COVERAGE: Final = 2 / 3
"""Share of a good answer's words that another answer to the same goal must hold, as memories must hold a goal's."""

_SOURCE: Final = re.compile(r"\n\(from [^\n]*\Z")
"""The line in which an answer names its source."""

_WORD: Final = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an answer is compared with.

    A text must be in it word by word, capitals and signs apart; of a gist MIN_COVERAGE of the words that carry meaning.
    """

    kind: Literal["text", "number", "pattern", "gist"]
    text: str

    @classmethod
    def of(cls, expected: str) -> Self:
        """Read what the owner wrote. Raises CheckUnusable."""
        try:
            expected = fields.text(expected.strip(), "expected", MAX_EXPECTED_BYTES, min_bytes=1)
        except MalformedMessage as error:
            raise CheckUnusable(f"what is expected has 1 to {MAX_EXPECTED_BYTES} bytes") from error
        if len(expected) > 2 and expected[0] == expected[-1] == "/":
            try:
                Pattern(expected[1:-1])
            except RedLineUnusable as error:
                raise CheckUnusable(str(error)) from error
            return cls("pattern", expected[1:-1])
        if _WITHIN.fullmatch(expected):
            return cls("number", expected)
        if not _WORD.search(reading(expected)):
            raise CheckUnusable("what is expected holds no word and no number")
        return cls("text", expected)

    @classmethod
    def of_history(cls, answer: str) -> Self:
        """What an answer that was good is to hold again, without its source. Raises CheckUnusable."""
        text = fields.clean_and_cut(_SOURCE.sub("", answer).strip(), MAX_EXPECTED_BYTES).strip()
        if not meaning_words(text):
            raise CheckUnusable("the answer holds no word that carries meaning")
        return cls("gist", text)

    def met_by(self, answer: str) -> bool:
        """Whether an answer holds it."""
        answer = answer[: limits.MAX_ANSWER_BYTES]
        match self.kind:
            case "pattern":
                return Pattern(self.text).found_in(answer)
            case "number":
                wanted, close = _within(self.text)
                # 1,200 and 1'200 are one number; so are 2 and 2.0.
                plain = re.sub(r"(?<=\d)[,'’\u202f](?=\d{3}\b)", "", answer)
                return any(abs(float(found[0]) - wanted) <= close for found in _NUMBER.finditer(plain))
            case "gist":
                words = meaning_words(self.text)
                return len(words & meaning_words(answer)) >= MIN_COVERAGE * len(words)
            case "text":
                return f" {_spaced(self.text)} " in f" {_spaced(answer)} "


def _within(text: str) -> tuple[float, float]:
    """The number of an expectation, and how far from it an answer may be."""
    match = _WITHIN.fullmatch(text)
    assert match is not None
    wanted, margin = float(match[1]), float(match[2] or 0)
    return wanted, max(_SAME_NUMBER * max(1.0, abs(wanted)), margin * abs(wanted) / 100 if match[3] else margin)


def _spaced(text: str) -> str:
    return " ".join(_WORD.findall(reading(text)))
