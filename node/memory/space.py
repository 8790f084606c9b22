"""The vectors of one embedding model: its index, filled from SQLite or a snapshot at the first use, then kept in step.

SQLite is the truth, and a row is on disk before its vector comes here. What changes while the index is being filled is
noted and carried out at the end; before that there is nothing to do, for the rows will be read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final

from node.inference.embedder import Embedder, embed_checked
from storage import embedded
from storage.database import Database
from storage.vectors import VectorIndex
from storage.vectors.snapshot import Snapshots

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

GroupOf = Callable[[str, str], int]
"""The number of a (namespace, kind) in the index."""

_AT_ONCE: Final = 4096
_TOLD_EVERY_S: Final = 5.0

CHECKED_FOR_EACH: Final = 4
CHECKED_LEAST: Final = 32
"""How many vectors are read from SQLite and compared exactly, for each that is asked for, where the index has codes."""


class Space:
    """One model's vectors, by the `seq` of their rows."""

    def __init__(
        self, database: Database, embedder: Embedder, group_of: GroupOf, *, snapshots: Snapshots | None, exact_most: int
    ) -> None:
        self.embedder: Final = embedder
        self.index = VectorIndex(embedder.dimensions, exact_most=exact_most)
        self.filled = False
        self.share_filled = 0.0
        self._database = database
        self._group_of = group_of
        self._snapshots = snapshots
        self._exact_most = exact_most
        self._filling = asyncio.Lock()
        self._late: list[tuple[Sequence[int], NDArray[np.float32], Sequence[int]]] | None = None
        self._gone: set[int] = set()

    async def ready(self) -> VectorIndex:
        """The index with everything that is on disk."""
        async with self._filling:
            if not self.filled:
                self._late, self._gone = [], set()
                try:
                    self.index = await self._fill()
                    self.filled = True
                finally:
                    self._late = None
        return self.index

    async def add(self, seqs: Sequence[int], vectors: NDArray[np.float32], groups: Sequence[int]) -> None:
        """Take in the vectors of rows that are on disk."""
        if self.filled:
            await asyncio.to_thread(self.index.add, seqs, vectors, groups)
        elif self._late is not None:
            self._late.append((seqs, vectors, groups))

    async def remove(self, seqs: Sequence[int]) -> None:
        """Take out the vectors of rows that are gone, or have another model's vector now."""
        if self.filled:
            await asyncio.to_thread(self.index.remove, seqs)
        elif self._late is not None:
            self._gone.update(seqs)

    async def nearest(
        self, query: str, k: int, *, groups: Collection[int] | None, among: Sequence[int] | None
    ) -> dict[int, float]:
        """At least the k nearest, seq to exact cosine, with everything that ties with the k-th.

        Raises BadEmbedding or another InferenceError.
        """
        index = await self.ready()

        def look() -> tuple[NDArray[np.float32], dict[int, float], bool]:
            vector = embed_checked(self.embedder, [query])[0]
            if not vector.any():
                return vector, {}, True
            if index.exact:
                return vector, _with_ties(index, vector, k, groups, among), True
            count = max(CHECKED_FOR_EACH * k, CHECKED_LEAST)
            return vector, dict(index.search(vector, count, groups=groups, among=among)), False

        vector, scores, exact = await asyncio.to_thread(look)  # one way to a thread and back, not two
        if exact:
            return scores
        scores = await self._exact_scores(vector, list(scores))
        if len(scores) <= k:
            return scores
        least = sorted(scores.values(), reverse=True)[k - 1]
        return {seq: score for seq, score in scores.items() if score >= least}

    async def _exact_scores(self, query: NDArray[np.float32], seqs: Sequence[int]) -> dict[int, float]:
        """The cosines by the vectors on disk; what is gone meanwhile is left out."""
        model_id, dimensions = self.embedder.model_id, self.embedder.dimensions
        held = await self._database.read(lambda conn: embedded.vectors(conn, model_id, seqs))
        rows, kept = sound_rows(held, dimensions)
        return {seq: _cosine(score) for seq, score in zip(kept, (rows @ query).tolist(), strict=True)}

    async def _fill(self) -> VectorIndex:
        import numpy as np

        index = VectorIndex(self.embedder.dimensions, exact_most=self._exact_most)
        group_of, last_seq = await self._database.read(self._groups_on_disk)
        seqs = np.flatnonzero(group_of >= 0)
        if self._snapshots is not None and len(seqs) > self._exact_most:
            stamp, model_id = await self._database.read(embedded.stamp), self.embedder.model_id
            await asyncio.to_thread(
                self._snapshots.read, index, stamp=stamp, model_id=model_id, last_seq=last_seq, group_of=group_of
            )
        missing = await asyncio.to_thread(index.absent, seqs)
        told = time.monotonic()
        for start in range(0, len(missing), _AT_ONCE):
            await self._take_in(index, missing[start : start + _AT_ONCE], group_of)
            if time.monotonic() - told > _TOLD_EVERY_S:
                told = time.monotonic()
                logger.info("the vector index is being made: %d of %d memories", len(index), len(seqs))
            self.share_filled = len(index) / len(seqs)
        await self._catch_up(index)
        return index

    async def _take_in(self, index: VectorIndex, seqs: NDArray[np.int64], group_of: NDArray[np.int32]) -> None:
        model_id, dimensions = self.embedder.model_id, self.embedder.dimensions
        held = await self._database.read(lambda conn: embedded.vectors(conn, model_id, seqs.tolist()))
        rows, kept = sound_rows(held, dimensions)
        if len(kept) < len(held):
            logger.warning("%d memories have a damaged vector and cannot be found by search", len(held) - len(kept))
        await asyncio.to_thread(index.add, kept, rows, group_of[kept].tolist())
        if index.wants_building:
            await asyncio.to_thread(index.build)

    async def _catch_up(self, index: VectorIndex) -> None:
        """Carry out what changed meanwhile; nothing more can come between the last look and `filled`."""
        while self._late:
            seqs, vectors, groups = self._late.pop(0)
            await asyncio.to_thread(index.add, seqs, vectors, groups)
        index.remove(list(self._gone))

    def _groups_on_disk(self, conn: Connection) -> tuple[NDArray[np.int32], int]:
        """int32 by `seq`, the group of each row with a vector of this model and -1 elsewhere; and the last `seq`."""
        import numpy as np

        last_seq = embedded.last_seq(conn)
        group_of = np.full(last_seq + 1, -1, np.int32)
        for namespace, kind in embedded.places(conn, self.embedder.model_id):
            seqs = np.fromiter(embedded.seqs_in(conn, self.embedder.model_id, namespace, kind), np.int64)
            group_of[seqs] = self._group_of(namespace, kind)
        return group_of, last_seq


def _with_ties(
    index: VectorIndex,
    query: NDArray[np.float32],
    k: int,
    groups: Collection[int] | None,
    among: Sequence[int] | None,
) -> dict[int, float]:
    count = k + 1
    while True:
        found = index.search(query, count, groups=groups, among=among)
        if len(found) < count or found[-1][1] < found[k - 1][1]:
            return {seq: _cosine(score) for seq, score in found}
        count *= 2


def sound_rows(held: dict[int, bytes], dimensions: int) -> tuple[NDArray[np.float32], list[int]]:
    """The sound ones of these vectors as float32 (n, d), and their `seq`."""
    import numpy as np

    sound = [seq for seq, data in held.items() if len(data) == 4 * dimensions]
    rows = np.frombuffer(b"".join(held[seq] for seq in sound), "<f4").astype(np.float32).reshape(-1, dimensions)
    finite = np.flatnonzero(np.isfinite(rows).all(axis=1))
    return rows[finite], [sound[number] for number in finite]


def _cosine(score: float) -> float:
    """A product of rounded unit vectors may lie a little outside of what a cosine can be."""
    return max(-1.0, min(1.0, score))
