"""Telling others that this twin has a new DID.

What the retired key signed is taken over from the keystore once, in one transaction: our own succession, the public
message for those who catch up, and a private message to everybody whom the owner named. For some months each message
to those carries `from_prior`, and once a day the present key says in public what came before it.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from typing import Final

import orjson

from identity.did import Did
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.dids.rotation import Papers
from node.events import Event, EventBus
from node.gossip import Gossip
from node.messaging.composing import Composer
from node.net.errors import NetError
from node.net.port import Network
from protocols import limits
from protocols.didcomm.envelope import verify_signed
from protocols.succession import SUCCESSION, SuccessionNotice
from protocols.swarm import TOPIC
from storage import contacts, tasks
from storage import gossip as gossip_rows
from storage import successions as rows
from storage import trust as trust_rows
from storage.database import Database

SAY_AGAIN_S: Final = 24 * 3600.0
"""A public message is good for a week, and a twin may hear of us for the first time at any time."""

TOLD_FOR_MS: Final = 90 * 24 * 3600 * 1000
"""So long each message to somebody who knew us by the old name proves the new one."""


class RotationNews:
    """Our own rotations, oldest first, and who is told of them."""

    def __init__(
        self,
        papers: Sequence[Papers],
        *,
        own: OwnDids,
        database: Database,
        events: EventBus,
        gossip: Gossip,
        network: Network,
        composer: Composer,
        now: NowMs = now_ms,
    ) -> None:
        self._papers = papers
        self._own = own
        self._database = database
        self._events = events
        self._gossip = gossip
        self._network = network
        self._composer = composer
        self._now = now
        self._told: frozenset[Did] = frozenset()

    async def take_over(self) -> None:
        """Put on disk what follows from each rotation. It may be repeated: what was done is not done again."""
        happened: list[Event] = []

        def write(conn: sqlite3.Connection) -> frozenset[Did]:
            for papers in self._papers:
                credential = orjson.dumps(papers.credential).decode()
                if rows.put_own(conn, papers.old, papers.new, credential=credential, now_ms=self._now()):
                    self._keep_announcement(conn, papers)
                    self._queue_letters(conn, papers)
                    tasks.succeed(conn, papers.old, papers.new)
                    data = {"did": papers.new, "formerly": papers.old, "blocked": False}
                    happened.append(self._events.make("twin_succeeded", papers.new, data, source="swarm"))
                    self._events.record(conn, happened[-1])
            return rows.to_tell(conn, self._now())

        self._told = await self._database.write(write)
        self._events.announce(*happened)

    def from_prior_for(self, recipient: Did) -> str | None:
        """The proof of our last rotation, for somebody who knew us by the name before it."""
        return self._papers[-1].from_prior if self._papers and recipient in self._told else None

    async def run(self) -> None:
        """Say it in public until cancelled."""
        for papers in self._papers:
            with contextlib.suppress(NetError):  # Whoever misses it gets it by catching up.
                await self._network.publish(TOPIC, papers.announcement)
        while self._papers:
            for papers in self._papers:
                notice = SuccessionNotice(papers.credential["id"], papers.credential)
                await self._gossip.publish(TOPIC, SUCCESSION, notice.to_body())
            await asyncio.sleep(SAY_AGAIN_S)

    def _keep_announcement(self, conn: sqlite3.Connection, papers: Papers) -> None:
        message = verify_signed(papers.announcement).message
        gossip_rows.keep_latest(
            conn,
            type=SUCCESSION,
            author=papers.old,
            subject=papers.credential["id"],
            message_id=message.id,
            created_time=message.created_time or 0,
            signed=papers.announcement,
            spare=(papers.old, self._own.did),
        )

    def _queue_letters(self, conn: sqlite3.Connection, papers: Papers) -> None:
        trust = trust_rows.get_trust(conn)
        known = (trust.allow | set(contacts.contact_dids(conn))) - trust.block
        recipients = {did for did in known if not self._own.is_ours(did)}
        rows.tell(conn, recipients, self._now() + TOLD_FOR_MS)
        body = SuccessionNotice(papers.credential["id"], papers.credential).to_body()
        for recipient in sorted(recipients):
            message = self._composer.message(recipient, SUCCESSION, body, expires_s=limits.REPLAY_WINDOW_S)
            self._composer.queue(conn, message)
