import sqlite3

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_RAW
from storage import revisions

ANNA = Did("did:key:zAnna")


def cid(number: int) -> Cid:
    return Cid.of(CODEC_RAW, bytes([number]))


def put_revision(conn: sqlite3.Connection, number: int, height: int, status: revisions.RevisionStatus) -> bool:
    return revisions.put(
        conn,
        cid=cid(number),
        payload_cid=cid(number + 100),
        playbook="main",
        author=ANNA,
        height=height,
        ts_ms=1,
        critique="why",
        status=status,
        reason=None,
        updated_ms=2,
    )


def test_a_revision_keeps_the_status_that_was_decided(conn: sqlite3.Connection) -> None:
    assert put_revision(conn, 1, 1, "pending")
    assert revisions.set_status(conn, cid(1), "rejected", "red line", updated_ms=3)
    assert not put_revision(conn, 1, 1, "adopted")
    assert revisions.get(conn, cid(1)) == revisions.RevisionRow(
        1, cid(1), cid(101), "main", ANNA, 1, 1, "why", "rejected", "red line", 3
    )
    assert revisions.get(conn, cid(9)) is None
    assert not revisions.set_status(conn, cid(9), "adopted", None, updated_ms=3)


def test_adopted_revisions_come_parents_first(conn: sqlite3.Connection) -> None:
    for number, height, status in ((1, 3, "adopted"), (2, 1, "adopted"), (3, 2, "quarantined"), (4, 2, "adopted")):
        put_revision(conn, number, height, status)  # type: ignore[arg-type]
    assert revisions.adopted(conn, "main") == [cid(2), cid(4), cid(1)]
    assert revisions.adopted(conn, "other") == []
    assert revisions.playbooks(conn) == ["main"]
    assert revisions.all_cids(conn) == {cid(1), cid(2), cid(3), cid(4)}
    page = revisions.list_revisions(conn, "main", limit=3)
    assert [row.cid for row in page.items] == [cid(4), cid(3), cid(2)]
    assert [row.cid for row in revisions.list_revisions(conn, "main", limit=3, after=page.next).items] == [cid(1)]
    assert [row.cid for row in revisions.list_revisions(conn, "main", "quarantined", limit=3).items] == [cid(3)]
