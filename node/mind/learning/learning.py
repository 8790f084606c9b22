"""What is learned from how goals went: which rules each was given is noted, and counted by what came of it.

Each job is noted with the bullets that fitted it and with its outcome, in the transaction that ends the job. From time
to time what was noted becomes a revision of ours that counts the bullets helpful or harmful. How a job ended, a check
and the receipt of a task that the job gave count once; what the owner says counts twice, for it also sets right what
the job itself had said. What a refusal rests on are red lines, and not the playbook: it teaches nothing.
"""

import asyncio
import logging
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from identity.cid import Cid
from identity.errors import PagiError
from node.clock import NowMs, now_ms, wait_within
from node.errors import JobNotRated, JobUnknown
from node.hive.judging.duplicates import Lesson
from node.hive.judging.expecting import Expectation
from node.mind.jobs.jobs import ENDS
from node.mind.learning.guiding import Guidance, Guiding
from node.mind.learning.weighing import Weighing
from node.tasks.requester import UNRATED
from protocols import limits
from storage import feedback as feedback_rows
from storage import jobs as job_rows
from storage import learning as rows
from storage.checks import Check
from storage.database import Database
from storage.learning import JobOutcome, Outcome, Use

logger = logging.getLogger(__name__)

COUNT_AFTER: Final = 16
"""Outcomes that make a revision of their own at once."""

COUNT_EVERY_S: Final = 3600.0
"""How long fewer of them wait."""

SUCCESS: Final = "success_rate"
"""The metric of a playbook that says how many of the goals it helped with went well."""

OWNERS_WEIGHT: Final = 2
"""What the owner's word on a job counts, where the job's own end counts 1."""

MAX_BECAUSE_CHARS: Final = 500
"""How a right answer comes about: a sentence or a formula."""

REFUSED: Final = "refused"


class Playbooks(Protocol):
    """What this needs of the hive."""

    async def lessons(self, name: str, *, with_canaries: bool = False) -> Sequence[Lesson]: ...

    async def propose(
        self,
        name: str,
        critique: str,
        ops: Sequence[Mapping[str, Any]],
        evidence: Sequence[str] = (),
        *,
        also: Callable[[sqlite3.Connection], None],
    ) -> Cid: ...


@dataclass(frozen=True, slots=True)
class Used:
    """A job's outcome, and the bullets that fitted it."""

    outcome: JobOutcome
    uses: tuple[Use, ...]


