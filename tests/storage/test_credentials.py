"""Credentials on disk: one for each id and role, and indexes that are given once."""

import random
import sqlite3

import pytest

from identity.did import Did
from storage import credentials
from storage.credentials import (
    LIST_BITS,
    LIST_FULL,
    get_credential,
    get_status_list,
    list_credentials,
    put_credential,
    reserve_index,
    revoke,
    revoked_indexes,
)
from storage.errors import BadCursor

ADA = Did("did:key:zAda")


def put(conn: sqlite3.Connection, name: str, role: credentials.Role = "issued", **more: object) -> bool:
    values: dict[str, object] = {
        "type": "T",
        "issuer": ADA,
        "subject": None,
        "form": "json",
        "document": b"{}",
        "ts_ms": 5,
    }
    return put_credential(conn, id=name, role=role, **{**values, **more})  # type: ignore[arg-type]


def test_one_of_each_id_in_each_role(conn: sqlite3.Connection) -> None:
    assert put(conn, "a", document=b"1")
    assert not put(conn, "a", document=b"2")
    assert put(conn, "a", "held", subject="did:key:b")
    issued = get_credential(conn, "a")
    assert issued is not None
    assert (issued.role, issued.document, issued.subject) == ("issued", b"1", None)
    held = get_credential(conn, "a", "held")
    assert held is not None
    assert held.subject == "did:key:b"
    assert get_credential(conn, "b") is None


def test_pages_newest_first_by_role_and_type(conn: sqlite3.Connection) -> None:
    for n in range(5):
        put(conn, f"i{n}", type="A" if n % 2 else "B")
        put(conn, f"h{n}", "held")
    first = list_credentials(conn, limit=3, role="issued")
    assert [row.id for row in first.items] == ["i4", "i3", "i2"]
    rest = list_credentials(conn, limit=3, role="issued", after=first.next)
    assert [row.id for row in rest.items] == ["i1", "i0"]
    assert rest.next is None
    assert [row.id for row in list_credentials(conn, limit=9, type="A").items] == ["i3", "i1"]
    assert len(list_credentials(conn, limit=99).items) == 10
    with pytest.raises(BadCursor):
        list_credentials(conn, limit=1, after="x")


def test_indexes_are_random_and_given_once(conn: sqlite3.Connection) -> None:
    picks = iter([7, 7, 7, 3, 7, 3, 9])
    given = [
        reserve_index(conn, issuer=ADA, place="", purpose="revocation", pick=lambda n: next(picks), now_ms=1)
        for _ in range(3)
    ]
    assert given == [(1, 7), (1, 3), (1, 9)]
    found = get_status_list(conn, 1)
    assert found is not None
    assert (found.issuer, found.place, found.purpose) == (ADA, "", "revocation")
    assert get_status_list(conn, 2) is None


def test_each_issuer_and_place_has_lists_of_its_own_and_a_full_one_is_followed(conn: sqlite3.Connection) -> None:
    rng = random.Random(1)

    def reserve(issuer: Did = ADA, place: str = "") -> int:
        pick = rng.randrange
        return reserve_index(conn, issuer=issuer, place=place, purpose="revocation", pick=pick, now_ms=1)[0]

    assert [reserve(), reserve(place="https://a"), reserve(Did("did:key:zB")), reserve()] == [1, 2, 3, 1]
    conn.execute("UPDATE status_lists SET used = ? WHERE n = 1", (LIST_FULL,))
    assert [reserve(), reserve()] == [4, 4]
    assert LIST_FULL * 2 == LIST_BITS


def test_revoking_is_final_and_shows_in_the_list(conn: sqlite3.Connection) -> None:
    put(conn, "a", status_list=1, status_index=40)
    put(conn, "b", status_list=1, status_index=41)
    put(conn, "b", "held", status_list=1, status_index=99)
    assert revoked_indexes(conn, 1) == []
    revoke(conn, "b", 10)
    revoke(conn, "b", 20)
    assert revoked_indexes(conn, 1) == [41]
    row, held = get_credential(conn, "b", "issued"), get_credential(conn, "b", "held")
    assert row is not None
    assert held is not None
    assert (row.revoked_ms, held.revoked_ms) == (10, None)
    assert revoked_indexes(conn, 2) == []
