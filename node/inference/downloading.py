"""Bringing a large file into a folder: resumed where it stopped, checked as a whole, there only when it is right.

What has come lies in `NAME.part`, and beside it in `NAME.part.json` what it is to become, so that whoever comes after a
crash goes on with it, or throws it away if it is something else. Knows nothing of where the bytes come from.
"""

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from node.inference.errors import HubUnreachable, ModelDamaged, ModelMissing, ModelTooLarge
from storage.files import atomic_write, fsync_directory

ATTEMPTS: Final = 5
"""A connection that breaks again without a new byte is given up after so many."""

PAUSE_S: Final = 1.0
"""Before the second attempt; twice that before each further one."""

SPARE_BYTES: Final = 256 * 1024**2
"""What a download leaves free on the disk for the twin's own records."""

_FLUSH_BYTES: Final = 4 * 1024**2
_CHUNK_BYTES: Final = 1024**2
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

PiecesFrom = Callable[[int], AsyncGenerator[bytes, None]]
"""The bytes of the file from this offset on. Raises HubUnreachable when they stop coming."""

Stage = Literal["fetching", "checking"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a model is: its bytes that are here, or that are checked."""

    stage: Stage
    size_bytes: int
    total_bytes: int


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the file must be. `source` is where it comes from, for people; without a hash the source vouches for it."""

    source: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """A download that was begun. `name` is that of the file it will be, without its ending."""

    name: str
    wanted: Wanted
    size_bytes: int


async def bring(
    pieces_from: PiecesFrom, wanted: Wanted, target: Path, report: Report, *, pause_s: float = PAUSE_S
) -> str:
    """Have the file at `target`; its SHA-256. Cancelling keeps what has come.

    Raises HubUnreachable after some attempts, ModelDamaged if something else came (then nothing of it is kept),
    ModelTooLarge if the disk has no room, and whatever the source raises.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        done = await asyncio.to_thread(_begun, part, wanted)
        _check_room(target.parent, wanted.size_bytes - done)
        failures = 0
        while done < wanted.size_bytes:
            before = done
            try:
                done = await _append(pieces_from(done), part, done, wanted.size_bytes, report)
                if done < wanted.size_bytes:
                    raise HubUnreachable(f"the connection ended after {done} of {wanted.size_bytes} bytes")
            except HubUnreachable:
                done = part.stat().st_size
                failures = 1 if done > before else failures + 1
                if failures == ATTEMPTS:
                    raise
                await asyncio.sleep(pause_s * 2 ** (failures - 1))
            except ModelDamaged:
                if part.stat().st_size > wanted.size_bytes:
                    drop(target)
                raise
        sha256 = await digest(part, wanted.size_bytes, report)
        if wanted.sha256 not in (None, sha256):
            drop(target)
            raise ModelDamaged(f"what came from {wanted.source} has the SHA-256 {sha256}, not {wanted.sha256}")
        await asyncio.to_thread(_move, part, target)
    except OSError as error:
        kind = ModelTooLarge if error.errno in _FULL else ModelMissing
        raise kind(f"cannot keep the model in {target.parent}: {error.strerror or error}") from error
    return sha256


async def digest(path: Path, size_bytes: int, report: Report) -> str:
    """The SHA-256 of a file as hexadecimal digits. Raises OSError."""
    loop = asyncio.get_running_loop()

    def read() -> str:
        found = hashlib.sha256()
        done = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                found.update(chunk)
                done += len(chunk)
                if done % (64 * _CHUNK_BYTES) == 0:
                    loop.call_soon_threadsafe(report, Progress("checking", done, size_bytes))
        return found.hexdigest()

    return await asyncio.to_thread(read)


def halves(folder: Path) -> list[Half]:
    """The downloads into a folder that were begun and have not come to their end, by name."""
    found = []
    for note in sorted(folder.glob("*.part.json")):
        part = note.with_suffix("")
        wanted = _read_note(note)
        if wanted is not None and part.exists():
            found.append(Half(name=Path(part.stem).stem, wanted=wanted, size_bytes=part.stat().st_size))
    return found


def drop(target: Path) -> bool:
    """Remove what was begun of a file. Whether there was anything."""
    part = target.with_name(f"{target.name}.part")
    was_there = part.exists()
    part.unlink(missing_ok=True)
    _note_of(part).unlink(missing_ok=True)
    return was_there


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _begun(part: Path, wanted: Wanted) -> int:
    """The bytes that are here of exactly this file; what is of another one goes."""
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    note = _note_of(part)
    if _may_become(_read_note(note), wanted) and part.exists() and part.stat().st_size <= wanted.size_bytes:
        return part.stat().st_size
    part.unlink(missing_ok=True)
    atomic_write(note, json.dumps(asdict(wanted)).encode())
    part.touch(mode=0o600)
    return 0


def _may_become(begun: Wanted | None, wanted: Wanted) -> bool:
    """Whether what was begun is of this file, as far as is known of both."""
    if begun is None or (begun.source, begun.size_bytes) != (wanted.source, wanted.size_bytes):
        return False
    return None in (begun.sha256, wanted.sha256) or begun.sha256 == wanted.sha256


def _read_note(note: Path) -> Wanted | None:
    try:
        said = json.loads(note.read_bytes())
        return Wanted(source=str(said["source"]), size_bytes=int(said["size_bytes"]), sha256=said["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_room(folder: Path, missing_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free - SPARE_BYTES
    if missing_bytes > free_bytes:
        raise ModelTooLarge(f"{missing_bytes} bytes are still to come and {max(0, free_bytes)} are free on the disk")


async def _append(pieces: AsyncGenerator[bytes, None], part: Path, done: int, size_bytes: int, report: Report) -> int:
    """Write what comes after the bytes that are there; how many there are then. Raises ModelDamaged for too many."""
    with part.open("ab") as file:
        file.truncate(done)
        waiting = bytearray()
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    waiting += piece
                    done += len(piece)
                    if done > size_bytes:
                        raise ModelDamaged(f"more came than the {size_bytes} bytes that were promised")
                    if len(waiting) >= _FLUSH_BYTES:
                        await asyncio.to_thread(_write, file, waiting)
                        waiting = bytearray()
                    report(Progress("fetching", done, size_bytes))
        finally:
            _write(file, waiting)
    return done


def _write(file: BinaryIO, data: bytearray) -> None:
    file.write(data)
    file.flush()


def _move(part: Path, target: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder; the file itself is on disk
        fsync_directory(target.parent)
    _note_of(part).unlink(missing_ok=True)
