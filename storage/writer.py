"""The one thread that writes: it commits all that has queued in one transaction, then acknowledges each.

Durability costs one fsync for each commit; while one commit runs, the next batch gathers. A write is a function
over the connection. It runs inside a SAVEPOINT of its own, so that one that raises takes back only itself. What can run
in no transaction (VACUUM, a checkpoint) runs alone, after what had queued before it.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from storage.connection import translated
from storage.errors import DatabaseClosed, StorageFailed

T = TypeVar("T")

MAX_BATCH: Final = 1024
"""Bounds how long the first write of a batch waits for the last one, and the size of one transaction."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Write:
    fn: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    alone: bool = False
    result: Any = None
    error: Exception | None = None


class Writer:
    """Owns a writing connection and its thread. All methods but `close` belong to the event loop's thread."""

    def __init__(self, conn: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._conn = conn
        self._loop = loop
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._closing = False
        self.writes = 0
        self.commits = 0
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[[sqlite3.Connection], T], *, alone: bool = False) -> asyncio.Future[T]:
        """Queue a write. The future gets its result after the commit is on disk. Raises DatabaseClosed.

        `alone`: it runs by itself, in no transaction. Cancelling the future does not take the write back.
        """
        if self._closing:
            raise DatabaseClosed("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Write(fn, future, alone))
        return future

    def refuse_new(self) -> None:
        """From now on `submit` raises DatabaseClosed; what has queued is still written."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)

    def close(self) -> None:
        """Wait until all that has queued is committed and the connection is closed. Blocks; `refuse_new` first."""
        assert self._closing
        self._thread.join()

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._take()
            for alone, group in groupby(batch, key=attrgetter("alone")):
                writes = list(group)
                (self._run_alone if alone else self._commit)(writes)
                self._hand_back(writes)
        try:
            self._conn.close()
        except sqlite3.Error as error:
            logger.warning("closing the database: %s", error)

    def _take(self) -> tuple[list[_Write], bool]:
        """Wait for one write, then take all others that have queued. The flag is False when none will follow."""
        batch: list[_Write] = []
        write = self._queue.get()
        while write is not None:
            batch.append(write)
            if len(batch) == MAX_BATCH:
                return batch, True
            try:
                write = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Write]) -> None:
        try:
            self._conn.execute("BEGIN IMMEDIATE")
            for write in batch:
                self._apply(write)
            self._conn.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            for write in batch:
                write.error = write.error or _not_stored(error)
            return
        self.writes += len(batch)
        self.commits += 1

    def _run_alone(self, writes: list[_Write]) -> None:
        for write in writes:
            try:
                write.result = write.fn(self._conn)
            except Exception as error:  # noqa: BLE001 - as in _apply
                write.error = translated(error)
            self._roll_back()

    def _apply(self, write: _Write) -> None:
        """Run one write. Raises sqlite3.Error only if the whole transaction is lost."""
        self._conn.execute("SAVEPOINT one")
        try:
            write.result = write.fn(self._conn)
        except Exception as error:  # whatever it is, it belongs to the caller of this write, who gets it
            write.error = translated(error)
            if isinstance(error, sqlite3.Error) and not self._conn.in_transaction:
                raise  # a full disk may roll back everything (sqlite.org/lang_transaction.html, section 3)
            self._conn.execute("ROLLBACK TO one")
        self._conn.execute("RELEASE one")

    def _roll_back(self) -> None:
        if self._conn.in_transaction:
            try:
                self._conn.execute("ROLLBACK")
            except sqlite3.Error as error:
                logger.warning("rolling back: %s", error)

    def _hand_back(self, batch: list[_Write]) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, batch)
        except RuntimeError:
            logger.debug("the event loop is gone; nobody waits for %d writes", len(batch))


def _not_stored(error: sqlite3.Error) -> Exception:
    failure = translated(error)
    return StorageFailed(f"the commit failed: {error}") if failure is error else failure


def _settle(batch: list[_Write]) -> None:
    for write in batch:
        if write.future.done():
            if write.error is not None:
                logger.warning("a write whose caller had gone failed: %s", write.error)
        elif write.error is not None:
            write.future.set_exception(write.error)
        else:
            write.future.set_result(write.result)
