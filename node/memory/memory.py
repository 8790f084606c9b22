"""The twin's memory: rows in SQLite, which is the truth, and a vector index over them in this process.

A memory is acknowledged when its row is on disk; the index follows the commit and is built anew at every start.
Search is by meaning alone, and filters hold inside it: no row outside the asked namespaces is a candidate. This room
decides what is shared with whom only by namespace; it knows no twins and no messages.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from node.clock import NowMs, now_ms
from node.inference.embedder import Embedder
from node.memory.errors import BadMemory, MemoryTooLarge
from node.memory.record import (
    MAX_AT_ONCE,
    MAX_CONTENT_BYTES,
    PRIVATE,
    SHARED,
    Kind,
    NewMemory,
    Recalled,
    Role,
    checked_namespace,
    size_of,
)
from node.memory.topics import topics_of
from storage import memories
from storage.database import Database
from storage.memories import MemoryRow
from storage.page import Page
from storage.vectors import VectorIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Memory", "NewMemory", "Recalled"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
Ids = list[str]

MAX_RESULTS: Final = 100
MAX_TOPIC_SOURCES: Final = 500
"""Topics come from the newest shared memories: older ones hardly change the picture, and all of them cost time."""

_REEMBED_BATCH: Final = 256


class Memory:
    """One twin's memory. Made by `open`; used from the loop that opened it."""

    def __init__(self, database: Database, embedder: Embedder, *, now: NowMs = now_ms) -> None:
        self._database = database
        self._embedder = embedder
        self._now = now
        self._index = VectorIndex(embedder.dimensions)
        self._loading = asyncio.Lock()
        self._loaded = False
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._changes = 0
        self._topics: tuple[int, tuple[str, ...]] = (-1, ())

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database, embedder: Embedder, *, now: NowMs = now_ms) -> AsyncIterator[Self]:
        """Memories that another model embedded are embedded again first, which can take a while."""
        memory = cls(database, embedder, now=now)
        await memory._embed_again()
        try:
            yield memory
        finally:
            await asyncio.gather(*memory._unfinished, return_exceptions=True)

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
    ) -> str:
        """Keep one memory; its id, once it is on disk. Raises BadMemory, MemoryTooLarge or a StorageError."""
        item = NewMemory(
            kind=kind,
            content=content,
            namespace=namespace,
            role=role,
            session_id=session_id,
            tags=tuple(tags),
            source=source,
        )
        return (await self.add_many([item]))[0]

    async def add_many(self, items: Sequence[NewMemory]) -> list[str]:
        """Keep all of them or, if that fails, none, in one transaction; their ids, once they are on disk."""
        if len(items) > MAX_AT_ONCE:
            raise MemoryTooLarge(f"{len(items)} memories at once; {MAX_AT_ONCE} are allowed")
        if not items:
            return []
        vectors = await asyncio.to_thread(self._embedder.embed, [item.content for item in items])
        return await self._to_the_end(self._keep(items, vectors))

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
        Answers to other twins pass `namespaces=("shared",)`. Raises BadMemory or MemoryTooLarge.
        """
        if not 1 <= k <= MAX_RESULTS:
            raise BadMemory(f"k is {k}; it can be 1 to {MAX_RESULTS}")
        for name in namespaces or ():
            checked_namespace(name)
        if size_of(query) > MAX_CONTENT_BYTES:
            raise MemoryTooLarge(f"the query has more than {MAX_CONTENT_BYTES} bytes")
        among = None
        if kinds is not None or namespaces is not None:
            among = await self._database.read(lambda conn: memories.matching(conn, kinds=kinds, namespaces=namespaces))
        if among == [] or not len(await self._loaded_index()):
            return []
        vector = (await asyncio.to_thread(self._embedder.embed, [query]))[0]
        if not vector.any():
            return []
        scores = await asyncio.to_thread(self._nearest, vector, k, among)
        rows = await self._database.read(lambda conn: memories.get_many(conn, list(scores)))
        rows.sort(key=lambda row: (-scores[row.seq], -row.ts_ms, -row.seq))
        return [_recalled(row, scores[row.seq]) for row in rows[:k]]

    async def get(self, memory_id: str) -> MemoryRow | None:
        """One memory, or None."""
        return await self._database.read(lambda conn: memories.get_memory(conn, memory_id))

    async def list(
        self,
        *,
        limit: int = 50,
        after: str | None = None,
        kind: Kind | None = None,
        namespace: str | None = None,
        session_id: str | None = None,
    ) -> Page[MemoryRow]:
        """Memories, newest first, by pages. Raises BadCursor."""
        return await self._database.read(
            lambda conn: memories.list_memories(
                conn, limit=limit, after=after, kind=kind, namespace=namespace, session_id=session_id
            )
        )

    async def forget(self, memory_id: str) -> bool:
        """Delete a memory and its vector; whether there was one, once that is on disk."""
        return await self._to_the_end(self._delete(memory_id))

    async def topics(self) -> tuple[str, ...]:
        """What other twins may know that this one can be asked about: from shared memories and no others.

        Worked out again only after a change: the announcement asks every few seconds.
        """
        changes, topics = self._topics
        if changes == self._changes:
            return topics
        changes = self._changes

        def newest_shared(conn: Connection) -> tuple[MemoryRow, ...]:
            return memories.list_memories(conn, limit=MAX_TOPIC_SOURCES, namespace=SHARED).items

        rows = await self._database.read(newest_shared)
        topics = await asyncio.to_thread(topics_of, [(row.tags, row.content) for row in rows])
        self._topics = (changes, topics)
        return topics

    async def _keep(self, items: Sequence[NewMemory], vectors: NDArray[np.float32]) -> Ids:
        ids = [str(uuid.uuid4()) for _ in items]
        kept_ms = self._now()

        def insert(conn: Connection) -> list[int]:
            return [
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
                    model_id=self._embedder.model_id,
                    vector=_to_bytes(vector),
                    ts_ms=kept_ms,
                )
                for memory_id, item, vector in zip(ids, items, vectors, strict=True)
            ]

        seqs = await self._database.write(insert)
        self._changes += 1
        await asyncio.to_thread((await self._loaded_index()).add, seqs, vectors)
        return ids

    async def _delete(self, memory_id: str) -> bool:
        seq = await self._database.write(lambda conn: memories.delete_memory(conn, memory_id))
        if seq is None:
            return False
        self._changes += 1
        await asyncio.to_thread((await self._loaded_index()).remove, [seq])
        return True

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

    def _nearest(self, vector: NDArray[np.float32], k: int, among: Sequence[int] | None) -> dict[int, float]:
        """At least the k nearest, seq to cosine, with everything that ties with the k-th."""
        count = k + 1
        while True:
            found = self._index.search(vector, count, among=among)
            if len(found) < count or found[-1][1] < found[k - 1][1]:
                return {seq: max(-1.0, min(1.0, score)) for seq, score in found}
            count *= 2

    async def _loaded_index(self) -> VectorIndex:
        """The index, built at its first use: a start need not wait for it, nor an idle twin hold it in memory."""
        async with self._loading:
            if not self._loaded:
                await self._build_index()
                self._loaded = True
        return self._index

    async def _build_index(self) -> None:
        import numpy as np

        rows = await self._database.read(lambda conn: list(memories.all_vectors(conn, self._embedder.model_id)))
        sound = [(seq, vector) for seq, vector in rows if len(vector) == 4 * self._embedder.dimensions]
        if len(sound) < len(rows):
            logger.warning("%d memories have a damaged vector and cannot be found by search", len(rows) - len(sound))
        if sound:
            table = np.frombuffer(b"".join(vector for _, vector in sound), "<f4").astype(np.float32)
            table = table.reshape(len(sound), self._embedder.dimensions)
            await asyncio.to_thread(self._index.add, [seq for seq, _ in sound], table)

    async def _embed_again(self) -> None:
        """Give memories that another model embedded a vector of ours. A crash in between leaves the rest for later."""
        model_id = self._embedder.model_id
        while rows := await self._database.read(lambda conn: memories.not_embedded_by(conn, model_id, _REEMBED_BATCH)):
            logger.info("embedding %d memories with %s", len(rows), model_id)
            vectors = await asyncio.to_thread(self._embedder.embed, [row.content for row in rows])
            fresh = [(row.seq, _to_bytes(vector)) for row, vector in zip(rows, vectors, strict=True)]

            def replace(conn: Connection, fresh: Sequence[tuple[int, bytes]] = fresh) -> None:
                for seq, vector in fresh:
                    memories.set_vector(conn, seq, model_id=model_id, vector=vector)

            await self._database.write(replace)


def _to_bytes(vector: NDArray[np.float32]) -> bytes:
    return vector.astype("<f4").tobytes()


def _recalled(row: MemoryRow, score: float) -> Recalled:
    return Recalled(
        id=row.id,
        kind=row.kind,
        content=row.content,
        namespace=row.namespace,
        score=score,
        ts_ms=row.ts_ms,
        tags=row.tags,
        source=row.source,
    )
