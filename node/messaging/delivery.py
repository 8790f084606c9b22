"""Bringing messages out: each queued row is tried until it is delivered, refused or expired.

One worker for each recipient keeps the order; it sends a batch on one stream and waits for all answers. A failed
attempt is repeated after a pause that doubles, with jitter; a recipient that connects is tried at once.
"""

import asyncio
import logging
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from identity.did import Did, PeerId, did_of_peer_id, peer_id_of_did, resolve_did_key
from identity.errors import PagiError
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.config import MailConfig
from node.events import Event, EventBus
from node.messaging.intake import ACCEPTED, PROTOCOL, REFUSED, TRY_LATER
from node.net.errors import NetError, RemoteUnavailable
from node.net.port import Network, PeerConnected
from protocols.didcomm.envelope import pack_authcrypt
from protocols.message import parse_message
from storage import mailbox
from storage.database import Database
from storage.mailbox import OutboxRow

logger = logging.getLogger(__name__)

BATCH: Final = 64
"""Messages under way to one recipient at once: enough to hide the round trip and to share one commit."""


class Delivery:
    """The workers that empty the outbox. `wake` it after something was queued."""

    def __init__(
        self,
        *,
        keys: KeyPair,
        config: MailConfig,
        database: Database,
        events: EventBus,
        network: Network,
        addresses_of: Callable[[Did], Awaitable[Sequence[str]]],
        now: NowMs = now_ms,
    ) -> None:
        self._keys = keys
        self._config = config
        self._database = database
        self._events = events
        self._network = network
        self._addresses_of = addresses_of
        self._now = now
        self._wake = asyncio.Event()
        self._busy: set[Did] = set()
        self._settled: dict[str, asyncio.Future[str]] = {}
        self.counters: Counter[str] = Counter()

    def wake(self) -> None:
        """Look at the outbox now."""
        self._wake.set()

    async def wait_settled(self, message_id: str, timeout_s: float) -> str:
        """The message's status once it is delivered or failed; after `timeout_s` whatever it is then."""
        settled = self._settled.setdefault(message_id, asyncio.get_running_loop().create_future())
        try:
            row = await self._database.read(lambda conn: mailbox.get_outbound(conn, message_id))
            if row is None or row.status != "queued":
                return "failed" if row is None else row.status
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(settled)
        except TimeoutError:
            return "queued"
        finally:
            self._settled.pop(message_id, None)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hurry_for_those_who_connect())
            while True:
                self._wake.clear()
                for recipient in await self._recipients_due():
                    if recipient not in self._busy:
                        self._busy.add(recipient)
                        tasks.create_task(self._deliver_to(recipient))
                await self._sleep_until_due()

    async def _recipients_due(self) -> Sequence[Did]:
        now = self._now()
        return await self._database.read(lambda conn: mailbox.recipients_due(conn, now))

    async def _sleep_until_due(self) -> None:
        next_due_ms = await self._database.read(mailbox.next_due_ms)
        pause_s = 60.0 if next_due_ms is None else max(0.05, (next_due_ms - self._now()) / 1000)
        try:
            async with asyncio.timeout(min(pause_s, 60.0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _hurry_for_those_who_connect(self) -> None:
        async for event in self._network.peer_events():
            if isinstance(event, PeerConnected):
                await self._hurry(event.peer_id)

    async def _hurry(self, peer: PeerId) -> None:
        try:
            did = did_of_peer_id(peer)
        except PagiError:
            return  # A peer whose key is not Ed25519, such as a plain IPFS node: nobody writes to it.
        now = self._now()
        await self._database.write(lambda conn: mailbox.retry_now(conn, did, now))
        self.wake()

    async def _deliver_to(self, recipient: Did) -> None:
        try:
            while rows := await self._due(recipient):
                await self._settle(rows, await self._send_all(recipient, rows))
        finally:
            self._busy.discard(recipient)
            self.wake()

    async def _due(self, recipient: Did) -> Sequence[OutboxRow]:
        now = self._now()
        return await self._database.read(lambda conn: mailbox.due(conn, recipient, now, BATCH))

    async def _send_all(self, recipient: Did, rows: Sequence[OutboxRow]) -> list[bytes | PagiError]:
        """The recipient's answer to each row, or why there is none."""
        try:
            await self._reach(recipient)
        except PagiError as error:
            return [error] * len(rows)
        threads: dict[str, list[OutboxRow]] = {}
        for row in rows:
            threads.setdefault(row.thid or row.message_id, []).append(row)
        answers: dict[str, bytes | PagiError] = {}
        for thread in await asyncio.gather(*(self._send_thread(recipient, thread) for thread in threads.values())):
            answers.update(thread)
        return [answers[row.message_id] for row in rows]

    async def _send_thread(self, recipient: Did, rows: Sequence[OutboxRow]) -> dict[str, bytes | PagiError]:
        """One after the other: what follows a message that has to be repeated waits for it."""
        answers: dict[str, bytes | PagiError] = {}
        for row in rows:
            answer = await self._send(recipient, row)
            answers[row.message_id] = answer
            if answer not in (ACCEPTED, REFUSED):
                return answers | {later.message_id: TRY_LATER for later in rows if later.message_id not in answers}
        return answers

    async def _send(self, recipient: Did, row: OutboxRow) -> bytes | PagiError:
        try:
            packed = pack_authcrypt(
                parse_message(row.plaintext),
                sender=self._keys,
                recipients=(resolve_did_key(recipient),),
                entropy=os.urandom,
            )
            return await self._network.request(peer_id_of_did(recipient), PROTOCOL, packed)
        except PagiError as error:
            return error

    async def _reach(self, recipient: Did) -> None:
        peer = peer_id_of_did(recipient)
        if any(info.peer_id == peer for info in self._network.peers()):
            return
        for address in await self._addresses_of(recipient):
            try:
                await self._network.dial(address)
                return
            except NetError as error:
                logger.debug("cannot reach %s at %s: %s", recipient, address, error)
        raise RemoteUnavailable("the twin is not connected, and none of its known addresses answers")

    async def _settle(self, rows: Sequence[OutboxRow], answers: Sequence[bytes | PagiError]) -> None:
        now = self._now()
        delivered = [row for row, answer in zip(rows, answers, strict=True) if answer == ACCEPTED]
        refused = [row for row, answer in zip(rows, answers, strict=True) if answer == REFUSED]
        others = [(row, answer) for row, answer in zip(rows, answers, strict=True) if answer not in (ACCEPTED, REFUSED)]
        expired = [row for row, _ in others if row.expires_ms is not None and row.expires_ms <= now]
        again = [(row, answer) for row, answer in others if row not in expired]
        events = [self._event("didcomm_delivered", row) for row in delivered]

        def settle(conn: sqlite3.Connection) -> None:
            mailbox.mark_delivered(conn, [row.message_id for row in delivered], now)
            mailbox.mark_failed(conn, [row.message_id for row in refused], error="the recipient refused it")
            mailbox.mark_failed(conn, [row.message_id for row in expired], error="expired before it could be delivered")
            for row, answer in again:
                reason = str(answer) if isinstance(answer, PagiError) else "the recipient is busy"
                mailbox.mark_retry(
                    conn, [row.message_id], now_ms=now, next_attempt_ms=now + self._pause_ms(row), error=reason
                )
            for event in events:
                self._events.record(conn, event)

        await self._database.write(settle)
        self._events.announce(*events)
        self.counters["didcomm_delivered"] += len(delivered)
        self.counters["didcomm_failed"] += len(refused) + len(expired)
        self.counters["didcomm_retried"] += len(again)
        for row in delivered:
            self._resolve(row, "delivered")
        for row in refused + expired:
            self._resolve(row, "failed")

    def _event(self, event_type: str, row: OutboxRow) -> Event:
        return self._events.make(
            event_type, row.message_id, {"id": row.message_id, "to": row.to_did, "type": row.type}, source="didcomm"
        )

    def _resolve(self, row: OutboxRow, status: str) -> None:
        settled = self._settled.get(row.message_id)
        if settled is not None and not settled.done():
            settled.set_result(status)

    def _pause_ms(self, row: OutboxRow) -> int:
        doubled = self._config.retry_first_s * 2 ** min(row.attempts, 16)
        jitter = 0.75 + secrets.randbelow(500) / 1000
        return int(min(doubled, self._config.retry_most_s) * jitter * 1000)
