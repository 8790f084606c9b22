"""Recall among many memories: time, recall@10, memory and start, beside other vector stores; and texts taken in.

10,000 and 100,000 memories; `PAGI_BENCH_MEMORIES=1000000` (or a list with commas) measures others: a million takes some
six minutes. `PAGI_BENCH_PEERS=1` puts the others (sqlite-vec, qdrant local, lancedb; 500 MB) into an environment of
their own in the user's cache; without it they are measured if they are there. How the vectors are made:
benchmarks/memory_vectors.py. Every side runs in a process of its own, one after the other, with its defaults.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory_vectors import NEIGHBOURS, made, nearest
from benchmarks.table import Row
from node.inference.embedder import WordLlamaEmbedder
from node.inference.models import cache_folder
from node.memory.memory import Memory, NewMemory
from node.memory.record import MAX_AT_ONCE
from storage.database import Database

COUNTS: Final = [int(one) for one in os.environ.get("PAGI_BENCH_MEMORIES", "10000,100000").split(",")]
FETCH_PEERS: Final = bool(os.environ.get("PAGI_BENCH_PEERS"))
QUERIES: Final = 300
TEXTS: Final = 20_000

PEERS: Final = ("sqlite-vec", "qdrant local", "lancedb")
REQUIREMENTS: Final = (
    "sqlite-vec==0.1.9",
    "apsw==3.54.1.0",
    "qdrant-client==1.20.0",
    "lancedb==0.40.0",
    "numpy==2.4.6",
)
SMALL_ONLY: Final = ("qdrant local",)
"""Its own warning is not to keep more than 20,000 points so; a million took longer than everything else."""
SMALL_MOST: Final = 100_000

HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Asked:
    """How long each query took, and what share of the true neighbours was found."""

    p50_ms: float
    p99_ms: float
    recall: float

    @classmethod
    def of(cls, times_s: Sequence[float], found: Sequence[Sequence[int]], truth: NDArray[np.int64]) -> Self:
        hits = [len({*ours} & {*theirs}) / NEIGHBOURS for ours, theirs in zip(found, truth.tolist(), strict=False)]
        p50, p99 = np.percentile(times_s, [50, 99])
        return cls(1000 * float(p50), 1000 * float(p99), 100 * float(np.mean(hits)))


def run() -> list[Row]:
    """Every figure of every size."""
    python = _peers_python()
    rows = _texts()
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            rows += _sized(count, Path(folder), python)
    return rows


def _sized(count: int, folder: Path, python: Path | None) -> list[Row]:
    vectors, queries = made(count, QUERIES)
    truth = nearest(vectors, queries)
    np.save(folder / "rows.npy", vectors)
    np.save(folder / "queries.npy", queries)
    del vectors
    filled = _child([sys.executable, "-m", "benchmarks.memories_ours", "fill", str(folder)])
    ours = _child([sys.executable, "-m", "benchmarks.memories_ours", "ask", str(folder)])
    peers = {}
    for name in PEERS if python is not None else ():
        if name not in SMALL_ONLY or count <= SMALL_MOST:
            told = _child([str(python), "-P", str(HERE / "memories_peer.py"), name, str(folder)])
            peers[name] = Asked.of(told["times_s"], told["found"], truth)
    index, whole = (Asked.of(ours[t], ours[f], truth) for t, f in (("times_s", "found"), ("whole_s", "exact")))
    of = f"{count:,}: "
    return [
        _row(f"{of}p50", index.p50_ms, {name: one.p50_ms for name, one in peers.items()}, "ms", "1 ms at a million"),
        _row(f"{of}p99", index.p99_ms, {name: one.p99_ms for name, one in peers.items()}, "ms"),
        _row(f"{of}recall@10", index.recall, {name: one.recall for name, one in peers.items()}, "%", ".98", "higher"),
        _row(f"{of}Memory.search, p50", whole.p50_ms, {}, "ms"),
        _row(f"{of}Memory.search, p99", whole.p99_ms, {}, "ms"),
        _row(f"{of}Memory.search, recall@10", whole.recall, {}, "%", ".98", "higher"),
        _row(f"{of}memory of the whole process", ours["rss_mb"], {}, "MB", "600 at a million"),
        _row(f"{of}start until all can be found", ours["ready_s"], {}, "s"),
        _row(f"{of}kept, vectors given", filled["per_s"], {}, "memories/s", "", "higher"),
        _row(f"{of}of it making tables", filled["built_s"], {}, "s"),
    ]


def _texts() -> list[Row]:
    """Texts with the default embedder: the embedding alone, and kept as memories."""
    texts = [
        f"Note {n} of the archive: the harbour bridge was painted green in {1800 + n % 200}, says witness {n * 7919}."
        for n in range(TEXTS)
    ]
    embedder = WordLlamaEmbedder()
    embedder.embed(["loaded"])
    began = time.perf_counter()
    embedder.embed(texts)
    embedded = TEXTS / (time.perf_counter() - began)

    async def keep() -> float:
        with tempfile.TemporaryDirectory() as folder:
            async with (
                Database.open(Path(folder) / "node.db") as database,
                Memory.open(database, WordLlamaEmbedder()) as memory,
            ):
                await memory.add(kind="semantic", content="loaded")
                await memory.index.ready()
                began = time.perf_counter()
                for start in range(0, TEXTS, MAX_AT_ONCE):
                    part = texts[start : start + MAX_AT_ONCE]
                    await memory.add_many([NewMemory(kind="semantic", content=text) for text in part])
                return TEXTS / (time.perf_counter() - began)

    kept = asyncio.run(keep())
    return [
        _row("texts embedded", embedded, {}, "texts/s", "", "higher"),
        _row("texts kept as memories", kept, {}, "texts/s", "", "higher"),
    ]


def _row(
    name: str,
    ours: float,
    peers: Mapping[str, float],
    unit: str,
    aim: str = "",
    better: Literal["higher", "lower"] = "lower",
) -> Row:
    best = (max if better == "higher" else min)(peers, key=peers.__getitem__, default="")
    return Row(name, ours, peers.get(best), unit, best, better, aim, peers)


def _peers_python() -> Path | None:
    """The interpreter that has the others, or None. Puts them there if that was asked for."""
    folder = cache_folder().parent / "bench" / "memories"
    python, done = folder / "bin" / "python", folder / "complete"
    if not done.exists():
        if not FETCH_PEERS:
            print("The other stores are not here; PAGI_BENCH_PEERS=1 fetches them.", file=sys.stderr)
            return None
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True, stdout=sys.stderr)
        done.touch()
    return python


def _child(command: list[str]) -> dict[str, Any]:
    """Run one side to its end; what it printed."""
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE.parent.parent}"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told
