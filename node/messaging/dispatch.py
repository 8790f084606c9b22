"""One attempt at a recipient: its letters over one way after the other, until each has an outcome.

Letters of different threads are under way at the same time, those of one thread one after the other: what follows a
letter that has to be repeated is not sent. A letter goes to a mediator only if none has it already.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from identity.did import Did, DidDocument
from identity.errors import PagiError
from identity.resolver import Resolver
from node.clock import NowMs, now_ms
from node.config import MailConfig
from node.messaging.circuits import Circuits
from node.messaging.packing import Outgoing, Packer
from node.messaging.routes import Route, Routes, Transport
from node.messaging.source import ACCEPTED, REFUSED
from node.messaging.transports.carrier import Carrier
from node.net.errors import NetError
from node.trust import TrustList
from protocols import limits
from protocols.errors import ProtocolError
from protocols.ratelimit import KeyedBuckets

logger = logging.getLogger(__name__)

POSTS_AT_ONCE: Final = 8
"""Threads under way at once to a place that is not a libp2p peer: each has a connection of its own."""

NOWHERE: Final = "the twin is not connected, and none of its known addresses answers"

Fate = Literal["delivered", "sent", "kept", "behind", "failed", "again"]
"""What became of a letter. `kept`: a mediator has it since an earlier time, and nothing better was found. `behind`: the
recipient is there, and what a mediator has of the thread is to be sent straight to it first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A letter's fate, the way it took, or why it did not take any."""

    fate: Fate
    via: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt brought, by message id; a letter that was held back by an older one of its thread is not in it.

    `reached` says that some way was open; otherwise `reason` holds for all that waits for the recipient.
    """

    outcomes: Mapping[str, Outcome]
    reached: bool
    reason: str = ""


class Dispatcher:
    """Tries ways. It keeps nothing but which places rest."""

    def __init__(
        self,
        *,
        routes: Routes,
        carriers: Mapping[Transport, Carrier],
        packer: Packer,
        resolver: Resolver,
        trust: TrustList,
        config: MailConfig,
        now: NowMs = now_ms,
    ) -> None:
        self._routes = routes
        self._carriers = carriers
        self._packer = packer
        self._resolver = resolver
        self._trust = trust
        self._circuits = Circuits(config.retry_first_s, config.retry_most_s, lambda: now() / 1000)
        self._now = now
        self._posts = KeyedBuckets(limits.STRANGER_POSTS_PER_S, limits.STRANGER_POSTS_BURST, limits.MAX_RATED_KEYS)

    async def run(self) -> None:
        """What the carriers do in the background, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for carrier in self._carriers.values():
                tasks.create_task(carrier.run())

    async def bring(self, to: Did, letters: Sequence[Outgoing]) -> Attempt:
        """Bring the letters to one recipient by the best ways that work now."""
        try:
            trip = _Trip(await self._resolver.resolve(to), letters)
            tried: set[Route] = set()
            for route in self._routes.at_hand(to, [letter.message.thread for letter in letters]):
                tried.add(route)
                await self._try(trip, route)
            if trip.pending:
                for route in await self._routes.of(to):
                    if route not in tried and trip.pending:
                        await self._try(trip, route)
        except PagiError as error:  # of the recipient's document: without it there is no key to encrypt to
            if error.code < 50000:
                return Attempt({letter.message.id: Outcome("failed", reason=str(error)) for letter in letters}, True)
            return Attempt({}, False, str(error))
        return trip.finish()

    async def _try(self, trip: "_Trip", route: Route) -> None:
        """Bring what is pending over one way. What the way's own failure is, is noted and raises nothing."""
        letters = trip.for_route(route)
        if not letters:
            return
        carrier, place = self._carriers[route.transport], _place(route)
        if place and self._circuits.rests(place):
            trip.note(route, "did not answer a moment ago")
            return
        if place and not self._may_knock(trip.recipient.did, route, len(letters)):
            trip.note(route, "too much was brought to that host for recipients that nobody named")
            return
        try:
            await carrier.open(route)
            await self._packer.prepare(route)
        except PagiError as error:
            trip.note(route, str(error))
            if place and isinstance(error, NetError):
                self._circuits.failed(place)
            return
        trip.reached = True
        if route.direct and route.transport == "libp2p":
            for letter in letters:
                if letter.overtakes:
                    trip.settle(letter, Outcome("behind"))
            letters = trip.for_route(route)
        threads: dict[str, list[Outgoing]] = {}
        for letter in letters:
            threads.setdefault(letter.message.thread, []).append(letter)
        turns = asyncio.Semaphore(limits.MAX_IN_FLIGHT_PER_PEER if route.transport == "libp2p" else POSTS_AT_ONCE)
        await asyncio.gather(*(self._send_thread(trip, route, thread, turns) for thread in threads.values()))

    async def _send_thread(
        self, trip: "_Trip", route: Route, letters: Sequence[Outgoing], turns: asyncio.Semaphore
    ) -> None:
        async with turns:
            for letter in letters:
                outcome = await self._send(trip, route, letter)
                if outcome is not None:
                    trip.settle(letter, outcome)
                if outcome is None or outcome.fate == "again":
                    return

    async def _send(self, trip: "_Trip", route: Route, letter: Outgoing) -> Outcome | None:
        """The letter's fate on this way; None if another way may do better."""
        place = _place(route)
        recipient = trip.recipient.did
        confirmed = route.confirms or not _is_twin(recipient)
        try:
            packed = self._packer.pack(letter, trip.recipient, ask_for_ack=not confirmed)
        except ProtocolError as error:
            return Outcome("failed", reason=str(error))
        try:
            packed = self._packer.wrap(packed, route, recipient, letter.message.expires_time)
            answer = await self._carriers[route.transport].send(route, packed, thread=letter.message.thread)
        except PagiError as error:
            trip.note(route, str(error), letter)
            if place and isinstance(error, NetError):
                self._circuits.failed(place)
            return None
        if place:
            self._circuits.worked(place)
        if answer == ACCEPTED:
            return Outcome("delivered" if confirmed else "sent", str(route))
        refused = answer == REFUSED
        if route.direct and route.transport == "libp2p":  # The recipient itself speaks: no other way changes its mind.
            return Outcome("failed", reason="the recipient refused it") if refused else Outcome("again", reason=_BUSY)
        trip.note(route, "it was refused there" if refused else "it is not taken there now", letter, refused=refused)
        return None

    def _may_knock(self, recipient: Did, route: Route, count: int) -> bool:
        """Whether to bring so much to a host. A document of somebody whom nobody named can name any host."""
        if route.transport == "libp2p" or recipient in self._trust.named:
            return True
        return self._posts.allow(urlsplit(route.address).hostname, self._now() / 1000, count)


