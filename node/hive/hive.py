"""The playbooks of this node: proposing, receiving, judging, adopting, taking back.

The order is always: blocks on disk, then one transaction (the revision's row and its event), then the state in
memory. The effective playbook is the join of the adopted revisions and is computed again from them at each start.
"""

import asyncio
import logging
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from identity.cid import Cid
from identity.did import Did, PeerId, did_key, peer_id_of_did
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.errors import RevisionRefused
from node.events import EventBus
from node.gossip import Gossip, Heard
from node.hive.fetch import fetch_history
from node.hive.following import Following, Wanted
from node.hive.judge import BLOCKED, Status, Verdict, judge
from node.hive.proposal import write_revision
from node.hive.shares import Shares
from node.hive.shelf import Shelf
from node.net.port import Network
from node.reputation.reputation import Reputation
from node.trust import TrustList
from protocols import limits
from protocols.didcomm.envelope import verify_signed
from protocols.errors import ProtocolError
from protocols.message import Message
from protocols.playbook import merge
from protocols.playbook.merge import Playbook
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update, topic_of
from protocols.playbook.ops import Harmful, Helpful
from protocols.playbook.revision import SignedRevision, parse_name
from storage import gossip as gossip_rows
from storage import revisions as rows
from storage.blocks import BlockStore
from storage.database import Database
from storage.page import Page
from storage.trust import Trust

logger = logging.getLogger(__name__)

RENEW_EVERY_S: Final = limits.REPLAY_WINDOW_S / 7
"""How often our heads are signed anew: messages older than the replay window are refused, also by newcomers."""

MAX_ASKED_PEERS: Final = 8
"""Peers asked for a block, the announcer first: the time for one block is shared between them."""

