"""A hostile peer: libp2p as it comes, without our patches, that writes whatever a test wants on a protocol."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import trio
from libp2p import new_host
from libp2p.bitswap.pb.bitswap_pb2 import Message
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from identity.did import PeerId
from node.net import bitswap_wire
from node.net.port import Network
from protocols.framing import FrameDecoder

Deed = Callable[[Any, Any], Awaitable[None]]
"""What the peer does: it gets its host and the victim's peer ID."""


async def _run(address: str, deed: Deed) -> None:
    host = new_host()
    victim = info_from_p2p_addr(Multiaddr(address))
    async with host.run(listen_addrs=[]):
        await host.connect(victim)
        await deed(host, victim.peer_id)
        await host.disconnect(victim.peer_id)


async def as_raw_peer(address: str, deed: Deed) -> None:
    """Connect to `address` from a thread of its own, do the deed, and disconnect."""
    await asyncio.to_thread(trio.run, functools.partial(_run, address, deed))


def throwing(protocol: str, writes: Iterable[bytes]) -> Deed:
    """Write each of `writes` on a stream of its own, and end it."""

    async def deed(host: Any, victim: Any) -> None:
        for data in writes:
            try:
                stream = await host.new_stream(victim, [protocol])
                await stream.write(data)
                await stream.close_write()
                with trio.move_on_after(1):
                    while True:
                        await stream.read(65536)  # until the victim has ended it
            except BaseLibp2pError:
                continue

    return deed


def in_order(deeds: Sequence[Deed]) -> Deed:
    async def deed(host: Any, victim: Any) -> None:
        for one in deeds:
            await one(host, victim)

    return deed


@dataclass(frozen=True, slots=True)
class BitswapPeer:
    """A peer that does with the wants of its victim what a test likes."""

    host: Any
    victim: Any

    async def send(self, message: bytes) -> None:
        """Send a framed message, on a stream of its own. The victim may refuse it."""
        with contextlib.suppress(BaseLibp2pError):
            stream = await self.host.new_stream(self.victim, [bitswap_wire.PROTOCOL])
            await stream.write(message)
            await stream.close_write()

    async def vanish(self) -> None:
        await self.host.disconnect(self.victim)


Behaviour = Callable[[BitswapPeer, Any], Awaitable[None]]
"""What such a peer does with each message of its victim."""


@contextlib.asynccontextmanager
async def bitswap_peer(network: Network, behave: Behaviour, *, first: bytes = b"") -> AsyncIterator[PeerId]:
    """Connect such a peer to a network, send it the framed message `first`, and keep it connected; its peer ID."""
    ready, stop = threading.Event(), threading.Event()
    known = {info.peer_id for info in network.peers()}

    async def deed(host: Any, victim: Any) -> None:
        peer = BitswapPeer(host, victim)

        async def handle(stream: Any) -> None:
            decoder = FrameDecoder(bitswap_wire.MAX_MESSAGE_BYTES)
            with contextlib.suppress(BaseLibp2pError):
                while True:
                    for frame in decoder.feed(await stream.read(65536)):
                        await behave(peer, Message.FromString(frame))

        host.set_stream_handler(bitswap_wire.PROTOCOL, handle)
        ready.set()
        if first:
            await peer.send(first)
        await trio.to_thread.run_sync(stop.wait)

    life = asyncio.create_task(as_raw_peer(network.addresses()[0], deed))
    try:
        await asyncio.to_thread(ready.wait)
        async with asyncio.timeout(20):
            while not (new := {info.peer_id for info in network.peers()} - known):  # noqa: ASYNC110 - a test
                await asyncio.sleep(0.01)
        yield new.pop()
    finally:
        stop.set()
        await life
