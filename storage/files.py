"""Files that are either wholly there or not at all: temporary file, fsync, rename, fsync of the folder."""

import errno
import os
import secrets
from pathlib import Path
from typing import Final

from storage.errors import StorageFailed, StorageFull

TEMPORARY_PREFIX: Final = ".tmp-"
"""Marks a file that a crash may leave behind; nothing else begins so."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space on the device, over the user's quota, over the process's file size limit."""


def atomic_write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the content of `path`, or make it, with permission bits `mode`; on disk when this returns.

    Raises StorageFull or StorageFailed; then the old content is still there.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    try:
        write_durably(temporary, data, mode)
        temporary.replace(path)
        fsync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise as_storage_error(error, path) from error


def write_durably(path: Path, data: bytes, mode: int) -> None:
    """Make a new file with `data`, its content on disk; its name is so only after `fsync_directory`. Raises OSError.

    A file that could not be written whole is removed again.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)  # the umask may have taken bits away
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def fsync_directory(path: Path) -> None:
    """Put a folder's entries (new names, renames) on disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def as_storage_error(error: OSError, path: Path) -> StorageFailed:
    """What a caller should see for a refusal of the file system."""
    kind = StorageFull if error.errno in _FULL else StorageFailed
    return kind(f"{path}: {error.strerror or error}")
