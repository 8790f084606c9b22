"""Gossip: signed messages to everyone, kept, handed on and caught up.

A message passes: size, signature, `from` = signer, clock, body, rate per author, "newer than what we hold" (one row for
each kind, author and subject), and room: what a neighbour brings of strangers may take new rows only so fast. Only
then is it stored, and after that handed to its listeners. The newest rows are what `/pagi/sync/1.0` serves to a peer
that was away, so catching up and hearing live are the same thing twice: what was dropped or throttled live comes by
sync.

A twin and a relay use this same class; it does not know what the messages mean.
"""

import asyncio
import logging
import secrets
import sqlite3
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from identity.did import Did, PeerId, did_key
from identity.errors import PagiError
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.ids import time_ordered_id
from node.net.errors import NetError
from node.net.port import GossipMessage, Network, PeerConnected
from protocols import limits
from protocols.didcomm.envelope import pack_signed, verify_signed
from protocols.errors import RemoteProtocolError
from protocols.gossip import check_body, slot_of
from protocols.message import Message, check_times
from protocols.ratelimit import KeyedBuckets
from protocols.sync import PROTOCOL, SyncRequest, SyncResponse
from storage import gossip as rows
from storage.database import Database
from storage.errors import StorageError

logger = logging.getLogger(__name__)

OWN_REMEMBERED: Final = 4096
"""Ids of messages that we made since the start. Others hold the newest of each slot, so an older one hardly returns."""

MAX_WAITING: Final = 4096
"""Messages taken in and not yet verified. Beyond it the newest is dropped and counted; sync brings it later."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A verified message that is newer than what was held, and the neighbour that it came from.

    Not `live`: it came by catching up, so that others may not have heard it either.
    """

    message: Message
    author: Did
    via: PeerId
    live: bool = True


GossipListener = Callable[[Heard], Awaitable[None]]

OnOwnMessage = Callable[[Message, PeerId], Awaitable[None]]
"""A message in our own name that this process did not make, and that is newer than its start."""

Outcome = Literal["taken", "passed over", "garbage", "no room"]
"""What became of a message. `garbage`: it is no signed message. `no room`: its neighbour has brought too much that is
new, and may bring it again later."""


