"""The playbooks in effect: what is in memory of them, and the one way in which revisions come into effect and go.

The order is always: blocks on disk, then one transaction (the revision's row, its stages, the bullets that say the same
and its event), then the state in memory. That state is computed again from the rows at each start.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

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
        self._pairs: dict[str, list[Pair]] = {}
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
        return self._tried.get(name) or merge.EMPTY(name)

    def lessons(self, name: str, *, with_canaries: bool = False) -> tuple[Lesson, ...]:
        """The bullets as they are shown and given: those that say the same are one."""
        playbook = self.view_with_canaries(name) if with_canaries else self.view(name)
        return lessons(playbook, self._pairs.get(name, ()), self._trust.allows)

    def pairs(self, name: str) -> Sequence[Pair]:
        """The pairs of bullets that say the same, split ones among them."""
        return self._pairs.get(name, ())

    async def reload(self, name: str) -> None:
        """Compute a playbook anew from what is on disk."""
        self._usual[name], self._tried[name] = await self._shelf.effective(name)
        self._pairs[name] = await self._database.read(lambda conn: pair_rows.of_playbook(conn, name))

    async def split(self, name: str, pairs: Sequence[tuple[str, str]]) -> None:
        """Note that these do not say the same, for good."""
        now = self._now()

        def store(conn: sqlite3.Connection) -> None:
            for a, b in pairs:
                pair_rows.split(conn, name, a, b, ts_ms=now)

        await self._database.write(store)
        self._pairs[name] = await self._database.read(lambda conn: pair_rows.of_playbook(conn, name))

    # New revisions

    async def take(self, name: str, judged: Sequence[tuple[SignedRevision, Sequence[Stage]]], share: float) -> bool:
        """Keep new revisions of one playbook as they were judged, parents first; whether the playbook changed."""
        verdicts = [verdict_of(stages) for _, stages in judged]
        coming = [(signed, verdict) for (signed, _), verdict in zip(judged, verdicts, strict=True)]
        usual, tried = self._with(name, coming)
        pairs = await self._pairs_of(tried, [signed for signed, verdict in coming if verdict.status in IN_EFFECT])
        events = [
            self._events.make("playbook_revision_received", str(signed.cid), _told(signed, verdict), source="hive")
            for signed, verdict in coming
        ]
        now = self._now()

        def record(conn: sqlite3.Connection) -> None:
            for (signed, stages), verdict, event in zip(judged, verdicts, events, strict=True):
                self._shelf.record(conn, signed, verdict, now)
                stage_rows.put_stages(conn, signed.cid, stages, ts_ms=now)
                stage_rows.set_share(conn, signed.cid, share if verdict.status == "canary" else None)
                self._events.record(conn, event)
            pair_rows.put(conn, name, pairs, ts_ms=now)

        await self._database.write(record)
        self._events.announce(*events)
        self.judged.update(signed.cid for signed, _ in coming)
        changed = usual != self.view(name) or tried != self.view_with_canaries(name)
        self._usual[name], self._tried[name] = usual, tried
        self._keep_pairs(name, pairs)
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
        pairs = await self._pairs_of(self._with(name, entering)[1], [signed for signed, _ in entering])
        now = self._now()

        def store(conn: sqlite3.Connection) -> None:
            for cid, stages in changes.items():
                verdict = verdicts[cid]
                rows.set_status(conn, cid, verdict.status, verdict.reason, updated_ms=now)
                stage_rows.put_stages(conn, cid, stages, ts_ms=now)
                if (verdict.status == "canary") != (was.get(cid) == "canary"):
                    stage_rows.set_share(conn, cid, share if verdict.status == "canary" else None)
            for row in results:
                stage_rows.put_result(conn, row)
            pair_rows.put(conn, name, pairs, ts_ms=now)

        await self._database.write(store)
        if any(was.get(cid) in IN_EFFECT and verdict.status != was.get(cid) for cid, verdict in verdicts.items()):
            await self.reload(name)  # what has left a join cannot be taken out of it
        else:
            self._usual[name], self._tried[name] = self._with(name, entering)
            self._keep_pairs(name, pairs)
        return verdicts

    async def tell_updated(self, name: str) -> None:
        """Say that a playbook has changed."""
        playbook = self.view(name)
        data = {"playbook": name, "state_hash": playbook.state_hash, "height": playbook.height}
        await self._events.publish("playbook_updated", name, data, source="hive")

    def _with(self, name: str, coming: Sequence[tuple[SignedRevision, Verdict]]) -> tuple[Playbook, Playbook]:
        usual, tried = self.view(name), self.view_with_canaries(name)
        for signed, verdict in coming:
            if verdict.status == "adopted":
                usual = merge.apply(usual, signed)
            if verdict.status in IN_EFFECT:
                tried = merge.apply(tried, signed)
        return usual, tried

    async def _pairs_of(self, playbook: Playbook, entering: Sequence[SignedRevision]) -> list[Pair]:
        """The pairs that come with revisions; `playbook` is with them."""
        found = [playbook.bullet(op.id) for signed in entering for op in signed.revision.ops if isinstance(op, Add)]
        added: Mapping[str, Bullet] = {bullet.id: bullet for bullet in found if bullet is not None}
        return await self._duplicates.pairs(playbook, list(added.values()), keep=True)

    def _keep_pairs(self, name: str, pairs: Sequence[Pair]) -> None:
        known = {(pair.a, pair.b) for pair in self._pairs.get(name, ())} if pairs else set()
        self._pairs.setdefault(name, []).extend(pair for pair in pairs if (pair.a, pair.b) not in known)


def _told(signed: SignedRevision, verdict: Verdict) -> Mapping[str, str | Did]:
    return {
        "cid": str(signed.cid),
        "playbook": signed.revision.playbook,
        "author": signed.revision.author,
        "status": verdict.status,
        "reason": verdict.reason,
    }
