"""Deciding again about revisions that were judged: by the owner, by a change of trust or red lines, by a trial.

Each changes one or some of a revision's stages; what follows from the stages is always worked out in the same way
(judging/verdict.py).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from identity.cid import Cid
from identity.did import Did
from node.errors import RevisionRefused, RevisionUnknown
from node.hive.effective import IN_EFFECT, Effective
from node.hive.judging.author import BLOCKED, WRITTEN_HERE
from node.hive.judging.canaries import canary_stage, compared
from node.hive.judging.errors import AuthorBlocked
from node.hive.judging.judging import Judging
from node.hive.judging.results import GateResults
from node.hive.judging.verdict import verdict_of
from node.hive.shelf import Shelf
from node.trust import TrustList
from protocols import limits
from protocols.playbook.revision import SignedRevision
from storage import judging as stage_rows
from storage import learning
from storage import revisions as rows
from storage.database import Database
from storage.judging import Stage
from storage.revisions import RevisionRow
from storage.trust import Trust

APPROVED: Final = "approved by the owner"
NOT_NEEDED: Final = Stage("gate", "noted", "not tried: the owner decided before")

Changes = dict[Cid, tuple[Stage, ...]]


class Deciding:
    """Works out what changes. The caller holds the hive's lock while it does, and carries it out."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        database: Database,
        effective: Effective,
        judging: Judging,
        results: GateResults,
        trust: TrustList,
        formerly: Callable[[Did], Collection[Did]],
    ) -> None:
        self._shelf = shelf
        self._database = database
        self._effective = effective
        self._judging = judging
        self._results = results
        self._trust = trust
        self._formerly = formerly

    # The owner

    async def approve(self, name: str, cid: Cid, *, share: float | None) -> Changes:
        """The owner adopts a revision, with a share for so many goals. Raises RevisionUnknown or AuthorBlocked."""
        signed = await self._shelf.stored(name, cid)
        if self._trust.blocks(signed.revision.author):
            raise AuthorBlocked(f"the author of {cid} is blocked")
        stages = [stage for stage in await self._stages(name, cid) if stage.name not in ("canary", "owner")]
        canary = [canary_stage(share)] if share is not None else []
        return {cid: (*stages, *canary, Stage("owner", "passed", APPROVED))}

    async def reject(self, name: str, cid: Cid, reason: str) -> Changes:
        """The owner rejects a revision, adopted or not. Raises RevisionUnknown."""
        await self._shelf.check_known(name, cid)
        return {cid: await self._rejected(name, cid, reason)}

    async def reject_author(self, name: str, author: Did, reason: str) -> Changes:
        """The owner rejects all that an author wrote in this playbook."""
        found = await self._database.read(lambda conn: rows.by_author(conn, name, author))
        return {row.cid: await self._rejected(name, row.cid, reason) for row in found if row.status != "rejected"}

    async def rollback(self, name: str, cid: Cid) -> Changes:
        """Keep only `cid` and its history of what is in effect.

        Raises RevisionUnknown, and RevisionRefused if `cid` is not adopted itself.
        """
        adopted = await self._database.read(lambda conn: rows.adopted(conn, name))
        tried = await self._database.read(lambda conn: rows.in_canary(conn, name))
        keep: set[Cid] = set()
        to_visit = deque([cid])
        while to_visit:
            current = to_visit.popleft()
            if current not in keep:
                keep.add(current)
                to_visit.extend((await self._shelf.stored(name, current)).revision.parents)
        if cid not in adopted:
            raise RevisionRefused(f"{cid} is not adopted here, so there is no way back to it")
        reason = f"rolled back to {cid}"
        return {other: await self._rejected(name, other, reason) for other in (*adopted, *tried) if other not in keep}

    # Trust and red lines

    async def after_trust(self, name: str, trust: Trust) -> Changes:
        """What a change of trust decides anew: what waits, what is rejected for its author, and what a blocked author
        wrote. What was adopted of somebody who is merely no longer named stays."""

        def concerned(row: RevisionRow) -> bool:
            by_author = row.status == "rejected" and row.reason == BLOCKED
            return row.status == "quarantined" or by_author or (row.status in IN_EFFECT and row.author in trust.block)

        return await self._again(name, concerned, trust)

    async def after_red_lines(self, name: str) -> Changes:
        """What other red lines decide anew: everything that its own stages decided, but nothing of ours.

        What was adopted of somebody who has not been named since is judged as if its author still were.
        """
        stages = await self._database.read(lambda conn: stage_rows.stages_by_revision(conn, name))
        trust = self._trust.current
        found = await self._database.read(lambda conn: rows.everything(conn, name))
        decided = [
            row
            for row in found
            if not any(
                stage.name == "owner" or (stage.name == "author" and stage.reason == WRITTEN_HERE)
                for stage in stages.get(row.cid, ())
            )
        ]
        kept = {row.cid for row in decided if row.status in IN_EFFECT and row.author not in trust.block}
        as_before = await self._judged([row for row in decided if row.cid in kept], name, stages, trust, named=True)
        return as_before | await self._judged([row for row in decided if row.cid not in kept], name, stages, trust)

    async def vouched(self, name: str, heads: Sequence[Cid], by: Did) -> Changes:
        """What a named twin wrote under a name that it gave up, as far as it announces what stands on it.

        The old key alone may be a thief's by now, so it is the present one that has to stand for such revisions.
        """
        names, trust = frozenset(self._formerly(by)), self._trust.current
        if not names or by not in trust.allow:
            return {}
        found = await self._database.read(
            lambda conn: [row for author in names for row in rows.by_author(conn, name, author)]
        )
        waiting = {row.cid: row for row in found if row.status == "quarantined"}
        stages = await self._database.read(lambda conn: stage_rows.stages_by_revision(conn, name)) if waiting else {}
        under = await self._under(heads, set(waiting)) if waiting else []
        changes = await self._judged(
            [waiting[cid] for cid in under], name, stages, replace(trust, allow=trust.allow | names)
        )
        return {cid: judged for cid, judged in changes.items() if verdict_of(judged).status in IN_EFFECT}

    async def in_time(self, name: str, now_ms: int) -> Changes:
        """The revisions whose time had not come when they were judged, and has now."""
        latest = now_ms + limits.CLOCK_SKEW_S * 1000
        waited = set(await self._database.read(lambda conn: stage_rows.early(conn, name, latest)))
        return await self._again(name, lambda row: row.cid in waited, self._trust.current) if waited else {}

    # Trials and comparisons

    async def after_trial(self, name: str, cid: Cid, stage: Stage) -> Changes:
        """A trial is over. A revision that no longer waits for it keeps what was decided."""
        stages = await self._stages(name, cid)
        if not any(known.name == "gate" and known.outcome == "pending" for known in stages):
            return {}
        return {cid: tuple(stage if known.name == "gate" else known for known in stages)}

    async def after_comparison(self, name: str) -> Changes:
        """The canaries whose outcomes suffice to keep them or to take them back."""
        changes: Changes = {}
        for cid in await self._database.read(lambda conn: stage_rows.canaries(conn, name)):
            counted = await self._database.read(lambda conn, cid=cid: learning.outcomes(conn, name, cid))  # type: ignore[misc]
            if (decided := compared(counted)) is not None:
                stages = await self._stages(name, cid)
                changes[cid] = tuple(decided if stage.name == "canary" else stage for stage in stages)
        return changes

    # Inside

    async def _again(self, name: str, concerned: Callable[[RevisionRow], bool], trust: Trust) -> Changes:
        found = await self._database.read(lambda conn: rows.everything(conn, name))
        stages = await self._database.read(lambda conn: stage_rows.stages_by_revision(conn, name))
        return await self._judged([row for row in found if concerned(row)], name, stages, trust)

    async def _judged(
        self,
        found: Sequence[RevisionRow],
        name: str,
        before: Mapping[Cid, Sequence[Stage]],
        trust: Trust,
        *,
        named: bool = False,
    ) -> Changes:
        """Judge revisions once more; those whose stages change. `named`: as if their authors were."""
        if named:
            trust = replace(trust, allow=trust.allow | {row.author for row in found}, auto_adopt=True)
        held = await asyncio.to_thread(lambda: [self._shelf.held(row.cid) for row in found])
        signed = [one for one in held if one is not None]
        measured = await self._results.tried([one.cid for one in signed])
        judged = await self._judge(signed, name, before, measured, trust)
        status = {row.cid: (row.status, row.reason) for row in found}
        changes: Changes = {}
        for one, stages in zip(signed, judged, strict=True):
            if named:
                stages = _with_author_of(before.get(one.cid, ()), stages)
            verdict = verdict_of(stages)
            if (verdict.status, verdict.reason) != status[one.cid] or stages != tuple(before.get(one.cid, ())):
                changes[one.cid] = stages
        return changes

    async def _judge(
        self,
        signed: Sequence[SignedRevision],
        name: str,
        before: Mapping[Cid, Sequence[Stage]],
        measured: Collection[Cid],
        trust: Trust,
    ) -> list[tuple[Stage, ...]]:
        return await self._judging.judge(
            signed, self._effective.view(name), trust=trust, before=before, measured=measured
        )

    async def _stages(self, name: str, cid: Cid) -> tuple[Stage, ...]:
        """The stages of a revision that is known; those of one from before stages were kept say what is known."""
        found = await self._database.read(lambda conn: stage_rows.stages_of(conn, cid))
        stages = tuple(stage for stage, _ in found)
        if any(stage.name == "author" for stage in stages):
            return stages
        row = await self._database.read(lambda conn: rows.get(conn, cid))
        if row is None:
            raise RevisionUnknown(f"no revision {cid} of the playbook {name!r} is known here")
        return (Stage("author", "noted", row.reason or "judged before stages were kept"), *stages)

    async def _rejected(self, name: str, cid: Cid, reason: str) -> tuple[Stage, ...]:
        stages = [
            NOT_NEEDED if stage.name == "gate" and stage.outcome == "pending" else stage
            for stage in await self._stages(name, cid)
            if stage.name != "owner"
        ]
        return (*stages, Stage("owner", "rejected", reason))

    async def _under(self, heads: Sequence[Cid], wanted: set[Cid]) -> list[Cid]:
        """Those of `wanted` that lie under the heads."""
        seen: set[Cid] = set()
        to_visit = list(heads)
        while to_visit and not wanted <= seen:
            cid = to_visit.pop()
            signed = None if cid in seen else await asyncio.to_thread(self._shelf.held, cid)
            seen.add(cid)
            if signed is not None:
                to_visit.extend(signed.revision.parents)
        return sorted(wanted & seen)


def _with_author_of(before: Sequence[Stage], stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """`stages` with the author's stage as it was."""
    author = next((stage for stage in before if stage.name == "author"), None)
    return tuple(author if author is not None and stage.name == "author" else stage for stage in stages)
