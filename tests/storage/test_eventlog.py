import hashlib
import json
import sqlite3
import struct

import pytest

from storage import eventlog
from storage.errors import ChainBroken


def add(conn: sqlite3.Connection, number: int, event_type: str = "tick", source: str = "test") -> int:
    return eventlog.append(
        conn,
        id=f"event-{number}",
        event_type=event_type,
        ts_ms=1000 + number,
        twin_id="did:key:zMe",
        subject=None if number % 2 else "subject",
        source=source,
        trace_id=None,
        payload=json.dumps({"number": number}).encode(),
    )


@pytest.fixture
def log(conn: sqlite3.Connection) -> sqlite3.Connection:
    for number in range(1, 11):
        assert add(conn, number) == number
    return conn


def test_a_sound_log_verifies(conn: sqlite3.Connection) -> None:
    assert eventlog.verify_chain(conn) == 0
    add(conn, 1)
    add(conn, 2)
    assert eventlog.verify_chain(conn) == 2


def test_the_hash_is_the_documented_one(conn: sqlite3.Connection) -> None:
    add(conn, 1)

    def field(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    null = b"\xff\xff\xff\xff"
    serialised = (field(b"1") + field(b"event-1") + field(b"tick") + field(b"1001") + field(b"did:key:zMe") + null) + (
        field(b"test") + null + field(b'{"number": 1}')
    )
    stored = conn.execute("SELECT hash FROM event_log").fetchone()[0]
    assert stored == hashlib.sha256(bytes(32) + serialised).digest()


def test_an_event_that_comes_again_is_not_added_again(log: sqlite3.Connection) -> None:
    assert add(log, 3) == 3
    assert eventlog.verify_chain(log) == 10


@pytest.mark.parametrize(
    ("damage", "seq"),
    [
        ("UPDATE event_log SET payload = CAST('{}' AS BLOB) WHERE seq = 4", 4),
        ("UPDATE event_log SET event_type = 'tock' WHERE seq = 1", 1),
        ("UPDATE event_log SET subject = '' WHERE seq = 5", 5),
        ("UPDATE event_log SET ts_ms = 0 WHERE seq = 10", 10),
        ("UPDATE event_log SET id = 'event-', event_type = '7tick' WHERE seq = 7", 7),
        ("UPDATE event_log SET hash = zeroblob(32) WHERE seq = 6", 6),
        ("DELETE FROM event_log WHERE seq = 3", 3),
        ("DELETE FROM event_log WHERE seq = 1", 1),
        ("DELETE FROM event_log WHERE seq > 8", 9),
        ("DELETE FROM event_log", 1),
        ("UPDATE event_log SET seq = 11 WHERE seq = 10", 10),
        ("UPDATE event_log_head SET seq = 9", 11),
    ],
)
def test_every_change_shows_where_it_is(log: sqlite3.Connection, damage: str, seq: int) -> None:
    assert log.execute(damage).rowcount
    with pytest.raises(ChainBroken, match=f"entry {seq}$") as caught:
        eventlog.verify_chain(log)
    assert caught.value.seq == seq


def test_swapping_two_events_shows(log: sqlite3.Connection) -> None:
    log.execute("UPDATE event_log SET seq = -1 WHERE seq = 4")
    log.execute("UPDATE event_log SET seq = 4 WHERE seq = 5")
    log.execute("UPDATE event_log SET seq = 5 WHERE seq = -1")
    with pytest.raises(ChainBroken) as caught:
        eventlog.verify_chain(log)
    assert caught.value.seq == 4


def test_reading_pages_in_order_and_filters(log: sqlite3.Connection) -> None:
    add(log, 11, "tock", "other")
    page = eventlog.read_log(log, limit=4)
    assert [entry.seq for entry in page.items] == [1, 2, 3, 4]
    page = eventlog.read_log(log, limit=100, after=page.next)
    assert [entry.seq for entry in page.items] == list(range(5, 12))
    assert page.next is None
    (entry,) = eventlog.read_log(log, limit=9, event_type="tock", source="other", twin_id="did:key:zMe").items
    assert entry == eventlog.LogEntry(
        11, "event-11", "tock", 1011, "did:key:zMe", None, "other", None, b'{"number": 11}'
    )
    assert eventlog.read_log(log, limit=9, event_type="tock", source="test").items == ()
