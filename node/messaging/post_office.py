"""The post office: what the rest of the node uses to write to twins and to act on what they write.

A received message is work until its handler is done: the handler's replies are queued in the same transaction that
marks the message handled, so a crash in between repeats the work and sends nothing twice. A handler that fails has
refused its message; it never stops the node.
"""

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from identity.did import Did, did_key, resolve_did_key
from identity.errors import PagiError
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.config import MailConfig
from node.errors import MessageTimeout, NotNamed, OwnDid
from node.messaging.delivery import Delivery
from node.messaging.intake import PROTOCOL, Intake
from node.net.port import Network
from node.trust import TrustList
from protocols import limits
from protocols.message import Message, parse_message
from storage import mailbox
from storage.database import Database
from storage.mailbox import InboxRow, OutboxRow, Unhandled
from storage.page import Page
from storage.trust import Trust

logger = logging.getLogger(__name__)

HANDLED_AT_ONCE: Final = 4
"""Received messages that are worked on at the same time; most of that work waits for the model. The senders take
turns, so that one who asks a lot delays another's question by no more than what is under way."""

LOOKED_AT_ONCE: Final = 256
"""Rows read from the inbox in one go."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler wants sent back to the sender, in the same thread."""

    type: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that is on disk in the outbox. `status` is queued, delivered or failed."""

    id: str
    status: str


Handler = Callable[[Did, Message], Awaitable[Sequence[Reply]]]
"""Acts on one message of a twin that the owner named. It may run again after a crash: nothing it did was sent."""


class PostOffice:
    """Inbox, outbox and the handlers by message type."""

    def __init__(
        self,
        *,
        keys: KeyPair,
        config: MailConfig,
        database: Database,
        network: Network,
        intake: Intake,
        delivery: Delivery,
        trust: TrustList,
        now: NowMs = now_ms,
    ) -> None:
        self._did = did_key(keys.public)
        self._config = config
        self._database = database
        self._network = network
        self._intake = intake
        self._delivery = delivery
        self._trust = trust
        self._now = now
        self._handlers: dict[str, Handler] = {}
        self._replies: dict[tuple[Did, str], asyncio.Future[Message]] = {}
        self._arrived = asyncio.Event()
        self._arrived.set()
        intake.on_stored = self._on_stored
        trust.on_change(self._accept_requests)

    def handle(self, message_type: str, handler: Handler) -> None:
        """Let `handler` act on messages of this type. To be called before `run`."""
        assert message_type not in self._handlers
        self._handlers[message_type] = handler
        self._intake.work_types.add(message_type)

    async def send(
        self,
        to: Did,
        type: str,  # noqa: A002
        body: Mapping[str, Any],
        *,
        thid: str | None = None,
    ) -> SentMessage:
        """Queue a message, durably, and start to deliver it.

        Raises OwnDid, MalformedDid or UnsupportedKey if `to` cannot be written to, TooLarge if the message is.
        """
        self._check_recipient(to)
        message = self._compose(to, type, body, thid)
        await self._database.write(lambda conn: self._queue(conn, message))
        self._delivery.wake()
        return SentMessage(message.id, "queued")

    async def request(self, to: Did, type: str, body: Mapping[str, Any], *, timeout_s: float) -> Message:  # noqa: A002
        """Send a message and wait for the first reply in its thread. Raises MessageTimeout."""
        self._check_recipient(to)
        message = self._compose(to, type, body, None)
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[to, message.id] = reply
        try:
            await self._database.write(lambda conn: self._queue(conn, message))
            self._delivery.wake()
            async with asyncio.timeout(timeout_s):
                return await reply
        except TimeoutError as error:
            raise MessageTimeout(f"no reply from {to} within {timeout_s:g} s") from error
        finally:
            del self._replies[to, message.id]

    async def wait_delivered(self, message_id: str, timeout_s: float) -> str:
        """The message's status once it is no longer queued, or after `timeout_s` seconds whatever it is then."""
        return await self._delivery.wait_settled(message_id, timeout_s)

    async def inbox(self, limit: int, after: str | None = None) -> Page[InboxRow]:
        """What was received, newest first."""
        return await self._database.read(lambda conn: mailbox.inbox(conn, limit=limit, after=after))

    async def outbox(self, limit: int, after: str | None = None) -> Page[OutboxRow]:
        """What was sent, newest first, with each message's fate."""
        return await self._database.read(lambda conn: mailbox.outbox(conn, limit=limit, after=after))

    async def run(self) -> None:
        """Take in, act and deliver until cancelled."""
        await self._network.serve(
            PROTOCOL,
            self._intake.accept,
            max_request_bytes=limits.MAX_DIDCOMM_BYTES,
            max_in_flight_per_peer=limits.MAX_IN_FLIGHT_PER_PEER,
        )
        await self._accept_requests(self._trust.current)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._delivery.run())
            tasks.create_task(self._act_on_inbox())

    def _check_recipient(self, to: Did) -> None:
        if to == self._did:
            raise OwnDid("a twin does not write to itself")
        resolve_did_key(to)

    def _compose(self, to: Did, message_type: str, body: Mapping[str, Any], thid: str | None) -> Message:
        now_s = self._now() // 1000
        return Message(
            id=str(uuid.uuid4()),
            type=message_type,
            body=body,
            from_=self._did,
            to=(to,),
            thid=thid,
            created_time=now_s,
            expires_time=now_s + self._config.expire_after_s,
        )

    def _queue(self, conn: sqlite3.Connection, message: Message) -> None:
        assert message.expires_time is not None
        mailbox.queue_outbound(
            conn,
            message_id=message.id,
            to_did=message.to[0],
            type=message.type,
            thid=message.thread,
            plaintext=message.to_bytes(),
            created_ms=self._now(),
            expires_ms=message.expires_time * 1000,
        )

    # Acting on what arrived

    def _on_stored(self, sender: Did, message: Message) -> None:
        # A reply counts in its thread and from the twin that was asked; anybody can write into a thread.
        waiting = self._replies.get((sender, message.thread))
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        self._arrived.set()

    async def _accept_requests(self, trust: Trust) -> None:
        """What twins wrote before the owner named them is work now."""
        named = trust.allow - trust.block
        await self._database.write(lambda conn: [mailbox.accept_requests(conn, did) for did in named])
        self._arrived.set()

    async def _act_on_inbox(self) -> None:
        under_way: set[int] = set()
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                # A message that is finished while we read can still be among what we read.
                busy = frozenset(under_way)
                rows = await self._database.read(lambda conn: mailbox.unhandled(conn, LOOKED_AT_ONCE))
                if plain := [row for row in rows if row.type not in self._handlers]:
                    await self._finish_all(plain)
                    self._arrived.set()
                for row in rows:
                    if row.type in self._handlers and row.seq not in busy and len(under_way) < HANDLED_AT_ONCE:
                        under_way.add(row.seq)
                        tasks.create_task(self._act_on(row, under_way))

    async def _act_on(self, row: Unhandled, under_way: set[int]) -> None:
        try:
            replies = await self._replies_to(row)
            await self._finish(row, "handled" if replies is not None else "refused", replies or ())
        finally:
            under_way.discard(row.seq)
            self._arrived.set()

    async def _replies_to(self, row: Unhandled) -> Sequence[Message] | None:
        """What the message's handler wants sent; None if it refused the message or failed."""
        assert row.from_did is not None
        whole = await self._database.read(lambda conn: mailbox.get_inbound(conn, row.from_did, row.message_id))
        assert whole is not None
        try:
            if not self._trust.allows(row.from_did):
                raise NotNamed("the owner no longer names its sender")
            message = parse_message(whole.plaintext)
            replies = await self._handlers[row.type](row.from_did, message)
            composed = [self._compose(row.from_did, reply.type, reply.body, message.thread) for reply in replies]
            for reply in composed:
                reply.to_bytes()  # One that cannot be sent is the handler's failure, not the transaction's.
            return composed
        except PagiError as error:
            logger.warning("message %s of type %s was not acted on: %s", row.message_id, row.type, error)
        except Exception:  # a defect of one handler, which another twin can trigger, must not stop the whole node
            logger.exception("the handler of message %s of type %s failed", row.message_id, row.type)
        return None

    async def _finish(self, row: Unhandled, status: mailbox.InboxStatus, replies: Sequence[Message]) -> None:
        def finish(conn: sqlite3.Connection) -> None:
            for reply in replies:
                self._queue(conn, reply)
            mailbox.mark_handled(conn, row.from_did, row.message_id, status)

        await self._database.write(finish)
        if replies:
            self._delivery.wake()

    async def _finish_all(self, rows: Sequence[Unhandled]) -> None:
        def finish(conn: sqlite3.Connection) -> None:
            for row in rows:
                mailbox.mark_handled(conn, row.from_did, row.message_id, "handled")

        await self._database.write(finish)
