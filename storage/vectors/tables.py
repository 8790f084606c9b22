"""Two ways to keep vectors by slot and find the likest: exactly as float32, or as a byte for each number.

Slots are given in order and never taken back; who is in them, and which may be found, the caller says by a mask.
Not thread-safe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from storage.vectors.library import faiss
from storage.vectors.short import ShortCodes

Rows = NDArray[np.float32]
"""float32 (n, d), rows L2-normalised."""

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores (inner products) and slots, the greatest score first."""

SAMPLE: Final = 65_536
"""Vectors that codes are made from: many for each of the 16 values of a piece of the short code, and enough to see
how far each dimension reaches."""

SAMPLE_LEAST: Final = 1024
"""Codes made from fewer say too little; faiss wants 39 for each of 16 values."""

SHORTLIST_LEAST: Final = 800
SHORTLIST_FOR_EACH: Final = 16
"""How many vectors are looked at by their bytes, for each that is asked for: so many of each shard of short codes. Of
the ten likest in a million, 99 in 100 stand among the first 800 (docs/decisions/vector-index.md)."""

SCANNED_WHOLE: Final = 50_000
"""Up to so many candidates of a filter are all compared by their bytes: it takes a millisecond or two."""

SHORTLIST_MOST: Final = 1 << 14
"""Beyond this the bytes of all candidates are compared: sorting a longer list takes as much time."""

_ENOUGH: Final = 2 / 3
"""A filter leaves more or less of a shortlist than its share of all vectors; with less than this it is widened."""

_APPENDED_AT_ONCE: Final = 8192
"""Bounds what faiss holds besides while it makes codes."""

_MULTIPLIED_AT_ONCE: Final = 1024
"""Of more the library behind numpy makes a task for several threads, and waits for them where cores are busy."""


class Table(Protocol):
    """Vectors by slot."""

    @property
    def count(self) -> int: ...

    @property
    def exact(self) -> bool: ...

    def append(self, rows: Rows) -> None:
        """Put rows into the next slots."""
        ...

    def wipe(self, slots: NDArray[np.int64]) -> None:
        """Overwrite the numbers in these slots with zeros."""
        ...

    def rows(self, slots: NDArray[np.int64]) -> Rows:
        """The vectors in these slots, as exactly as they are kept."""
        ...

    def search(self, query: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None, candidates: int) -> Found:
        """The `k` likest, or as many as there are, among the slots of `mask` (None: all), which are `candidates`."""
        ...


class ExactTable:
    """float32 vectors, each compared."""

    exact: Final = True

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._index = faiss().IndexFlatIP(dimensions)

    @property
    def count(self) -> int:
        return int(self._index.ntotal)

    def append(self, rows: Rows) -> None:
        self._index.add(np.ascontiguousarray(rows, np.float32))

    def wipe(self, slots: NDArray[np.int64]) -> None:
        self._all()[slots] = 0

    def rows(self, slots: NDArray[np.int64]) -> Rows:
        return self._all()[slots]

    def search(self, query: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None, candidates: int) -> Found:
        return _scan(self._index, query, min(k, candidates), mask)

    def _all(self) -> Rows:
        if not self.count:
            return np.empty((0, self._dimensions), np.float32)
        view: Rows = faiss().rev_swig_ptr(self._index.get_xb(), self.count * self._dimensions)
        return view.reshape(self.count, self._dimensions)


