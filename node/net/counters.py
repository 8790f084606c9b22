"""Counts of what the network did, kept over restarts of its thread.

Each name is counted by one thread only, so no lock is needed; readers take a copy.
"""

from collections import Counter
from collections.abc import Mapping


class Counters:
    """Named counts that only grow. A name appears with its first event."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        self._counts[name] += count

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def snapshot(self) -> Mapping[str, int]:
        return dict(self._counts)
