import sqlite3

from storage import duplicates
from storage.duplicates import Pair


def test_a_pair_is_one_whichever_comes_first_and_split_for_good(conn: sqlite3.Connection) -> None:
    duplicates.put(conn, "main", [Pair("b", "a", 0.9)], ts_ms=1)
    duplicates.put(conn, "main", [Pair("a", "b", 0.8), Pair("a", "c", 0.85)], ts_ms=2)
    assert duplicates.of_playbook(conn, "main") == [Pair("a", "b", 0.9), Pair("a", "c", 0.85)]
    duplicates.split(conn, "main", "b", "a", ts_ms=3)
    duplicates.split(conn, "main", "x", "w", ts_ms=3)  # before it was ever found
    duplicates.put(conn, "main", [Pair("a", "b", 0.95), Pair("w", "x", 0.95)], ts_ms=4)
    assert [(pair.a, pair.b, pair.split) for pair in duplicates.of_playbook(conn, "main")] == [
        *(("a", "b", True), ("a", "c", False), ("w", "x", True))
    ]
    assert duplicates.of_playbook(conn, "other") == []
