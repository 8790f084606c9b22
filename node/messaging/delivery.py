"""Bringing messages out: each queued row is tried until it is delivered, handed over, refused or expired.

One worker for each recipient keeps the order; it takes a batch, brings it by the best ways that work (`dispatch`), and
notes what became of it in one transaction. A failed attempt is repeated after a pause that doubles, with jitter; a
recipient that connects is tried at once.

What a mediator or a mere socket took is `sent` until the recipient itself confirms it. A mediator can lose it, so it is
sent again: straight to the recipient once that connects, unless a confirmation comes first, or after hours by any way.
Receivers know a message that they have.
"""

import asyncio
import secrets
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from identity.did import Did, PeerId, did_of_peer_id
from identity.errors import PagiError
from node.clock import NowMs, now_ms, wait_within
from node.config import MailConfig
from node.events import Event, EventBus
from node.messaging.dispatch import Attempt, Dispatcher, Outcome
from node.messaging.packing import Outgoing
from node.net.errors import RemoteRefused, RemoteUnavailable
from node.net.port import Network, PeerConnected
from protocols.errors import ProtocolError
from protocols.message import Message, parse_message
from storage import outbox
from storage.database import Database
from storage.outbox import OutboxRow

BATCH: Final = 64
"""Messages under way to one recipient at once: enough to hide the round trip and to share one commit."""

LOOK_EVERY_S: Final = 60.0
"""The outbox is looked at this often without a reason: what a clock that jumps can cost."""

ACK_GRACE_MS: Final = 2_000
"""Who connects gets what a mediator has of it: it is given this long to take it from there and to confirm it."""

BACK_GRACE_MS: Final = 60_000
"""The same for whoever takes messages over a connection of its own, which says nothing of what arrived."""

CARRIER_MS: Final = 6 * 3600 * 1000
"""How long a mediator is left alone with a message that nobody confirms, before it, or another, gets it again."""


