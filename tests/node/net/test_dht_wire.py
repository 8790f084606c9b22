"""Messages of the DHT: any bytes are read or refused, and what is read is bounded."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from node.net import dht_wire as wire
from protocols import limits
from protocols.errors import MalformedMessage
from protocols.framing import FrameDecoder

ADDRESS = b"\x04\x7f\x00\x00\x01\x06\x12\xc1"
ODD_ADDRESS = b"\x2a\x36\x03a/b"
TEXT = "/ip4/127.0.0.1/tcp/4801"
PEERS = st.builds(wire.Peer, st.builds(ID, st.binary(min_size=2, max_size=64)), st.just((ADDRESS,)))


def unframed(frame: bytes) -> bytes:
    (payload,) = FrameDecoder(10**6).feed(frame)
    return payload


@given(
    st.sampled_from(["put_value", "get_value", "add_provider", "get_providers", "find_node"]),
    st.binary(max_size=limits.MAX_DHT_KEY_BYTES),
    st.none() | st.binary(max_size=100),
    st.lists(PEERS, max_size=5, unique_by=lambda peer: peer.peer),
    st.lists(PEERS, max_size=5, unique_by=lambda peer: peer.peer),
)
def test_a_message_is_read_as_it_was_written(
    kind: wire.Kind, key: bytes, value: bytes | None, closer: list[wire.Peer], providers: list[wire.Peer]
) -> None:
    frame = wire.write(kind, key, value=value, closer=closer, providers=providers)
    assert wire.parse(unframed(frame)) == wire.Incoming(kind, key, value, tuple(closer), tuple(providers))


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        incoming = wire.parse(data)
        for peer in (*incoming.closer, *incoming.providers):
            wire.read_addresses(peer.addresses, peer.peer)


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_addresses_that_cannot_be_read_are_left_out(addresses: list[bytes]) -> None:
    peer = ID(b"\x12\x20" + bytes(32))
    read = wire.read_addresses([*addresses, ADDRESS], peer)
    assert f"{TEXT}/p2p/{peer.to_base58()}" in read
    assert all(address.endswith(f"/p2p/{peer.to_base58()}") for address in read)
    assert wire.write_addresses([f"{TEXT}/p2p/{peer.to_base58()}"], peer) == (ADDRESS,)


def test_an_address_whose_text_is_none_is_written_all_the_same() -> None:
    """A peer tells its addresses in binary; the library takes some that have a text which it does not read."""
    peer = ID(b"\x12\x20" + bytes(32))
    odd = Multiaddr(ODD_ADDRESS)
    with pytest.raises(MultiaddrError):
        Multiaddr(str(odd))
    whole = Multiaddr(f"{TEXT}/p2p/{peer.to_base58()}")
    assert wire.write_addresses([odd, whole, Multiaddr(f"/p2p/{peer.to_base58()}")], peer) == (ODD_ADDRESS, ADDRESS)


def test_lists_without_end_are_cut() -> None:
    message = Message(type="FIND_NODE", key=b"k")
    for number in range(1000):
        peer = message.closerPeers.add(id=b"\x12\x20" + number.to_bytes(32))
        peer.addrs.extend([ADDRESS] * 100)
    message.closerPeers[0].addrs.insert(0, b"x" * (limits.MAX_DHT_ADDRESS_BYTES + 1))
    read = wire.parse(message.SerializeToString())
    assert len(read.closer) == limits.MAX_DHT_PEERS
    assert all(len(peer.addresses) <= limits.MAX_DHT_ADDRESSES for peer in read.closer)
    assert all(address == ADDRESS for address in read.closer[0].addresses)


@pytest.mark.parametrize("number", [6, 99, -1])
def test_kinds_that_are_unknown_are_refused(number: int) -> None:
    with pytest.raises(MalformedMessage):
        wire.parse(b"\x08" + (number % 2**63).to_bytes(1 if number >= 0 else 8, "little"))
