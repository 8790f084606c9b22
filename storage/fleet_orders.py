"""The newest order to stop, or to go on, of each key that may give one."""

import sqlite3
from dataclasses import dataclass

from identity.did import Did


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order. `sequence` grows with each order of its author; `heard_ms` is by our clock."""

    author: Did
    stops: bool
    reason: str
    sequence: int
    heard_ms: int


def put(conn: sqlite3.Connection, order: OrderRow) -> bool:
    """Keep an order in place of its author's older one. False if it is not newer."""
    changed = conn.execute(
        "INSERT INTO fleet_orders (author, stops, reason, sequence, heard_ms) VALUES (?,?,?,?,?)"
        " ON CONFLICT (author) DO UPDATE SET stops = excluded.stops, reason = excluded.reason,"
        " sequence = excluded.sequence, heard_ms = excluded.heard_ms WHERE excluded.sequence > fleet_orders.sequence",
        (order.author, order.stops, order.reason, order.sequence, order.heard_ms),
    )
    return changed.rowcount > 0


def everything(conn: sqlite3.Connection) -> list[OrderRow]:
    """All orders, the oldest first."""
    rows = conn.execute("SELECT author, stops, reason, sequence, heard_ms FROM fleet_orders ORDER BY sequence, author")
    return [
        OrderRow(Did(author), bool(stops), reason, sequence, heard) for author, stops, reason, sequence, heard in rows
    ]
