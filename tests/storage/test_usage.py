"""What was used: by day and provider, by session, and calls that were cut off."""

from pathlib import Path

import pytest

from storage import usage
from storage.connection import connect_writer
from storage.errors import BadCursor
from storage.migrate import migrate
from storage.usage import OpenCall, Sums, UsageRow


def test_rows_add_up_and_are_listed_newest_first(tmp_path: Path) -> None:
    conn = connect_writer(tmp_path / "node.db")
    migrate(conn, tmp_path / "node.db")
    for day, provider, model in (("2026-11-19", "a", "m"), ("2026-11-20", "a", "org/m"), ("2026-11-20", "b", "m")):
        for _ in range(2):
            row = UsageRow(
                day=day, provider=provider, model=model, prompt_tokens=3, completion_tokens=2, ms=5, micros=7
            )
            usage.count(conn, row, session_id="s", call_id=None, now_ms=1)
    assert usage.sums_of_day(conn, "2026-11-20") == Sums(20, 20, 28)
    assert usage.sums_of_twin(conn) == usage.sums_of_session(conn, "s") == Sums(30, 30, 42)
    assert (usage.sums_of_day(conn, "2026-11-21"), usage.sums_of_session(conn, "t")) == (Sums(), Sums())
    first = usage.rows(conn, limit=2, after=None)
    second = usage.rows(conn, limit=2, after=first.next)
    found = [(row.day, row.provider, row.model, row.calls) for row in (*first.items, *second.items)]
    assert found == [("2026-11-20", "b", "m", 2), ("2026-11-20", "a", "org/m", 2), ("2026-11-19", "a", "m", 2)]
    assert second.next is None
    with pytest.raises(BadCursor):
        usage.rows(conn, limit=2, after="nonsense")
    conn.close()


def test_a_call_that_was_cut_off_is_counted_once(tmp_path: Path) -> None:
    conn = connect_writer(tmp_path / "node.db")
    migrate(conn, tmp_path / "node.db")
    for number in range(2):
        call = OpenCall(
            id=f"c{number}", day="2026-11-20", session_id="s", provider="a", model="m", tokens=100, micros=50
        )
        usage.open_call(conn, call)
    usage.count(
        conn, UsageRow(day="2026-11-20", provider="a", model="m", micros=1), session_id="s", call_id="c0", now_ms=1
    )
    assert usage.count_interrupted(conn, now_ms=2) == 1
    assert usage.count_interrupted(conn, now_ms=3) == 0
    (row,) = usage.rows(conn, limit=5, after=None).items
    assert (row.calls, row.failed, row.prompt_tokens, row.micros) == (2, 1, 100, 51)
    assert usage.sums_of_session(conn, "s") == Sums(100, 0, 51)
    conn.close()
