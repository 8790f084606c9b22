import sqlite3

from storage import memories, memory_links
from tests.storage.test_memories import add


def test_what_was_made_from_something_is_found_at_any_remove(conn: sqlite3.Connection) -> None:
    turn, episode, fact, other = (add(conn, name) for name in ("turn", "episode", "fact", "other"))
    assert memory_links.add_link(conn, "derived", episode, turn)
    assert not memory_links.add_link(conn, "derived", episode, turn)
    memory_links.add_link(conn, "derived", fact, episode)
    memory_links.add_link(conn, "contradicts", other, turn)
    assert memory_links.made_from(conn, [turn]) == [episode, fact]
    assert memory_links.made_from(conn, [turn, episode]) == [fact]
    assert memory_links.made_from(conn, []) == []
    assert memory_links.sources_of(conn, episode) == [turn]
    ties = memory_links.ties_of(conn, episode)
    assert (ties.made_from, ties.made_into, ties.contradicts) == (("turn",), ("fact",), ())


def test_a_circle_of_links_ends(conn: sqlite3.Connection) -> None:
    one, two = add(conn, "one"), add(conn, "two")
    memory_links.add_link(conn, "derived", one, two)
    memory_links.add_link(conn, "derived", two, one)
    assert memory_links.made_from(conn, [one]) == [two]


def test_contradictions_are_seen_from_both_sides_the_newest_first(conn: sqlite3.Connection) -> None:
    old, middle, new = (add(conn, name) for name in ("old", "middle", "new"))
    memory_links.add_link(conn, "contradicts", new, old)
    memory_links.add_link(conn, "contradicts", middle, old)
    assert memory_links.contradicting(conn, [old, new]) == {old: [new, middle], new: [old]}
    assert memory_links.ties_of(conn, old).contradicts == ("middle", "new")
    memories.delete_memory(conn, "new")
    assert memory_links.contradicting(conn, [old, middle]) == {old: [middle], middle: [old]}


def test_the_newest_stands_for_all_that_said_the_same(conn: sqlite3.Connection) -> None:
    first, second, third, other = (add(conn, name) for name in ("first", "second", "third", "other"))
    memories.adjust_importance(conn, "first", 0.4)
    memory_links.merge(conn, first, second)
    memory_links.merge(conn, second, third)
    rows = {row.id: row for row in memories.get_many(conn, [first, second, third, other])}
    assert [rows[name].merged_into for name in ("first", "second", "third", "other")] == [third, third, None, None]
    assert rows["third"].importance == 0.9
    for seq in (first, second, third):
        assert set(memory_links.said_the_same(conn, [seq])) == {first, second, third} - {seq}
    assert memory_links.said_the_same(conn, [other]) == []
    ties = memory_links.ties_of(conn, first)
    assert ties.merged_into == "third"
    assert memory_links.ties_of(conn, third).said_before == ("first", "second")
    memories.delete_memory(conn, "third")
    assert [row.merged_into for row in memories.get_many(conn, [first, second])] == [None, None]
