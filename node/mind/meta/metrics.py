"""The figures that the cases decide by, all read from what this twin has kept. Cheap: a few bounded queries.

Nothing of it leaves the twin. What of other twins' work can be seen from here is what they answered and how long that
took; what they say of themselves does not count.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Final

from identity.did import Did
from node.clock import NowMs, now_ms
from storage import traces
from storage.database import Database
from storage.traces import AskedStep, JobTrace, Refusal

WEEK_S: Final = 7 * 86_400
MONTH_S: Final = 30 * 86_400

MAX_STEPS: Final = 1_000
"""Questions to others that are looked at, the newest."""

MAX_JOBS: Final = 1_000
"""Jobs that are looked at, the newest: as many as the largest of the exports has."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How quick a twin was, in ms, over so many questions."""

    did: Did
    mean_ms: float
    asked: int


class Metrics:
    """Reads."""

    def __init__(self, database: Database, *, now: NowMs = now_ms) -> None:
        self._database = database
        self._now = now

    async def asked(self, *, since_ms: int | None = None) -> Sequence[AskedStep]:
        """The questions to other twins, the newest first; of the last week unless `since_ms` says otherwise."""
        since = self._now() - WEEK_S * 1000 if since_ms is None else since_ms
        return await self._database.read(lambda conn: traces.asked_since(conn, since, MAX_STEPS))

    async def latencies(self, *, since_ms: int | None = None) -> Mapping[Did, Latency]:
        """How quick each twin was that really was asked."""
        times: dict[Did, list[float]] = {}
        for step in await self.asked(since_ms=since_ms):
            if not step.reused:
                times.setdefault(step.did, []).append(step.ms)
        return {did: Latency(did, fmean(found), len(found)) for did, found in times.items()}

    async def jobs(self, *, since_ms: int | None = None, most: int = MAX_JOBS) -> Sequence[JobTrace]:
        """The jobs that have ended, the newest first; of the last month unless `since_ms` says otherwise."""
        since = self._now() - MONTH_S * 1000 if since_ms is None else since_ms
        return await self._database.read(lambda conn: traces.jobs_since(conn, since, most))

    async def refusals(self) -> Sequence[Refusal]:
        """The goals that were refused in the last month, the newest first."""
        since = self._now() - MONTH_S * 1000
        return await self._database.read(lambda conn: traces.refusals_since(conn, since, MAX_JOBS))

    async def coherence(self, last: int) -> tuple[float, int]:
        """The share of the last goals that went well, of those of which that is known; and how many these are.

        A goal that failed did not go well; nor did one of which only the job itself says so, and that no model which
        could have has written the answer of.
        """
        known = [job for job in await self.jobs() if is_known(job)][:last]
        return (share(_went_well(job) for job in known), len(known))


def is_known(job: JobTrace) -> bool:
    """Whether it is known how a goal went."""
    return job.outcome in ("good", "bad") or job.status == "failed"


def _went_well(job: JobTrace) -> bool:
    return job.outcome == "good" and not (job.degraded and job.source == "job")


def share(found: Iterable[bool]) -> float:
    """The share of what is true; 1 where there is nothing."""
    values = list(found)
    return sum(values) / len(values) if values else 1.0


def variation(values: Sequence[float]) -> float:
    """The coefficient of variation: the standard deviation over the mean."""
    mean = fmean(values) if values else 0.0
    return pstdev(values) / mean if len(values) > 1 and mean > 0 and math.isfinite(mean) else 0.0
