"""Tasks of the contract net, and the contract with each twin on the other side of one.

A task is known by who gave it and the id that it gave it. `status` is what its owner is shown; a contract's `state` is
a state of the protocol's table, and what may follow is decided there.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from identity.did import Did
from storage.page import LAST_SEQ, Page, page_of, position

TaskStatus = Literal["open", "awarded", "done", "failed", "expired", "bid", "working", "lost"]
"""Of our own tasks the first five; of others' `bid`, `working`, `lost`, and then how it ended."""

MAX_LOST: Final = 256
"""Tasks of one twin that are kept although another one got them, some KB each: what the owner may still look at."""

_TASK: Final = (
    "seq, id, requester, task, requirements, created_ms, deadline_ms, status, due_ms, worker, note, result, receipt,"
    " receipt_cid"
)
_CONTRACT: Final = "requester, task_id, peer, state, confidence, eta_s, percent, note, updated_ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task. `note` says in a line why it is as it is; `due_ms` is when something must happen without a message."""

    seq: int = 0
    id: str
    requester: Did
    task: str
    requirements: tuple[str, ...]
    created_ms: int
    deadline_ms: int
    status: TaskStatus
    due_ms: int | None
    worker: Did | None = None
    note: str | None = None
    result: bytes | None = None
    receipt: bytes | None = None
    receipt_cid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractRow:
    """One twin's part in a task. `confidence` is what the worker bid, from 0 to 1; `percent` how far it is."""

    requester: Did
    task_id: str
    peer: Did
    state: str
    confidence: float
    eta_s: int
    percent: int = 0
    note: str | None = None
    updated_ms: int


def put_task(conn: sqlite3.Connection, row: TaskRow) -> None:
    """Keep a task as it is now, in place of what was kept of it."""
    conn.execute(
        "INSERT INTO tasks (id, requester, task, requirements, created_ms, deadline_ms, status, due_ms, worker, note,"
        " result, receipt, receipt_cid) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (requester, id) DO UPDATE SET"
        " status = excluded.status, due_ms = excluded.due_ms, worker = excluded.worker, note = excluded.note,"
        " result = excluded.result, receipt = excluded.receipt, receipt_cid = excluded.receipt_cid",
        (
            row.id,
            row.requester,
            row.task,
            orjson.dumps(row.requirements).decode(),
            row.created_ms,
            row.deadline_ms,
            row.status,
            row.due_ms,
            row.worker,
            row.note,
            row.result,
            row.receipt,
            row.receipt_cid,
        ),
    )


def get_task(conn: sqlite3.Connection, requester: Did, task_id: str) -> TaskRow | None:
    """One task, or None."""
    found = conn.execute(f"SELECT {_TASK} FROM tasks WHERE requester = ? AND id = ?", (requester, task_id)).fetchone()
    return _task(found) if found else None


def find_task(conn: sqlite3.Connection, own: Did, task_id: str) -> TaskRow | None:
    """The task of this id, whoever gave it; our own before one of somebody who took the same id."""
    found = conn.execute(
        f"SELECT {_TASK} FROM tasks WHERE id = ? ORDER BY requester = ? DESC, seq LIMIT 1", (task_id, own)
    ).fetchone()
    return _task(found) if found else None


def tasks(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[TaskRow]:
    """Tasks, newest first."""
    rows = conn.execute(
        f"SELECT {_TASK} FROM tasks WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), limit + 1),
    )
    return page_of([_task(row) for row in rows], limit, lambda row: row.seq)


def due_tasks(conn: sqlite3.Connection, now_ms: int) -> list[TaskRow]:
    """Tasks whose time has come, the earliest first."""
    rows = conn.execute(f"SELECT {_TASK} FROM tasks WHERE due_ms <= ? ORDER BY due_ms, seq", (now_ms,))
    return [_task(row) for row in rows]


def next_due_ms(conn: sqlite3.Connection) -> int | None:
    """When the next task's time comes; None if nothing is waited for."""
    found = conn.execute("SELECT min(due_ms) FROM tasks WHERE due_ms IS NOT NULL").fetchone()[0]
    return None if found is None else int(found)


def tasks_with(conn: sqlite3.Connection, statuses: Sequence[TaskStatus]) -> list[TaskRow]:
    """The tasks that have one of these statuses, oldest first."""
    rows = conn.execute(
        f"SELECT {_TASK} FROM tasks WHERE status IN (SELECT value FROM json_each(?)) ORDER BY seq",
        (orjson.dumps(list(statuses)).decode(),),
    )
    return [_task(row) for row in rows]


def forget_lost(conn: sqlite3.Connection, requester: Did) -> None:
    """Of the tasks of one twin that we bid for in vain keep only the newest: it can broadcast them without end."""
    gone = conn.execute(
        "DELETE FROM tasks WHERE seq IN (SELECT seq FROM tasks WHERE requester = ? AND status IN ('lost', 'expired')"
        " ORDER BY seq DESC LIMIT -1 OFFSET ?) RETURNING id",
        (requester, MAX_LOST),
    ).fetchall()
    conn.executemany(
        "DELETE FROM contracts WHERE requester = ? AND task_id = ?", [(requester, task_id) for (task_id,) in gone]
    )


def succeed(conn: sqlite3.Connection, old: Did, new: Did) -> None:
    """A twin goes by another name now: it is held to what it took on, and to what it gave."""
    conn.execute("UPDATE tasks SET worker = ? WHERE worker = ?", (new, old))
    for statement in (
        "UPDATE OR IGNORE tasks SET requester = ? WHERE requester = ?",
        "UPDATE OR IGNORE contracts SET requester = ? WHERE requester = ?",
        "UPDATE OR IGNORE contracts SET peer = ? WHERE peer = ?",
    ):
        conn.execute(statement, (new, old))


def put_contract(conn: sqlite3.Connection, row: ContractRow) -> None:
    """Keep a contract as it is now, in place of what was kept of it."""
    conn.execute(
        f"INSERT OR REPLACE INTO contracts ({_CONTRACT}) VALUES (?,?,?,?,?,?,?,?,?)",
        (
            row.requester,
            row.task_id,
            row.peer,
            row.state,
            row.confidence,
            row.eta_s,
            row.percent,
            row.note,
            row.updated_ms,
        ),
    )


def get_contract(conn: sqlite3.Connection, requester: Did, task_id: str, peer: Did) -> ContractRow | None:
    """The contract with one twin, or None."""
    found = conn.execute(
        f"SELECT {_CONTRACT} FROM contracts WHERE requester = ? AND task_id = ? AND peer = ?",
        (requester, task_id, peer),
    ).fetchone()
    return _contract(found) if found else None


def contracts(conn: sqlite3.Connection, requester: Did, task_id: str) -> list[ContractRow]:
    """The contracts of one task, by DID."""
    rows = conn.execute(
        f"SELECT {_CONTRACT} FROM contracts WHERE requester = ? AND task_id = ? ORDER BY peer", (requester, task_id)
    )
    return [_contract(row) for row in rows]


def _task(row: tuple[object, ...]) -> TaskRow:
    values = dict(zip(_TASK.replace(" ", "").split(","), row, strict=True))
    values["requirements"] = tuple(orjson.loads(str(values["requirements"])))
    return TaskRow(**values)  # type: ignore[arg-type]


def _contract(row: tuple[object, ...]) -> ContractRow:
    return ContractRow(**dict(zip(_CONTRACT.replace(" ", "").split(","), row, strict=True)))  # type: ignore[arg-type]
