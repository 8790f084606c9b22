"""Snapshots: what comes back, what is odd, what is forgotten, and a process that is killed while it writes."""

import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.errors import StorageFailed, StorageFull
from storage.vectors.index import VectorIndex
from storage.vectors.snapshot import FILE_NAME, Snapshots
from tests.storage.vectors.made import D, clustered

N = 4000
ROWS = clustered(N)
QUERIES = clustered(20, seed=2)
HERE = np.arange(N, dtype=np.int32) % 10
"""Every row is there, in the group of its last decimal digit."""

CHILD = Path(__file__).with_name("snapshot_child.py")


@pytest.fixture(scope="module")
def index() -> VectorIndex:
    made = VectorIndex(D, exact_most=2000)
    made.add(range(N), ROWS, HERE.tolist())
    made.build()
    made.remove([11])
    return made


@pytest.fixture
def snapshots(tmp_path: Path, index: VectorIndex) -> Snapshots:
    """A folder with a sound snapshot of the index."""
    made = Snapshots(tmp_path)
    assert made.write(index, stamp="stamp", model_id="model", last_seq=N)
    return made


def read(snapshots: Snapshots, group_of: NDArray[np.int32] = HERE, **changes: object) -> VectorIndex | None:
    wanted: dict[str, object] = {"stamp": "stamp", "model_id": "model", "last_seq": N, "dimensions": D} | changes
    index = VectorIndex(int(str(wanted.pop("dimensions"))))
    return index if snapshots.read(index, group_of=group_of, **wanted) else None  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_comes_back(index: VectorIndex, snapshots: Snapshots) -> None:
    again = read(snapshots)
    assert again is not None
    assert len(again) == len(index) == N - 1
    assert again.made_for == index.made_for
    for query in QUERIES:
        assert [one for one, _ in again.search(query, 10)] == [one for one, _ in index.search(query, 10)]
        assert again.search(query, 10, groups=[3]) == index.search(query, 10, groups=[3])
    again.add([N], QUERIES[:1])
    assert again.search(QUERIES[0], 1)[0][0] == N
    assert snapshots.path.stat().st_mode & 0o777 == 0o600


def test_what_the_database_does_not_have_stays_out(snapshots: Snapshots) -> None:
    there = HERE.copy()
    there[[5, 6]] = -1
    there[7] = 55
    again = read(snapshots, there[: N - 10])
    assert again is not None
    assert len(again) == N - 1 - 2 - 10
    assert not {5, 6, N - 1} & {one for one, _ in again.search(ROWS[5], N)}
    assert [one for one, _ in again.search(ROWS[5], N, groups=[55])] == [7]


