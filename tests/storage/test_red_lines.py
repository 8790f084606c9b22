import sqlite3

from storage import red_lines
from storage.red_lines import RedLine


def test_lines_are_kept_once_in_their_order(conn: sqlite3.Connection) -> None:
    first, second = RedLine("1", "phrase", "eat the seeds", 1), RedLine("2", "meaning", "Let nothing grow.", 2)
    assert red_lines.put(conn, first)
    assert red_lines.put(conn, second)
    assert not red_lines.put(conn, first)
    assert red_lines.everything(conn) == [first, second]
    assert red_lines.remove(conn, "1")
    assert not red_lines.remove(conn, "1")
    assert red_lines.everything(conn) == [second]
