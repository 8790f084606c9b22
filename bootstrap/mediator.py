"""The mediator: keeps messages for twins that are away, reads none of them, and hands them over to their owners.

What comes in is either a `forward`, from anybody, or a client's own message. A forward is opened, its `next` looked up
and its attachment written to the queue in one transaction; then it is acknowledged. What a client wants is answered
over the connection that it came by. `bootstrap.clients` decides what the answers are.

The attachment of a forward is bytes here: encrypted for somebody else, never parsed, never logged.
"""

import asyncio
import logging
import os
import sqlite3
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bootstrap.clients import Clients
from bootstrap.live import LiveDelivery
from identity.did import Did, did_of_url, peer_id_of_did
from identity.errors import PagiError
from identity.resolver import Resolver
from node.clock import NowMs, now_ms
from node.content.hosting import Hosting
from node.dids.own import OwnDids
from node.messaging.source import ACCEPTED, PROTOCOL, REFUSED, TRY_LATER, Source, from_peer
from node.net.port import Network
from protocols import limits
from protocols.conversations.reply import Reply
from protocols.conversations.routing import FORWARD, read_forward
from protocols.didcomm.envelope import Unpacked, pack_private, unpack
from protocols.didcomm.from_prior import rotation_of
from protocols.errors import Expired, RemoteProtocolError
from protocols.message import Message, check_times
from protocols.ratelimit import KeyedBuckets
from storage import mediation
from storage.database import Database
from storage.errors import StorageError

logger = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 600.0
"""How often old mail and clients that stayed away are dropped; both are counted in days."""

REPLY_TIMEOUT_S: Final = 10.0


