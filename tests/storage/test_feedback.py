import sqlite3

from storage import feedback, jobs, learning, weighing
from storage.learning import JobOutcome


def said(conn: sqlite3.Connection, job_id: str, *, good: bool = False, expected: str | None = "2", at: int = 1) -> None:
    jobs.put_job(conn, job_id, "how many", None, "done", 1)
    feedback.put(conn, job_id, "common", good=good, expected=expected, because=None, share=True, ts_ms=at)


def test_only_a_wrong_answer_with_what_is_right_waits(conn: sqlite3.Connection) -> None:
    said(conn, "a")
    said(conn, "b", expected=None)
    said(conn, "c", good=True)
    assert [one.job_id for one in feedback.waiting(conn, "common", 9)] == ["a"]
    assert feedback.waiting(conn, "other", 9) == []
    assert feedback.waiting_counts(conn) == {"common": 1}
    found = feedback.get(conn, "a")
    assert found is not None
    assert (found.goal, found.answer, found.expected, found.share) == ("how many", "", "2", True)
    assert feedback.get(conn, "nothing") is None


def test_what_was_said_anew_meanwhile_waits_again(conn: sqlite3.Connection) -> None:
    said(conn, "a")
    said(conn, "b")
    seen = feedback.waiting(conn, "common", 9)
    said(conn, "a", expected="3", at=2)
    feedback.set_state(conn, seen, "learnt")
    assert [(one.job_id, one.expected) for one in feedback.waiting(conn, "common", 9)] == [("a", "3")]
    assert [one.job_id for one in feedback.since(conn, 2, 9)] == ["a"]


def test_the_same_again_is_not_learnt_from_again(conn: sqlite3.Connection) -> None:
    said(conn, "a")
    feedback.set_state(conn, feedback.waiting(conn, "common", 9), "learnt")
    said(conn, "a", at=2)
    assert feedback.waiting(conn, "common", 9) == []


def test_it_goes_with_its_job(conn: sqlite3.Connection) -> None:
    said(conn, "a")
    conn.execute("DELETE FROM jobs WHERE id = 'a'")
    assert feedback.since(conn, 0, 9) == []


def test_a_job_is_weighed_once_for_each_thing_that_is_said_of_it(conn: sqlite3.Connection) -> None:
    jobs.put_job(conn, "a", "goal", None, "done", 1)
    jobs.put_step(conn, "a", 1, "respond", b"{}", b'{"from": "memory"}', 1.0)
    learning.put(conn, JobOutcome("a", "common", "good", "job", True, 1), ())
    assert weighing.due(conn, 9) == []  # what a job says of itself weighs nothing
    learning.rate(conn, "a", "good", updated_ms=2)
    (due,) = weighing.due(conn, 9)
    assert (due.job_id, due.outcome, due.before, due.output) == ("a", "good", None, b'{"from": "memory"}')
    weighing.set_weighed(conn, "a", "good")
    assert weighing.due(conn, 9) == []
    learning.rate(conn, "a", "bad", updated_ms=3)
    (due,) = weighing.due(conn, 9)
    assert (due.outcome, due.before) == ("bad", "good")
