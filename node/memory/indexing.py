"""The index over the memories: what finds them by likeness, in step with SQLite, which is the truth.

Where the embedding model was changed, rows of the old one are found by the old one's index, and scored by the new one,
until each has a vector of the new one (node/memory/upkeep.py sees to that).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final, Literal

from node.inference.embedder import Embedder, embed_checked
from node.inference.errors import BadEmbedding, InferenceError
from node.memory.space import Space, sound_rows
from storage import embedded, fulltext
from storage.database import Database
from storage.vectors.index import EXACT_MOST
from storage.vectors.snapshot import Snapshots

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Places = Sequence[tuple[str, str]]
"""(namespace, kind) of each row."""

OpenEmbedder = Callable[[str], Embedder]
"""Opens an embedder by the text that the configuration names it with. Raises InferenceError."""

Task = Literal["idle", "reading", "embedding", "building", "writing"]
"""What is done in the background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """How far the index is.

    `waiting` memories have no vector of this model yet; `unreachable` are those of them whose own model cannot be
    opened any more: they are not found before they have one. `filled` is the share of the index that was read since
    the start.
    """

    model_id: str
    dimensions: int
    vectors: int
    memories: int
    waiting: int
    unreachable: int
    exact: bool
    filled: float
    task: Task


class MemoryIndex:
    """Vectors of one twin's memories, by the `seq` of their rows. Used from one event loop."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        *,
        folder: Path | None = None,
        open_embedder: OpenEmbedder | None = None,
        exact_most: int = EXACT_MOST,
    ) -> None:
        """`folder` is where snapshots go, None for none; `open_embedder` is for models that were in use before."""
        self.database: Final = database
        self.embedder: Final = embedder
        self.snapshots: Final = None if folder is None else Snapshots(folder)
        self.exact_most: Final = exact_most
        self.task: Task = "idle"
        self.unsaved = 0
        self.wake: Final = asyncio.Event()
        self._open_embedder = open_embedder
        self._numbering = threading.Lock()
        self._groups: dict[tuple[str, str], int] = {}
        self.space: Final = self._space_of(embedder)
        self._others: dict[str, Space | None] | None = None
        self._opening = asyncio.Lock()

    def __len__(self) -> int:
        """How many vectors the index holds; 0 before its first use."""
        return len(self.space.index)

    @property
    def model_id(self) -> str:
        """The model whose vectors new memories get."""
        return self.embedder.model_id

    async def state(self) -> IndexState:
        """How far the index is."""
        counted = await self.database.read(embedded.counted)
        memory_count, ours = sum(counted.values()), counted.pop(self.model_id, 0)
        lost = [model for model, space in (self._others or {}).items() if space is None]
        return IndexState(
            model_id=self.model_id,
            dimensions=self.embedder.dimensions,
            vectors=len(self),
            memories=memory_count,
            waiting=memory_count - ours,
            unreachable=sum(counted.get(model, 0) for model in lost),
            exact=self.space.index.exact,
            filled=1.0 if self.space.filled else self.space.share_filled,
            task=self.task,
        )

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n, d), rows L2-normalised. Raises BadEmbedding or another InferenceError."""
        return await asyncio.to_thread(embed_checked, self.embedder, texts)

    async def ready(self) -> None:
        """Wait until everything that is on disk can be found."""
        await self.space.ready()
        for space in await self._open_others():
            await space.ready()

    async def add(self, seqs: Sequence[int], vectors: NDArray[np.float32], places: Places) -> None:
        """Take in the vectors of rows that are on disk."""
        await self.space.add(seqs, vectors, [self._group_of(*place) for place in places])
        self._changed(len(seqs))

    @asynccontextmanager
    async def forgetting(self) -> AsyncIterator[None]:
        """Around a write that deletes rows: at its end no snapshot on disk holds them, nor after a crash within."""
        if self.snapshots is None:
            yield
            return
        nothing_kept = self.snapshots.nothing_kept()
        await asyncio.to_thread(nothing_kept.__enter__)
        try:
            yield
        finally:
            nothing_kept.__exit__(None, None, None)

    async def remove(self, seqs: Sequence[int]) -> None:
        """Take out the vectors and the words of rows that are gone."""
        for space in [self.space, *self.others]:
            await space.remove(seqs)
        self._changed(len(seqs))
        await self.purge_words()

    async def nearest(
        self,
        query: str,
        k: int,
        *,
        kinds: Collection[str] | None = None,
        namespaces: Collection[str] | None = None,
        among: Sequence[int] | None = None,
    ) -> dict[int, float]:
        """At least the `k` likest, seq to cosine, with everything that ties with the k-th, of these kinds and places.

        None stands for all of them. `among` limits it to some thousands of rows.
        """
        await self.ready()  # only then does every place have a group
        groups = self._groups_of(kinds, namespaces)
        old: set[int] = set()
        for space in self.others:  # first: what is moved meanwhile is in ours by then
            old.update(await space.nearest(query, k, groups=groups, among=among))
        found = await self.space.nearest(query, k, groups=groups, among=among)
        if not old:
            return found
        return found | await self.likeness((await self.embed([query]))[0], sorted(old - found.keys()))

    async def likeness(self, vector: NDArray[np.float32], seqs: Sequence[int]) -> dict[int, float]:
        """The cosine to each of these rows, from the vectors on disk, or from the text where another model made it."""

        def read(conn: Connection) -> tuple[dict[int, bytes], dict[int, str]]:
            held = embedded.vectors(conn, self.model_id, seqs)
            return held, embedded.texts(conn, [seq for seq in seqs if seq not in held])

        held, texts = await self.database.read(read)
        rows, kept = sound_rows(held, self.embedder.dimensions)
        scores = dict(zip(kept, (rows @ vector).tolist(), strict=True))
        for seq, text in texts.items():
            with suppress(BadEmbedding):  # then there is nothing to compare
                scores[seq] = float((await self.embed([text]))[0] @ vector)
        return {seq: max(-1.0, min(1.0, score)) for seq, score in scores.items()}

    @property
    def others(self) -> list[Space]:
        """The spaces of models that were in use before, as far as they are open."""
        return [space for space in (self._others or {}).values() if space is not None]

    async def moved(self, seqs: Sequence[int], vectors: NDArray[np.float32], places: Places) -> None:
        """These rows have a vector of this model now, and no longer another's."""
        await self.add(seqs, vectors, places)
        for space in self.others:
            await space.remove(seqs)

    def close_others(self) -> None:
        """No row has another model's vector any more."""
        self._others = {}

    async def purge_words(self) -> None:
        """Take the words of rows that are gone out of the full-text index, for good."""
        if not await self.database.write(fulltext.take_out):
            return
        done = await self.database.write(lambda conn: fulltext.purge(conn, first=True))
        while not done:
            done = await self.database.write(lambda conn: fulltext.purge(conn, first=False))

    async def _open_others(self) -> list[Space]:
        """The spaces of the models that rows have vectors of besides this one, as far as they can be opened."""
        async with self._opening:
            if self._others is None:
                counted = await self.database.read(embedded.counted)
                self._others = {model: await self._reopened(model) for model in counted if model != self.model_id}
        return self.others

    async def _reopened(self, model_id: str) -> Space | None:
        spec = await self.database.read(lambda conn: embedded.spec_of(conn, model_id))
        if spec is None or self._open_embedder is None:
            logger.warning("memories of the embedder %s are not found before they are embedded again", model_id)
            return None
        try:
            embedder = await asyncio.to_thread(self._open_embedder, spec)
        except InferenceError as error:
            logger.warning("memories of the embedder %s are not found before they are embedded again: %s", spec, error)
            return None
        if embedder.model_id != model_id:
            logger.warning("%s is no longer %s: its memories are found once they are embedded again", spec, model_id)
            return None
        return self._space_of(embedder)

    def _space_of(self, embedder: Embedder) -> Space:
        return Space(self.database, embedder, self._group_of, snapshots=self.snapshots, exact_most=self.exact_most)

    def _group_of(self, namespace: str, kind: str) -> int:
        """Called from threads as well; two of them may ask for a new one at once."""
        with self._numbering:
            return self._groups.setdefault((namespace, kind), len(self._groups))

    def _groups_of(self, kinds: Collection[str] | None, namespaces: Collection[str] | None) -> list[int] | None:
        if kinds is None and namespaces is None:
            return None
        return [
            group
            for (namespace, kind), group in list(self._groups.items())
            if (namespaces is None or namespace in namespaces) and (kinds is None or kind in kinds)
        ]

    def _changed(self, count: int) -> None:
        self.unsaved += count
        self.wake.set()


def to_bytes(vector: NDArray[np.float32]) -> bytes:
    """A vector as its row holds it."""
    return vector.astype("<f4").tobytes()
