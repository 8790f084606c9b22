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

_LINK_TAG: Final = 42


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


def parse(data: bytes, *, max_depth: int) -> object:
    """Read one value in which bytes may look like a CID, as others write them: it is not compared with its encoding.

    Raises TooLarge or TooDeep before it is parsed, MalformedMessage if it is not dag-cbor.
    """
    _check_shape(data, max_depth)
    try:
        value: object = decode_dag_cbor(data)
    except (ValueError, TypeError) as error:
        raise MalformedMessage("not dag-cbor") from error
    return value


def links(data: bytes, *, max_depth: int) -> list[bytes]:
    """The binary CIDs of all links in a value, in their order; bytes that look like one are none. Raises like `parse`.

    What is inside one of them is not looked at.
    """
    parse(data, max_depth=max_depth)
    return _check_shape(data, max_depth)


def _check_shape(data: bytes, max_depth: int) -> list[bytes]:
    """Bound nesting and number of items in one pass over the item heads, before a recursive parser sees them.

    Returns what stands behind each link's tag, without the byte that precedes the CID. In one loop, because every
    revision that comes in goes through it item by item.
    """
    links: list[bytes] = []
    tag = 0
    outer: list[int] = []
    left = 1
    offset, end = 0, len(data)
    for _ in range(limits.MAX_CBOR_ITEMS):
        if offset >= end:
            raise MalformedMessage("dag-cbor cut short")
        head = data[offset]
        argument = head & 31
        offset += 1
        if argument >= 24:
            argument, offset = _argument(data, offset, argument)
        head >>= 5
        if head == _TAG:
            tag = argument
            continue
        left -= 1
        if head in (_TEXT, _BYTES):
            if tag == _LINK_TAG and head == _BYTES:
                links.append(data[offset + 1 : offset + argument])
            offset += argument
        elif argument and head in (_MAP, _LIST):
            outer.append(left)
            if len(outer) > max_depth:
                raise TooDeep(f"dag-cbor nested more than {max_depth} deep")
            left = argument if head == _LIST else 2 * argument
            tag = 0
            continue
        tag = 0
        while not left:
            if not outer:
                return links
            left = outer.pop()
    raise TooLarge(f"dag-cbor of more than {limits.MAX_CBOR_ITEMS} items")


def _argument(data: bytes, offset: int, info: int) -> tuple[int, int]:
    """A head's argument that stands at `offset` behind it, and the next offset (RFC 8949, section 3)."""
    end = offset + (1 << (info - 24))
    if info > 27 or end > len(data):
        raise MalformedMessage("dag-cbor with an indefinite length, or cut short")
    return int.from_bytes(data[offset:end]), end