class Learning:
    """The way from bullets to jobs and back. `share`: lessons of feedback may be shared unless it says otherwise."""

    def __init__(
        self,
        *,
        database: Database,
        playbooks: Playbooks,
        guiding: Guiding,
        usual: str,
        share: bool = False,
        now: NowMs = now_ms,
    ) -> None:
        self.guiding: Final = guiding
        self._database = database
        self._playbooks = playbooks
        self._usual = usual
        self._share = share
        self._weighing = Weighing(database)
        self._now = now
        self._noted = asyncio.Event()
        self.on_feedback: Callable[[], None] = lambda: None
        self.counters: Counter[str] = Counter()

    async def guidance(self, job_id: str, goal: str) -> Guidance:
        """What a job is given: see Guiding."""
        return await self.guiding.guidance(job_id, goal)

    def note(self, conn: sqlite3.Connection, job_id: str, guidance: Guidance, outcome: Outcome) -> None:
        """Keep what a job was given and how it ended, in the transaction that is open."""
        uses, now = guidance.uses, self._now()
        if uses:
            noted = JobOutcome(job_id, guidance.playbook, outcome, "job", outcome == "unknown", now)
            rows.put(conn, noted, uses)

    def noted(self) -> None:
        """What `note` kept is on disk."""
        self._noted.set()

    async def of(self, job_id: str) -> Used | None:
        """What a job was given, and what is known of how it went; None if a playbook had nothing for it."""
        return await self._database.read(lambda conn: _used(conn, job_id))

    async def rate(
        self,
        job_id: str,
        *,
        good: bool,
        expected: str | None = None,
        because: str | None = None,
        share: bool | None = None,
    ) -> Used:
        """What the owner says of a job that has ended, refused ones included. The same again changes nothing.

        `expected` is what a right answer holds, in the form of a check, and `because` how it comes about: a lesson may
        be made of it. `share` lets that lesson into the playbook, where others read it; None is the owner's setting.

        Raises JobUnknown, CheckUnusable, and JobNotRated for a job that has not ended.
        """
        if expected is not None:
            Expectation.of(expected)

        def store(conn: sqlite3.Connection) -> Used:
            job = job_rows.get_job(conn, job_id)
            if job is None:
                raise JobUnknown(f"no job {job_id}")
            if job.status not in ENDS:
                raise JobNotRated(f"job {job_id} is {job.status}: it can be rated once it has ended")
            now, outcome = self._now(), _outcome(good)
            if not rows.rate(conn, job_id, outcome, updated_ms=now):
                rows.put(conn, JobOutcome(job_id, self._usual, outcome, "owner", counted=True, updated_ms=now), ())
            used = _used(conn, job_id)
            assert used is not None
            feedback_rows.put(
                conn,
                job_id,
                used.outcome.playbook,
                good=good,
                expected=expected if job.status != REFUSED else None,
                because=because,
                share=self._share if share is None else share,
                ts_ms=now,
            )
            return used

        rated = await self._database.write(store)
        self._noted.set()
        self.on_feedback()
        return rated

    async def note_checks(self, name: str, results: Sequence[tuple[Check, bool]]) -> None:
        """Checks were answered with a playbook as it is: what each was given is counted by its result."""
        now, run = self._now(), uuid.uuid4()
        found = [(await self.guiding.of(name, f"check-run:{run}", check.goal), right) for check, right in results]

        def store(conn: sqlite3.Connection) -> None:
            for number, (guidance, right) in enumerate(found):
                noted = JobOutcome(f"check-run:{run}:{number}", name, _outcome(right), "check", False, now)
                if uses := [use for use in guidance.uses if use.use == "adopted"]:
                    rows.put(conn, noted, uses)

        await self._database.write(store)
        self._noted.set()

    async def note_receipts(self) -> int:
        """Take what receipts say of tasks that jobs of ours gave; of how many jobs that was news.

        A job that gave several went as the worst of them did.
        """
        worst: dict[str, float] = {}
        before: dict[str, Outcome | None] = {}
        for job_id, quality, said in await self._database.read(rows.receipts):
            if quality != UNRATED:
                worst[job_id], before[job_id] = min(quality, worst.get(job_id, 1.0)), said
        found = {job_id: _outcome(quality > UNRATED) for job_id, quality in worst.items()}
        news = [(job_id, outcome) for job_id, outcome in found.items() if outcome != before[job_id]]
        if not news:
            return 0
        now = self._now()
        return await self._database.write(
            lambda conn: sum(
                rows.rate(conn, job_id, outcome, source="receipt", updated_ms=now) for job_id, outcome in news
            )
        )

    async def run(self) -> None:
        """Count outcomes and weigh memories by them from time to time, until cancelled."""
        while True:
            await wait_within(self._noted, COUNT_EVERY_S)
            due = not self._noted.is_set()
            self._noted.clear()
            await self.note_receipts()
            self.counters["memories_weighed"] += await self._weighing.weigh()
            for name in await self._database.read(rows.uncounted_playbooks):
                try:
                    await self.count(name, at_least=1 if due else COUNT_AFTER)
                except PagiError as error:
                    logger.warning("how bullets of playbook %s did was not counted yet: %s", name, error)

    async def count(self, name: str, *, at_least: int = 1) -> Cid | None:
        """Make a revision of the outcomes that were not counted yet, if there are enough; its CID.

        They are marked in the transaction that keeps the revision: each is counted once, whenever a crash comes.
        """
        outcomes = await self._database.read(lambda conn: rows.uncounted(conn, name, limits.MAX_EVIDENCE))
        if len(outcomes) < max(1, at_least):
            return None

        def mark(conn: sqlite3.Connection) -> None:
            rows.set_counted(conn, outcomes)

        ops = await self._counts(name, outcomes)
        if not ops:
            await self._database.write(mark)
            return None
        good = sum(outcome.outcome == "good" for outcome in outcomes)
        ops.append({"op": "metric", "name": SUCCESS, "sum": float(good), "count": len(outcomes)})
        critique = f"How bullets did in {len(outcomes)} jobs, {good} of them good."
        evidence = [_reference(outcome) for outcome in outcomes]
        cid = await self._playbooks.propose(name, critique, ops, evidence, also=mark)
        self.counters["outcomes_counted"] += len(outcomes)
        return cid

    async def _counts(self, name: str, outcomes: Sequence[JobOutcome]) -> list[dict[str, Any]]:
        """The operations that count the bullets which these jobs were given, as far as they are still there."""
        present = {lesson.bullet.id for lesson in await self._playbooks.lessons(name, with_canaries=True)}
        uses = await self._database.read(lambda conn: [rows.uses_of(conn, outcome.job_id) for outcome in outcomes])
        counts: Counter[tuple[str, str]] = Counter()
        for outcome, used in zip(outcomes, uses, strict=True):
            op = "helpful" if outcome.outcome == "good" else "harmful"
            weight = OWNERS_WEIGHT if outcome.source == "owner" else 1
            given = (use.bullet for use in used if use.use != "kept_back" and use.bullet in present)
            counts.update({(op, bullet): weight for bullet in given})
        return [{"op": op, "id": bullet, "n": n} for (op, bullet), n in sorted(counts.items())][: limits.MAX_OPS - 1]


def _outcome(good: bool) -> Outcome:
    return "good" if good else "bad"


def _reference(outcome: JobOutcome) -> str:
    """The evidence: an id that says nothing to anybody else."""
    return outcome.job_id if outcome.source == "check" else f"job:{outcome.job_id}"


def _used(conn: sqlite3.Connection, job_id: str) -> Used | None:
    noted = rows.get(conn, job_id)
    return None if noted is None else Used(noted, tuple(rows.uses_of(conn, job_id)))
