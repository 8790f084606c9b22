"""Whom the owner trusts: one row, replaced as a whole."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from identity.did import Did


@dataclass(frozen=True, slots=True)
class Trust:
    """The owner's word on others. What follows from it is decided elsewhere.

    A database that was just made allows nobody, blocks nobody, has threshold 1.0 and does not adopt unasked.
    """

    allow: frozenset[Did]
    block: frozenset[Did]
    reputation_threshold: float
    auto_adopt: bool


def get_trust(conn: sqlite3.Connection) -> Trust:
    """What the owner set last."""
    allow, block, threshold, auto_adopt = conn.execute(
        "SELECT allow, block, reputation_threshold, auto_adopt FROM trust"
    ).fetchone()
    return Trust(frozenset(json.loads(allow)), frozenset(json.loads(block)), threshold, bool(auto_adopt))


def put_trust(conn: sqlite3.Connection, trust: Trust) -> None:
    """Replace it all."""
    conn.execute(
        "UPDATE trust SET allow = ?, block = ?, reputation_threshold = ?, auto_adopt = ?",
        (_text(trust.allow), _text(trust.block), trust.reputation_threshold, int(trust.auto_adopt)),
    )


def _text(dids: Iterable[Did]) -> str:
    return json.dumps(sorted(dids))
