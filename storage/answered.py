"""What the swarm answered lately."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from identity.did import Did


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """A question that a twin answered. `vector` holds float32 of the embedder `model_id`, `answer` JSON."""

    id: int
    question: str
    model_id: str
    vector: bytes
    answer: bytes
    did: Did
    kept_ms: int


def put(
    conn: sqlite3.Connection,
    *,
    question: str,
    model_id: str,
    vector: bytes,
    answer: bytes,
    did: Did,
    kept_ms: int,
    most: int,
) -> None:
    """Keep an answer in place of the same twin's to the same question; of more than `most` the oldest go."""
    conn.execute("DELETE FROM answered WHERE did = ? AND question = ?", (did, question))
    conn.execute(
        "INSERT INTO answered (question, model_id, vector, answer, did, kept_ms) VALUES (?,?,?,?,?,?)",
        (question, model_id, vector, answer, did, kept_ms),
    )
    conn.execute(
        "DELETE FROM answered WHERE id NOT IN (SELECT id FROM answered ORDER BY kept_ms DESC, id DESC LIMIT ?)", (most,)
    )


def since(conn: sqlite3.Connection, kept_ms: int, model_id: str) -> list[AnsweredRow]:
    """What was kept at or after a time with the vectors of one embedder, newest first."""
    rows = conn.execute(
        "SELECT id, question, model_id, vector, answer, did, kept_ms FROM answered"
        " WHERE kept_ms >= ? AND model_id = ? ORDER BY kept_ms DESC, id DESC",
        (kept_ms, model_id),
    )
    return [AnsweredRow(*row) for row in rows]


def forget_before(conn: sqlite3.Connection, kept_ms: int) -> int:
    """Drop what was kept before a time; how many there were."""
    return conn.execute("DELETE FROM answered WHERE kept_ms < ?", (kept_ms,)).rowcount


def forget_all_but(conn: sqlite3.Connection, dids: Collection[Did]) -> int:
    """Drop the answers of everybody else; how many there were."""
    authors = {did for (did,) in conn.execute("SELECT DISTINCT did FROM answered")}
    gone = [(did,) for did in authors.difference(dids)]
    return conn.executemany("DELETE FROM answered WHERE did = ?", gone).rowcount if gone else 0


def count(conn: sqlite3.Connection) -> int:
    """How many answers are kept."""
    return int(conn.execute("SELECT COUNT(*) FROM answered").fetchone()[0])
