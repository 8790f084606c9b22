"""The playbooks of this node: proposing, receiving, judging, adopting, taking back.

This is the way in, and it lets changes take turns; what a change is and how it comes into effect is decided in
deciding.py, judging/ and effective.py.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.errors import TooManyPlaybooks
from node.events import EventBus
from node.gossip import Gossip
from node.hive.admission import Admission
from node.hive.deciding import Deciding
from node.hive.decisions import Decisions
from node.hive.detail import Detail, detail_of
from node.hive.effective import Also, Effective
from node.hive.judging.assembly import JudgingParts
from node.hive.judging.canaries import DEFAULT_SHARE
from node.hive.judging.duplicates import Lesson
from node.hive.judging.verdict import Status
from node.hive.own_revisions import OwnRevisions
from node.hive.own_snapshots import OwnSnapshots
from node.hive.provisional import Provisional, Provisionals
from node.hive.receiving import Receiving
from node.hive.shares import Shares
from node.hive.sharing import RENEW_EVERY_S, Sharing
from node.hive.shelf import Shelf
from node.net.port import Network
from node.reputation.reputation import Reputation
from node.trust import TrustList
from protocols import limits
from protocols.playbook.merge import Playbook
from protocols.playbook.revision import SignedRevision, parse_name
from storage import followed
from storage import judging as stage_rows
from storage import revisions as rows
from storage.blocks import BlockStore
from storage.checks import Check
from storage.database import Database
from storage.page import Page
from storage.trust import Trust

REJECTED: Final = "rejected by the owner"


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
        parts: JudgingParts,
        formerly: Callable[[Did], Collection[Did]] = lambda did: (),
        now: NowMs = now_ms,
    ) -> None:
        did = did_key(keys.public)
        self._database = database
        self._shelf = Shelf(database, blocks)
        self._shares = Shares(self._shelf, did, trust)
        self._sharing = Sharing(
            gossip,
            OwnSnapshots(keys=keys, database=database, blocks=blocks, now=now),
            lambda name: self._own.join_heads(name),
        )
        self._reputation = reputation
        self._names = tuple(names)
        self._lock = asyncio.Lock()
        self._judging, self._trials = parts.judging, parts.trials
        self.red_lines, self.checks = parts.red_lines, parts.checks
        self.counters: Counter[str] = parts.counters
        self._effective = Effective(
            shelf=self._shelf, database=database, duplicates=parts.duplicates, trust=trust, events=events, now=now
        )
        self.judged = self._effective.judged
        deciding = Deciding(
            shelf=self._shelf,
            database=database,
            effective=self._effective,
            judging=self._judging,
            results=parts.results,
            trust=trust,
            formerly=formerly,
        )
        self._decisions = Decisions(
            lock=self._lock,
            config=parts.config,
            shelf=self._shelf,
            effective=self._effective,
            deciding=deciding,
            results=parts.results,
            sharing=self._sharing,
            model_name=parts.model_name,
            look_for_trials=parts.trials.look,
            now=now,
        )
        self._admission = Admission(
            lock=self._lock,
            config=parts.config,
            database=database,
            shelf=self._shelf,
            shares=self._shares,
            effective=self._effective,
            judging=self._judging,
            trials=self._trials,
            decisions=self._decisions,
            sharing=self._sharing,
            trust=trust,
            counters=self.counters,
        )
        self._own = OwnRevisions(
            keys=keys,
            lock=self._lock,
            effective=self._effective,
            judging=self._judging,
            admission=self._admission,
            reputation=reputation,
            sharing=self._sharing,
            now=now,
        )
        self._provisionals = Provisionals(
            database=database,
            blocks=blocks,
            network=network,
            trust=trust,
            reputation=reputation,
            events=events,
            judged=self._effective.judged,
            crossed=self.red_lines.crossed,
            counters=self.counters,
            now=now,
        )
        self._receiving = Receiving(
            self._admission,
            did=did,
            network=network,
            gossip=gossip,
            database=database,
            blocks=blocks,
            provisionals=self._provisionals,
            counters=self.counters,
            now=now,
        )
        trust.on_change(self._on_trust_change)
        self.red_lines.on_change(self._on_red_lines_change)

    async def load(self) -> None:
        """Compute the effective playbooks from the adopted revisions. To be called once, before anything else."""
        await self.red_lines.load()
        await self._effective.load({*self._names, *await self._database.read(followed.names)})
        await self._provisionals.load()

    async def run(self) -> None:
        """Follow the playbooks' topics, fetch what other twins announce and try what waits, until cancelled."""
        for name in self._effective.names:
            await self._sharing.join(name)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receiving.run())
            tasks.create_task(self._sharing.run())
            tasks.create_task(self._trials.run(self._decisions))
            tasks.create_task(self._decisions.compare_canaries())
            while True:
                for name in self._effective.names:
                    await self._sharing.share(self._effective.view(name), gossip=False)
                await asyncio.sleep(RENEW_EVERY_S)

    # Reading

    @property
    def names(self) -> Sequence[str]:
        """The playbooks that are kept here, sorted."""
        return self._effective.names

    async def follow(self, name: str) -> Playbook:
        """Keep a playbook of this name from now on, and fetch what the twins that teach here have of it.

        Raises MalformedMessage for such a name, and TooManyPlaybooks.
        """
        name = parse_name(name)
        async with self._lock:
            if name not in self._effective.names:
                if len(self._effective.names) >= limits.MAX_PLAYBOOKS:
                    raise TooManyPlaybooks(f"{limits.MAX_PLAYBOOKS} playbooks are kept here already")
                await self._effective.reload(name)
            await self._database.write(lambda conn: followed.add(conn, name))
        await self._sharing.join(name)
        await self._receiving.follow_held()
        return await self.view(name)

    async def offered(self) -> Mapping[str, Sequence[Did]]:
        """The playbooks that are not kept here and that twins who may teach here have, and who those are.

        The first by name, as many as could be kept: one twin can announce any number.
        """
        found = await self._receiving.offered()
        names = sorted(found.keys() - set(self._effective.names))[: limits.MAX_PLAYBOOKS]
        return {name: found[name] for name in names}

    async def view(self, name: str) -> Playbook:
        """The effective playbook; an empty one if nothing of that name was adopted.

        Until its history is here it may be what a snapshot shows: `provisional` says so.
        """
        return self._provisionals.view(name) or self._effective.view(name)

    def provisional(self, name: str) -> Provisional | None:
        """By which snapshot a playbook is shown, while its history is on its way."""
        return self._provisionals.of(name)

    async def view_with_canaries(self, name: str) -> Playbook:
        """The same with what is adopted for a share of the goals."""
        return self._provisionals.view(name) or self._effective.view_with_canaries(name)

    async def lessons(self, name: str, *, with_canaries: bool = False) -> tuple[Lesson, ...]:
        """The bullets as they are shown and given to goals: those that say the same are one."""
        shown = self._provisionals.view(name)
        if shown is not None:
            return tuple(Lesson(bullet) for bullet in shown.bullets)
        return self._effective.lessons(name, with_canaries=with_canaries)

    async def canaries(self, name: str) -> Mapping[Cid, float]:
        """The revisions that are tried on a share of the goals, each with its share."""
        return await self._database.read(lambda conn: stage_rows.canaries(conn, name))

    async def revisions(
        self, name: str, status: Status | None = None, limit: int = 100, after: str | None = None
    ) -> Page[rows.RevisionRow]:
        """Every revision that was judged here, newest first."""
        return await self._database.read(lambda conn: rows.list_revisions(conn, name, status, limit=limit, after=after))

    async def stored(self, name: str, cid: Cid) -> SignedRevision:
        """A revision that was judged here. Raises RevisionUnknown, also if its blocks are lost."""
        return await self._shelf.stored(name, cid)

    async def detail(self, name: str, cid: Cid) -> Detail:
        """All that is known of one revision. Raises RevisionUnknown."""
        return await detail_of(
            name,
            cid,
            database=self._database,
            shelf=self._shelf,
            effective=self._effective,
            reputation=self._reputation,
        )

    async def overview(self, name: str) -> Mapping[str, int]:
        """How many revisions of a playbook have each status."""
        return await self._database.read(lambda conn: rows.counts_by_status(conn, name))

    async def run_checks(self, name: str, checks: Sequence[Check]) -> Mapping[str, bool]:
        """Answer checks with the playbook as it is; whether each came out right, by its id. Raises NoModelToTry."""
        return await self._trials.run_checks(await self._effective.guiding(name), checks)

    # Our own

    async def propose(
        self,
        name: str,
        critique: str,
        ops: Sequence[Mapping[str, object]],
        evidence: Sequence[str] = (),
        *,
        anyway: bool = False,
        also: Also = lambda conn: None,
    ) -> Cid:
        """Write, sign, adopt and share a revision of our own; return its CID. `ops` are in the form of API.md.

        `also` writes in the transaction that keeps it.

        Raises MalformedMessage for such a name, RevisionRefused as `write_revision` does, and RedLineCrossed; with
        `anyway` what is only like a red line passes.
        """
        return await self._own.propose(name, critique, ops, evidence, anyway=anyway, also=also)

    async def check(self, name: str, ops: Sequence[Mapping[str, object]], *, anyway: bool = False) -> None:
        """Raise what `propose` would raise for these operations; nothing is proposed."""
        await self._own.check(name, ops, anyway=anyway)

    # The owner decides

    async def approve(self, name: str, cid: Cid, *, canary: bool = False, share: float = DEFAULT_SHARE) -> Playbook:
        """The owner adopts a revision, as a canary for a share of the goals. Raises RevisionUnknown, AuthorBlocked."""
        return await self._decisions.approve(name, cid, share=share if canary else None)

    async def reject(self, name: str, cid: Cid, reason: str) -> Playbook:
        """The owner rejects a revision, adopted or not; its bullets leave the playbook. Raises RevisionUnknown."""
        return await self._decisions.reject(name, cid, reason or REJECTED)

    async def reject_author(self, name: str, author: Did, reason: str) -> int:
        """The owner rejects all that an author wrote in a playbook so far; how many revisions that were."""
        return await self._decisions.reject_author(name, author, reason or REJECTED)

    async def rollback(self, name: str, cid: Cid) -> Playbook:
        """Keep only `cid` and its history; all else that is in effect is rejected.

        Raises RevisionUnknown, and RevisionRefused if `cid` is not adopted itself.
        """
        return await self._decisions.rollback(name, cid)

    async def split(self, name: str, a: str, b: str) -> None:
        """Two bullets that are shown as one are shown by themselves from now on. Raises NotDuplicates."""
        await self._decisions.split(name, a, b)

    async def judge_canaries(self, name: str) -> None:
        """Keep, or take back, the canaries that have had enough outcomes."""
        await self._decisions.judge_canaries(name)

    async def judge_early(self, name: str) -> None:
        """Judge the revisions whose time has come."""
        await self._decisions.judge_early(name)

    # Receiving

    def all_heads(self) -> dict[str, Sequence[Cid]]:
        """Some of the heads of every playbook that is kept here."""
        return {name: self._effective.view(name).next_parents for name in self._effective.names}

    def effective(self, name: str) -> Playbook:
        """The effective playbook; never one that is shown by a snapshot."""
        return self._effective.view(name)

    async def take_in(self, revisions: Sequence[SignedRevision]) -> None:
        """Store, judge and perhaps adopt verified revisions, parents first. Raises TooLarge."""
        await self._admission.take_in(revisions)

    # Judging again

    async def _on_trust_change(self, trust: Trust) -> None:
        """Judge again what was decided by its author, and follow the heads of twins named now."""
        await self._decisions.after_trust(trust)
        await self._provisionals.look_again()
        await self._receiving.follow_held()

    async def _on_red_lines_change(self) -> None:
        await self._decisions.after_red_lines()
        await self._provisionals.look_again()
