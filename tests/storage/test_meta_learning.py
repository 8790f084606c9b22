import sqlite3
from dataclasses import replace

import pytest

from storage import meta_learning as rows
from storage.meta_learning import MetaAction, State


def action(name: str, state: State = "proposed", *, matter: str = "teams", at: int = 1) -> MetaAction:
    return MetaAction(
        id=name,
        matter=matter,
        about="it",
        state=state,
        finding="found",
        action="do",
        measured={"share": 0.5},
        needs={"did": "x"},
        undo={"tuning": ["max_depth", None]},
        ts_ms=at,
        updated_ms=at,
    )


def test_an_action_is_kept_as_it_is_now(conn: sqlite3.Connection) -> None:
    first = action("a")
    rows.put(conn, first)
    rows.put(conn, action("b", "trying", matter="drift", at=2))
    done = replace(first, state="done", action="did", undo={}, updated_ms=5)
    rows.put(conn, done)
    found = rows.get(conn, "a")
    assert found is not None
    assert replace(found, seq=0) == done
    assert rows.get(conn, "c") is None
    assert [one.id for one in rows.with_states(conn, ["trying"])] == ["b"]
    assert [one.id for one in rows.since(conn, "teams", 5)] == ["a"]
    assert rows.since(conn, "teams", 6) == []
    assert rows.count_since(conn, 2) == 1


def test_pages_are_newest_first_and_the_oldest_go(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_KEPT", 3)
    for number in range(5):
        rows.put(conn, action(str(number)))
    page = rows.page(conn, limit=2)
    assert [one.id for one in page.items] == ["4", "3"]
    assert [one.id for one in rows.page(conn, limit=2, after=page.next).items] == ["2"]


def test_settings(conn: sqlite3.Connection) -> None:
    rows.set_tuning(conn, "max_depth", 5)
    rows.set_tuning(conn, "load_shift", {"did": 0.2})
    rows.set_tuning(conn, "max_depth", 4)
    assert rows.tuning(conn) == {"load_shift": {"did": 0.2}, "max_depth": 4}
    rows.set_tuning(conn, "max_depth", None)
    assert rows.tuning(conn) == {"load_shift": {"did": 0.2}}


def test_what_is_forgotten_does_not_come_back_with_the_settings_that_a_crash_restores(conn: sqlite3.Connection) -> None:
    kept = {"harmless": ["a goal", "another"], "max_depth": 5}
    rows.put(conn, replace(action("a", "failed"), undo={"settings": kept}))
    rows.forget_goals(conn, lambda text: text == "a goal")
    found = rows.get(conn, "a")
    assert found is not None
    assert found.undo == {"settings": {"harmless": ["another"], "max_depth": 5}}
