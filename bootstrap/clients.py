"""What the mediator answers to its clients: who may be one, for which DIDs, and what waits for them.

A client is whoever encrypted the message (authcrypt) or signed it. It gets mail for DIDs whose key it holds and for
no others, so nobody can have another's mail kept from its owner; and it sees and confirms its own queue alone.
"""

import hashlib
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from bootstrap.live import LiveDelivery
from identity.did import Did, DidDocument
from identity.errors import PagiError
from node.clock import NowMs
from node.content.hosting import Hosting
from node.messaging.source import Source
from protocols import limits
from protocols.conversations import (
    discover_features,
    mediation,
    pickup,
    pinning,
    problem_report,
    routing,
    trust_ping,
)
from protocols.conversations.reply import Reply
from protocols.didcomm.from_prior import FromPrior
from protocols.errors import MalformedMessage, UnexpectedMessage
from protocols.message import EMPTY, Message
from protocols.ratelimit import KeyedBuckets
from storage import hosted_pins
from storage import mediation as rows
from storage.database import Database

TABLES: Final = (
    *mediation.MEDIATOR.values(),
    *pickup.MEDIATOR.values(),
    routing.MEDIATOR,
    trust_ping.RECEIVER,
    discover_features.RESPONDER,
)
FEATURES: Final = discover_features.features_of(TABLES)
"""What the mediator tells everybody who asks, beside that it keeps content if it does."""

NOT_A_CLIENT: Final = "e.p.req.not-a-client"
"""Mail is kept only for those to whom mediation was granted."""

SEEN_EVERY_MS: Final = 3_600_000
"""How exactly it is noted when a client was here last: what its age is counted in are weeks."""

MAX_REMEMBERED: Final = 65_536
"""Clients' messages that are remembered, by a hash and with 200 bytes each: one that is replayed changes nothing, and
whoever writes with long names and ids costs no more than others."""

_NEVER_ANSWERED: Final = frozenset(
    {EMPTY, problem_report.PROBLEM, trust_ping.PING_RESPONSE, discover_features.DISCLOSE}
)


