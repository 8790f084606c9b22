import sqlite3

import pytest

from storage import jobs


def test_a_job_gathers_steps_log_and_outcome(conn: sqlite3.Connection) -> None:
    assert jobs.put_job(conn, "j1", "find out", None, "running", 5, turn_due=True)
    jobs.put_job(conn, "j2", "another", "s", "running", 6, max_steps=3, deadline_ms=99)
    jobs.put_step(conn, "j1", 2, "respond", b"{}", None, 1.5, begun=False)
    jobs.put_step(conn, "j1", 1, "recall", b"{}", b"[]", 0.5)
    jobs.begin_step(conn, "j1", 2)
    for text in ("one", "two"):
        jobs.add_log(conn, "j1", 7, "info", text)
    jobs.set_progress(conn, "j1", 0.5, "thinks")
    kept = jobs.get_job(conn, "j1")
    assert kept is not None
    assert (kept.progress, kept.doing, kept.turn_due) == (0.5, "thinks", 1)
    assert kept.steps == (jobs.StepRow(1, "recall", b"{}", b"[]", 0.5), jobs.StepRow(2, "respond", b"{}", None, 1.5))
    jobs.turn_kept(conn, "j1")
    assert jobs.finish_job(conn, "j1", "done", "42", ended_ms=8, degraded="small", to_reflect=True, turn_due=True)
    assert not jobs.finish_job(conn, "j1", "failed", None, ended_ms=9)  # it ends once
    assert not jobs.finish_job(conn, "j3", "done", None, ended_ms=9)
    assert not jobs.put_job(conn, "j1", "put again", None, "running", 9)
    done = jobs.get_job(conn, "j1")
    assert done is not None
    assert (done.status, done.answer, done.ended_ms, done.degraded, done.progress, done.doing) == (
        "done",
        "42",
        8,
        "small",
        1.0,
        "",
    )
    assert jobs.get_job(conn, "j3") is None
    assert [job.id for job in jobs.list_jobs(conn, limit=9).items] == ["j2", "j1"]
    page = jobs.job_log(conn, "j1", limit=1)
    assert [line.text for line in page.items] == ["one"]
    assert [line.text for line in jobs.job_log(conn, "j1", limit=9, after=page.next).items] == ["two"]


def test_what_is_due_after_the_end_is_known_until_it_is_done(conn: sqlite3.Connection) -> None:
    for job_id, reflect, turn in (("j1", True, False), ("j2", False, True), ("j3", False, False)):
        jobs.put_job(conn, job_id, "goal", None, "running", 5, turn_due=True)
        assert jobs.afterwards(conn, 9) == (["j1"] if job_id == "j2" else ["j1", "j2"] if job_id == "j3" else [])
        jobs.finish_job(conn, job_id, "done", "a", ended_ms=6, to_reflect=reflect, turn_due=turn)
    jobs.set_reflected(conn, "j1", "learned")
    jobs.turn_kept(conn, "j2")
    assert jobs.afterwards(conn, 9) == []
    kept = jobs.get_job(conn, "j1")
    assert kept is not None
    assert kept.reflection == "learned"


def test_parts_belong_to_their_job(conn: sqlite3.Connection) -> None:
    jobs.put_job(conn, "root", "all", None, "queued", 1)
    jobs.put_job(conn, "part", "some", None, "queued", 2, parent_id="root", depth=1)
    jobs.put_job(conn, "bit", "less", None, "queued", 3, parent_id="part", depth=2)
    jobs.put_job(conn, "other", "else", None, "paused", 4)
    assert [jobs.root_of(conn, one) for one in ("bit", "part", "root", "none")] == ["root", "root", "root", "none"]
    assert sorted(jobs.family(conn, "root")) == ["bit", "part", "root"]
    assert jobs.family(conn, "bit") == ["bit"]
    assert [job.id for job in jobs.list_jobs(conn, limit=9).items] == ["other", "root"]
    assert [job.id for job in jobs.list_jobs(conn, limit=9, parent_id="root").items] == ["part"]
    assert jobs.roots_with(conn, ("queued", "running")) == ["root"]
    assert jobs.set_status(conn, "root", "running", among=("queued",))
    assert not jobs.set_status(conn, "root", "running", among=("queued",))
    assert jobs.count(conn, "running") == 1


def test_a_step_of_no_job_is_a_fault_of_ours(conn: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        jobs.put_step(conn, "none", 1, "recall", b"{}", None, 0)
