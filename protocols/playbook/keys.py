"""The dotted keys of settings: TOML's own notation (TOML 1.0, "Keys"), in the one form that each path has.

A word of letters, digits, `_` and `-` stands bare and anything else in quotes, so that every key of a TOML file has a
name here: `filters.pre_execution`, `filters."C:\\\\temp"`.
"""

import re
from collections.abc import Sequence
from typing import Final

from protocols import fields, limits
from protocols.errors import MalformedMessage

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SEGMENT: Final = re.compile(r'([A-Za-z0-9_-]+)|"((?:[^"\\]|\\["\\])*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_TO_ESCAPE: Final = re.compile(r'(["\\])')

MAX_CHARS: Final = limits.MAX_KEY_SEGMENTS * (2 * limits.MAX_KEY_SEGMENT_CHARS + 3)
"""The longest key: every character escaped, each segment in quotes and with a dot."""


def join_key(path: Sequence[str]) -> str:
    """The dotted key of a path. Raises MalformedMessage if the path is empty or out of bounds."""
    if not 1 <= len(path) <= limits.MAX_KEY_SEGMENTS:
        raise MalformedMessage(f"a setting's key has 1 to {limits.MAX_KEY_SEGMENTS} words joined by '.'")
    return ".".join(written(fields.line(part, "key", limits.MAX_KEY_SEGMENT_CHARS, min_chars=0)) for part in path)


def split_key(key: str) -> tuple[str, ...]:
    """The path of a dotted key. Raises MalformedMessage unless `join_key` gives `key` again."""
    path: list[str] = []
    offset = 0
    while len(key) <= MAX_CHARS and len(path) <= limits.MAX_KEY_SEGMENTS:
        match = _SEGMENT.match(key, offset)
        if match is None:
            break
        path.append(match[1] if match[1] is not None else _ESCAPED.sub(r"\1", match[2]))
        offset = match.end() + 1
        if key[match.end() : offset] != ".":
            break
    if offset != len(key) + 1 or join_key(path) != key:
        raise MalformedMessage("'key' is not up to 8 words joined by '.', with quotes around those that need them")
    return tuple(path)


def written(part: str) -> str:
    """One key of TOML: bare where it can be. `part` holds no control characters."""
    return part if _BARE.fullmatch(part) else '"' + _TO_ESCAPE.sub(r"\\\1", part) + '"'
