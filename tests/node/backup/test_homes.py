"""Backups of real homes: what comes back, what is left out, and that nothing half is ever in place."""

import asyncio
import contextlib
import json
import os
import sqlite3
import stat
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from identity import keystore
from identity.cid import Cid
from identity.errors import PagiError
from identity.multibase import CODEC_RAW
from identity.sealing import Kdf
from node.backup import homes
from node.backup.archive import END, padding_of
from node.backup.errors import BackupDamaged, BackupSealed, BackupUnsafe, FileTaken, HomeChanged, HomeTaken
from node.backup.homes import back_up, restore
from node.backup.sealed import SealedWriter
from storage import meta
from storage.blocks import BlockStore
from storage.connection import connect_reader
from storage.database import Database
from storage.errors import StorageFailed, StorageFull
from storage.home import Home
from storage.snapshot import INSTANCE

CHEAP = Kdf(opslimit=1, memlimit_bytes=8192)
PASSPHRASE = "correct horse battery"
SEED = bytes(range(32))
BLOCKS = [os.urandom(size) for size in (1, 700, 300_000)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    keystore.create(home.identity_json, SEED, None)
    home.config_toml.write_text("name = 'ada'\n")
    for name in ("api-token", "api", "lock"):
        (home.path / name).write_text("of this machine")
    store = BlockStore(home.blocks, 1 << 30)
    for block in BLOCKS:
        store.put(Cid.of(CODEC_RAW, block), block)
    (home.blocks / "damaged" / "b").write_bytes(b"damaged")
    (home.plugins / "mine").mkdir()
    (home.plugins / "mine" / "run").write_text("#!/bin/sh\n")
    (home.plugins / "mine" / "run").chmod(0o755)
    (home.plugins / "link").symlink_to("/etc/passwd")
    (home.models / "small.gguf").write_bytes(bytes(100_000))
    (home.logs / "log").write_text("private")
    asyncio.run(write_fact(home, "first"))
    return home


async def write_fact(home: Home, value: str) -> None:
    async with Database.open(home.node_db) as database:
        await database.write(lambda conn: meta.put(conn, "fact", value))


def put_both(conn: sqlite3.Connection, value: str) -> None:
    meta.put(conn, "a", value)
    meta.put(conn, "b", value)


def value_in(home: Home, key: str) -> str | None:
    conn = connect_reader(home.node_db)
    try:
        return meta.get(conn, key)
    finally:
        conn.close()


def made(home: Home, target: Path, *, with_models: bool = False) -> Path:
    back_up(home, target, PASSPHRASE, with_models=with_models, kdf=CHEAP)
    return target


def left_overs(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".tmp-*")]


def test_a_home_comes_back(home: Home, tmp_path: Path) -> None:
    backup = made(home, tmp_path / "backup")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    restored = Home(tmp_path / "new" / "home")
    found = restore(backup, restored.path, PASSPHRASE)
    opened = keystore.load(restored.identity_json, lambda: None)
    assert (opened.keys.seed, opened.did) == (SEED, found.did)
    assert restored.config_toml.read_text() == "name = 'ada'\n"
    assert value_in(restored, "fact") == "first"
    store = BlockStore(restored.blocks, 1 << 30)
    assert [store.get(Cid.of(CODEC_RAW, block)) for block in BLOCKS] == BLOCKS
    run = restored.plugins / "mine" / "run"
    assert (run.read_text(), stat.S_IMODE(run.stat().st_mode)) == ("#!/bin/sh\n", 0o700)
    assert stat.S_IMODE(restored.path.stat().st_mode) == 0o700
    for path in restored.path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert left_overs(tmp_path) == []


