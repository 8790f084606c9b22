"""Forgetting, explicit and complete.

What is forgotten goes with all that was made from it: its vector, its words in the index, the episodes and facts that
came of it, the records of the jobs that told it, and what was learnt of their goals. Then the write-ahead log is cut,
snapshots are written anew, and the database's file is looked through. A crash in between is made good at the next
start. What this twin cannot reach, it says: what others were told, published content, exports, copies of the home.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from identity.cid import Cid
from identity.errors import MalformedCid
from node.memory.errors import NothingNamed
from node.memory.memory import Memory
from node.memory.wording import content_words
from storage import checks, forgetting, leftovers, memories, meta, meta_learning
from storage.forgetting import Beginnings, Target
from storage.memories import MemoryRow

__all__ = ["Forgetting", "Forgotten", "Target"]

logger = logging.getLogger(__name__)

MAX_SHOWN: Final = 100
"""Of what would be forgotten."""

MAX_BY_QUERY: Final = MAX_SHOWN
"""All of them are shown before they are forgotten. Where there are more, forgetting again finds them."""

ALIKE: Final = 0.55
"""Cosine from which a memory is about what a query names; or it has every word of it."""

_MESSAGES: Final = 2000
"""Of each box, the newest: older ones are there all the same, and the owner is told so."""

_OWED: Final = "forgetting"
"""Set in `meta` while rows are gone and the files were not yet looked through."""


@dataclass(frozen=True, slots=True)
class Held:
    """Where something of it is still, out of reach.

    `what` is `content`, `message`, `task`, `export`, `backup` or `job`.
    """

    what: str
    name: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was forgotten, or would be. `named` are the memories that were meant, `also` how many went with them."""

    named: int
    also: int
    jobs: int
    shown: tuple[MemoryRow, ...]
    held: tuple[Held, ...]


