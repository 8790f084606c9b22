"""The post office: what the rest of the node uses to write to twins and to act on what they write.

A received message is work until its handler is done: the handler's replies are queued in the same transaction that
marks the message handled, so a crash in between repeats the work and sends nothing twice. A handler that fails has
refused its message; it never stops the node.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from identity.did import Did, PeerId
from identity.errors import NotResolvedYet, PagiError, UnresolvableDid
from identity.resolver import Resolver
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.errors import MessageTimeout, NotNamed, OwnDid
from node.messaging.answering import Answers
from node.messaging.composing import Composer, NameFor
from node.messaging.delivery import Delivery
from node.messaging.exchange import Threads
from node.messaging.intake import Intake
from node.messaging.source import PROTOCOL, from_peer
from node.net.port import Network
from node.trust import TrustList
from protocols import limits
from protocols.conversations import basicmessage, problem_report
from protocols.conversations.reply import Reply
from protocols.didcomm.envelope import Form
from protocols.message import Attachment, Message, parse_message
from protocols.ratelimit import KeyedBuckets
from storage import mailbox, outbox
from storage.database import Database
from storage.mailbox import InboxRow, Unhandled
from storage.outbox import OutboxRow
from storage.page import Page
from storage.trust import Trust

logger = logging.getLogger(__name__)

HANDLED_AT_ONCE: Final = 4
"""Received messages that are worked on at the same time; most of that work waits for the model. The senders take
turns, so that one who asks a lot delays another's question by no more than what is under way."""

LOOKED_AT_ONCE: Final = 256
"""Rows read from the inbox in one go."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that is on disk in the outbox. `status` is queued, sent, delivered or failed."""

    id: str
    status: str


Handler = Callable[[Did, Message], Awaitable[Sequence[Reply]]]
"""Acts on one message of a twin that the owner named. It may run again after a crash: nothing it did was sent."""