class Delivery:
    """The workers that empty the outbox. `wake` it after something was queued."""

    def __init__(
        self,
        *,
        config: MailConfig,
        database: Database,
        events: EventBus,
        network: Network,
        dispatcher: Dispatcher,
        now: NowMs = now_ms,
    ) -> None:
        self._config = config
        self._database = database
        self._events = events
        self._network = network
        self._dispatcher = dispatcher
        self._now = now
        self._wake = asyncio.Event()
        self._busy: set[Did] = set()
        self._waiting: dict[str, set[asyncio.Future[str]]] = {}
        self.counters: Counter[str] = Counter()

    def wake(self) -> None:
        """Look at the outbox now."""
        self._wake.set()

    async def wait_settled(self, message_id: str, timeout_s: float) -> str:
        """The message's status once it is sent, delivered or failed; after `timeout_s` whatever it is then."""
        settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(message_id, set())
        waiting.add(settled)
        try:
            async with asyncio.timeout(timeout_s):
                row = await self._database.read(lambda conn: outbox.get_outbound(conn, message_id))
                if row is None or row.status != "queued":
                    return "failed" if row is None else row.status
                return await settled
        except TimeoutError:
            return "queued"
        finally:
            waiting.discard(settled)
            if not waiting:
                del self._waiting[message_id]

    async def send_now(self, to: Did, message: Message) -> str:
        """Bring one message to `to` by the first way that works, without the outbox; return what it went by.

        Raises RemoteUnavailable or RemoteRefused. It may have arrived in spite of that.
        """
        attempt = await self._dispatcher.bring(to, [Outgoing(message)])
        outcome = attempt.outcomes.get(message.id, Outcome("again", reason=attempt.reason))
        if outcome.via is not None:
            return outcome.via
        raise (RemoteRefused if outcome.fate == "failed" else RemoteUnavailable)(outcome.reason)

    async def acknowledge(self, sender: Did, message_ids: Sequence[str]) -> None:
        """`sender` says that it has these messages of ours. Ids of messages to others change nothing."""
        now = self._now()
        ids = await self._database.read(lambda conn: outbox.unacknowledged(conn, sender, message_ids))
        if not ids:
            return  # Anybody can name ids: that alone is not worth a transaction.

        def acknowledge(conn: sqlite3.Connection) -> list[tuple[OutboxRow, Event]]:
            rows = outbox.mark_acknowledged(conn, sender, ids, now)
            noted = [(row, self._event("didcomm_delivered", row, row.via)) for row in rows]
            for _, event in noted:
                self._events.record(conn, event)
            return noted

        noted = await self._database.write(acknowledge)
        self._events.announce(*(event for _, event in noted))
        self.counters["didcomm_acknowledged"] += len(noted)
        for row, _ in noted:
            self._tell(row, "delivered")

    async def hurry(self, recipient: Did) -> None:
        """This recipient is connected: try at once what waits, and again what a mediator has."""
        now = self._now()
        await self._hurry(recipient, handed_before_ms=now, grace_ms=ACK_GRACE_MS)

    async def hurry_back(self, recipient: Did) -> None:
        """This recipient takes messages over a connection of its own. Some agents come by often and confirm nothing:
        what was handed over a moment ago is not sent again."""
        await self._hurry(recipient, handed_before_ms=self._now() - BACK_GRACE_MS, grace_ms=0)

    async def _hurry(self, recipient: Did, *, handed_before_ms: int, grace_ms: int) -> None:
        now = self._now()

        def hurry(conn: sqlite3.Connection) -> None:
            outbox.retry_now(conn, recipient, now)
            outbox.resend(conn, recipient, now, handed_before_ms=handed_before_ms, grace_ms=grace_ms)

        await self._database.write(hurry)
        self.wake()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._dispatcher.run())
            tasks.create_task(self._hurry_for_those_who_connect())
            while True:
                self._wake.clear()
                pause_s = LOOK_EVERY_S
                for recipient, due_ms in (await self._recipients_due()).items():
                    if recipient in self._busy:
                        continue  # Its worker looks again before it ends, and wakes this loop when it does.
                    wait_s = (due_ms - self._now()) / 1000
                    if wait_s > 0:
                        pause_s = min(pause_s, wait_s)
                    else:
                        self._busy.add(recipient)
                        tasks.create_task(self._deliver_to(recipient))
                await self._wait_woken(pause_s)

    async def _recipients_due(self) -> dict[Did, int]:
        now = self._now()
        overdue, due = await self._database.read(lambda conn: (outbox.overdue(conn, now), outbox.recipients_due(conn)))
        if not overdue:
            return due
        await self._database.write(lambda conn: outbox.resend_overdue(conn, now))
        return await self._database.read(outbox.recipients_due)

    async def _wait_woken(self, timeout_s: float) -> None:
        await wait_within(self._wake, timeout_s)

    async def _hurry_for_those_who_connect(self) -> None:
        events = self._network.peer_events()
        for info in self._network.peers():
            await self._hurry_peer(info.peer_id)
        async for event in events:
            if isinstance(event, PeerConnected):
                await self._hurry_peer(event.peer_id)

    async def _hurry_peer(self, peer: PeerId) -> None:
        try:
            did = did_of_peer_id(peer)
        except PagiError:
            return  # A peer whose key is not Ed25519, such as a plain IPFS node: nobody writes to it.
        await self.hurry(did)

    async def _deliver_to(self, recipient: Did) -> None:
        try:
            while True:
                rows, carried = await self._due(recipient)
                if not rows:
                    break
                if expired := self._expired(rows):
                    await self._give_up(expired)
                else:
                    await self._settle(recipient, rows, await self._attempt(recipient, rows, carried))
                    await asyncio.sleep(0)  # Who waited for these is told before the next are looked for.
        finally:
            self._busy.discard(recipient)
            self.wake()

    async def _due(self, recipient: Did) -> tuple[Sequence[OutboxRow], Mapping[str, int]]:
        """What is due, and of which threads a carrier has something, up to which `seq`."""
        now = self._now()
        return await self._database.read(
            lambda conn: (outbox.due(conn, recipient, now, BATCH), outbox.carried(conn, recipient, now))
        )

    def _expired(self, rows: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
        now = self._now()
        return [row for row in rows if row.expires_ms is not None and row.expires_ms <= now]

    async def _give_up(self, rows: Sequence[OutboxRow]) -> None:
        ids = [row.message_id for row in rows]
        reason = "it expired before it could be delivered"
        await self._database.write(lambda conn: outbox.mark_expired(conn, ids, error=reason))
        self.counters["didcomm_failed"] += sum(row.sent_ms is None for row in rows)
        for row in rows:
            self._tell(row, "failed" if row.sent_ms is None else "sent")

    async def _attempt(self, recipient: Did, rows: Sequence[OutboxRow], carried: Mapping[str, int]) -> Attempt:
        """Try what can be read of the rows. One that cannot be read will never be sent."""
        outgoing: list[Outgoing] = []
        unreadable: dict[str, Outcome] = {}
        lately = self._now() - CARRIER_MS
        for row in rows:
            try:
                message = parse_message(row.plaintext)
            except ProtocolError as error:
                unreadable[row.message_id] = Outcome("failed", reason=str(error))
                continue
            overtakes = carried.get(message.thread, row.seq) < row.seq
            with_carrier = (row.sent_ms or 0) > lately
            outgoing.append(Outgoing(message, row.form, with_carrier=with_carrier, overtakes=overtakes))
        if not outgoing:
            return Attempt(unreadable, True)
        attempt = await self._dispatcher.bring(recipient, outgoing)
        return Attempt({**unreadable, **attempt.outcomes}, attempt.reached, attempt.reason)

    async def _settle(self, recipient: Did, rows: Sequence[OutboxRow], attempt: Attempt) -> None:
        """Note what became of each row that has an outcome; if nobody was reached, put off all that waits."""
        now, outcomes = self._now(), attempt.outcomes
        settled = [(row, outcomes[row.message_id]) for row in rows if row.message_id in outcomes]
        events = [
            self._event("didcomm_delivered" if outcome.fate == "delivered" else "didcomm_sent", row, outcome.via)
            for row, outcome in settled
            if outcome.fate in ("delivered", "sent")
        ]
        later_ms = now + self._pause_ms(max(row.attempts for row in rows))

        def settle(conn: sqlite3.Connection) -> None:
            self._note(conn, recipient, settled, now)
            if not attempt.reached:
                outbox.put_off(conn, recipient, next_attempt_ms=later_ms, error=attempt.reason)
            for event in events:
                self._events.record(conn, event)

        await self._database.write(settle)
        self._events.announce(*events)
        for row, outcome in settled:
            self.counters[f"didcomm_{_COUNTED[outcome.fate]}"] += 1
            if outcome.fate not in ("again", "behind"):
                self._tell(row, "sent" if outcome.fate == "kept" else outcome.fate)
        if not attempt.reached:
            self.counters["didcomm_put_off"] += 1
        handed_over = any(outcome.fate == "sent" for _, outcome in settled)
        if (handed_over or not attempt.reached) and self._is_connected(recipient):
            await self.hurry(recipient)  # It came while we noted that it is not there.

    def _note(
        self, conn: sqlite3.Connection, recipient: Did, settled: Sequence[tuple[OutboxRow, Outcome]], now: int
    ) -> None:
        """What became of the rows, in the transaction that is open."""
        by_way: dict[tuple[str, str], list[str]] = {}
        for row, outcome in settled:
            if outcome.fate == "again":
                at = self._next_attempt_ms(row, now)
                outbox.mark_retry(conn, [row.message_id], now_ms=now, next_attempt_ms=at, error=outcome.reason)
            elif outcome.fate == "failed":
                outbox.mark_failed(conn, [row.message_id], error=outcome.reason)
            elif outcome.via is not None:
                by_way.setdefault((outcome.fate, outcome.via), []).append(row.message_id)
        for (fate, via), ids in by_way.items():
            if fate == "delivered":
                outbox.mark_delivered(conn, ids, now, via=via)
            else:
                outbox.mark_sent(conn, ids, now, next_attempt_ms=now + CARRIER_MS, via=via)
        if any(outcome.fate == "kept" for _, outcome in settled):
            outbox.leave_with_carrier(conn, recipient, handed_after_ms=now - CARRIER_MS, again_ms=CARRIER_MS)
        if any(outcome.fate == "behind" for _, outcome in settled):
            outbox.resend(conn, recipient, now, handed_before_ms=now, grace_ms=ACK_GRACE_MS)

    def _is_connected(self, recipient: Did) -> bool:
        return any(info.did == recipient for info in self._network.peers())

    def _event(self, event_type: str, row: OutboxRow, via: str | None) -> Event:
        data = {"id": row.message_id, "to": row.to_did, "type": row.type, "via": via}
        return self._events.make(event_type, row.message_id, data, source="didcomm")

    def _tell(self, row: OutboxRow, status: str) -> None:
        for settled in self._waiting.get(row.message_id, ()):
            if not settled.done():
                settled.set_result(status)

    def _next_attempt_ms(self, row: OutboxRow, now: int) -> int:
        """After a pause, but no later than the row's end, so that it is given up on in time."""
        at = now + self._pause_ms(row.attempts)
        return at if row.expires_ms is None else max(now, min(at, row.expires_ms))

    def _pause_ms(self, attempts: int) -> int:
        doubled = self._config.retry_first_s * 2 ** min(attempts, 16)
        jitter = 0.75 + secrets.randbelow(500) / 1000
        return int(min(doubled, self._config.retry_most_s) * jitter * 1000)


_COUNTED: Final = {
    "delivered": "delivered",
    "sent": "sent",
    "kept": "kept",
    "failed": "failed",
    "again": "retried",
    "behind": "held_back",
}
