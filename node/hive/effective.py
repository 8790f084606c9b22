"""The playbooks in effect: what is in memory of them, and the one way in which revisions come into effect and go.

The order is always: blocks on disk, then one transaction (the revision's row, its stages, the bullets that say the same
and its event), then the state in memory. That state is computed again from the rows at each start.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

from identity.cid import Cid
from identity.did import Did
from node.clock import NowMs, now_ms
from node.events import EventBus
from node.hive.judging.canaries import DEFAULT_SHARE
from node.hive.judging.duplicates import Duplicates, Lesson, lessons
from node.hive.judging.verdict import Status, Verdict, verdict_of
from node.hive.shelf import Shelf
from node.trust import TrustList
from protocols.playbook import merge
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.ops import Add
from protocols.playbook.revision import SignedRevision
from storage import duplicates as pair_rows
from storage import judging as stage_rows
from storage import revisions as rows
from storage.database import Database
from storage.duplicates import Pair
from storage.judging import GateRow, Stage

Also = Callable[[sqlite3.Connection], None]
"""What is written in the transaction that keeps a revision."""

IN_EFFECT: Final[frozenset[Status]] = frozenset({"adopted", "canary"})


class Effective:
    """The playbooks by name. Changes take turns: the caller holds the hive's lock."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        database: Database,
        duplicates: Duplicates,
        trust: TrustList,
        events: EventBus,
        now: NowMs = now_ms,
    ) -> None:
        self._shelf = shelf
        self._database = database
        self._duplicates = duplicates
        self._trust = trust
        self._events = events
        self._now = now
        self._usual: dict[str, Playbook] = {}
        self._tried: dict[str, Playbook] = {}
        self._pairs: dict[str, dict[tuple[str, str], Pair]] = {}
        self.judged: set[Cid] = set()

    async def load(self, names: Iterable[str]) -> None:
        """Compute the playbooks of these names, and all that have a revision here."""
        for name in {*names, *await self._database.read(rows.playbooks)}:
            await self.reload(name)
        self.judged.update(await self._database.read(rows.all_cids))

    @property
    def names(self) -> Sequence[str]:
        """The playbooks that are kept here, sorted."""
        return sorted(self._usual)

    def view(self, name: str) -> Playbook:
        """The effective playbook; an empty one if nothing of that name was adopted."""
        return self._usual.get(name) or merge.EMPTY(name)

    def view_with_canaries(self, name: str) -> Playbook:
        """The same with what is adopted for a share of the goals."""
        return self._tried.get(name) or self.view(name)

    def lessons(self, name: str, *, with_canaries: bool = False) -> tuple[Lesson, ...]:
        """The bullets as they are shown and given: those that say the same are one."""
        playbook = self.view_with_canaries(name) if with_canaries else self.view(name)
        return lessons(playbook, self._pairs.get(name, {}).values(), self._distance)

    async def guiding(self, name: str, signed: SignedRevision | None = None) -> Sequence[tuple[Bullet, int]]:
        """The bullets that goals are given, with their ages: as they are, or would be with one more revision."""
        playbook, pairs = self.view(name), [*self._pairs.get(name, {}).values()]
        if signed is not None:
            playbook = merge.apply(playbook, signed)
            pairs += await self._pairs_of(playbook, [signed], keep=False)
        shown = [lesson.bullet for lesson in lessons(playbook, pairs, self._distance)]
        return [(bullet, playbook.height - playbook.revisions[bullet.revision]) for bullet in shown]

    async def reload(self, name: str) -> None:
        """Compute a playbook anew from what is on disk."""
        playbooks = await self._shelf.effective(name)
        await self._reload_pairs(name)
        self._usual[name], self._tried[name] = playbooks

    async def _reload_pairs(self, name: str) -> None:
        found = await self._database.read(lambda conn: pair_rows.of_playbook(conn, name))
        self._pairs[name] = {(pair.a, pair.b): pair for pair in found}

    async def split(self, name: str, pairs: Sequence[tuple[str, str]]) -> None:
        """Note that these do not say the same, for good."""
        now = self._now()

        def store(conn: sqlite3.Connection) -> None:
            for a, b in pairs:
                pair_rows.split(conn, name, a, b, ts_ms=now)

        async def carry_out() -> None:
            await self._database.write(store)
            await self._reload_pairs(name)

        await _whole(carry_out())

    # New revisions

    async def take(
        self,
        name: str,
        judged: Sequence[tuple[SignedRevision, Sequence[Stage]]],
        share: float,
        *,
        also: Also = lambda conn: None,
    ) -> bool:
        """Keep new revisions of one playbook as they were judged, parents first; whether the playbook changed.

        `also` writes in the same transaction.
        """
        verdicts = [verdict_of(stages) for _, stages in judged]
        coming = [(signed, verdict) for (signed, _), verdict in zip(judged, verdicts, strict=True)]
        usual, tried = self._with(name, coming)
        pairs = await self._pairs_of(
            tried, [signed for signed, verdict in coming if verdict.status in IN_EFFECT], keep=True
        )
        events = [
            self._events.make("playbook_revision_received", str(signed.cid), _told(signed, verdict), source="hive")
            for signed, verdict in coming
        ]
        now = self._now()

        def record(conn: sqlite3.Connection) -> None:
            for (signed, stages), verdict, event in zip(judged, verdicts, events, strict=True):
                self._shelf.record(conn, signed, verdict, now)
                stage_rows.put_stages(conn, signed.cid, stages, ts_ms=now)
                if verdict.status == "canary":
                    stage_rows.set_share(conn, signed.cid, share)
                self._events.record(conn, event)
            pair_rows.put(conn, name, pairs, ts_ms=now)
            also(conn)

        async def carry_out() -> None:
            await self._database.write(record)
            self._events.announce(*events)
            self.judged.update(signed.cid for signed, _ in coming)
            self._usual[name], self._tried[name] = usual, tried
            self._keep_pairs(name, pairs)

        changed = usual != self.view(name) or tried != self.view_with_canaries(name)
        await _whole(carry_out())
        return changed

    # Revisions that are decided again

    async def change(
        self,
        name: str,
        changes: Mapping[Cid, Sequence[Stage]],
        *,
        share: float = DEFAULT_SHARE,
        results: Sequence[GateRow] = (),
    ) -> Mapping[Cid, Verdict]:
        """Put new stages of revisions in place of the old; what became of each. One transaction.

        Raises RevisionUnknown if the blocks of one that comes into effect are missing.
        """
        verdicts = {cid: verdict_of(stages) for cid, stages in changes.items()}
        known = await self._database.read(lambda conn: {cid: rows.get(conn, cid) for cid in changes})
        was = {cid: row.status for cid, row in known.items() if row is not None}
        entering = [
            (await self._shelf.stored(name, cid), verdict)
            for cid, verdict in verdicts.items()
            if verdict.status in IN_EFFECT and was.get(cid) != verdict.status
        ]
        pairs = await self._pairs_of(self._with(name, entering)[1], [signed for signed, _ in entering], keep=True)
        now = self._now()

        def store(conn: sqlite3.Connection) -> None:
            for cid, stages in changes.items():
                verdict = verdicts[cid]
                rows.set_status(conn, cid, verdict.status, verdict.reason, updated_ms=now)
                stage_rows.put_stages(conn, cid, stages, ts_ms=now)
                if (verdict.status == "canary") != (was.get(cid) == "canary"):
                    stage_rows.set_share(conn, cid, share if verdict.status == "canary" else None)
            for row in results:
                stage_rows.put_result(conn, row, own=row.author)
            pair_rows.put(conn, name, pairs, ts_ms=now)

        async def carry_out() -> None:
            await self._database.write(store)
            if any(was.get(cid) in IN_EFFECT and verdict.status != was.get(cid) for cid, verdict in verdicts.items()):
                await self.reload(name)  # what has left a join cannot be taken out of it
            else:
                self._usual[name], self._tried[name] = self._with(name, entering)
                self._keep_pairs(name, pairs)

        await _whole(carry_out())
        return verdicts

    async def tell_updated(self, name: str) -> None:
        """Say that a playbook has changed."""
        playbook = self.view(name)
        data = {"playbook": name, "state_hash": playbook.state_hash, "height": playbook.height}
        await self._events.publish("playbook_updated", name, data, source="hive")

    def _with(self, name: str, coming: Sequence[tuple[SignedRevision, Verdict]]) -> tuple[Playbook, Playbook]:
        usual, tried = self.view(name), self.view_with_canaries(name)
        for signed, verdict in coming:
            same = tried is usual  # where nothing is being tried, one merge does for both
            if verdict.status == "adopted":
                usual = merge.apply(usual, signed)
            if verdict.status in IN_EFFECT:
                tried = usual if same and verdict.status == "adopted" else merge.apply(tried, signed)
        return usual, tried

    async def _pairs_of(self, playbook: Playbook, entering: Sequence[SignedRevision], *, keep: bool) -> list[Pair]:
        """The pairs that come with revisions; `playbook` is with them, and with `keep` they come into effect."""
        found = [playbook.bullet(op.id) for signed in entering for op in signed.revision.ops if isinstance(op, Add)]
        added: Mapping[str, Bullet] = {bullet.id: bullet for bullet in found if bullet is not None}
        return await self._duplicates.pairs(playbook, list(added.values()), keep=keep)

    def _keep_pairs(self, name: str, pairs: Sequence[Pair]) -> None:
        known = self._pairs.setdefault(name, {})
        for pair in pairs:
            known.setdefault((pair.a, pair.b), pair)

    def _distance(self, author: Did) -> int:
        """0 for our own, 1 for those that the owner named, 2 for all others."""
        return 1 if author in self._trust.named else 0 if self._trust.allows(author) else 2


async def _whole(change: Coroutine[Any, Any, None]) -> None:
    """Await a change of the disk and then of the memory. Whoever is cancelled meanwhile is so when both are done."""
    task = asyncio.create_task(change)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _told(signed: SignedRevision, verdict: Verdict) -> Mapping[str, str | Did]:
    return {
        "cid": str(signed.cid),
        "playbook": signed.revision.playbook,
        "author": signed.revision.author,
        "status": verdict.status,
        "reason": verdict.reason,
    }
