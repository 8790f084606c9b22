"""A hostile peer: libp2p as it comes, without our patches, that writes whatever a test wants on a protocol."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import trio
from libp2p import new_host
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

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
