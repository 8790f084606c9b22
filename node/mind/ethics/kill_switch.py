"""The kill switch: an owner's key stops the work of a whole fleet, and only the same key lets it go on.

Who may: this twin's own key, and the keys of the DIDs in `[mind] owners`, each by the name that it has now; a key that
was retired gives no orders, for it may have been retired because it was stolen. An order is public and signed, is kept
before anything follows from it, and counts once (protocols/fleet.py). What stops is what acts: goals, jobs, tools, and
work for other twins. The twin stays connected and readable, and hears the order to go on.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from identity.did import Did
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.events import Event, EventBus
from node.gossip import Gossip, Heard
from node.messaging.composing import Composer
from node.messaging.source import Source
from node.mind.errors import WorkStopped
from node.trust import TrustList
from protocols import limits
from protocols.conversations.reply import Reply
from protocols.errors import RemoteProtocolError
from protocols.fleet import RESUME, Order
from protocols.message import Message
from protocols.swarm import SHUTDOWN, TOPIC
from storage import fleet_orders as rows
from storage.database import Database
from storage.fleet_orders import OrderRow

logger = logging.getLogger(__name__)

SAY_AGAIN_S: Final = 3600.0
"""How often our newest order is repeated: a twin that was away longer than others keep messages hears it then."""

OnChange = Callable[[bool], Awaitable[None]]
"""Called after the work was stopped (True) or let go on (False)."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The work is stopped: by whose order, why, and since when (milliseconds since 1970, by that owner's clock)."""

    by: Did
    reason: str
    since_ms: int


class KillSwitch:
    """The orders that this twin heeds and gives. To be loaded once before use."""

    def __init__(
        self,
        *,
        own: OwnDids,
        owners: Sequence[str],
        current: Callable[[Did], Did],
        database: Database,
        events: EventBus,
        gossip: Gossip,
        trust: TrustList,
        composer: Composer,
        wake: Callable[[], None],
        now: NowMs = now_ms,
    ) -> None:
        """`current` gives the name that a twin has now for any that it had; `wake` has queued letters sent."""
        self._own = own
        self._owners = tuple(Did(owner) for owner in owners)
        self._current = current
        self._database = database
        self._events = events
        self._gossip = gossip
        self._trust = trust
        self._composer = composer
        self._wake = wake
        self._now = now
        self._orders: dict[Did, OrderRow] = {}
        self._watchers: list[OnChange] = []
        self._heeding = asyncio.Lock()
        self.counters: Counter[str] = Counter()
        gossip.on(SHUTDOWN, self._on_gossip)
        gossip.on(RESUME, self._on_gossip)

    async def load(self) -> None:
        """Know what was ordered before this start."""
        self._orders = {order.author: order for order in await self._database.read(rows.everything)}

    @property
    def owners(self) -> tuple[Did, ...]:
        """Whose keys are heeded, by their present names; this twin's own first."""
        return tuple(dict.fromkeys((self._own.did, *map(self._name_now, self._owners))))

    @property
    def stopped(self) -> tuple[Stop, ...]:
        """The orders to stop that stand, the oldest first. None: the twin may work."""
        newest: dict[Did, OrderRow] = {}
        for order in sorted(self._orders.values(), key=lambda one: one.sequence):
            newest[self._name_now(order.author)] = order
        owners = self.owners
        return tuple(
            Stop(by, order.reason, order.sequence) for by, order in newest.items() if order.stops and by in owners
        )

    def check(self) -> None:
        """Raise WorkStopped if an owner has stopped the work. Whatever acts asks this first."""
        for stop in self.stopped:
            raise WorkStopped(f"{stop.by} has stopped all work{f': {stop.reason}' if stop.reason else ''}")

    def on_change(self, watcher: OnChange) -> None:
        """Call `watcher` after the work was stopped or let go on."""
        self._watchers.append(watcher)

    async def order(self, *, stops: bool, reason: str = "") -> tuple[Stop, ...]:
        """Order this twin, and all that heed its key, to stop or to go on; the stops that stand after it."""
        given = Order(max(self._now(), self._last_own() + 1), reason)
        body = given.to_body()
        await self._heed(self._own.did, Order.from_body(body), stops=stops, also=self._letters(stops, body))
        self._wake()
        await self._gossip.publish(TOPIC, SHUTDOWN if stops else RESUME, body)
        return self.stopped

    async def run(self) -> None:
        """Repeat our own newest order until cancelled, under the name that we have now."""
        while True:
            mine = [order for order in self._orders.values() if self._own.is_ours(order.author)]
            if mine:
                newest = max(mine, key=lambda one: one.sequence)
                body = Order(newest.sequence, newest.reason).to_body()
                await self._gossip.publish(TOPIC, SHUTDOWN if newest.stops else RESUME, body)
            await asyncio.sleep(SAY_AGAIN_S)

    # What others order

    async def _on_gossip(self, heard: Heard) -> None:
        await self._on_order(heard.author, heard.message)

    async def on_message(self, source: Source, sender: Did, message: Message) -> Sequence[Reply]:
        """A private message. Raises RemoteProtocolError, for those who may not order anything too."""
        await self._on_order(sender, message)
        return ()

    async def _on_order(self, author: Did, message: Message) -> None:
        if author not in self.owners or author == self._own.did:
            self.counters["orders_of_others"] += 1
            raise RemoteProtocolError("the sender's key gives no orders here")
        order = Order.from_body(message.body)
        if order.sequence > self._now() + limits.CLOCK_SKEW_S * 1000:
            raise RemoteProtocolError("the order is from the future")
        await self._heed(author, order, stops=message.type == SHUTDOWN)

    async def _heed(
        self, author: Did, order: Order, *, stops: bool, also: Callable[[sqlite3.Connection], None] = lambda conn: None
    ) -> None:
        """On disk first, in one transaction with its event; then the watchers."""
        row = OrderRow(author, stops, order.reason, order.sequence, self._now())
        async with self._heeding:
            event = self._event(row)
            was_stopped = bool(self.stopped)

            def keep(conn: sqlite3.Connection) -> bool:
                is_new = rows.put(conn, row)
                if is_new:
                    self._events.record(conn, event)
                    also(conn)
                return is_new

            if not await self._database.write(keep):
                self.counters["orders_again"] += 1
                return
            self._orders[author] = row
            self._events.announce(event)
            is_stopped = bool(self.stopped)
            logger.warning("%s by order of %s", "all work is stopped" if is_stopped else "work goes on", author)
            if is_stopped != was_stopped:
                for watcher in self._watchers:
                    await watcher(is_stopped)

    def _event(self, row: OrderRow) -> Event:
        kind = "fleet_stopped" if row.stops else "fleet_resumed"
        return self._events.make(kind, row.author, {"by": row.author, "reason": row.reason}, source="mind")

    def _letters(self, stops: bool, body: dict[str, object]) -> Callable[[sqlite3.Connection], None]:
        """The order for each twin that the owner named, in private: some of them may not hear our gossip."""
        message_type = SHUTDOWN if stops else RESUME
        recipients = sorted(did for did in self._trust.named if not self._own.is_ours(did))

        def queue(conn: sqlite3.Connection) -> None:
            for recipient in recipients:
                message = self._composer.message(recipient, message_type, body, expires_s=limits.REPLAY_WINDOW_S)
                self._composer.queue(conn, message)

        return queue

    def _last_own(self) -> int:
        return max((order.sequence for order in self._orders.values() if self._own.is_ours(order.author)), default=0)

    def _name_now(self, did: Did) -> Did:
        return self._own.did if self._own.is_ours(did) else self._current(did)
