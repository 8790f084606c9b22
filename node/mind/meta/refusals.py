"""Case 3: the owner says of goals that were refused that they are harmless. They become examples of harmless ones.

The original: refusals that are false positives above 20%: refine sub-categories from 50 labelled traces, never against
a red line. So only refusals by a guess at the meaning are looked at, never one by a red line of the owner's.
"""

from typing import Final

from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.metrics import Metrics
from node.mind.meta.tuning import MAX_EXAMPLES, Tuning
from node.red_lines.red_lines import RedLines
from storage.meta_learning import MetaAction

MAX_FALSE: Final = 0.20
"""The share of refusals that were wrong from which the guess is too strict."""

LEAST_LABELLED: Final = 5
"""Refusals that the owner has judged before that share says anything."""


class Refusals:
    """Looks at what the owner says of refusals."""

    name: Final = "refusals"

    def __init__(self, metrics: Metrics, tuning: Tuning, red_lines: RedLines) -> None:
        self._metrics = metrics
        self._tuning = tuning
        self._red_lines = red_lines

    async def look(self) -> Finding | None:
        """The goals that were refused wrongly, if they are so many."""
        lines = {line.text for line in self._red_lines.lines}
        guessed = [one for one in await self._metrics.refusals() if one.by in ("meaning", "model")]
        labelled = [one for one in guessed if one.good is not None and one.line not in lines][:MAX_EXAMPLES]
        wrong = [one.goal for one in labelled if not one.good]
        if len(labelled) < LEAST_LABELLED or len(wrong) <= MAX_FALSE * len(labelled):
            return None
        known = self._tuning.harmless()
        new = [goal for goal in dict.fromkeys(wrong) if goal not in known]
        if not new:
            return None
        return Finding(
            about=f"{len(known) + len(new)} examples",
            text=f"you say of {len(wrong)} of {len(labelled)} refused goals that they are harmless",
            action="take them as examples of harmless goals; your red lines stay as they are",
            measured={"wrong": len(wrong), "labelled": len(labelled)},
            needs={"goals": new},
        )

    async def act(self, finding: Finding) -> Taken:
        """Add the examples, the newest first, MAX_EXAMPLES together."""
        examples = [*finding.needs["goals"], *self._tuning.harmless()][:MAX_EXAMPLES]
        undo = await self._tuning.put("harmless", examples)
        return Taken(text=f"{len(finding.needs['goals'])} goals are examples of harmless ones now", undo=undo)

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """The owner has said so: nothing is to be tried."""
        return "keep"
