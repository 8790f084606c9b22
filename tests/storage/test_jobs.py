import sqlite3

import pytest

from storage import jobs


def test_a_job_gathers_steps_log_and_outcome(conn: sqlite3.Connection) -> None:
    jobs.put_job(conn, "j1", "find out", None, "running", 5)
    jobs.put_job(conn, "j2", "another", "s", "running", 6)
    jobs.put_step(conn, "j1", 2, "respond", b"{}", None, 1.5)
    jobs.put_step(conn, "j1", 1, "recall", b"{}", b"[]", 0.5)
    jobs.put_step(conn, "j1", 2, "respond", b"{}", b"{}", 2.5)
    for text in ("one", "two"):
        jobs.add_log(conn, "j1", 7, "info", text)
    assert jobs.finish_job(conn, "j1", "done", "42", None)
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
