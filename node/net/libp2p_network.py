"""The asyncio side of the network: the port over one thread that runs libp2p, and the supervisor of that thread.

Everything that must survive a restart of the thread is kept here: topics, services, dial targets, ports, counters.
Importing this module does not import libp2p; its thread does.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from identity.cid import Cid
from identity.did import PeerId, peer_id
from identity.errors import PagiError
from identity.keys import KeyPair
from node.net.bridge import TrioThread
from node.net.counters import Counters
from node.net.errors import BlockNotFound, MalformedAddress, MessageTooLarge, NetworkDown
from node.net.port import (
    BlockSource,
    GossipHandler,
    GossipMessage,
    Handler,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerInfo,
    Provider,
)
from node.net.settings import NetSettings
from node.net.spared_imports import spare_http_clients
from node.net.streams import MAX_FRAME_BYTES
from protocols import limits

if TYPE_CHECKING:
    from node.net.core import Core
    from node.net.dht_records import DhtRecords
    from node.net.responder import Slot

logger = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_S: Final = 6.0
"""Time for the thread to say goodbye to its peers and end."""

HANDLER_S: Final = 60.0
"""Time for one request to be answered by its handler."""

MAX_TARGET_ADDRESSES: Final = 4
"""Addresses kept for one dial target, the newest first."""

MAX_EVENTS: Final = 1024
"""Peer events that wait for one reader; a reader that is slower misses the oldest."""


@dataclass(frozen=True, slots=True)
class _Service:
    handler: Handler
    max_request_bytes: int
    max_in_flight_per_peer: int


@contextlib.asynccontextmanager
async def open_network(
    keys: KeyPair, *, listen: Sequence[str], blocks: BlockSource, settings: NetSettings | None = None
) -> "AsyncIterator[Libp2pNetwork]":
    """Run the network while the context is open. `listen` are multiaddrs such as `/ip4/127.0.0.1/tcp/0`.

    Raises AddressInUse, CannotListen or MalformedAddress if it cannot listen on each of them.
    """
    network = Libp2pNetwork(keys, listen, blocks, settings or NetSettings())
    await network._start()
    supervisor = asyncio.create_task(network._supervise())
    try:
        yield network
    finally:
        supervisor.cancel()
        await network._close()
        await asyncio.wait({supervisor})


class Libp2pNetwork:
    """A `Network` over libp2p. Made by `open_network`."""

    def __init__(self, keys: KeyPair, listen: Sequence[str], blocks: BlockSource, settings: NetSettings) -> None:
        self.peer_id: Final = peer_id(keys.public)
        self._keys = keys
        self._listen = tuple(listen)
        self._blocks = blocks
        self._settings = settings
        self._counters = Counters()
        self._thread: TrioThread | None = None
        self._core: Core | None = None
        self._dht_records: DhtRecords | None = None
        self._closing = False
        self._topics: dict[str, GossipHandler] = {}
        self._services: dict[str, _Service] = {}
        self._targets: dict[PeerId, list[str]] = {}
        self._connected: set[PeerId] = set()
        self._watchers: set[asyncio.Queue[PeerEvent]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # The port

    @property
    def alive(self) -> bool:
        return self._core is not None

    def addresses(self) -> tuple[str, ...]:
        return self._core.addresses() if self._core is not None else ()

    def peers(self) -> tuple[PeerInfo, ...]:
        return self._core.peers if self._core is not None else ()

    async def dial(self, address: str, *, timeout_s: float = 10, keep: bool = True) -> PeerId:
        if not keep:
            return await self._call(lambda core: core.dial(address, timeout_s, keep=False))
        target = PeerId(address.rpartition("/p2p/")[2])
        known = self._targets.setdefault(target, [])
        known[:] = [address, *(other for other in known if other != address)][:MAX_TARGET_ADDRESSES]
        try:
            return await self._call(lambda core: core.dial(address, timeout_s, keep=True))
        except MalformedAddress:
            known.remove(address)
            if not known:
                self._targets.pop(target, None)
            raise

    def forget(self, peer: PeerId) -> None:
        self._targets.pop(peer, None)
        core, thread = self._core, self._thread
        if core is not None and thread is not None:
            thread.submit(core.forget, peer)

    async def publish(self, topic: str, data: bytes) -> None:
        if len(data) > limits.MAX_GOSSIP_BYTES:
            raise MessageTooLarge(f"{len(data)} bytes; a gossiped message has at most {limits.MAX_GOSSIP_BYTES}")
        await self._call(lambda core: core.publish(topic, data))

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        self._topics[topic] = handler
        await self._call(lambda core: core.subscribe(topic))

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float = 10) -> bytes:
        if len(payload) > MAX_FRAME_BYTES:
            raise MessageTooLarge(f"{len(payload)} bytes; a request has at most {MAX_FRAME_BYTES}")
        return await self._call(lambda core: core.request(peer, protocol, payload, timeout_s))

    async def serve(
        self, protocol: str, handler: Handler, *, max_request_bytes: int, max_in_flight_per_peer: int
    ) -> None:
        self._services[protocol] = _Service(handler, max_request_bytes, max_in_flight_per_peer)
        await self._call(lambda core: core.serve(protocol, max_request_bytes, max_in_flight_per_peer))

    async def fetch_block(self, cid: Cid, peers: Sequence[PeerId], *, timeout_s: float = 30) -> bytes:
        found = await self.fetch_blocks([cid], peers, timeout_s=timeout_s)
        if cid not in found:
            raise BlockNotFound(f"none of {len(peers)} peers has block {cid}, or none answered in time")
        return found[cid]

    async def fetch_blocks(
        self, cids: Sequence[Cid], peers: Sequence[PeerId], *, timeout_s: float = 30
    ) -> dict[Cid, bytes]:
        assert len(cids) <= limits.MAX_BLOCKS_AT_ONCE
        return await self._call(lambda core: core.fetch_blocks(tuple(cids), tuple(peers), timeout_s))

    async def dht_servers(self) -> tuple[PeerId, ...]:
        return await self._call(lambda core: core.dht_servers())

    async def provide(self, cid: Cid) -> int:
        return await self._call(lambda core: core.provide(cid))

    async def find_providers(self, cid: Cid, *, limit: int = 20, timeout_s: float = 10) -> tuple[Provider, ...]:
        return await self._call(lambda core: core.find_providers(cid, limit, timeout_s))

    async def put_value(self, key: bytes, value: bytes) -> int:
        return await self._call(lambda core: core.put_value(key, value))

    async def get_value(self, key: bytes, *, timeout_s: float = 10) -> bytes | None:
        return await self._call(lambda core: core.get_value(key, timeout_s))

    def peer_events(self) -> AsyncIterator[PeerEvent]:
        queue: asyncio.Queue[PeerEvent] = asyncio.Queue(MAX_EVENTS)
        self._watchers.add(queue)
        return self._watch(queue)

    def counters(self) -> Mapping[str, int]:
        return self._counters.snapshot()

    # Inside

    async def _watch(self, queue: "asyncio.Queue[PeerEvent]") -> AsyncIterator[PeerEvent]:
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def _call(self, work: "Callable[[Core], Awaitable[T]]") -> T:
        core, thread = self._core, self._thread
        if core is None or thread is None:
            raise NetworkDown("the libp2p thread is being restarted, or the network is closed")
        return await thread.call(work, core)

    async def _start(self) -> None:
        """Start the thread and wait until it listens. Raises what kept it from that."""
        started: asyncio.Future[Core] = asyncio.get_running_loop().create_future()
        thread = TrioThread(lambda thread, nursery: self._body(thread, nursery, started))
        try:
            either: tuple[asyncio.Future[Any], ...] = (started, thread.finished)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await thread.stop(CLOSE_S)
            raise
        if not started.done():
            error = _root_cause(thread.finished.result())
            raise error if error is not None else NetworkDown("the libp2p thread ended at once")
        self._thread, self._core = thread, started.result()
        self._listen = self._core.bound()

    async def _body(self, thread: TrioThread, nursery: trio.Nursery, started: "asyncio.Future[Core]") -> None:
        """The main task of the thread."""
        spare_http_clients()
        from node.net.core import Core, Plan, Upcalls  # imports libp2p: a second, in this thread
        from node.net.dht_records import DhtRecords

        self._dht_records = self._dht_records or DhtRecords()
        plan = Plan(
            keys=self._keys,
            listen=self._listen,
            blocks=self._blocks,
            settings=self._settings,
            counters=self._counters,
            dht_records=self._dht_records,
        )
        upcalls = Upcalls(
            on_gossip=lambda *message: thread.post(self._on_gossip, *message),
            on_request=lambda *request: thread.post(self._on_request, thread, *request),
            on_event=lambda event: thread.post(self._on_event, event),
            on_started=lambda core: thread.post(_set_result, started, core),
            backlog=lambda: thread.backlog,
        )
        await Core(plan, upcalls, nursery).run(thread.wait_stop)

    async def _supervise(self) -> None:
        """Restart the thread whenever it dies, with all that it had."""
        while True:
            assert self._thread is not None
            error = await asyncio.shield(self._thread.finished)
            self._core = None
            logger.error("The libp2p thread ended and is restarted.", exc_info=error)
            for peer in tuple(self._connected):
                self._on_event(PeerDisconnected(peer))
            await self._restart()
            self._counters.add("restarts")

    async def _restart(self) -> None:
        pause_s = 0.5
        while True:
            try:
                await self._start()
                return await self._restore()
            except Exception:
                logger.exception("The libp2p thread cannot be restarted; the next attempt is in %.1f s.", pause_s)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, 30.0)

    async def _restore(self) -> None:
        core, thread = self._core, self._thread
        assert core is not None
        assert thread is not None
        for protocol, service in self._services.items():
            await thread.call(core.serve, protocol, service.max_request_bytes, service.max_in_flight_per_peer)
        for topic in self._topics:
            await thread.call(core.subscribe, topic)
        for addresses in self._targets.values():
            for address in reversed(addresses):
                self._spawn(self._dial_again(address))

    async def _dial_again(self, address: str) -> None:
        with contextlib.suppress(Exception):
            await self._call(lambda core: core.dial(address, 10, keep=True))

    async def _close(self) -> None:
        self._core = None
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        if self._thread is not None:
            await self._thread.stop(CLOSE_S)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What the thread tells

    def _on_gossip(self, topic: str, data: bytes, neighbour: str) -> None:
        handler = self._topics.get(topic)
        if handler is None:
            return
        try:
            handler(GossipMessage(topic, data, PeerId(neighbour)))
        except Exception:
            self._counters.add("gossip_handler_failed")
            logger.exception("The handler of topic %s failed.", topic)

    def _on_request(self, thread: TrioThread, protocol: str, peer: str, payload: bytes, slot: "Slot") -> None:
        self._spawn(self._answer(thread, protocol, PeerId(peer), payload, slot))

    async def _answer(self, thread: TrioThread, protocol: str, peer: PeerId, payload: bytes, slot: "Slot") -> None:
        reply: bytes | None = None
        try:
            async with asyncio.timeout(HANDLER_S):
                reply = await self._services[protocol].handler(peer, payload)
            if len(reply) > MAX_FRAME_BYTES:
                reply = None
                raise MessageTooLarge(f"{protocol} answers with more than {MAX_FRAME_BYTES} bytes")
        except PagiError as error:
            logger.debug("A request of %s on %s was refused: %s", peer, protocol, error)
        except Exception as error:  # noqa: BLE001 - the supervisor of all handlers; a remote can provoke these
            logger.warning("A request of %s on %s was not answered: %s", peer, protocol, error.__class__.__name__)
        finally:
            with contextlib.suppress(NetworkDown):
                thread.submit(slot.settle, reply)

    def _on_event(self, event: PeerEvent) -> None:
        if isinstance(event, PeerConnected):
            self._connected.add(event.peer_id)
        else:
            self._connected.discard(event.peer_id)
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
                self._counters.add("peer_events_missed")
            queue.put_nowait(event)


def _set_result(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _root_cause(error: BaseException | None) -> BaseException | None:
    """The one error inside nested groups, as trio's nurseries raise them."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
