"""Our mediators: relays that keep our mail while we are away, and hand it over when we come.

With each configured relay that is connected: ask for mediation, register our names, then fetch what waits and take what
comes (`pickup`), until the connection goes. Each packed message passes intake like any other.

A mediator is trusted with nothing: it may deny, lie, push what it likes or never answer. It costs one of these tasks
and no message; what it hands over has to be for us, from who it says it is from, and new.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from identity.did import Did, PeerId, did_of_peer_id, peer_id_of_did
from identity.errors import PagiError
from identity.resolver import Resolver
from node.clock import NowMs, now_ms, wait_within
from node.config import MailConfig
from node.dids.own import OwnDids
from node.messaging.composing import Composer
from node.messaging.exchange import Exchange, SendNow
from node.messaging.intake import Intake
from node.messaging.pickup import Pickup
from node.messaging.routes import endpoints_in
from node.messaging.source import Source
from node.net.port import Network, PeerConnected
from protocols import limits
from protocols.conversations import mediation, pickup
from protocols.conversations.problem_report import PROBLEM
from protocols.conversations.reply import Reply
from protocols.didcomm.from_prior import make_from_prior
from protocols.errors import RemoteProtocolError
from protocols.message import Message
from protocols.swarm import Mediator
from storage import mediators as rows
from storage.database import Database
from storage.errors import StorageError

logger = logging.getLogger(__name__)

ANSWER_S: Final = 15.0
"""How long a mediator may take to answer."""

TICK_S: Final = 1.0
"""How often it is looked whether the mediator is still there, and whether we have another name to register."""

NEW_NAME_S: Final = 3.0
"""How long a name that is about to be handed out waits for a mediator to know it."""

RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 300.0
"""Pauses before a mediator that failed us is asked again, unless it connects anew."""

PICKED_UP_EVERY_MS: Final = 60_000
"""How exactly the time of the last mail is kept on disk: each time is a commit."""

RETRY_DENIED_S: Final = 3600.0
"""When one that keeps no mail is asked again: its owner may have changed their mind, or it may have room again."""

State = Literal["away", "asking", "granted", "denied", "failed"]
"""`away`: it is not connected. `failed`: it answered with nonsense or not at all, and is asked again later."""


@dataclass(frozen=True, slots=True)
class MediatorStatus:
    """One mediator as the owner sees it. `routing_did` and `uris` are what others are told, None and empty while it
    has granted nothing; `waiting` is how much it said it holds; `reason` says why it is of no use now."""

    did: Did
    state: State
    reason: str | None
    routing_did: Did | None
    uris: tuple[str, ...]
    waiting: int | None
    granted_ms: int | None
    picked_up_ms: int | None


class _Desk:
    """How we stand with one mediator."""

    def __init__(self, did: Did, address: str) -> None:
        self.did = did
        self.address = address
        self.state: State = "away"
        self.reason: str | None = None
        self.granted: rows.OwnMediatorRow | None = None
        self.registered: frozenset[Did] = frozenset()
        self.came = asyncio.Event()
        self.losses = 0
        self.pickup: Pickup | None = None
        self.registering = asyncio.Lock()
        self.noted_ms = 0


class Mediation:
    """The client of all our mediators. `relays` are the multiaddrs of the bootstrap relays.

    `on_change` is called when `mediators` gives something else than before.
    """

    def __init__(
        self,
        *,
        own: OwnDids,
        config: MailConfig,
        relays: Sequence[str],
        resolver: Resolver,
        network: Network,
        database: Database,
        intake: Intake,
        exchange: Exchange,
        composer: Composer,
        send_now: SendNow,
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._resolver = resolver
        self._network = network
        self._database = database
        self._intake = intake
        self._exchange = exchange
        self._composer = composer
        self._send_now = send_now
        self._now = now
        wanted = list(relays) if config.mediator == "auto" else []
        desks = [desk for desk in map(_desk_at, wanted) if desk is not None]
        self._desks = {desk.did: desk for desk in desks[: limits.MAX_MEDIATORS]}
        self.on_change: Callable[[], None] = lambda: None
        self.counters: Counter[str] = Counter()
        for message_type in pickup.RECIPIENT_TYPES:
            intake.answer(message_type, self._take_pushed, strangers=False)
        for version in mediation.VERSIONS:
            intake.answer(mediation.REQUEST[version], partial(_deny, version), strangers=True)

    async def load(self) -> None:
        """What was granted in an earlier run holds until the mediator says otherwise; others are forgotten."""
        for row in await self._database.read(rows.own_mediators):
            desk = self._desks.get(row.did)
            if desk is None:
                await self._database.write(partial(rows.drop_mediator, did=row.did))
            else:
                desk.granted = row
        self.on_change()

    async def run(self) -> None:
        """Have our mail kept and fetch it until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            events = self._network.peer_events()
            for desk in self._desks.values():
                tasks.create_task(self._serve(desk))
            async for event in events:
                if (desk_of_peer := self._desk_of(event.peer_id)) is None:
                    continue
                if isinstance(event, PeerConnected):
                    desk_of_peer.came.set()
                else:
                    desk_of_peer.losses += 1

    def mediators(self) -> tuple[Mediator, ...]:
        """Who keeps our mail now, for announcements."""
        granted = (desk.granted for desk in self._desks.values() if desk.granted is not None)
        return tuple(Mediator(row.routing_did, row.uris) for row in granted)

    async def register_names(self) -> None:
        """Let the mediators that are there know a name before others do: what comes for it earlier is refused.

        One that does not answer now is told later.
        """
        for desk in self._desks.values():
            try:
                async with asyncio.timeout(NEW_NAME_S):
                    if desk.pickup is not None:
                        await self._keep_registered(desk)
            except (PagiError, TimeoutError) as error:
                logger.debug("the mediator %s does not know our new name yet: %s", desk.did, error)

    def status(self) -> tuple[MediatorStatus, ...]:
        """Every configured mediator and how we stand with it."""
        return tuple(_status_of(desk) for desk in self._desks.values())

    def _desk_of(self, peer: PeerId) -> _Desk | None:
        return next((desk for desk in self._desks.values() if peer_id_of_did(desk.did) == peer), None)

    # One mediator, for as long as it is connected

    async def _serve(self, desk: _Desk) -> None:
        pause_s = RETRY_FIRST_S
        while True:
            desk.came.clear()
            if not self._is_connected(desk):
                desk.state, desk.reason = "away", None
                await desk.came.wait()
                pause_s = RETRY_FIRST_S
                continue
            try:
                await self._agree(desk)
                await self._fetch(desk)
                pause_s = RETRY_FIRST_S
            except StorageError:
                raise  # The supervisor lets this part rest.
            except PagiError as error:
                self.counters["mediation_failed"] += 1
                logger.debug("the mediator %s: %s", desk.did, error)
                desk.state, desk.reason = "denied" if desk.state == "denied" else "failed", str(error)
                await wait_within(desk.came, RETRY_DENIED_S if desk.state == "denied" else pause_s)
                pause_s = min(2 * pause_s, RETRY_MOST_S)

    async def _agree(self, desk: _Desk) -> None:
        """Ask for mediation and register our names. Raises PagiError if nothing comes of it."""
        desk.state, desk.reason, desk.registered = "asking", None, frozenset()
        for version in mediation.VERSIONS:
            client, request = mediation.Client(version).request()
            answer = await self._ask(desk, request)
            if answer.type == PROBLEM and version != mediation.VERSIONS[-1]:
                continue  # Perhaps it speaks the other version.
            client, outcome = client.receive(answer)
            if not isinstance(outcome, mediation.Grant):
                await self._was_denied(desk)
            await self._bring_retired_names(desk)
            await self._register(desk, client)
            await self._was_granted(desk, client)
            return

    async def _was_denied(self, desk: _Desk) -> None:
        desk.state = "denied"
        self._intake.carriers.discard(desk.did)
        if desk.granted is not None:
            desk.granted = None
            await self._database.write(partial(rows.drop_mediator, did=desk.did))
            self.on_change()
        raise RemoteProtocolError("it keeps no mail for us")

    async def _was_granted(self, desk: _Desk, client: mediation.Client) -> None:
        row = rows.OwnMediatorRow(
            did=desk.did,
            version=client.version,
            routing_did=client.routing_dids[0],
            uris=await self._places(desk, client.routing_dids[0]),
            granted_ms=self._now(),
            picked_up_ms=desk.granted.picked_up_ms if desk.granted else None,
        )
        await self._database.write(partial(rows.put_mediator, row=row))
        desk.granted, desk.state = row, "granted"
        self._intake.carriers.add(desk.did)  # What it hands over is more than a stranger may send.
        self.on_change()

    async def _places(self, desk: _Desk, routing_did: Did) -> tuple[str, ...]:
        """Where others bring mail to: the URLs in the routing DID's document, and what we call ourselves."""
        if len(routing_did) > limits.MAX_MEDIATOR_DID_CHARS:
            raise RemoteProtocolError("its routing DID is too long to be announced")
        document = await self._resolver.resolve(routing_did)
        uris = (endpoint.uri for endpoint in endpoints_in(document))
        urls = [uri for uri in uris if uri.startswith(("http://", "https://", "ws://", "wss://"))]
        places = (*urls[: limits.MAX_MEDIATOR_URIS - 1], desk.address)
        return tuple(dict.fromkeys(uri for uri in places if len(uri) <= limits.MAX_ADDRESS_CHARS))

    # Our names with it

    async def _register(self, desk: _Desk, client: mediation.Client) -> None:
        """Let the mediator take mail for all our names and no others."""
        names = self._names()
        add, remove = sorted(names - desk.registered), sorted(desk.registered - names)
        for change in _in_parts(add, remove):
            client, update = client.update(add=change[0], remove=change[1])
            client, outcome = client.receive(await self._ask(desk, update))
            if not isinstance(outcome, mediation.UpdateResponse):
                raise RemoteProtocolError("it does not register our names")
            held = {one.change.recipient_did for one in outcome.outcomes if one.holds}
            if self._own.did in change[0] and self._own.did not in held:
                raise RemoteProtocolError("it does not take mail for our name")
        desk.registered = names  # One that it refused it would refuse again.

    async def _keep_registered(self, desk: _Desk) -> None:
        """The same again, if we have another name since."""
        assert desk.granted is not None
        version: mediation.Version = "2.0" if desk.granted.version == "2.0" else "3.0"
        async with desk.registering:
            if self._names() != desk.registered:
                await self._register(desk, mediation.Client(version, "registered"))

    def _names(self) -> frozenset[Did]:
        """Our present names, as far as their documents carry their keys: a mediator can see that those are ours."""
        opens = self._own.keys()
        every = dict.fromkeys(key.did for key in opens if not key.did.startswith("did:web:"))
        aliases = [did for did in every if self._own.author(did).did == did and did != self._own.did]
        return frozenset({self._own.did, *aliases[-(limits.MAX_KEYLIST - 1) :]})  # those that were given out last

    async def _bring_retired_names(self, desk: _Desk) -> None:
        """What the mediator keeps for a name that we had before is ours: prove it."""
        for retired in self._own.retired:
            message = self._composer.message(desk.did, pickup.STATUS_REQUEST["4.0"], {}, expires_s=int(ANSWER_S))
            old = self._own.author_of_retired(retired)
            proof = make_from_prior(old=old, new_did=self._own.did, iat=self._now() // 1000)
            await self._send_now(desk.did, replace(message, from_prior=proof))

    # Its mail

    async def _fetch(self, desk: _Desk) -> None:
        """Fetch what waits and take what comes for as long as this connection lasts. Raises PagiError."""
        desk.pickup = Pickup(
            ask=partial(self._ask, desk), tell=partial(self._tell, desk), take=partial(self._take, desk), now=self._now
        )
        losses = desk.losses  # It may be back before we look: to the mediator that is another connection.
        try:
            await desk.pickup.begin()
            while self._is_connected(desk) and desk.losses == losses:
                await self._note_pickup(desk, desk.pickup)
                await self._keep_registered(desk)
                await desk.pickup.next(TICK_S)
        finally:
            taken_from, desk.pickup = desk.pickup, None
            await self._note_pickup(desk, taken_from)

    async def _take(self, desk: _Desk, packed: bytes) -> bytes:
        return await self._intake.accept(Source("mediator", desk.did), packed)

    async def _take_pushed(self, source: Source, sender: Did, message: Message) -> Sequence[Reply]:
        desk = self._desks.get(sender)
        if desk is None or desk.pickup is None:
            raise RemoteProtocolError("nobody asked it for mail")
        desk.pickup.push(message)
        return ()

    async def _note_pickup(self, desk: _Desk, taken_from: Pickup) -> None:
        """Remember when mail came last: now and then on disk."""
        if desk.granted is None or not taken_from.taken:
            return
        self.counters["mediation_taken"] += taken_from.taken
        taken_from.taken = 0
        now = self._now()
        desk.granted = replace(desk.granted, picked_up_ms=now)
        if not 0 <= now - desk.noted_ms < PICKED_UP_EVERY_MS:
            desk.noted_ms = now
            await self._database.write(partial(rows.note_pickup, did=desk.did, now_ms=now))

    # Talking to it

    def _is_connected(self, desk: _Desk) -> bool:
        return any(info.did == desk.did for info in self._network.peers())

    async def _ask(self, desk: _Desk, reply: Reply) -> Message:
        return await self._exchange.ask(desk.did, reply.type, reply.body, timeout_s=ANSWER_S)

    async def _tell(self, desk: _Desk, reply: Reply) -> None:
        message = self._composer.message(
            desk.did, reply.type, reply.body, return_route=reply.return_route, expires_s=int(ANSWER_S)
        )
        await self._send_now(desk.did, message)


async def _deny(version: mediation.Version, source: Source, sender: Did, message: Message) -> Sequence[Reply]:
    """A twin keeps nobody's mail; another twin whose bootstrap address is ours asks all the same."""
    return (Reply(mediation.DENY[version]),)


def _desk_at(address: str) -> _Desk | None:
    try:
        return _Desk(did_of_peer_id(PeerId(address.rpartition("/p2p/")[2])), address)
    except PagiError:
        return None  # Its key is not Ed25519, so nothing can be encrypted for it.


def _status_of(desk: _Desk) -> MediatorStatus:
    return MediatorStatus(
        did=desk.did,
        state=desk.state,
        reason=desk.reason,
        routing_did=desk.granted.routing_did if desk.granted else None,
        uris=desk.granted.uris if desk.granted else (),
        waiting=desk.pickup.waiting if desk.pickup else None,
        granted_ms=desk.granted.granted_ms if desk.granted else None,
        picked_up_ms=desk.granted.picked_up_ms if desk.granted else None,
    )


def _in_parts(add: Sequence[Did], remove: Sequence[Did]) -> Sequence[tuple[Sequence[Did], Sequence[Did]]]:
    """Changes of a keylist in messages that are short enough: what goes first, so that there is room for what comes."""
    parts: list[tuple[Sequence[Did], Sequence[Did]]] = []
    if remove:
        parts.append(((), remove))
    if add:
        parts.append((add, ()))
    return parts
