import stat
from pathlib import Path

import pytest

from storage.errors import StorageFailed
from storage.files import atomic_write


def test_atomic_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    atomic_write(path, b"one" * 1000, 0o644)
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_that_fails_keeps_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(StorageFailed):
        atomic_write(target, b"data")
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(StorageFailed):
        atomic_write(tmp_path / "missing" / "file", b"data")
