import sqlite3

import pytest

from identity.did import Did
from storage import twins

ANNA, BERT = Did("did:key:zAnna"), Did("did:key:zBert")


def test_a_twin_is_what_it_said_last(conn: sqlite3.Connection) -> None:
    twins.upsert_twin(conn, ANNA, "Anna", ["/ip4/127.0.0.1/tcp/1"], ["ask"], ["bees"], 10, True)
    twins.upsert_twin(conn, ANNA, "Änna", [], ["ask", "plan"], [], 9, False)
    assert twins.get_twin(conn, ANNA) == twins.TwinRow(ANNA, "Änna", (), ("ask", "plan"), (), 10, False)
    assert twins.get_twin(conn, BERT) is None
    assert twins.set_online(conn, ANNA, True, 12)
    assert not twins.set_online(conn, BERT, True, 12)
    found = twins.get_twin(conn, ANNA)
    assert found is not None
    assert (found.online, found.last_seen_ms) == (True, 12)


def test_twins_page_by_did_and_the_longest_unseen_go(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "MAX_TWINS", 3)
    for number, seen in enumerate([50, 10, 40, 30, 20]):
        twins.upsert_twin(conn, Did(f"did:key:z{number}"), "", [], [], [], seen, True)
    page = twins.list_twins(conn, limit=2)
    assert [twin.did for twin in page.items] == ["did:key:z0", "did:key:z2"]
    page = twins.list_twins(conn, limit=2, after=page.next)
    assert [twin.did for twin in page.items] == ["did:key:z4"]  # the newcomer stays, though it was seen long ago
    assert page.next is None


def test_twins_that_are_spared_go_last(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "MAX_TWINS", 2)
    twins.upsert_twin(conn, ANNA, "", [], [], [], 1, False)
    for number in range(5):
        twins.upsert_twin(conn, Did(f"did:key:z{number}"), "", [], [], [], 90 + number, True, spare=[ANNA])
    assert [twin.did for twin in twins.list_twins(conn, limit=9).items] == ["did:key:z4", ANNA]
    twins.upsert_twin(conn, BERT, "", [], [], [], 2, True, spare=[ANNA, BERT])
    twins.upsert_twin(conn, Did("did:key:zz"), "", [], [], [], 3, True, spare=[ANNA, BERT])
    assert [twin.did for twin in twins.list_twins(conn, limit=9).items] == [BERT, "did:key:zz"]