def test_what_is_of_this_machine_stays_here(home: Home, tmp_path: Path) -> None:
    restore(made(home, tmp_path / "backup"), tmp_path / "new", PASSPHRASE)
    names = {str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*") if path.is_file()}
    singles = {"identity.json", "config.toml", "node.db", "plugins/mine/run"}
    assert singles <= names
    assert all(name.startswith("blocks/") for name in names - singles)
    assert "blocks/damaged/b" not in names
    assert {name for name in names if "small.db" in name} == {"blocks/small.db"}  # without the log of its writer


def test_models_come_only_if_asked(home: Home, tmp_path: Path) -> None:
    restore(made(home, tmp_path / "backup", with_models=True), tmp_path / "new", PASSPHRASE)
    assert (tmp_path / "new" / "models" / "small.gguf").stat().st_size == 100_000


def test_a_restored_home_is_another_instance(home: Home, tmp_path: Path) -> None:
    backup = made(home, tmp_path / "backup")
    seen = {value_in(home, INSTANCE)}
    for name in ("one", "two"):
        restore(backup, tmp_path / name, PASSPHRASE)
        seen.add(value_in(Home(tmp_path / name), INSTANCE))
    assert len(seen) == 3


def test_a_home_that_never_ran(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    keystore.create(home.identity_json, SEED, None)
    restore(made(home, tmp_path / "backup"), tmp_path / "new", PASSPHRASE)
    assert Home(tmp_path / "new").exists
    assert not Home(tmp_path / "new").node_db.exists()


def test_a_backup_while_the_twin_writes_is_of_one_moment(home: Home, tmp_path: Path) -> None:
    """Two facts that always change together are the same in every backup."""

    async def main() -> None:
        async with Database.open(home.node_db) as database:
            done = asyncio.Event()

            async def write() -> None:
                n = 0
                while not done.is_set():
                    n += 1
                    await database.write(partial(put_both, value=str(n)))

            writing = asyncio.create_task(write())
            for n in range(5):
                await asyncio.to_thread(made, home, tmp_path / f"backup-{n}")
            done.set()
            await writing

    asyncio.run(main())
    for n in range(5):
        restore(tmp_path / f"backup-{n}", tmp_path / f"new-{n}", PASSPHRASE)
        restored = Home(tmp_path / f"new-{n}")
        assert value_in(restored, "a") == value_in(restored, "b")
    assert value_in(Home(tmp_path / "new-4"), "a") is not None


def test_an_older_backup_is_replaced_and_nothing_else(home: Home, tmp_path: Path) -> None:
    backup = made(home, tmp_path / "backup")
    asyncio.run(write_fact(home, "second"))
    made(home, backup)
    restore(backup, tmp_path / "new", PASSPHRASE)
    assert value_in(Home(tmp_path / "new"), "fact") == "second"
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileTaken):
        made(home, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(FileTaken):
        made(home, tmp_path)


def test_nothing_that_is_there_is_replaced_by_a_home(home: Home, tmp_path: Path) -> None:
    backup = made(home, tmp_path / "backup")
    with pytest.raises(HomeTaken):
        restore(backup, home.path, PASSPHRASE)
    (tmp_path / "file").write_text("x")
    with pytest.raises(HomeTaken):
        restore(backup, tmp_path / "file", PASSPHRASE)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(HomeTaken):
        restore(backup, tmp_path / "gone", PASSPHRASE)
    (tmp_path / "empty").mkdir()
    restore(backup, tmp_path / "empty", PASSPHRASE)
    assert Home(tmp_path / "empty").exists


@pytest.mark.parametrize("damage", ["flip", "cut", "passphrase", "longer"])
def test_a_backup_that_is_not_whole_leaves_nothing(home: Home, tmp_path: Path, damage: str) -> None:
    backup = made(home, tmp_path / "backup")
    data = bytearray(backup.read_bytes())
    if damage == "flip":
        data[len(data) - 100] ^= 1
    backup.write_bytes(data[:-1000] if damage == "cut" else data + b"x" if damage == "longer" else data)
    expected = BackupSealed if damage == "passphrase" else BackupDamaged
    with pytest.raises(expected):
        restore(backup, tmp_path / "new", "another one" if damage == "passphrase" else PASSPHRASE)
    assert not (tmp_path / "new").exists()
    assert left_overs(tmp_path) == []


def test_a_home_whose_key_changes_meanwhile(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change_and_copy(source: Path, target: Path) -> None:
        home.identity_json.unlink()
        keystore.create(home.identity_json, bytes(32), None)
        target.write_bytes(b"")

    monkeypatch.setattr(homes, "snapshot", change_and_copy)
    with pytest.raises(HomeChanged):
        made(home, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    assert left_overs(tmp_path) == []


def test_what_an_earlier_crash_left_is_cleared_away(home: Home, tmp_path: Path) -> None:
    (home.path / ".tmp-snapshot-1234").write_bytes(b"half a database")
    made(home, tmp_path / "backup")
    assert left_overs(home.path) == []


# Hostile backups: whoever knows the passphrase can put anything inside


def hostile(tmp_path: Path, *files: tuple[str, bytes], declared: tuple[int, int] | None = None) -> Path:
    """A backup as somebody else might write it: `files` after a manifest that may lie."""
    path = tmp_path / "hostile"
    did = json.loads(identity(tmp_path))["did"]
    count, total = declared or (len(files), sum(len(data) for _, data in files))
    manifest = json.dumps({"format": 1, "did": did, "files": count, "size_bytes": total}).encode()
    with path.open("wb") as file:
        writer = SealedWriter(file, PASSPHRASE, kdf=CHEAP)
        for name, data in (("manifest.json", manifest), *files):
            writer.write(header(name, len(data)) + data + padding_of(len(data)))
        writer.write(END)
        writer.finish()
    return path


def header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def identity(tmp_path: Path) -> bytes:
    path = tmp_path / "theirs.json"
    if not path.exists():
        keystore.create(path, SEED, None)
    return path.read_bytes()


def refused(tmp_path: Path, backup: Path, error: type[PagiError] = BackupUnsafe) -> None:
    with pytest.raises(error):
        restore(backup, tmp_path / "new", PASSPHRASE)
    assert not (tmp_path / "new").exists()
    assert left_overs(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "/escaped",
        "blocks/../../escaped",
        "api-token",
        "lock",
        "logs/x",
        "blocks",
        "other/x",
        "node.db-wal",
    ],
)
def test_a_file_that_is_of_no_home(tmp_path: Path, name: str) -> None:
    refused(tmp_path, hostile(tmp_path, ("identity.json", identity(tmp_path)), (name, b"x")))
    assert not (tmp_path / "escaped").exists()


def test_the_same_file_twice(tmp_path: Path) -> None:
    one = ("identity.json", identity(tmp_path))
    refused(tmp_path, hostile(tmp_path, one, one))


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    files = [("identity.json", identity(tmp_path)), ("plugins/a", b"x"), ("plugins/a/b", b"x")]
    refused(tmp_path, hostile(tmp_path, *files), StorageFailed)


@pytest.mark.parametrize("declared", [(1, 0), (0, 10_000), (3, 10_000), (2, 10_000)])
def test_more_or_less_than_the_manifest_says(tmp_path: Path, declared: tuple[int, int]) -> None:
    files = [("identity.json", identity(tmp_path)), ("config.toml", b"x")]
    refused(tmp_path, hostile(tmp_path, *files, declared=declared))


@pytest.mark.parametrize(
    ("name", "size"), [("config.toml", 2 << 20), ("identity.json", 200_000), ("blocks/a/b", 2 << 20)]
)
def test_a_file_that_is_too_large_for_what_it_is(tmp_path: Path, name: str, size: int) -> None:
    refused(tmp_path, hostile(tmp_path, (name, bytes(size))))


def test_more_than_the_disk_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = hostile(tmp_path, ("identity.json", identity(tmp_path)), ("plugins/large", bytes(5000)))
    monkeypatch.setattr(homes.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 4000})())
    refused(tmp_path, backup, StorageFull)


def test_another_twins_key_or_none(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    keystore.create(other, bytes(32), None)
    refused(tmp_path, hostile(tmp_path, ("identity.json", other.read_bytes())))
    refused(tmp_path, hostile(tmp_path, ("config.toml", b"x")))


def test_a_database_that_is_none(tmp_path: Path) -> None:
    files = (("identity.json", identity(tmp_path)), ("node.db", b"SQLite format 3\0" + bytes(5000)))
    with pytest.raises(PagiError):
        restore(hostile(tmp_path, *files), tmp_path / "new", PASSPHRASE)
    assert not (tmp_path / "new").exists()


# Crashes: the n-th change of the file system is the last


class Crash(BaseException):
    """What no code of ours catches, as a power cut."""


def crashing(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], int]:
    """Let everything that reaches the disk fail from the `step`-th call on; gives how many there were."""
    count = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count >= step:
                raise Crash
            return real(*arguments, **options)

        return call

    for module, name in ((os, "fsync"), (Path, "replace"), (Path, "rename")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return lambda: count


def test_a_crash_while_a_backup_is_made_leaves_the_older_one(home: Home, tmp_path: Path) -> None:
    backup = made(home, tmp_path / "backup")
    for step in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            steps = crashing(patch, step)
            with contextlib.suppress(Crash):
                made(home, backup)
            if steps() < step:
                break
        restore(backup, tmp_path / f"new-{step}", PASSPHRASE)
    assert step > 2


def test_a_crash_while_a_home_is_restored_leaves_a_whole_home_or_none(home: Home, tmp_path: Path) -> None:
    backup = made(home, tmp_path / "backup")
    whole = 0
    for step in range(1, 200):
        target = tmp_path / f"new-{step}"
        with pytest.MonkeyPatch.context() as patch:
            steps = crashing(patch, step)
            with contextlib.suppress(Crash):
                restore(backup, target, PASSPHRASE)
            if steps() < step:
                break
        if target.exists():
            whole += 1
            assert value_in(Home(target), "fact") == "first"
            assert keystore.load(target / "identity.json", lambda: None).keys.seed == SEED
    assert step > 5
    assert whole <= 1
