"""Records of the models that the owner added: where the file lies, what it must be, and its CID once it is shared."""

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from storage.page import Page, page_of, position

_COLUMNS: Final = (
    "seq, name, source, path, own_file, size_bytes, sha256, parameters, weights, licence, licence_url, cid,"
    " share_error, added_ms"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """A model whose file is here and checked. `own_file`: it lies in the twin's home and goes with the record."""

    name: str
    source: str
    path: str
    own_file: bool
    size_bytes: int
    sha256: str
    parameters: int
    weights: str | None
    licence: str | None
    licence_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow(NewModel):
    """The same as it is kept. `share_error` is why it is not shared, where that failed."""

    seq: int
    cid: str | None
    share_error: str | None
    added_ms: int


def put(conn: sqlite3.Connection, model: NewModel, now_ms: int) -> None:
    """Keep the record; one of the same name is replaced, and with another content it is shared anew."""
    conn.execute(
        "INSERT INTO local_models (name, source, path, own_file, size_bytes, sha256, parameters, weights, licence,"
        " licence_url, added_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT (name) DO UPDATE SET source = excluded.source, path = excluded.path,"
        " own_file = excluded.own_file, size_bytes = excluded.size_bytes,"
        " cid = CASE WHEN sha256 = excluded.sha256 THEN cid END, sha256 = excluded.sha256,"
        " parameters = excluded.parameters, weights = excluded.weights, licence = excluded.licence,"
        " licence_url = excluded.licence_url, share_error = NULL",
        (
            model.name,
            model.source,
            model.path,
            model.own_file,
            model.size_bytes,
            model.sha256,
            model.parameters,
            model.weights,
            model.licence,
            model.licence_url,
            now_ms,
        ),
    )


def get(conn: sqlite3.Connection, name: str) -> ModelRow | None:
    """The model of this name."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM local_models WHERE name = ?", (name,)).fetchone()
    return _model(row) if row else None


def remove(conn: sqlite3.Connection, name: str) -> None:
    """Forget a model."""
    conn.execute("DELETE FROM local_models WHERE name = ?", (name,))


def list_models(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[ModelRow]:
    """The models, oldest first. Raises BadCursor."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM local_models WHERE seq > ? ORDER BY seq LIMIT ?", (position(after, start=0), limit + 1)
    )
    return page_of([_model(row) for row in rows], limit, lambda model: model.seq)


def to_share(conn: sqlite3.Connection) -> ModelRow | None:
    """The oldest model that is not shared yet, and of which that did not fail."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM local_models WHERE cid IS NULL AND share_error IS NULL ORDER BY seq LIMIT 1"
    ).fetchone()
    return _model(row) if row else None


def note_shared(conn: sqlite3.Connection, model: ModelRow, cid: str | None, error: str | None) -> bool:
    """What became of sharing a model, unless it was removed or replaced meanwhile. Whether it is there still."""
    done = conn.execute(
        "UPDATE local_models SET cid = ?, share_error = ? WHERE seq = ? AND sha256 = ?",
        (cid, error, model.seq, model.sha256),
    )
    return done.rowcount == 1


def share_again(conn: sqlite3.Connection) -> None:
    """Try those again that could not be shared."""
    conn.execute("UPDATE local_models SET share_error = NULL WHERE cid IS NULL")


def shared_by(conn: sqlite3.Connection, cid: str) -> int:
    """How many models have this content."""
    count: int = conn.execute("SELECT count(*) FROM local_models WHERE cid = ?", (cid,)).fetchone()[0]
    return count


def _model(row: tuple[Any, ...]) -> ModelRow:
    return ModelRow(
        seq=row[0],
        name=row[1],
        source=row[2],
        path=row[3],
        own_file=bool(row[4]),
        size_bytes=row[5],
        sha256=row[6],
        parameters=row[7],
        weights=row[8],
        licence=row[9],
        licence_url=row[10],
        cid=row[11],
        share_error=row[12],
        added_ms=row[13],
    )
