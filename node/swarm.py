"""The directory: which twins there are, where they are and what they can be asked.

It announces this twin (at start, every few minutes and on change), learns the others from their signed
announcements, and dials them, so that twins that only share a relay end up directly connected.

Twins that the owner named stay connected, and their coming and going is in the event log. Anybody can make others, so
these are dialled a few at a time, once for each announcement, and only where `node.reach` allows; what they do is
broadcast and not recorded.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from identity.did import Did, PeerId, did_of_peer_id, peer_id_of_did
from identity.errors import PagiError
from node import __version__
from node.clock import NowMs, now_ms
from node.config import NetworkConfig
from node.events import EventBus
from node.gossip import Gossip, Heard
from node.net.errors import NetError
from node.net.port import Network, PeerConnected
from node.reach import host_of, may_dial
from node.trust import TrustList
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.ratelimit import KeyedBuckets
from protocols.swarm import TOPIC, TWIN_OFFLINE, TWIN_ONLINE, Mediator, TwinOnline, fits
from storage import contacts
from storage import twins as rows
from storage.database import Database
from storage.trust import Trust

logger = logging.getLogger(__name__)

CAPABILITIES: Final = ("ask", "playbook", "recall", "tool_use")
"""What every twin of this version can do for twins that its owner named."""

CHANGE_CHECK_S: Final = 2.0
"""How often the announcement is compared with the last one sent; it bounds how often it changes."""

DIALLING_AT_ONCE: Final = 16
"""Each address is tried for seconds: the others wait their turn. Half as many for strangers: no named twin waits."""

DIAL_WAIT_S: Final = 2.0
"""Of two twins that learn of each other, the one with the greater peer ID waits this long, so that one dials."""

ONLINE_FOR_ANNOUNCEMENTS: Final = 2.2
"""A twin that is not connected counts as online until this many announcements were missed."""


@dataclass(frozen=True, slots=True)
class KnownTwin:
    """A twin that has announced itself. `online`: connected now, or announced lately and not gone since."""

    did: Did
    name: str
    addresses: tuple[str, ...]
    capabilities: tuple[str, ...]
    topics: tuple[str, ...]
    last_seen_ms: int
    online: bool
    reputation: float
    mediators: tuple[Mediator, ...] = ()


class Directory:
    """The twins of the swarm as this one sees them."""

    def __init__(
        self,
        *,
        did: Did,
        name: str,
        config: NetworkConfig,
        network: Network,
        gossip: Gossip,
        database: Database,
        events: EventBus,
        topics: Callable[[], Awaitable[tuple[str, ...]]],
        trust: TrustList,
        scores: Callable[[], Awaitable[Mapping[Did, float]]],
        mediators: Callable[[], Sequence[Mediator]] = tuple,
        now: NowMs = now_ms,
    ) -> None:
        self._did = did
        self._name = name
        self._config = config
        self._network = network
        self._gossip = gossip
        self._database = database
        self._events = events
        self._topics = topics
        self._trust = trust
        self._scores = scores
        self._mediators = mediators
        self._now = now
        self._dialling: set[PeerId] = set()
        self._named_turns = asyncio.Semaphore(DIALLING_AT_ONCE)
        self._stranger_turns = asyncio.Semaphore(DIALLING_AT_ONCE // 2)
        self._dialled_once: set[PeerId] = set()
        self._knocks = KeyedBuckets(limits.KNOCKS_PER_S, limits.KNOCKS_BURST, limits.MAX_RATED_KEYS)
        self._presence = KeyedBuckets(limits.PRESENCE_ROWS_PER_S, limits.PRESENCE_ROWS_BURST, limits.MAX_RATED_KEYS)
        self._tasks: asyncio.TaskGroup | None = None
        gossip.on(TWIN_ONLINE, self._on_online)
        gossip.on(TWIN_OFFLINE, self._on_offline)
        trust.on_change(self._connect_to_named)

    async def twins(self) -> list[KnownTwin]:
        """All twins that have announced themselves, those seen last first, by the names that the owner gave them."""
        connected = {peer.did for peer in self._network.peers()}
        scores = await self._scores()
        names, known = await self._database.read(
            lambda conn: (contacts.names(conn), rows.list_twins(conn, limit=rows.MAX_TWINS).items)
        )
        return [
            KnownTwin(
                did=row.did,
                name=names.get(row.did, row.name),
                addresses=row.addresses,
                capabilities=row.capabilities,
                topics=row.topics,
                last_seen_ms=row.last_seen_ms,
                online=row.did in connected or self._is_there(row),
                reputation=scores.get(row.did, 0.0),
                mediators=tuple(Mediator(keeper.did, keeper.uris) for keeper in row.mediators),
            )
            for row in sorted(known, key=lambda row: -row.last_seen_ms)
        ]

    async def named(self) -> dict[Did, str]:
        """What the twins that the owner named are called, as far as they have announced themselves."""
        return {twin.did: twin.name for twin in await self.twins() if twin.did in self._trust.named}

    def _is_there(self, row: rows.TwinRow) -> bool:
        """Whether it has announced itself lately and not gone since."""
        missed_ms = self._config.announce_every_s * ONLINE_FOR_ANNOUNCEMENTS * 1000
        return row.online and row.last_seen_ms >= self._now() - missed_ms

    async def addresses_of(self, did: Did) -> tuple[str, ...]:
        """Where this twin, to which the owner wants to write, said that it can be dialled; empty if it is not known."""
        row = await self._database.read(lambda conn: rows.get_twin(conn, did))
        return self._reachable(row.addresses, named=True) if row else ()

    async def run(self) -> None:
        """Announce this twin until cancelled, and follow who comes and goes."""
        await self._gossip.join(TOPIC)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._announce())
            tasks.create_task(self._watch_peers())
            for twin in await self.twins():
                self._begin_to_connect(twin.did, twin.addresses)

    async def leave(self) -> None:
        """Tell the others that this twin goes. Best effort."""
        await self._gossip.publish(TOPIC, TWIN_OFFLINE, {})

    async def _announce(self) -> None:
        said: TwinOnline | None = None
        said_at = 0.0
        while True:
            announcement = TwinOnline(
                name=self._name,
                addresses=tuple(dict.fromkeys(self._network.addresses()))[: limits.MAX_ADDRESSES],
                capabilities=CAPABILITIES,
                topics=await self._topics(),
                version=__version__,
                mediators=self._announced_mediators(),
            )
            now = time.monotonic()
            if announcement != said or now - said_at >= self._config.announce_every_s:
                await self._gossip.publish(TOPIC, TWIN_ONLINE, announcement.to_body())
                said, said_at = announcement, now
            await asyncio.sleep(min(CHANGE_CHECK_S, self._config.announce_every_s))

    def _announced_mediators(self) -> tuple[Mediator, ...]:
        """The first of our mediators, as many as an announcement has room for."""
        announced: list[Mediator] = []
        for mediator in self._mediators():
            if fits([*announced, mediator]):
                announced.append(mediator)
        return tuple(announced)

    async def _watch_peers(self) -> None:
        async for event in self._network.peer_events():
            came = isinstance(event, PeerConnected)
            kind = "peer_connected" if came else "peer_disconnected"
            data = {"peer_id": event.peer_id}
            if not came:
                self._dialled_once.discard(event.peer_id)
            if self._is_worth_a_row(_did_of(event.peer_id)):
                await self._events.publish(kind, event.peer_id, data, source="net")
            else:
                self._events.broadcast(kind, event.peer_id, data, source="net")

    def _is_worth_a_row(self, did: Did | None) -> bool:
        """Whether the next event about this twin goes into the log: only of a named one, and not without end."""
        return did in self._trust.named and self._presence.allow(did, self._now() / 1000)

    async def _on_online(self, heard: Heard) -> None:
        announcement = TwinOnline.from_body(heard.message.body)
        own_peer_id = peer_id_of_did(heard.author)
        if any(not address.endswith(f"/p2p/{own_peer_id}") for address in announcement.addresses):
            raise RemoteProtocolError("an announced address does not end in the announcer's own peer ID")
        said_ms = self._said_ms(heard)
        event = self._events.make(
            "twin_online",
            heard.author,
            {"did": heard.author, "name": announcement.name, "capabilities": list(announcement.capabilities)},
            source="swarm",
        )
        known = await self._database.read(lambda conn: rows.get_twin(conn, heard.author))
        # The announcements of one that is there are no news, and there is no end of them.
        came = known is None or not self._is_there(known)
        recorded = came and self._is_worth_a_row(heard.author)
        named = self._trust.named

        def keep(conn: sqlite3.Connection) -> None:
            rows.upsert_twin(
                conn,
                did=heard.author,
                name=announcement.name,
                addresses=announcement.addresses,
                capabilities=announcement.capabilities,
                topics=announcement.topics,
                last_seen_ms=said_ms,
                online=True,
                mediators=[rows.MediatorRow(keeper.did, keeper.uris) for keeper in announcement.mediators],
                spare=named,
            )
            if recorded:
                self._events.record(conn, event)

        await self._database.write(keep)
        if came:
            self._events.announce(event)
        self._begin_to_connect(heard.author, announcement.addresses)

    async def _on_offline(self, heard: Heard) -> None:
        said_ms = self._said_ms(heard)
        event = self._events.make("twin_offline", heard.author, {"did": heard.author}, source="swarm")
        known = await self._database.read(lambda conn: rows.get_twin(conn, heard.author))
        left = known is not None and known.online
        recorded = left and self._is_worth_a_row(heard.author)

        def note(conn: sqlite3.Connection) -> None:
            rows.set_online(conn, heard.author, False, said_ms)
            if recorded:
                self._events.record(conn, event)

        await self._database.write(note)
        if left:
            self._events.announce(event)
        self._network.forget(peer_id_of_did(heard.author))  # It says so itself when it comes back.

    def _said_ms(self, heard: Heard) -> int:
        return min((heard.message.created_time or 0) * 1000, self._now())

    # Dialling

    async def _connect_to_named(self, trust: Trust) -> None:
        """Twins that the owner names now are dialled now, wherever they are."""
        for twin in await self.twins():
            if twin.did in trust.allow:
                self._begin_to_connect(twin.did, twin.addresses)

    def _begin_to_connect(self, did: Did, addresses: Sequence[str]) -> None:
        """Dial a twin in the background, unless it is blocked, out of reach or one stranger too many."""
        peer, named = peer_id_of_did(did), did in self._trust.named
        wanted = self._reachable(addresses, named=named)
        if not named:
            wanted = wanted[: limits.MAX_STRANGER_ADDRESSES]
        if self._tasks is None or peer in self._dialling or self._trust.blocks(did) or not wanted:
            return
        if not named and len(self._dialling) >= limits.MAX_STRANGER_DIALS:
            return
        self._dialling.add(peer)
        self._tasks.create_task(self._connect(peer, wanted, named))

    def _reachable(self, addresses: Sequence[str], *, named: bool) -> tuple[str, ...]:
        own = self._network.addresses()
        return tuple(address for address in addresses if may_dial(address, named=named, own=own))

    async def _connect(self, peer: PeerId, addresses: Sequence[str], named: bool) -> None:
        try:
            if self._network.peer_id > peer:
                await asyncio.sleep(DIAL_WAIT_S)
            async with self._named_turns if named else self._stranger_turns:
                await (self._dial_named(peer, addresses) if named else self._dial_stranger(peer, addresses))
        finally:
            self._dialling.discard(peer)

    async def _dial_named(self, peer: PeerId, addresses: Sequence[str]) -> None:
        """Connect to a named twin, to stay connected."""
        if self._is_connected(peer) and peer not in self._dialled_once:
            return
        for address in addresses:
            try:
                await self._network.dial(address)
                self._dialled_once.discard(peer)
                return
            except NetError as error:
                logger.debug("cannot dial %s at %s: %s", peer, address, error)
        self._network.forget(peer)

    async def _dial_stranger(self, peer: PeerId, addresses: Sequence[str]) -> None:
        """Connect to a twin that nobody here has named; if it goes, only its next announcement brings it back."""
        for address in addresses:
            if self._is_connected(peer) or len(self._network.peers()) >= self._config.max_twin_connections:
                return
            if not self._knocks.allow(host_of(address), self._now() / 1000):
                continue
            self._dialled_once.add(peer)  # Before it can connect: that it has gone takes it out again.
            try:
                await self._network.dial(address, keep=False)
                return
            except NetError as error:
                self._dialled_once.discard(peer)
                logger.debug("cannot dial %s at %s: %s", peer, address, error)

    def _is_connected(self, peer: PeerId) -> bool:
        return any(info.peer_id == peer for info in self._network.peers())


def _did_of(peer: PeerId) -> Did | None:
    try:
        return did_of_peer_id(peer)
    except PagiError:
        return None  # Its key is not Ed25519, so it is no twin.
