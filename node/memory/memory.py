"""The twin's memory: rows in SQLite, which is the truth, and a vector index over them in this process.

A memory is acknowledged when its row is on disk; the index follows the commit. Search here is by meaning alone, and
filters hold inside it: no row outside the asked namespaces is a candidate. Recall (node/memory/recall.py) is what the
mind uses; who may be told of what is decided in node/memory/privacy.py. This room knows no messages.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from node.clock import NowMs, now_ms
from node.inference.embedder import Embedder
from node.memory.errors import BadMemory, MemoryTooLarge, MemoryUnknown, OwnersAlone
from node.memory.indexing import MemoryIndex, OpenEmbedder, to_bytes
from node.memory.record import (
    MAX_AT_ONCE,
    MAX_CONTENT_BYTES,
    PRIVATE,
    By,
    Kind,
    NewMemory,
    Recalled,
    Role,
    checked_namespace,
    recalled,
    size_of,
)
from node.memory.topics import topics_of
from node.memory.upkeep import Upkeep
from storage import memories, memory_links, namespaces
from storage.database import Database
from storage.memories import MemoryRow
from storage.memory_links import Ties
from storage.page import Page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Memory", "NewMemory", "Recalled"]

T = TypeVar("T")
Ids = list[str]
Seqs = list[int]
Rows = list[MemoryRow]
Also = Callable[[Connection, Sequence[int]], None]
"""More to write in the transaction that keeps memories, given their `seq`. What it raises takes all of it back."""

MAX_RESULTS: Final = 100
MAX_TOPIC_SOURCES: Final = 500
"""Topics come from the newest shared memories: older ones hardly change the picture, and all of them cost time."""

MAX_ADJUSTMENT: Final = 0.2
"""Of a memory's importance by one outcome: no single one makes or breaks a memory."""


class SourceGone(Exception):
    """What a new memory was made from has been forgotten in the meantime, or may no longer stand where it would."""


