import sqlite3

import pytest

from storage import namespaces
from tests.storage.test_memories import add


def test_all_that_was_described_or_used_is_listed(conn: sqlite3.Connection) -> None:
    add(conn, "a", namespace="recipes")
    add(conn, "b", namespace="recipes")
    add(conn, "c", namespace="shared")
    rows = {row.name: row for row in namespaces.list_namespaces(conn)}
    assert (rows["recipes"].privacy, rows["recipes"].memories, rows["recipes"].fixed) == ("private", 2, False)
    assert (rows["shared"].privacy, rows["shared"].memories) == ("shared", 1)
    assert (rows["soul"].fixed, rows["soul"].memories) == (True, 0)
    assert list(rows) == sorted(rows)


def test_privacy_is_private_until_it_is_said_otherwise(conn: sqlite3.Connection) -> None:
    assert namespaces.privacy_of(conn, "recipes") == "private"
    namespaces.set_privacy(conn, "recipes", "shared")
    assert namespaces.privacy_of(conn, "recipes") == "shared"
    assert namespaces.with_privacy(conn, "shared") == ("recipes", "shared")
    namespaces.set_privacy(conn, "recipes", "private")
    assert namespaces.with_privacy(conn, "shared") == ("shared",)
    assert namespaces.fixed_names(conn) == {"soul"}


def test_no_other_privacy_can_be_stored(conn: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        namespaces.set_privacy(conn, "recipes", "public")  # type: ignore[arg-type]
