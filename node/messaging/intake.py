"""Taking messages in: one packed DIDComm message in, one byte out, and the message on disk before that byte leaves.

The order is the order of cost: its source's rate, then decryption, then the sender's standing and share, then the disk.
A message that was taken before is acknowledged again and changes nothing. A named twin is trusted with questions, not
with the disk or with all of our time: what it may add, and what of it may wait for work, is bounded.

What a message's headers say is acted on before its body: a new name of its sender, an invitation that it answers, what
it acknowledges. Then it is an answer that somebody waits for, or of a type that is answered at once, or it is kept.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from identity.did import Did
from identity.errors import PagiError
from identity.resolver import Resolver
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.errors import NotNow
from node.events import EventBus
from node.messaging.answering import Answers
from node.messaging.delivery import Delivery
from node.messaging.exchange import Threads
from node.messaging.live import LiveRoutes
from node.messaging.opening import Opener
from node.messaging.rates import Rates
from node.messaging.source import ACCEPTED, REFUSED, TRY_LATER, Incoming, Source
from node.trust import TrustList
from protocols import limits
from protocols.conversations.empty import is_acknowledgement
from protocols.conversations.reply import Reply
from protocols.didcomm.envelope import Unpacked
from protocols.didcomm.from_prior import FromPrior
from protocols.errors import RemoteProtocolError, TooLarge
from protocols.message import Message, check_times
from storage import mailbox
from storage.database import Database
from storage.errors import StorageError

logger = logging.getLogger(__name__)

Ephemeral = Callable[[Source, Did, Message], Awaitable[Sequence[Reply]]]
"""Acts on one message that is not kept, of a sender who is authenticated, and gives what to answer; the carrier waits
meanwhile. An error refuses the message; StorageError and NotNow ask for it again later."""

OnPrior = Callable[[Did, FromPrior], Awaitable[None]]
"""The sender proves that it had another DID before. It is told so with each message until we have answered."""

OnInvited = Callable[[Did, str], Awaitable[bool]]
"""The sender answers an invitation by its id; whether it was open, so that the sender is named now."""


class Intake:
    """The door for private messages. `on_stored` is told of each new message, and who sent it, once it is on disk.

    `work_types` are the types that make us work; of those a sender may have only so many waiting. `carriers` are the
    mediators that keep our mail: the owner did not name them, yet they hand over a lot and are answered.
    """

    def __init__(
        self,
        *,
        own: OwnDids,
        resolver: Resolver,
        database: Database,
        events: EventBus,
        trust: TrustList,
        live: LiveRoutes,
        threads: Threads,
        answers: Answers,
        delivery: Delivery,
        now: NowMs = now_ms,
    ) -> None:
        self._database = database
        self._events = events
        self._trust = trust
        self._live = live
        self._threads = threads
        self._answers = answers
        self._delivery = delivery
        self._now = now
        self._opener = Opener(own=own, resolver=resolver, now=now)
        self._rates = Rates(now)
        self._handlers: dict[str, tuple[Ephemeral, bool]] = {}
        self.on_stored: Callable[[Did, Message], None] = lambda sender, message: None
        self.on_prior: OnPrior | None = None
        self.on_invited: OnInvited | None = None
        self.work_types: set[str] = set()
        self.carriers: set[Did] = set()
        self.counters: Counter[str] = Counter()

    def answer(self, message_type: str, handler: Ephemeral, *, strangers: bool) -> None:
        """Have messages of this type handled at once and not kept; with `strangers` anybody's."""
        assert message_type not in self._handlers
        self._handlers[message_type] = (handler, strangers)

    async def accept(self, source: Source, packed: bytes) -> bytes:
        """Take one packed message and answer with ACCEPTED, REFUSED or TRY_LATER."""
        if not self._rates.allow_message(source, len(packed), known=self._is_known(source.peer)):
            self.counters["didcomm_throttled"] += 1
            return TRY_LATER
        try:
            unpacked = await self._opener.open(packed, source)
            incoming = self._checked(source, unpacked, len(packed))
            if (prior := await self._opener.rotation(unpacked, source)) is not None and self.on_prior is not None:
                await self.on_prior(incoming.sender, prior)
            return await self._take(await self._heed_headers(incoming))
        except StorageError as error:
            self.counters["didcomm_not_stored"] += 1
            logger.error("a message from %s could not be stored: %s", source.key, error)
            return TRY_LATER
        except NotNow as error:
            self.counters["didcomm_put_off_here"] += 1
            logger.debug("message from %s put off: %s", source.key, error)
            return TRY_LATER
        except PagiError as error:
            self.counters[f"didcomm_refused_{error.code}"] += 1
            logger.debug("message from %s refused: %s", source.key, error)
            return REFUSED

    def _is_known(self, did: Did | None) -> bool:
        return did is not None and (self._trust.allows(did) or did in self.carriers)

    def _checked(self, source: Source, unpacked: Unpacked, packed_bytes: int) -> Incoming:
        """Hold a message against the rules that need no look at the disk."""
        message, sender = unpacked.message, unpacked.author
        if unpacked.recipient is None or sender is None:
            raise RemoteProtocolError("only encrypted messages whose sender is authenticated are taken")
        check_times(message, self._now() // 1000)
        if self._trust.blocks(sender):
            raise RemoteProtocolError("the sender is blocked")
        plaintext = message.to_bytes()  # Our own writing of it can be longer than the sender's, and too long.
        known = self._is_known(sender)
        if not known and packed_bytes > limits.MAX_STRANGER_MESSAGE_BYTES:
            raise TooLarge("a first message of this size is not taken")
        if message.type in self.work_types and len(plaintext) > limits.MAX_WORK_BYTES:
            raise TooLarge("a message of this type is never so long")
        return Incoming(
            source=source,
            sender=sender,
            recipient=unpacked.recipient,
            message=message,
            plaintext=plaintext,
            packed_bytes=packed_bytes,
            known=known,
            back=self._live.offered(source, sender, message, known=known),
        )

    async def _heed_headers(self, incoming: Incoming) -> Incoming:
        """Act on the headers; what they say of the sender can make it known."""
        message, sender = incoming.message, incoming.sender
        if message.pthid is not None and self.on_invited is not None and await self.on_invited(sender, message.pthid):
            self.counters["didcomm_invited"] += 1
        if message.ack:
            await self._delivery.acknowledge(sender, message.ack)
        incoming = replace(incoming, known=self._is_known(sender))
        if incoming.back is not None and incoming.known:
            await self._delivery.hurry_back(sender)
        return incoming

    async def _take(self, incoming: Incoming) -> bytes:
        message = incoming.message
        if self._threads.take(incoming.sender, message):
            self.counters["didcomm_awaited"] += 1
            return ACCEPTED
        if message.type in self._handlers:
            return await self._answer_at_once(incoming)
        if incoming.known and not self._rates.allow_stored(incoming.sender, len(incoming.plaintext)):
            self.counters["didcomm_throttled"] += 1
            return TRY_LATER
        return await self._store(incoming)

    async def _answer_at_once(self, incoming: Incoming) -> bytes:
        handler, strangers = self._handlers[incoming.message.type]
        if not incoming.known and not strangers:
            raise RemoteProtocolError("the owner has not named the sender")
        if not self._rates.allow_answer(incoming):
            self.counters["didcomm_throttled"] += 1
            return TRY_LATER
        replies = await handler(incoming.source, incoming.sender, incoming.message)
        self.counters["didcomm_at_once"] += 1
        await self._answers.give(incoming, replies)
        await self._acknowledge(incoming)
        return ACCEPTED

    async def _acknowledge(self, incoming: Incoming) -> None:
        """Confirm what the sender wants confirmed: this message, and of older ones those that are here.

        A confirmation is never confirmed: two agents that ask for it would go on for ever. To confirm a message of a
        known sender costs less than taking it did, for many are confirmed at once; all else counts as an answer.
        """
        if not incoming.message.please_ack or is_acknowledgement(incoming.message):
            return
        sender, own_id = incoming.sender, incoming.message.id
        wanted = [message_id or own_id for message_id in incoming.message.please_ack]
        older = [message_id for message_id in wanted if message_id != own_id]
        if (older or not incoming.known) and not self._rates.allow_answer(incoming):
            return
        here = await self._database.read(lambda conn: mailbox.received(conn, sender, older)) if older else set()
        self._answers.owe(incoming, [message_id for message_id in wanted if message_id == own_id or message_id in here])

    async def _store(self, incoming: Incoming) -> bytes:
        message, sender, known = incoming.message, incoming.sender, incoming.known
        event = self._events.make(
            "didcomm_received",
            message.id,
            {"id": message.id, "from": sender, "type": message.type, "thid": message.thread, "named": known},
            source="didcomm",
        )
        work_types = frozenset(self.work_types) if message.type in self.work_types else frozenset()

        def store(conn: sqlite3.Connection) -> bool | None:
            """True if the message is new, False if it was here before, None if the sender has used up its share."""
            if mailbox.get_inbound(conn, sender, message.id) is not None:
                return False
            if _has_enough_to_do_for(conn, sender, work_types) if known else _share_is_used_up(conn, sender):
                return None
            mailbox.put_inbound(
                conn,
                message_id=message.id,
                from_did=sender,
                to_did=incoming.recipient,
                type=message.type,
                thid=message.thread,
                plaintext=incoming.plaintext,
                created_time=message.created_time,
                received_ms=event.ts_ms,
                status="received" if known else "request",
                via=incoming.source.transport,
            )
            self._events.record(conn, event)
            return True

        new = await self._database.write(store)
        if new is None:
            self.counters["didcomm_over_share" if known else "didcomm_stranger_over_share"] += 1
            # A mediator would offer a stranger's message for ever, and keep a place in our queue for it.
            return REFUSED if incoming.source.transport == "mediator" and not known else TRY_LATER
        self.counters["didcomm_accepted" if new else "didcomm_repeated"] += 1
        if new:
            if known:
                self._rates.give_back(incoming.source, incoming.packed_bytes)
            self._events.announce(event)
            self.on_stored(sender, message)
        await self._acknowledge(incoming)
        return ACCEPTED


def _share_is_used_up(conn: sqlite3.Connection, stranger: Did) -> bool:
    return (
        mailbox.count_requests(conn, stranger) >= limits.MAX_STRANGER_REQUESTS
        or mailbox.count_all_requests(conn) >= limits.MAX_ALL_REQUESTS
    )


def _has_enough_to_do_for(conn: sqlite3.Connection, named: Did, work_types: frozenset[str]) -> bool:
    return bool(work_types) and mailbox.count_unhandled(conn, named, work_types) >= limits.MAX_UNHANDLED_PER_SENDER
