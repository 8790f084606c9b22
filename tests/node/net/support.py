"""What the tests of the network share: keys, blocks, and either kind of network behind one opener."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Protocol

from identity.cid import Cid
from identity.keys import KeyPair
from identity.multibase import CODEC_RAW
from node.net.libp2p_network import Libp2pNetwork, open_network
from node.net.port import GossipMessage, Network
from node.net.settings import NetSettings
from tests.node.net.fake import FakeSwarm

TOPIC = "pagi-test"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


class Blocks(dict[Cid, bytes]):
    """A block source in memory."""

    def put(self, block: bytes) -> Cid:
        cid = Cid.of(CODEC_RAW, block)
        self[cid] = block
        return cid

    def has(self, cid: Cid) -> bool:
        return cid in self


class Opener(Protocol):
    """Opens networks that can reach each other."""

    def __call__(
        self, keys: KeyPair | None = None, blocks: Blocks | None = None
    ) -> contextlib.AbstractAsyncContextManager[Network]: ...


def new_keys() -> KeyPair:
    return KeyPair(os.urandom(32))


def real(keys: KeyPair | None = None, blocks: Blocks | None = None) -> contextlib.AbstractAsyncContextManager[Network]:
    return open_network(keys or new_keys(), listen=[LOOPBACK], blocks=blocks if blocks is not None else Blocks())


@contextlib.asynccontextmanager
async def real_with(settings: NetSettings, keys: KeyPair | None = None) -> AsyncIterator[Libp2pNetwork]:
    async with open_network(keys or new_keys(), listen=[LOOPBACK], blocks=Blocks(), settings=settings) as network:
        yield network


def fakes() -> Opener:
    swarm = FakeSwarm()
    return lambda keys=None, blocks=None: swarm.open(keys or new_keys(), blocks if blocks is not None else Blocks())


class Inbox:
    """Collects the messages of a topic."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[GossipMessage] = asyncio.Queue()

    def __call__(self, message: GossipMessage) -> None:
        self.queue.put_nowait(message)

    async def next(self) -> GossipMessage:
        async with asyncio.timeout(20):
            return await self.queue.get()


async def until(network: Network, name: str, count: int = 1) -> None:
    """Wait until a counter has reached `count`."""
    async with asyncio.timeout(20):
        while network.counters().get(name, 0) < count:  # noqa: ASYNC110 - counters tell nobody that they grew
            await asyncio.sleep(0.01)
