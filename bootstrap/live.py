"""Live delivery: what comes for a client that is connected and asked for it is pushed at once, in order.

Pushed is not delivered: a message stays in the queue until the client confirms it, and only so many may be unconfirmed.
A push that fails ends the live mode of its client, who asks for it again when it comes back. A client costs an entry
here and no task while nothing waits for it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from identity.did import Did
from identity.errors import PagiError
from node.messaging.source import Source
from node.net.port import Network, PeerDisconnected
from protocols import limits
from protocols.conversations.pickup import Delivered, Version, delivery
from protocols.conversations.reply import Reply
from storage import mediation
from storage.database import Database

logger = logging.getLogger(__name__)

Send = Callable[[Source, Did, Reply], Awaitable[None]]
"""Sends a client something by the way that it came. Raises PagiError if it does not get there."""


@dataclass(slots=True, eq=False)
class _Session:
    """A client's live mode over one connection.

    `through` is the position of the last message that it was handed, `more` says that others may follow.
    """

    client: int
    did: Did
    source: Source
    version: Version
    through: int = 0
    unconfirmed: set[str] = field(default_factory=set)
    busy: bool = False
    more: bool = False

    @property
    def room(self) -> int:
        """How many messages it may be handed now."""
        return max(0, limits.LIVE_WINDOW - len(self.unconfirmed))


class LiveDelivery:
    """Who is live, and what each was pushed. `run` it; what it is told before that is done then."""

    def __init__(self, database: Database, send: Send) -> None:
        self._database = database
        self._send = send
        self._sessions: dict[Did, _Session] = {}
        self._turns = asyncio.Semaphore(limits.LIVE_PUSHES)
        self._turns_of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._tasks: asyncio.TaskGroup | None = None
        self.counters: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def is_live(self, did: Did) -> bool:
        """Whether this client is pushed to."""
        session = self._sessions.get(did)
        return session is not None and (session.source.back is None or not session.source.back.closed)

    def begin(self, client: int, did: Did, source: Source, version: Version) -> bool:
        """Push to this client what comes from now on; whether there is a place for it.

        What waits already it asks for. If something comes before it has all of that, it is pushed all of it, oldest
        first. What was handed over a connection that it had before is handed to it again.
        """
        if did not in self._sessions and len(self._sessions) >= limits.MAX_LIVE_CLIENTS and not self._forget_closed():
            return False
        self._sessions[did] = _Session(client, did, source, version)
        return True

    def end(self, did: Did) -> None:
        """Push nothing more to this client."""
        self._sessions.pop(did, None)

    def wake(self, did: Did) -> None:
        """Something came for this client."""
        session = self._sessions.get(did)
        if session is not None:
            session.more = True
            self._start(session)

    def handed_over(self, did: Did, rows: Sequence[mediation.WaitingRow]) -> None:
        """The client asked for these and is sent them now: they are not pushed as well."""
        session = self._sessions.get(did)
        if session is not None and rows:
            session.through = max(session.through, rows[-1].seq)
            session.unconfirmed.update(row.id for row in rows)

    def confirmed(self, did: Did, ids: Collection[str]) -> None:
        """The client has these."""
        session = self._sessions.get(did)
        if session is not None:
            session.unconfirmed.difference_update(ids)
            self._start(session)

    async def run(self, network: Network) -> None:
        """Push until cancelled, and forget whose libp2p connection has gone."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            events = network.peer_events()
            for session in self._sessions.values():
                self._start(session)
            async for event in events:
                if isinstance(event, PeerDisconnected):
                    self._peer_has_gone(event.peer_id)

    def _start(self, session: _Session) -> None:
        if session.more and session.room and not session.busy and self._tasks is not None:
            session.busy = True
            self._tasks.create_task(self._push(session))

    async def _push(self, session: _Session) -> None:
        # Whoever holds it or waits for it keeps it: the last one lets go of it.
        turns = self._turns_of.setdefault(session.source.key, asyncio.Semaphore(limits.LIVE_PUSHES_PER_SOURCE))
        try:
            async with turns, self._turns:
                while session.more and session.room and self._sessions.get(session.did) is session:
                    await self._push_some(session)
        except PagiError as error:
            logger.debug("live delivery to %s ends: %s", session.source.key, error)
            self.counters["mediator_live_ended"] += 1
            if self._sessions.get(session.did) is session:
                self.end(session.did)
        finally:
            session.busy = False

    async def _push_some(self, session: _Session) -> None:
        session.more = False
        room = session.room
        rows = await self._database.read(
            lambda conn: mediation.waiting(
                conn, session.client, limit=room, max_bytes=limits.LIVE_BATCH_BYTES, after=session.through
            )
        )
        if rows:
            session.more = True
            session.through = rows[-1].seq
            session.unconfirmed.update(row.id for row in rows)
            brought = [Delivered(row.id, row.packed) for row in rows]
            await self._send(session.source, session.did, delivery(session.version, brought))
            self.counters["mediator_pushed"] += len(rows)

    def _peer_has_gone(self, peer: str) -> None:
        for session in [one for one in self._sessions.values() if one.source.transport == "libp2p"]:
            if session.source.key == peer:
                self.end(session.did)

    def _forget_closed(self) -> bool:
        """Make room among those whose connection has gone; whether there was one."""
        closed = [one for one in self._sessions.values() if one.source.back is not None and one.source.back.closed]
        for session in closed:
            self.end(session.did)
        return bool(closed)
