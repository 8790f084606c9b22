"""Recall: what fits a query, for an audience, by likeness first, and weighed by what is known of each memory.

Likeness finds. Where the query quotes a phrase or has a rare word, what holds it is found too: names, numbers and
codes say little to an embedder. Where it asks what happened at some time, the episodes of that time are. What was found
is ordered by its weight (node/memory/weighing.py); what contradicts it comes along, newest first.

`score` stays the cosine: thresholds depend on it. Nothing outside what the audience may see is looked at, also not
to tell how rare a word is: see node/memory/privacy.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from sqlite3 import Connection
from typing import Final

from node.clock import MachineZone, NowMs, now_ms, rfc3339
from node.memory import wording
from node.memory.errors import BadMemory
from node.memory.memory import MAX_RESULTS, Memory
from node.memory.noticing import TOLD
from node.memory.privacy import Audience, Namespaces, OtherTwin, Owner
from node.memory.record import Recalled, recalled
from node.memory.weighing import OWN_PLACES, Moment, Signs, weighed
from node.memory.when import Period, asks_what_happened, period
from storage import memories, memory_links
from storage.memories import MemoryRow

RECALLED_KINDS: Final = ("semantic", "episodic")
"""What answers a goal. The turns of the present session are in the prompt anyway."""

_CANDIDATES: Final = 4
"""Times `k` by likeness: what weighs more must be among them to be found."""

_MOST_BY_TIME: Final = 50
_HALF_LIFE_DAYS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """What may be looked at. None stands for all namespaces."""

    kinds: Collection[str]
    namespaces: Collection[str] | None
    happened: tuple[int, int] | None

    def holds(self, row: MemoryRow) -> bool:
        in_time = self.happened is None or self.happened[0] <= row.happened_ms < self.happened[1]
        in_place = self.namespaces is None or row.namespace in self.namespaces
        return in_time and in_place and row.kind in self.kinds and row.merged_into is None


class Recall:
    """Recall over one twin's memory. `zone` is where the owner's days begin; None is the machine's own."""

    def __init__(
        self,
        memory: Memory,
        namespaces: Namespaces,
        *,
        half_life_days: float = _HALF_LIFE_DAYS,
        zone: tzinfo | None = None,
        now: NowMs = now_ms,
    ) -> None:
        self._memory = memory
        self._namespaces = namespaces
        self._half_life_days = half_life_days
        self._zone = zone or MachineZone()
        self._now = now

    async def recall(
        self,
        query: str,
        *,
        k: int = 5,
        audience: Audience = Owner(),  # noqa: B008 - a frozen value
        approved: bool = False,
        kinds: Collection[str] = RECALLED_KINDS,
        namespaces: Collection[str] | None = None,
        happened: tuple[int, int] | None = None,
        session_id: str | None = None,
        mood: str | None = None,
    ) -> list[Recalled]:
        """At most `k` memories that fit the query and that the audience may be told of, the weightiest first.

        `approved`: the owner lets `ask` namespaces be used for this very question and audience. `namespaces` narrows
        what the audience may see, and never widens it, and `happened` limits it to what happened from the first to
        before the second, in ms. `mood` and `session_id` are the present ones: what belongs to them weighs more.
        Raises BadMemory or MemoryTooLarge.
        """
        if not 1 <= k <= MAX_RESULTS:
            raise BadMemory(f"k is {k}; it can be 1 to {MAX_RESULTS}")
        visible = await self._visible(audience, namespaces, approved=approved)
        scope = _Scope(kinds=kinds, namespaces=visible, happened=happened)
        of_oneself = isinstance(audience, Owner) and wording.of_oneself(query)
        rows, scores, signs = await self._candidates(query, k, scope, of_oneself=of_oneself)
        moment = Moment(
            wanted=wording.stems(query),
            now_ms=self._now(),
            half_life_days=self._half_life_days,
            mood=mood,
            session_id=session_id,
            of_oneself=of_oneself,
        )
        found = [_weighed(row, scores.get(seq, 0.0), signs.get(seq, Signs()), moment) for seq, row in rows.items()]
        found.sort(key=lambda one: (-one[1].weight, -one[1].happened_ms, -one[0]))
        return await self._with_contradictions(query, found[:k], scope, moment, k)

    async def left_out(self, query: str, audience: OtherTwin, *, k: int = 5) -> list[Recalled]:
        """What `ask` namespaces hold that fits: for the owner alone, who is to decide whether it may be used."""
        usable = await self._namespaces.usable(audience)
        return await self.recall(query, k=k, namespaces=usable.after_approval) if usable.after_approval else []

    async def _visible(
        self, audience: Audience, namespaces: Collection[str] | None, *, approved: bool
    ) -> Collection[str] | None:
        if isinstance(audience, Owner):
            return namespaces
        usable = await self._namespaces.usable(audience)
        allowed = (*usable.free, *usable.after_approval) if approved else usable.free
        return allowed if namespaces is None else tuple(name for name in allowed if name in namespaces)

    async def _candidates(
        self, query: str, k: int, scope: _Scope, *, of_oneself: bool
    ) -> tuple[dict[int, MemoryRow], dict[int, float], Mapping[int, Signs]]:
        """What may be recalled: the rows, their cosines, and how those were found that not likeness alone finds."""
        near = await self._memory.nearest(
            query,
            min(_CANDIDATES * k, MAX_RESULTS),
            kinds=scope.kinds,
            namespaces=scope.namespaces,
            happened=scope.happened,
        )
        if of_oneself:
            places = [name for name in OWN_PLACES if scope.namespaces is None or name in scope.namespaces]
            near += await self._memory.nearest(query, k, kinds=scope.kinds, namespaces=places, happened=scope.happened)
        scores = {row.seq: score for row, score in near}
        rows = {row.seq: row for row, _ in near}
        signs = await self._found_otherwise(query, scope, rows)
        scores |= await self._memory.likeness(query, [seq for seq in rows if seq not in scores])
        return rows, scores, signs

    async def _found_otherwise(self, query: str, scope: _Scope, rows: dict[int, MemoryRow]) -> Mapping[int, Signs]:
        """What words and times find; their rows are added to `rows`."""
        asked = self._asked_time(query)

        def find(conn: Connection) -> dict[int, Signs]:
            by_words = wording.holding(conn, query, kinds=scope.kinds, namespaces=scope.namespaces)
            by_time = set() if asked is None else _of_that_time(conn, asked, scope)
            new = [seq for seq in {*by_words, *by_time} if seq not in rows]
            rows.update({row.seq: row for row in memories.get_many(conn, new) if scope.holds(row)})
            phrase = asked.phrase if asked is not None else None
            signs = {seq: Signs(words=held.words, share=held.share) for seq, held in by_words.items()}
            return signs | {seq: replace(signs.get(seq, Signs()), time=phrase) for seq in by_time}

        return await self._memory.database.read(find)

    def _asked_time(self, query: str) -> Period | None:
        if not asks_what_happened(query):
            return None
        now = datetime.fromtimestamp(self._now() / 1000, UTC)
        return period(query, now, self._zone)

    async def _with_contradictions(
        self, query: str, found: Sequence[tuple[int, Recalled]], scope: _Scope, moment: Moment, k: int
    ) -> list[Recalled]:
        """Each with those that say otherwise beside it, newest first, as far as they may be seen."""

        def partners(conn: Connection) -> dict[int, list[MemoryRow]]:
            linked = memory_links.contradicting(conn, [seq for seq, _ in found])
            held = {
                row.seq: row
                for row in memories.get_many(conn, [other for others in linked.values() for other in others])
                if scope.holds(row)
            }
            return {seq: [held[one] for one in others if one in held] for seq, others in linked.items()}

        linked = await self._memory.database.read(partners)
        if not any(linked.values()):
            return [memory for _, memory in found]
        ready = dict(found)
        missing = {row.seq: row for rows in linked.values() for row in rows if row.seq not in ready}
        scores = await self._memory.likeness(query, list(missing))
        for seq, row in missing.items():
            ready[seq] = _weighed(row, scores.get(seq, 0.0), Signs(), moment)[1]
        shown: dict[int, Recalled] = {}
        for seq, memory in found:
            group = {seq: memory, **{row.seq: ready[row.seq] for row in linked.get(seq, [])}}
            newest = sorted(group, key=lambda one: (-group[one].happened_ms, -one))
            for one in newest:
                if one not in shown:
                    shown[one] = _marked(
                        group[one], [group[other] for other in newest if other != one], outdated=one != newest[0]
                    )
        return list(shown.values())[:k]


