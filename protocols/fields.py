"""Bounded reading of the members of a body that came from outside.

One reader for each shape that our own message bodies use. Every refusal is a MalformedMessage that names the
member, never its content. Members that nobody asks for are ignored, so that a later minor version may add some.

Which characters a text may hold is fixed by the tables here and not by Python's Unicode tables: two nodes with
different Python versions must accept the same messages.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from identity.did import Did, parse_did
from identity.errors import MalformedDid
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON implementation reads exactly (RFC 8259, section 6)."""

_INVISIBLE: Final = r"\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
"""Controls, line separators, bidirectional overrides and surrogates: they hide or reorder what a person reads."""

_NOT_IN_A_LINE: Final = re.compile(rf"[\x00-\x1f{_INVISIBLE}]")
_NOT_IN_TEXT: Final = re.compile(rf"[\x00-\x08\x0b-\x1f{_INVISIBLE}]")


def line(value: object, name: str, max_chars: int, *, min_chars: int = 1) -> str:
    """One line of text without control characters: a name, a tag, an address."""
    if not isinstance(value, str) or not min_chars <= len(value) <= max_chars or _NOT_IN_A_LINE.search(value):
        raise MalformedMessage(f"{name!r} is not {min_chars} to {max_chars} characters without control characters")
    return value


def lines(value: object, name: str, max_items: int, max_chars: int) -> tuple[str, ...]:
    """A list of such lines, each at most once."""
    items = tuple(line(item, name, max_chars) for item in sequence(value, name, max_items))
    if len(set(items)) != len(items):
        raise MalformedMessage(f"{name!r} names something twice")
    return items


def text(value: object, name: str, max_bytes: int, *, min_bytes: int = 0) -> str:
    """Text of several lines: line feeds and tabs are the only control characters. Bounds are in UTF-8 bytes."""
    if not isinstance(value, str) or len(value) > max_bytes or _NOT_IN_TEXT.search(value):
        raise MalformedMessage(f"{name!r} is not text of at most {max_bytes} bytes without control characters")
    if not min_bytes <= len(value.encode()) <= max_bytes:
        raise MalformedMessage(f"{name!r} is not {min_bytes} to {max_bytes} bytes")
    return value


def clean(value: str) -> str:
    """`value` without what `text` refuses, for text that people, files and models gave us: CR LF becomes LF."""
    return _NOT_IN_TEXT.sub("", value.replace("\r\n", "\n"))


def clean_and_cut(value: str, max_bytes: int) -> str:
    """`clean`, and cut to `max_bytes` of UTF-8 between two characters."""
    return clean(value).encode()[:max_bytes].decode(errors="ignore")


def sequence(value: object, name: str, max_items: int) -> list[object]:
    """A list of at most `max_items` of anything."""
    if not isinstance(value, list) or len(value) > max_items:
        raise MalformedMessage(f"{name!r} is not a list of at most {max_items}")
    return value


def mapping(value: object, name: str) -> Mapping[str, object]:
    """A map whose keys are text."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise MalformedMessage(f"{name!r} is not a map with text keys")
    return value


def integer(value: object, name: str, low: int, high: int = MAX_SAFE_INTEGER) -> int:
    """A whole number from `low` to `high`; `true` is not one."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise MalformedMessage(f"{name!r} is not a whole number from {low} to {high}")
    return value


def number(value: object, name: str, low: float, high: float) -> float:
    """A finite number from `low` to `high`; JSON may write it without a fraction."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise MalformedMessage(f"{name!r} is not a number from {low} to {high}")
    return float(value)


def finite(value: object, name: str, magnitude: float) -> float:
    """A float (not a whole number's type) of at most `magnitude`."""
    if not isinstance(value, float) or not math.isfinite(value) or abs(value) > magnitude:
        raise MalformedMessage(f"{name!r} is not a finite float of at most {magnitude:g}")
    return value


def flag(value: object, name: str) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise MalformedMessage(f"{name!r} is not true or false")
    return value


def did(value: object, name: str) -> Did:
    """A DID without fragment, path or query."""
    try:
        return parse_did(value) if isinstance(value, str) else parse_did("")
    except MalformedDid as error:
        raise MalformedMessage(f"{name!r} is not a DID") from error


Body = TypeVar("Body")


def sendable(read: Callable[[Body], object], body: Body) -> Body:
    """Return `body` if our own reader takes it. Raises LocalProtocolError: we were about to send nonsense."""
    try:
        read(body)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not fit to be sent: {error}") from error
    return body
