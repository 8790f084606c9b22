"""JSON from outside: its size and depth are checked before a parser sees it.

The check runs over the bytes once and allocates no more than they take, whatever they hold.
"""

import re
from itertools import accumulate
from typing import Final

import orjson

from protocols.errors import MalformedMessage, TooDeep, TooLarge

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)
"""A string, or the rest of the text where its end is missing. It matches at every quote, so the scan stays linear."""

_STEPS: Final = bytes(0x01 if byte in b"[{" else 0xFF if byte in b"]}" else 0x00 for byte in range(256))
"""As signed bytes: an opening bracket is one step down, a closing one a step up."""

_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


def parse_json(data: bytes, *, max_bytes: int, max_depth: int) -> object:
    """Parse UTF-8 JSON (RFC 8259). Of a name that stands twice in one object, the last counts.

    Raises TooLarge, TooDeep or MalformedMessage.
    """
    check_shape(data, max_bytes=max_bytes, max_depth=max_depth)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedMessage("not JSON") from error


def check_shape(data: bytes, *, max_bytes: int, max_depth: int) -> None:
    """What is to be known before a parser sees JSON. Raises TooLarge or TooDeep."""
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes of JSON; {max_bytes} are allowed")
    # Brackets inside strings are counted too at first, which can only overestimate.
    if data.count(b"[") + data.count(b"{") > max_depth and _depth(data) > max_depth:
        raise TooDeep(f"JSON nested deeper than {max_depth}")


def _depth(data: bytes) -> int:
    """The depth of brackets outside strings. Text that is not JSON gives some number."""
    brackets = _STRING.sub(b"", data).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")), default=0)
