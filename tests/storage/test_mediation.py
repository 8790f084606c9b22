"""The mediator's clients and queues: nothing leaves but by its owner's word or by age, and everything is bounded."""

import sqlite3
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from identity.did import Did
from storage import mediation
from storage.mediation import CLIENT_KEPT_MS, CLIENT_SAFE_MS, MESSAGE_KEPT_MS, ROW_BYTES, Waiting
from storage.migrate import shipped_migrations

ANNA, BERT, ALIAS = Did("did:key:zAnna"), Did("did:key:zBert"), Did("did:peer:2.Anna")
PLENTY = 1 << 30
NOW = 1_800_000_000_000


def client(conn: sqlite3.Connection, did: Did, *, now_ms: int = NOW) -> int:
    row = mediation.put_client(conn, did, "3.0", now_ms)
    assert row is not None
    mediation.add_key(conn, row.client, did)
    return row.client


def put(conn: sqlite3.Connection, recipient: Did, packed: bytes, *, now_ms: int = NOW, room: int = PLENTY) -> str:
    return mediation.put_message(conn, recipient, packed, now_ms=now_ms, max_bytes=room)[0]


def texts(conn: sqlite3.Connection, one: int, **bounds: int) -> list[bytes]:
    given = {"limit": 100, "max_bytes": PLENTY, **bounds}
    return [row.packed for row in mediation.waiting(conn, one, **given)]


def test_a_client_is_taken_once_and_remembers_when_it_came(conn: sqlite3.Connection) -> None:
    first = mediation.put_client(conn, ANNA, "2.0", 10)
    assert first is not None
    again = mediation.put_client(conn, ANNA, "3.0", 20)
    assert again == mediation.ClientRow(first.client, ANNA, "3.0", 10, 20, 0, 0)
    mediation.touch_client(conn, first.client, 15)
    assert mediation.get_client(conn, ANNA) == again
    assert mediation.get_client(conn, BERT) is None


def test_a_did_belongs_to_one_client(conn: sqlite3.Connection) -> None:
    anna, bert = client(conn, ANNA), client(conn, BERT)
    assert mediation.add_key(conn, anna, ALIAS) == "success"
    assert mediation.add_key(conn, anna, ALIAS) == "no_change"
    assert mediation.add_key(conn, bert, ALIAS) == "client_error"
    assert mediation.remove_key(conn, bert, ALIAS) == "no_change"
    assert mediation.keys_of(conn, anna) == [ANNA, ALIAS]
    assert put(conn, ALIAS, b"for the alias") == "queued"
    assert mediation.remove_key(conn, anna, ALIAS) == "success"
    assert put(conn, ALIAS, b"later") == "unknown"
    assert texts(conn, anna) == [b"for the alias"]


def test_a_client_has_only_so_many_dids(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediation, "MAX_KEYS", 2)
    anna = client(conn, ANNA)
    assert mediation.add_key(conn, anna, ALIAS) == "success"
    assert mediation.add_key(conn, anna, BERT) == "client_error"


def test_messages_wait_in_order_until_their_owner_confirms_them(conn: sqlite3.Connection) -> None:
    anna, bert = client(conn, ANNA), client(conn, BERT)
    for number in range(5):
        assert put(conn, ANNA, b"%d" % number, now_ms=NOW + number) == "queued"
    assert put(conn, BERT, b"for Bert") == "queued"
    assert texts(conn, anna, limit=3) == [b"0", b"1", b"2"]
    assert texts(conn, anna, limit=3) == [b"0", b"1", b"2"]  # being handed over changes nothing
    assert mediation.count_waiting(conn, anna) == Waiting(5, 5, NOW, NOW + 4)
    rows = mediation.waiting(conn, anna, limit=100, max_bytes=PLENTY)
    assert texts(conn, anna, after=rows[2].seq) == [b"3", b"4"]
    berts = mediation.waiting(conn, bert, limit=1, max_bytes=PLENTY)[0].id
    assert mediation.confirm(conn, anna, [rows[0].id, rows[2].id, berts, "no such id"]) == 2
    assert mediation.confirm(conn, anna, [rows[0].id]) == 0
    assert texts(conn, anna) == [b"1", b"3", b"4"]
    assert texts(conn, bert) == [b"for Bert"]


