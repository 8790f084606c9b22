"""Snapshots of a large index: a file that spares making it anew from SQLite at the next start. Never the truth.

A file holds the codes of the vectors by id, what made them, the embedding model, the last `seq` that SQLite had given,
and a stamp that SQLite has too, for a database that was restored is another one. The file appears whole or not at all;
whoever reads it drops what SQLite no longer has and adds what is not in it. Anything odd about it and it does not
count. What is forgotten is in no file once `nothing_kept` has been entered.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from storage.files import TEMPORARY_PREFIX, as_storage_error, fsync_directory
from storage.vectors.index import Stopped, VectorIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from storage.vectors.holding import Holding

logger = logging.getLogger(__name__)

FILE_NAME: Final = "memories.vectors"
FORMAT: Final = "pagi-vectors-1"

_MAX_HEADER_BYTES: Final = 4096
_AT_ONCE: Final = 8192
_LENGTH_BYTES: Final = 4
_CHECKSUM_BYTES: Final = 32

_Said = tuple[str, str, int]
"""The stamp, the model and the last `seq` of a header."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a snapshot says of itself. `rows` counts the slots, the dead ones too."""

    format: str
    stamp: str
    model_id: str
    dimensions: int
    last_seq: int
    made_for: int
    rows: int


class OddSnapshot(Exception):
    """A snapshot that does not count; the text says why. It stays within this module."""