class Forgetting:
    """The one way to forget more than a row."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._database = memory.database
        self._followers: list[Callable[[], Awaitable[None]]] = []

    async def run(self) -> None:
        """Finish what a crash interrupted: what it was about is not known any more, so all of the file is written."""
        if await self._database.read(lambda conn: meta.get(conn, _OWED)):
            await self._database.maintain(leftovers.write_anew)
            await self._nothing_owed()

    def then(self, follow: Callable[[], Awaitable[None]]) -> None:
        """Call it after each forgetting: what somebody keeps besides has to follow what is on disk."""
        self._followers.append(follow)

    async def about(self, query: str, *, namespace: str | None = None) -> list[MemoryRow]:
        """The memories that a query names: those that are much like it, and those that have every word of it."""
        places = None if namespace is None else (namespace,)
        near = await self._memory.nearest(query, 5 * MAX_BY_QUERY, kinds=None, namespaces=places)
        wanted = content_words(query)
        return [
            row for row, likeness in near if likeness >= ALIKE or (wanted and wanted <= content_words(row.content))
        ][:MAX_BY_QUERY]

    async def preview(self, target: Target) -> Forgotten:
        """What `forget` would do. Raises NothingNamed."""
        return await self._database.read(lambda conn: _plan(conn, _checked(target), self._database.path)[0])

    async def forget(self, target: Target) -> Forgotten:
        """Forget, for good; what was forgotten, once nothing of it is on disk. Raises NothingNamed, StorageError."""
        _checked(target)
        done: list[tuple[Forgotten, Sequence[str]]] = []

        def delete(conn: Connection) -> Sequence[int]:
            plan, seqs, texts, jobs = _plan(conn, target, self._database.path)
            beginnings, goals = Beginnings(texts), forgetting.goals_of(conn, jobs)

            def tells(text: str) -> bool:
                return text in goals or beginnings.within(text)

            sources = {row.source for row in memories.get_many(conn, seqs) if row.source is not None}
            forgetting.empty_jobs(conn, jobs)
            forgetting.forget_answered(conn, tells)
            checks.forget_from_history(conn, tells)
            meta_learning.forget_goals(conn, tells)
            forgetting.delete(conn, seqs)
            forgetting.forget_documents(conn, sources | ({target.source} if target.source is not None else set()))
            meta.put(conn, _OWED, "1")
            done.append((plan, texts))
            return seqs

        await self._memory.remove(delete)
        plan, texts = done[-1]
        await self._clear(texts)
        for follow in self._followers:
            await follow()
        return plan

    async def records(self, delete: Callable[[Connection], Sequence[str]]) -> None:
        """Take away what is no memory: `delete` gives the texts that went, of which nothing is on disk afterwards."""

        def gone(conn: Connection) -> Sequence[str]:
            texts = delete(conn)
            meta.put(conn, _OWED, "1")
            return texts

        await self._clear(await self._database.write(gone))

    async def _clear(self, texts: Sequence[str]) -> None:
        await self._database.maintain(leftovers.empty_log)
        if await asyncio.to_thread(leftovers.left_in, self._database.path, texts):
            logger.info("the database is written anew, so that nothing of what was forgotten is left in it")
            await self._database.maintain(leftovers.write_anew)
        await self._nothing_owed()

    async def _nothing_owed(self) -> None:
        await self._database.write(lambda conn: meta.put(conn, _OWED, ""))


def _checked(target: Target) -> Target:
    if not target.named:
        raise NothingNamed("nothing was named")
    return target


def _plan(conn: Connection, target: Target, path: Path) -> tuple[Forgotten, list[int], list[str], list[str]]:
    """What goes: told in short, the rows, their texts, and the jobs whose records are emptied."""
    named = forgetting.meant(conn, target)
    seqs = forgetting.with_traces(conn, named, whole=bool(target.ids))
    rows = memories.get_many(conn, seqs)
    texts = [row.content for row in rows]
    beginnings = Beginnings(texts)
    ended, under_way = forgetting.jobs_that_tell(
        conn, beginnings, ids=[row.id for row in rows], session_id=target.session_id
    )
    quoted = Beginnings([row.content for row in rows if row.kind == "semantic"])
    told = forgetting.turns_that_tell(conn, quoted, ended, whole=bool(target.ids)) if rows else []
    seqs = sorted({*seqs, *told})
    texts = [row.content for row in memories.get_many(conn, seqs)]
    shown = memories.get_many(conn, named[:MAX_SHOWN])
    held = [*_content(rows), *_exchanged(conn, beginnings), *_exports(path, beginnings), *_copies(path)] if rows else []
    held += [Held("job", job_id, "it is still under way: forget again when it has ended") for job_id in under_way]
    plan = Forgotten(
        named=len(named), also=len(seqs) - len(named), jobs=len(ended), shown=tuple(shown), held=tuple(held)
    )
    return plan, seqs, texts, ended


def _content(rows: Sequence[MemoryRow]) -> list[Held]:
    sources = {row.source.removeprefix("ipfs:").strip("/") for row in rows if row.source is not None}
    found = []
    for source in sorted(sources):
        try:
            cid = str(Cid.parse(source.split("/")[0]))
        except MalformedCid:
            continue
        found.append(Held("content", cid, f"`pagi ipfs unpin {cid}` takes it off this machine; copies elsewhere stay"))
    return found


def _exchanged(conn: Connection, beginnings: Beginnings) -> list[Held]:
    messages = [
        Held("message", message_id, f"{'from' if box == 'in' else 'to'} {did}, who has it too")
        for box, message_id, did in forgetting.messages_that_tell(conn, beginnings, _MESSAGES)
    ]
    tasks = forgetting.tasks_that_tell(conn, beginnings.within)
    return messages + [Held("task", task_id, "the twins that it was exchanged with have it too") for task_id in tasks]


def _exports(path: Path, beginnings: Beginnings) -> list[Held]:
    """Traces for fine-tuning that were written to the home."""
    return [
        Held("export", str(file), "traces that were written for fine-tuning; delete the file")
        for file in sorted(path.parent.glob("exports/*.jsonl"))
        if beginnings.within(file.read_text(errors="replace"))
    ]


def _copies(path: Path) -> list[Held]:
    """Copies of the database that were made before a new version changed it."""
    return [
        Held("backup", str(copy), "made before an update; delete it once you are sure of the update")
        for copy in sorted(path.parent.glob(f"{path.name}.*.bak"))
    ]
