"""The small tables: twins, trust, revisions, pins, jobs, meta, and the list of errors."""

import re
import sqlite3

import pytest

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_RAW
from storage import errors, jobs, meta, pins, revisions, trust, twins

ANNA, BERT = Did("did:key:zAnna"), Did("did:key:zBert")


def cid(number: int) -> Cid:
    return Cid.of(CODEC_RAW, bytes([number]))


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
    twins.mark_all_offline(conn)
    assert [twin.online for twin in twins.list_twins(conn, limit=9).items] == [False]


def test_twins_page_by_did_and_the_longest_unseen_go(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "MAX_TWINS", 3)
    for number, seen in enumerate([50, 10, 40, 30, 20]):
        twins.upsert_twin(conn, Did(f"did:key:z{number}"), "", [], [], [], seen, True)
    page = twins.list_twins(conn, limit=2)
    assert [twin.did for twin in page.items] == ["did:key:z0", "did:key:z2"]
    page = twins.list_twins(conn, limit=2, after=page.next)
    assert [twin.did for twin in page.items] == ["did:key:z4"]  # the newcomer stays, though it was seen long ago
    assert page.next is None


def test_trust_starts_closed_and_is_replaced_whole(conn: sqlite3.Connection) -> None:
    assert trust.get_trust(conn) == trust.Trust(frozenset(), frozenset(), 1.0, auto_adopt=False)
    wanted = trust.Trust(frozenset([ANNA]), frozenset([BERT]), 0.25, auto_adopt=True)
    trust.put_trust(conn, wanted)
    assert trust.get_trust(conn) == wanted


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


def test_pins_are_one_for_each_cid(conn: sqlite3.Connection) -> None:
    pins.add(conn, cid(1), "direct")
    pins.add(conn, cid(2), "recursive", "playbook")
    pins.add(conn, cid(1), "recursive", "mine")
    assert pins.get(conn, cid(1)) == pins.Pin(1, cid(1), "recursive", "mine")
    assert [pin.cid for pin in pins.list_pins(conn, limit=9, kind="recursive").items] == [cid(1), cid(2)]
    assert pins.list_pins(conn, limit=9, kind="direct").items == ()
    assert pins.remove(conn, cid(1))
    assert not pins.remove(conn, cid(1))
    assert pins.get(conn, cid(1)) is None


def test_a_job_gathers_steps_log_and_outcome(conn: sqlite3.Connection) -> None:
    jobs.put_job(conn, "j1", "find out", None, "running", 5)
    jobs.put_job(conn, "j2", "another", "s", "running", 6)
    jobs.put_step(conn, "j1", 2, "respond", b"{}", None, 1.5)
    jobs.put_step(conn, "j1", 1, "recall", b"{}", b"[]", 0.5)
    jobs.put_step(conn, "j1", 2, "respond", b"{}", b"{}", 2.5)
    for text in ("one", "two"):
        jobs.add_log(conn, "j1", 7, "info", text)
    assert jobs.finish_job(conn, "j1", "done", "42", None)
    assert jobs.set_job_status(conn, "j2", "waiting_approval")
    assert not jobs.set_job_status(conn, "j3", "done")
    assert not jobs.finish_job(conn, "j3", "done", None, None)
    jobs.put_job(conn, "j1", "put again", None, "running", 9)
    assert jobs.get_job(conn, "j1") == jobs.JobRow(
        1,
        "j1",
        "find out",
        None,
        "done",
        5,
        "42",
        None,
        (jobs.StepRow(1, "recall", b"{}", b"[]", 0.5), jobs.StepRow(2, "respond", b"{}", b"{}", 2.5)),
    )
    assert jobs.get_job(conn, "j3") is None
    assert [job.id for job in jobs.list_jobs(conn, limit=9).items] == ["j2", "j1"]
    assert [job.id for job in jobs.list_jobs(conn, limit=9, status="done").items] == ["j1"]
    page = jobs.job_log(conn, "j1", limit=1)
    assert [line.text for line in page.items] == ["one"]
    assert [line.text for line in jobs.job_log(conn, "j1", limit=9, after=page.next).items] == ["two"]


def test_jobs_that_a_stop_cut_short_are_ended(conn: sqlite3.Connection) -> None:
    for job_id, status in (("j1", "running"), ("j2", "done"), ("j3", "running")):
        jobs.put_job(conn, job_id, "goal", None, status, 5)
    assert jobs.end_all(conn, "running", status="failed", answer="stopped") == 2
    assert jobs.end_all(conn, "running", status="failed", answer="stopped") == 0
    states = [(job.id, job.status, job.answer) for job in jobs.list_jobs(conn, limit=9).items]
    assert states == [("j3", "failed", "stopped"), ("j2", "done", None), ("j1", "failed", "stopped")]


def test_a_step_of_no_job_is_a_fault_of_ours(conn: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        jobs.put_step(conn, "none", 1, "recall", b"{}", None, 0)


def test_meta_keeps_single_values(conn: sqlite3.Connection) -> None:
    assert meta.get(conn, "k") is None
    meta.put(conn, "k", "1")
    meta.put(conn, "k", "2")
    assert meta.get(conn, "k") == "2"
    meta.delete(conn, "k")
    assert meta.get(conn, "k") is None


def test_every_error_stands_in_the_tree_with_its_own_code() -> None:
    assert errors.__doc__ is not None
    drawn = {name: int(code) for name, code in re.findall(r"(\w+) +(\d{5})\b", errors.__doc__)}
    defined = {
        name: kind.code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.StorageError)
    }
    assert drawn == defined
    assert len(set(defined.values())) == len(defined)
    assert all(400 <= code // 100 <= 599 for code in defined.values())
