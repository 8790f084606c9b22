"""The playbooks of this node: proposing, receiving, judging, adopting, taking back.

The order is always: blocks on disk, then one transaction (the revision's row and its event), then the state in
memory. The effective playbook is the join of the adopted revisions and is computed again from them at each start.
"""

import asyncio
import logging
import sqlite3
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final

from identity.cid import Cid
from identity.did import Did, PeerId, did_key, peer_id_of_did
from identity.errors import PagiError
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.errors import RevisionRefused, RevisionUnknown
from node.events import EventBus
from node.gossip import Gossip, Heard
from node.hive.fetch import fetch_history
from node.hive.judge import Status, Verdict, judge
from node.net.port import Network
from node.trust import TrustList
from protocols import limits
from protocols.didcomm.envelope import verify_signed
from protocols.errors import ProtocolError, RemoteProtocolError
from protocols.playbook import merge
from protocols.playbook.merge import Playbook
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update, topic_of
from protocols.playbook.revision import (
    Harmful,
    Helpful,
    Op,
    Remove,
    Revision,
    SignedRevision,
    link_of,
    new_ops,
    parse_name,
    sign_revision,
    verify_revision,
)
from storage import gossip as gossip_rows
from storage import revisions as rows
from storage.blocks import BlockStore
from storage.database import Database
from storage.page import Page
from storage.trust import Trust

logger = logging.getLogger(__name__)

RETRY_S: Final = 5.0
"""Pause before heads are tried again that no peer could give us."""

MAX_RETRIES: Final = 5
"""After these the heads wait for the next gossip or sync that names them."""


