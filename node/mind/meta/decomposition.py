"""Case 8: goals that nothing here is about come to nothing. They may be taken apart further.

The original: domain match below 0.5: recursive decomposition to depth 5 into query / analyse / synthesise.
"""

from typing import Final

from node.mind.learning.guiding import Guiding
from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.metrics import Metrics
from node.mind.meta.tuning import Tuning
from storage.meta_learning import MetaAction

MATCH_BELOW: Final = 0.50
"""Cosine of a goal and the nearest rule of any playbook below which nothing here is about it."""

DEPTH: Final = 5
"""How deep such goals may be taken apart."""

LAST: Final = 20
LEAST_FAILED: Final = 3
"""Of the last goals so many must have come to nothing, and be about nothing that is known here."""


class Decomposition:
    """Looks at the goals that came to nothing."""

    name: Final = "decomposition"

    def __init__(self, metrics: Metrics, tuning: Tuning, guiding: Guiding) -> None:
        self._metrics = metrics
        self._tuning = tuning
        self._guiding = guiding

    async def look(self) -> Finding | None:
        """How many of the last goals failed for want of anything about them."""
        if self._tuning.get("max_depth") is not None:
            return None
        jobs = [job for job in await self._metrics.jobs(most=LAST) if job.parent_id is None]
        failed = [job for job in jobs if job.status == "failed" or job.outcome == "bad"]
        if len(failed) < LEAST_FAILED:
            return None
        best = [max((fit for _, fit in await self._guiding.fits(job.goal)), default=0.0) for job in failed]
        strange = [fit for fit in best if fit < MATCH_BELOW]
        if len(strange) < LEAST_FAILED:
            return None
        return Finding(
            about=f"depth {DEPTH}",
            text=f"{len(strange)} of the last {len(jobs)} goals came to nothing, and no rule here is about them",
            action=f"take goals apart up to {DEPTH} times: find out, analyse, put together",
            measured={"failed": len(strange), "goals": len(jobs), "match": round(max(strange), 3)},
            harmless=True,
        )

    async def act(self, finding: Finding) -> Taken:
        """Set the depth; it holds from the next goal on."""
        return Taken(text=f"goals may be taken apart {DEPTH} times", undo=await self._tuning.put("max_depth", DEPTH))

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """Nothing to compare: a goal that is taken apart too often is bounded by its steps all the same."""
        return "keep"