@dataclass(frozen=True, slots=True)
class Codec:
    """What turns vectors into codes: how far each dimension reaches, and the 16 values of each piece.

    `reach`: float32 (2, d), least value and span. `values`: float32 (pieces, 16, d / pieces).
    """

    reach: NDArray[np.float32]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, sample: Rows) -> Self:
        """The codec for vectors like these, SAMPLE_LEAST or more. Deterministic."""
        library, dimensions = faiss(), int(sample.shape[1])
        made = library.IndexScalarQuantizer(dimensions, library.ScalarQuantizer.QT_8bit)
        made.train(sample)
        return cls(library.vector_to_array(made.sq.trained).reshape(2, dimensions), cls._values_of(sample))

    def renewed(self, sample: Rows) -> Self:
        """With other short codes, for vectors like these. Their bytes stay: making them of bytes would lose more."""
        return replace(self, values=self._values_of(sample))

    @classmethod
    def _values_of(cls, sample: Rows) -> NDArray[np.float32]:
        library, dimensions = faiss(), int(sample.shape[1])
        pieces = cls.pieces_of(dimensions)
        short = library.ProductQuantizer(dimensions, pieces, 4)
        short.train(sample)
        values: NDArray[np.float32] = library.vector_to_array(short.centroids)
        return values.reshape(pieces, 16, dimensions // pieces)

    @staticmethod
    def pieces_of(dimensions: int) -> int:
        """Half a byte for every four dimensions, or for every two or one where four do not go into them."""
        return dimensions // next(width for width in (4, 2, 1) if dimensions % width == 0)

    @property
    def dimensions(self) -> int:
        return int(self.reach.shape[1])


class ByteTable:
    """A byte for each number (faiss's SQ8), and a short code (storage/vectors/short.py).

    The short codes of all vectors are compared, which is quick because they are few bytes; the best are compared
    again by their bytes. A codec serves while the vectors stay like those it was made from.
    """

    exact: Final = False

    def __init__(self, codec: Codec) -> None:
        library, dimensions = faiss(), codec.dimensions
        product = library.METRIC_INNER_PRODUCT
        self.codec: Final = codec
        self._bytes = library.IndexScalarQuantizer(dimensions, library.ScalarQuantizer.QT_8bit, product)
        library.copy_array_to_vector(codec.reach.ravel(), self._bytes.sq.trained)
        self._bytes.is_trained = True
        self._short = ShortCodes(codec.values)
        self._least, self._step = codec.reach[0], codec.reach[1] / np.float32(255)

    @property
    def count(self) -> int:
        return int(self._bytes.ntotal)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """uint8 (n, d): the bytes of every slot. A view that the next `append` makes invalid."""
        if not self.count:
            return np.empty((0, self.codec.dimensions), np.uint8)
        view: NDArray[np.uint8] = faiss().rev_swig_ptr(self._bytes.codes.data(), self.count * self.codec.dimensions)
        return view.reshape(self.count, self.codec.dimensions)

    def append(self, rows: Rows) -> None:
        faiss()
        for start in range(0, len(rows), _APPENDED_AT_ONCE):
            part = np.ascontiguousarray(rows[start : start + _APPENDED_AT_ONCE], np.float32)
            self._bytes.add(part)
            self._short.append(part)

    def append_codes(self, codes: NDArray[np.uint8]) -> None:
        """Put vectors that are bytes already into the next slots."""
        codes = np.ascontiguousarray(codes)
        faiss()
        self._short.append(self._bytes.sa_decode(codes))
        self._bytes.add_sa_codes(codes)

    def wipe(self, slots: NDArray[np.int64]) -> None:
        # The short code stays, in memory only, until the next table is made.
        self.codes[slots] = 0

    def rows(self, slots: NDArray[np.int64]) -> Rows:
        faiss()
        decoded: Rows = self._bytes.sa_decode(np.ascontiguousarray(self.codes[slots]))
        return decoded

    def search(self, query: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None, candidates: int) -> Found:
        k = min(k, candidates)
        needed = max(SHORTLIST_LEAST, SHORTLIST_FOR_EACH * k)
        if mask is not None and candidates <= max(SCANNED_WHOLE, needed):
            return _scan(self._bytes, query, k, mask)
        length = needed * self.count // candidates
        while length <= SHORTLIST_MOST:
            slots = self._short.likest(query, length)
            if mask is not None:
                slots = slots[mask[slots]]
            if len(slots) >= min(_ENOUGH * needed, candidates):
                return self._best_of(slots, query, k)
            length *= 4
        return _scan(self._bytes, query, k, mask)

    def _best_of(self, slots: NDArray[np.int64], query: NDArray[np.float32], k: int) -> Found:
        """The best by their bytes: the byte c of a dimension stands for least + (c + 1/2) * step, as in faiss."""
        codes, weights = self.codes, query * self._step
        scores = np.empty(len(slots), np.float32)
        for start in range(0, len(slots), _MULTIPLIED_AT_ONCE):
            part = slice(start, start + _MULTIPLIED_AT_ONCE)
            scores[part] = codes.take(slots[part], axis=0).astype(np.float32) @ weights
        scores += query @ (self._least + self._step / 2)
        best = np.argpartition(scores, len(scores) - k)[len(scores) - k :]
        best = best[np.argsort(-scores[best])]
        return scores[best], slots[best]


def _scan(index: Any, query: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None) -> Found:
    """Compare every vector of an index of faiss that the mask lets through."""
    library = faiss()
    parameters = None
    if mask is not None:
        parameters = library.SearchParameters(sel=library.IDSelectorBitmap(np.packbits(mask, bitorder="little")))
    scores, slots = index.search(_row(query), k, params=parameters)
    found = slots[0] >= 0
    return scores[0][found], slots[0][found]


def _row(query: NDArray[np.float32]) -> Rows:
    return np.ascontiguousarray(query, np.float32).reshape(1, -1)
