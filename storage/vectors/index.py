"""The vector index: the likest vectors to one, in memory, made from SQLite. Thread-safe.

It is exact while it is small. Past EXACT_MOST vectors `build` makes a table of codes, which takes seconds: the table
that is there serves meanwhile, changes included. Who calls it, and in which thread, is the caller's affair.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from storage.vectors.holding import Holding
    from storage.vectors.tables import Rows, Table

EXACT_MOST: Final = 50_000
"""A search among so many float32 vectors of 256 dimensions takes under two milliseconds, and they take 50 MB."""

GROWTH: Final = 4
"""Codes are made anew from a fresh sample when there are so many times as many vectors as when they were made."""

DEAD_LEAST: Final = 4096
"""Fewer slots of removed vectors are not worth making a table for."""

_AT_ONCE: Final = 4096
"""Vectors that are copied under the lock: a search waits for no more than that."""


class Stopped(Exception):
    """A table or a snapshot was given up before it was done. Not an error: whoever asked no longer wants it."""


class VectorIndex:
    """Vectors of `dimensions` numbers, each under an id (dense, see storage/vectors/slots.py) and in one group."""

    def __init__(self, dimensions: int, *, exact_most: int = EXACT_MOST) -> None:
        """`exact_most` is for tests; codes are made from a thousand vectors or more."""
        self.dimensions: Final = dimensions
        self._exact_most = exact_most
        self._lock = threading.Lock()
        self._remaking = threading.Lock()
        self._made_for = 0
        self._holding: Holding | None = None

    def __len__(self) -> int:
        return self._holding.slots.alive if self._holding else 0

    @property
    def exact(self) -> bool:
        """Whether scores are exact. If not they are a few thousandths off, and a near tie may come in either order."""
        return self._holding is None or self._holding.table.exact

    @property
    def made_for(self) -> int:
        """How many vectors there were when the table was made; 0 for the first."""
        return self._made_for

    @property
    def wants_building(self) -> bool:
        """Whether there are so many more vectors, or so many removed ones, that `build` is worth its time."""
        if self._holding is None:
            return False
        slots, most = self._holding.slots, self._exact_most if self.exact else GROWTH * self._made_for
        return slots.alive > most or slots.dead > max(DEAD_LEAST, slots.alive // 2)

    def add(self, ids: Sequence[int], vectors: NDArray[np.float32], groups: int | Sequence[int] = 0) -> None:
        """Add vectors, or replace those whose id is here already.

        `vectors`: float32 (n, d), one row for each id, rows L2-normalised. No id may come twice. `groups`: from 0 to
        MAX_GROUP, one for each id or one for all of them.
        """
        import numpy as np

        assert vectors.shape == (len(ids), self.dimensions)
        assert len(set(ids)) == len(ids)
        if not ids:
            return
        places = np.broadcast_to(np.asarray(groups, np.uint16), len(ids))
        with self._lock:
            self._opened().add(np.asarray(ids, np.int64), vectors, places)

    def remove(self, ids: Sequence[int]) -> int:
        """Remove vectors; return how many were here."""
        with self._lock:
            return self._holding.remove(ids) if self._holding else 0

    def absent(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of these ids that are not here, in their order."""
        with self._lock:
            return ids[~self._opened().slots.holds(ids)]

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        *,
        among: Sequence[int] | None = None,
        groups: Collection[int] | None = None,
    ) -> list[tuple[int, float]]:
        """The `k` nearest: (id, inner product), greatest first; fewer if there are fewer.

        `query`: float32 (d,), L2-normalised, so that the product is the cosine. `among` limits the search to those
        ids, `groups` to those groups; what is not here does no harm. Groups may hold any number of vectors; `among`
        is for some thousands of ids.
        """
        assert query.shape == (self.dimensions,)
        with self._lock:
            return self._holding.search(query, k, among=among, groups=groups) if self._holding else []

    def build(self, *, stop: Callable[[], bool] = bool) -> None:
        """Make the table anew for the vectors that are here, exact or of codes, without those that were removed.

        It takes seconds for a million. Raises Stopped once `stop` says so; then all is as it was.
        """
        from storage.vectors.holding import Copy
        from storage.vectors.tables import SAMPLE_LEAST, ByteTable, Codec, ExactTable

        with self.settled() as (source, lock):
            with lock:
                made_for, sample = len(self), self._sample()
            if isinstance(source.table, ByteTable):
                codec = source.table.codec
                table: Table = ByteTable(codec if made_for < SAMPLE_LEAST else codec.renewed(sample))
            else:
                table = ByteTable(Codec.of(sample)) if made_for > self._exact_most else ExactTable(self.dimensions)
            copy = Copy(source, table)
            while copy.left > _AT_ONCE:
                if stop():
                    raise Stopped
                with lock:
                    taken = copy.take(_AT_ONCE)
                copy.put(taken)
            with lock:
                copy.put(copy.take(copy.left))
                copy.drop_dead()
                self._holding, self._made_for = copy.target, made_for

    @contextmanager
    def settled(self) -> Iterator[tuple[Holding, threading.Lock]]:
        """The holding, which stays the one it is meanwhile, and the lock under which to look at it."""
        with self._remaking:
            with self._lock:
                holding = self._opened()
            yield holding, self._lock

    def adopt(self, holding: Holding, *, made_for: int) -> None:
        """Begin with what a snapshot held. Only an index that is still empty does."""
        with self._remaking, self._lock:
            assert self._holding is None
            self._holding, self._made_for = holding, made_for

    def _sample(self) -> Rows:
        """Vectors for making codes from, chosen evenly over all of them."""
        from storage.vectors.tables import SAMPLE

        slots = self._opened().slots
        living = slots.living(0, slots.count)
        step = max(1, len(living) // SAMPLE)
        return self._opened().table.rows(living[::step][:SAMPLE])

    def _opened(self) -> Holding:
        from storage.vectors.holding import Holding
        from storage.vectors.slots import Slots
        from storage.vectors.tables import ExactTable

        if self._holding is None:
            self._holding = Holding(Slots(), ExactTable(self.dimensions))
        return self._holding
