"""The rule behind several sums: what stays the same in all of them, with names for what differs. Pure.

Where the owner's reasons are sums, the rule need not be guessed: their least general generalisation (Plotkin, 1970)
has the numbers that are the same in all of them, and a name for each one that stands in the question. The name is the
word that follows the number there, or its place: `4 + 12 * 2.5` for 12 km and `4 + 7 * 2.5` for 7 km make
`4 + km * 2.5`. A coincidence of few questions can be wrong; so whatever comes of this is tried like any other rule.

Such a rule begins with a question that has gaps, and is for questions like it alone: what a small model is given it
follows, also where it is about something else.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.mind.relevance import salient_words

MIN_EXAMPLES: Final = 2

MAX_CHARS: Final = 500
"""Of a question, and of a sum: what is longer is not read."""

MIN_ABOUT: Final = 0.6
"""The share of the salient words of a rule's question that a question must hold for the rule to be about it."""

MIN_WORDS: Final = 3
"""Words that a question must have in common with another one: without them nothing says what the rule is about."""

FUNCTIONS: Final = ("round", "floor", "ceil", "sqrt", "min", "max", "abs")

_TOKEN: Final = re.compile(rf"\s*(?:(\d+(?:\.\d+)?)|({'|'.join(FUNCTIONS)})(?=\s*\()|(\*\*|//|[-+*/%(),]))")
_NUMBER: Final = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?")
_WORD: Final = re.compile(r"[^\W\d_]+")
_GAP: Final = "…"
_IT_IS: Final = " It is "
_SEVERAL_GAPS: Final = re.compile(r"…(?:[\s,;:'’/-]*…)+")
_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth")
_NO_UNITS: Final = frozenset(("a", "an", "and", "are", "at", "by", "do", "for", "from", "in", "is", "of", "on", "to"))
_TIGHT_AFTER: Final = frozenset("(")
_TIGHT_BEFORE: Final = frozenset("),")


@dataclass(frozen=True, slots=True)
class Example:
    """A question, and the sum that answers it: `100 * 0.38 + (254 - 100) * 0.22`."""

    question: str
    sum: str


@dataclass(frozen=True, slots=True)
class _Read:
    """A sum in its parts. `shape` has None for each of the `numbers`; `given` are those of the question, named."""

    question: str
    shape: tuple[str | None, ...]
    numbers: tuple[float, ...]
    given: tuple[tuple[float, frozenset[str]], ...]


def rule_of(examples: Sequence[Example]) -> str | None:
    """The rule that these are examples of, or of most of them; None if they have none in common."""
    read = [one for one in map(_read, examples) if one is not None]
    if len(read) < MIN_EXAMPLES:
        return None
    shape, count = Counter(one.shape for one in read).most_common(1)[0]
    alike = [one for one in read if one.shape == shape]
    expression = _generalised(alike) if count >= MIN_EXAMPLES else None
    subject = _subject([one.question for one in alike])
    if expression is None or subject is None:
        return None
    return f"{subject}{_IT_IS}{expression}."


def is_about(rule: str, question: str) -> bool:
    """Whether a rule that was made here is about a question; any other rule may be."""
    subject, made_here, _ = rule.rpartition(_IT_IS)
    if not made_here or _GAP not in subject:
        return True
    words = salient_words(subject)
    return not words or len(words & salient_words(question)) / len(words) >= MIN_ABOUT


def _read(example: Example) -> _Read | None:
    text = example.sum.strip().rstrip(".=").rstrip()
    question = " ".join(example.question.split())
    if not text or max(len(text), len(question)) > MAX_CHARS:
        return None
    shape: list[str | None] = []
    numbers: list[float] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        place = match.end()
        if match[1] is not None:
            numbers.append(float(match[1]))
        shape.append(None if match[1] is not None else match[2] or match[3])
    if len(shape) < 2 or not numbers:
        return None
    return _Read(question, tuple(shape), tuple(numbers), tuple(_given(question)))


def _given(question: str) -> Iterator[tuple[float, frozenset[str]]]:
    """The numbers of a question, each with all the names that are its alone."""
    found = list(_NUMBER.finditer(question))[: len(_ORDINALS)]
    units = [_unit(question[match.end() :]) for match in found]
    for number, (match, unit) in enumerate(zip(found, units, strict=True)):
        names = {"the number" if len(found) == 1 else f"the {_ORDINALS[number]} number"}
        if unit is not None and units.count(unit) == 1:
            names.add(unit)
        yield float(match[0].replace(",", "")), frozenset(names)


def _unit(behind: str) -> str | None:
    """The word that follows a number."""
    match = re.match(r" ?(?:(%)|(°?[^\W\d_]+))", behind)
    if match is None or match[2] in _NO_UNITS:
        return None
    return "percent" if match[1] else match[2]


def _generalised(alike: Sequence[_Read]) -> str | None:
    """The expression with a name for each number that differs; None if one of these stands in no question."""
    parts: list[str] = []
    slots = iter(range(len(alike[0].numbers)))
    is_general = False
    for token in alike[0].shape:
        if token is not None:
            parts.append(token)
            continue
        slot = next(slots)
        values = [one.numbers[slot] for one in alike]
        if len(set(values)) == 1:
            parts.append(f"{values[0]:.15g}")
            continue
        name = _name([[names for given, names in one.given if given == one.numbers[slot]] for one in alike])
        if name is None:
            return None
        is_general = True
        parts.append(name)
    return _joined(parts) if is_general else None


def _name(called: Sequence[Sequence[frozenset[str]]]) -> str | None:
    """A name that a number has in all questions: the word behind it rather than its place."""
    common = frozenset.intersection(*(frozenset().union(*names) for names in called))
    return min(common, key=lambda name: (name.endswith(" number"), name), default=None)


def _joined(parts: Sequence[str]) -> str:
    text = ""
    for part in parts:
        tight = not text or part in _TIGHT_BEFORE or text[-1] in _TIGHT_AFTER
        called = part == "(" and text.split(" ")[-1].lstrip("(") in FUNCTIONS
        text += part if tight or called else f" {part}"
    return text


def _subject(questions: Sequence[str]) -> str | None:
    """The question that has most in common with the others, with gaps for its numbers and for the words of its own."""
    words = Counter(word for question in questions for word in {each.lower() for each in _WORD.findall(question)})
    shared = {word for word, count in words.items() if count > 1}
    subject = max((_with_gaps(question, shared) for question in questions), key=_words)
    if _words(subject) < MIN_WORDS:
        return None
    return subject if subject.endswith(("?", ".", "!")) else f"{subject}:"


def _with_gaps(question: str, shared: Collection[str]) -> str:
    gaps = _WORD.sub(lambda match: match[0] if match[0].lower() in shared else "…", _NUMBER.sub("…", question))
    return _SEVERAL_GAPS.sub(_GAP, gaps)


def _words(text: str) -> int:
    return len(_WORD.findall(text))
