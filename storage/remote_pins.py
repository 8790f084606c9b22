"""What others keep for this twin, as far as they have told: which host, and how each pin stands with it."""

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

from identity.cid import Cid
from identity.did import Did
from storage.page import Page, page_of, position

RemoteStatus = Literal["asking", "queued", "pinning", "pinned", "failed", "ending"]
"""`asking`: the host was not reached yet; `ending`: it is still to be told that the pin is not wanted any more."""

SETTLED: Final = ("pinned", "failed")

_COLUMNS: Final = "seq, host, cid, name, status, reason, created_ms, updated_ms"


@dataclass(frozen=True, slots=True)
class RemotePin:
    """One CID that a host is to keep. `reason` says why it failed, or why the host has not answered."""

    seq: int
    host: Did
    cid: Cid
    name: str | None
    status: RemoteStatus
    reason: str | None
    created_ms: int
    updated_ms: int

    @property
    def settled(self) -> bool:
        """Whether the host need not be asked any more."""
        return self.status in SETTLED


def add(conn: sqlite3.Connection, host: Did, cid: Cid, name: str | None, now_ms: int) -> RemotePin:
    """Want a CID kept by a host; one that is there is asked for again."""
    conn.execute(
        "INSERT INTO remote_pins (host, cid, name, status, created_ms, updated_ms) VALUES (?,?,?,'asking',?,?)"
        " ON CONFLICT (host, cid) DO UPDATE SET name = excluded.name, status = 'asking', reason = NULL,"
        " updated_ms = excluded.updated_ms",
        (host, str(cid), name, now_ms, now_ms),
    )
    pin = get(conn, host, cid)
    assert pin is not None
    return pin


def end(conn: sqlite3.Connection, host: Did, cid: Cid, now_ms: int) -> bool:
    """Want it no longer; the host is still to be told. Whether there is such a pin."""
    done = conn.execute(
        "UPDATE remote_pins SET status = 'ending', reason = NULL, updated_ms = ? WHERE host = ? AND cid = ?",
        (now_ms, host, str(cid)),
    )
    return done.rowcount == 1


def remove(conn: sqlite3.Connection, seq: int) -> None:
    """Forget a pin that is wanted no longer; one that was asked for anew meanwhile stays."""
    conn.execute("DELETE FROM remote_pins WHERE seq = ? AND status = 'ending'", (seq,))


def note(conn: sqlite3.Connection, pin: RemotePin, status: RemoteStatus, reason: str | None, now_ms: int) -> bool:
    """How a pin stands now, unless the owner wanted something else of it meanwhile. Whether that is news."""
    done = conn.execute(
        "UPDATE remote_pins SET status = ?, reason = ?, updated_ms = ?"
        " WHERE seq = ? AND status = ? AND (status IS NOT ? OR reason IS NOT ?)",
        (status, reason, now_ms, pin.seq, pin.status, status, reason),
    )
    return done.rowcount == 1


def get(conn: sqlite3.Connection, host: Did, cid: Cid) -> RemotePin | None:
    """The pin of this CID with this host, or None."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM remote_pins WHERE host = ? AND cid = ?", (host, str(cid))).fetchone()
    return _pin(row) if row else None


def unsettled(conn: sqlite3.Connection, host: Did, limit: int) -> list[RemotePin]:
    """The pins about which a host is to be asked, or told, next."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM remote_pins WHERE host = ? AND status NOT IN ('pinned', 'failed')"
        " ORDER BY updated_ms, seq LIMIT ?",
        (host, limit),
    )
    return [_pin(row) for row in rows]


def hosts_to_ask(conn: sqlite3.Connection) -> list[Did]:
    """The hosts of pins that are not settled."""
    rows = conn.execute("SELECT DISTINCT host FROM remote_pins WHERE status NOT IN ('pinned', 'failed') ORDER BY host")
    return [Did(host) for (host,) in rows]


def list_pins(
    conn: sqlite3.Connection, *, limit: int, after: str | None = None, host: Did | None = None
) -> Page[RemotePin]:
    """Remote pins, oldest first; of one host only if that is given."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM remote_pins WHERE seq > ? AND (? IS NULL OR host = ?) ORDER BY seq LIMIT ?",
        (position(after, start=0), host, host, limit + 1),
    )
    return page_of([_pin(row) for row in rows], limit, lambda pin: pin.seq)


def _pin(row: tuple[int, str, str, str | None, RemoteStatus, str | None, int, int]) -> RemotePin:
    seq, host, cid, name, status, reason, created_ms, updated_ms = row
    return RemotePin(seq, Did(host), Cid.parse(cid), name, status, reason, created_ms, updated_ms)
