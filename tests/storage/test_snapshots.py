import dataclasses
import sqlite3

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_DAG_JOSE
from storage import needed
from storage import snapshots as rows
from storage.snapshots import SnapshotRow, SnapshotStatus


def row(number: int, status: SnapshotStatus, playbook: str = "common") -> SnapshotRow:
    cid = Cid.of(CODEC_DAG_JOSE, b"%d" % number)
    return SnapshotRow(cid, playbook, Did("did:key:z6Mk"), 9, 10, "ab" * 32, status, None, number)


def test_a_snapshot_comes_back_as_it_was_kept(conn: sqlite3.Connection) -> None:
    kept = row(1, "provisional")
    rows.put(conn, kept)
    assert rows.get(conn, kept.cid) == kept
    refuted = dataclasses.replace(kept, status="refuted", reason="a lie", updated_ms=2)
    rows.put(conn, refuted)
    assert rows.get(conn, kept.cid) == refuted
    rows.drop(conn, kept.cid)
    assert rows.get(conn, kept.cid) is None


def test_there_is_one_snapshot_of_our_own_for_each_playbook(conn: sqlite3.Connection) -> None:
    kept = [row(1, "own", "tides"), row(2, "own"), row(3, "provisional"), row(4, "own")]
    for one in kept:
        rows.put(conn, one)
    assert rows.with_status(conn, "own") == [kept[3], kept[0]]
    assert rows.with_status(conn, "provisional") == [kept[2]]


def test_the_blocks_of_what_is_ours_or_shown_are_needed(conn: sqlite3.Connection) -> None:
    kept = [row(1, "own"), row(2, "provisional"), row(3, "confirmed"), row(4, "refuted")]
    for one in kept:
        rows.put(conn, one)
    assert needed.roots(conn) == {kept[0].cid, kept[1].cid}
