"""Case 10: the same is asked of the swarm again and again. Answers are kept longer, if that saves enough questions.

The original: duplicate queries above 20%: broadcast-and-cache protocol, merge if 25% more efficient. An answer is kept
by whoever asked (node/mind/answered.py): what one twin was told is not another's to read.
"""

from collections.abc import Sequence
from typing import Final

from node.mind.answered import TTL_S, distinguishing
from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.metrics import Metrics
from node.mind.meta.tuning import Tuning
from storage.meta_learning import MetaAction
from storage.traces import AskedStep

MAX_DUPLICATES: Final = 0.20
"""The share of questions that were asked before, from which they are too many."""

LEAST_ASKED: Final = 10
"""Questions before that share says anything, and before it is decided whether keeping answers longer helps."""

LONGER: Final = 4
MAX_TTL_S: Final = 24 * 3600
"""How long an answer may be kept: after a day things have changed."""

SAVED: Final = 0.25
"""The share of the questions that must be saved for that to stay."""


class Redundancy:
    """Looks at what was asked."""

    name: Final = "redundancy"

    def __init__(self, metrics: Metrics, tuning: Tuning) -> None:
        self._metrics = metrics
        self._tuning = tuning

    async def look(self) -> Finding | None:
        """The share of questions that were really asked although they had been before, if it is that large."""
        asked = [step for step in await self._metrics.asked() if not step.reused]
        ttl_s = min(MAX_TTL_S, LONGER * (self._tuning.get("answered_ttl_s") or TTL_S))
        if len(asked) < LEAST_ASKED or self._tuning.get("answered_ttl_s") == ttl_s:
            return None
        twice = duplicates(asked)
        if twice <= MAX_DUPLICATES * len(asked):
            return None
        return Finding(
            about=f"{ttl_s} s",
            text=f"{twice} of {len(asked)} questions to other twins had been asked and answered before",
            action=f"keep answers for {ttl_s // 3600} hours, and see whether that saves a quarter of the questions",
            measured={"duplicates": twice, "asked": len(asked)},
            needs={"ttl_s": ttl_s},
            harmless=True,
        )

    async def act(self, finding: Finding) -> Taken:
        """Keep answers longer from now on."""
        undo = await self._tuning.put("answered_ttl_s", finding.needs["ttl_s"])
        return Taken(text=f"answers are kept for {finding.needs['ttl_s'] // 3600} hours", undo=undo, trying=True)

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """Kept if so many of the questions since then were answered with what had been kept."""
        asked = await self._metrics.asked(since_ms=action.updated_ms)
        if len(asked) < LEAST_ASKED:
            return None
        return "keep" if sum(step.reused for step in asked) >= SAVED * len(asked) else "revert"


def duplicates(asked: Sequence[AskedStep]) -> int:
    """How many questions had the words of one that had been answered before."""
    seen: set[frozenset[str]] = set()
    twice = 0
    for step in reversed(asked):  # they come newest first
        words = distinguishing(step.question)
        twice += words in seen
        if step.helped:
            seen.add(words)
    return twice
