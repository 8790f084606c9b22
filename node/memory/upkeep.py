"""The work on the index in the background: vectors of a new embedding model, tables of codes, snapshots.

Nothing waits for it: the index that is there serves meanwhile, and a crash at any point leaves work for the next start.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from sqlite3 import Connection
from typing import Final

from node.inference.errors import InferenceError
from node.memory.indexing import MemoryIndex, Task, to_bytes
from storage import embedded
from storage.errors import StorageError
from storage.vectors.index import Stopped

logger = logging.getLogger(__name__)

BATCH: Final = 256
"""Texts that are embedded and written at once when the model was changed: other writes wait for no more."""

SNAPSHOT_EVERY_S: Final = 300.0
SNAPSHOT_CHANGES: Final = 10_000
"""After so many changes a snapshot is worth writing again: the rows that one lacks are read from SQLite instead."""

_SETTLE_S: Final = 1.0
"""Changes within this time are looked at once."""


class Upkeep:
    """Keeps one index. `spec` is how its embedder is opened again once another one is in use."""

    def __init__(
        self, index: MemoryIndex, *, spec: str | None = None, snapshot_every_s: float = SNAPSHOT_EVERY_S
    ) -> None:
        self._index = index
        self._database = index.database
        self._spec = spec
        self._snapshot_every_s = snapshot_every_s
        self._closing = False

    async def run(self) -> None:
        """Clear up after a crash, then keep the index for as long as the twin runs."""
        await self.recover()
        counted = await self._database.read(embedded.counted)
        if sum(counted.values()) <= self._index.exact_most:
            await self._drop_snapshot()
        else:
            with self._doing("reading"):  # large: the first question should not wait for it
                await self._index.ready()
        await self.embed_again()
        written_s = 0.0
        while True:
            self._index.wake.clear()
            await self.build()
            if time.monotonic() - written_s >= self._snapshot_every_s:
                written_s = time.monotonic()
                await self._write_snapshot(least_changes=SNAPSHOT_CHANGES)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._snapshot_every_s):
                    await self._index.wake.wait()
            await asyncio.sleep(_SETTLE_S)

    async def recover(self) -> None:
        """Remove what a crash left half-written, and the words of what was forgotten just before."""
        if self._index.snapshots is not None:
            await asyncio.to_thread(self._index.snapshots.clear)
        await self._index.purge_words()
        if (spec := self._spec) is not None:
            await self._database.write(lambda conn: embedded.note_spec(conn, self._index.model_id, spec))

    async def embed_again(self) -> None:
        """Give rows that another model made the vectors of one of ours, oldest first; the new ones have it already.

        A text that the embedder gives no vector for keeps the one it has.
        """
        after, done, left = 0, 0, 0
        with self._doing("embedding"):
            while rows := await self._of_others(after):
                after = rows[-1][0]
                kept = await self._move_one_by_one(rows) if await self._refused(rows) else 0
                done, left = done + len(rows) - kept, left + kept
                logger.info("embedded %d memories again with %s", done, self._index.model_id)
        if left:
            logger.error("%d memories could not be embedded by %s", left, self._index.model_id)
        else:
            self._index.close_others()

    async def build(self) -> None:
        """Make the table of the index anew if that is worth it."""
        index = self._index.space.index
        if index.wants_building:
            logger.info("the vector index is made anew for %d memories", len(index))
            with self._doing("building"), suppress(Stopped):
                await asyncio.to_thread(index.build, stop=lambda: self._closing)

    async def close(self) -> None:
        """Write a snapshot of what changed since the last one. Nothing else runs any more."""
        self._closing = True
        await self._write_snapshot(least_changes=1, final=True)

    async def _of_others(self, after: int) -> list[tuple[int, str]]:
        model_id = self._index.model_id
        return await self._database.read(lambda conn: embedded.of_others(conn, model_id, after=after, limit=BATCH))

    async def _refused(self, rows: Sequence[tuple[int, str]]) -> bool:
        """Embed these rows again; whether the embedder refused."""
        try:
            await self._move(rows)
        except InferenceError as error:
            logger.warning("embedding %d memories: %s", len(rows), error)
            return True
        return False

    async def _move_one_by_one(self, rows: Sequence[tuple[int, str]]) -> int:
        """How many of them were refused."""
        return sum([await self._refused([row]) for row in rows])

    async def _move(self, rows: Sequence[tuple[int, str]]) -> None:
        index = self._index
        vectors = await index.embed([text for _, text in rows])

        def replace(conn: Connection) -> list[tuple[str, str] | None]:
            return [
                embedded.replace(conn, seq, model_id=index.model_id, vector=to_bytes(vector))
                for (seq, _), vector in zip(rows, vectors, strict=True)
            ]

        places = await self._database.write(replace)
        here = [number for number, place in enumerate(places) if place is not None]
        await index.moved(
            [rows[number][0] for number in here], vectors[here], [place for place in places if place is not None]
        )

    async def _drop_snapshot(self) -> None:
        """One of before, when there were more memories, is of no use any more."""
        async with self._index.forgetting():
            pass

    async def _write_snapshot(self, *, least_changes: int, final: bool = False) -> None:
        """Write one if there were so many changes, or none is there. Without it the next start reads SQLite."""
        index, snapshots = self._index, self._index.snapshots
        if snapshots is None or not index.space.filled or index.space.index.exact:
            return
        if index.unsaved < least_changes and snapshots.path.exists():
            return
        last_seq, stamp = await self._database.read(embedded.last_seq), secrets.token_hex(8)
        unsaved, index.unsaved = max(1, index.unsaved), 0
        try:
            with self._doing("writing"):
                written = await asyncio.to_thread(
                    snapshots.write,
                    index.space.index,
                    stamp=stamp,
                    model_id=index.model_id,
                    last_seq=last_seq,
                    stop=lambda: self._closing and not final,
                )
            if written:
                await self._database.write(lambda conn: embedded.note_stamp(conn, stamp))
                unsaved = 0
        except StorageError as error:
            logger.warning("no snapshot of the vector index: %s", error)
        finally:
            index.unsaved += unsaved

    @contextmanager
    def _doing(self, task: Task) -> Iterator[None]:
        self._index.task = task
        try:
            yield
        finally:
            self._index.task = "idle"
