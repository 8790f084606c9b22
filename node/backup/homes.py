"""What of a home goes into a backup, and a home out of one.

In: the key (sealed as it is), the settings, the database as it is in one moment, blocks, plugins, models if asked. Left
out: what is of this machine or process (`api-token`, `api`, `lock`, `logs`) and what is made anew (`index`).
"""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from identity import keystore
from identity.did import Did
from identity.keystore import MAX_FILE_BYTES
from identity.sealing import MODERATE, Kdf
from node import __version__
from node.backup.archive import END, Entry, content_of, header_of, next_entry, padding_of
from node.backup.errors import BackupUnsafe, FileTaken, HomeChanged, HomeTaken
from node.backup.sealed import SealedReader, SealedWriter, is_backup
from protocols.limits import MAX_BLOCK_BYTES
from storage.files import TEMPORARY_PREFIX, as_storage_error, fsync_directory
from storage.home import FOLDER_MODE, Home
from storage.smallblocks import FILE_NAME
from storage.snapshot import settle, snapshot

MANIFEST: Final = "manifest.json"
_IDENTITY: Final = "identity.json"
_DATABASE: Final = "node.db"
_CONFIG: Final = "config.toml"

_MAX_BYTES: Final = {MANIFEST: 64 * 1024, _IDENTITY: MAX_FILE_BYTES, _CONFIG: 1024 * 1024}
"""What one of these may have; a block has its own bound, and everything together must fit on the disk."""

_SMALL_BLOCKS: Final = f"blocks/{FILE_NAME}"
_FOLDERS: Final = ("blocks", "plugins", "models")
_COPY_BYTES: Final = 1024 * 1024
_SNAPSHOT_PREFIX: Final = f"{TEMPORARY_PREFIX}snapshot-"

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup holds, or what was restored from one."""

    did: Did
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Planned:
    entry: Entry
    path: Path


def back_up(
    home: Home,
    target: Path,
    passphrase: str,
    *,
    with_models: bool,
    progress: Progress = lambda done, total: None,
    kdf: Kdf = MODERATE,
) -> Made:
    """Write a backup of `home`, whose twin may be running, to the file `target`: whole, or not at all.

    An older backup there is replaced; any other file is not. Raises BackupError, StorageError, KeystoreError,
    PassphraseUnfit.
    """
    did, _ = keystore.names_in(home.identity_json)
    _refuse_other(target)
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    database = home.path / f"{_SNAPSHOT_PREFIX}{secrets.token_hex(8)}"
    small_blocks = database.with_name(f"{database.name}-blocks")
    try:
        for left_over in home.path.glob(f"{_SNAPSHOT_PREFIX}*"):
            left_over.unlink(missing_ok=True)
        if home.node_db.exists():
            snapshot(home.node_db, database)
        if (home.blocks / FILE_NAME).exists():
            snapshot(home.blocks / FILE_NAME, small_blocks)
        planned = list(_plan(home, database, small_blocks, with_models=with_models))
        with _new_file(temporary) as file:
            made = _write(file, planned, did, passphrase, progress, kdf)
            file.flush()
            os.fsync(file.fileno())
        if keystore.names_in(home.identity_json)[0] != did:
            raise HomeChanged("the twin got another key while the backup was made")
        temporary.replace(target)
        fsync_directory(target.parent)
    except OSError as error:
        raise as_storage_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)
        database.unlink(missing_ok=True)
        small_blocks.unlink(missing_ok=True)
    return made


def restore(source: Path, target: Path, passphrase: str, *, progress: Progress = lambda done, total: None) -> Made:
    """Make a home at `target`, which must not exist or be an empty folder, out of a backup: whole, or not at all.

    Raises BackupError, StorageError, KeystoreError.
    """
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise HomeTaken(f"{target} is not empty")
    temporary = target.with_name(f"{TEMPORARY_PREFIX}restore-{secrets.token_hex(8)}")
    try:
        target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        temporary.mkdir(mode=FOLDER_MODE)
        with source.open("rb") as file:
            made = _read(file, Home(temporary), passphrase, progress)
        if Home(temporary).node_db.exists():
            settle(Home(temporary).node_db)
        for folder, _, _ in os.walk(temporary):
            fsync_directory(Path(folder))
        temporary.rename(target)  # onto an empty folder at most: anything else makes it fail
        fsync_directory(target.parent)
    except OSError as error:
        raise as_storage_error(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made


# Making


def _plan(home: Home, database: Path, small_blocks: Path, *, with_models: bool) -> Iterator[_Planned]:
    """The files, the key first: what cannot be had anew."""
    singles = (
        (_IDENTITY, home.identity_json),
        (_CONFIG, home.config_toml),
        (_DATABASE, database),
        (_SMALL_BLOCKS, small_blocks),
    )
    for name, path in singles:
        if path.exists():
            yield _planned(name, path)
    folders = {"blocks": home.blocks, "plugins": home.plugins, **({"models": home.models} if with_models else {})}
    for name, folder in folders.items():
        for path in _files_below(folder, damaged=name != "blocks"):
            if path.parent != home.blocks:  # `small.db` and its log, which a running twin writes: copied above
                yield _planned(f"{name}/{path.relative_to(folder).as_posix()}", path)


def _files_below(folder: Path, *, damaged: bool) -> Iterator[Path]:
    """Plain files below a folder, without links and without what a crash left half-written."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (damaged or name != "damaged"))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(TEMPORARY_PREFIX) and path.is_file() and not path.is_symlink():
                yield path


