"""DAG-JSON (https://ipld.io/specs/codecs/dag-json/spec/): JSON with bytes and links.

A value is None, bool, int, float, str, bytes, a Cid (a link), a list or a dict with keys of text. One value has one
encoding here, and `decode` refuses any other; `links` reads what others wrote in their own way, as the specification
asks, since only the block's hash counts there. Of floats and of control characters the specification does not say how
they are written, and implementations differ.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from identity.cid import Cid
from identity.errors import MalformedCid
from protocols import jsonguard
from protocols.errors import LocalProtocolError, MalformedMessage
from protocols.limits import MAX_BLOCK_BYTES

_MAX_INTEGER: Final = (1 << 64) - 1
"""What dag-cbor can hold, and other implementations with it."""

_SLASH: Final = "/"
_BYTES: Final = "bytes"

_Pairs = list[tuple[str, object]]


def encode(value: object) -> bytes:
    """The canonical bytes of a value. Raises LocalProtocolError if it has none."""
    try:
        return _text(value).encode()
    except (ValueError, RecursionError) as error:
        raise LocalProtocolError(f"not a dag-json value: {error}") from error


def decode(data: bytes, *, max_bytes: int, max_depth: int) -> object:
    """Read one value. Raises TooLarge or TooDeep before it is parsed, MalformedMessage unless it is canonical.

    `max_depth` counts the two objects of which bytes are made.
    """
    value = _parse(data, _value_of, max_bytes, max_depth)
    try:
        canonical = encode(value) == data
    except LocalProtocolError as error:
        raise MalformedMessage("not dag-json") from error
    if not canonical:
        raise MalformedMessage("dag-json that is not in its canonical form")
    return value


def links(data: bytes, *, max_depth: int) -> list[Cid]:
    """All links in a block, in their order. Raises TooLarge, TooDeep or MalformedMessage if it is not dag-json."""
    found: list[Cid] = []

    def collect(pairs: _Pairs) -> object:
        value = _value_of(pairs)
        if isinstance(value, Cid):
            found.append(value)
        return value

    _parse(data, collect, MAX_BLOCK_BYTES, max_depth)
    return found


def _parse(data: bytes, make: Callable[[_Pairs], object], max_bytes: int, max_depth: int) -> object:
    jsonguard.check_shape(data, max_bytes=max_bytes, max_depth=max_depth)
    try:
        return json.loads(
            data.decode(), object_pairs_hook=make, parse_int=_integer, parse_float=_number, parse_constant=_number
        )
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("not dag-json") from error


def _value_of(pairs: _Pairs) -> object:
    """An object of JSON: bytes, a link or a map. What stands in the reserved namespace and is neither is refused."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedMessage("dag-json in which a key stands twice")
    if not pairs or pairs[0][0] != _SLASH:
        return value
    inner = pairs[0][1]
    if isinstance(inner, str):
        if len(pairs) > 1:
            raise MalformedMessage("dag-json with a link that is more than a link")
        return _link(inner)
    if isinstance(inner, dict) and isinstance(text := inner.get(_BYTES), str) and next(iter(inner)) == _BYTES:
        if len(pairs) > 1 or len(inner) > 1:
            raise MalformedMessage("dag-json with bytes that are more than bytes")
        return _unbase64(text)
    return value


def _link(text: str) -> Cid:
    try:
        return Cid.parse(text)
    except MalformedCid as error:
        raise MalformedMessage("dag-json with a link that is not a CID with a sha2-256 hash") from error


def _unbase64(text: str) -> bytes:
    try:
        data = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise MalformedMessage("dag-json with bytes that are not base64") from error
    if _base64(data) != text:
        raise MalformedMessage("dag-json with bytes whose last character has bits too many")
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _integer(text: str) -> int:
    number = int(text)
    if not -_MAX_INTEGER - 1 <= number <= _MAX_INTEGER:
        raise MalformedMessage("dag-json with a number of more than 64 bits")
    return number


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedMessage("dag-json with a number that is infinite or none")
    return number


def _text(value: object) -> str:
    """The value as text. Raises ValueError if it cannot be written."""
    match value:
        case None | bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            if -_MAX_INTEGER - 1 <= value <= _MAX_INTEGER:
                return str(value)
            raise ValueError("a number of more than 64 bits")
        case float():
            return _float_text(value)
        case bytes():
            return f'{{"/":{{"bytes":"{_base64(value)}"}}}}'
        case Cid():
            return f'{{"/":"{value}"}}'
        case list() | tuple():
            return f"[{','.join(map(_text, value))}]"
        case dict():
            return _map_text(value)
        case _:
            raise ValueError(f"a {type(value).__name__}")


def _float_text(number: float) -> str:
    """The shortest digits, in the notation of ECMAScript's `Number::toString`, but with a point or an exponent."""
    if not math.isfinite(number):
        raise ValueError("a number that is infinite or none")
    digits, _, exponent = repr(number).partition("e")
    if number == 0 or 1e-6 <= abs(number) < 1e21:
        text = f"{Decimal(repr(number)):f}"
        return text if "." in text else text + ".0"
    return f"{digits}e{int(exponent):+d}"


def _map_text(value: dict[object, object]) -> str:
    keys = sorted(key for key in value if isinstance(key, str))
    if len(keys) != len(value):
        raise ValueError("a key that is no text")
    if keys and keys[0] == _SLASH:
        inner = value[_SLASH]
        if isinstance(inner, str) or (isinstance(inner, dict) and isinstance(inner.get(_BYTES), str) and _first(inner)):
            raise ValueError("a map that would be read as a link or bytes")
    return f"{{{','.join(f'{_text(key)}:{_text(value[key])}' for key in keys)}}}"


def _first(inner: dict[object, object]) -> bool:
    """Whether `bytes` comes first of the keys, in the order in which they are written."""
    return min(key for key in inner if isinstance(key, str)) == _BYTES
