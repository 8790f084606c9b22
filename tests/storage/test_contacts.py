import sqlite3

import pytest

from identity.did import Did
from storage import contacts

ANNA, BERT = Did("did:key:zAnna"), Did("did:key:zBert")


def put(conn: sqlite3.Connection, did: Did, name: str | None, updated_ms: int = 1, services: str = "[]") -> None:
    contacts.put_contact(conn, did, services=services, name=name, source="invitation", updated_ms=updated_ms)


def test_what_is_told_last_counts_and_a_name_stays(conn: sqlite3.Connection) -> None:
    put(conn, ANNA, "Anna")
    put(conn, ANNA, None, 2, '[{"uri": "https://anna.example"}]')
    contact = contacts.get_contact(conn, ANNA)
    assert contact == contacts.Contact(ANNA, "Anna", '[{"uri": "https://anna.example"}]', "invitation", 2)
    assert contacts.get_contact(conn, BERT) is None


def test_a_contact_can_be_forgotten(conn: sqlite3.Connection) -> None:
    put(conn, ANNA, "Anna")
    contacts.remove_contact(conn, BERT)
    contacts.remove_contact(conn, ANNA)
    assert contacts.get_contact(conn, ANNA) is None


def test_where_room_is_short_the_oldest_goes_and_never_the_one_that_comes(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "MAX_CONTACTS", 2)
    put(conn, ANNA, None, 5)
    put(conn, BERT, None, 4)
    carl = Did("did:key:zCarl")
    put(conn, carl, None, 1)
    put(conn, ANNA, None, 6)
    kept = {row[0] for row in conn.execute("SELECT did FROM contacts")}
    assert kept == {ANNA, BERT}
    put(conn, carl, None, 9)
    assert {row[0] for row in conn.execute("SELECT did FROM contacts")} == {ANNA, carl}
