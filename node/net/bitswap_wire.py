"""Bitswap 1.2.0 messages: wants, blocks, and whether a block is there.

Sans-IO. Specification: https://specs.ipfs.tech/bitswap-protocol/. The message classes are the library's generated
ones; its own client is not used, since it answers on the stream that the requester opened (other implementations
listen on a stream that the answering side opens), stores blocks that nobody asked for, and asks by CIDs of its own.
"""

import hashlib
from collections.abc import Iterable, Mapping
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
"""Wants taken from one message; each may cost a read of the disk."""

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
    """What we use of a message. `blocks` are raw: their hashes are not computed yet."""

    wants: tuple[Want, ...]
    blocks: tuple[bytes, ...]
    missing: tuple[bytes, ...]
    present: tuple[bytes, ...]


def parse(frame: bytes) -> Incoming:
    """Read a message. Wants with a hash other than sha2-256 are left out. Raises MalformedMessage."""
    try:
        message = Message.FromString(frame)
    except DecodeError as error:
        raise MalformedMessage("not a bitswap message") from error
    if len(message.wantlist.entries) > MAX_WANTS:
        raise MalformedMessage("too many wants in one message")
    wants = []
    for entry in message.wantlist.entries:
        cid = read_cid(entry.block)
        if cid is not None and not entry.cancel:
            block = entry.wantType == Message.Wantlist.Block
            wants.append(Want(cid, entry.block, block, entry.sendDontHave))
    blocks = [*message.blocks, *(block.data for block in message.payload)]
    answers = message.blockPresences
    return Incoming(
        tuple(wants),
        tuple(blocks),
        tuple(answer.cid for answer in answers if answer.type == Message.DontHave),
        tuple(answer.cid for answer in answers if answer.type == Message.Have),
    )


def read_cid(key: bytes) -> Cid | None:
    """A CID in its binary form, version 0 or 1, or None if it is neither or has another hash."""
    if len(key) == 34 and key[:2] == _SHA2_256:
        return Cid(CODEC_DAG_PB, key[2:])
    try:
        return Cid.from_bytes(key)
    except MalformedCid:
        return None


def want_block(cid: Cid) -> bytes:
    """A framed message that asks for one block, or to be told that it is not there."""
    message = Message()
    message.wantlist.entries.add(block=bytes(cid), priority=1, wantType=Message.Wantlist.Block, sendDontHave=True)
    return encode_frame(message.SerializeToString())


def cancel_want(cid: Cid) -> bytes:
    """A framed message that takes a want back."""
    message = Message()
    message.wantlist.entries.add(block=bytes(cid), cancel=True)
    return encode_frame(message.SerializeToString())


def answer(blocks: Mapping[bytes, bytes], have: Iterable[bytes], missing: Iterable[bytes]) -> bytes:
    """A framed message with blocks, by the CIDs under which they were asked for, and with presences."""
    message = Message()
    for key, block in blocks.items():
        message.payload.add(prefix=_prefix(key), data=block)
    for key in have:
        message.blockPresences.add(cid=key, type=Message.Have)
    for key in missing:
        message.blockPresences.add(cid=key, type=Message.DontHave)
    return encode_frame(message.SerializeToString())


def digest_of(block: bytes) -> bytes:
    return hashlib.sha256(block).digest()


def _prefix(key: bytes) -> bytes:
    """The CID without its digest: version, codec, hash function and length (a version 0 CID is spelled out)."""
    return b"\x00" + encode_varint(CODEC_DAG_PB) + _SHA2_256 if key[:2] == _SHA2_256 else key[:-32]
