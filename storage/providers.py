"""Providers of models that the owner named, in the owner's order. Keys lie here sealed; what opens them is not known
here."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["openai", "anthropic"]

_COLUMNS: Final = "name, kind, base_url, model, sees_private, capable, context_tokens, price_in, price_out, sealed_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """One provider. Prices are per million tokens, in whatever currency the owner thinks in."""

    name: str
    kind: Kind
    base_url: str
    model: str
    sees_private: bool
    capable: bool
    context_tokens: int
    price_in: float
    price_out: float
    sealed_key: bytes | None


def add(conn: sqlite3.Connection, row: ProviderRow) -> bool:
    """Put a provider at the end of the order; whether its name was free."""
    done = conn.execute(
        f"INSERT INTO providers ({_COLUMNS}, position) SELECT ?,?,?,?,?,?,?,?,?,?,"
        " COALESCE(MAX(position), 0) + 1 FROM providers WHERE true ON CONFLICT (name) DO NOTHING",
        _values(row),
    )
    return done.rowcount == 1


def replace(conn: sqlite3.Connection, row: ProviderRow) -> bool:
    """Change a provider where it stands; whether there was one."""
    done = conn.execute(
        "UPDATE providers SET kind = ?, base_url = ?, model = ?, sees_private = ?, capable = ?, context_tokens = ?,"
        " price_in = ?, price_out = ?, sealed_key = ? WHERE name = ?",
        (*_values(row)[1:], row.name),
    )
    return done.rowcount == 1


def remove(conn: sqlite3.Connection, name: str) -> bool:
    """Forget a provider and its key; whether there was one. What was used of it stays counted."""
    return conn.execute("DELETE FROM providers WHERE name = ?", (name,)).rowcount == 1


def set_order(conn: sqlite3.Connection, names: Sequence[str]) -> None:
    """The order in which they are asked."""
    conn.executemany(
        "UPDATE providers SET position = ? WHERE name = ?", [(place, name) for place, name in enumerate(names)]
    )


def all_in_order(conn: sqlite3.Connection) -> list[ProviderRow]:
    """All of them, the one that is asked first at the beginning."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM providers ORDER BY position, name")
    return [_row(row) for row in rows]


def _values(row: ProviderRow) -> tuple[str | int | float | bytes | None, ...]:
    return (
        *(row.name, row.kind, row.base_url, row.model, int(row.sees_private), int(row.capable), row.context_tokens),
        *(float(row.price_in), float(row.price_out), row.sealed_key),
    )


def _row(row: tuple[str, Kind, str, str, int, int, int, float, float, bytes | None]) -> ProviderRow:
    name, kind, base_url, model, sees_private, capable, context_tokens, price_in, price_out, sealed_key = row
    return ProviderRow(
        name=name,
        kind=kind,
        base_url=base_url,
        model=model,
        sees_private=bool(sees_private),
        capable=bool(capable),
        context_tokens=context_tokens,
        price_in=price_in,
        price_out=price_out,
        sealed_key=sealed_key,
    )