class Gossip:
    """The signed, public messages of one node. `named` are the authors that its owner named: they always have room."""

    def __init__(
        self,
        *,
        keys: KeyPair,
        network: Network,
        database: Database,
        sync_every_s: float,
        named: Callable[[], Collection[Did]] = tuple,
        now: NowMs = now_ms,
    ) -> None:
        self._keys = keys
        self._did = did_key(keys.public)
        self._network = network
        self._database = database
        self._sync_every_s = sync_every_s
        self._named = named
        self._now = now
        self._listeners: dict[str, list[GossipListener]] = {}
        self._waiting: asyncio.Queue[tuple[bytes, PeerId]] = asyncio.Queue(MAX_WAITING)
        self._per_author = KeyedBuckets(limits.GOSSIP_RATE_PER_S, limits.GOSSIP_BURST, limits.MAX_RATED_KEYS)
        self._new_rows = KeyedBuckets(limits.STRANGER_ROWS_PER_S, limits.STRANGER_ROWS_BURST, limits.MAX_RATED_KEYS)
        self._per_asker = KeyedBuckets(limits.SYNC_RATE_PER_S, limits.SYNC_BURST, limits.MAX_RATED_KEYS)
        self._cursors: dict[PeerId, int] = {}
        self._catching_up: set[PeerId] = set()
        self._accepting = asyncio.Lock()
        self._last_ms = 0
        self._started_s = now() // 1000
        self._made: deque[str] = deque(maxlen=OWN_REMEMBERED)
        self.on_own_message: OnOwnMessage | None = None
        self.counters: Counter[str] = Counter()

    def on(self, message_type: str, listener: GossipListener) -> None:
        """Hand verified messages of this type to `listener`. To be called before `run`."""
        self._listeners.setdefault(message_type, []).append(listener)

    async def join(self, topic: str) -> None:
        """Hear, and forward, a topic."""
        await self._network.subscribe(topic, self._take)

    async def publish(self, topic: str, message_type: str, body: Mapping[str, Any]) -> Message:
        """Sign a message and publish it. It is kept first, so that whoever misses it now gets it by sync.

        No peers, or a network that is down, is not an error for that reason.
        """
        message, signed = await self.keep(message_type, body)
        try:
            await self._network.publish(topic, signed)
        except NetError as error:
            self.counters["gossip_not_published"] += 1
            logger.warning("gossip on %s goes out by sync only: %s", topic, error)
        return message

    async def keep(self, message_type: str, body: Mapping[str, Any]) -> tuple[Message, bytes]:
        """Sign a message and keep it for those who sync, without publishing it."""
        while True:
            stamp_ms = self._next_stamp_ms()
            message = Message(
                id=time_ordered_id(stamp_ms),
                type=message_type,
                body=body,
                from_=self._did,
                created_time=stamp_ms // 1000,
            )
            signed = pack_signed(message, signer=self._keys)
            self._made.append(message.id)
            if await self._store(message, self._did, signed, spare=(self._did,)):
                return message, signed
            await self._pass_what_is_held(message)

    def _next_stamp_ms(self) -> int:
        """Now, or just after our last message, if the clock went back by no more than other clocks may differ."""
        now = self._now()
        if self._last_ms > now + limits.CLOCK_SKEW_S * 1000:
            self._last_ms = 0
        self._last_ms = max(now, self._last_ms + 1)
        return self._last_ms

    async def _pass_what_is_held(self, message: Message) -> None:
        """Our clock was ahead when we made what is held: go on from there, or forget it if others have refused it."""
        kind, subject = slot_of(message)
        held_s = await self._database.read(
            lambda conn: rows.created_time_of(conn, type=kind, author=self._did, subject=subject)
        )
        if held_s is None or held_s > self._now() // 1000 + limits.CLOCK_SKEW_S:
            await self._database.write(lambda conn: rows.drop(conn, type=kind, author=self._did, subject=subject))
        else:
            self._last_ms = max(self._last_ms, held_s * 1000 + 999)

    async def run(self) -> None:
        """Verify what comes in, answer sync requests, and catch up with each peer on connecting and now and then."""
        await self._network.serve(
            PROTOCOL, self._serve_sync, max_request_bytes=limits.MAX_SYNC_REQUEST_BYTES, max_in_flight_per_peer=2
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._verify_waiting())
            tasks.create_task(self._sync_on_connect(tasks))
            tasks.create_task(self._sync_periodically(tasks))

    def _take(self, gossip: GossipMessage) -> None:
        self.counters["gossip_taken"] += 1
        try:
            self._waiting.put_nowait((gossip.data, gossip.forwarded_by))
        except asyncio.QueueFull:
            self.counters["gossip_dropped_queue_full"] += 1

    async def _verify_waiting(self) -> None:
        while True:
            data, via = await self._waiting.get()
            try:
                await self._accept(data, via)
            except StorageError as error:
                self.counters["gossip_not_stored"] += 1
                logger.error("gossip could not be stored: %s", error)

    async def _accept(self, data: bytes, via: PeerId, *, live: bool = True) -> Outcome:
        """Verify a message, keep it if it is newer, and hand it on. Raises StorageError if it could not be kept.

        What comes by sync counts for its author at this neighbour alone: it is what the author's flood hid live.
        """
        outcome: Outcome = "garbage"
        try:
            unpacked = verify_signed(data)
            outcome = "passed over"
            check_times(unpacked.message, self._now() // 1000)
            check_body(unpacked.message)
        except PagiError as error:
            self.counters[f"gossip_refused_{error.code}"] += 1
            logger.debug("gossip refused from %s: %s", via, error)
            return outcome
        author = unpacked.signer
        assert author is not None
        if author == self._did:
            await self._check_own(unpacked.message, via)
            return "passed over"
        if not self._per_author.allow(author if live else (author, via), self._now() / 1000):
            self.counters["gossip_refused_rate"] += 1
            return "passed over"
        async with self._accepting:  # Listeners must not be told of a newer message first and of an older one then.
            spare = {self._did, *self._named(), *(peer.did for peer in self._network.peers() if peer.did is not None)}
            if author not in spare and not await self._has_room(unpacked.message, author, via):
                self.counters["gossip_refused_room"] += 1
                return "no room"
            if await self._store(unpacked.message, author, data, spare=spare):
                self.counters["gossip_accepted"] += 1
                await self._hand_on(Heard(unpacked.message, author, via, live))
            else:
                self.counters["gossip_not_newer"] += 1
        return "taken"

    async def _check_own(self, message: Message, via: PeerId) -> None:
        """Our own message comes back, or somebody else speaks with our key."""
        made_s = message.created_time or 0
        if self.on_own_message is None or made_s <= self._started_s or message.id in self._made:
            return
        kind, subject = slot_of(message)
        held = await self._database.read(
            lambda conn: rows.message_id_of(conn, type=kind, author=self._did, subject=subject)
        )
        if held != message.id:  # One of an earlier run of ours, made while our clock was ahead, is held here.
            self.counters["gossip_in_our_name"] += 1
            await self.on_own_message(message, via)

    async def _has_room(self, message: Message, author: Did, via: PeerId) -> bool:
        """Whether a stranger's message replaces one that is held, or its neighbour may bring more that is new."""
        kind, subject = slot_of(message)
        held = await self._database.read(
            lambda conn: rows.created_time_of(conn, type=kind, author=author, subject=subject)
        )
        return held is not None or self._new_rows.allow(via, self._now() / 1000)

    async def _hand_on(self, heard: Heard) -> None:
        for listener in self._listeners.get(heard.message.type, ()):
            try:
                await listener(heard)
            except PagiError as error:
                self.counters[f"gossip_refused_{error.code}"] += 1
                logger.debug("gossip of %s refused: %s", heard.author, error)
            except Exception:  # a defect of one listener, which anybody can trigger, must not stop the whole node
                self.counters["gossip_listener_failed"] += 1
                logger.exception("a listener failed at a message of type %s", heard.message.type)

    async def _store(self, message: Message, author: Did, signed: bytes, *, spare: Collection[Did]) -> bool:
        kind, subject = slot_of(message)
        return await self._database.write(
            lambda conn: rows.keep_latest(
                conn,
                type=kind,
                author=author,
                subject=subject,
                message_id=message.id,
                created_time=message.created_time or 0,
                signed=signed,
                spare=spare,
            )
        )

    # Catching up

    async def _serve_sync(self, peer: PeerId, payload: bytes) -> bytes:
        request = SyncRequest.decode(payload)
        if not self._per_asker.allow(peer, self._now() / 1000):
            self.counters["sync_throttled"] += 1
            raise RemoteProtocolError("it asks again and again")

        def read(conn: sqlite3.Connection) -> SyncResponse:
            # A cursor that we never gave is from before this database: whoever has it starts anew.
            after = request.after if request.after <= rows.newest_cursor(conn) else 0
            held = rows.since(conn, after, request.limit)
            return SyncResponse.of_rows(held, after=after, more=len(held) == request.limit)

        return (await self._database.read(read)).encode()

    async def _sync_on_connect(self, tasks: asyncio.TaskGroup) -> None:
        for peer in self._network.peers():
            tasks.create_task(self.catch_up(peer.peer_id))
        async for event in self._network.peer_events():
            if isinstance(event, PeerConnected):
                tasks.create_task(self.catch_up(event.peer_id))
            else:
                # A peer that comes back may have a new database: its cursors mean nothing then.
                self._cursors.pop(event.peer_id, None)

    async def _sync_periodically(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            spread = secrets.randbelow(1000) / 1000 * 0.2 + 0.9
            await asyncio.sleep(self._sync_every_s * spread)
            for peer in self._network.peers():  # Each on its own: a peer that answers slowly delays nobody else's.
                tasks.create_task(self.catch_up(peer.peer_id))

    async def catch_up(self, peer: PeerId) -> None:
        """Ask one peer for what it holds that is new since we last asked. A peer that cannot answer is passed over.

        Nothing happens while that peer is being asked already.
        """
        if peer in self._catching_up:
            return
        self._catching_up.add(peer)
        try:
            await self._ask_in_rounds(peer)
        except PagiError as error:
            self.counters["sync_failed"] += 1
            logger.debug("sync with %s: %s", peer, error)
        finally:
            self._catching_up.discard(peer)

    async def _ask_in_rounds(self, peer: PeerId) -> None:
        garbage = 0
        for _ in range(limits.MAX_SYNC_ROUNDS):
            request = SyncRequest(after=self._cursors.get(peer, 0), limit=limits.MAX_SYNC_MESSAGES)
            response = SyncResponse.decode(await self._network.request(peer, PROTOCOL, request.encode()))
            for signed in response.messages:
                outcome = await self._accept(signed, peer, live=False)
                garbage += outcome == "garbage"
                if garbage > limits.MAX_SYNC_GARBAGE:
                    raise RemoteProtocolError("what it hands on is no signed messages")
                if outcome == "no room":
                    return  # The cursor stays: the next time goes on from here.
            self.counters["sync_messages"] += len(response.messages)
            if all(peer != other.peer_id for other in self._network.peers()):
                return  # It has gone, and its cursor with it.
            self._cursors[peer] = response.next
            if not response.more or response.next == request.after:
                return