def _of_that_time(conn: Connection, asked: Period, scope: _Scope) -> set[int]:
    """What happened in the time that is asked about: its episodes, and what the owner told of themselves."""
    found: set[int] = set()
    for kind in ("episodic", "semantic"):
        if kind in scope.kinds:
            page = memories.happened_between(
                conn, asked.from_ms, asked.to_ms, kind=kind, limit=_MOST_BY_TIME, namespaces=scope.namespaces
            )
            told = (row for row in page.items if kind == "episodic" or (row.source or "").startswith(TOLD))
            found.update(row.seq for row in told)
    return found


def _weighed(row: MemoryRow, score: float, signs: Signs, moment: Moment) -> tuple[int, Recalled]:
    memory = recalled(row, score)
    weight, why = weighed(memory, signs, moment)
    found = replace(
        memory,
        weight=weight,
        why=why,
        words=signs.words,
        all_words=signs.share == 1,
        asked_time=signs.time is not None,
    )
    return row.seq, found


def _marked(memory: Recalled, others: Sequence[Recalled], *, outdated: bool) -> Recalled:
    if not others:
        return memory
    why = [
        f"{'an older' if other.happened_ms < memory.happened_ms else 'a newer'} memory of"
        f" {rfc3339(other.happened_ms)[:10]} says otherwise"
        for other in others
    ]
    return replace(
        memory,
        contradicts=tuple(other.id for other in others),
        outdated=outdated,
        why=(*memory.why, *why),
    )
