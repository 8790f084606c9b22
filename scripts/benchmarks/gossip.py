"""Gossip and requests between two processes on loopback: ours through the port, and libp2p as it comes.

Both sides sign and verify each message. The peer is py-libp2p with the same gossip parameters, native trio, no bridge
and no second loop; it takes messages in a synchronous validator and waits while its outbound queue is longer than 24.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Literal

import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from benchmarks.gossip_receiver import (
    ECHO,
    FLOOD,
    IN_FLIGHT,
    LISTEN,
    MESSAGE_BYTES,
    PACE_S,
    PACED,
    REQUEST_BYTES,
    SETTINGS,
    TOPIC,
    NoBlocks,
    bare_parts,
    stamped,
)
from benchmarks.table import Row
from identity.keys import KeyPair
from node.net.libp2p_network import open_network

Figure = Callable[[dict[str, float]], float]

REQUESTS: Final = 5000
BARE_REQUESTS: Final = 1000
ROOT: Final = Path(__file__).resolve().parents[2]


class Receiver:
    """The other process, from here."""

    def __init__(self, kind: str) -> None:
        program = str(Path(__file__).with_name("gossip_receiver.py"))
        command = [sys.executable, program, kind, os.urandom(32).hex(), str(PACED + FLOOD)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.address = str(self.read()["address"])

    def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line: dict[str, Any] = json.loads(self._process.stdout.readline())
        return line

    def end(self) -> None:
        self._process.communicate()


async def measure_ours() -> dict[str, float]:
    receiver = await asyncio.to_thread(Receiver, "ours")
    keys = KeyPair(os.urandom(32))
    async with open_network(keys, listen=[LISTEN], blocks=NoBlocks(), settings=SETTINGS) as network:
        await network.subscribe(TOPIC, lambda message: None)
        peer = await network.dial(receiver.address)
        for _ in range(PACED):
            await network.publish(TOPIC, stamped())
            await asyncio.sleep(PACE_S)
        for _ in range(FLOOD):
            await network.publish(TOPIC, stamped())
        figures = await asyncio.to_thread(receiver.read)
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def ask() -> None:
            async with gate:
                await network.request(peer, ECHO, bytes(REQUEST_BYTES))

        await ask()
        begun = perf_counter()
        await asyncio.gather(*(ask() for _ in range(REQUESTS)))
        figures["requests_per_s"] = REQUESTS / (perf_counter() - begun)
    await asyncio.to_thread(receiver.end)
    return figures


async def measure_bare() -> dict[str, float]:
    receiver = await trio.to_thread.run_sync(Receiver, "bare")
    host, pubsub, services = bare_parts(os.urandom(32))
    async with host.run(listen_addrs=[Multiaddr(LISTEN)]), services():
        await pubsub.subscribe(TOPIC)
        info = info_from_p2p_addr(Multiaddr(receiver.address))
        await host.connect(info)
        await pubsub.wait_for_subscription(info.peer_id, TOPIC)
        await pubsub.wait_for_mesh(info.peer_id, TOPIC)
        for _ in range(PACED):
            await pubsub.publish(TOPIC, stamped())
            await trio.sleep(PACE_S)
        for _ in range(FLOOD):
            while any(len(queue) > 24 for queue in pubsub.peer_queues.values()):  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.001)
            await pubsub.publish(TOPIC, stamped())
        figures = await trio.to_thread.run_sync(receiver.read)
        todo = itertools.count()

        async def ask() -> None:
            while next(todo) < BARE_REQUESTS:
                stream = await host.new_stream(info.peer_id, [ECHO])
                await stream.write(bytes(REQUEST_BYTES))
                await stream.read(REQUEST_BYTES)
                await stream.close()

        begun = perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(IN_FLIGHT):
                nursery.start_soon(ask)
        figures["requests_per_s"] = BARE_REQUESTS / (perf_counter() - begun)
        await host.disconnect(info.peer_id)
    await trio.to_thread.run_sync(receiver.end)
    return figures


def run() -> list[Row]:
    """Measure both, one after the other."""
    bare = trio.run(measure_bare)
    ours = asyncio.run(measure_ours())
    name = "py-libp2p, no bridge"

    def row(
        title: str, figure: Callable[[dict[str, float]], float], unit: str, better: Literal["higher", "lower"], aim: str
    ) -> Row:
        return Row(title, figure(ours), figure(bare), unit, name, better, aim)

    return [
        row(
            f"gossip {MESSAGE_BYTES} B, as fast as it goes",
            lambda figures: (figures["received"] - PACED) / figures["seconds"],
            "messages/s",
            "higher",
            "at least 0.9 of the peer",
        ),
        row("lost", lambda figures: PACED + FLOOD - figures["received"], "messages", "lower", "0"),
        row(f"delay at {1 / PACE_S:.0f}/s, p50", lambda figures: figures["p50_ms"], "ms", "lower", ""),
        row(f"delay at {1 / PACE_S:.0f}/s, p99", lambda figures: figures["p99_ms"], "ms", "lower", ""),
        Row(
            f"requests of {REQUEST_BYTES} B, {IN_FLIGHT} in flight",
            ours["requests_per_s"],
            bare["requests_per_s"],
            "requests/s",
            "py-libp2p, a stream each",
            "higher",
            "at least 1,000",
        ),
    ]
