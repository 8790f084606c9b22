"""What the meta-learner found and did, and the settings of this twin that it may change."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from storage.page import LAST_SEQ, Page, page_of, position

State = Literal["proposed", "trying", "done", "undone", "declined", "failed"]
"""`trying`: it is in effect, and compared. `undone`: taken back, by the owner or because it did not help."""

MAX_KEPT: Final = 2_000
"""Actions kept, the newest: years of a busy twin."""

HARMLESS: Final = "harmless"
"""The setting that holds goals: those that the owner said were refused wrongly."""

FORGOTTEN: Final = "(forgotten)"

_COLUMNS: Final = "seq, id, matter, about, state, finding, action, measured, needs, undo, ts_ms, updated_ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaAction:
    """One action: of which case (`matter`), about what, what was found and what was or would be done, in words.

    `measured` are the figures that it rests on, `needs` is what carrying it out takes, `undo` what taking it back does.
    """

    seq: int = 0
    id: str
    matter: str
    about: str
    state: State
    finding: str
    action: str
    measured: Mapping[str, float]
    needs: Mapping[str, Any]
    undo: Mapping[str, Any]
    ts_ms: int
    updated_ms: int


def put(conn: sqlite3.Connection, action: MetaAction) -> None:
    """Keep an action as it is now, in place of what was kept of it."""
    conn.execute(
        "INSERT INTO meta_actions (id, matter, about, state, finding, action, measured, needs, undo, ts_ms, updated_ms)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
        " finding = excluded.finding, action = excluded.action, measured = excluded.measured,"
        " needs = excluded.needs, undo = excluded.undo,"
        " updated_ms = excluded.updated_ms",
        (
            *(action.id, action.matter, action.about, action.state, action.finding, action.action),
            *(json.dumps(dict(each)) for each in (action.measured, action.needs, action.undo)),
            *(action.ts_ms, action.updated_ms),
        ),
    )
    conn.execute(
        "DELETE FROM meta_actions WHERE seq IN (SELECT seq FROM meta_actions ORDER BY seq DESC LIMIT -1 OFFSET ?)",
        (MAX_KEPT,),
    )


def get(conn: sqlite3.Connection, action_id: str) -> MetaAction | None:
    """One action, or None."""
    found = _select(conn, "WHERE id = ?", (action_id,))
    return found[0] if found else None


def page(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[MetaAction]:
    """The actions, newest first."""
    found = _select(conn, "WHERE seq < ? ORDER BY seq DESC LIMIT ?", (position(after, start=LAST_SEQ), limit + 1))
    return page_of(found, limit, lambda action: action.seq)


def with_states(conn: sqlite3.Connection, states: Sequence[State]) -> list[MetaAction]:
    """The actions that have one of these states, oldest first."""
    return _select(conn, "WHERE state IN (SELECT value FROM json_each(?)) ORDER BY seq", (json.dumps(list(states)),))


def since(conn: sqlite3.Connection, matter: str, ts_ms: int) -> list[MetaAction]:
    """The actions of one case since then, newest first."""
    return _select(conn, "WHERE matter = ? AND updated_ms >= ? ORDER BY seq DESC", (matter, ts_ms))


def count_since(conn: sqlite3.Connection, ts_ms: int) -> int:
    """How many actions there were since then, proposed ones included."""
    return int(conn.execute("SELECT COUNT(*) FROM meta_actions WHERE ts_ms >= ?", (ts_ms,)).fetchone()[0])


def tuning(conn: sqlite3.Connection) -> dict[str, Any]:
    """All settings that were changed."""
    return {key: json.loads(value) for key, value in conn.execute("SELECT key, value FROM tuning")}


def set_tuning(conn: sqlite3.Connection, key: str, value: object) -> None:
    """Change a setting; None takes it out."""
    if value is None:
        conn.execute("DELETE FROM tuning WHERE key = ?", (key,))
    else:
        conn.execute(
            "INSERT INTO tuning (key, value) VALUES (?,?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, json.dumps(value)),
        )


def forget_goals(conn: sqlite3.Connection, tells: Callable[[str], bool]) -> None:
    """Take out the goals that tell what is forgotten: examples of harmless ones, and those that actions are about."""

    def left(goals: Sequence[str]) -> list[str]:
        return [goal for goal in goals if not tells(goal)]

    if (harmless := tuning(conn).get(HARMLESS)) is not None:
        set_tuning(conn, HARMLESS, left(harmless))
    for seq, *texts in conn.execute("SELECT seq, needs, undo FROM meta_actions").fetchall():
        needs, undo = (json.loads(text) for text in texts)
        if tells(needs.get("goal", "")):
            needs["goal"] = FORGOTTEN
        if "goals" in needs:
            needs["goals"] = left(needs["goals"])
        key, before = undo.get("tuning", (None, None))
        if key == HARMLESS:  # what was before and what is now: taking it back compares
            undo |= {"tuning": [key, before and left(before)], "now": left(undo["now"])}
        if HARMLESS in (settings := undo.get("settings", {})):  # as they were before what is being carried out
            settings[HARMLESS] = left(settings[HARMLESS])
        now = [json.dumps(each) for each in (needs, undo)]
        if now != texts:
            conn.execute("UPDATE meta_actions SET needs = ?, undo = ? WHERE seq = ?", (*now, seq))


def _select(conn: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[MetaAction]:
    rows = conn.execute(f"SELECT {_COLUMNS} FROM meta_actions {where}", values)
    return [
        MetaAction(
            seq=seq,
            id=action_id,
            matter=matter,
            about=about,
            state=state,
            finding=finding,
            action=action,
            measured=json.loads(measured),
            needs=json.loads(needs),
            undo=json.loads(undo),
            ts_ms=ts_ms,
            updated_ms=updated_ms,
        )
        for seq, action_id, matter, about, state, finding, action, measured, needs, undo, ts_ms, updated_ms in rows
    ]
