"""The vector index: exact inner-product search over float32 vectors, in memory, made anew from SQLite at start.

faiss is loaded at the first use: it costs a third of a second that a run without memories need not spend.
Thread-safe. One thread inside faiss: a single query is over before more threads have woken.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_importing = threading.Lock()


class VectorIndex:
    """Vectors of `dimensions` numbers, each under an id of the caller's (0 to 2^63-1)."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions: Final = dimensions
        self._lock = threading.Lock()
        self._ids: set[int] = set()
        self._index: Any = None

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Add vectors, or replace those whose id is here already.

        `vectors`: float32 (n, d), one row for each id, rows L2-normalised. No id may come twice.
        """
        import numpy as np

        assert vectors.shape == (len(ids), self.dimensions)
        assert len(set(ids)) == len(ids)
        if not ids:
            return
        with self._lock:
            index = self._opened()
            # faiss takes an id that it has already and then holds both.
            self._remove([one for one in ids if one in self._ids])
            index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.asarray(ids, np.int64))
            self._ids.update(ids)

    def remove(self, ids: Sequence[int]) -> int:
        """Remove vectors; return how many were here."""
        with self._lock:
            return self._remove([one for one in dict.fromkeys(ids) if one in self._ids])

    def search(
        self, query: NDArray[np.float32], k: int, *, among: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """The `k` nearest: (id, inner product), greatest first; fewer if there are fewer.

        `query`: float32 (d,), L2-normalised, so that the product is the cosine. `among` limits the search to those
        ids; ids that are not here do no harm.
        """
        import numpy as np

        assert query.shape == (self.dimensions,)
        with self._lock:
            candidates = None if among is None else np.fromiter((one for one in among if one in self._ids), np.int64)
            count = min(k, len(self._ids) if candidates is None else len(candidates))
            if count <= 0:
                return []
            parameters = None
            if candidates is not None:
                faiss = _faiss()
                parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(candidates))
            row = np.ascontiguousarray(query, np.float32).reshape(1, -1)
            scores, ids = self._opened().search(row, count, params=parameters)
        return [(int(one), float(score)) for one, score in zip(ids[0], scores[0], strict=True) if one >= 0]

    def _remove(self, ids: list[int]) -> int:
        import numpy as np

        if ids:
            self._opened().remove_ids(np.asarray(ids, np.int64))
            self._ids.difference_update(ids)
        return len(ids)

    def _opened(self) -> Any:
        if self._index is None:
            faiss = _faiss()
            self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(self.dimensions))
        return self._index


def _faiss() -> ModuleType:
    with _importing, warnings.catch_warnings():
        # Its SWIG wrappers make types without a __module__, which Python 3.12 and later warn of.
        warnings.simplefilter("ignore", DeprecationWarning)
        import faiss

        faiss.omp_set_num_threads(1)
        return faiss