def test_messages_of_one_of_its_dids(conn: sqlite3.Connection) -> None:
    anna = client(conn, ANNA)
    mediation.add_key(conn, anna, ALIAS)
    put(conn, ANNA, b"to Anna")
    put(conn, ALIAS, b"to the alias")
    rows = mediation.waiting(conn, anna, limit=9, max_bytes=PLENTY, recipient=ALIAS)
    assert [row.packed for row in rows] == [b"to the alias"]
    assert mediation.count_waiting(conn, anna, ALIAS).messages == 1
    assert mediation.count_waiting(conn, anna, BERT) == Waiting(0, 0, None, None)


def test_a_batch_is_bounded_in_bytes_and_never_empty(conn: sqlite3.Connection) -> None:
    anna = client(conn, ANNA)
    for number in range(3):
        put(conn, ANNA, b"%d" % number * 100)
    assert len(texts(conn, anna, max_bytes=200)) == 2
    assert len(texts(conn, anna, max_bytes=1)) == 1


def test_the_same_bytes_again_are_the_same_message(conn: sqlite3.Connection) -> None:
    anna = client(conn, ANNA)
    client(conn, BERT)
    assert [put(conn, ANNA, b"one"), put(conn, ANNA, b"one"), put(conn, BERT, b"one")] == ["queued", "again", "queued"]
    assert len(texts(conn, anna)) == 1


def test_nobody_gets_more_than_a_share(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediation, "MAX_MESSAGES", 3)
    anna = client(conn, ANNA)
    assert [put(conn, ANNA, b"%d" % number) for number in range(4)] == ["queued"] * 3 + ["full"]
    assert put(conn, ANNA, b"0") == "again"  # what is here already is here, full or not
    mediation.confirm(conn, anna, [mediation.waiting(conn, anna, limit=1, max_bytes=9)[0].id])
    assert put(conn, ANNA, b"next") == "queued"
    monkeypatch.setattr(mediation, "MAX_BYTES", ROW_BYTES * 2)
    client(conn, BERT)
    assert put(conn, BERT, b"x" * 500) == "queued"
    assert put(conn, BERT, b"y" * 500) == "full"


def test_however_many_fill_their_queues_there_is_room_for_one_more(conn: sqlite3.Connection) -> None:
    room = 400 * (ROW_BYTES + 100)
    for greedy in range(40):
        did = Did(f"did:key:zGreedy{greedy}")
        client(conn, did)
        while put(conn, did, b"%50d%50d" % (greedy, mediation.bytes_waiting(conn)), room=room) == "queued":
            pass
    assert mediation.bytes_waiting(conn) < room
    client(conn, ANNA)
    assert put(conn, ANNA, b"x" * 100, room=room) == "queued"
    assert put(conn, ANNA, b"y" * 100, room=room) == "queued"
    assert put(conn, ANNA, b"z" * room, room=room) == "full"


def test_where_all_places_are_taken_only_who_stayed_away_makes_room(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mediation, "MAX_CLIENTS", 2)
    client(conn, ANNA, now_ms=NOW)
    client(conn, BERT, now_ms=NOW + 1)
    other = Did("did:key:zOther")
    assert mediation.put_client(conn, other, "3.0", NOW + CLIENT_SAFE_MS) is None
    put(conn, ANNA, b"mail keeps its place")
    assert mediation.put_client(conn, other, "3.0", NOW + 2 + CLIENT_SAFE_MS) is not None
    assert mediation.get_client(conn, ANNA) is not None
    assert mediation.get_client(conn, BERT) is None
    assert put(conn, BERT, b"nobody's now") == "unknown"