class Mediator:
    """The relay's door for DIDComm, whatever carries it. `run` it as long as the network lives."""

    def __init__(
        self,
        *,
        own: OwnDids,
        routing_did: Did,
        network: Network,
        database: Database,
        mail_bytes: int,
        hosting: Hosting | None = None,
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._network = network
        self._database = database
        self._mail_bytes = mail_bytes
        self._now = now
        self._resolver = Resolver(fetch=None, now_s=lambda: now() / 1000)
        self._live = LiveDelivery(database, self._send_to)
        self._clients = Clients(
            database=database,
            routing_did=routing_did,
            live=self._live,
            resolve=self._resolver.cached,
            now=now,
            hosting=hosting,
        )
        self._per_source = KeyedBuckets(limits.RELAY_RATE_PER_S, limits.RELAY_BURST, limits.MAX_RATED_KEYS)
        self._bytes_of = KeyedBuckets(limits.FORWARDED_BYTES_PER_S, limits.FORWARDED_BURST_BYTES, limits.MAX_RATED_KEYS)
        self._answering: Counter[str] = Counter()
        self._tasks: asyncio.TaskGroup | None = None
        self.counters: Counter[str] = Counter()

    def did_document(self) -> Mapping[str, Any] | None:
        """The did.json of the relay's public URL; None if it has none."""
        return self._own.web_document()

    async def run(self) -> None:
        """Answer peers, push what comes for connected clients, and drop what is too old, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._network.serve(
                PROTOCOL,
                lambda peer, packed: self.accept(from_peer(peer), packed),
                max_request_bytes=limits.MAX_DIDCOMM_BYTES,
                max_in_flight_per_peer=limits.MAX_IN_FLIGHT_PER_PEER,
            )
            tasks.create_task(self._live.run(self._network))
            tasks.create_task(self._sweep())

    async def accept(self, source: Source, packed: bytes) -> bytes:
        """Take one packed message and answer with ACCEPTED, REFUSED or TRY_LATER."""
        now_s = self._now() / 1000
        if not self._per_source.allow(source.key, now_s, 1 + len(packed) // limits.RELAY_BYTES_PER_TOKEN):
            self.counters["mediator_throttled"] += 1
            return TRY_LATER
        try:
            opened = unpack(packed, keys=self._own.keys(), resolve=self._resolver.cached)
            if not opened.encrypted:
                raise RemoteProtocolError("only encrypted messages are taken")
            if opened.message.type == FORWARD:
                return await self._forward(source, opened.message)
            check_times(opened.message, int(now_s))
            return await self._serve(source, opened)
        except StorageError as error:
            self.counters["mediator_not_stored"] += 1
            logger.error("a message for a client could not be stored: %s", error)
            return TRY_LATER
        except PagiError as error:
            self.counters[f"mediator_refused_{error.code}"] += 1
            logger.debug("message from %s refused: %s", source.key, error)
            return REFUSED

    # Forwards

    async def _forward(self, source: Source, message: Message) -> bytes:
        following, packed = read_forward(message)
        now = self._now()
        if message.expires_time is not None and message.expires_time * 1000 <= now:
            raise Expired("the forward expired")
        if not self._bytes_of.allow(source.key, now / 1000, len(packed) + mediation.ROW_BYTES):
            self.counters["mediator_throttled"] += 1
            return TRY_LATER
        recipient = did_of_url(following)

        def keep(conn: sqlite3.Connection) -> tuple[mediation.Queued, Did | None]:
            return mediation.put_message(conn, recipient, packed, now_ms=now, max_bytes=self._mail_bytes)

        outcome, client = await self._database.write(keep)
        self.counters[f"mediator_forward_{outcome}"] += 1
        if outcome == "queued" and client is not None:
            self._live.wake(client)
        if outcome == "full":
            return TRY_LATER
        return REFUSED if outcome == "unknown" else ACCEPTED

    # Clients

    async def _serve(self, source: Source, opened: Unpacked) -> bytes:
        client, message = opened.author, opened.message
        if client is None:
            raise RemoteProtocolError("only messages whose sender is authenticated are answered")
        if self._answering[source.key] >= limits.MAX_MEDIATED_ANSWERS:
            self.counters["mediator_throttled"] += 1
            return TRY_LATER
        prior = rotation_of(opened, resolve=self._resolver.cached, now_s=self._now() // 1000)
        if prior is not None:
            await self._clients.rotate(prior)
        replies = await self._clients.answer(source, client, message, encrypted_by=opened.sender)
        answer = self._answer(source, opened.recipient, client, message, replies)
        if source.back is not None:
            await answer  # An HTTP response carries it, and waits for no longer than this.
        elif replies and self._tasks is not None:
            self._answering[source.key] += 1
            self._tasks.create_task(self._in_background(source, answer))
        else:
            answer.close()
        return ACCEPTED

    async def _in_background(self, source: Source, answer: Any) -> None:
        """The peer's request is acknowledged meanwhile: it may wait for that before it takes one of ours."""
        try:
            await answer
        finally:
            self._answering[source.key] -= 1
            if not self._answering[source.key]:
                del self._answering[source.key]

    async def _answer(
        self, source: Source, own: Did | None, client: Did, message: Message, replies: Sequence[Reply]
    ) -> None:
        for reply in replies:
            try:
                await self._send_to(source, client, reply, own=own, thid=None if reply.pthid else message.thread)
            except PagiError as error:
                self.counters["mediator_not_answered"] += 1
                logger.debug("no answer to %s: %s", source.key, error)
                return

    async def _send_to(
        self, source: Source, client: Did, reply: Reply, *, own: Did | None = None, thid: str | None = None
    ) -> None:
        """Send a message to a client by the way that it came. Raises PagiError if it does not get there."""
        author = self._own.author(own)
        message = Message(
            id=str(uuid.uuid4()),
            type=reply.type,
            body=reply.body,
            from_=author.did,
            to=(client,),
            thid=thid,
            pthid=reply.pthid,
            ack=reply.ack,
            attachments=reply.attachments,
            created_time=self._now() // 1000,
        )
        document = self._resolver.cached(client)
        packed = pack_private(message, author=author, recipient=document, entropy=os.urandom)
        if source.back is not None:
            await source.back.send(packed)
        elif source.peer is not None:
            taken = await self._network.request(
                peer_id_of_did(source.peer), PROTOCOL, packed, timeout_s=REPLY_TIMEOUT_S
            )
            if taken != ACCEPTED:
                raise RemoteProtocolError("the client did not take it")
        else:
            raise RemoteProtocolError("there is no way back to the client")

    async def _sweep(self) -> None:
        while True:
            try:
                expired, gone = await self._database.write(self._drop_what_is_old)
            except StorageError as error:
                logger.error("old mail could not be dropped: %s", error)
                expired, gone = 0, 0
            self.counters["mediator_expired"] += expired
            if not expired and not gone:
                await asyncio.sleep(SWEEP_EVERY_S)

    def _drop_what_is_old(self, conn: sqlite3.Connection) -> tuple[int, int]:
        return mediation.sweep(conn, self._now())
