"""What was deleted is not in the database's files: the log is cut, the file is looked through, and written anew."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import leftovers
from storage.connection import connect_writer
from storage.errors import DatabaseLocked

TEXT = "The safe behind the Vermeer opens with heliotrope"


def test_a_text_is_found_wherever_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for before in (0, 1, 7, 8, 13, 4093):
        path.write_bytes(b"\0" * before + TEXT.encode()[: leftovers.NEEDLE_BYTES] + b"\0" * 5)
        assert leftovers.left_in(path, ["another text", TEXT])
        assert not leftovers.left_in(path, ["The safe behind the Vermeer shuts"])
    assert not leftovers.left_in(path, ["short", ""])
    assert not leftovers.left_in(path, [])


def test_a_text_across_two_reads_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_CHUNK_BYTES", 64)
    path = tmp_path / "file"
    for before in range(40, 80):
        path.write_bytes(b"x" * before + TEXT.encode() + b"y" * 100)
        assert leftovers.left_in(path, [TEXT])


@given(st.binary(max_size=200), st.text(min_size=8, max_size=40), st.booleans())
def test_it_finds_what_is_there_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, text: str, put: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "leftovers"
    needle = text.encode()[: leftovers.NEEDLE_BYTES]
    path.write_bytes(data + (needle if put else b"") + data)
    assert leftovers.left_in(path, [text]) is (needle in path.read_bytes())


def test_the_log_is_cut_and_the_file_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    conn.execute("CREATE TABLE t (x TEXT)")
    conn.execute("PRAGMA secure_delete=OFF")  # so that something is left to take away
    conn.execute("INSERT INTO t VALUES (?)", (TEXT,))
    conn.execute("DELETE FROM t")
    leftovers.empty_log(conn)
    assert path.with_name("node.db-wal").stat().st_size == 0
    assert leftovers.left_in(path, [TEXT])
    leftovers.write_anew(conn)
    assert not leftovers.left_in(path, [TEXT])
    assert path.with_name("node.db-wal").stat().st_size == 0
    conn.close()


def test_what_is_deleted_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    conn.execute("CREATE TABLE t (x TEXT)")
    conn.execute("INSERT INTO t VALUES (?)", (TEXT,))
    conn.execute("DELETE FROM t")
    leftovers.empty_log(conn)
    assert not leftovers.left_in(path, [TEXT])
    conn.close()


def test_a_reader_in_another_process_keeps_the_log(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    conn.execute("PRAGMA busy_timeout=1")
    conn.execute("CREATE TABLE t (x TEXT)")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM t").fetchall()
    conn.execute("INSERT INTO t VALUES (?)", (TEXT,))
    with pytest.raises(DatabaseLocked):
        leftovers.empty_log(conn)
    reader.close()
    leftovers.empty_log(conn)
    conn.close()
