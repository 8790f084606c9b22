"""The rows of the mood and of the orders to a fleet."""

import sqlite3

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.did import Did
from storage import emotion, fleet_orders
from storage.emotion import MoodRow
from storage.fleet_orders import OrderRow


def test_there_is_one_mood(conn: sqlite3.Connection) -> None:
    assert emotion.get(conn) is None
    for row in (MoodRow("happy", 0.5, 1), MoodRow("sad", 0.7, 2)):
        emotion.put(conn, row)
        assert emotion.get(conn) == row


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.integers(1, 6)), max_size=12))
def test_of_each_key_the_order_with_the_greatest_sequence_stands(
    conn: sqlite3.Connection, orders: list[tuple[str, bool, int]]
) -> None:
    conn.execute("DELETE FROM fleet_orders")
    newest: dict[str, tuple[bool, int]] = {}
    for author, stops, sequence in orders:
        is_new = sequence > newest.get(author, (False, 0))[1]
        assert fleet_orders.put(conn, OrderRow(Did(author), stops, "", sequence, 1)) == is_new
        if is_new:
            newest[author] = (stops, sequence)
    assert {row.author: (row.stops, row.sequence) for row in fleet_orders.everything(conn)} == newest
