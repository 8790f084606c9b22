"""Bitswap 1.2.0 messages: wants, blocks, and whether a block is there.

Sans-IO. Specification: https://specs.ipfs.tech/bitswap-protocol/. Messages are read by the library's generated classes
and written by hand: a block is copied once, not three times. The library's own client is not used, since it answers on
the stream that the requester opened (other implementations listen on a stream that the answering side opens), stores
blocks that nobody asked for, and asks by CIDs of its own.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from libp2p.bitswap.pb.bitswap_pb2 import Message

from identity.cid import Cid
from identity.errors import MalformedCid
from identity.multibase import CODEC_DAG_PB, encode_varint
from protocols.errors import MalformedMessage
from protocols.framing import encode_frame

PROTOCOL: Final = "/ipfs/bitswap/1.2.0"

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""A message of a peer: the bound that Kubo and Helia keep."""

MAX_WANTS: Final = 1024
"""Wants taken from one message; each may cost a read of the disk. As in Kubo, those beyond are passed over."""

MAX_BLOCKS: Final = 1024
"""Blocks in one message, and answers about blocks: nobody may be asked for more at once."""

DIGEST_BYTES: Final = 32
"""What a CID ends with, in each form that we read."""

_SHA2_256: Final = b"\x12\x20"


@dataclass(frozen=True, slots=True)
class Want:
    """A peer asks for a block, or only whether we have it. `key` is the CID as the peer wrote it."""

    cid: Cid
    key: bytes
    block: bool
    send_dont_have: bool


@dataclass(frozen=True, slots=True)
class Incoming:
    """What we use of a message. `blocks` are raw: their hashes are not computed yet. `full` tells that the wants
    replace all earlier ones; `refused` counts those that are garbage, have another hash, or are too many."""

    wants: tuple[Want, ...]
    cancels: tuple[bytes, ...]
    full: bool
    blocks: tuple[bytes, ...]
    missing: tuple[bytes, ...]
    present: tuple[bytes, ...]
    refused: int


def parse(frame: bytes) -> Incoming:
    """Read a message. Raises MalformedMessage."""
    try:
        message = Message.FromString(frame)
    except DecodeError as error:
        raise MalformedMessage("not a bitswap message") from error
    if max(len(message.blocks), len(message.payload), len(message.blockPresences)) > MAX_BLOCKS:
        raise MalformedMessage("too many blocks in one message")
    entries = message.wantlist.entries
    wants, cancels = [], []
    for entry in entries[:MAX_WANTS]:
        cid = read_cid(entry.block)
        if cid is None:
            continue
        if entry.cancel:
            cancels.append(entry.block)
        else:
            wants.append(Want(cid, entry.block, entry.wantType == Message.Wantlist.Block, entry.sendDontHave))
    return Incoming(
        tuple(wants),
        tuple(cancels),
        message.wantlist.full,
        (*message.blocks, *(block.data for block in message.payload)),
        tuple(answer.cid for answer in message.blockPresences if answer.type == Message.DontHave),
        tuple(answer.cid for answer in message.blockPresences if answer.type == Message.Have),
        len(entries) - len(wants) - len(cancels),
    )


def read_cid(key: bytes) -> Cid | None:
    """A CID in its binary form, version 0 or 1, or None if it is neither or has another hash."""
    if len(key) == 34 and key[:2] == _SHA2_256:
        return Cid(CODEC_DAG_PB, key[2:])
    try:
        return Cid.from_bytes(key)
    except MalformedCid:
        return None


def ask(wanted: Iterable[Cid], *, only_whether: bool = False) -> bytes:
    """A framed message that asks for blocks, or only whether they are there; and to be told which are not."""
    message = Message()
    kind = Message.Wantlist.Have if only_whether else Message.Wantlist.Block
    for cid in wanted:
        message.wantlist.entries.add(block=bytes(cid), priority=1, wantType=kind, sendDontHave=True)
    return encode_frame(message.SerializeToString())


def cancel(unwanted: Iterable[Cid]) -> bytes:
    """A framed message that takes wants back."""
    message = Message()
    for cid in unwanted:
        message.wantlist.entries.add(block=bytes(cid), cancel=True)
    return encode_frame(message.SerializeToString())


def answer(blocks: Mapping[bytes, bytes], have: Iterable[bytes], missing: Iterable[bytes]) -> bytes:
    """A framed message with blocks, by the CIDs under which they were asked for, and with presences."""
    parts: list[bytes] = []
    for key, block in blocks.items():
        head = _field(1, _prefix(key)) + b"\x12" + encode_varint(len(block))
        parts += (b"\x1a", encode_varint(len(head) + len(block)), head, block)
    for kind, keys in ((Message.Have, have), (Message.DontHave, missing)):
        parts += (_field(4, _field(1, key) + b"\x10" + encode_varint(kind)) for key in keys)
    return b"".join((encode_varint(sum(map(len, parts))), *parts))


def digests_of(blocks: Sequence[bytes]) -> list[bytes]:
    return [hashlib.sha256(block).digest() for block in blocks]


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value


def _prefix(key: bytes) -> bytes:
    """The CID without its digest: version, codec, hash function and length (a version 0 CID is spelled out)."""
    return b"\x00" + encode_varint(CODEC_DAG_PB) + _SHA2_256 if key[:2] == _SHA2_256 else key[:-32]
