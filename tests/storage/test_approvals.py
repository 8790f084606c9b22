import sqlite3

from storage import approvals, jobs
from storage.approvals import ApprovalRow


def row(approval_id: str, *, job_id: str | None = None, n: int | None = None, expires_ms: int = 10) -> ApprovalRow:
    return ApprovalRow(0, approval_id, job_id, n, "action", "do it", b"{}", b"hash", "pending", 1, expires_ms)


def test_an_approval_is_decided_once_and_used_once(conn: sqlite3.Connection) -> None:
    approvals.put(conn, row("a"))
    assert not approvals.use(conn, "a")
    assert approvals.decide(conn, "a", "approved", decided_ms=2, note="n", record=b"r")
    assert not approvals.decide(conn, "a", "denied", decided_ms=3)
    kept = approvals.get(conn, "a")
    assert kept is not None
    assert (kept.status, kept.decided_ms, kept.note, kept.record) == ("approved", 2, "n", b"r")
    assert approvals.use(conn, "a")
    assert not approvals.use(conn, "a")
    assert approvals.get(conn, "b") is None


def test_what_is_due_and_of_whom(conn: sqlite3.Connection) -> None:
    jobs.put_job(conn, "j", "goal", None, "running", 1)
    approvals.put(conn, row("a", job_id="j", n=2, expires_ms=5))
    approvals.put(conn, row("b", job_id="j", n=2, expires_ms=9))
    approvals.put(conn, row("c"))
    newest = approvals.of_step(conn, "j", 2)
    assert newest is not None
    assert newest.id == "b"
    assert approvals.of_step(conn, "j", 1) is None
    assert (approvals.due(conn, 5), approvals.next_due_ms(conn)) == (["a"], 5)
    approvals.decide(conn, "a", "expired", decided_ms=5)
    assert (approvals.due(conn, 5), approvals.next_due_ms(conn)) == ([], 9)
    assert approvals.pending_of_job(conn, "j") == ["b"]
    assert [one.id for one in approvals.with_hash(conn, b"hash")] == ["c", "b", "a"]
    page = approvals.listed(conn, limit=1, status="pending")
    assert [one.id for one in page.items] == ["c"]
    assert [one.id for one in approvals.listed(conn, limit=9, after=page.next, status="pending").items] == ["b"]