def cut(path: Path, size_bytes: int) -> None:
    os.truncate(path, size_bytes)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(os.urandom(500)),
        lambda path: cut(path, 10),
        lambda path: cut(path, path.stat().st_size // 2),
        lambda path: cut(path, path.stat().st_size - 1),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: flip(path, 2),
        lambda path: flip(path, 6),
        lambda path: flip(path, 5000),
        lambda path: flip(path, path.stat().st_size // 2),
        lambda path: flip(path, path.stat().st_size - 40),
        lambda path: flip(path, path.stat().st_size - 1),
    ],
)
def test_a_damaged_one_does_not_count(
    snapshots: Snapshots, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(snapshots.path)
    with caplog.at_level(logging.WARNING):
        assert read(snapshots) is None
    assert "does not count" in caplog.text
    assert not snapshots.path.exists()
    assert read(snapshots) is None  # and none at all is no news


@pytest.mark.parametrize(
    "changes", [{"stamp": "another"}, {"stamp": None}, {"model_id": "another"}, {"dimensions": 64}, {"last_seq": N - 1}]
)
def test_one_of_another_model_or_database_does_not_count(snapshots: Snapshots, changes: dict[str, object]) -> None:
    assert read(snapshots, **changes) is None
    assert not snapshots.path.exists()


def test_an_exact_index_has_none(tmp_path: Path) -> None:
    small = VectorIndex(D)
    small.add([1], ROWS[:1])
    assert not Snapshots(tmp_path).write(small, stamp="stamp", model_id="model", last_seq=1)
    assert names(tmp_path) == []


def test_a_newer_one_takes_its_place_whole(index: VectorIndex, snapshots: Snapshots) -> None:
    assert snapshots.write(index, stamp="stamp", model_id="model", last_seq=N + 5)
    assert names(snapshots.path.parent) == [FILE_NAME]
    assert read(snapshots, last_seq=N + 5) is not None


def test_nothing_is_kept_while_something_is_forgotten(index: VectorIndex, snapshots: Snapshots) -> None:
    with snapshots.nothing_kept():
        assert names(snapshots.path.parent) == []
        assert not snapshots.write(index, stamp="stamp", model_id="model", last_seq=N)
        assert names(snapshots.path.parent) == []
    assert snapshots.write(index, stamp="stamp", model_id="model", last_seq=N)


@pytest.mark.parametrize("step", range(2))
def test_one_that_is_being_written_is_given_up_when_something_is_forgotten(
    index: VectorIndex, tmp_path: Path, step: int
) -> None:
    snapshots = Snapshots(tmp_path)
    stops = iter(range(9))

    def forget_meanwhile() -> bool:
        if next(stops) == step:
            assert len(names(tmp_path)) == 1
            with snapshots.nothing_kept():
                assert names(tmp_path) == []
        return False

    written = snapshots.write(index, stamp="stamp", model_id="model", last_seq=N, stop=forget_meanwhile)
    assert written == (step == 1)  # this index is one piece: it asks once
    assert names(tmp_path) == ([FILE_NAME] if written else [])


def test_one_that_is_stopped_leaves_the_old_one(index: VectorIndex, snapshots: Snapshots) -> None:
    before = snapshots.path.read_bytes()
    assert not snapshots.write(index, stamp="stamp", model_id="model", last_seq=N + 1, stop=lambda: True)
    assert names(snapshots.path.parent) == [FILE_NAME]
    assert snapshots.path.read_bytes() == before


def test_searches_and_changes_go_on_while_one_is_written(tmp_path: Path) -> None:
    index = VectorIndex(D, exact_most=2000)
    index.add(range(N), ROWS)
    index.build()
    snapshots = Snapshots(tmp_path)
    seen: list[int] = []

    def use() -> bool:
        thread = threading.Thread(target=lambda: seen.append(index.search(ROWS[9], 1)[0][0]))
        thread.start()
        thread.join()
        index.add([N], QUERIES[:1])
        return False

    assert snapshots.write(index, stamp="stamp", model_id="model", last_seq=N, stop=use)
    assert seen == [9]
    again = read(snapshots, np.zeros(N + 1, np.int32))
    assert again is not None
    assert again.absent(np.arange(N + 1)).tolist() == [N]


def test_a_full_disk_leaves_nothing_behind(index: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("storage.vectors.snapshot.os.fsync", full)
    with pytest.raises(StorageFull):
        Snapshots(tmp_path).write(index, stamp="stamp", model_id="model", last_seq=N)
    assert names(tmp_path) == []
    with pytest.raises(StorageFailed):
        Snapshots(tmp_path / "gone").write(index, stamp="stamp", model_id="model", last_seq=N)


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_writes_leaves_a_sound_one_or_none(tmp_path: Path) -> None:
    """SIGKILL at any moment: what is read back is whole, and the next start removes what was half-written."""
    pauses = random.Random(7)
    torn = 0
    for _ in range(8):
        child = subprocess.Popen([sys.executable, str(CHILD), str(tmp_path)], stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"written\n"
            for _ in range(pauses.randrange(4)):
                child.stdout.readline()
            while not any(name.startswith(".tmp-") for name in names(tmp_path)) and pauses.random() < 0.999:
                pass
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.communicate()
        torn += any(name.startswith(".tmp-") for name in names(tmp_path))
        snapshots = Snapshots(tmp_path)
        snapshots.clear()
        assert names(tmp_path) == [FILE_NAME]
        index = VectorIndex(D)
        assert snapshots.read(
            index, stamp="stamp", model_id="model", last_seq=20_000, group_of=np.zeros(20_000, np.int32)
        )
        assert len(index) == 20_000
    assert torn > 0  # else this showed nothing