class Hive:
    """The named playbooks, of which `common` exists everywhere."""

    def __init__(
        self,
        *,
        keys: KeyPair,
        database: Database,
        blocks: BlockStore,
        network: Network,
        gossip: Gossip,
        trust: TrustList,
        events: EventBus,
        names: Sequence[str],
        now: NowMs = now_ms,
    ) -> None:
        self._keys = keys
        self._did = did_key(keys.public)
        self._database = database
        self._blocks = blocks
        self._network = network
        self._gossip = gossip
        self._trust = trust
        self._events = events
        self._names = tuple(names)
        self._now = now
        self._playbooks: dict[str, Playbook] = {}
        self._judged: set[Cid] = set()
        self._lock = asyncio.Lock()
        self._updates: asyncio.Queue[tuple[Update, Did, PeerId | None, int]] = asyncio.Queue(1024)
        self.counters: Counter[str] = Counter()
        gossip.on(PLAYBOOK_UPDATE, self._on_update)
        trust.on_change(self._on_trust_change)

    async def load(self) -> None:
        """Compute the effective playbooks from the adopted revisions. To be called once, before anything else."""
        for name in {*self._names, *await self._database.read(rows.playbooks)}:
            self._playbooks[name] = await self._from_adopted(name)
        self._judged.update(await self._database.read(rows.all_cids))

    async def view(self, name: str) -> Playbook:
        """The effective playbook; an empty one if nothing of that name was adopted."""
        return self._playbooks.get(name) or merge.EMPTY(name)

    async def propose(
        self, name: str, critique: str, ops: Sequence[Mapping[str, object]], evidence: Sequence[str] = ()
    ) -> Cid:
        """Write, sign, adopt and share a revision of our own; return its CID. `ops` are in the form of API.md.

        Raises RevisionRefused if it removes or counts a bullet that is not there, or does not fit the limits.
        """
        name = parse_name(name)
        async with self._lock:
            signed = self._write(await self.view(name), critique, ops, evidence)
            await self._take_in([signed])
        await self._share(name, gossip=True)
        return signed.cid

    def _write(
        self, current: Playbook, critique: str, ops: Sequence[Mapping[str, object]], evidence: Sequence[str]
    ) -> SignedRevision:
        height = current.height + 1
        try:
            made = new_ops(ops, author=self._did, height=height)
            _check_targets(current, made)
            revision = Revision(
                playbook=current.name,
                parents=tuple(sorted(current.heads))[: limits.MAX_PARENTS],
                height=height,
                author=self._did,
                ts=self._now(),
                critique=critique,
                evidence=tuple(evidence),
                ops=made,
            )
            return sign_revision(revision, self._keys)
        except ProtocolError as error:
            raise RevisionRefused(str(error)) from error

    async def revisions(
        self, name: str, status: Status | None = None, limit: int = 100, after: str | None = None
    ) -> Page[rows.RevisionRow]:
        """Every revision that was judged here, newest first."""
        return await self._database.read(lambda conn: rows.list_revisions(conn, name, status, limit=limit, after=after))

    async def approve(self, name: str, cid: Cid) -> Playbook:
        """The owner adopts a quarantined or rejected revision. Raises RevisionUnknown."""
        return await self._decide(name, [cid], Verdict("adopted", "approved by the owner"))

    async def reject(self, name: str, cid: Cid, reason: str) -> Playbook:
        """The owner rejects a revision, adopted or not; its bullets leave the playbook. Raises RevisionUnknown."""
        return await self._decide(name, [cid], Verdict("rejected", reason or "rejected by the owner"))

    async def rollback(self, name: str, cid: Cid) -> Playbook:
        """Keep only `cid` and its history; every other adopted revision is rejected. Raises RevisionUnknown."""
        keep: set[Cid] = set()
        to_visit = deque([cid])
        while to_visit:
            current = to_visit.popleft()
            if current not in keep:
                keep.add(current)
                to_visit.extend((await self._stored(name, current)).revision.parents)
        adopted = await self._database.read(lambda conn: rows.adopted(conn, name))
        dropped = [other for other in adopted if other not in keep]
        return await self._decide(name, dropped, Verdict("rejected", f"rolled back to {cid}"))

    async def run(self) -> None:
        """Follow the playbooks' topics and fetch what other twins announce, until cancelled."""
        for name in self._playbooks:
            await self._gossip.join(topic_of(name))
            await self._share(name, gossip=False)
        await self._replay_held()
        async with asyncio.TaskGroup() as tasks:
            while True:
                update, author, via, attempt = await self._updates.get()
                try:
                    await self._follow(update, author, via)
                except RemoteProtocolError as error:
                    self.counters["revisions_refused"] += 1
                    logger.warning("playbook %s from %s refused: %s", update.playbook, author, error)
                except PagiError as error:
                    self.counters["revisions_unavailable"] += 1
                    logger.info("playbook %s from %s not fetched yet: %s", update.playbook, author, error)
                    if attempt < MAX_RETRIES:
                        tasks.create_task(self._later(update, author, via, attempt + 1))

    # Receiving

    async def _on_update(self, heard: Heard) -> None:
        self._offer(Update.from_body(heard.message.body), heard.author, heard.via, 0)

    def _offer(self, update: Update, author: Did, via: PeerId | None, attempt: int) -> None:
        # Only what twins that the owner named announce is fetched: a stranger cannot make us store anything.
        if update.playbook not in self._playbooks or not self._trust.allows(author):
            self.counters["updates_not_followed"] += 1
            return
        try:
            self._updates.put_nowait((update, author, via, attempt))
        except asyncio.QueueFull:
            self.counters["updates_dropped_queue_full"] += 1

    async def _later(self, update: Update, author: Did, via: PeerId | None, attempt: int) -> None:
        await asyncio.sleep(RETRY_S)
        self._offer(update, author, via, attempt)

    async def _replay_held(self) -> None:
        """Follow the heads that are on disk: those of twins named since, and those that a crash interrupted."""
        for signed in await self._database.read(lambda conn: gossip_rows.of_type(conn, PLAYBOOK_UPDATE)):
            message = verify_signed(signed).message
            if message.from_ is not None and message.from_ != self._did:
                self._offer(Update.from_body(message.body), message.from_, None, 0)

    async def _follow(self, update: Update, author: Did, via: PeerId | None) -> None:
        missing = [cid for cid in update.heads if cid not in self._judged]
        if not missing:
            return
        connected = [info.peer_id for info in self._network.peers()]
        first = [peer for peer in (peer_id_of_did(author), via) if peer in connected]
        peers = [*dict.fromkeys(peer for peer in (*first, *connected) if peer is not None)][:8]
        fetched = await fetch_history(
            missing,
            playbook=update.playbook,
            network=self._network,
            peers=peers,
            judged=self._judged,
            held=self._held,
        )
        async with self._lock:
            await self._take_in(fetched)
        await self._share(update.playbook, gossip=False)

    def _held(self, cid: Cid) -> SignedRevision | None:
        envelope = self._blocks.get(cid)
        payload = self._blocks.get(link_of(envelope)) if envelope is not None else None
        if envelope is None or payload is None:
            return None
        return verify_revision(envelope, payload)

    async def _take_in(self, revisions: Sequence[SignedRevision]) -> None:
        """Store, judge and adopt verified revisions, parents first. The caller holds the lock."""
        blocks = [
            pair for signed in revisions
            for pair in ((signed.payload_cid, signed.payload_block), (signed.cid, signed.envelope_block))
        ]  # fmt: skip
        await asyncio.to_thread(self._blocks.put_many, blocks)
        verdicts = [judge(signed.revision, own=self._did, trust=self._trust.current) for signed in revisions]
        events = []
        for signed, verdict in zip(revisions, verdicts, strict=True):
            data = {
                "cid": str(signed.cid),
                "playbook": signed.revision.playbook,
                "author": signed.revision.author,
                "status": verdict.status,
                "reason": verdict.reason,
            }
            events.append(self._events.make("playbook_revision_received", str(signed.cid), data, source="hive"))

        now = self._now()

        def store(conn: sqlite3.Connection) -> None:
            for signed, verdict, event in zip(revisions, verdicts, events, strict=True):
                rows.put(
                    conn,
                    cid=signed.cid,
                    payload_cid=signed.payload_cid,
                    playbook=signed.revision.playbook,
                    author=signed.revision.author,
                    height=signed.revision.height,
                    ts_ms=signed.revision.ts,
                    critique=signed.revision.critique,
                    status=verdict.status,
                    reason=verdict.reason,
                    updated_ms=now,
                )
                self._events.record(conn, event)

        await self._database.write(store)
        self._judged.update(signed.cid for signed in revisions)
        self._events.announce(*events)
        changed = set()
        for signed, verdict in zip(revisions, verdicts, strict=True):
            self.counters[f"revisions_{verdict.status}"] += 1
            if verdict.status == "adopted":
                name = signed.revision.playbook
                self._playbooks[name] = merge.apply(self._playbooks.get(name) or merge.EMPTY(name), signed)
                changed.add(name)
        for name in changed:
            await self._tell_updated(name)

    # Deciding

    async def _decide(self, name: str, cids: Sequence[Cid], verdict: Verdict) -> Playbook:
        async with self._lock:
            for cid in cids:
                await self._stored(name, cid)
            now = self._now()
            await self._database.write(
                lambda conn: [
                    rows.set_status(conn, cid, verdict.status, verdict.reason, updated_ms=now) for cid in cids
                ]
            )
            self._playbooks[name] = await self._from_adopted(name)
            await self._tell_updated(name)
        await self._share(name, gossip=True)
        return self._playbooks[name]

    async def _on_trust_change(self, trust: Trust) -> None:
        """Judge again what waits only because of its author, and follow the heads of twins named now."""
        for name in tuple(self._playbooks):
            page = await self.revisions(name, status="quarantined", limit=1000)
            for row in page.items:
                signed = await self._stored(name, row.cid)
                verdict = judge(signed.revision, own=self._did, trust=trust)
                if verdict.status != "quarantined":
                    await self._decide(name, [row.cid], verdict)
        await self._replay_held()

    async def _stored(self, name: str, cid: Cid) -> SignedRevision:
        row = await self._database.read(lambda conn: rows.get(conn, cid))
        if row is None or row.playbook != name:
            raise RevisionUnknown(f"no revision {cid} of the playbook {name!r} is known here")
        signed = await asyncio.to_thread(self._held, cid)
        if signed is None:
            raise RevisionUnknown(f"the blocks of revision {cid} are missing here")
        return signed

    async def _from_adopted(self, name: str) -> Playbook:
        adopted = await self._database.read(lambda conn: rows.adopted(conn, name))
        found = [await asyncio.to_thread(self._held, cid) for cid in adopted]
        missing = found.count(None)
        if missing:
            logger.error("%d adopted revisions of playbook %s have lost their blocks", missing, name)
        return merge.from_revisions(name, [signed for signed in found if signed is not None])

    # Sharing

    async def _share(self, name: str, *, gossip: bool) -> None:
        """Sign our current heads for whoever syncs with us and, if something of ours is new, for everyone."""
        heads = tuple(sorted(self._playbooks[name].heads))[: limits.MAX_PARENTS]
        if not heads:
            return
        body = Update(playbook=name, heads=heads).to_body()
        if gossip:
            await self._gossip.publish(topic_of(name), PLAYBOOK_UPDATE, body)
        else:
            await self._gossip.keep(PLAYBOOK_UPDATE, body)

    async def _tell_updated(self, name: str) -> None:
        playbook = self._playbooks[name]
        data = {"playbook": name, "state_hash": playbook.state_hash, "height": playbook.height}
        await self._events.publish("playbook_updated", name, data, source="hive")


def _check_targets(playbook: Playbook, ops: Sequence[Op]) -> None:
    present = {bullet.id for bullet in playbook.bullets}
    for op in ops:
        if isinstance(op, Remove | Helpful | Harmful) and op.id not in present:
            raise RevisionRefused(f"the playbook {playbook.name!r} has no bullet {op.id}")