COUNT_WEIGHT: Final = 0.1
"""What one count of a bullet says about its author: a tenth of a finished task."""


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
        reputation: Reputation,
        events: EventBus,
        names: Sequence[str],
        formerly: Callable[[Did], Collection[Did]] = lambda did: (),
        now: NowMs = now_ms,
    ) -> None:
        self._keys = keys
        self._did = did_key(keys.public)
        self._database = database
        self._shelf = Shelf(database, blocks)
        self._shares = Shares(self._shelf, self._did, trust)
        self._network = network
        self._gossip = gossip
        self._trust = trust
        self._reputation = reputation
        self._events = events
        self._names = tuple(names)
        self._formerly = formerly
        self._now = now
        self._playbooks: dict[str, Playbook] = {}
        self._judged: set[Cid] = set()
        self._lock = asyncio.Lock()
        self.counters: Counter[str] = Counter()
        self._following = Following(network, self._fetch, self.counters)
        gossip.on(PLAYBOOK_UPDATE, self._on_update)
        trust.on_change(self._on_trust_change)

    async def load(self) -> None:
        """Compute the effective playbooks from the adopted revisions. To be called once, before anything else."""
        for name in {*self._names, *await self._database.read(rows.playbooks)}:
            self._playbooks[name] = await self._shelf.effective(name)
        self._judged.update(await self._database.read(rows.all_cids))

    async def view(self, name: str) -> Playbook:
        """The effective playbook; an empty one if nothing of that name was adopted."""
        return self._playbooks.get(name) or merge.EMPTY(name)

    async def propose(
        self, name: str, critique: str, ops: Sequence[Mapping[str, object]], evidence: Sequence[str] = ()
    ) -> Cid:
        """Write, sign, adopt and share a revision of our own; return its CID. `ops` are in the form of API.md.

        Raises MalformedMessage for such a name, and RevisionRefused as `write_revision` does.
        """
        name = parse_name(name)
        async with self._lock:
            signed = write_revision(
                await self.view(name),
                critique=critique,
                ops=ops,
                evidence=evidence,
                keys=self._keys,
                now_ms=self._now(),
            )
            await self._note_counted(signed)
            await self._take_in([signed])
        await self._gossip.join(topic_of(name))
        await self._share(name, gossip=True)
        return signed.cid

    async def _note_counted(self, signed: SignedRevision) -> None:
        """What we count of others' bullets is our experience with their authors."""
        bullets = {bullet.id: bullet for bullet in (await self.view(signed.revision.playbook)).bullets}
        for op in signed.revision.ops:
            if not isinstance(op, Helpful | Harmful):
                continue
            bullet = bullets.get(op.id)
            if bullet is None or bullet.author == self._did:
                continue
            weight = min(1.0, COUNT_WEIGHT * op.n)
            good, bad = (weight, 0.0) if isinstance(op, Helpful) else (0.0, weight)
            await self._reputation.note(bullet.author, "bullet", f"{signed.cid}/{bullet.id}", good=good, bad=bad)

    async def revisions(
        self, name: str, status: Status | None = None, limit: int = 100, after: str | None = None
    ) -> Page[rows.RevisionRow]:
        """Every revision that was judged here, newest first."""
        return await self._database.read(lambda conn: rows.list_revisions(conn, name, status, limit=limit, after=after))

    async def approve(self, name: str, cid: Cid) -> Playbook:
        """The owner adopts a quarantined or rejected revision. Raises RevisionUnknown."""
        return await self._decide(name, {cid: Verdict("adopted", "approved by the owner")})

    async def reject(self, name: str, cid: Cid, reason: str) -> Playbook:
        """The owner rejects a revision, adopted or not; its bullets leave the playbook. Raises RevisionUnknown."""
        return await self._decide(name, {cid: Verdict("rejected", reason or "rejected by the owner")})

    async def rollback(self, name: str, cid: Cid) -> Playbook:
        """Keep only `cid` and its history; every other adopted revision is rejected.

        Raises RevisionUnknown, and RevisionRefused if `cid` is not adopted itself.
        """
        adopted = await self._database.read(lambda conn: rows.adopted(conn, name))
        keep: set[Cid] = set()
        to_visit = deque([cid])
        while to_visit:
            current = to_visit.popleft()
            if current not in keep:
                keep.add(current)
                to_visit.extend((await self._shelf.stored(name, current)).revision.parents)
        if cid not in adopted:
            raise RevisionRefused(f"{cid} is not adopted here, so there is no way back to it")
        verdict = Verdict("rejected", f"rolled back to {cid}")
        return await self._decide(name, {other: verdict for other in adopted if other not in keep})

    async def run(self) -> None:
        """Follow the playbooks' topics and fetch what other twins announce, until cancelled."""
        for name in tuple(self._playbooks):
            await self._gossip.join(topic_of(name))
        await self._follow_held()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._following.run())
            while True:
                for name in tuple(self._playbooks):
                    await self._share(name, gossip=False)
                await asyncio.sleep(RENEW_EVERY_S)

    # Receiving

    async def _on_update(self, heard: Heard) -> None:
        await self._offer(heard.message, heard.author, heard.via)

    async def _offer(self, message: Message, author: Did, via: PeerId | None) -> None:
        update = Update.from_body(message.body)
        # Only what twins announce that the owner named, or let in by their standing, is fetched: a stranger cannot
        # make us store anything.
        if update.playbook in self._playbooks and await self._may_teach(author):
            self._following.want(update, author, via)
        else:
            self.counters["updates_not_followed"] += 1

    async def _may_teach(self, author: Did) -> bool:
        if self._trust.allows(author):
            return True
        threshold = self._trust.current.reputation_threshold
        return threshold < 1 and not self._trust.blocks(author) and await self._standing(author) >= threshold

    async def _standing(self, author: Did) -> float:
        return (await self._reputation.of(author)).score

    async def _follow_held(self) -> None:
        """Follow the heads that are on disk: those of twins named since, and those that a crash interrupted."""
        for signed in await self._database.read(lambda conn: gossip_rows.of_type(conn, PLAYBOOK_UPDATE)):
            try:
                message = verify_signed(signed).message
                if message.from_ is not None and message.from_ != self._did:
                    await self._offer(message, message.from_, None)
            except ProtocolError as error:
                logger.warning("an announcement on disk cannot be read any more: %s", error)

    async def _fetch(self, wanted: Wanted) -> None:
        await self._fetch_missing(wanted)
        await self._vouch(wanted.update, wanted.author)

    async def _fetch_missing(self, wanted: Wanted) -> None:
        missing = [cid for cid in wanted.update.heads if cid not in self._judged]
        if not missing:
            return
        connected = [info.peer_id for info in self._network.peers()]
        first = [peer for peer in (peer_id_of_did(wanted.author), wanted.via) if peer in connected]
        peers = [*dict.fromkeys(peer for peer in (*first, *connected) if peer is not None)][:MAX_ASKED_PEERS]
        fetched = await fetch_history(
            missing,
            playbook=wanted.update.playbook,
            network=self._network,
            peers=peers,
            judged=self._judged,
            held=self._shelf.held,
        )
        async with self._lock:
            # Another walk may have brought some of them meanwhile.
            new = [signed for signed in fetched if signed.cid not in self._judged or await self._is_lost(signed.cid)]
            await self._shares.check([signed for signed in new if signed.cid not in self._judged])
            await self._take_in(new)
        await self._share(wanted.update.playbook, gossip=False)

    async def _is_lost(self, cid: Cid) -> bool:
        return await asyncio.to_thread(self._shelf.held, cid) is None

    async def _take_in(self, revisions: Sequence[SignedRevision]) -> None:
        """Store, judge and adopt verified revisions, parents first. The caller holds the lock."""
        await asyncio.to_thread(self._shelf.put, revisions)
        # Those that were judged before had only lost their blocks: what was decided stands.
        changed = {signed.revision.playbook for signed in revisions if signed.cid in self._judged}
        for name in changed:
            self._playbooks[name] = await self._shelf.effective(name)
        trust = self._trust.current
        new = [signed for signed in revisions if signed.cid not in self._judged]
        judged = [(signed, await self._judge(signed, trust)) for signed in new]
        await self._record(judged)
        self._judged.update(signed.cid for signed in new)
        self._shares.add(new)
        for signed, verdict in judged:
            self.counters[f"revisions_{verdict.status}"] += 1
            if verdict.status == "adopted":
                name = signed.revision.playbook
                self._playbooks[name] = merge.apply(self._playbooks.get(name) or merge.EMPTY(name), signed)
                changed.add(name)
        for name in changed:
            await self._tell_updated(name)

    async def _record(self, judged: Sequence[tuple[SignedRevision, Verdict]]) -> None:
        """One transaction: a row and an event for each."""
        events = [
            self._events.make("playbook_revision_received", str(signed.cid), _told(signed, verdict), source="hive")
            for signed, verdict in judged
        ]
        now = self._now()

        def record(conn: sqlite3.Connection) -> None:
            for (signed, verdict), event in zip(judged, events, strict=True):
                self._shelf.record(conn, signed, verdict, now)
                self._events.record(conn, event)

        await self._database.write(record)
        self._events.announce(*events)

    # Deciding

    async def _decide(self, name: str, verdicts: Mapping[Cid, Verdict]) -> Playbook:
        async with self._lock:
            for cid, verdict in verdicts.items():
                await (
                    self._shelf.stored(name, cid) if verdict.status == "adopted" else self._shelf.check_known(name, cid)
                )
            now = self._now()

            def store(conn: sqlite3.Connection) -> None:
                for cid, verdict in verdicts.items():
                    rows.set_status(conn, cid, verdict.status, verdict.reason, updated_ms=now)

            await self._database.write(store)
            self._playbooks[name] = await self._shelf.effective(name)
            await self._tell_updated(name)
        await self._share(name, gossip=True)
        return self._playbooks[name]

    async def _judge(self, signed: SignedRevision, trust: Trust) -> Verdict:
        author = signed.revision.author
        asked = author != self._did and author not in trust.allow and trust.reputation_threshold < 1
        standing = await self._standing(author) if asked else 0.0
        return judge(signed.revision, own=self._did, trust=trust, standing=standing)

    async def _vouch(self, update: Update, by: Did) -> None:
        """Judge again what a named twin wrote under a name that it gave up, as far as it announces what stands on it.

        The old key alone may be a thief's by now, so it is the present one that has to stand for such revisions.
        """
        names, trust = frozenset(self._formerly(by)), self._trust.current
        if not names or by not in trust.allow:
            return
        waiting = (await self.revisions(update.playbook, status="quarantined", limit=500, after=None)).items
        cids = {row.cid for row in waiting if row.author in names}
        verdicts: dict[Cid, Verdict] = {}
        seen: set[Cid] = set()
        to_visit = list(update.heads) if cids else []
        while to_visit and not cids <= seen:
            cid = to_visit.pop()
            signed = None if cid in seen else await asyncio.to_thread(self._shelf.held, cid)
            seen.add(cid)
            if signed is None:
                continue
            to_visit.extend(signed.revision.parents)
            if cid in cids:
                verdict = await self._judge(signed, replace(trust, allow=trust.allow | names))
                if verdict.status == "adopted":
                    verdicts[cid] = verdict
        if verdicts:
            await self._decide(update.playbook, verdicts)

    async def _on_trust_change(self, trust: Trust) -> None:
        """Judge again what was decided by its author alone, and follow the heads of twins named now."""
        for name in tuple(self._playbooks):
            if verdicts := await self._judge_again(name, trust):
                await self._decide(name, verdicts)
        await self._follow_held()

    async def _judge_again(self, name: str, trust: Trust) -> dict[Cid, Verdict]:
        verdicts: dict[Cid, Verdict] = {}
        after: str | None = None
        while True:
            page = await self.revisions(name, limit=500, after=after)
            for row in page.items:
                if row.status != "quarantined" and row.reason != BLOCKED:
                    continue
                signed = await asyncio.to_thread(self._shelf.held, row.cid)
                if signed is not None:
                    verdict = await self._judge(signed, trust)
                    if (verdict.status, verdict.reason) != (row.status, row.reason):
                        verdicts[row.cid] = verdict
            if page.next is None:
                return verdicts
            after = page.next

    # Sharing

    async def _share(self, name: str, *, gossip: bool) -> None:
        """Sign our current heads for whoever syncs with us and, if something of ours is new, for everyone."""
        heads = self._playbooks[name].next_parents
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


def _told(signed: SignedRevision, verdict: Verdict) -> Mapping[str, str]:
    return {
        "cid": str(signed.cid),
        "playbook": signed.revision.playbook,
        "author": signed.revision.author,
        "status": verdict.status,
        "reason": verdict.reason,
    }
