"""The owner's leave for a step: asking for it, spending it, and what to do about a step of which nobody knows."""

import sqlite3
from dataclasses import replace
from typing import Final

from identity.errors import UnsignableArtifact
from node.mind.acting import Output
from node.mind.actions import Action, AskOwner
from node.mind.answering.fencing import cut
from node.mind.errors import TooLongToShow
from node.mind.jobs.approvals import APPROVED, Approvals
from node.mind.jobs.jobs import Jobs, Step
from node.mind.jobs.leave import in_words, wanted
from node.mind.jobs.record import MAX_DOING_CHARS, Record, Run
from storage.approvals import ApprovalRow, Kind

_NOT_ALLOWED: Final = "you did not allow it"
_TOO_LATE: Final = "nobody decided in time"
_NOT_KNOWN: Final = "whether it happened is not known"

MAX_OUTCOME_CHARS: Final = 4_000
"""Of an action that was cut short: what is said of it allows nothing, so its ends are enough."""


class Parked(Exception):
    """The job waits for its owner: nobody works on it until then."""


class Permitting:
    """Asks the owner about steps."""

    def __init__(self, jobs: Jobs, approvals: Approvals, record: Record) -> None:
        self._jobs = jobs
        self._approvals = approvals
        self._record = record

    async def begun_with_leave(self, run: Run, step: Step, action: Action, asked: ApprovalRow | None) -> Output | None:
        """Begin a step that needs leave, which is spent in the same transaction.

        The step's output where nothing is to be done: why it is not allowed, or what the owner answered. `asked` is
        what the owner was asked about this step before. Raises Parked while the owner has not decided.
        """
        if asked is None:
            kind: Kind = "question" if isinstance(action, AskOwner) else "action"
            try:
                await self._ask(run, step, action, kind, in_words(action))
            except (TooLongToShow, UnsignableArtifact) as error:
                return {"error": f"you cannot be asked for your leave: {error}"}
            raise Parked
        if asked.status == "pending":
            raise Parked
        if asked.status != APPROVED:
            return {"denied": asked.note or (_TOO_LATE if asked.status == "expired" else _NOT_ALLOWED)}
        bound = wanted(action, run.job.id)

        def begin(conn: sqlite3.Connection) -> bool:
            if not self._approvals.spend(conn, asked, bound):
                return False
            self._jobs.store_step(conn, run.job.id, replace(step, begun=True))
            return True

        if not await self._jobs.write(begin):
            return {"denied": "your leave was for another action, or its time is over"}
        return {"answer": asked.note or ""} if isinstance(action, AskOwner) else None

    async def what_happened(self, run: Run, step: Step, action: Action, asked: ApprovalRow | None) -> Output:
        """The output of a step that acts on the world and that a stop cut short: it is never repeated, and what came of
        it is what the owner says. Raises Parked while the owner has not said."""
        if asked is None or asked.kind != "outcome":
            what = cut(in_words(action), MAX_OUTCOME_CHARS)
            summary = f"The twin stopped while it did this: {what}. Nobody knows if it happened. Did it?"
            try:
                await self._ask(run, step, action, "outcome", summary)
            except UnsignableArtifact:
                return {"error": _NOT_KNOWN}
            raise Parked
        if asked.status == "pending":
            raise Parked
        if asked.status == APPROVED:
            return {"result": asked.note or "it happened, says the owner"}
        if asked.status == "expired":
            return {"error": _NOT_KNOWN}
        return {"error": asked.note or "it did not happen, says the owner"}

    async def _ask(self, run: Run, step: Step, action: Action, kind: Kind, summary: str) -> None:
        """Put a step before the owner, in the transaction that puts the step on disk."""
        row, event = self._approvals.new(
            kind, summary, wanted(action, run.job.id), n=step.n, until_ms=run.job.deadline_ms
        )
        doing = f"waits for you: {summary}"[:MAX_DOING_CHARS]

        def store(conn: sqlite3.Connection) -> None:
            self._jobs.store_step(conn, run.job.id, step)
            self._record.planned(conn, run, doing)
            self._approvals.store(conn, row, event)

        await self._jobs.write(store)
        self._approvals.announce(event)
        self._record.tell_step(run, step)
        self._record.tell(run.control, run.job.id, "approval", {"id": row.id, "kind": row.kind, "summary": row.summary})
