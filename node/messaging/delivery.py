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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from identity.did import Did, PeerId, did_of_peer_id, peer_id_of_did, resolve_did_key
from identity.errors import PagiError
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.config import MailConfig
from node.events import Event, EventBus
from node.messaging.intake import ACCEPTED, PROTOCOL, REFUSED
from node.net.errors import NetError, RemoteUnavailable
from node.net.port import Network, PeerConnected
from protocols.didcomm.envelope import pack_authcrypt
from protocols.errors import Expired, ProtocolError
from protocols.message import parse_message
from storage import mailbox
from storage.database import Database
from storage.mailbox import OutboxRow

logger = logging.getLogger(__name__)

BATCH: Final = 64
"""Messages under way to one recipient at once: enough to hide the round trip and to share one commit."""

LOOK_EVERY_S: Final = 60.0
"""The outbox is looked at this often without a reason: what a clock that jumps can cost."""

Answers = Mapping[str, bytes | PagiError]
"""By message id: the recipient's answer, or why there is none. What was not sent is not in it."""


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
        self._waiting: dict[str, set[asyncio.Future[str]]] = {}
        self.counters: Counter[str] = Counter()

    def wake(self) -> None:
        """Look at the outbox now."""
        self._wake.set()

    async def wait_settled(self, message_id: str, timeout_s: float) -> str:
        """The message's status once it is delivered or failed; after `timeout_s` whatever it is then."""
        settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(message_id, set())
        waiting.add(settled)
        try:
            async with asyncio.timeout(timeout_s):
                row = await self._database.read(lambda conn: mailbox.get_outbound(conn, message_id))
                if row is None or row.status != "queued":
                    return "failed" if row is None else row.status
                return await settled
        except TimeoutError:
            return "queued"
        finally:
            waiting.discard(settled)
            if not waiting:
                del self._waiting[message_id]

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hurry_for_those_who_connect())
            while True:
                self._wake.clear()
                pause_s = LOOK_EVERY_S
                for recipient, due_ms in (await self._database.read(mailbox.recipients_due)).items():
                    if recipient in self._busy:
                        continue  # Its worker looks again before it ends, and wakes this loop when it does.
                    wait_s = (due_ms - self._now()) / 1000
                    if wait_s > 0:
                        pause_s = min(pause_s, wait_s)
                    else:
                        self._busy.add(recipient)
                        tasks.create_task(self._deliver_to(recipient))
                await self._wait_woken(pause_s)

    async def _wait_woken(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _hurry_for_those_who_connect(self) -> None:
        events = self._network.peer_events()
        for info in self._network.peers():
            await self._hurry(info.peer_id)
        async for event in events:
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
                if expired := self._expired(rows):
                    await self._settle(rows, expired)
                elif await self._reach(recipient, rows):
                    await self._settle(rows, await self._send_all(recipient, rows))
        finally:
            self._busy.discard(recipient)
            self.wake()

    async def _due(self, recipient: Did) -> Sequence[OutboxRow]:
        now = self._now()
        return await self._database.read(lambda conn: mailbox.due(conn, recipient, now, BATCH))

    def _expired(self, rows: Sequence[OutboxRow]) -> Answers:
        now = self._now()
        old = [row for row in rows if row.expires_ms is not None and row.expires_ms <= now]
        return {row.message_id: Expired("it expired before it could be delivered") for row in old}

    async def _reach(self, recipient: Did, rows: Sequence[OutboxRow]) -> bool:
        """Whether there is a connection now; if not, all that is queued for the recipient is put off together."""
        try:
            await self._connect(recipient)
        except PagiError as error:
            reason = str(error)
        else:
            return True
        next_ms = self._now() + self._pause_ms(max(row.attempts for row in rows))
        await self._database.write(lambda conn: mailbox.put_off(conn, recipient, next_attempt_ms=next_ms, error=reason))
        self.counters["didcomm_put_off"] += 1
        if self._is_connected(recipient):  # It came while we noted that it is not there.
            await self._hurry(peer_id_of_did(recipient))
        return False

    async def _connect(self, recipient: Did) -> None:
        if self._is_connected(recipient):
            return
        for address in await self._addresses_of(recipient):
            try:
                await self._network.dial(address)
                return
            except NetError as error:
                logger.debug("cannot reach %s at %s: %s", recipient, address, error)
        raise RemoteUnavailable("the twin is not connected, and none of its known addresses answers")

    def _is_connected(self, recipient: Did) -> bool:
        peer = peer_id_of_did(recipient)
        return any(info.peer_id == peer for info in self._network.peers())

    async def _send_all(self, recipient: Did, rows: Sequence[OutboxRow]) -> Answers:
        threads: dict[str, list[OutboxRow]] = {}
        for row in rows:
            threads.setdefault(row.thid or row.message_id, []).append(row)
        answers: dict[str, bytes | PagiError] = {}
        for thread in await asyncio.gather(*(self._send_thread(recipient, thread) for thread in threads.values())):
            answers.update(thread)
        return answers

    async def _send_thread(self, recipient: Did, rows: Sequence[OutboxRow]) -> Answers:
        """One after the other: what follows a message that has to be repeated is not sent yet."""
        answers: dict[str, bytes | PagiError] = {}
        for row in rows:
            answer = answers[row.message_id] = await self._send(recipient, row)
            if answer != ACCEPTED and not _is_final(answer):
                break
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

    async def _settle(self, rows: Sequence[OutboxRow], answers: Answers) -> None:
        """Note what became of each row that has an answer."""
        now = self._now()
        delivered = [row for row in rows if answers.get(row.message_id) == ACCEPTED]
        failed = [row for row in rows if _is_final(answers.get(row.message_id))]
        again = [row for row in rows if row.message_id in answers and row not in delivered and row not in failed]
        events = [self._event("didcomm_delivered", row) for row in delivered]

        def settle(conn: sqlite3.Connection) -> None:
            mailbox.mark_delivered(conn, [row.message_id for row in delivered], now)
            for row in failed:
                mailbox.mark_failed(conn, [row.message_id], error=_reason(answers[row.message_id]))
            for row in again:
                mailbox.mark_retry(
                    conn,
                    [row.message_id],
                    now_ms=now,
                    next_attempt_ms=self._next_attempt_ms(row, now),
                    error=_reason(answers[row.message_id]),
                )
            for event in events:
                self._events.record(conn, event)

        await self._database.write(settle)
        self._events.announce(*events)
        self.counters["didcomm_delivered"] += len(delivered)
        self.counters["didcomm_failed"] += len(failed)
        self.counters["didcomm_retried"] += len(again)
        for status, settled in (("delivered", delivered), ("failed", failed)):
            for row in settled:
                self._tell(row, status)

    def _event(self, event_type: str, row: OutboxRow) -> Event:
        return self._events.make(
            event_type, row.message_id, {"id": row.message_id, "to": row.to_did, "type": row.type}, source="didcomm"
        )

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


def _is_final(answer: bytes | PagiError | None) -> bool:
    """Whether trying again would change nothing."""
    return answer == REFUSED or isinstance(answer, ProtocolError)


def _reason(answer: bytes | PagiError) -> str:
    if isinstance(answer, PagiError):
        return str(answer)
    return "the recipient refused it" if answer == REFUSED else "the recipient is busy"
