"""Small blocks as rows of an SQLite file of their own: a batch of them is one transaction and one flush of the disk.

The file gives room back when blocks are removed. Synchronous and thread-safe: one thread writes at a time, any number
read. How large the blocks may be all together is not known here.
"""

import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, Full, LifoQueue
from typing import Final

from identity.cid import Cid
from storage.connection import connect_reader, connect_writer, translated
from storage.errors import DatabaseClosed, DatabaseDamaged

FILE_NAME: Final = "small.db"
"""In the folder of the blocks. A copy of it while a twin runs is made by `storage/snapshot.py`, as one of `node.db`."""

_PAGE_BYTES: Final = 8192
"""Twice SQLite's own: blocks of 64 KiB are written faster by half, those of some hundred bytes as fast."""

_IDLE_READERS: Final = 4
"""Connections kept for the next reader; each holds up to 2 MiB of pages."""

_NAMES_AT_ONCE: Final = 1000

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS blocks (id INTEGER PRIMARY KEY, cid BLOB NOT NULL UNIQUE, block BLOB NOT NULL)"
)


class SmallBlocks:
    """The blocks in the file `path`, which is made if it is not there.

    Raises DatabaseDamaged, DatabaseLocked, StorageFull or StorageFailed, here and in every method.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue(_IDLE_READERS)
        self._closed = False
        with _errors(path):
            if not path.exists():
                _make(path)
            self._writer = connect_writer(path)
            self._writer.execute(_TABLE)
            count, size_bytes = self._writer.execute("SELECT count(*), total(length(block)) FROM blocks").fetchone()
        self.found: Final[tuple[int, int]] = (count, int(size_bytes))

    def read(self, cid: Cid) -> bytes | None:
        """A block as it lies there, or None."""
        with self._reader() as conn:
            found = conn.execute("SELECT block FROM blocks WHERE cid = ?", (bytes(cid),)).fetchone()
        return None if found is None else found[0]

    def read_many(self, cids: Iterable[Cid]) -> dict[Cid, bytes]:
        """Those blocks that lie here."""
        found: dict[Cid, bytes] = {}
        with self._reader() as conn:
            for cid in cids:
                row = conn.execute("SELECT block FROM blocks WHERE cid = ?", (bytes(cid),)).fetchone()
                if row is not None:
                    found[cid] = row[0]
        return found

    def size_of(self, cid: Cid) -> int | None:
        """A block's size in bytes, or None."""
        with self._reader() as conn:
            found = conn.execute("SELECT length(block) FROM blocks WHERE cid = ?", (bytes(cid),)).fetchone()
        return None if found is None else found[0]

    def write(self, blocks: Mapping[Cid, bytes]) -> None:
        """Keep blocks that are not here: all of them, or none if the disk refuses."""
        with self._transaction() as conn:
            conn.executemany(
                "INSERT INTO blocks (cid, block) VALUES (?,?)", [(bytes(cid), block) for cid, block in blocks.items()]
            )

    def remove(self, cids: Collection[Cid]) -> dict[Cid, int]:
        """Remove those blocks that are here; their sizes in bytes."""
        removed: dict[Cid, int] = {}
        with self._transaction() as conn:
            for cid in cids:
                statement = "DELETE FROM blocks WHERE cid = ? RETURNING length(block)"
                for (size_bytes,) in conn.execute(statement, (bytes(cid),)).fetchall():
                    removed[cid] = size_bytes
        return removed

    def cids(self) -> Iterator[Cid]:
        """Every block's CID, oldest first; those that come or go meanwhile may or may not be among them."""
        last = 0
        while True:
            with self._reader() as conn:
                rows = conn.execute(
                    "SELECT id, cid FROM blocks WHERE id > ? ORDER BY id LIMIT ?", (last, _NAMES_AT_ONCE)
                ).fetchall()
            for _, name in rows:
                yield Cid.from_bytes(name)
            if len(rows) < _NAMES_AT_ONCE:
                return
            last = rows[-1][0]

    def close(self) -> None:
        """Close the file; whoever still reads finishes first."""
        with self._writing:
            self._closed = True
            self._writer.close()
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing, _errors(self._path):
            if self._closed:
                raise DatabaseClosed("the block store is closed")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise DatabaseClosed("the block store is closed")
        try:
            conn = self._idle.get_nowait()
        except Empty:
            conn = connect_reader(self._path)
        try:
            with _errors(self._path):
                yield conn
        finally:
            try:
                self._idle.put_nowait(conn)
            except Full:
                conn.close()


def _make(path: Path) -> None:
    """An empty file with the settings that only an empty one takes."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        conn.execute("PRAGMA auto_vacuum=FULL")
        conn.execute(_TABLE)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, DatabaseDamaged) as error:
        found = translated(error)
        raise (DatabaseDamaged(f"{path}: {error}") if isinstance(found, DatabaseDamaged) else found) from error
