"""Between processes: a peer that is killed, stopped, or comes back with the same key."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from identity.did import PeerId
from node.net.libp2p_network import Libp2pNetwork
from node.net.port import PeerConnected, PeerDisconnected, PeerEvent
from node.net.settings import NetSettings
from tests.node.net.support import LOOPBACK, TOPIC, Inbox, real_with

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("child.py")
QUICK = NetSettings(ping_interval_s=0.3, ping_timeout_s=0.5, redial_first_s=0.2, redial_max_s=1.0)


class Child:
    """The process of child.py."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.addresses: list[str] = []

    async def read(self, kind: str) -> Any:
        """The next line of this kind; others are passed over."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while True:
                line = json.loads(await self.process.stdout.readline())
                if kind in line:
                    return line[kind]

    def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")


@contextlib.asynccontextmanager
async def child(seed: bytes, listen: str = LOOPBACK) -> AsyncIterator[Child]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), seed.hex(), listen, stdin=pipe, stdout=pipe
    )
    running = Child(process)
    try:
        running.addresses = await running.read("addresses")
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        assert process.stdout is not None
        await process.stdout.read()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined] # its pipes would warn at the end of the loop


class Events:
    def __init__(self, network: Libp2pNetwork) -> None:
        self._events = network.peer_events()

    async def next(self, kind: type[PeerEvent]) -> PeerId:
        async with asyncio.timeout(30):
            async for event in self._events:
                if isinstance(event, kind):
                    return event.peer_id
        raise AssertionError("the events ended")


def test_a_killed_peer_returns_with_its_key_and_hears_gossip() -> None:
    seed = os.urandom(32)

    async def main() -> None:
        async with real_with(QUICK) as network:
            events = Events(network)
            await network.subscribe(TOPIC, Inbox())
            for number in range(3):
                async with child(seed) as peer:
                    peer.write(f"dial {network.addresses()[0]}")
                    peer_id = await events.next(PeerConnected)
                    await network.publish(TOPIC, b"life %d" % number)
                    while await peer.read("heard") != f"life {number}":
                        pass  # what was published in the last seconds is replayed to a peer that comes
                    peer.process.send_signal(signal.SIGKILL)
                    assert await events.next(PeerDisconnected) == peer_id

    asyncio.run(main())


def test_a_killed_dial_target_is_dialled_again_at_its_port() -> None:
    seed = os.urandom(32)

    async def main() -> None:
        async with real_with(QUICK) as network:
            events, inbox = Events(network), Inbox()
            await network.subscribe(TOPIC, inbox)
            async with child(seed) as peer:
                address = peer.addresses[0]
                await network.dial(address)
                await events.next(PeerConnected)
            await events.next(PeerDisconnected)
            async with child(seed, address.partition("/p2p/")[0]) as peer:
                await events.next(PeerConnected)
                await network.publish(TOPIC, b"welcome back")
                assert await peer.read("heard") == "welcome back"
                peer.write("publish thanks")
                assert (await inbox.next()).data == b"thanks"

    asyncio.run(main())


def test_a_silent_peer_is_hung_up_on_and_found_again() -> None:
    async def main() -> None:
        async with real_with(QUICK) as network:
            events = Events(network)
            await network.subscribe(TOPIC, Inbox())
            async with child(os.urandom(32)) as peer:
                await network.dial(peer.addresses[0])
                peer_id = await events.next(PeerConnected)
                peer.process.send_signal(signal.SIGSTOP)
                assert await events.next(PeerDisconnected) == peer_id
                assert network.counters()["connections_silent"] >= 1
                peer.process.send_signal(signal.SIGCONT)
                assert await events.next(PeerConnected) == peer_id
                await network.publish(TOPIC, b"awake")
                assert await peer.read("heard") == "awake"

    asyncio.run(main())


def test_one_silent_subscriber_does_not_hold_up_the_others() -> None:
    settings = NetSettings(ping_interval_s=60)

    async def main() -> None:
        async with real_with(settings) as network, child(os.urandom(32)) as dead, child(os.urandom(32)) as live:
            events = Events(network)
            await network.subscribe(TOPIC, Inbox())
            for peer in (dead, live):
                await network.dial(peer.addresses[0])
                await events.next(PeerConnected)
            await network.publish(TOPIC, b"start")
            assert await live.read("heard") == "start"
            dead.process.send_signal(signal.SIGSTOP)
            text = b"x" * 15_000
            for number in range(150):  # 2 MB: many times the window of a stopped peer
                await network.publish(TOPIC, b"%d " % number + text)
            await network.publish(TOPIC, b"end")
            async with asyncio.timeout(30):
                while await live.read("heard") != "end":
                    pass
            dead.process.send_signal(signal.SIGCONT)

    asyncio.run(main())