class Snapshots:
    """The one snapshot in a folder. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.path: Final = folder / FILE_NAME
        self._folder = folder
        self._writers = threading.Lock()  # one at a time
        self._lock = threading.Lock()
        self._forgetting = 0
        self._writing: Path | None = None

    def clear(self) -> None:
        """Remove what a crash left half-written; before anything is written. Raises StorageFailed."""
        with _told_as_ours(self._folder):
            for path in self._folder.glob(f"{TEMPORARY_PREFIX}*"):
                path.unlink(missing_ok=True)

    @contextmanager
    def nothing_kept(self) -> Iterator[None]:
        """No snapshot is in the folder once this is entered, and none appears before its end. Raises StorageFailed."""
        with self._lock:
            self._forgetting += 1
        try:
            with self._lock, _told_as_ours(self._folder):
                self._remove()
            yield
        finally:
            with self._lock:
                self._forgetting -= 1

    def write(
        self, index: VectorIndex, *, stamp: str, model_id: str, last_seq: int, stop: Callable[[], bool] = lambda: False
    ) -> bool:
        """Put an index on disk that has codes; searches go on meanwhile. Whether that was done.

        It is not if the index is exact (SQLite is as quick), or `stop` says so, or something is forgotten meanwhile.
        `last_seq` was read from SQLite before. Raises StorageFull or StorageFailed.
        """
        with self._writers:
            return self._write(index, (stamp, model_id, last_seq), stop)

    def _write(self, index: VectorIndex, said: _Said, stop: Callable[[], bool]) -> bool:
        temporary = self._folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        with self._lock:
            if self._forgetting or index.exact:
                return False
            self._writing = temporary
        try:
            with _told_as_ours(self.path):
                with os.fdopen(
                    os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
                ) as file:
                    _write(file, index, said, lambda: stop() or self._given_up())
                    file.flush()
                    os.fsync(file.fileno())
                with self._lock:
                    if self._given_up():
                        return False
                    temporary.replace(self.path)
                    fsync_directory(self._folder)
            return True
        except Stopped:
            return False
        finally:
            with self._lock:
                self._writing = None
                temporary.unlink(missing_ok=True)

    def read(
        self, index: VectorIndex, *, stamp: str | None, model_id: str, last_seq: int, group_of: NDArray[np.int32]
    ) -> bool:
        """Fill an empty index from the snapshot; whether there was a sound one. One that is odd is removed.

        `stamp` is what SQLite has, `last_seq` the greatest that it ever gave. `group_of[seq]` is the group of a row,
        -1 where there is none: what SQLite does not have stays out. Raises StorageFailed if an odd one cannot be
        removed.
        """
        try:
            size_bytes = self.path.stat().st_size
            with self.path.open("rb") as file:
                source = _Source(file, size_bytes)
                header = _header_of(source, (stamp, model_id, last_seq), index.dimensions)
                holding = _read(source, header, group_of)
                source.check_end()
        except FileNotFoundError:
            return False
        except (OddSnapshot, OSError) as error:
            logger.warning("the snapshot of the vector index does not count: %s", error)
            with self._lock, _told_as_ours(self._folder):
                self._remove()
            return False
        index.adopt(holding, made_for=header.made_for)
        return True

    def _given_up(self) -> bool:
        return self._writing is None

    def _remove(self) -> None:
        """Remove the snapshot, and the one that is being written, under the lock."""
        paths = [path for path in (self.path, self._writing) if path is not None and path.exists()]
        self._writing = None
        for path in paths:
            path.unlink(missing_ok=True)
        if paths:
            fsync_directory(self._folder)


class _Source:
    """A file that is read from its beginning to the checksum at its end."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._left = size_bytes - _CHECKSUM_BYTES
        self._hash = hashlib.sha256()

    def take(self, size_bytes: int) -> bytes:
        """The next bytes. Raises OddSnapshot if there are not so many before the checksum."""
        if size_bytes > self._left:
            raise OddSnapshot("it is cut short")
        data = self._file.read(size_bytes)
        if len(data) < size_bytes:
            raise OddSnapshot("it is cut short")
        self._left -= size_bytes
        self._hash.update(data)
        return data

    def array(self, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
        """The next numbers, of one of numpy's little-endian types."""
        import numpy as np

        size = np.dtype(kind).itemsize
        for length in shape:
            size *= length
        return np.frombuffer(self.take(size), kind).reshape(shape)

    def check_end(self) -> None:
        """Raises OddSnapshot if this is not the end, or the checksum another one."""
        if self._left or self._file.read() != self._hash.digest():
            raise OddSnapshot("its checksum is wrong")


def _header_of(source: _Source, expected: tuple[str | None, str, int], dimensions: int) -> Header:
    """The header, if it is of this model and database. Raises OddSnapshot."""
    stamp, model_id, last_seq = expected
    size_bytes = int.from_bytes(source.take(_LENGTH_BYTES), "little")
    if size_bytes > _MAX_HEADER_BYTES:
        raise OddSnapshot("its header is too long")
    try:
        header = Header(**json.loads(source.take(size_bytes)))
    except (ValueError, TypeError) as error:
        raise OddSnapshot("its header is damaged") from error
    if (header.format, header.model_id, header.dimensions) != (FORMAT, model_id, dimensions):
        raise OddSnapshot(
            f"it is of {str(header.model_id)[:80]} ({header.dimensions}) and not of {model_id} ({dimensions})"
        )
    if not all(isinstance(number, int) for number in (header.last_seq, header.rows, header.made_for)):
        raise OddSnapshot("its header is damaged")
    if header.stamp != stamp or header.last_seq > last_seq:
        raise OddSnapshot("it is not of this database, or not of how it is now")
    return header


def _read(source: _Source, header: Header, group_of: NDArray[np.int32]) -> Holding:
    import numpy as np

    from storage.vectors.holding import Holding
    from storage.vectors.slots import Slots
    from storage.vectors.tables import ByteTable, Codec

    pieces = Codec.pieces_of(header.dimensions)
    reach = source.array((2, header.dimensions), "<f4")
    table = ByteTable(Codec(reach, source.array((pieces, 16, header.dimensions // pieces), "<f4")))
    slots, left = Slots(), header.rows
    while left > 0:
        count = min(_AT_ONCE, left)
        ids, codes = source.array((count,), "<i8"), source.array((count, header.dimensions), "u1")
        inside = np.flatnonzero((ids >= 0) & (ids < len(group_of)))
        here = inside[group_of[ids[inside]] >= 0]
        table.append_codes(codes[here])
        slots.append(ids[here], group_of[ids[here]].astype(np.uint16))
        left -= count
    return Holding(slots, table)


def _write(file: BinaryIO, index: VectorIndex, said: _Said, stop: Callable[[], bool]) -> None:
    """Write an index that has codes, piece by piece. Raises Stopped."""
    from storage.vectors.tables import ByteTable

    digest = hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    with index.settled() as (holding, lock):
        slots, table = holding.slots, holding.table
        assert isinstance(table, ByteTable)
        rows = slots.count
        stamp, model_id, last_seq = said
        header = Header(FORMAT, stamp, model_id, index.dimensions, last_seq, index.made_for, rows)
        text = json.dumps(asdict(header)).encode()
        put(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        put(table.codec.reach.astype("<f4").tobytes() + table.codec.values.astype("<f4").tobytes())
        for start in range(0, rows, _AT_ONCE):
            if stop():
                raise Stopped
            stretch = slice(start, min(start + _AT_ONCE, rows))
            with lock:
                data = slots.ids_in(stretch).astype("<i8").tobytes() + table.codes[stretch].tobytes()
            put(data)
    file.write(digest.digest())


@contextmanager
def _told_as_ours(path: Path) -> Iterator[None]:
    """Turn refusals of the file system into StorageFull or StorageFailed."""
    try:
        yield
    except OSError as error:
        raise as_storage_error(error, path) from error
