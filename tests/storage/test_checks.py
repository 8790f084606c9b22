import sqlite3

from storage import checks
from storage.checks import Origin


def put(conn: sqlite3.Connection, goal: str, origin: Origin, expected: str = "x", playbook: str = "main") -> None:
    checks.put(
        conn,
        check_id=f"{playbook}/{goal}",
        playbook=playbook,
        goal=goal,
        expected=expected,
        origin=origin,
        created_ms=1,
    )


def test_the_owner_goes_over_history_and_never_the_other_way_round(conn: sqlite3.Connection) -> None:
    put(conn, "one", "history", "old")
    put(conn, "one", "owner", "hers")
    put(conn, "one", "history", "new")
    found = checks.by_goal(conn, "main", "one")
    assert found is not None
    assert (found.expected, found.origin) == ("hers", "owner")
    put(conn, "one", "owner", "hers again")
    assert [check.expected for check in checks.of_playbook(conn, "main")] == ["hers again"]


def test_of_one_origin_the_newest_are_kept(conn: sqlite3.Connection) -> None:
    for n in range(4):
        put(conn, f"goal {n}", "history")
    put(conn, "mine", "owner")
    checks.trim(conn, "main", "history", keep=2)
    assert [check.goal for check in checks.of_playbook(conn, "main")] == ["goal 2", "goal 3", "mine"]
    assert (checks.count(conn, "main", "history"), checks.count(conn, "main", "owner")) == (2, 1)


def test_pages_of_one_playbook_or_of_all(conn: sqlite3.Connection) -> None:
    for n in range(3):
        put(conn, f"goal {n}", "owner")
    put(conn, "elsewhere", "owner", playbook="other")
    first = checks.list_checks(conn, "main", limit=2)
    assert [check.goal for check in first.items] == ["goal 2", "goal 1"]
    assert [check.goal for check in checks.list_checks(conn, "main", limit=2, after=first.next).items] == ["goal 0"]
    assert len(checks.list_checks(conn, None, limit=9).items) == 4
    assert checks.remove(conn, "main/goal 1")
    assert not checks.remove(conn, "main/goal 1")
    assert checks.get(conn, "main/goal 1") is None
