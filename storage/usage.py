"""What models were used for: rows for each day and provider, sums for each session, and calls that are under way.

Money is in millionths of the owner's currency. A call that can cost money is noted as open before it is made, with the
most that it may cost; closing it and counting what it really cost is one transaction: no crash can lose the cost.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from storage.errors import BadCursor
from storage.page import Page, page_of

MAX_SESSIONS: Final = 10_000
"""Sessions whose sums are kept; beyond, the one that was quiet for longest is forgotten."""

_COLUMNS: Final = "day, provider, model, calls, failed, prompt_tokens, cached_tokens, completion_tokens, ms, micros"

_ADD: Final = (
    f"INSERT INTO usage ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (day, provider, model) DO UPDATE SET calls = calls + excluded.calls,"
    " failed = failed + excluded.failed, prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
    " cached_tokens = cached_tokens + excluded.cached_tokens,"
    " completion_tokens = completion_tokens + excluded.completion_tokens,"
    " ms = ms + excluded.ms, micros = micros + excluded.micros"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What one model of one provider was used for on one day (UTC, as 2026-11-20)."""

    day: str
    provider: str
    model: str
    calls: int = 1
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    ms: int = 0
    micros: int = 0


@dataclass(frozen=True, slots=True)
class Sums:
    """Tokens, milliseconds and millionths of money."""

    tokens: int = 0
    ms: int = 0
    micros: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCall:
    """A call that is under way, with what it may use at most."""

    id: str
    day: str
    session_id: str | None
    provider: str
    model: str
    tokens: int
    micros: int


def open_call(conn: sqlite3.Connection, call: OpenCall) -> None:
    """Note a call before it is made."""
    conn.execute(
        "INSERT INTO usage_open (id, day, session_id, provider, model, tokens, micros) VALUES (?,?,?,?,?,?,?)",
        (call.id, call.day, call.session_id, call.provider, call.model, call.tokens, call.micros),
    )


def forget_call(conn: sqlite3.Connection, call_id: str) -> None:
    """Take a call back that was not made after all."""
    conn.execute("DELETE FROM usage_open WHERE id = ?", (call_id,))


def count(
    conn: sqlite3.Connection, used: UsageRow, *, session_id: str | None, call_id: str | None, now_ms: int
) -> None:
    """Add what a call used to its day and its session, and close it if it was noted as open."""
    values = (used.calls, used.failed, used.prompt_tokens, used.cached_tokens, used.completion_tokens)
    conn.execute(_ADD, (used.day, used.provider, used.model, *values, used.ms, used.micros))
    if call_id is not None:
        forget_call(conn, call_id)
    if session_id is not None:
        tokens = used.prompt_tokens + used.completion_tokens
        _count_session(conn, session_id, Sums(tokens, used.ms, used.micros), now_ms=now_ms)


def count_interrupted(conn: sqlite3.Connection, *, now_ms: int) -> int:
    """Count the calls that a crash left open as if they had used all that they could; how many there were."""
    left = [OpenCall(**dict(zip(_OPEN, row, strict=True))) for row in conn.execute(_SELECT_OPEN)]
    for call in left:
        used = UsageRow(
            day=call.day,
            provider=call.provider,
            model=call.model,
            failed=1,
            prompt_tokens=call.tokens,
            micros=call.micros,
        )
        count(conn, used, session_id=call.session_id, call_id=call.id, now_ms=now_ms)
    return len(left)


def sums_of_day(conn: sqlite3.Connection, day: str) -> Sums:
    """What was used on one day."""
    return _sums(conn, "FROM usage WHERE day = ?", (day,))


def sums_of_twin(conn: sqlite3.Connection) -> Sums:
    """What was ever used."""
    return _sums(conn, "FROM usage", ())


def sums_of_session(conn: sqlite3.Connection, session_id: str) -> Sums:
    """What one session used."""
    found = conn.execute("SELECT tokens, ms, micros FROM session_usage WHERE session_id = ?", (session_id,)).fetchone()
    return Sums(*found) if found else Sums()


def rows(conn: sqlite3.Connection, *, limit: int, after: str | None) -> Page[UsageRow]:
    """What was used, the newest day first. Raises BadCursor."""
    where, values = "", tuple[str, ...]()
    if after is not None:
        where, values = "WHERE (day, provider, model) < (?, ?, ?)", tuple(after.split("/", 2))
        if len(values) != 3:
            raise BadCursor("not a cursor of this list")
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM usage {where} ORDER BY day DESC, provider DESC, model DESC LIMIT ?",
        (*values, limit + 1),
    )
    return page_of([_row(row) for row in found], limit, lambda row: f"{row.day}/{row.provider}/{row.model}")


_OPEN: Final = ("id", "day", "session_id", "provider", "model", "tokens", "micros")
_SELECT_OPEN: Final = f"SELECT {', '.join(_OPEN)} FROM usage_open"


def _count_session(conn: sqlite3.Connection, session_id: str, used: Sums, *, now_ms: int) -> None:
    conn.execute(
        "INSERT INTO session_usage (session_id, tokens, ms, micros, updated_ms) VALUES (?,?,?,?,?)"
        " ON CONFLICT (session_id) DO UPDATE SET tokens = tokens + excluded.tokens, ms = ms + excluded.ms,"
        " micros = micros + excluded.micros, updated_ms = excluded.updated_ms",
        (session_id, used.tokens, used.ms, used.micros, now_ms),
    )
    conn.execute(
        "DELETE FROM session_usage WHERE session_id IN"
        " (SELECT session_id FROM session_usage ORDER BY updated_ms DESC LIMIT -1 OFFSET ?)",
        (MAX_SESSIONS,),
    )


def _sums(conn: sqlite3.Connection, source: str, values: tuple[str, ...]) -> Sums:
    found = conn.execute(
        "SELECT COALESCE(SUM(prompt_tokens + completion_tokens), 0), COALESCE(SUM(ms), 0), COALESCE(SUM(micros), 0)"
        f" {source}",
        values,
    ).fetchone()
    return Sums(*found)


def _row(row: tuple[str, str, str, int, int, int, int, int, int, int]) -> UsageRow:
    day, provider, model, calls, failed, prompt_tokens, cached_tokens, completion_tokens, ms, micros = row
    return UsageRow(
        day=day,
        provider=provider,
        model=model,
        calls=calls,
        failed=failed,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        completion_tokens=completion_tokens,
        ms=ms,
        micros=micros,
    )
