"""A persistent map: setting an entry gives a new map and leaves the old one as it was.

Entries lie in 256 buckets; a new map shares all buckets but one with the old. So a change of a map with a thousand
entries copies four of them, and of one with a hundred thousand four hundred, where copying a `dict` copies all.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_BUCKETS: Final = 256


class PersistentMap(Mapping[K, V], Generic[K, V]):
    """An immutable map. Its order of iteration means nothing."""

    __slots__ = ("_buckets", "_size")

    def __init__(self) -> None:
        self._buckets: list[dict[K, V]] = [{}] * _BUCKETS
        self._size = 0

    def set(self, key: K, value: V) -> "PersistentMap[K, V]":
        """This map with `key` set to `value`."""
        number = hash(key) % _BUCKETS
        old = self._buckets[number]
        new: PersistentMap[K, V] = PersistentMap.__new__(PersistentMap)
        new._buckets = self._buckets.copy()
        new._buckets[number] = {**old, key: value}
        new._size = self._size + (key not in old)
        return new

    def __getitem__(self, key: K) -> V:
        return self._buckets[hash(key) % _BUCKETS][key]

    def __contains__(self, key: object) -> bool:
        return key in self._buckets[hash(key) % _BUCKETS]

    def __iter__(self) -> Iterator[K]:
        for bucket in self._buckets:
            yield from bucket

    def __len__(self) -> int:
        return self._size
