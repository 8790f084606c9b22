"""Full text: what is found, that free text is never syntax, and that nothing of a deleted text stays in the file."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import fulltext, memories
from storage.connection import connect_writer
from storage.migrate import migrate, shipped_migrations


def keep(conn: sqlite3.Connection, content: str, *, namespace: str = "private", kind: str = "semantic") -> int:
    number = conn.execute("SELECT count(*) FROM memories").fetchone()[0]
    return memories.add_memory(
        conn,
        id=f"{content[:40]} {number}",
        kind=kind,
        content=content,
        namespace=namespace,
        role=None,
        session_id=None,
        tags=(),
        source=None,
        model_id="m",
        vector=b"\0" * 16,
        ts_ms=0,
    )


def found(conn: sqlite3.Connection, query: str) -> list[int]:
    """The rows that hold every term of a query."""
    rows = [set(fulltext.rows_with(conn, term, 500)) for term in fulltext.terms_of(query)]
    return sorted(set.intersection(*rows)) if rows else []


def test_all_words_must_be_there(conn: sqlite3.Connection) -> None:
    bridge = keep(conn, "The harbour bridge was painted green in 1931.")
    keep(conn, "The harbour master paints.")
    assert found(conn, "harbour 1931") == [bridge]
    assert found(conn, "HARBOUR bridge, green!") == [bridge]
    assert found(conn, "bridge red") == []
    assert len(found(conn, "harbour")) == 2


def test_a_phrase_must_stand_as_it_is(conn: sqlite3.Connection) -> None:
    one = keep(conn, "a green bridge")
    keep(conn, "a bridge that is green")
    assert found(conn, '"green bridge"') == [one]
    assert len(found(conn, "green bridge")) == 2
    assert found(conn, 'bridge "a green') == [one, one + 1]  # a quote that is never closed is no phrase


def test_identifiers_and_letters_with_marks_are_found(conn: sqlite3.Connection) -> None:
    code = keep(conn, "The spare part is KX-417/b.")
    keep(conn, "Part 417 of kx.")
    city = keep(conn, "Größe und Łódź, Tromsø, 東京 and Δέλτα")
    assert found(conn, "kx-417/b") == [code]
    assert found(conn, "grosse GROSSE") == []
    assert found(conn, "GRÖßE") == found(conn, "große łodz ΔΈΛΤΑ") == found(conn, "東京") == [city]


def test_the_newest_come_first_and_no_more_than_are_asked_for(conn: sqlite3.Connection) -> None:
    seqs = [keep(conn, f"harbour {number}") for number in range(5)]
    assert fulltext.rows_with(conn, "harbour", 3) == seqs[:1:-1]


def test_a_deleted_text_is_not_found_once_it_was_taken_out(conn: sqlite3.Connection) -> None:
    one = keep(conn, "the old words")
    two = keep(conn, "the new words")
    conn.execute("DELETE FROM memories WHERE seq = ?", (one,))
    assert fulltext.take_out(conn) == 1
    assert fulltext.take_out(conn) == 0
    assert found(conn, "words") == [two]
    conn.execute("INSERT INTO memories_text (memories_text, rank) VALUES ('integrity-check', 1)")


def test_working_memory_is_not_in_it(conn: sqlite3.Connection) -> None:
    one = keep(conn, "what we speak of now", kind="working")
    assert found(conn, "speak") == []
    conn.execute("DELETE FROM memories WHERE seq = ?", (one,))
    assert fulltext.take_out(conn) == 0


@given(st.text() | st.text(alphabet="\"*^():{}-+'\\\0 ANDORTNEARcontent\ud800é中"))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_free_text_is_never_syntax(conn: sqlite3.Connection, text: str) -> None:
    if not conn.execute("SELECT 1 FROM memories").fetchone():
        keep(conn, "some words of a memory")
    found(conn, text)
    for term in fulltext.terms_of(text):
        assert fulltext.rows_with(conn, term, 3) in ([], [1])
    assert len(fulltext.terms_of(text * 200)) <= fulltext.MAX_TERMS


@pytest.mark.parametrize("query", ["harbour OR bridge", "harb*", "content : harbour", "NOT bridge", "harbour ^bridge"])
def test_operators_are_words(conn: sqlite3.Connection, query: str) -> None:
    keep(conn, "harbour")
    keep(conn, "bridge")
    assert found(conn, query) == []


def test_rows_from_before_are_indexed_by_the_migration(tmp_path: Path) -> None:
    conn = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    steps = shipped_migrations()
    migrate(conn, tmp_path / "old.db", steps[:12])
    conn.execute(
        "INSERT INTO memories (id, kind, content, namespace, tags, ts_ms, model_id, dimensions, vector)"
        " VALUES ('a', 'semantic', 'an old harbour', 'private', '[]', 0, 'm', 0, x'')"
    )
    migrate(conn, tmp_path / "old.db", steps)
    assert found(conn, "harbour") == [1]
    conn.close()


WORDS = [f"quokka{number}" for number in range(40)]


def test_nothing_of_a_deleted_text_is_left_in_the_files(tmp_path: Path) -> None:
    """Its words, alone and beside others that stay, are in no file once the index is purged and the log is empty."""
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    migrate(conn, path)
    conn.execute("BEGIN")
    for number in range(400):
        keep(conn, f"note {number} of the {WORDS[number % 40]} and the zebra{number} ")
    conn.execute("COMMIT")
    gone = [7, 200, 391]
    conn.execute("DELETE FROM memories WHERE seq IN (7, 200, 391)")
    assert fulltext.take_out(conn) == 3
    steps = 1
    while not fulltext.purge(conn, first=steps == 1):
        steps += 1
        assert steps < 100
    assert conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert all((f"zebra{seq - 1} ".encode() in held) == (seq not in gone) for seq in range(1, 401))
    # FTS5 writes only the end of a word that begins as the one before it: the bytes of the file do not show all.
    conn.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'memories_text', 'instance')")
    assert {doc for (doc,) in conn.execute("SELECT doc FROM words")} == set(range(1, 401)) - set(gone)
    assert conn.execute("SELECT count(*) FROM words WHERE term = 'zebra6'").fetchone()[0] == 0
    assert found(conn, "zebra8") == [9]
    conn.close()
