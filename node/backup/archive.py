"""The content of a backup: a plain tar of files, read and written as a stream.

Our own reader, because this one takes files and folders below the root and nothing else: no links, no devices, no
absolute names, no extended headers of any length. What `tar` makes of a decrypted backup is the same.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Protocol

from node.backup.errors import BackupUnsafe

BLOCK: Final = tarfile.BLOCKSIZE

MAX_NAME_BYTES: Final = 1024
"""A name inside a home: a block's has some 70 characters; a plugin's file may lie deep."""

READ_BYTES: Final = 256 * 1024


class Source(Protocol):
    """Where the bytes of an archive come from."""

    def read(self, size_bytes: int) -> bytes:
        """Exactly so many bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive. `name` is relative, with `/`; `mode` is what its owner may do."""

    name: str
    size_bytes: int
    mode: int = 0o600


def header_of(entry: Entry) -> bytes:
    """What stands before a file's bytes. Raises BackupUnsafe for a name that no reader would take."""
    _checked(entry.name)
    info = tarfile.TarInfo(entry.name)
    info.size, info.mode = entry.size_bytes, entry.mode & 0o700
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padding_of(size_bytes: int) -> bytes:
    """What stands behind a file's bytes."""
    return bytes(-size_bytes % BLOCK)


END: Final = bytes(2 * BLOCK)
"""What stands behind the last file."""


def next_entry(source: Source) -> Entry | None:
    """The next file, whose bytes follow in `source`; None at the end. Raises BackupUnsafe."""
    info = _header(source)
    long_name = None
    if info is not None and info.type == tarfile.GNUTYPE_LONGNAME:
        if not 0 < info.size <= MAX_NAME_BYTES + 1:
            raise BackupUnsafe("the backup holds a name that is too long")
        long_name = source.read(info.size + len(padding_of(info.size)))[: info.size].rstrip(b"\0")
        info = _header(source)
        if info is None:
            raise BackupUnsafe("the backup holds a name without a file")
    if info is None:
        return None
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.size < 0:
        raise BackupUnsafe(f"the backup holds what is no file: {info.name[:100]!r}")
    name = info.name if long_name is None else long_name.decode("utf-8", "surrogateescape")
    return Entry(_checked(name), info.size, info.mode & 0o700)


def content_of(entry: Entry, source: Source) -> Iterator[bytes]:
    """The bytes of a file, in parts."""
    left = entry.size_bytes
    while left:
        part = source.read(min(left, READ_BYTES))
        left -= len(part)
        yield part
    source.read(len(padding_of(entry.size_bytes)))


def _header(source: Source) -> tarfile.TarInfo | None:
    data = source.read(BLOCK)
    if data == bytes(BLOCK):
        if source.read(BLOCK) != bytes(BLOCK):
            raise BackupUnsafe("the backup's archive does not end as it should")
        return None
    try:
        return tarfile.TarInfo.frombuf(data, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BackupUnsafe(f"the backup holds what is no archive: {error}") from error


def _checked(name: str) -> str:
    """A name that stays below the root whatever it is joined to."""
    path = PurePosixPath(name)
    parts = name.split("/")
    plain = "\\" not in name and "\0" not in name and all(part not in ("", ".", "..") for part in parts)
    if not plain or path.is_absolute() or len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
        raise BackupUnsafe(f"the backup holds a name that leads elsewhere: {name[:100]!r}")
    return name
