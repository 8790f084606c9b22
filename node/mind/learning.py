"""What a playbook is given to a job for, and what is learned from how the job went.

Each job is noted with the bullets that fitted it and with its outcome, in the transaction that ends the job. From time
to time what was noted becomes a revision of ours that counts the bullets helpful or harmful. How a job ended counts
once; what the owner says of it counts twice, for it also sets right what the job itself had said.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from identity.cid import Cid
from identity.errors import PagiError
from node.clock import NowMs, now_ms, wait_within
from node.errors import JobNotRated
from node.hive.canary import is_tried_on
from node.hive.judging.duplicates import Lesson
from node.hive.retrieval import Fitting, Retrieval
from node.trust import TrustList
from protocols import limits
from protocols.playbook.merge import Bullet, Playbook
from storage import learning as rows
from storage.database import Database
from storage.learning import JobOutcome, Outcome, Use

logger = logging.getLogger(__name__)

COUNT_AFTER: Final = 16
"""Outcomes that make a revision of their own at once."""

COUNT_EVERY_S: Final = 3600.0
"""How long fewer of them wait."""

OWNERS_WEIGHT: Final = 2
"""What the owner's word on a job counts, where the job's own end counts 1."""


class Playbooks(Protocol):
    """What this needs of the hive."""

    @property
    def names(self) -> Sequence[str]: ...

    async def view_with_canaries(self, name: str) -> Playbook: ...

    async def lessons(self, name: str, *, with_canaries: bool = False) -> Sequence[Lesson]: ...

    async def canaries(self, name: str) -> Mapping[Cid, float]: ...

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
class Guidance:
    """What a job is given of a playbook: `given`, best first. `kept_back` fitted too, and is compared with.

    `tried` are the revisions that were given to this job and are given to a share of all jobs only.
    """

    playbook: str
    given: tuple[Fitting, ...]
    kept_back: tuple[Fitting, ...] = ()
    tried: frozenset[Cid] = frozenset()

    @property
    def texts(self) -> list[str]:
        """The bullets' words, for the prompt."""
        return [fitting.bullet.text for fitting in self.given]

    @property
    def uses(self) -> list[Use]:
        """The rows of this."""
        bullets = [one.bullet for one in self.given]
        given = [Use(one.id, one.revision, "tried" if one.revision in self.tried else "adopted") for one in bullets]
        return given + [Use(one.bullet.id, one.bullet.revision, "kept_back") for one in self.kept_back]


@dataclass(frozen=True, slots=True)
class Used:
    """A job's outcome, and the bullets that fitted it."""

    outcome: JobOutcome
    uses: tuple[Use, ...]


class Learning:
    """The way from bullets to jobs and back."""

    def __init__(
        self,
        *,
        database: Database,
        playbooks: Playbooks,
        retrieval: Retrieval,
        trust: TrustList,
        tokens: int,
        usual: str,
        now: NowMs = now_ms,
    ) -> None:
        self._database = database
        self._playbooks = playbooks
        self._retrieval = retrieval
        self._trust = trust
        self._tokens = tokens
        self._usual = usual
        self._now = now
        self._noted = asyncio.Event()
        self.counters: Counter[str] = Counter()

    async def guidance(self, job_id: str, goal: str) -> Guidance:
        """The bullets for a goal, from the playbook that has the best one for it; the usual one if none has any."""
        names = sorted(self._playbooks.names, key=lambda name: (name != self._usual, name))
        found = [await self._guidance(name, job_id, goal) for name in names or [self._usual]]
        return max(found, key=lambda guidance: guidance.given[0].score if guidance.given else 0.0)

    async def _guidance(self, name: str, job_id: str, goal: str) -> Guidance:
        """The bullets of one playbook: those adopted and, for a share of the jobs, those that are being tried."""
        shares = await self._playbooks.canaries(name)
        playbook = await self._playbooks.view_with_canaries(name)
        bullets = [lesson.bullet for lesson in await self._playbooks.lessons(name, with_canaries=True)]
        tried = frozenset(cid for cid, share in shares.items() if is_tried_on(job_id, cid, share))
        given = [bullet for bullet in bullets if bullet.revision not in shares or bullet.revision in tried]
        fitting = await asyncio.to_thread(self._fitting, goal, given, playbook)
        kept_back: tuple[Fitting, ...] = ()
        if len(given) < len(bullets):
            either = await asyncio.to_thread(self._fitting, goal, bullets, playbook)
            kept_back = tuple(one for one in either if one.bullet.revision in shares.keys() - tried)
        return Guidance(name, fitting, kept_back, tried)

    def note(self, conn: sqlite3.Connection, job_id: str, guidance: Guidance, outcome: Outcome) -> None:
        """Keep what a job was given and how it ended, in the transaction that is open."""
        uses = guidance.uses
        if uses:
            noted = JobOutcome(job_id, guidance.playbook, outcome, "job", counted=False, updated_ms=self._now())
            rows.put(conn, noted, uses)

    def noted(self) -> None:
        """What `note` kept is on disk."""
        self._noted.set()

    async def of(self, job_id: str) -> Used | None:
        """What a job was given, and what is known of how it went; None if a playbook had nothing for it."""
        return await self._database.read(lambda conn: _used(conn, job_id))

    async def rate(self, job_id: str, *, good: bool) -> Used:
        """What the owner says of a job. Saying the same again changes nothing.

        Raises JobNotRated if a playbook had nothing for the job.
        """

        def store(conn: sqlite3.Connection) -> Used | None:
            rows.rate(conn, job_id, "good" if good else "bad", updated_ms=self._now())
            return _used(conn, job_id)

        rated = await self._database.write(store)
        if rated is None:
            raise JobNotRated(f"job {job_id} was given nothing of a playbook, so nothing can be learned from it")
        self._noted.set()
        return rated

    async def run(self) -> None:
        """Count outcomes from time to time, until cancelled."""
        while True:
            await wait_within(self._noted, COUNT_EVERY_S)
            due = not self._noted.is_set()
            self._noted.clear()
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
        critique = f"How bullets did in {len(outcomes)} jobs, {good} of them good."
        evidence = [f"job:{outcome.job_id}" for outcome in outcomes]
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
        return [{"op": op, "id": bullet, "n": n} for (op, bullet), n in sorted(counts.items())][: limits.MAX_OPS]

    def _fitting(self, goal: str, bullets: Sequence[Bullet], playbook: Playbook) -> tuple[Fitting, ...]:
        ages = [playbook.height - playbook.revisions.get(bullet.revision, playbook.height) for bullet in bullets]
        return self._retrieval.fitting(goal, bullets, ages=ages, tokens=self._tokens, trusted=self._trust.named)


def _used(conn: sqlite3.Connection, job_id: str) -> Used | None:
    noted = rows.get(conn, job_id)
    return None if noted is None else Used(noted, tuple(rows.uses_of(conn, job_id)))
