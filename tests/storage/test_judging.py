import sqlite3
from pathlib import Path

import pytest

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_RAW
from storage import judging, revisions
from storage.connection import connect_writer
from storage.judging import GateRow, Stage
from storage.migrate import migrate, shipped_migrations

ANNA, BEN, OWN = Did("did:key:zAnna"), Did("did:key:zBen"), Did("did:key:zOwn")
AUTHOR = Stage("author", "passed", "named")
WAITS = Stage("gate", "pending", "it is being tried")


def cid(number: int) -> Cid:
    return Cid.of(CODEC_RAW, number.to_bytes(4))


def put_revision(conn: sqlite3.Connection, number: int, status: revisions.RevisionStatus = "quarantined") -> None:
    revisions.put(
        conn,
        cid=cid(number),
        payload_cid=cid(number + 1000),
        playbook="main",
        author=ANNA,
        height=1,
        ts_ms=1,
        critique="why",
        status=status,
        reason=None,
        updated_ms=2,
    )


def result(number: int, revision: int, author: Did = ANNA, ts_ms: int = 1) -> GateRow:
    return GateRow(cid(number), cid(number + 50_000), cid(revision), "main", author, 3, 1, 2, "scripted", ts_ms)


def test_stages_are_replaced_as_a_whole_and_keep_their_time_where_they_stay(conn: sqlite3.Connection) -> None:
    put_revision(conn, 1)
    judging.put_stages(conn, cid(1), [WAITS, AUTHOR], ts_ms=1)
    assert judging.stages_of(conn, cid(1)) == [(AUTHOR, 1), (WAITS, 1)]
    assert judging.waiting_at(conn, "gate") == [judging.Waiting("main", cid(1), ANNA)]
    passed = Stage("gate", "passed", "no worse")
    owner = Stage("owner", "passed", "approved")
    judging.put_stages(conn, cid(1), [AUTHOR, passed, owner], ts_ms=2)
    assert judging.stages_of(conn, cid(1)) == [(AUTHOR, 1), (passed, 2), (owner, 2)]
    assert judging.waiting_at(conn, "gate") == []
    assert judging.stages_by_revision(conn, "main") == {cid(1): (AUTHOR, passed, owner)}
    assert judging.stages_by_revision(conn, "other") == {}


def test_a_canary_has_a_share_for_as_long_as_it_is_one(conn: sqlite3.Connection) -> None:
    put_revision(conn, 1, "canary")
    judging.set_share(conn, cid(1), 0.2)
    judging.set_share(conn, cid(1), 0.3)
    assert judging.canaries(conn, "main") == {cid(1): 0.3}
    assert revisions.in_canary(conn, "main") == [cid(1)]
    revisions.set_status(conn, cid(1), "adopted", None, updated_ms=3)
    assert judging.canaries(conn, "main") == {}
    judging.set_share(conn, cid(1), None)
    assert revisions.counts_by_status(conn, "main") == {"adopted": 1}


def test_of_each_author_and_revision_the_newest_result_is_kept(conn: sqlite3.Connection) -> None:
    assert judging.put_result(conn, result(1, 9, ts_ms=5), own=OWN) == []
    assert judging.put_result(conn, result(1, 9, ts_ms=5), own=OWN) == []
    assert judging.put_result(conn, result(2, 9, ts_ms=4), own=OWN) == [cid(2), cid(50_002)]  # older
    assert judging.put_result(conn, result(3, 9, BEN, ts_ms=4), own=OWN) == []
    assert judging.put_result(conn, result(4, 9, ts_ms=6), own=OWN) == [cid(1), cid(50_001)]
    assert [row.cid for row in judging.results_of(conn, cid(9))] == [cid(4), cid(3)]
    assert judging.result_cids(conn) == {cid(4), cid(50_004), cid(3), cid(50_003)}


def test_results_are_bounded_by_author_and_by_revision(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "MAX_RESULTS_PER_AUTHOR", 2)
    monkeypatch.setattr(judging, "MAX_RESULTS_PER_REVISION", 2)
    for n in range(3):
        gone = judging.put_result(conn, result(n, 100 + n, ts_ms=n), own=OWN)
    assert gone == [cid(0), cid(50_000)]
    for n, author in enumerate((BEN, Did("did:key:zCora"), Did("did:key:zDora"))):
        judging.put_result(conn, result(10 + n, 7, author, ts_ms=n), own=OWN)
    assert [row.cid for row in judging.results_of(conn, cid(7))] == [cid(12), cid(11)]


def test_our_own_results_are_driven_out_by_nobody(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MAX_RESULTS_PER_AUTHOR", 1)
    monkeypatch.setattr(judging, "MAX_RESULTS_PER_REVISION", 1)
    for n, author in enumerate((OWN, BEN, Did("did:key:zCora"))):
        judging.put_result(conn, result(n, 7, author, ts_ms=n), own=OWN)
    assert [row.cid for row in judging.results_of(conn, cid(7))] == [cid(2), cid(0)]
    judging.put_result(conn, result(9, 8, OWN, ts_ms=9), own=OWN)
    assert len(judging.results_of(conn, cid(7))) == 2


def test_what_the_owner_decided_before_stages_were_kept_stays_decided(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    conn = connect_writer(path)
    migrate(conn, path, shipped_migrations()[:9])
    for n, (status, reason) in enumerate(
        (
            ("adopted", "approved by the owner"),
            ("adopted", "its author is on the allow-list"),
            ("rejected", "I do not like it"),
            ("rejected", "its author is blocked"),
            ("quarantined", "its author is not on the allow-list"),
        )
    ):
        put_revision(conn, n, status)  # type: ignore[arg-type]
        revisions.set_status(conn, cid(n), status, reason, updated_ms=1)  # type: ignore[arg-type]
    migrate(conn, path)
    stages = judging.stages_by_revision(conn, "main")
    assert stages == {
        cid(0): (Stage("owner", "passed", "approved by the owner"),),
        cid(2): (Stage("owner", "rejected", "I do not like it"),),
    }
    conn.close()
