"""The block store: one file for each block, named by its CID, under a quota.

    blocks/<character>/<cid>   the last but one of the CID's base32 form; the last one carries too few bits
    blocks/damaged/<cid>       a block whose bytes no longer have its hash, moved aside
    blocks/.tmp/               files being written; cleaned when the store is opened

A block is on disk, content and name, when `put` returns. Synchronous and thread-safe; reading takes no lock.
"""

import logging
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from identity.cid import Cid
from identity.errors import MalformedCid
from storage.errors import BlockMismatch, StorageFull
from storage.files import as_storage_error, fsync_directory, write_durably

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_FAN_OUT: Final = "abcdefghijklmnopqrstuvwxyz234567"
"""32 folders: enough for millions of blocks. With 1,024, as Kubo's flatfs has, hardly two blocks of a batch share
the fsync of a folder, and a batch of 32 takes up to twice as long (docs/decisions/storage.md)."""

logger = logging.getLogger(__name__)


class BlockStore:
    """Blocks in the folder `root`, at most `quota_bytes` of them all together (contents, not file-system overhead).

    Opening reads every name and size once. Raises StorageFailed.
    """

    def __init__(self, root: Path, quota_bytes: int) -> None:
        self._root = root
        self._temporary = root / ".tmp"
        self._damaged = root / "damaged"
        self.quota_bytes: Final = quota_bytes
        self._lock = threading.Lock()
        try:
            self._folders = [root / character for character in _FAN_OUT]
            for folder in (root, self._temporary, self._damaged, *self._folders):
                folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            for left_over in self._temporary.iterdir():
                left_over.unlink()
            self._size_bytes = self._settle_and_measure()
        except OSError as error:
            raise as_storage_error(error, root) from error

    @property
    def size_bytes(self) -> int:
        """The contents of all blocks together."""
        return self._size_bytes

    def has(self, cid: Cid) -> bool:
        """Whether a block of this CID is kept. Its bytes are not looked at."""
        return self._path(cid).exists()

    def size_of(self, cid: Cid) -> int:
        """A block's size in bytes, 0 if it is not kept."""
        try:
            return self._path(cid).stat().st_size
        except FileNotFoundError:
            return 0

    def get(self, cid: Cid) -> bytes | None:
        """The block, its hash checked, or None. A damaged one is moved aside and is then missing.

        Raises StorageFailed if the disk cannot be read.
        """
        block = self._read(cid)
        if block is None or cid.matches(block):
            return block
        with self._lock:
            block = self._read(cid)  # another thread may have put a good one meanwhile
            if block is None or cid.matches(block):
                return block
            self._set_aside(cid, len(block))
        return None

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep a block. One that is here already costs a read.

        Raises BlockMismatch, StorageFull (disk or quota) or StorageFailed; then nothing of it is kept.
        """
        self.put_many([(cid, block)])

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Keep several blocks, with one fsync for each folder: all of them, or none if they are refused.

        A crash may leave some of them: each is whole. Raises what `put` raises.
        """
        wanted = dict(blocks)
        for cid, block in wanted.items():
            if not cid.matches(block):
                raise BlockMismatch(f"the bytes are not those of {cid}")
        with self._lock:
            missing = self._missing(wanted)
            added = sum(len(block) for block in missing.values())
            if self._size_bytes + added > self.quota_bytes:
                raise StorageFull(
                    f"the block store holds {self._size_bytes} of {self.quota_bytes} bytes; {added} more do not fit"
                )
            self._write(missing)

    def delete(self, cid: Cid) -> bool:
        """Remove a block; whether there was one. Pins are the caller's to respect. Raises StorageFailed."""
        path = self._path(cid)
        with self._lock:
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                return False
            except OSError as error:
                raise as_storage_error(error, path) from error
            self._size_bytes -= size
        return True

    def cids(self) -> Iterator[Cid]:
        """Every CID that is kept, in no order; blocks that come or go meanwhile may or may not be among them."""
        for folder in self._folders:
            for name in os.listdir(folder):  # noqa: PTH208 - names alone are wanted
                yield Cid.parse(name)

    def _missing(self, wanted: dict[Cid, bytes]) -> dict[Cid, bytes]:
        """Those of `wanted` that are not kept; a damaged one is moved aside first."""
        missing: dict[Cid, bytes] = {}
        for cid, block in wanted.items():
            held = self._read(cid)
            if held == block:
                continue
            if held is not None:
                self._set_aside(cid, len(held))
            missing[cid] = block
        return missing

    def _write(self, blocks: dict[Cid, bytes]) -> None:
        """Write, rename, then fsync each folder once. Holds the lock."""
        written: list[tuple[Path, Path, int]] = []
        placed: list[tuple[Path, int]] = []
        changed: set[Path] = set()
        try:
            for cid, block in blocks.items():
                temporary = self._temporary / secrets.token_hex(8)
                write_durably(temporary, block, _FILE_MODE)
                written.append((temporary, self._path(cid), len(block)))
            for temporary, path, size in written:
                changed.add(path.parent)
                temporary.replace(path)
                placed.append((path, size))
                self._size_bytes += size
            for folder in changed:
                fsync_directory(folder)
        except OSError as error:
            for path, size in placed:
                path.unlink(missing_ok=True)
                self._size_bytes -= size
            for temporary, _, _ in written:
                temporary.unlink(missing_ok=True)
            raise as_storage_error(error, self._root) from error

    def _read(self, cid: Cid) -> bytes | None:
        path = self._path(cid)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise as_storage_error(error, path) from error

    def _set_aside(self, cid: Cid, size: int) -> None:
        path = self._path(cid)
        logger.warning("block %s is damaged; moved to %s", cid, self._damaged)
        try:
            path.replace(self._damaged / path.name)
        except OSError as error:
            raise as_storage_error(error, path) from error
        self._size_bytes -= size

    def _settle_and_measure(self) -> int:
        """Flush each folder, since a crash may have left names that are not on disk yet; add up the blocks' sizes.

        What is not named by a CID is moved aside.
        """
        total = 0
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
                        total += entry.stat().st_size
            fsync_directory(folder)
        fsync_directory(self._root)
        return total

    def _path(self, cid: Cid) -> Path:
        name = str(cid)
        return self._root / name[-2] / name
