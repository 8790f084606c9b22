import sqlite3

from storage import memories, memory_links, working


def turn(conn: sqlite3.Connection, name: str, session: str | None, *, ms: int, kind: str = "working") -> int:
    return memories.add_memory(
        conn,
        id=name,
        kind=kind,
        content=name,
        namespace="private",
        role="user" if kind == "working" else None,
        session_id=session,
        tags=[],
        source=None,
        model_id="m",
        vector=b"",
        ts_ms=ms,
        expires_ms=ms + 100 if kind == "working" else None,
    )


def test_turns_wait_until_an_episode_was_made_of_them(conn: sqlite3.Connection) -> None:
    a = turn(conn, "a", "s1", ms=10)
    b = turn(conn, "b", "s1", ms=20)
    c = turn(conn, "c", None, ms=15)
    assert working.waiting_sessions(conn, 9, 9) == []
    assert working.waiting_sessions(conn, 15, 9) == ["s1", None]
    assert working.waiting_turns(conn, "s1", 9) == [a, b]
    assert working.waiting_turns(conn, None, 9) == [c]
    fact = turn(conn, "fact", "s1", ms=30, kind="semantic")
    memory_links.add_link(conn, "derived", fact, a)
    assert working.waiting_turns(conn, "s1", 9) == [a, b]  # a fact that was noticed is no episode
    episode = turn(conn, "episode", "s1", ms=30, kind="episodic")
    memory_links.add_link(conn, "derived", episode, a)
    assert working.waiting_turns(conn, "s1", 9) == [b]


def test_only_turns_of_an_episode_expire(conn: sqlite3.Connection) -> None:
    a, b = turn(conn, "a", "s1", ms=10), turn(conn, "b", "s1", ms=20)
    episode = turn(conn, "episode", "s1", ms=30, kind="episodic")
    memory_links.add_link(conn, "derived", episode, a)
    assert working.delete_expired(conn, 109, 9) == []
    assert working.delete_expired(conn, 10_000, 9) == [a]
    assert working.waiting_turns(conn, "s1", 9) == [b]
    assert memory_links.sources_of(conn, episode) == []


def test_sessions_are_listed_with_what_is_in_them(conn: sqlite3.Connection) -> None:
    turn(conn, "a", "s1", ms=10)
    turn(conn, "b", "s2", ms=20)
    turn(conn, "c", "s1", ms=30, kind="episodic")
    first = working.list_sessions(conn, limit=1)
    assert [(row.session_id, row.turns, row.episodes, row.first_ms, row.last_ms) for row in first.items] == [
        ("s1", 1, 1, 10, 30)
    ]
    assert [row.session_id for row in working.list_sessions(conn, limit=9, after=first.next).items] == ["s2"]


def test_progress_is_kept_by_task(conn: sqlite3.Connection) -> None:
    assert working.progress_of(conn, "facts") == 0
    working.set_progress(conn, "facts", 7)
    working.set_progress(conn, "facts", 9)
    assert (working.progress_of(conn, "facts"), working.progress_of(conn, "other")) == (9, 0)
    one, two = turn(conn, "one", None, ms=1, kind="semantic"), turn(conn, "two", None, ms=2, kind="semantic")
    assert working.facts_after(conn, 0, 9) == [one, two]
    assert working.facts_after(conn, one, 9) == [two]
    memory_links.merge(conn, one, two)
    assert working.facts_after(conn, 0, 9) == [two]
