"""Likeness search over the vectors of a twin's memories: in memory, made from SQLite, with a snapshot of large ones.

`VectorIndex` is what others use. Up to some fifty thousand vectors it is exact; beyond that it holds a byte for each
number and a shorter code beside it (docs/decisions/vector-index.md).
"""

from storage.vectors.index import VectorIndex

__all__ = ["VectorIndex"]