def test_old_messages_go_first_and_then_those_who_never_came(conn: sqlite3.Connection) -> None:
    anna = client(conn, ANNA)
    client(conn, BERT, now_ms=NOW + CLIENT_KEPT_MS)
    last = NOW + CLIENT_KEPT_MS
    put(conn, ANNA, b"old", now_ms=last - MESSAGE_KEPT_MS - 1)
    put(conn, ANNA, b"young", now_ms=last - MESSAGE_KEPT_MS)
    assert mediation.sweep(conn, last) == (1, 0)
    assert texts(conn, anna) == [b"young"]
    assert mediation.sweep(conn, last + 1) == (1, 1)
    assert mediation.get_client(conn, ANNA) is None
    assert mediation.get_client(conn, BERT) is not None
    assert put(conn, ANNA, b"x") == "unknown"
    assert mediation.bytes_waiting(conn) == 0


def test_a_successor_has_the_dids_and_the_mail(conn: sqlite3.Connection) -> None:
    anna = client(conn, ANNA)
    put(conn, ANNA, b"first")
    assert mediation.succeed(conn, ANNA, BERT, NOW)  # Bert was no client yet: Anna's place is his
    assert mediation.get_client(conn, ANNA) is None
    assert put(conn, ANNA, b"second") == "queued"
    assert texts(conn, anna) == [b"first", b"second"]
    third = Did("did:key:zThird")
    put(conn, ANNA, b"both")
    other = client(conn, third)
    put(conn, third, b"both")
    assert mediation.succeed(conn, BERT, third, NOW)
    assert mediation.keys_of(conn, other) == [ANNA, third]
    assert sorted(texts(conn, other)) == [b"both", b"first", b"second"]
    waiting = mediation.count_waiting(conn, other)
    assert (waiting.messages, waiting.bytes) == (3, len(b"bothfirstsecond"))
    assert mediation.bytes_waiting(conn) == waiting.bytes + 3 * ROW_BYTES
    assert not mediation.succeed(conn, BERT, third, NOW)


def test_a_sweep_is_done_in_steps(conn: sqlite3.Connection) -> None:
    client(conn, ANNA)
    for number in range(5):
        put(conn, ANNA, b"%d" % number)
    later = NOW + MESSAGE_KEPT_MS + 1
    assert [mediation.sweep(conn, later, limit=2)[0] for _ in range(4)] == [2, 2, 1, 0]


class Books(RuleBasedStateMachine):
    """Whatever comes and goes: the counts by which quotas are held are those of the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.conn = sqlite3.connect(":memory:", isolation_level=None)
        self.conn.execute("PRAGMA foreign_keys=ON")
        for step in shipped_migrations():
            self.conn.executescript(step.sql)
        self.now = NOW

    def teardown(self) -> None:
        self.conn.close()

    @rule(did=st.sampled_from([ANNA, BERT]))
    def comes(self, did: Did) -> None:
        client(self.conn, did, now_ms=self.now)

    @rule(did=st.sampled_from([ANNA, BERT]), packed=st.binary(max_size=6))
    def sends(self, did: Did, packed: bytes) -> None:
        put(self.conn, did, packed, now_ms=self.now, room=40 * ROW_BYTES)

    @rule(did=st.sampled_from([ANNA, BERT]), count=st.integers(1, 3))
    def fetches(self, did: Did, count: int) -> None:
        if row := mediation.get_client(self.conn, did):
            rows = mediation.waiting(self.conn, row.client, limit=count, max_bytes=PLENTY)
            assert mediation.confirm(self.conn, row.client, [one.id for one in rows]) == len(rows)

    @rule(days=st.integers(0, 31))
    def time_passes(self, days: int) -> None:
        self.now += days * 86_400_000
        mediation.sweep(self.conn, self.now)

    @invariant()
    def the_counts_are_those_of_the_rows(self) -> None:
        rows = Counter[int]()
        for one, size in self.conn.execute("SELECT client, length(packed) FROM mediation_queue"):
            rows[one] += size + ROW_BYTES
        held = dict(self.conn.execute("SELECT client, bytes FROM mediation_clients WHERE messages > 0"))
        assert held == dict(rows)
        assert mediation.bytes_waiting(self.conn) == rows.total()
        clients = self.conn.execute("SELECT count(*) FROM mediation_clients").fetchone()[0]
        assert (
            self.conn.execute("SELECT rows FROM row_counts WHERE name = 'mediation_clients'").fetchone()[0] == clients
        )


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
