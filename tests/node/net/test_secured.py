import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.io.exceptions import ConnectionClosedError, DecryptionFailedException
from libp2p.peer.id import ID
from libp2p.security.noise.transport import Transport

from node.net.secured import MAX_PLAIN_BYTES, NoiseTransport, Session


class Raw:
    """A raw connection in memory that hands on at most `cut` bytes for one read."""

    def __init__(self) -> None:
        self.into, self._incoming = trio.open_memory_channel[bytes](1000)
        self.other: Raw | None = None
        self.cut = 10**9
        self._held = b""
        self.spoil = False

    async def read(self, n: int) -> bytes:
        if not self._held:
            try:
                self._held = await self._incoming.receive()
            except trio.EndOfChannel:
                return b""
        size = min(n, self.cut)
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def write(self, data: bytes) -> None:
        assert self.other is not None
        if self.spoil:
            data = data[:-1] + bytes([data[-1] ^ 1])
        await self.other.into.send(data)

    async def close(self) -> None:
        assert self.other is not None
        self.other.into.close()


async def sessions(cut: int, ours: type = NoiseTransport, theirs: type = NoiseTransport) -> tuple[Any, Any]:
    """Both ends of a secured connection."""
    keys = [create_new_key_pair() for _ in range(2)]
    transports = [
        kind(key, noise_privkey=new_noise_key().private_key) for kind, key in zip((ours, theirs), keys, strict=True)
    ]
    one, two = Raw(), Raw()
    one.other, two.other = two, one
    ends: dict[str, Any] = {}

    async def accept() -> None:
        ends["two"] = await transports[1].secure_inbound(two)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        ends["one"] = await transports[0].secure_outbound(one, ID.from_pubkey(keys[1].public_key))
    one.cut = two.cut = cut  # the handshake is the library's, which gives up after a hundred pieces
    return ends["one"], ends["two"]


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with trio.fail_after(20):
            await body()

    trio.run(main)


async def exactly(session: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await session.read(size - len(data))
    return data


@pytest.mark.parametrize(
    ("size", "cut"), [(1, 1), (100, 1), (MAX_PLAIN_BYTES, 1000), (MAX_PLAIN_BYTES + 1, 65536), (10**6, 10**9)]
)
def test_what_is_written_is_read(size: int, cut: int) -> None:
    content = os.urandom(size)

    async def body() -> None:
        one, two = await sessions(cut)
        await one.write(content)
        assert await exactly(two, size) == content
        await two.write(b"thanks")
        assert await exactly(one, 6) == b"thanks"

    run(body)


@pytest.mark.parametrize("we_dial", [False, True])
def test_the_library_understands_ours_and_is_understood(we_dial: bool) -> None:
    content = os.urandom(3 * MAX_PLAIN_BYTES)

    async def body() -> None:
        kinds = (NoiseTransport, Transport) if we_dial else (Transport, NoiseTransport)
        one, two = await sessions(10**9, *kinds)
        assert isinstance(one, Session) == we_dial
        assert isinstance(two, Session) != we_dial
        for sender, receiver in ((one, two), (two, one)):
            await sender.write(content)
            assert await exactly(receiver, len(content)) == content
        assert one.get_remote_peer() == two.get_local_peer()

    run(body)


def test_bytes_that_were_read_for_a_negotiation_are_not_lost() -> None:
    async def body() -> None:
        one, two = await sessions(10**9)
        await one.write(b"head and body")
        assert await two.read(5) == b"head "
        assert await two.receive() == [b"and body"]

    run(body)


def test_a_message_that_was_changed_is_refused() -> None:
    async def body() -> None:
        one, two = await sessions(10**9)
        one._raw.spoil = True
        await one.write(b"pay ann")
        with pytest.raises(DecryptionFailedException):
            await two.receive()

    run(body)


def test_a_connection_that_is_closed_says_so() -> None:
    async def body() -> None:
        one, two = await sessions(10**9)
        await one.close()
        with pytest.raises(ConnectionClosedError):
            await two.read(1)

    run(body)
