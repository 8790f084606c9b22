"""Consolidation: what a memory does while nothing else is going on.

Conversations that are over become episodes; turns over their time go, once they are part of one. A fact that was told
again stands for the older ones, which are kept for where they came from; facts that contradict each other are linked,
and both stay. Each step is one transaction and the rest is looked up anew, so a crash or a restart loses nothing and
does nothing twice. A pass is bounded, and it ends where the owner's goal begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Final, TypeVar

from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.inference.engine import ModelSource
from node.memory.body import Body
from node.memory.facts import Relation, excludes, relation
from node.memory.memory import Memory, SourceGone
from node.memory.noticing import OWNERS_NAME, TOLD
from node.memory.record import HEART, MAX_LABEL_CHARS, PRIVATE, NewMemory
from node.memory.summarising import Summary, summarised
from storage import memories, memory_links, namespaces, working
from storage.errors import StorageError
from storage.memories import MemoryRow

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_TURNS: Final = 12
"""Of one episode: one that tells of more is like nothing in particular."""

MAX_EPISODES: Final = 8
MAX_FACTS: Final = 200
MAX_EXPIRED: Final = 500
"""Of one pass: a model needs seconds for an episode, and a transaction holds up others."""

ALIKE: Final = 0.6
"""Cosine from which two facts are compared word by word."""

ALIKE_TOLD: Final = 0.3
"""The same for what the owner told, in sentences that are short and of one mould."""

_NEIGHBOURS: Final = 8
_TOLD_COMPARED: Final = 200
"""The newest of what the owner told: words are compared fast."""

_LOOK_EVERY_S: Final = 0.25
_TASK: Final = "facts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass did. `more`: it ended at its bounds; `interrupted`: a goal came."""

    episodes: int = 0
    facts: int = 0
    merged: int = 0
    contradictions: int = 0
    expired: int = 0
    more: bool = False
    interrupted: bool = False


class _GoalCame(Exception):
    """The owner wants something: the rest waits."""


