import sqlite3
from pathlib import Path

import pytest

from identity.did import Did
from storage import invitations
from storage.connection import connect_writer
from storage.migrate import migrate

ADA, BELA, CARL = (Did(f"did:key:z{name}") for name in ("ada", "bela", "carl"))


@pytest.fixture
def conn(tmp_path: Path) -> sqlite3.Connection:
    connection = connect_writer(tmp_path / "node.db")
    migrate(connection, tmp_path / "node.db")
    return connection


def put(conn: sqlite3.Connection, name: str, *, uses: int = 1, created_ms: int = 0, expires_ms: int = 100) -> None:
    invitations.put_invitation(
        conn, id=name, did=ADA, url=f"https://a.example/?_oob={name}", goal=None, goal_code=None, name=None,
        uses=uses, created_ms=created_ms, expires_ms=expires_ms,
    )  # fmt: skip


def test_an_invitation_admits_as_many_as_it_says_and_each_of_them_once(conn: sqlite3.Connection) -> None:
    put(conn, "i", uses=2)
    assert invitations.use_invitation(conn, "i", BELA, 1)
    assert not invitations.use_invitation(conn, "i", BELA, 2)
    assert invitations.use_invitation(conn, "i", CARL, 3)
    assert not invitations.use_invitation(conn, "i", ADA, 4)
    row = invitations.get_invitation(conn, "i")
    assert row is not None
    assert (row.used, row.is_open(5)) == (2, False)


@pytest.mark.parametrize(("now_ms", "admits"), [(99, True), (100, False), (10**15, False)])
def test_it_ends(conn: sqlite3.Connection, now_ms: int, admits: bool) -> None:
    put(conn, "i", expires_ms=100)
    assert invitations.use_invitation(conn, "i", BELA, now_ms) is admits


def test_one_that_is_unknown_or_taken_back_admits_nobody(conn: sqlite3.Connection) -> None:
    put(conn, "i")
    assert not invitations.use_invitation(conn, "j", BELA, 1)
    assert invitations.remove_invitation(conn, "i")
    assert not invitations.remove_invitation(conn, "i")
    assert not invitations.use_invitation(conn, "i", BELA, 1)
    assert invitations.get_invitation(conn, "i") is None


def test_taking_one_back_that_was_used_forgets_its_uses(conn: sqlite3.Connection) -> None:
    put(conn, "i")
    invitations.use_invitation(conn, "i", BELA, 1)
    invitations.remove_invitation(conn, "i")
    assert conn.execute("SELECT count(*) FROM invitation_uses").fetchone() == (0,)


def test_the_list_is_newest_first_in_pages(conn: sqlite3.Connection) -> None:
    for n in range(5):
        put(conn, str(n))
    first = invitations.list_invitations(conn, limit=3)
    rest = invitations.list_invitations(conn, limit=3, after=first.next)
    assert [row.id for row in (*first.items, *rest.items)] == ["4", "3", "2", "1", "0"]
    assert rest.next is None


def test_of_too_many_those_that_are_over_go_first(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_INVITATIONS", 2)
    put(conn, "open", expires_ms=1000)
    put(conn, "over", expires_ms=10)
    put(conn, "newest", created_ms=20, expires_ms=1000)
    assert [row.id for row in invitations.list_invitations(conn, limit=9).items] == ["newest", "open"]
    put(conn, "last", created_ms=20, expires_ms=1000)
    assert [row.id for row in invitations.list_invitations(conn, limit=9).items] == ["last", "newest"]
