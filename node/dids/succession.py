"""Following the twins that have a new DID.

A succession is followed once, by what both keys signed, for twins that the owner named, blocked or has as a contact:
the new DID takes the old one's place on the lists and gets what waits for it. Of all others it is only remembered, in
case that they are named later. A second, different successor of one DID is refused and shown to the owner: one of the
two was named by a thief, and which one nobody can tell from here.
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson

from identity.did import Did
from identity.errors import SuccessionRefused
from identity.succession import read_succession
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.events import Event, EventBus
from node.gossip import Heard
from node.messaging.source import Source
from node.trust import TrustList
from protocols import limits
from protocols.conversations.reply import Reply
from protocols.didcomm.from_prior import FromPrior
from protocols.errors import RemoteProtocolError
from protocols.message import Message
from protocols.ratelimit import KeyedBuckets
from protocols.succession import SuccessionNotice
from storage import renaming
from storage import successions as rows
from storage.database import Database
from storage.successions import SuccessionRow
from storage.trust import Trust

logger = logging.getLogger(__name__)

BY_FROM_PRIOR = '{"proof":"from_prior"}'
"""Kept in the place of a credential where the header of a private message proved the succession."""

OnOwnName = Callable[[str], Awaitable[None]]
"""Somebody else uses a name of ours; the text says how."""


class Successions:
    """Which DID took the place of which, as far as it matters here."""

    def __init__(
        self,
        *,
        own: OwnDids,
        database: Database,
        events: EventBus,
        trust: TrustList,
        on_own_name: OnOwnName,
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._database = database
        self._events = events
        self._trust = trust
        self._on_own_name = on_own_name
        self._now = now
        self._rates = KeyedBuckets(limits.SUCCESSION_RATE_PER_S, limits.SUCCESSION_BURST, limits.MAX_RATED_KEYS)
        self._new_of: dict[Did, Did] = {}
        self._looking = False
        trust.on_change(self._look_again)

    async def load(self) -> None:
        """Know what was followed before, and follow what a crash or an older program left."""
        followed = await self._database.read(rows.followed)
        self._new_of = {row.old: row.new for row in followed}
        await self._look_again(self._trust.current)

    def formerly(self, did: Did) -> tuple[Did, ...]:
        """The names that a twin had before this one, oldest first."""
        names: list[Did] = []
        before = {new: old for old, new in self._new_of.items()}
        while did in before and len(names) < len(before):
            did = before[did]
            names.insert(0, did)
        return tuple(names)

    def current(self, did: Did) -> Did:
        """The name that a twin has now: what was followed, and what that one was followed to."""
        for _ in range(limits.MAX_SUCCESSION_STEPS):
            did = self._new_of.get(did, did)
        return did

    async def followed(self) -> Sequence[SuccessionRow]:
        """What was followed, oldest first, with what was refused because of it."""
        return await self._database.read(rows.followed)

    # What others bring

    async def on_gossip(self, heard: Heard) -> None:
        """A public message: its author does not matter, the credential proves itself."""
        await self._on_notice(heard.author, heard.message.body)

    async def on_message(self, source: Source, sender: Did, message: Message) -> Sequence[Reply]:
        """A private message. Raises SuccessionRefused or MalformedMessage."""
        await self._on_notice(sender, message.body)
        return ()

    async def on_prior(self, sender: Did, prior: FromPrior) -> None:
        """A sender proves by `from_prior` which DID it had. Raises SuccessionRefused if that one is blocked.

        Of strangers nothing is kept: they say it again with each message until they are answered.
        """
        old, trust = prior.old_did, self._trust.current
        if self._new_of.get(old) != sender and await self._database.read(
            lambda conn: renaming.is_kept(conn, old, trust)
        ):
            await self._take(old, sender, BY_FROM_PRIOR)
        if self._trust.blocks(prior.old_did):
            raise SuccessionRefused("the sender's earlier DID is blocked")

    async def _on_notice(self, by: Did, body: Mapping[str, object]) -> None:
        notice = SuccessionNotice.from_body(body)
        if self._is_followed(notice.credential):
            return
        if not self._rates.allow(by, self._now() / 1000):
            raise RemoteProtocolError("too many successions at once")
        found = read_succession(notice.credential, now_s=self._now() // 1000)
        await self._take(found.old, found.new, orjson.dumps(notice.credential).decode())

    def _is_followed(self, credential: Mapping[str, object]) -> bool:
        """Whether the credential claims what was followed already: it need not be checked again."""
        subject = credential.get("credentialSubject")
        if not isinstance(subject, dict) or not isinstance(subject.get("id"), str):
            return False
        return self._new_of.get(Did(subject["id"])) == subject.get("successor")

    # What follows from it

    async def _take(self, old: Did, new: Did, credential: str) -> None:
        """Remember a proven succession, and follow it if the owner has to do with the old DID."""
        if self._own.is_ours(old):
            if self._new_of.get(old) != new:
                await self._on_own_name(f"{old}, which is ours, was given up for {new}, but not by this home")
            return
        happened: list[Event] = []

        def decide(conn: sqlite3.Connection, trust: Trust) -> Trust:
            held = rows.remember(conn, old, new, credential=credential, heard_ms=self._now())
            if held.new == new:
                return self._follow(conn, held, trust, happened)
            if (held.followed_ms is not None or renaming.is_kept(conn, old, trust)) and rows.mark_conflict(
                conn, old, new
            ):
                data = {"did": old, "followed": held.new, "refused": new}
                self._record(conn, "succession_conflict", old, data, happened)
            return trust

        await self._change(decide, happened)

    async def _look_again(self, trust: Trust) -> None:
        """Who is named now may have had a successor for long, and that one another."""
        if self._looking:
            return  # What we do ourselves changes the list: that is seen below, whoever else has changed it as well.
        happened: list[Event] = []

        def decide(conn: sqlite3.Connection, trust: Trust) -> Trust:
            happened.clear()
            for row in rows.among(conn, sorted(trust.allow | trust.block)):
                trust = self._follow(conn, row, trust, happened)
            return trust

        self._looking = True
        try:
            before = None
            while before != self._trust.current:
                before = self._trust.current
                await self._change(decide, happened)
        finally:
            self._looking = False

    async def _change(self, decide: Callable[[sqlite3.Connection, Trust], Trust], happened: Sequence[Event]) -> None:
        def know() -> None:
            for event in happened:
                if event.event_type == "twin_succeeded":
                    self._new_of[event.payload["formerly"]] = event.payload["did"]
                else:
                    logger.warning("two successors of %s: see `pagi identity show`", event.subject)

        await self._trust.change(decide, then=know)
        self._events.announce(*happened)

    def _follow(
        self, conn: sqlite3.Connection, row: SuccessionRow | None, trust: Trust, happened: list[Event]
    ) -> Trust:
        """Put the new DID in the old one's place, and the next one in its place if that is known as well."""
        for _ in range(limits.MAX_SUCCESSION_STEPS):
            if row is None or not renaming.is_kept(conn, row.old, trust) or _is_refused(conn, row, trust):
                break
            after = renaming.renamed(trust, row.old, row.new)
            if row.followed_ms is None or after != trust:
                renaming.rename(conn, row.old, row.new, self._now())
                rows.mark_followed(conn, row.old, self._now())
                data = {"did": row.new, "formerly": row.old, "blocked": row.new in after.block}
                self._record(conn, "twin_succeeded", row.new, data, happened)
            trust = after
            row = rows.of_old(conn, row.new)
        return trust

    def _record(
        self, conn: sqlite3.Connection, kind: str, subject: Did, data: Mapping[str, object], happened: list[Event]
    ) -> None:
        event = self._events.make(kind, subject, data, source="swarm")
        self._events.record(conn, event)
        happened.append(event)


def _is_refused(conn: sqlite3.Connection, row: SuccessionRow, trust: Trust) -> bool:
    """Whether the owner blocked the successor, or following would lead back to a name that was given up.

    What was followed already is never a circle, so only a further step can close one; the walk along it ends.
    """
    if row.new in trust.block and row.old not in trust.block:
        return True
    if row.followed_ms is not None:
        return False
    step = rows.of_old(conn, row.new)
    while step is not None and step.followed_ms is not None and step.new != row.old:
        step = rows.of_old(conn, step.new)
    return step is not None and step.followed_ms is not None