class Consolidation:
    """The loop, and single passes for whoever asks. `busy` says whether a goal of the owner is worked on."""

    def __init__(
        self,
        memory: Memory,
        *,
        model: ModelSource,
        body: Body,
        busy: Callable[[], Awaitable[bool]],
        idle_s: float,
        every_s: float = 60.0,
        enabled: bool = True,
        now: NowMs = now_ms,
    ) -> None:
        self._memory = memory
        self._model = model
        self._body = body
        self._busy = busy
        self._idle_ms = int(idle_s * 1000)
        self._every_s = every_s
        self._enabled = enabled
        self._now = now
        self._one_pass = asyncio.Lock()
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Passes, for as long as the twin runs; none at its start, when there is enough to do. Raises StorageError."""
        more = False
        while True:
            await asyncio.sleep(0 if more else self._every_s)
            if not self._enabled:
                continue
            try:
                more = (await self.consolidate()).more
            except StorageError:
                raise
            except PagiError as error:  # the embedder, say: what is not done now is done later
                logger.warning("the memory was not consolidated: %s", error)
                more = False

    async def consolidate(self) -> Pass:
        """One pass; a second waits for the first. Raises StorageError."""
        async with self._one_pass:
            done: Counter[str] = Counter()
            interrupted = False
            await self._body.refresh()
            try:
                await self._sessions(done)
                await self._facts(done)
            except _GoalCame:
                interrupted = True
            now = self._now()
            gone = await self._memory.remove(lambda conn: working.delete_expired(conn, now, MAX_EXPIRED))
            done["expired"] = len(gone)
            self.counters.update({f"memory_{name}": count for name, count in done.items() if name != "seen"})
            more = not interrupted and (
                done["episodes"] >= MAX_EPISODES or done["seen"] >= MAX_FACTS or len(gone) >= MAX_EXPIRED
            )
            return Pass(
                episodes=done["episodes"],
                facts=done["facts"],
                merged=done["merged"],
                contradictions=done["contradictions"],
                expired=len(gone),
                more=more,
                interrupted=interrupted,
            )

    async def compare(self) -> None:
        """Compare the facts that are new, now. That it cannot be done is no error: a later pass does it."""
        done: Counter[str] = Counter()
        try:
            async with self._one_pass:
                for seq in await self._new_facts():
                    await self._compare(seq, done)
        except StorageError:
            raise
        except PagiError as error:
            logger.warning("new facts were not compared: %s", error)

    async def _sessions(self, done: Counter[str]) -> None:
        until_ms = self._now() - self._idle_ms
        waiting = await self._memory.database.read(lambda conn: working.waiting_sessions(conn, until_ms, MAX_EPISODES))
        for session_id in waiting:
            while done["episodes"] < MAX_EPISODES and (turns := await self._over(session_id)):
                summary = await self._undisturbed(summarised(turns, self._model))
                await self._keep(turns, summary, done)

    async def _over(self, session_id: str | None) -> Sequence[MemoryRow]:
        """The oldest stretch of a session that is over and part of no episode: up to a pause, or a number of turns."""

        def read(conn: Connection) -> list[MemoryRow]:
            return memories.get_many(conn, working.waiting_turns(conn, session_id, MAX_TURNS + 1))

        turns = await self._memory.database.read(read)
        for place, turn in enumerate(turns):
            following = turns[place + 1].happened_ms if place + 1 < len(turns) else self._now()
            if following - turn.happened_ms >= self._idle_ms:
                return turns[: place + 1]
        return turns[:MAX_TURNS] if len(turns) > MAX_TURNS else ()

    async def _keep(self, turns: Sequence[MemoryRow], summary: Summary, done: Counter[str]) -> None:
        sources = [turn.seq for turn in turns]
        moods = Counter(turn.mood for turn in turns if turn.mood is not None)
        felt = [turn.activation for turn in turns if turn.activation is not None]
        place = await self._memory.database.read(lambda conn: _place(conn, turns))
        episode = NewMemory(
            kind="episodic",
            content=summary.text or turns[0].content.strip()[:200],
            namespace=place,
            session_id=turns[0].session_id,
            source=f"conversation, {summary.by}"[:MAX_LABEL_CHARS],
            mood=moods.most_common(1)[0][0] if moods else None,
            activation=max(felt) if felt else None,
            with_did=next((turn.with_did for turn in turns if turn.with_did is not None), None),
            happened_ms=turns[0].happened_ms,
        )

        facts = [
            NewMemory(
                kind="semantic",
                content=text,
                namespace=PRIVATE,
                session_id=turns[0].session_id,
                source=f"{TOLD}, noticed by {summary.by}"[:MAX_LABEL_CHARS],
                happened_ms=turns[-1].happened_ms,
            )
            for text in summary.facts
        ]

        def still_fits(conn: Connection, seqs: Sequence[int]) -> None:
            if _place(conn, turns) != place:
                raise SourceGone

        if not await self._memory.add_made_from([episode, *facts], sources, also=still_fits):
            return  # something of it was forgotten, or opened up, meanwhile: the next look begins anew
        done["episodes"] += 1
        done["facts"] += len(facts)

    async def _facts(self, done: Counter[str]) -> None:
        """Compare each new fact with those that are like it, in the order in which they came."""
        for seq in await self._new_facts():
            await self._undisturbed(self._compare(seq, done))
            done["seen"] += 1

    async def _new_facts(self) -> list[int]:
        return await self._memory.database.read(
            lambda conn: working.facts_after(conn, working.progress_of(conn, _TASK), MAX_FACTS)
        )

    async def _compare(self, seq: int, done: Counter[str]) -> None:
        found = await self._memory.database.read(lambda conn: memories.get_many(conn, [seq]))
        related = await self._related(found[0]) if found and len(found[0].content) <= 400 else []

        def write(conn: Connection) -> tuple[int, int]:
            working.set_progress(conn, _TASK, seq)
            here = {row.seq for row in memories.get_many(conn, [seq, *(row.seq for row, _ in related)])}
            merged = contradictions = 0
            for row, how in related:
                if not {seq, row.seq} <= here:
                    continue
                older, newer = sorted((found[0], row), key=lambda one: (one.happened_ms, one.seq))
                if how == "contradicts":
                    contradictions += memory_links.add_link(conn, "contradicts", newer.seq, older.seq)
                else:
                    memory_links.merge(conn, older.seq, newer.seq)
                    merged += 1
                    if older.seq == seq:
                        break
            return merged, contradictions

        merged, contradictions = await self._memory.database.write(write)
        done["merged"] += merged
        done["contradictions"] += contradictions

    async def _related(self, fact: MemoryRow) -> list[tuple[MemoryRow, Relation]]:
        """The facts that a fact repeats or contradicts: of those that are like it, and of what the owner told of the
        same thing, where places and trades make two sentences as unlike as can be."""
        near = await self._memory.nearest(fact.content, _NEIGHBOURS, kinds=("semantic",), namespaces=(fact.namespace,))
        compared = {row.seq: row for row, likeness in near if likeness >= ALIKE}
        if fact.source in (TOLD, OWNERS_NAME):
            told = await self._memory.list(limit=_TOLD_COMPARED, namespace=fact.namespace, source=fact.source)
            alike = {row.seq for row, likeness in near if likeness >= ALIKE_TOLD}
            compared |= {
                row.seq: row
                for row in told.items
                if row.seq in alike or (excludes(fact.content) and excludes(row.content))
            }
        compared.pop(fact.seq, None)
        related = ((row, relation(fact.content, row.content)) for row in compared.values())
        return [(row, how) for row, how in related if how is not None]

    async def _undisturbed(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it as long as no goal is worked on. Raises _GoalCame, with the work given up, as soon as one is."""
        task = asyncio.create_task(work)
        try:
            while True:
                if await self._busy():
                    raise _GoalCame
                finished, _ = await asyncio.wait({task}, timeout=_LOOK_EVERY_S)
                if finished:
                    return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})


def _place(conn: Connection, turns: Sequence[MemoryRow]) -> str:
    """Where the episode goes: to `heart`, unless that is more open than what was said."""
    openness = {"private": 0, "ask": 1, "shared": 2}
    said = min(openness[namespaces.privacy_of(conn, turn.namespace)] for turn in turns)
    return HEART if openness[namespaces.privacy_of(conn, HEART)] <= said else PRIVATE
