import sqlite3

from identity.cid import Cid
from identity.multibase import CODEC_DAG_JOSE
from storage import jobs, learning
from storage.learning import JobOutcome, Outcome, Use

FIRST, SECOND = (Cid.of(CODEC_DAG_JOSE, name) for name in (b"first", b"second"))


def outcome(job_id: str, came: Outcome = "good", at: int = 1) -> JobOutcome:
    return JobOutcome(job_id, "common", came, "job", counted=False, updated_ms=at)


def note(conn: sqlite3.Connection, noted: JobOutcome, *uses: Use) -> None:
    jobs.put_job(conn, noted.job_id, goal="g", session_id=None, status="done", created_ms=1)
    learning.put(conn, noted, uses)


def test_what_was_noted_of_a_job_is_read_back(conn: sqlite3.Connection) -> None:
    use = Use("b1", FIRST, "adopted")
    note(conn, outcome("a"), use)
    assert learning.get(conn, "a") == outcome("a")
    assert learning.uses_of(conn, "a") == [use]
    assert learning.get(conn, "b") is None
    note(conn, outcome("a", came="bad"), Use("b2", FIRST, "adopted"))  # a repetition changes nothing
    assert learning.get(conn, "a") == outcome("a")
    assert learning.uses_of(conn, "a") == [use]


def test_what_the_owner_says_is_counted_anew_and_once(conn: sqlite3.Connection) -> None:
    note(conn, outcome("a"), Use("b1", FIRST, "adopted"))
    learning.set_counted(conn, learning.uncounted(conn, "common", 9))
    assert learning.uncounted(conn, "common", 9) == []
    assert learning.rate(conn, "a", "bad", updated_ms=2)
    (again,) = learning.uncounted(conn, "common", 9)
    assert (again.outcome, again.source) == ("bad", "owner")
    learning.set_counted(conn, [again])
    assert not learning.rate(conn, "a", "bad", updated_ms=3)
    assert learning.uncounted(conn, "common", 9) == []
    assert not learning.rate(conn, "unheard of", "bad", updated_ms=3)


def test_one_that_was_rated_while_it_was_counted_is_counted_again(conn: sqlite3.Connection) -> None:
    note(conn, outcome("a"), Use("b1", FIRST, "adopted"))
    found = learning.uncounted(conn, "common", 9)
    learning.rate(conn, "a", "bad", updated_ms=2)
    learning.set_counted(conn, found)
    assert [one.job_id for one in learning.uncounted(conn, "common", 9)] == ["a"]


def test_what_has_nothing_to_count_is_left_out(conn: sqlite3.Connection) -> None:
    note(conn, outcome("unknown", came="unknown"), Use("b1", FIRST, "adopted"))
    note(conn, outcome("kept back"), Use("b1", FIRST, "kept_back"))
    assert learning.uncounted(conn, "common", 9) == []
    assert learning.uncounted_playbooks(conn) == ["common"]


def test_a_trial_is_compared_with_the_jobs_that_it_was_kept_from(conn: sqlite3.Connection) -> None:
    tried, kept, adopted = (Use("b1", FIRST, use) for use in ("tried", "kept_back", "adopted"))
    came: tuple[Outcome, ...] = ("good", "good", "bad", "unknown")
    for number, one in enumerate(came):
        note(conn, outcome(f"tried {number}", one), tried)
    note(conn, outcome("without"), kept)
    note(conn, outcome("adopted since"), adopted)
    note(conn, outcome("of another"), Use("b2", SECOND, "tried"))
    assert learning.outcomes(conn, "common", FIRST) == {"canary": (2, 1), "usual": (1, 0)}
