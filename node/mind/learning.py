"""What a playbook is given to a job for, and what is learned from how the job went.

Each job is noted with the bullets that fitted it and with its outcome, in the transaction that ends the job. From time
to time what was noted becomes a revision of ours that counts the bullets helpful or harmful. How a job ended counts
once; what the owner says of it counts twice, for it also sets right what the job itself had said.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from identity.cid import Cid
from identity.errors import PagiError
from node.clock import NowMs, now_ms, wait_within
from node.errors import JobNotRated
from node.hive.canary import arm_of
from node.hive.retrieval import Fitting, Retrieval
from node.mind.reflection import asked_by
from node.trust import TrustList
from protocols import limits
from protocols.playbook.merge import Playbook
from storage import learning as rows
from storage.database import Database
from storage.learning import Arm, JobOutcome, Outcome, Use

logger = logging.getLogger(__name__)

COUNT_AFTER: Final = 16
"""Outcomes that make a revision of their own at once."""

COUNT_EVERY_S: Final = 3600.0
"""How long fewer of them wait."""

OWNERS_WEIGHT: Final = 2
"""What the owner's word on a job counts, where the job's own end counts 1."""


class Playbooks(Protocol):
    """What this needs of the hive."""

    async def view(self, name: str) -> Playbook: ...

    async def view_with_canaries(self, name: str) -> Playbook: ...

    async def propose(
        self, name: str, critique: str, ops: Sequence[Mapping[str, Any]], evidence: Sequence[str] = ()
    ) -> Cid: ...


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a job is given of a playbook: `given`, best first. `kept_back` fitted too, and is compared with."""

    playbook: str
    arm: Arm
    given: tuple[Fitting, ...]
    kept_back: tuple[Fitting, ...] = ()

    @property
    def texts(self) -> list[str]:
        """The bullets' words, for the prompt."""
        return [fitting.bullet.text for fitting in self.given]

    @property
    def uses(self) -> list[Use]:
        """The rows of this."""
        given = [Use(one.bullet.id, one.bullet.revision, given=True) for one in self.given]
        return given + [Use(one.bullet.id, one.bullet.revision, given=False) for one in self.kept_back]


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
        canary_share: float,
        now: NowMs = now_ms,
    ) -> None:
        self._database = database
        self._playbooks = playbooks
        self._retrieval = retrieval
        self._trust = trust
        self._tokens = tokens
        self._canary_share = canary_share
        self._now = now
        self._noted = asyncio.Event()
        self.counters: Counter[str] = Counter()

    async def guidance(self, name: str, job_id: str, goal: str) -> Guidance:
        """The bullets for a goal, of those adopted and, for a share of the jobs, of those that are being tried."""
        usual, tried = await self._playbooks.view(name), await self._playbooks.view_with_canaries(name)
        fitting = await asyncio.to_thread(self._fitting, usual, goal)
        if tried == usual:
            return Guidance(name, "usual", fitting)
        with_tried = await asyncio.to_thread(self._fitting, tried, goal)
        if arm_of(job_id, self._canary_share) == "canary":
            return Guidance(name, "canary", with_tried)
        adopted = usual.revisions
        return Guidance(name, "usual", fitting, tuple(one for one in with_tried if one.bullet.revision not in adopted))

    def note(self, conn: sqlite3.Connection, job_id: str, guidance: Guidance, outcome: Outcome) -> None:
        """Keep what a job was given and how it ended, in the transaction that is open."""
        uses = guidance.uses
        if uses:
            noted = JobOutcome(
                job_id, guidance.playbook, guidance.arm, outcome, "job", counted=False, updated_ms=self._now()
            )
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

        They are marked first: a crash between the two leaves them out, and never counts them twice.
        """
        outcomes = await self._database.read(lambda conn: rows.uncounted(conn, name, limits.MAX_EVIDENCE))
        if len(outcomes) < max(1, at_least):
            return None
        ops = await self._counts(name, outcomes)
        await self._database.write(lambda conn: rows.set_counted(conn, outcomes, counted=True))
        if not ops:
            return None
        good = sum(outcome.outcome == "good" for outcome in outcomes)
        critique = f"How bullets did in {len(outcomes)} jobs, {good} of them good."
        try:
            cid = await self._playbooks.propose(name, critique, ops, [f"job:{outcome.job_id}" for outcome in outcomes])
        except PagiError:
            await self._database.write(lambda conn: rows.set_counted(conn, outcomes, counted=False))
            raise
        self.counters["outcomes_counted"] += len(outcomes)
        return cid

    async def _counts(self, name: str, outcomes: Sequence[JobOutcome]) -> list[dict[str, Any]]:
        """The operations that count the bullets which these jobs were given, as far as they are still there."""
        present = {bullet.id for bullet in (await self._playbooks.view_with_canaries(name)).bullets}
        uses = await self._database.read(lambda conn: [rows.uses_of(conn, outcome.job_id) for outcome in outcomes])
        counts: Counter[tuple[str, str]] = Counter()
        for outcome, used in zip(outcomes, uses, strict=True):
            op = "helpful" if outcome.outcome == "good" else "harmful"
            weight = OWNERS_WEIGHT if outcome.source == "owner" else 1
            counts.update({(op, use.bullet): weight for use in used if use.given and use.bullet in present})
        return [{"op": op, "id": bullet, "n": n} for (op, bullet), n in sorted(counts.items())][: limits.MAX_OPS]

    def _fitting(self, playbook: Playbook, goal: str) -> tuple[Fitting, ...]:
        # A bullet that says whom to ask is no rule for an answer; `mind/colleagues.py` reads those.
        bullets = [bullet for bullet in playbook.bullets if asked_by(bullet) is None]
        ages = [playbook.height - playbook.revisions[bullet.revision] for bullet in bullets]
        return self._retrieval.fitting(goal, bullets, ages=ages, tokens=self._tokens, trusted=self._trust.named)


def _used(conn: sqlite3.Connection, job_id: str) -> Used | None:
    noted = rows.get(conn, job_id)
    return None if noted is None else Used(noted, tuple(rows.uses_of(conn, job_id)))