class PostOffice:
    """Inbox, outbox and the handlers by message type."""

    def __init__(
        self,
        *,
        own: OwnDids,
        resolver: Resolver,
        composer: Composer,
        database: Database,
        network: Network,
        intake: Intake,
        delivery: Delivery,
        answers: Answers,
        trust: TrustList,
        name_for: NameFor,
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._resolver = resolver
        self._composer = composer
        self._database = database
        self._network = network
        self._intake = intake
        self._delivery = delivery
        self._answers = answers
        self._trust = trust
        self._name_for = name_for
        self._now = now
        self._handlers: dict[str, Handler] = {}
        self._reports_to = KeyedBuckets(
            limits.PROBLEM_REPORTS_PER_S, limits.PROBLEM_REPORTS_BURST, limits.MAX_RATED_KEYS
        )
        self._plain_types = {basicmessage.MESSAGE, problem_report.PROBLEM}
        self._threads = Threads()
        self._arrived = asyncio.Event()
        self._arrived.set()
        intake.on_stored = self._on_stored
        trust.on_change(self._accept_requests)

    def handle(self, message_type: str, handler: Handler) -> None:
        """Let `handler` act on messages of this type. To be called before `run`."""
        assert message_type not in self._handlers
        self._handlers[message_type] = handler
        self._intake.work_types.add(message_type)

    def keep(self, message_type: str) -> None:
        """Messages of this type are for the owner to read: nothing is done about them, and that is no fault."""
        self._plain_types.add(message_type)

    async def send(
        self,
        to: Did,
        type: str,  # noqa: A002
        body: Mapping[str, Any],
        *,
        thid: str | None = None,
        pthid: str | None = None,
        attachments: Sequence[Attachment] = (),
        please_ack: bool = False,
        expires_s: int | None = None,
        form: Form = "authcrypt",
    ) -> SentMessage:
        """Queue a message, durably, and start to deliver it.

        Raises OwnDid, MalformedDid or UnsupportedKey if `to` cannot be written to, TooLarge if the message is.
        """
        self._check_recipient(to)
        message = self._composer.message(
            to,
            type,
            body,
            as_=await self._name_for(to),
            thid=thid,
            pthid=pthid,
            attachments=attachments,
            please_ack=please_ack,
            expires_s=expires_s,
        )
        await self._database.write(lambda conn: self._composer.queue(conn, message, form))
        self._delivery.wake()
        return SentMessage(message.id, "queued")

    async def request(
        self,
        to: Did,
        type: str,  # noqa: A002
        body: Mapping[str, Any],
        *,
        timeout_s: float,
        message_id: str | None = None,
    ) -> Message:
        """Send a message and wait for the first reply, which may be a problem report. Raises MessageTimeout.

        With a `message_id` this may be called again, after a crash: the message goes out once, and a reply that came
        in the meantime is the answer.
        """
        self._check_recipient(to)
        message = self._composer.message(to, type, body, as_=await self._name_for(to), message_id=message_id)
        with self._threads.awaited(to, message.id) as reply:
            if message_id is not None:
                came = await self._database.read(lambda conn: mailbox.first_reply(conn, to, message_id))
                if came is not None:
                    return parse_message(came)
            await self._database.write(lambda conn: self._composer.queue(conn, message))
            self._delivery.wake()
            try:
                async with asyncio.timeout(timeout_s):
                    return await reply
            except TimeoutError as error:
                raise MessageTimeout(f"no reply from {to} within {timeout_s:g} s") from error

    async def wait_delivered(self, message_id: str, timeout_s: float) -> str:
        """The message's status once it is no longer queued, or after `timeout_s` seconds whatever it is then."""
        return await self._delivery.wait_settled(message_id, timeout_s)

    async def inbox(self, limit: int, after: str | None = None) -> Page[InboxRow]:
        """What was received, newest first."""
        return await self._database.read(lambda conn: mailbox.inbox(conn, limit=limit, after=after))

    async def outbox(self, limit: int, after: str | None = None) -> Page[OutboxRow]:
        """What was sent, newest first, with each message's fate."""
        return await self._database.read(lambda conn: outbox.list_outbound(conn, limit=limit, after=after))

    async def run(self) -> None:
        """Take in, act and deliver until cancelled."""
        await self._network.serve(
            PROTOCOL,
            self._take,
            max_request_bytes=limits.MAX_DIDCOMM_BYTES,
            max_in_flight_per_peer=limits.MAX_IN_FLIGHT_PER_PEER,
        )
        await self._accept_requests(self._trust.current)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._delivery.run())
            tasks.create_task(self._answers.run())
            tasks.create_task(self._act_on_inbox())

    async def _take(self, peer: PeerId, packed: bytes) -> bytes:
        return await self._intake.accept(from_peer(peer), packed)

    def _check_recipient(self, to: Did) -> None:
        if self._own.is_ours(to):
            raise OwnDid("a twin does not write to itself")
        with contextlib.suppress(NotResolvedYet, UnresolvableDid):  # It may be found when the message is sent.
            self._resolver.cached(to)

    # Acting on what arrived

    def _on_stored(self, sender: Did, message: Message) -> None:
        self._threads.take(sender, message)
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
            composed = [
                self._composer.reply(row.from_did, reply, thread=message.thread, as_=whole.to_did) for reply in replies
            ]
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
                self._composer.queue(conn, reply)
            mailbox.mark_handled(conn, row.from_did, row.message_id, status)

        await self._database.write(finish)
        if replies:
            self._delivery.wake()

    async def _finish_all(self, rows: Sequence[Unhandled]) -> None:
        """There is nothing to do about these; whoever sent what we do not understand is told so."""

        def finish(conn: sqlite3.Connection) -> bool:
            reports = [report for row in rows if (report := self._unsupported(conn, row)) is not None]
            for report in reports:
                self._composer.queue(conn, report)
            for row in rows:
                mailbox.mark_handled(conn, row.from_did, row.message_id, "handled")
            return bool(reports)

        if await self._database.write(finish):
            self._delivery.wake()

    def _unsupported(self, conn: sqlite3.Connection, row: Unhandled) -> Message | None:
        """A problem report about a type that nobody here knows; an answer in a thread of ours is never that."""
        if row.type in self._plain_types or row.from_did is None or row.from_did not in self._trust.named:
            return None
        whole = mailbox.get_inbound(conn, row.from_did, row.message_id)
        assert whole is not None
        thread = whole.thid or row.message_id
        begun = outbox.get_outbound(conn, thread)
        if begun is not None and begun.to_did == row.from_did:
            return None
        if not self._reports_to.allow(row.from_did, self._now() / 1000):
            return None
        report = problem_report.report(problem_report.UNSUPPORTED, args=(row.type,), pthid=thread)
        return self._composer.reply(row.from_did, report, thread=thread, as_=whole.to_did)