class Clients:
    """The desk at which clients are served."""

    def __init__(
        self,
        *,
        database: Database,
        routing_did: Did,
        live: LiveDelivery,
        resolve: Callable[[Did], DidDocument],
        now: NowMs,
        hosting: Hosting | None = None,
    ) -> None:
        self._database = database
        self._hosting = hosting
        self._features = FEATURES if hosting is None else discover_features.features_of([*TABLES, pinning.HOST])
        self._routing_did = routing_did
        self._live = live
        self._resolve = resolve
        self._now = now
        self._grants = KeyedBuckets(limits.GRANTS_PER_S, limits.GRANTS_BURST, limits.MAX_RATED_KEYS)
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._began_s = now() // 1000

    async def answer(
        self, source: Source, client: Did, message: Message, *, encrypted_by: Did | None = None
    ) -> Sequence[Reply]:
        """What to send back for a message of this author. `encrypted_by` is the client if it proved so that it holds a
        key to agree with, None if it only signed. Raises StorageError."""
        if self._is_known(client, message.id):
            return ()
        try:
            if message.type in mediation.MEDIATOR_TYPES:
                return await self._coordinate(source, client, message, encrypted_by)
            if message.type in pickup.MEDIATOR_TYPES:
                return await self._pick_up(source, client, message)
            if message.type in pinning.HOST_TYPES and self._hosting is not None:
                return await self._hosting.answer(source, client, message)
            if message.type == trust_ping.PING:
                reply = trust_ping.respond(message)
                return () if reply is None else (reply,)
            if message.type == discover_features.QUERIES:
                return (discover_features.disclose(discover_features.Queries.from_body(message.body), self._features),)
        except (MalformedMessage, UnexpectedMessage) as error:
            malformed = isinstance(error, MalformedMessage)
            code = problem_report.MALFORMED if malformed else problem_report.UNEXPECTED
            return (problem_report.report(code, pthid=message.thread, ack=(message.id,)),)
        if message.type in _NEVER_ANSWERED:
            return ()
        return (problem_report.report(problem_report.UNSUPPORTED, pthid=message.thread, ack=(message.id,)),)

    async def rotate(self, prior: FromPrior) -> None:
        """A client has another name from now on: its DIDs and its mail go with it."""
        now = self._now()

        def succeed(conn: sqlite3.Connection) -> bool:
            hosted_pins.succeed(conn, prior.old_did, prior.new_did)
            return rows.succeed(conn, prior.old_did, prior.new_did, now)

        if await self._database.write(succeed):
            self._live.end(prior.old_did)

    def _is_known(self, client: Did, message_id: str) -> bool:
        """Whether this very message was here before, as far as that is remembered."""
        key = hashlib.sha256(f"{client} {message_id}".encode()).digest()
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return False

    # Coordination

    async def _coordinate(
        self, source: Source, client: Did, message: Message, encrypted_by: Did | None
    ) -> Sequence[Reply]:
        now = self._now()
        known = await self._database.read(lambda conn: rows.get_client(conn, client))
        asks = message.type in mediation.REQUEST.values()
        may_come = known is not None or (asks and self._grants.allow(source.key, now / 1000))
        version = message.type.split("/")[-2]
        owned = self._owned_among(client, message, encrypted_by)

        def apply(conn: sqlite3.Connection) -> Reply:
            row = rows.put_client(conn, client, version, now) if asks and may_come else rows.get_client(conn, client)
            keylist = tuple(rows.keys_of(conn, row.client)) if row is not None else ()

            def allows(did: Did) -> bool:
                return did in owned and rows.owner_of(conn, did) is None

            standing = mediation.Standing("none" if known is None else "granted", keylist)
            after, reply = mediation.answer(
                standing, message, grants=row is not None, routing_dids=(self._routing_did,), allows=allows
            )
            if row is not None:
                for did in set(after.keylist) - set(keylist):
                    rows.add_key(conn, row.client, did)
                for did in set(keylist) - set(after.keylist):
                    rows.remove_key(conn, row.client, did)
            return reply

        return (await self._database.write(apply),)

    def _owned_among(self, client: Did, message: Message, encrypted_by: Did | None) -> frozenset[Did]:
        """Of the DIDs that a message wants registered those that are the client's."""
        if message.type not in mediation.UPDATE.values():
            return frozenset()
        wanted = {change.recipient_did for change in mediation.Update.from_body(message.body).changes}
        return frozenset(did for did in wanted if self._is_clients_own(client, did, encrypted_by))

    def _is_clients_own(self, client: Did, did: Did, encrypted_by: Did | None) -> bool:
        """Whether `did` has no other key to agree with than the one that the client proved to hold.

        A document can name anybody's keys. Its author holds the one that it encrypted with, which is known where there
        is only one; who only signed holds none of them, unless that one follows from the key that signs (`did:key`).
        """
        if did == client:
            return True
        if encrypted_by != client and not client.startswith("did:key:"):
            return False
        try:
            held, wanted = (self._resolve(one).key_agreement for one in (client, did))
        except PagiError:
            return False
        keys = {(key.curve, key.public) for key in held}
        return len(keys) == 1 and keys == {(key.curve, key.public) for key in wanted}

    # Pickup

    async def _pick_up(self, source: Source, client: Did, message: Message) -> Sequence[Reply]:
        version, request = pickup.read_request(message)
        row = await self._database.read(lambda conn: rows.get_client(conn, client))
        if row is None:
            return (problem_report.report(NOT_A_CLIENT, pthid=message.thread, ack=(message.id,)),)
        now = self._now()
        if now - row.seen_ms > SEEN_EVERY_MS:
            await self._database.write(lambda conn: rows.touch_client(conn, row.client, now))
        can_live = True
        if isinstance(request, pickup.MessagesReceived):
            received = request.ids
            await self._database.write(lambda conn: rows.confirm(conn, row.client, received))
            self._live.confirmed(client, received)
        elif isinstance(request, pickup.LiveDeliveryChange):
            can_live = self._change_live(source, row, version, message, on=request.live_delivery)
        state = "live" if self._live.is_live(client) else "on demand"
        _, reply = pickup.answer(state, message, await self._queue(row, request), can_live=can_live, now_ms=now)
        return () if reply is None else (reply,)

    def _change_live(
        self, source: Source, row: rows.ClientRow, version: pickup.Version, message: Message, *, on: bool
    ) -> bool:
        if self._is_recording(message):
            return self._live.is_live(row.did)
        if not on:
            self._live.end(row.did)
            return True
        return self._stays_open(source, row.did) and self._live.begin(row.client, row.did, source, version)

    def _is_recording(self, message: Message) -> bool:
        """Whether somebody may play this to us to have a client's mail pushed to itself, or to nobody.

        What was written since our start, and a moment ago, is known by its id if it comes twice. One that does not
        say when it was written could be played again after each start of ours.
        """
        oldest_s = max(self._began_s, self._now() // 1000 - limits.MAX_RETURN_ROUTE_AGE_S)
        return message.created_time is None or message.created_time < oldest_s

    def _stays_open(self, source: Source, client: Did) -> bool:
        """Whether something can be sent later by the way that a message came, and would reach the client itself."""
        if source.transport == "libp2p":
            return source.peer is not None and self._is_clients_own(client, source.peer, client)
        return source.transport == "websocket" and source.back is not None and not source.back.closed

    async def _queue(self, row: rows.ClientRow, request: pickup.Request) -> pickup.Queue:
        about = None
        if isinstance(request, pickup.StatusRequest | pickup.DeliveryRequest):
            about = request.recipient_did
        limit = request.limit if isinstance(request, pickup.DeliveryRequest) else 0

        def read(conn: sqlite3.Connection) -> tuple[rows.Waiting, list[rows.WaitingRow]]:
            brought = rows.waiting(conn, row.client, limit=limit, max_bytes=limits.MAX_FORWARDED_BYTES, recipient=about)
            return rows.count_waiting(conn, row.client, about), brought

        waiting, brought = await self._database.read(read)
        self._live.handed_over(row.did, brought)
        return pickup.Queue(
            waiting.messages,
            waiting.bytes,
            waiting.oldest_ms,
            waiting.newest_ms,
            [pickup.Delivered(one.id, one.packed) for one in brought],
        )