def _planned(name: str, path: Path) -> _Planned:
    found = path.stat()
    return _Planned(Entry(name, found.st_size, found.st_mode & 0o700), path)


def _write(
    file: BinaryIO, planned: Iterable[_Planned], did: Did, passphrase: str, progress: Progress, kdf: Kdf
) -> Made:
    planned = list(planned)
    total = sum(one.entry.size_bytes for one in planned)
    manifest = json.dumps(
        {"format": 1, "did": did, "program": __version__, "files": len(planned), "size_bytes": total}
    ).encode()
    writer = SealedWriter(file, passphrase, kdf=kdf)
    writer.write(header_of(Entry(MANIFEST, len(manifest))) + manifest + padding_of(len(manifest)))
    done = 0
    for one in planned:
        writer.write(header_of(one.entry))
        for part in _parts_of(one):
            writer.write(part)
            done += len(part)
            progress(done, total)
        writer.write(padding_of(one.entry.size_bytes))
    writer.write(END)
    writer.finish()
    return Made(did, len(planned), total)


def _parts_of(one: _Planned) -> Iterator[bytes]:
    """The file as long as it was when it was planned: blocks never change, and what grew meanwhile is cut."""
    left = one.entry.size_bytes
    with one.path.open("rb") as file:
        while left:
            part = file.read(min(left, _COPY_BYTES))
            if not part:
                raise HomeChanged(f"{one.path} became shorter while it was read")
            left -= len(part)
            yield part


def _refuse_other(target: Path) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if target.is_file():
        with target.open("rb") as file:
            if is_backup(file):
                return
    raise FileTaken(f"{target} is there and is no backup")


# Restoring


def _read(file: BinaryIO, home: Home, passphrase: str, progress: Progress) -> Made:
    reader = SealedReader(file, passphrase)
    home.create()
    said = _manifest(reader)
    done = files = 0
    while (entry := next_entry(reader)) is not None:
        files += 1
        if files > said.files or done + entry.size_bytes > said.size_bytes:
            raise BackupUnsafe("the backup holds more than it says")
        _check_room(home, entry)
        with _new_file(_place(home, entry.name)) as out:
            for part in content_of(entry, reader):
                out.write(part)
                done += len(part)
                progress(done, said.size_bytes)
            os.fchmod(out.fileno(), entry.mode | 0o600)
            out.flush()
            os.fsync(out.fileno())
    reader.end()
    if (files, done) != (said.files, said.size_bytes):
        raise BackupUnsafe("the backup holds less than it says")
    if not home.exists or keystore.names_in(home.identity_json)[0] != said.did:
        raise BackupUnsafe("the backup holds another twin's key than it says, or none")
    return said


def _manifest(reader: SealedReader) -> Made:
    entry = next_entry(reader)
    if entry is None or entry.name != MANIFEST or entry.size_bytes > _MAX_BYTES[MANIFEST]:
        raise BackupUnsafe("the backup does not begin with its manifest")
    try:
        said = json.loads(b"".join(content_of(entry, reader)))
        made = Made(Did(str(said["did"])), int(said["files"]), int(said["size_bytes"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BackupUnsafe("the backup's manifest is damaged") from None
    if said.get("format") != 1:
        raise BackupUnsafe("the backup was made by a newer program")
    return made


def _check_room(home: Home, entry: Entry) -> None:
    is_block = entry.name.startswith("blocks/") and entry.name != _SMALL_BLOCKS
    most = _MAX_BYTES.get(entry.name, MAX_BLOCK_BYTES if is_block else None)
    if most is not None and entry.size_bytes > most:
        raise BackupUnsafe(f"{entry.name} in the backup has {entry.size_bytes} bytes; {most} are allowed")
    if entry.size_bytes > shutil.disk_usage(home.path).free:
        raise OSError(errno.ENOSPC, "No space left on device", str(home.path))


def _place(home: Home, name: str) -> Path:
    """Where a file goes. Its name was checked to stay below the root; here it is checked to be of a home."""
    folder, _, rest = name.partition("/")
    if not (name in (_IDENTITY, _CONFIG, _DATABASE) or (folder in _FOLDERS and rest)):
        raise BackupUnsafe(f"the backup holds what no home holds: {name[:100]!r}")
    path = home.path / name
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if path.exists():
        raise BackupUnsafe(f"the backup holds {name[:100]!r} twice")
    return path


def _new_file(path: Path) -> BinaryIO:
    """A file that was not there, for its owner alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
