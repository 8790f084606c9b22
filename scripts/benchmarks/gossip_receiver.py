"""The process that hears and answers in the benchmark `gossip`: `gossip_receiver.py ours|bare SEED_HEX COUNT`.

It writes JSON lines: its address, then what it heard.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.pubsub import pubsub as library
from libp2p.pubsub import rpc_queue
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from identity.cid import Cid
from identity.keys import KeyPair
from node.net.libp2p_network import open_network
from node.net.port import GossipMessage
from node.net.settings import NetSettings

TOPIC: Final = "pagi-bench"
ECHO: Final = "/pagi/bench-echo/1.0"
MESSAGE_BYTES: Final = 256
REQUEST_BYTES: Final = 1024
FLOOD: Final = 6000
PACED: Final = 400
PACE_S: Final = 0.005
IN_FLIGHT: Final = 64
LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
SETTINGS: Final = NetSettings(gossip_rate_per_s=1e9, gossip_burst=1e9)
QUIET_S: Final = 3.0
"""A receiver that has heard nothing for so long takes the rest for lost."""


class NoBlocks:
    def get(self, cid: Cid) -> bytes | None:
        return None

    def has(self, cid: Cid) -> bool:
        return False


def stamped() -> bytes:
    """A message that carries the time at which it is published; the clock is the same in both processes."""
    return time.monotonic_ns().to_bytes(8, "big").ljust(MESSAGE_BYTES, b".")


class Tally:
    """What the receiving process notes."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.arrivals: list[tuple[int, int]] = []

    def note(self, data: bytes) -> None:
        self.arrivals.append((int.from_bytes(data[:8], "big"), time.monotonic_ns()))

    @property
    def complete(self) -> bool:
        return len(self.arrivals) >= self.count

    @property
    def quiet(self) -> bool:
        return bool(self.arrivals) and time.monotonic_ns() - self.arrivals[-1][1] > QUIET_S * 1e9

    def report(self) -> str:
        flood = self.arrivals[PACED:] or self.arrivals
        delays_ms = sorted((arrived - sent) / 1e6 for sent, arrived in self.arrivals[:PACED])
        return json.dumps(
            {
                "received": len(self.arrivals),
                "seconds": (flood[-1][1] - flood[0][0]) / 1e9,
                "p50_ms": statistics.median(delays_ms),
                "p99_ms": delays_ms[int(len(delays_ms) * 0.99) - 1],
            }
        )


def say(kind: str, value: object) -> None:
    print(json.dumps({kind: value}), flush=True)


async def receive_ours(seed: bytes, count: int) -> None:
    tally = Tally(count)

    def take(message: GossipMessage) -> None:
        tally.note(message.data)

    async def echo(peer: str, payload: bytes) -> bytes:
        return payload

    async with open_network(KeyPair(seed), listen=[LISTEN], blocks=NoBlocks(), settings=SETTINGS) as network:
        await network.subscribe(TOPIC, take)
        await network.serve(ECHO, echo, max_request_bytes=65536, max_in_flight_per_peer=IN_FLIGHT)
        say("address", network.addresses()[0])
        while not tally.complete and not tally.quiet:  # noqa: ASYNC110 - a poll costs the same on both sides
            await asyncio.sleep(0.05)
        print(tally.report(), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def receive_bare(seed: bytes, count: int) -> None:
    tally = Tally(count)
    host, pubsub, services = bare_parts(seed)

    def take(forwarder: Any, message: Any) -> bool:
        tally.note(message.data)
        return True

    async def echo(stream: Any) -> None:
        await stream.write(await stream.read(REQUEST_BYTES))
        await stream.close()

    async with host.run(listen_addrs=[Multiaddr(LISTEN)]), services():
        pubsub.set_topic_validator(TOPIC, take, False)
        await pubsub.subscribe(TOPIC)
        host.set_stream_handler(ECHO, echo)
        say("address", f"{host.get_transport_addrs()[0]}/p2p/{host.get_id()}")
        while not tally.complete and not tally.quiet:  # noqa: ASYNC110 - a poll costs the same on both sides
            await trio.sleep(0.05)
        print(tally.report(), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


def bare_parts(seed: bytes) -> tuple[Any, Any, Callable[[], AbstractAsyncContextManager[None]]]:
    """A host of the library with a Pubsub under the same parameters as ours, and the context that runs both."""
    library.SUBSCRIPTION_CHANNEL_SIZE = 8192
    rpc_queue.RpcQueue.__init__.__defaults__ = (1024, rpc_queue.DefaultMaxMessageSize)
    host = new_host(key_pair=create_new_key_pair(seed))
    router = GossipSub(
        protocols=["/meshsub/1.1.0"],
        degree=6,
        degree_low=4,
        degree_high=12,
        heartbeat_interval=1,
        spam_protection_enabled=False,
        max_messages_per_topic_per_second=1e9,
        adaptive_gossip_enabled=False,
        eclipse_protection_enabled=False,
    )
    pubsub = library.Pubsub(host, router, strict_signing=True)
    pubsub.counter = time.time_ns()

    @contextlib.asynccontextmanager
    async def services() -> AsyncIterator[None]:
        async with background_trio_service(router), background_trio_service(pubsub):
            await pubsub.wait_until_ready()
            yield

    return host, pubsub, services


if __name__ == "__main__":
    kind, seed, count = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
    if kind == "ours":
        asyncio.run(receive_ours(seed, count))
    else:
        trio.run(receive_bare, seed, count)
