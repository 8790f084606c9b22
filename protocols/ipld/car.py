"""CARv1 files (https://ipld.io/specs/transport/car/carv1/): a header with the roots, then blocks with their CIDs.

A reader believes nothing: every length is checked before anything of that length is held, every block against its CID.
Whether the blocks make up the whole DAGs under the roots is for its caller to find out.
"""

from collections.abc import Sequence
from typing import Final

from identity.cid import Cid
from identity.errors import MalformedMultibase
from identity.multibase import MAX_VARINT_BYTES, decode_varint, encode_varint
from protocols import dag_cbor
from protocols.errors import LocalProtocolError, MalformedMessage, TooLarge
from protocols.ipld.dag_pb import any_cid
from protocols.limits import MAX_BLOCK_BYTES, MAX_CAR_HEADER_BYTES, MAX_CAR_ROOTS

_MAX_CID_BYTES: Final = 45
"""A CIDv1 with sha2-256: the version, a codec of up to nine bytes, and the hash of 34 bytes with its head."""

_SHA2_256_HEAD: Final = b"\x12\x20"


def car_header(roots: Sequence[Cid]) -> bytes:
    """What a CAR file begins with. Raises LocalProtocolError without roots, or with more than a reader here takes."""
    if not 1 <= len(roots) <= MAX_CAR_ROOTS:
        raise LocalProtocolError(f"a CAR file has 1 to {MAX_CAR_ROOTS} roots, not {len(roots)}")
    header = dag_cbor.encode({"roots": [bytes(root) for root in roots], "version": 1})
    return encode_varint(len(header)) + header


def car_section(cid: Cid, block: bytes) -> bytes:
    """A block as it stands in a CAR file."""
    name = bytes(cid)
    return b"".join((encode_varint(len(name) + len(block)), name, block))


class CarReader:
    """Reads a CAR file from pieces of any size. It holds one section of `max_block_bytes` at most, and the last piece.

    After an error it is of no use.
    """

    def __init__(self, max_block_bytes: int = MAX_BLOCK_BYTES) -> None:
        self._max_section_bytes = max_block_bytes + _MAX_CID_BYTES
        self._max_block_bytes = max_block_bytes
        self._unread = bytearray()
        self._roots: tuple[Cid, ...] | None = None

    @property
    def roots(self) -> tuple[Cid, ...]:
        """The roots that the file claims, all different; none as long as its header has not come in whole."""
        return self._roots or ()

    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[Cid, bytes]]:
        """Take the next bytes of the file; return the blocks that are complete with them, checked.

        Raises MalformedMessage or TooLarge.
        """
        self._unread += data
        blocks: list[tuple[Cid, bytes]] = []
        offset = 0
        while (section := self._section_at(offset)) is not None:
            start, offset = section
            with memoryview(self._unread) as view:
                content = bytes(view[start:offset])
            if self._roots is None:
                self._roots = _read_header(content)
            else:
                blocks.append(self._read_block(content))
        del self._unread[:offset]
        return blocks

    def finish(self) -> None:
        """The file is over. Raises MalformedMessage if it was cut short."""
        if self._unread or self._roots is None:
            raise MalformedMessage("the CAR file is cut short")

    def _section_at(self, offset: int) -> tuple[int, int] | None:
        """Where the section at `offset` begins and ends behind its length; None as long as it is not there whole."""
        head = bytes(self._unread[offset : offset + MAX_VARINT_BYTES])
        if len(head) < MAX_VARINT_BYTES and all(byte & 0x80 for byte in head):
            return None
        try:
            length, used = decode_varint(head)
        except MalformedMultibase as error:
            raise MalformedMessage("the CAR file has a section without a length") from error
        most = MAX_CAR_HEADER_BYTES if self._roots is None else self._max_section_bytes
        if length > most:
            raise TooLarge(f"the CAR file has a section of {length} bytes; at most {most} are read")
        end = offset + used + length
        return (offset + used, end) if end <= len(self._unread) else None

    def _read_block(self, section: bytes) -> tuple[Cid, bytes]:
        end = _cid_end(section)
        cid, block = any_cid(section[:end]), section[end:]
        if len(block) > self._max_block_bytes:
            raise TooLarge(f"the CAR file has a block of {len(block)} bytes; at most {self._max_block_bytes} are read")
        if not cid.matches(block):
            raise MalformedMessage(f"the CAR file has a block that is not {cid}")
        return cid, block


def _cid_end(section: bytes) -> int:
    """How long the CID is that a section begins with. Raises MalformedMessage if it is of a kind that is not read."""
    if section[:2] == _SHA2_256_HEAD:
        return 34
    try:
        version, offset = decode_varint(section)
        _, offset = decode_varint(section, offset)
    except MalformedMultibase as error:
        raise MalformedMessage("the CAR file has a section without a CID") from error
    if version != 1 or section[offset : offset + 2] != _SHA2_256_HEAD:
        raise MalformedMessage("the CAR file names a block by something else than a CID with a sha2-256 hash")
    return offset + 34


def _read_header(data: bytes) -> tuple[Cid, ...]:
    header = dag_cbor.parse(data, max_depth=3)
    if not isinstance(header, dict) or header.get("version") != 1 or isinstance(header["version"], bool):
        raise MalformedMessage("the file is not a CAR file of version 1; convert it with `ipfs dag export`")
    roots = header.get("roots")
    if header.keys() != {"version", "roots"} or not isinstance(roots, list):
        raise MalformedMessage("the header of the CAR file is not that of version 1")
    cids = [any_cid(link) for link in dag_cbor.links(data, max_depth=3)]
    if len(cids) != len(roots) or not all(isinstance(root, bytes) for root in roots):
        raise MalformedMessage("the header of the CAR file has a root that is no CID")
    if not 1 <= len(cids) <= MAX_CAR_ROOTS:
        raise MalformedMessage(f"the CAR file has {len(cids)} roots; 1 to {MAX_CAR_ROOTS} are read")
    return tuple(dict.fromkeys(cids))
