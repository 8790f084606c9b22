"""DAG-CBOR, strict (IPLD specification, https://ipld.io/specs/codecs/dag-cbor/spec/).

One value has exactly one encoding, and any other is refused: what was signed can always be written again, byte for
byte. A link is given and returned as the `bytes` of its binary CID: the codec below writes whatever looks like a
binary CID as a link, so bytes that may look like one must not be put into a value.
"""

from typing import Final

from libipld import decode_dag_cbor, encode_dag_cbor

from protocols import limits
from protocols.errors import LocalProtocolError, MalformedMessage, TooDeep, TooLarge

_BYTES: Final = 2
_TEXT: Final = 3
_LIST: Final = 4
_MAP: Final = 5
_TAG: Final = 6


def encode(value: object) -> bytes:
    """The canonical bytes of a value. Raises LocalProtocolError if it has none (NaN, a key that is no text)."""
    try:
        return bytes(encode_dag_cbor(value))
    except (ValueError, TypeError, RecursionError) as error:
        raise LocalProtocolError(f"not a dag-cbor value: {error}") from error


def decode(data: bytes, *, max_bytes: int, max_depth: int) -> object:
    """Read one value. Raises TooLarge or TooDeep before it is parsed, MalformedMessage unless it is canonical."""
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes of dag-cbor; at most {max_bytes} are read")
    _check_shape(data, max_depth)
    try:
        value: object = decode_dag_cbor(data)
        canonical = encode_dag_cbor(value) == data
    except (ValueError, TypeError) as error:
        raise MalformedMessage("not dag-cbor") from error
    if not canonical:
        raise MalformedMessage("dag-cbor that is not in its canonical form")
    return value


def _check_shape(data: bytes, max_depth: int) -> None:
    """Bound nesting and number of items in one pass over the item heads, before a recursive parser sees them."""
    open_items: list[int] = []
    offset = 0
    for _ in range(limits.MAX_CBOR_ITEMS):
        major, argument, offset = _head(data, offset)
        if major == _TAG:
            continue
        if major in (_BYTES, _TEXT):
            offset += argument
        elif major in (_LIST, _MAP) and argument:
            open_items.append(argument if major == _LIST else 2 * argument)
            if len(open_items) > max_depth:
                raise TooDeep(f"dag-cbor nested more than {max_depth} deep")
            continue
        while open_items:
            open_items[-1] -= 1
            if open_items[-1]:
                break
            open_items.pop()
        if not open_items:
            return
    raise TooLarge(f"dag-cbor of more than {limits.MAX_CBOR_ITEMS} items")


def _head(data: bytes, offset: int) -> tuple[int, int, int]:
    """Major type, argument and next offset of the item at `offset` (RFC 8949, section 3)."""
    if offset >= len(data):
        raise MalformedMessage("dag-cbor cut short")
    major, info = data[offset] >> 5, data[offset] & 31
    if info < 24:
        return major, info, offset + 1
    end = offset + 1 + (1 << (info - 24))
    if info > 27 or end > len(data):
        raise MalformedMessage("dag-cbor with an indefinite length, or cut short")
    return major, int.from_bytes(data[offset + 1 : end]), end
