"""Messages of the Kademlia DHT: what is asked, and what comes back.

Sans-IO. Specification: https://github.com/libp2p/specs/tree/master/kad-dht. The message classes are the library's
generated ones; its own server and client are not used (docs/decisions/content-routing.md says why).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from google.protobuf.message import DecodeError
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from identity.multibase import encode_varint
from protocols import limits
from protocols.errors import MalformedMessage
from protocols.framing import encode_frame

PROTOCOL: Final = "/ipfs/kad/1.0.0"

LAN_PROTOCOL: Final = "/ipfs/lan/kad/1.0.0"
"""The same protocol among peers of a private network, by which Kubo keeps these apart from the public ones."""

Kind = Literal["put_value", "get_value", "add_provider", "get_providers", "find_node", "ping"]

_KINDS: Final[tuple[Kind, ...]] = ("put_value", "get_value", "add_provider", "get_providers", "find_node", "ping")
"""By their numbers in the specification."""

_MAX_PEER_ID_BYTES: Final = 64

_P2P: Final = encode_varint(421)
"""The code of a peer ID in a binary multiaddr."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer in a message. `addresses` are binary multiaddrs, not parsed yet, without its peer ID."""

    peer: ID
    addresses: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Incoming:
    """What we use of a message; `value` is that of its record if it has one."""

    kind: Kind
    key: bytes
    value: bytes | None
    closer: tuple[Peer, ...]
    providers: tuple[Peer, ...]


def parse(frame: bytes) -> Incoming:
    """Read a message. Of its lists the first are taken, up to their bounds. Raises MalformedMessage."""
    try:
        message = Message.FromString(frame)
    except DecodeError as error:
        raise MalformedMessage("not a message of the DHT") from error
    if not 0 <= message.type < len(_KINDS) or len(message.key) > limits.MAX_DHT_KEY_BYTES:
        raise MalformedMessage("a message of the DHT of an unknown kind, or with too long a key")
    value = None
    if message.HasField("record"):
        value = message.record.value
        if message.record.key != message.key and message.type == _KINDS.index("put_value"):
            raise MalformedMessage("the record is of another key than its message")
    return Incoming(
        _KINDS[message.type], message.key, value, _peers(message.closerPeers), _peers(message.providerPeers)
    )


def write(
    kind: Kind,
    key: bytes,
    *,
    value: bytes | None = None,
    closer: Iterable[Peer] = (),
    providers: Iterable[Peer] = (),
) -> bytes:
    """A framed message."""
    message = Message(type=kind.upper(), key=key)
    if value is not None:
        message.record.key, message.record.value = key, value
    for there, peers in ((message.closerPeers, closer), (message.providerPeers, providers)):
        for peer in peers:
            there.add(id=peer.peer.to_bytes(), addrs=peer.addresses)
    return encode_frame(message.SerializeToString())


def read_addresses(addresses: Sequence[bytes], peer: ID) -> tuple[str, ...]:
    """Binary multiaddrs as text with `/p2p/<peer ID>`; those that cannot be read are left out."""
    suffix = f"/p2p/{peer.to_base58()}"
    texts = []
    for address in addresses:
        try:
            text = str(Multiaddr(address))
        except Exception:  # noqa: BLE001 - the library's parsers raise whatever they meet
            continue
        texts.append(text.removesuffix(suffix) + suffix)
    return tuple(dict.fromkeys(texts))


def write_addresses(addresses: Iterable[str | Multiaddr], peer: ID) -> tuple[bytes, ...]:
    """The reverse. Text must be good; an address that is not made from text need not have one that can be read."""
    name = peer.to_bytes()
    suffix = _P2P + encode_varint(len(name)) + name
    written = (Multiaddr(address) if isinstance(address, str) else address for address in addresses)
    return tuple(data for address in written if (data := address.to_bytes().removesuffix(suffix)))


def _peers(entries: Any) -> tuple[Peer, ...]:
    peers = {}
    for entry in islice(entries, limits.MAX_DHT_PEERS):
        if 2 <= len(entry.id) <= _MAX_PEER_ID_BYTES:
            given = islice(entry.addrs, limits.MAX_DHT_ADDRESSES)
            addresses = tuple(address for address in given if len(address) <= limits.MAX_DHT_ADDRESS_BYTES)
            peers[entry.id] = Peer(ID(entry.id), addresses)
    return tuple(peers.values())
