"""Durable writes: rows by 64 tasks at once and by one alone, and blocks, beside the plain ways to do the same.

Every write is on disk (synchronous=FULL, WAL) when it is acknowledged. The peers: sqlite3 with one commit for each row;
aiosqlite with one shared connection, once with a commit for each row and once as its users write it (insert, commit;
tasks share transactions by chance). aiosqlite is measured if it can be imported. Sides take turns; the median counts.
"""

import asyncio
import importlib.util
import os
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.table import Row
from identity.cid import Cid
from identity.multibase import CODEC_RAW
from storage.blocks import BlockStore
from storage.database import Database

ROUNDS = 5
TASKS = 64
ROWS = 12_800
ROWS_ALONE = 2_000
BLOCKS = {400: 10_000, 1024: 4096, 256 * 1024: 256}
"""How many blocks of each size: revisions of playbooks, nodes of a folder, chunks of a file."""
BATCH = {400: 2, 1024: 32, 256 * 1024: 16}
FILES = 256
"""Of the plain way, which takes as long for each as for the one before."""

TABLE = "CREATE TABLE row (id INTEGER PRIMARY KEY, value BLOB)"
INSERT = "INSERT INTO row (value) VALUES (?)"
VALUE = (bytes(256),)

Measure = Callable[[Path], float]
"""Works in an empty folder; returns writes per second."""


def run() -> list[Row]:
    """The rate of each way to write."""
    sides: dict[str, Measure] = {
        "ours 64": lambda folder: asyncio.run(_ours(folder, TASKS, ROWS)),
        "ours 1": lambda folder: asyncio.run(_ours(folder, 1, ROWS_ALONE)),
        "sqlite3": _sqlite3,
    }
    for size_bytes in BLOCKS:
        sides[f"blocks {size_bytes}"] = partial(_blocks, size_bytes)
        sides[f"files {size_bytes}"] = partial(_files, size_bytes)
    if importlib.util.find_spec("aiosqlite"):
        sides["aiosqlite each"] = lambda folder: asyncio.run(_aiosqlite(folder, commit_each=True))
        sides["aiosqlite shared"] = lambda folder: asyncio.run(_aiosqlite(folder, commit_each=False))
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, measure in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                rates[name].append(measure(Path(folder)))
    figure = {name: median(found) for name, found in rates.items()}

    def row(name: str, ours: str, peer: str, peer_name: str, aim: str = "") -> Row:
        return Row(name, figure[ours], figure.get(peer), "writes/s", peer_name, "higher", aim)

    return [
        row("rows, 64 tasks", "ours 64", "sqlite3", "sqlite3, one commit for each row", "5 times"),
        row("rows, 64 tasks", "ours 64", "aiosqlite each", "aiosqlite, one commit for each row"),
        row("rows, 64 tasks", "ours 64", "aiosqlite shared", "aiosqlite, commits shared by chance"),
        row("rows, 1 task", "ours 1", "sqlite3", "sqlite3, one commit for each row"),
        *(
            row(
                f"blocks of {size_bytes} bytes, {BATCH[size_bytes]} at once",
                f"blocks {size_bytes}",
                f"files {size_bytes}",
                "write, fsync and rename one file after another",
            )
            for size_bytes in BLOCKS
        ),
    ]


async def _by_tasks(tasks: int, rows: int, write: Callable[[], Awaitable[Any]]) -> float:
    async def work() -> None:
        for _ in range(rows // tasks):
            await write()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work())
    return rows / (time.perf_counter() - started)


async def _ours(folder: Path, tasks: int, rows: int) -> float:
    def insert(conn: sqlite3.Connection) -> None:
        conn.execute(INSERT, VALUE)

    def prepare(conn: sqlite3.Connection) -> None:
        conn.execute(TABLE)

    async with Database.open(folder / "db") as database:
        await database.write(prepare)
        rate = await _by_tasks(tasks, rows, lambda: database.write(insert))
        found = await database.read(lambda conn: conn.execute("SELECT count(*) FROM row").fetchone()[0])
    assert found == rows
    return rate


def _sqlite3(folder: Path) -> float:
    conn = sqlite3.connect(folder / "db", isolation_level=None)
    conn.execute("PRAGMA journal_mode=WAL")
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute(TABLE)
    started = time.perf_counter()
    for _ in range(ROWS_ALONE):
        conn.execute(INSERT, VALUE)
    rate = ROWS_ALONE / (time.perf_counter() - started)
    conn.close()
    return rate


async def _aiosqlite(folder: Path, *, commit_each: bool) -> float:
    import aiosqlite  # type: ignore[import-not-found, unused-ignore]

    async with aiosqlite.connect(folder / "db", isolation_level=None if commit_each else "") as conn:
        await conn.execute("PRAGMA journal_mode=WAL")
        await conn.execute("PRAGMA synchronous=FULL")
        await conn.execute(TABLE)

        async def insert() -> None:
            async with conn.execute(INSERT, VALUE):
                pass
            if not commit_each:
                await conn.commit()

        return await _by_tasks(TASKS, ROWS, insert)


def _blocks(size_bytes: int, folder: Path) -> float:
    store = BlockStore(folder, 1 << 30)
    count, batch = BLOCKS[size_bytes], BATCH[size_bytes]
    blocks = [os.urandom(size_bytes) for _ in range(count)]
    started = time.perf_counter()
    for start in range(0, count, batch):
        store.put_many([(Cid.of(CODEC_RAW, block), block) for block in blocks[start : start + batch]])
    rate = count / (time.perf_counter() - started)
    store.close()
    return rate


def _files(size_bytes: int, folder: Path) -> float:
    directory = os.open(folder, os.O_RDONLY)
    blocks = [os.urandom(size_bytes) for _ in range(FILES)]
    started = time.perf_counter()
    for number, block in enumerate(blocks):
        with (folder / "new").open("wb") as file:
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
        (folder / "new").rename(folder / str(number))
        os.fsync(directory)
    rate = FILES / (time.perf_counter() - started)
    os.close(directory)
    return rate
