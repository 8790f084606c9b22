"""Approvals: what the twin may not do without its owner, asked for, decided and spent once.

An approval binds one exact action: the SHA-256 of the canonical JSON (RFC 8785) of tool, arguments and job. The
decision is a record signed with the twin's key, and it is the record that counts, not the row: it is verified in the
transaction that spends it. Changed arguments, another job, a second use, a time that is over: each is no leave.
"""

import asyncio
import contextlib
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

from identity.artifacts import SignedArtifact, canonical, is_valid, sign_artifact
from identity.did import Did
from identity.errors import PagiError
from node.clock import NowMs, now_ms, rfc3339, wait_within
from node.events import Event, EventBus
from node.mind.errors import AnswerMissing, ApprovalOver, ApprovalUnknown, TooLongToShow
from storage import approvals as rows
from storage.approvals import ApprovalRow, Kind, Status
from storage.database import Database
from storage.page import Page

RECORD_TYPE: Final = "pagi-approval"
MAX_SUMMARY_CHARS: Final = 20_000
"""What cannot be shown whole cannot be approved; more than ten pages nobody reads before saying yes."""

MAX_NOTE_CHARS: Final = 16_384
"""An owner's answer may be a page; more belongs into the memory."""

APPROVED: Final = "approved"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An action that needs leave. `tool` is the tool's name, or the action's if it is no tool."""

    tool: str
    arguments: Mapping[str, Any]
    job_id: str | None

    @property
    def document(self) -> bytes:
        """The canonical JSON of it. Raises UnsignableArtifact."""
        return canonical({"tool": self.tool, "arguments": dict(self.arguments), "job_id": self.job_id})

    @property
    def hash(self) -> bytes:
        """What an approval binds."""
        return sha256(self.document).digest()


class Approvals:
    """The decisions that wait for the owner, and those that were made."""

    def __init__(
        self,
        *,
        own: Did,
        sign: Callable[[bytes], bytes],
        database: Database,
        events: EventBus,
        ttl_s: float,
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._sign = sign
        self._database = database
        self._events = events
        self._ttl_ms = int(ttl_s * 1000)
        self._now = now
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[ApprovalRow], None]] = []

    def on_decided(self, listener: Callable[[ApprovalRow], None]) -> None:
        """Have `listener` called with each approval that was decided or has expired, once that is on disk."""
        self._listeners.append(listener)

    # Asking

    def new(
        self, kind: Kind, summary: str, wanted: Wanted, *, n: int | None = None, until_ms: int | None = None
    ) -> tuple[ApprovalRow, Event]:
        """What to put before the owner, and the event of it, neither of them stored yet: `request` and `store` do.

        It can be decided for as long as approvals can, but not after `until_ms`. Raises TooLongToShow.
        """
        if len(summary) > MAX_SUMMARY_CHARS:
            raise TooLongToShow(f"it would take {len(summary)} characters to show; {MAX_SUMMARY_CHARS} can be read")
        now = self._now()
        expires_ms = now + self._ttl_ms
        row = ApprovalRow(
            seq=0,
            id=str(uuid.uuid4()),
            job_id=wanted.job_id,
            n=n,
            kind=kind,
            summary=summary,
            action=wanted.document,
            action_hash=wanted.hash,
            status="pending",
            created_ms=now,
            expires_ms=expires_ms if until_ms is None else min(expires_ms, until_ms),
        )
        data = {
            "id": row.id,
            "job_id": row.job_id,
            "kind": kind,
            "tool": wanted.tool,
            "expires": rfc3339(row.expires_ms),
        }
        return row, self._events.make("approval_requested", row.id, data, source="mind")

    def store(self, conn: sqlite3.Connection, row: ApprovalRow, event: Event) -> None:
        """Keep a new approval, in the transaction that is open; `announce` is for after it."""
        rows.put(conn, row)
        self._events.record(conn, event)

    def announce(self, event: Event) -> None:
        """What `store` kept is on disk."""
        self._events.announce(event)
        self._changed.set()

    async def request(self, kind: Kind, summary: str, wanted: Wanted, *, n: int | None = None) -> ApprovalRow:
        """Ask the owner, in a transaction of its own."""
        row, event = self.new(kind, summary, wanted, n=n)
        await self._database.write(lambda conn: self.store(conn, row, event))
        self.announce(event)
        return row

    # Deciding

    async def decide(self, approval_id: str, *, approve: bool, note: str | None = None) -> ApprovalRow:
        """The owner's decision. Raises ApprovalUnknown, ApprovalOver, AnswerMissing."""
        row = await self.get(approval_id)
        if row.kind == "question" and approve and not (note or "").strip():
            raise AnswerMissing("this is a question: it needs an answer")
        if row.status != "pending" or row.expires_ms <= self._now():
            raise ApprovalOver(f"this was {row.status if row.status != 'pending' else 'not decided in time'}")
        return await self._decided(row, APPROVED if approve else "denied", note)

    async def _decided(self, row: ApprovalRow, status: Status, note: str | None) -> ApprovalRow:
        now = self._now()
        record = orjson.dumps(self._signed(row, status, note, now)) if status != "expired" else None
        data = {"id": row.id, "job_id": row.job_id, "decision": status}
        event = self._events.make("approval_decided", row.id, data, source="mind")

        def store(conn: sqlite3.Connection) -> ApprovalRow | None:
            if not rows.decide(conn, row.id, status, decided_ms=now, note=note, record=record):
                return None
            self._events.record(conn, event)
            return rows.get(conn, row.id)

        decided = await self._database.write(store)
        if decided is None:
            raise ApprovalOver("this was decided in the meantime")
        self._events.announce(event)
        for listener in self._listeners:
            listener(decided)
        return decided

    # Spending

    def spend(self, conn: sqlite3.Connection, row: ApprovalRow, wanted: Wanted) -> bool:
        """Use an approval for the very action that it was given for, in the transaction that begins the action.

        Whether it is leave: approved, unused, in time, for this action and no other, and signed by this twin.
        """
        current = rows.get(conn, row.id)
        return current is not None and self._is_leave(current, wanted) and rows.use(conn, row.id)

    def granted(self, conn: sqlite3.Connection, wanted: Wanted) -> ApprovalRow | None:
        """An approval that could be spent for this action now, or None."""
        return next((row for row in rows.with_hash(conn, wanted.hash) if self._is_leave(row, wanted)), None)

    def _is_leave(self, row: ApprovalRow, wanted: Wanted) -> bool:
        if row.kind == "outcome":  # says what happened, and allows nothing
            return False
        if row.status != APPROVED or row.expires_ms <= self._now() or row.decided_ms is None or row.record is None:
            return False
        if row.action_hash != wanted.hash or row.action != wanted.document or row.job_id != wanted.job_id:
            return False
        try:
            kept = orjson.loads(row.record)
            signed = SignedArtifact(Did(kept["did"]), str(kept["signature"]), kept["artifact"])
            said = self._statement(row, APPROVED, row.note, row.decided_ms)
            return signed.did == self._own and signed.artifact == said and is_valid(signed)
        except (orjson.JSONDecodeError, KeyError, TypeError, PagiError):
            return False

    # Looking

    async def get(self, approval_id: str) -> ApprovalRow:
        """One approval. Raises ApprovalUnknown."""
        row = await self._database.read(lambda conn: rows.get(conn, approval_id))
        if row is None:
            raise ApprovalUnknown("there is no such approval")
        return row

    async def of_step(self, job_id: str, n: int) -> ApprovalRow | None:
        """What the owner was asked about a step of a job, or None."""
        return await self._database.read(lambda conn: rows.of_step(conn, job_id, n))

    async def list(self, limit: int, after: str | None = None, *, status: Status | None = None) -> Page[ApprovalRow]:
        """Approvals, newest first: all, or those with one status."""
        return await self._database.read(lambda conn: rows.listed(conn, limit=limit, after=after, status=status))

    async def pending_of(self, job_ids: Sequence[str]) -> tuple[ApprovalRow, ...]:
        """What these jobs wait for, oldest first."""
        found = await self._database.read(
            lambda conn: [rows.get(conn, one) for job_id in job_ids for one in rows.pending_of_job(conn, job_id)]
        )
        return tuple(sorted((row for row in found if row is not None), key=lambda row: row.seq))

    async def withdraw(self, job_id: str) -> None:
        """The job has ended: what it still asked for is not asked any more."""
        for approval_id in await self._database.read(lambda conn: rows.pending_of_job(conn, job_id)):
            await self._expire(approval_id)

    async def run(self) -> None:
        """Let what nobody decided in time expire, until cancelled."""
        while True:
            self._changed.clear()
            for approval_id in await self._database.read(lambda conn: rows.due(conn, self._now())):
                await self._expire(approval_id)
            at = await self._database.read(rows.next_due_ms)
            await wait_within(self._changed, None if at is None else max(0.05, (at - self._now()) / 1000))

    async def _expire(self, approval_id: str) -> None:
        with contextlib.suppress(ApprovalOver):  # the owner was a moment quicker
            await self._decided(await self.get(approval_id), "expired", None)

    def _signed(self, row: ApprovalRow, status: Status, note: str | None, decided_ms: int) -> dict[str, Any]:
        signed = sign_artifact(self._statement(row, status, note, decided_ms), did=self._own, sign=self._sign)
        return {"did": signed.did, "signature": signed.signature, "artifact": signed.artifact}

    def _statement(self, row: ApprovalRow, status: Status, note: str | None, decided_ms: int) -> dict[str, Any]:
        return {
            "type": RECORD_TYPE,
            "id": row.id,
            "job_id": row.job_id,
            "kind": row.kind,
            "action_sha256": row.action_hash.hex(),
            "decision": status,
            "note": note,
            "decided": rfc3339(decided_ms),
            "expires": rfc3339(row.expires_ms),
        }
