"""The database as the node uses it: `await write(fn)` and `await read(fn)`, both over plain functions.

`fn` takes a sqlite3.Connection and must not keep it, commit, or return anything lazy. A write may run together
with others in one transaction, and is on disk when `write` returns.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Self, TypeVar

from storage.connection import connect_reader, connect_writer, translated
from storage.errors import DatabaseClosed, StorageError
from storage.migrate import migrate
from storage.writer import Writer

T = TypeVar("T")

READERS: Final = 2
"""One may be busy with a long list while the other answers."""


class Database:
    """One SQLite file, one writing thread, a few reading threads. Made by `open`; bound to the loop that opened it."""

    def __init__(self, path: Path, writer: Writer, readers: list[sqlite3.Connection]) -> None:
        self.path: Final = path
        self._writer = writer
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for conn in readers:
            self._idle.put(conn)
        self._readers = len(readers)
        self._pool = ThreadPoolExecutor(len(readers), thread_name_prefix="database-reader")
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open the database at `path`, making or migrating it as needed.

        Leaving the context writes all that has queued, then closes.
        Raises NewerSchema, DatabaseLocked, DatabaseDamaged, StorageFull or StorageFailed.
        """
        writing, readers = await asyncio.to_thread(_connect, path)
        database = cls(path, Writer(writing, asyncio.get_running_loop()), readers)
        try:
            yield database
        finally:
            database._closed = True
            database._writer.refuse_new()
            await asyncio.shield(asyncio.to_thread(database._close))

    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` in the next transaction; return what it returned, after the commit is on disk.

        What `fn` raises is raised here, and only what it did is taken back. Raises StorageFull, StorageFailed or
        DatabaseLocked if the commit failed: then nothing of it was stored. A caller that is cancelled while it
        waits does not take the write back.
        """
        return await self._writer.submit(fn)

    async def maintain(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` over the writing connection by itself, in no transaction; all other writes wait for it."""
        return await self._writer.submit(fn, alone=True)

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` in a reading thread, over one unchanging view of everything that was acknowledged so far."""
        if self._closed:
            raise DatabaseClosed("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, fn)

    def counters(self) -> dict[str, int]:
        """How many writes were stored, in how many commits, since the database was opened."""
        return {"writes": self._writer.writes, "commits": self._writer.commits}

    def _read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        conn = self._idle.get()
        try:
            conn.execute("BEGIN")
            return fn(conn)
        except (sqlite3.Error, StopIteration) as error:
            raise translated(error) from error
        finally:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            self._idle.put(conn)

    def _close(self) -> None:
        self._pool.shutdown()
        for _ in range(self._readers):
            self._idle.get().close()
        self._writer.close()


def _connect(path: Path) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
    writing = connect_writer(path)
    readers: list[sqlite3.Connection] = []
    try:
        migrate(writing, path)
        for _ in range(READERS):
            readers.append(connect_reader(path))  # noqa: PERF401 - those already open must be known to the handler
    except StorageError:
        for conn in [*readers, writing]:
            conn.close()
        raise
    return writing, readers
