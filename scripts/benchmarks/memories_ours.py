"""This project's side of `memories`, each step in a process of its own, so that its memory can be read.

Usage: python -m benchmarks.memories_ours (fill | ask) FOLDER. FOLDER has rows.npy and queries.npy; prints a JSON line.
The vectors come from those files and not from an embedder; everything else is as in a twin.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from node.inference.embedder import WordLlamaEmbedder
from node.memory.memory import Memory, NewMemory
from node.memory.record import MAX_AT_ONCE
from storage.database import Database

K = 10
WARM = 20


class Given:
    """An embedder of vectors that are there already: `m7 ...` is the seventh row, `q7` the seventh query."""

    model_id = "given-256"
    dimensions = 256

    def __init__(self, folder: Path, *, rows: bool) -> None:
        self._queries = np.load(folder / "queries.npy")
        self._rows = np.load(folder / "rows.npy", mmap_mode="r") if rows else self._queries

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = [(self._rows if text[0] == "m" else self._queries)[int(text.split()[0][1:])] for text in texts]
        return np.array(found, np.float32).reshape(-1, self.dimensions)


async def fill(folder: Path) -> dict[str, object]:
    """Keep every row as a memory, a thousand at once; then make the index and leave a snapshot."""
    (folder / "index").mkdir()
    count = len(np.load(folder / "rows.npy", mmap_mode="r"))
    async with Database.open(folder / "node.db") as database:
        async with Memory.open(database, Given(folder, rows=True), folder=folder / "index") as memory:
            await memory.index.ready()
            began, built_s = time.perf_counter(), 0.0
            for start in range(0, count, MAX_AT_ONCE):
                numbers = range(start, min(start + MAX_AT_ONCE, count))
                await memory.add_many([NewMemory(kind="semantic", content=_text(number)) for number in numbers])
                before = time.perf_counter()
                await memory.upkeep.build()
                built_s += time.perf_counter() - before
            filled_s = time.perf_counter() - began
            began = time.perf_counter()
        closed_s = time.perf_counter() - began
    return {"per_s": count / filled_s, "built_s": built_s, "closed_s": closed_s}


async def ask(folder: Path) -> dict[str, object]:
    """Start on what is there, and ask."""
    queries = np.load(folder / "queries.npy")
    WordLlamaEmbedder().embed(["as a twin has it loaded"])
    async with (
        Database.open(folder / "node.db") as database,
        Memory.open(database, Given(folder, rows=False), folder=folder / "index") as memory,
    ):
        began = time.perf_counter()
        await memory.index.ready()
        ready_s = time.perf_counter() - began
        index = memory.index.space.index
        for query in queries[:WARM]:
            index.search(query, K)
        times, found = [], []
        for query in queries:
            start = time.perf_counter()
            found.append([seq - 1 for seq, _ in index.search(query, K)])
            times.append(time.perf_counter() - start)
        whole, exact = [], []
        for number in range(len(queries)):
            start = time.perf_counter()
            recalled = await memory.search(f"q{number}", k=K)
            whole.append(time.perf_counter() - start)
            exact.append([int(one.content.split()[0][1:]) for one in recalled])
        rss = psutil.Process().memory_info().rss
    return {
        "ready_s": ready_s,
        "times_s": times,
        "found": found,
        "whole_s": whole,
        "exact": exact,
        "rss_mb": rss / 1e6,
    }


def _text(number: int) -> str:
    return f"m{number} is a note of about the length that notes have, on the subject {number % 997} of {number % 89}"


if __name__ == "__main__":
    print(json.dumps(asyncio.run({"fill": fill, "ask": ask}[sys.argv[1]](Path(sys.argv[2])))))
