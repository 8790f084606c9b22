import sqlite3

from identity.did import Did
from storage import trust

ANNA, BERT = Did("did:key:zAnna"), Did("did:key:zBert")


def test_trust_starts_closed_and_is_replaced_whole(conn: sqlite3.Connection) -> None:
    assert trust.get_trust(conn) == trust.Trust(frozenset(), frozenset(), 1.0, auto_adopt=False)
    wanted = trust.Trust(frozenset([ANNA]), frozenset([BERT]), 0.25, auto_adopt=True)
    trust.put_trust(conn, wanted)
    assert trust.get_trust(conn) == wanted
