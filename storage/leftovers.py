"""Making sure that what was deleted is gone from the database's files, and not only from its tables.

`secure_delete` overwrites what a row held. What SQLite copied elsewhere before, while it moved rows between pages, it
does not know any more: only writing the file anew takes that away, which is done where something was found.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage.errors import DatabaseLocked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEEDLE_BYTES: Final = 32
"""So much of a text's beginning is looked for."""

LEAST_BYTES: Final = 8
"""Shorter texts stand everywhere by chance, and say nothing."""

_CHUNK_BYTES: Final = 16 << 20


def empty_log(conn: sqlite3.Connection) -> None:
    """Move all that was committed into the database, and cut the write-ahead log to nothing. In no transaction.

    Raises DatabaseLocked if another process keeps the log from being cut.
    """
    blocked, _, _ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if blocked:
        raise DatabaseLocked("another process reads the database: its log cannot be cut")


def write_anew(conn: sqlite3.Connection) -> None:
    """Write the database's file from what its tables hold, and nothing else. In no transaction. Raises StorageFull."""
    conn.execute("VACUUM")
    empty_log(conn)


def left_in(path: Path, texts: Collection[str]) -> bool:
    """Whether a file has the beginning of any of these texts, in UTF-8. Reads all of it, which can take seconds."""
    import numpy as np

    needles = {text.encode()[:NEEDLE_BYTES] for text in texts}
    needles = {needle for needle in needles if len(needle) >= LEAST_BYTES}
    if not needles:
        return False
    keys = np.array(sorted({int.from_bytes(needle[:LEAST_BYTES], "little") for needle in needles}), np.uint64)
    with path.open("rb") as file:
        before = b""
        while chunk := file.read(_CHUNK_BYTES):
            data = before + chunk
            if _has(data, keys, needles):
                return True
            before = data[-NEEDLE_BYTES:]
    return False


def _has(data: bytes, keys: NDArray[np.uint64], needles: Collection[bytes]) -> bool:
    import numpy as np

    for start in range(min(LEAST_BYTES, len(data))):
        count = (len(data) - start) // LEAST_BYTES
        windows = np.frombuffer(data, "<u8", count=count, offset=start)
        for place in np.flatnonzero(np.isin(windows, keys)):
            begin = start + int(place) * LEAST_BYTES
            if any(data.startswith(needle, begin) for needle in needles):
                return True
    return False
