"""Blocks as files, one for each, named by its CID. How large they may be all together is not known here.

    <character>/<cid>   the last but one of the CID's base32 form; the last one carries too few bits
    .tmp/               files being written; cleaned when the folder is opened

Synchronous and thread-safe, but for two threads that write or remove the same block at once.
"""

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from identity.cid import Cid
from identity.errors import MalformedCid
from storage.files import as_storage_error, fsync_directory, write_durably

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_FAN_OUT: Final = "abcdefghijklmnopqrstuvwxyz234567"
"""32 folders: enough for millions of blocks. With 1,024, as Kubo's flatfs has, hardly two blocks of a batch share
the fsync of a folder, and a batch of 32 takes up to twice as long (docs/decisions/storage.md)."""

_WRITERS: Final = 8
"""Threads that write the files of a batch, and flush its folders: each waits for its own flush, and the file system
flushes together what waits together. With 8 a stream is written at about twice the rate that 4 give."""

logger = logging.getLogger(__name__)


class BlockFiles:
    """The files below `root`. Opening reads every name and size once; what is no block goes to `damaged`.

    Raises StorageFailed.
    """

    def __init__(self, root: Path, damaged: Path) -> None:
        self._root = root
        self._temporary = root / ".tmp"
        self._damaged = damaged
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="block-writer")
        try:
            self._folders = [root / character for character in _FAN_OUT]
            for folder in (root, self._temporary, damaged, *self._folders):
                folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            for left_over in self._temporary.iterdir():
                left_over.unlink()
            self.found: Final = self._settle_and_measure()
        except OSError as error:
            raise as_storage_error(error, root) from error

    def read(self, cid: Cid) -> bytes | None:
        """A block as it lies there, or None."""
        path = self._path(cid)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise as_storage_error(error, path) from error

    def size_of(self, cid: Cid) -> int | None:
        """A block's size in bytes, or None."""
        try:
            return self._path(cid).stat().st_size
        except FileNotFoundError:
            return None

    def write(self, blocks: Mapping[Cid, bytes]) -> None:
        """Write, rename, then fsync each folder once: all of the blocks, or none if the disk refuses."""
        written: list[tuple[Path, Path]] = []
        placed: list[Path] = []
        try:
            written = self._written(blocks)
            for temporary, path in written:
                temporary.replace(path)
                placed.append(path)
            folders = {path.parent for path in placed}
            list((map if len(folders) == 1 else self._pool.map)(fsync_directory, folders))
        except OSError as error:
            for path in placed:
                path.unlink(missing_ok=True)
            for temporary, _ in written:
                temporary.unlink(missing_ok=True)
            raise as_storage_error(error, self._root) from error

    def remove(self, cid: Cid) -> int | None:
        """Remove a block; its size in bytes, or None if there was none."""
        path = self._path(cid)
        try:
            size_bytes = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise as_storage_error(error, path) from error
        return size_bytes

    def set_aside(self, cid: Cid) -> None:
        """Move a block's file to the damaged ones."""
        path = self._path(cid)
        try:
            path.replace(self._damaged / path.name)
        except OSError as error:
            raise as_storage_error(error, path) from error

    def cids(self) -> Iterator[Cid]:
        """Every block's CID, in no order; those that come or go meanwhile may or may not be among them."""
        for folder in self._folders:
            for name in os.listdir(folder):  # noqa: PTH208 - names alone are wanted
                with suppress(MalformedCid):  # somebody has put it there; the next opening moves it aside
                    yield Cid.parse(name)

    def close(self) -> None:
        """End the writing threads."""
        self._pool.shutdown()

    def _written(self, blocks: Mapping[Cid, bytes]) -> list[tuple[Path, Path]]:
        """Temporary files with the blocks, each with the path where it belongs. Raises OSError, leaving none."""
        wanted = [(self._temporary / secrets.token_hex(8), self._path(cid)) for cid in blocks]

        def write(temporary: Path, block: bytes) -> OSError | None:
            try:
                write_durably(temporary, block, _FILE_MODE)
            except OSError as error:
                return error
            return None

        temporaries = [temporary for temporary, _ in wanted]
        run = map if len(wanted) == 1 else self._pool.map
        errors = [error for error in run(write, temporaries, blocks.values()) if error is not None]
        if errors:
            for temporary in temporaries:
                temporary.unlink(missing_ok=True)
            raise errors[0]
        return wanted

    def _settle_and_measure(self) -> tuple[int, int]:
        """Flush each folder, since a crash may have left names that are not on disk yet; count blocks and bytes.

        What is not named by a CID is moved aside.
        """
        count = size_bytes = 0
        for folder in self._folders:
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        misplaced = self._path(Cid.parse(entry.name)) != Path(entry.path)
                    except MalformedCid:
                        misplaced = True
                    if misplaced:
                        logger.warning("%s is no block; moved to %s", entry.path, self._damaged)
                        Path(entry.path).replace(self._damaged / entry.name)
                    else:
                        count += 1
                        size_bytes += entry.stat().st_size
            fsync_directory(folder)
        fsync_directory(self._root)
        fsync_directory(self._root.parent)
        return count, size_bytes

    def _path(self, cid: Cid) -> Path:
        name = str(cid)
        return self._root / name[-2] / name
