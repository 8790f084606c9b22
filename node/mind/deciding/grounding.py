"""Whether what a model wrote can have come from the text that it was given. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

_WORD: Final = re.compile(r"[^\W_]+")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_EXPRESSION: Final = re.compile(r"[\d\s.()+*/%-]+")
_ADDRESS: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:|[^\s@]+@)\S+", re.IGNORECASE)
"""A DID, a URL or the like, an e-mail address."""

_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NAMES_OF_NUMBERS: Final = dict(
    zip(
        """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
        eighteen nineteen twenty
        """.split(),  # noqa: SIM905 - quoted words are harder to read
        range(21),
        strict=True,
    )
)


def is_grounded(value: Any, text: str) -> bool:
    """Whether a JSON value can have come from a text: a number that stands there, a text with a word of it, an
    address that stands there whole, an expression half of whose numbers do (a percentage brings a hundred).

    A switch has no words that could be found, so it counts as said. The sign of a number is not looked at.
    """
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        return abs(float(value)) in _numbers(text)
    if isinstance(value, str):
        lowered, words = text.lower(), _WORD.findall(value.lower())
        if _ADDRESS.fullmatch(value):
            return value.lower() in lowered  # a part of it is another address
        if _EXPRESSION.fullmatch(value):
            numbers, known = _NUMBER.findall(value), _numbers(text)
            return 2 * sum(float(number) in known for number in numbers) >= len(numbers)
        return not words or any(word in lowered for word in words)
    return all(is_grounded(one, text) for one in (value.values() if isinstance(value, Mapping) else value))


def _numbers(text: str) -> set[float]:
    named = {float(_NAMES_OF_NUMBERS[word]) for word in _WORD.findall(text.lower()) if word in _NAMES_OF_NUMBERS}
    return named | {float(found) for found in _NUMBER.findall(_THOUSANDS.sub("", text))}
