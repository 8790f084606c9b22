"""Whether two statements say the same, or contradict each other. Pure, by their words, in English.

Careful rather than clever: two facts that are wrongly merged are one lost, and a contradiction that is not there makes
both doubtful. What is not plainly so is neither.
"""

import re
from typing import Final, Literal

MAX_TOKENS: Final = 40
"""Of a statement that is compared. What is longer says several things."""

_MAX_DIFFERENCE: Final = 4
"""Words in which two contradicting statements differ."""

_LEAST_ABOUT: Final = 2
"""Words that say what both are about."""

_TOKEN: Final = re.compile(r"\d+(?:[.,:]\d+)*|\w+(?:[-/]\w+)*")
_ASIDE: Final = re.compile(r"\([^()]*\)")
_FILLERS: Final = frozenset(("the", "a", "an", "now", "also", "really", "just", "actually", "currently", "always"))
_NEGATIONS: Final = frozenset(
    ("not", "never", "no", "dont", "doesnt", "isnt", "arent", "wasnt", "cannot", "cant", "wont", "didnt")
)
_WITH_NEGATION: Final = frozenset(("do", "does", "did", "longer", "any", "anymore"))
_NUMBERS: Final = frozenset(
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "hundred")
)
_FAVOURITE: Final = frozenset(("favourite", "favorite"))
_STATES: Final = frozenset(
    """
    is are was were am be costs cost opens open closes close leaves leave starts start ends end weighs has have owns own
    lives live works work prefers prefer called named drives drive born takes take arrives at on in
    """.split()  # noqa: SIM905 - forty quoted words are harder to read
)
"""Words after which a value follows that a thing has once."""

_ONE_AT_A_TIME: Final = re.compile(
    r"\b(?:lives? in|works? (?:at|for|as)|prefers?|drives?|called|name is|born (?:in|on)"
    r"|birthday of \S+(?: \S+){0,2} is on|married to|am from)\b"
)
"""What comes before a value that excludes every other one, whatever it is."""

_ONLY_ONE: Final = re.compile(r"\b(?:(?:lives?|born) in|works? (?:at|for|as)|name is|(?:is|am) called|married to)\b")
"""The surest of them, which need no likeness besides."""

Relation = Literal["same", "contradicts"]


def relation(one: str, other: str) -> Relation | None:
    """What two statements are to each other, whichever is the newer; None where neither is plain."""
    a, b = _tokens(one), _tokens(other)
    if not a or not b or len(a) > MAX_TOKENS or len(b) > MAX_TOKENS:
        return None
    lower_a, lower_b = [word.lower() for word in a], [word.lower() for word in b]
    if lower_a == lower_b:
        return "same"
    plain_a, plain_b = _without_negation(lower_a), _without_negation(lower_b)
    if plain_a == plain_b and len(plain_a) >= 2:
        return "contradicts" if _negated(lower_a) != _negated(lower_b) else None
    if _negated(lower_a) or _negated(lower_b):
        return None
    if _another_value(a, b) or _another_of_one(*(_tokens(_ASIDE.sub(" ", text)) for text in (one, other))):
        return "contradicts"
    return None


def excludes(text: str) -> bool:
    """Whether a statement gives a value that excludes every other one, whatever else it says of the same thing."""
    return _ONLY_ONE.search(text.lower()) is not None


def _tokens(text: str) -> list[str]:
    said = text.replace("’", "'").replace("n't", "nt").replace("'m ", " am ").replace("'s ", "s ")
    said = re.sub(r"\bmoved to\b", "live in", said, flags=re.IGNORECASE)
    return [word for word in _TOKEN.findall(said) if word.lower() not in _FILLERS]


def _negated(words: list[str]) -> bool:
    return not _NEGATIONS.isdisjoint(words)


def _without_negation(words: list[str]) -> list[str]:
    if not _negated(words):
        return words
    return [word for word in words if word not in _NEGATIONS and word not in _WITH_NEGATION]


def _another_value(a: list[str], b: list[str]) -> bool:
    """Whether they say the same of the same thing but for one value, which is of one kind in both."""
    ahead = 0
    while ahead < min(len(a), len(b)) and a[ahead].lower() == b[ahead].lower():
        ahead += 1
    behind = 0
    while behind < min(len(a), len(b)) - ahead and a[-1 - behind].lower() == b[-1 - behind].lower():
        behind += 1
    value_a, value_b = a[ahead : len(a) - behind], b[ahead : len(b) - behind]
    before = [word.lower() for word in a[:ahead]]
    if len(before) < _LEAST_ABOUT or not 0 < len(value_a) <= _MAX_DIFFERENCE or not 0 < len(value_b) <= _MAX_DIFFERENCE:
        return False
    if _STATES.isdisjoint(before):
        return False
    if not _FAVOURITE.isdisjoint(before):
        return True
    return any(all(map(kind, value_a)) and all(map(kind, value_b)) for kind in (_is_number, str.istitle))


def _another_of_one(a: list[str], b: list[str]) -> bool:
    """Whether they name different values of what is one at a time, such as where somebody lives, of the same thing."""
    lower_a, lower_b = (" ".join(word.lower() for word in words) for words in (a, b))
    for match in _ONE_AT_A_TIME.finditer(lower_a):
        other = re.search(rf"\b{re.escape(match[0])}\b", lower_b)
        if other is None:
            continue
        about_a, about_b = lower_a[: match.start()].split(), lower_b[: other.start()].split()
        value_a, value_b = lower_a[match.end() :].split(), lower_b[other.end() :].split()
        if not value_a or not value_b or max(len(value_a), len(value_b)) > _MAX_DIFFERENCE:
            continue
        if _is_number(value_a[0]) != _is_number(value_b[0]):  # born in a place, and in a year
            continue
        shorter, longer = sorted((about_a, about_b), key=len)
        same = shorter in (longer[: len(shorter)], longer[len(longer) - len(shorter) :])
        if same and len(shorter) >= (1 if shorter == ["i"] else _LEAST_ABOUT) and value_a[0] != value_b[0]:
            return True
    return False


def _is_number(word: str) -> bool:
    return word[0].isdigit() or word.lower() in _NUMBERS