_BUSY: Final = "the recipient is busy"


class _Trip:
    """The state of one attempt: which letters have no fate yet, and what went wrong for each."""

    def __init__(self, recipient: DidDocument, letters: Sequence[Outgoing]) -> None:
        self.recipient = recipient
        self.reached = False
        self.pending = {letter.message.id: letter for letter in letters}
        self._outcomes: dict[str, Outcome] = {}
        self._held: set[str] = set()
        self._notes: list[str] = []
        self._letter_notes: dict[str, list[str]] = {}
        self._hopeful: set[str] = set()

    def for_route(self, route: Route) -> list[Outgoing]:
        """The letters that this way is for, in order."""
        letters = [letter for letter in self.pending.values() if letter.message.thread not in self._held]
        return letters if route.direct else [letter for letter in letters if not letter.with_carrier]

    def note(self, route: Route, reason: str, letter: Outgoing | None = None, *, refused: bool = False) -> None:
        """A way did not work, for one letter or for all."""
        text = f"{route}: {reason}"
        if letter is None:
            self._notes.append(text)
            return
        self._letter_notes.setdefault(letter.message.id, []).append(text)
        if not refused:
            self._hopeful.add(letter.message.id)

    def settle(self, letter: Outgoing, outcome: Outcome) -> None:
        """A letter has its fate. One that is tried again holds back what follows it in its thread."""
        self._outcomes[letter.message.id] = outcome
        del self.pending[letter.message.id]
        if outcome.fate in ("again", "behind"):
            self._held.add(letter.message.thread)

    def finish(self) -> Attempt:
        """No more ways: what is still pending waits, or has failed if everybody refused it."""
        for letter in self.pending.values():
            message_id, thread = letter.message.id, letter.message.thread
            if thread in self._held:
                continue
            notes = self._letter_notes.get(message_id, [])
            reason = "; ".join((*self._notes, *notes)) or NOWHERE
            if letter.with_carrier:
                self._outcomes[message_id] = Outcome("kept")
            elif notes and message_id not in self._hopeful and not self._notes:
                self._outcomes[message_id] = Outcome("failed", reason=reason)
            elif notes or self.reached:
                self._outcomes[message_id] = Outcome("again", reason=reason)
                self._held.add(thread)
        return Attempt(self._outcomes, self.reached, "; ".join(self._notes) or NOWHERE)


def _place(route: Route) -> str:
    """What rests if it does not answer; empty for a connection that is open already."""
    if route.transport in ("http", "websocket"):
        parts = urlsplit(route.address)
        return f"{parts.scheme}://{parts.netloc}"
    return route.address


def _is_twin(did: Did) -> bool:
    """Whether the recipient is one that confirms what it got (a `did:key`): other agents may not know how."""
    return did.startswith("did:key:")