class Memory:
    """One twin's memory. Made by `open`; used from the loop that opened it."""

    def __init__(self, index: MemoryIndex, *, spec: str | None = None, now: NowMs = now_ms) -> None:
        self.database: Final = index.database
        self.index: Final = index
        self.upkeep: Final = Upkeep(index, spec=spec)
        self._now = now
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._adding = 0
        self._gone: set[int] = set()
        self._changes = 0
        self._topics: tuple[tuple[int, tuple[str, ...]], tuple[str, ...]] = ((-1, ()), ())

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database: Database,
        embedder: Embedder,
        *,
        folder: Path | None = None,
        spec: str | None = None,
        open_embedder: OpenEmbedder | None = None,
        now: NowMs = now_ms,
    ) -> AsyncIterator[Self]:
        """`folder` is where the index is kept between runs; `spec` is how `open_embedder` opens this embedder.

        Without `upkeep` running, memories of another embedder stay as they are.
        """
        index = MemoryIndex(database, embedder, folder=folder, open_embedder=open_embedder)
        memory = cls(index, spec=spec, now=now)
        try:
            yield memory
        finally:
            await asyncio.gather(*memory._unfinished, return_exceptions=True)
            await memory.upkeep.close()

    async def add(
        self,
        *,
        kind: Kind,
        content: str,
        namespace: str = PRIVATE,
        role: Role | None = None,
        session_id: str | None = None,
        tags: Sequence[str] = (),
        source: str | None = None,
        by: By = "twin",
    ) -> str:
        """Keep one memory; its id, once it is on disk. Raises BadMemory, MemoryTooLarge, OwnersAlone, StorageError."""
        item = NewMemory(
            kind=kind,
            content=content,
            namespace=namespace,
            role=role,
            session_id=session_id,
            tags=tuple(tags),
            source=source,
        )
        return (await self.add_many([item], by=by))[0]

    async def add_many(self, items: Sequence[NewMemory], *, by: By = "twin", also: Also | None = None) -> list[str]:
        """Keep all of them or, if that fails, none, in one transaction; their ids, once they are on disk."""
        if len(items) > MAX_AT_ONCE:
            raise MemoryTooLarge(f"{len(items)} memories at once; {MAX_AT_ONCE} are allowed")
        if not items:
            return []
        vectors = await self.index.embed([item.content for item in items])
        return await self._to_the_end(self._keep(items, vectors, by, also))

    async def add_made_from(
        self, items: Sequence[NewMemory], sources: Sequence[int], *, also: Also | None = None
    ) -> Ids:
        """Keep what was made from other memories, so that it goes with them; none if one of them has gone already."""

        def link(conn: Connection, seqs: Sequence[int]) -> None:
            if len(memories.get_many(conn, sources)) < len(sources):
                raise SourceGone
            for seq in seqs:
                for source in sources:
                    memory_links.add_link(conn, "derived", seq, source)
            if also is not None:
                also(conn, seqs)

        try:
            return await self.add_many(items, also=link)
        except SourceGone:
            return []

    async def search(
        self,
        query: str,
        *,
        k: int = 5,
        kinds: Collection[str] | None = None,
        namespaces: Collection[str] | None = None,
    ) -> list[Recalled]:
        """The `k` memories most like the query among those of the kinds and namespaces, the likest first.

        None stands for all kinds, or all namespaces; an empty collection for none. Equal scores: the newer first.
        What was merged into a newer memory is not found. Raises BadMemory or MemoryTooLarge.
        """
        if not 1 <= k <= MAX_RESULTS:
            raise BadMemory(f"k is {k}; it can be 1 to {MAX_RESULTS}")
        found = await self.nearest(query, k, kinds=kinds, namespaces=namespaces)
        return [recalled(row, score) for row, score in found[:k]]

    async def nearest(
        self,
        query: str,
        k: int,
        *,
        kinds: Collection[str] | None,
        namespaces: Collection[str] | None,
        happened: tuple[int, int] | None = None,
    ) -> list[tuple[MemoryRow, float]]:
        """As `search`, but at least `k` rows where there are so many, each with its cosine.

        `happened` limits it to what happened from the first to before the second, in ms.
        """
        for name in namespaces or ():
            checked_namespace(name)
        if size_of(query) > MAX_CONTENT_BYTES:
            raise MemoryTooLarge(f"the query has more than {MAX_CONTENT_BYTES} bytes")
        among = None
        if happened is not None:
            among = await self.database.read(
                lambda conn: memories.matching(conn, kinds=kinds, namespaces=namespaces, happened=happened)
            )
        wanted = k
        while True:
            scores = await self.index.nearest(query, wanted, kinds=kinds, namespaces=namespaces, among=among)
            rows = await self._rows(list(scores))
            live = [row for row in rows if row.merged_into is None]
            if len(live) >= k or len(scores) < wanted:
                live.sort(key=lambda row: (-scores[row.seq], -row.ts_ms, -row.seq))
                return [(row, scores[row.seq]) for row in live]
            wanted *= 2

    async def _rows(self, seqs: Seqs) -> Rows:
        return await self.database.read(lambda conn: memories.get_many(conn, seqs))

    async def likeness(self, query: str, seqs: Sequence[int]) -> dict[int, float]:
        """The cosine of the query and each of these rows, from the vectors on disk; none for what is gone."""
        if not seqs:
            return {}
        vector = (await self.index.embed([query]))[0]
        return await self.index.likeness(vector, seqs)

    async def get(self, memory_id: str) -> MemoryRow | None:
        """One memory, or None."""
        return await self.database.read(lambda conn: memories.get_memory(conn, memory_id))

    async def ties(self, row: MemoryRow) -> Ties:
        """What a memory was made from and into, what says otherwise, and what said the same before."""
        return await self.database.read(lambda conn: memory_links.ties_of(conn, row.seq))

    async def list(
        self,
        *,
        limit: int = 50,
        after: str | None = None,
        kind: Kind | None = None,
        namespace: str | None = None,
        session_id: str | None = None,
        source: str | None = None,
    ) -> Page[MemoryRow]:
        """Memories, newest first, by pages. Raises BadCursor."""
        return await self.database.read(
            lambda conn: memories.list_memories(
                conn, limit=limit, after=after, kind=kind, namespace=namespace, session_id=session_id, source=source
            )
        )

    async def adjust(self, memory_id: str, delta: float) -> float:
        """Make a memory more or less important after an outcome, by MAX_ADJUSTMENT at most; what it is now.

        Raises MemoryUnknown.
        """
        bounded = max(-MAX_ADJUSTMENT, min(MAX_ADJUSTMENT, delta))
        now = await self.database.write(lambda conn: memories.adjust_importance(conn, memory_id, bounded))
        if now is None:
            raise MemoryUnknown("no memory has this id")
        return now

    async def forget(self, memory_id: str) -> bool:
        """Delete one row and its vector; whether there was one, once that is on disk. Forgetting does more."""
        return await self.forget_many([memory_id]) == 1

    async def forget_many(self, memory_ids: Sequence[str]) -> int:
        """Delete rows and their vectors, all or none; how many there were, once that is on disk."""

        def delete(conn: Connection) -> Sequence[int]:
            return [seq for one in memory_ids if (seq := memories.delete_memory(conn, one)) is not None]

        return len(await self.remove(delete))

    async def remove(self, delete: Callable[[Connection], Sequence[int]]) -> Sequence[int]:
        """Carry out a write that deletes rows and gives their `seq`; the index follows it."""
        return await self._to_the_end(self._remove(delete))

    async def topics(self) -> tuple[str, ...]:
        """What other twins may know that this one can be asked about: from shared namespaces and no others.

        Worked out again only after a change: the announcement asks every few seconds.
        """
        known, topics = self._topics
        shared = await self.database.read(lambda conn: namespaces.with_privacy(conn, "shared"))
        state = (self._changes, shared)
        if known == state:
            return topics
        rows = await self.database.read(lambda conn: memories.newest_in(conn, shared, MAX_TOPIC_SOURCES))
        topics = await asyncio.to_thread(topics_of, [(row.tags, row.content) for row in rows])
        self._topics = (state, topics)
        return topics

    async def _keep(self, items: Sequence[NewMemory], vectors: NDArray[np.float32], by: By, also: Also | None) -> Ids:
        ids = [str(uuid.uuid4()) for _ in items]
        kept_ms = self._now()

        def insert(conn: Connection) -> list[int]:
            if by != "owner" and (owners := namespaces.fixed_names(conn).intersection(i.namespace for i in items)):
                raise OwnersAlone(f"only the owner writes the namespace {min(owners)}")
            seqs = [
                memories.add_memory(
                    conn,
                    id=memory_id,
                    kind=item.kind,
                    content=item.content,
                    namespace=item.namespace,
                    role=item.role,
                    session_id=item.session_id,
                    tags=item.tags,
                    source=item.source,
                    model_id=self.index.model_id,
                    vector=to_bytes(vector),
                    ts_ms=kept_ms,
                    importance=item.importance,
                    mood=item.mood,
                    activation=item.activation,
                    outcome=item.outcome,
                    with_did=item.with_did,
                    expires_ms=item.expires_ms,
                    happened_ms=item.happened_ms,
                )
                for memory_id, item, vector in zip(ids, items, vectors, strict=True)
            ]
            if also is not None:
                also(conn, seqs)
            return seqs

        self._adding += 1
        try:
            seqs = await self.database.write(insert)
            self._changes += 1
            await self.index.add(seqs, vectors, [(item.namespace, item.kind) for item in items])
            if gone := self._gone.intersection(seqs):  # forgotten before the index had them
                async with self.index.forgetting():
                    await self.index.remove(sorted(gone))
        finally:
            self._adding -= 1
            if not self._adding:
                self._gone.clear()
        return ids

    async def _remove(self, delete: Callable[[Connection], Sequence[int]]) -> Sequence[int]:
        async with self.index.forgetting():
            seqs = await self.database.write(delete)
            if seqs:
                self._changes += 1
                if self._adding:
                    self._gone.update(seqs)
                await self.index.remove(seqs)
        return seqs

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that runs to its end also if the caller is cancelled: a commit cannot be taken back, so the
        index must follow it."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._unfinished.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: a caller that went away is not told
