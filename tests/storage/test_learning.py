import sqlite3
from pathlib import Path

from identity.cid import Cid
from identity.multibase import CODEC_DAG_JOSE
from storage import jobs, learning
from storage.connection import connect_writer
from storage.learning import JobOutcome, Outcome, Use
from storage.migrate import migrate, shipped_migrations

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
    assert learning.uncounted_playbooks(conn) == []


def test_a_trial_is_compared_with_the_jobs_that_it_was_kept_from(conn: sqlite3.Connection) -> None:
    tried, kept, adopted = (Use("b1", FIRST, use) for use in ("tried", "kept_back", "adopted"))
    came: tuple[Outcome, ...] = ("good", "good", "bad", "unknown")
    for number, one in enumerate(came):
        note(conn, outcome(f"tried {number}", one), tried)
    note(conn, outcome("without"), kept)
    note(conn, outcome("adopted since"), adopted)
    note(conn, outcome("of another"), Use("b2", SECOND, "tried"))
    assert learning.outcomes(conn, "common", FIRST) == {"canary": (2, 1), "usual": (1, 0)}


def test_a_receipt_never_outweighs_the_owner(conn: sqlite3.Connection) -> None:
    note(conn, outcome("a", came="unknown"), Use("b1", FIRST, "adopted"))
    assert learning.rate(conn, "a", "good", source="receipt", updated_ms=2)
    assert not learning.rate(conn, "a", "good", source="receipt", updated_ms=3)
    assert learning.rate(conn, "a", "bad", updated_ms=4)
    assert not learning.rate(conn, "a", "good", source="receipt", updated_ms=5)
    (noted,) = learning.uncounted(conn, "common", 9)
    assert (noted.outcome, noted.source) == ("bad", "owner")


def test_a_run_of_a_check_is_noted_without_a_job_and_what_was_noted_of_a_job_goes_with_it(
    conn: sqlite3.Connection,
) -> None:
    note(conn, outcome("a"), Use("b1", FIRST, "adopted"))
    learning.put(conn, JobOutcome("check-run:1", "common", "bad", "check", False, 1), [Use("b1", FIRST, "adopted")])
    conn.execute("DELETE FROM jobs WHERE id = 'a'")
    assert learning.get(conn, "a") is None
    assert learning.uses_of(conn, "a") == []
    assert [one.job_id for one in learning.uncounted(conn, "common", 9)] == ["check-run:1"]


def test_what_was_noted_before_the_tables_changed_is_still_there(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    before = tuple(step for step in shipped_migrations() if step.version < 17)
    migrate(conn, path, before)
    conn.execute("INSERT INTO jobs (id, goal, status, created_ms) VALUES ('a', 'g', 'done', 1)")
    learning.put(conn, outcome("a"), [Use("b1", FIRST, "adopted")])
    migrate(conn, path)
    assert learning.get(conn, "a") == outcome("a")
    assert learning.uses_of(conn, "a") == [Use("b1", FIRST, "adopted")]
    conn.close()
