import sqlite3
from collections.abc import Collection, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import Did
from storage import gossip
from storage.migrate import shipped_migrations

ANNA, BERT = Did("did:key:zAnna"), Did("did:key:zBert")


def fresh() -> sqlite3.Connection:
    """The schema in memory, since most of these tests make many rows or run many times."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    for step in shipped_migrations():
        conn.executescript(step.sql)
    return conn


@pytest.fixture
def memory_conn() -> Iterator[sqlite3.Connection]:
    conn = fresh()
    yield conn
    conn.close()


def keep(
    conn: sqlite3.Connection,
    text: str,
    author: Did = ANNA,
    subject: str = "s",
    created_time: int = 1,
    spare: Collection[Did] = (),
) -> bool:
    return gossip.keep_latest(
        conn,
        type="online",
        author=author,
        subject=subject,
        message_id=text,
        created_time=created_time,
        signed=text.encode(),
        spare=spare,
    )


def test_only_the_newest_of_a_subject_is_kept_under_a_new_cursor(conn: sqlite3.Connection) -> None:
    assert keep(conn, "old", created_time=5)
    assert keep(conn, "other", BERT)
    assert keep(conn, "new", created_time=6)
    assert not keep(conn, "old", created_time=5)
    assert not keep(conn, "new", created_time=6)
    assert gossip.since(conn, 0, 10) == [(2, b"other"), (3, b"new")]
    assert gossip.since(conn, 2, 10) == [(3, b"new")]
    assert gossip.since(conn, 0, 1) == [(2, b"other")]


def test_a_cursor_is_never_given_again(conn: sqlite3.Connection) -> None:
    assert gossip.newest_cursor(conn) == 0
    keep(conn, "a")
    conn.execute("DELETE FROM gossip")
    assert gossip.newest_cursor(conn) == 1
    keep(conn, "b")
    assert gossip.since(conn, 0, 10) == [(2, b"b")]


def test_one_author_has_bounded_room_and_takes_nobody_elses(memory_conn: sqlite3.Connection) -> None:
    keep(memory_conn, "bert", BERT)
    for number in range(gossip.MAX_ROWS_PER_AUTHOR + 3):
        assert keep(memory_conn, f"m{number}", subject=f"s{number}")
    kept = [signed for _, signed in gossip.since(memory_conn, 0, 1000)]
    assert kept[0] == b"bert"
    assert kept[1:] == [b"m%d" % number for number in range(3, gossip.MAX_ROWS_PER_AUTHOR + 3)]


def test_the_whole_is_bounded_and_the_oldest_go(
    memory_conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "MAX_ROWS", 10)
    for number in range(15):
        assert keep(memory_conn, f"m{number}", Did(f"did:key:z{number}"))
    assert [signed for _, signed in gossip.since(memory_conn, 0, 100)] == [b"m%d" % number for number in range(5, 15)]
    assert memory_conn.execute("SELECT rows FROM row_counts WHERE name = 'gossip'").fetchone()[0] == 10


def test_those_who_are_spared_go_last(memory_conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip, "MAX_ROWS", 3)
    keep(memory_conn, "anna", ANNA)
    keep(memory_conn, "bert", BERT)
    for number in range(9):
        keep(memory_conn, f"m{number}", Did(f"did:key:z{number}"), spare=[ANNA, BERT])
    assert [signed for _, signed in gossip.since(memory_conn, 0, 9)] == [b"anna", b"bert", b"m8"]
    for number in range(3):
        keep(memory_conn, f"a{number}", ANNA, subject=f"{number}", spare=[ANNA, BERT])
    assert [signed for _, signed in gossip.since(memory_conn, 0, 9)] == [b"a0", b"a1", b"a2"]


@given(st.permutations([(time, name) for time in (1, 2) for name in ("a", "b", "c")]))
def test_whatever_the_order_of_arrival_all_nodes_keep_the_same(arrivals: list[tuple[int, str]]) -> None:
    conn = fresh()
    for time, name in arrivals:
        keep(conn, name, created_time=time)
    assert [signed for _, signed in gossip.since(conn, 0, 10)] == [b"c"]
    assert conn.execute("SELECT created_time FROM gossip").fetchall() == [(2,)]
    conn.close()


def test_what_is_dropped_is_held_no_more_and_anything_is_newer(conn: sqlite3.Connection) -> None:
    place = {"type": "news", "author": Did("did:key:zAnna"), "subject": "x"}

    def keep(created_time: int) -> bool:
        return gossip.keep_latest(conn, message_id="1", created_time=created_time, signed=b"{}", **place)

    assert gossip.created_time_of(conn, **place) is None
    assert keep(9)
    assert gossip.created_time_of(conn, **place) == 9
    assert not keep(8)
    gossip.drop(conn, **place)
    assert gossip.created_time_of(conn, **place) is None
    assert gossip.since(conn, 0, 9) == []
    assert keep(8)
