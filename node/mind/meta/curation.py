"""Case 9: too many answers that a model wrote are wrong. Traces that are known to be good are curated.

The original: hallucination rate above 0.15: curate 1,000 traces, orchestrate a fine-tune, distribute. A wrong answer is
one that the owner, a check or a receipt says is wrong: what a model says of itself does not count. Fine-tuning is the
owner's own affair; a model that comes of it is taken up by drift.py.
"""

from typing import Final

from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.exporting import Exporting
from node.mind.meta.metrics import Metrics, share
from storage.meta_learning import MetaAction

MAX_WRONG: Final = 0.15
"""The share of the answers that may be wrong."""

LAST: Final = 100
LEAST_JUDGED: Final = 20
"""Of the last answers so many must have been judged."""


class Curation:
    """Looks at what was said of answers."""

    name: Final = "curation"

    def __init__(self, metrics: Metrics, exporting: Exporting) -> None:
        self._metrics = metrics
        self._exporting = exporting

    async def look(self) -> Finding | None:
        """The share of wrong answers, if it is that large."""
        jobs = await self._metrics.jobs()
        judged = [job for job in jobs if job.source != "job" and job.status == "done" and not job.degraded][:LAST]
        wrong = share(job.outcome == "bad" for job in judged)
        if len(judged) < LEAST_JUDGED or wrong <= MAX_WRONG or not any(job.outcome == "good" for job in judged):
            return None
        return Finding(
            about="wrong answers",
            text=f"of {len(judged)} answers that were judged {wrong:.0%} were wrong",
            action="write up to 1,000 traces that are known to be good, or were corrected, to a file for fine-tuning",
            measured={"wrong": round(wrong, 3), "judged": len(judged)},
            harmless=True,
        )

    async def act(self, finding: Finding) -> Taken:
        """Write the file."""
        exported = await self._exporting.export(curated=True)
        text = f"{exported.traces} good traces are in {exported.path}, {exported.corrected} of them corrected"
        return Taken(text=text, undo={"file": str(exported.path)})

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """Nothing to compare."""
        return "keep"
