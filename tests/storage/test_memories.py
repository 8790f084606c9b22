import sqlite3

import numpy as np
import pytest

from storage import memories
from storage.errors import BadCursor


def add(
    conn: sqlite3.Connection, name: str, *, namespace: str = "private", kind: str = "semantic", model: str = "m"
) -> int:
    return memories.add_memory(
        conn,
        id=name,
        kind=kind,
        content=f"about {name}",
        namespace=namespace,
        role=None,
        session_id="s1" if kind == "working" else None,
        tags=["bees", "Öl"],
        source="file.txt",
        model_id=model,
        vector=np.array([len(name), 1.0], np.float32).tobytes(),
        ts_ms=5,
    )


def test_a_memory_comes_back_whole(conn: sqlite3.Connection) -> None:
    seq = add(conn, "a")
    assert memories.get_memory(conn, "a") == memories.MemoryRow(
        seq, "a", "semantic", "about a", "private", None, None, ("bees", "Öl"), "file.txt", 5, "m", happened_ms=5
    )
    assert memories.get_memory(conn, "b") is None
    assert add(conn, "a", namespace="shared") == seq
    assert [row.namespace for row in memories.list_memories(conn, limit=9).items] == ["private"]


def test_a_forgotten_memory_is_gone_and_its_number_never_returns(conn: sqlite3.Connection) -> None:
    first, second = add(conn, "a"), add(conn, "b")
    assert memories.delete_memory(conn, "b") == second
    assert memories.delete_memory(conn, "b") is None
    assert add(conn, "c") > second
    assert [row.id for row in memories.get_many(conn, [second + 1, second, first])] == ["c", "a"]
    assert memories.get_many(conn, []) == []


def test_lists_and_choices_by_kind_and_namespace(conn: sqlite3.Connection) -> None:
    numbers = {name: add(conn, name, namespace=place) for name, place in (("a", "private"), ("b", "shared"))}
    numbers["c"] = add(conn, "c", namespace="shared", kind="working")
    assert memories.matching(conn) == sorted(numbers.values())
    assert memories.matching(conn, namespaces=["shared"]) == [numbers["b"], numbers["c"]]
    assert memories.matching(conn, namespaces=["shared"], kinds=["working"]) == [numbers["c"]]
    assert memories.matching(conn, namespaces=[]) == []
    assert [row.id for row in memories.list_memories(conn, limit=9, namespace="shared").items] == ["c", "b"]
    assert [row.id for row in memories.list_memories(conn, limit=9, session_id="s1").items] == ["c"]
    page = memories.list_memories(conn, limit=2)
    assert [row.id for row in memories.list_memories(conn, limit=2, after=page.next).items] == ["a"]


def test_what_happened_is_found_by_its_time_in_pages(conn: sqlite3.Connection) -> None:
    for name, ms in (("late", 30), ("early", 10), ("same", 20), ("other", 20)):
        add(conn, name, kind="episodic")
        conn.execute("UPDATE memories SET happened_ms = ? WHERE id = ?", (ms, name))
    add(conn, "fact")

    def happened(limit: int = 9, **more: object) -> list[str]:
        page = memories.happened_between(conn, 10, 30, kind="episodic", limit=limit, **more)  # type: ignore[arg-type]
        return [row.id for row in page.items]

    assert happened() == ["early", "same", "other"]
    first = memories.happened_between(conn, 10, 30, kind="episodic", limit=2)
    assert [row.id for row in first.items] == ["early", "same"]
    assert happened(after=first.next) == ["other"]
    assert happened(namespaces=("shared",)) == []
    with pytest.raises(BadCursor):
        happened(after="no.cursor")


def test_importance_stays_within_its_bounds(conn: sqlite3.Connection) -> None:
    add(conn, "a")
    assert memories.adjust_importance(conn, "a", 0.2) == pytest.approx(0.7)
    assert memories.adjust_importance(conn, "a", 9) == 1
    assert memories.adjust_importance(conn, "a", -9) == 0
    assert memories.adjust_importance(conn, "b", 1) is None
