"""The short codes of vectors by slot: half a byte for every few numbers (faiss's 4-bit PQ fast scan), all compared.

They lie in two shards that take turns in long stretches of slots. Of a table that has both the caller searches one and
a helping thread the other, at the same time, since faiss leaves Python's lock. There is one such thread for all tables;
who finds it busy, or the machine, does the work alone. Not thread-safe.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from storage.vectors.library import faiss

STRETCH: Final = 1 << 17
"""Slots one after the other in one shard. So many codes of 64 pieces are compared in a tenth of a millisecond, about
what waking a thread costs: fewer are not worth sharing."""

_CORES: Final = os.cpu_count() or 1
_helper: Final = ThreadPoolExecutor(1, thread_name_prefix="vectors")


class ShortCodes:
    """Codes of the nearest of 16 values for each piece; `values`: float32 (pieces, 16, d / pieces)."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self._shards: Final = [_empty(values), _empty(values)]

    @property
    def count(self) -> int:
        return sum(int(shard.ntotal) for shard in self._shards)

    def append(self, rows: NDArray[np.float32]) -> None:
        """Put the codes of rows, float32 (n, d), into the next slots."""
        faiss()
        while len(rows):
            stretch, inside = divmod(self.count, STRETCH)
            part, rows = rows[: STRETCH - inside], rows[STRETCH - inside :]
            self._shards[stretch % 2].add(np.ascontiguousarray(part))

    def likest(self, query: NDArray[np.float32], length: int) -> NDArray[np.int64]:
        """The slots of the `length` likest by their codes, or of all there are, and some more; in no order."""
        if not self._shards[1].ntotal:
            return self._search(0, query, length)
        if not core_is_idle():
            return np.concatenate([self._search(number, query, length) for number in range(2)])
        helping = _helper.submit(self._search, 1, query, length)
        try:
            found = self._search(0, query, length)
        finally:  # whoever asked may change the shards afterwards, so nobody reads them then
            others = self._search(1, query, length) if helping.cancel() else helping.result()
        return np.concatenate([found, others])

    def _search(self, number: int, query: NDArray[np.float32], length: int) -> NDArray[np.int64]:
        faiss()
        shard = self._shards[number]
        _, found = shard.search(np.ascontiguousarray(query, np.float32).reshape(1, -1), min(length, int(shard.ntotal)))
        stretch, inside = np.divmod(found[0][found[0] >= 0], STRETCH)
        slots: NDArray[np.int64] = (2 * stretch + number) * STRETCH + inside
        return slots


def core_is_idle() -> bool:
    """Whether a helping thread is likely to run at once; waiting for a busy core takes longer than its work."""
    return os.getloadavg()[0] < _CORES


def _empty(values: NDArray[np.float32]) -> Any:
    library, (pieces, _, width) = faiss(), values.shape
    made = library.IndexPQFastScan(pieces * width, pieces, 4, library.METRIC_INNER_PRODUCT)
    library.copy_array_to_vector(values.ravel(), made.pq.centroids)
    made.is_trained = True
    return made
