"""A table of vectors and who stands in its slots. Not thread-safe: `VectorIndex` holds the lock."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.vectors.slots import Slots
from storage.vectors.tables import Rows, Table


class Living(NamedTuple):
    """Vectors that are alive, row by row: their slots, ids and groups."""

    slots: NDArray[np.int64]
    ids: NDArray[np.int64]
    groups: NDArray[np.uint16]
    rows: Rows


@dataclass(frozen=True, slots=True)
class Holding:
    """One table and its slots."""

    slots: Slots
    table: Table

    def add(self, ids: NDArray[np.int64], rows: Rows, groups: NDArray[np.uint16]) -> None:
        """Add vectors, or replace those whose id is here. No id may come twice."""
        self.table.append(rows)
        self.table.wipe(self.slots.append(ids, groups))

    def remove(self, ids: Sequence[int]) -> int:
        """Remove vectors; how many were here."""
        killed = self.slots.kill(self.slots.slots_of(ids))
        self.table.wipe(killed)
        return len(killed)

    def search(
        self, query: NDArray[np.float32], k: int, *, among: Sequence[int] | None, groups: Collection[int] | None
    ) -> list[tuple[int, float]]:
        """The `k` nearest: (id, inner product), greatest first; fewer if there are fewer."""
        mask, candidates = self.slots.among(groups, among)
        if min(k, candidates) <= 0:
            return []
        scores, found = self.table.search(query, k, mask, candidates)
        return list(zip(self.slots.ids_in(found).tolist(), scores.tolist(), strict=True))

    def living(self, start: int, stop: int) -> Living:
        """What is alive in the slots from `start` up to `stop`."""
        return self.at(self.slots.living(start, stop))

    def at(self, slots: NDArray[np.int64]) -> Living:
        """What is in these slots, all of them alive."""
        return Living(slots, self.slots.ids_in(slots), self.slots.groups_in(slots), self.table.rows(slots))


class Copy:
    """Another holding of what is alive in one that goes on changing meanwhile."""

    def __init__(self, source: Holding, table: Table) -> None:
        self.target = Holding(Slots(), table)
        self._source = source
        self._next = 0
        self._origins: list[NDArray[np.int64]] = []

    @property
    def left(self) -> int:
        """How many slots are not copied yet."""
        return self._source.slots.count - self._next

    def take(self, slots: int) -> Living:
        """The living among the next so many slots."""
        stop = min(self._next + slots, self._source.slots.count)
        living = self._source.living(self._next, stop)
        self._next = stop
        return living

    def put(self, living: Living) -> None:
        """Append what was taken."""
        self._origins.append(living.slots)
        self.target.add(living.ids, living.rows, living.groups)

    def drop_dead(self) -> None:
        """Remove again what died in the source after it was taken. At the end, when nothing is left."""
        origins = np.concatenate(self._origins) if self._origins else np.empty(0, np.int64)
        died = np.flatnonzero(~self._source.slots.are_alive(origins))
        self.target.table.wipe(self.target.slots.kill(died))
