"""Which vector stands in which slot: ids, groups and what is alive. Slots are given in order and never given again.

Ids are positions in an array here, four bytes for each number up to the greatest: they must be dense, as the `seq` of
rows in SQLite are. Not thread-safe.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

MAX_GROUP: Final = 65_533
MAX_ID: Final = 1 << 28
"""Keeps the array of ids under 1 GiB; a row number that high means two hundred million memories kept over a life."""

_NOWHERE: Final = -1
_DEAD: Final = 0
_SELECTIONS_KEPT: Final = 16


class Slots:
    """`count` slots, of which `alive` hold a vector that was not removed or replaced."""

    def __init__(self) -> None:
        self.count = 0
        self.alive = 0
        self._ids = np.empty(0, np.int64)
        self._groups = np.empty(0, np.uint16)  # one more than the caller's number; 0 is a dead slot
        self._slot_of = np.empty(0, np.int32)
        self._sizes = np.zeros(MAX_GROUP + 2, np.int64)
        self._masks: dict[frozenset[int], NDArray[np.bool_]] = {}

    @property
    def dead(self) -> int:
        return self.count - self.alive

    def append(self, ids: NDArray[np.int64], groups: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Give the next slots to these ids; the slots, now dead, in which they stood before. No id may come twice."""
        replaced = self.kill(self.slots_of(ids))
        first, self.count = self.count, self.count + len(ids)
        self._ids = _grown(self._ids, self.count)
        self._groups = _grown(self._groups, self.count)
        self._ids[first : self.count] = ids
        self._groups[first : self.count] = groups + 1
        if len(ids):
            self._reach(int(ids.max()))
        self._slot_of[ids] = np.arange(first, self.count)
        self._sizes += np.bincount(self._groups[first : self.count], minlength=len(self._sizes))
        self.alive += len(ids)
        self._masks.clear()
        return replaced

    def kill(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Empty those of these slots that are alive; which they were."""
        slots = slots[self._groups[slots] != _DEAD]
        self._sizes -= np.bincount(self._groups[slots], minlength=len(self._sizes))
        self._slot_of[self._ids[slots]] = _NOWHERE
        self._groups[slots] = _DEAD
        self._ids[slots] = _NOWHERE
        self.alive -= len(slots)
        self._masks.clear()
        return slots

    def slots_of(self, ids: Iterable[int]) -> NDArray[np.int64]:
        """The slots of those of the ids that are here, each once, in no order."""
        wanted = np.sort(ids if isinstance(ids, np.ndarray) else np.fromiter(ids, np.int64))
        wanted = wanted[np.diff(wanted, prepend=_NOWHERE - 1) > 0]  # numpy's unique is much slower
        slots = self._lookup(wanted)
        here: NDArray[np.int64] = slots[slots != _NOWHERE]
        return here

    def holds(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of these ids is here."""
        here: NDArray[np.bool_] = self._lookup(ids) != _NOWHERE
        return here

    def _lookup(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The slot of each id, or -1."""
        inside = (ids >= 0) & (ids < len(self._slot_of))
        slots = np.full(len(ids), _NOWHERE, np.int64)
        slots[inside] = self._slot_of[ids[inside]]
        return slots

    def ids_in(self, slots: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """The id in each slot, -1 in a dead one."""
        return self._ids[slots]

    def groups_in(self, slots: NDArray[np.int64]) -> NDArray[np.uint16]:
        """The caller's group in each of these slots, all of them alive."""
        return self._groups[slots] - np.uint16(1)

    def living(self, start: int, stop: int) -> NDArray[np.int64]:
        """The slots of this range that are alive, in order."""
        return start + np.flatnonzero(self._groups[start:stop])

    def are_alive(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of these slots is alive."""
        alive: NDArray[np.bool_] = self._groups[slots] != _DEAD
        return alive

    def among(self, groups: Collection[int] | None, ids: Sequence[int] | None) -> tuple[NDArray[np.bool_] | None, int]:
        """Which slots a search may find, and how many those are; None for all of them, none being dead.

        `groups` and `ids` both limit it; ids and groups that are not here do no harm.
        """
        if groups is None and ids is None:
            return (self._mask(None) if self.dead else None), self.alive
        if ids is None:
            wanted = frozenset(groups or ())
            return self._mask(wanted), int(self._sizes[self._numbers(wanted)].sum())
        slots = self.slots_of(ids)
        if groups is not None:
            slots = slots[np.isin(self._groups[slots], self._numbers(frozenset(groups)))]
        mask = np.zeros(self.count, np.bool_)
        mask[slots] = True
        return mask, len(slots)

    def _mask(self, groups: frozenset[int] | None) -> NDArray[np.bool_]:
        key = frozenset({-1}) if groups is None else groups
        mask = self._masks.get(key)
        if mask is None:
            table = np.zeros(MAX_GROUP + 2, np.bool_)
            table[1:] = groups is None
            table[self._numbers(groups or frozenset())] = True
            mask = table[self._groups[: self.count]]
            if len(self._masks) == _SELECTIONS_KEPT:
                del self._masks[next(iter(self._masks))]
            self._masks[key] = mask
        return mask

    @staticmethod
    def _numbers(groups: frozenset[int]) -> NDArray[np.int64]:
        return np.array([one + 1 for one in groups if 0 <= one <= MAX_GROUP], np.int64)

    def _reach(self, greatest: int) -> None:
        before = len(self._slot_of)
        if greatest >= before:
            self._slot_of = _grown(self._slot_of, greatest + 1)
            self._slot_of[before:] = _NOWHERE


def _grown(array: NDArray[T], size: int) -> NDArray[T]:
    """The array, or a copy of it with room for `size` and as much again as half of that."""
    if size <= len(array):
        return array
    larger = np.empty(size + size // 2, array.dtype)
    larger[: len(array)] = array
    return larger
