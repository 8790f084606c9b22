import sqlite3
from dataclasses import replace

from identity.did import Did
from storage import mediators
from storage.mediators import OwnMediatorRow

RELAY, OTHER = Did("did:key:zRelay"), Did("did:key:zOther")


def test_what_a_mediator_granted_is_kept(conn: sqlite3.Connection) -> None:
    other = OwnMediatorRow(OTHER, "3.0", OTHER, ("https://o.example",), 20, None)
    first = OwnMediatorRow(RELAY, "2.0", RELAY, (), 5, None)
    again = OwnMediatorRow(RELAY, "3.0", Did("did:peer:2.Relay"), ("/ip4/…",), 10, None)
    mediators.put_mediator(conn, other)
    mediators.put_mediator(conn, first)
    mediators.note_pickup(conn, RELAY, 7)
    mediators.put_mediator(conn, again)
    assert mediators.own_mediators(conn) == [replace(again, picked_up_ms=7), other]
    mediators.drop_mediator(conn, RELAY)
    mediators.drop_mediator(conn, RELAY)
    assert [row.did for row in mediators.own_mediators(conn)] == [OTHER]
