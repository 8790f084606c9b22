"""Case 1: some of the twins that are asked are far slower than others. A fifth of their questions goes elsewhere.

The original: latency variance over sub-agents above 40%: move 20% of the load to idle ones, check with 5 tasks, revert
if worse.
"""

from statistics import fmean
from typing import Final

from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.metrics import Metrics, variation
from node.mind.meta.tuning import Tuning
from storage.meta_learning import MetaAction

MAX_VARIATION: Final = 0.40
"""Coefficient of variation of the twins' mean times from which they differ too much."""

MOVED: Final = 0.20
"""The share of the slow one's questions that goes to others."""

LEAST_ASKED: Final = 3
"""Questions that each twin must have answered before its time says anything."""

CHECKED_WITH: Final = 5
"""Questions after which it is decided whether that was better."""


class LoadBalance:
    """Looks at how long answers took."""

    name: Final = "load-balance"

    def __init__(self, metrics: Metrics, tuning: Tuning) -> None:
        self._metrics = metrics
        self._tuning = tuning

    async def look(self) -> Finding | None:
        """The slowest twin, if it is that slow and there is another one."""
        known = [one for one in (await self._metrics.latencies()).values() if one.asked >= LEAST_ASKED]
        spread = variation([one.mean_ms for one in known])
        if len(known) < 2 or spread <= MAX_VARIATION:
            return None
        slow = max(known, key=lambda one: (one.mean_ms, one.did))
        if self._tuning.shifted_share(slow.did):
            return None
        mean = sum(one.mean_ms * one.asked for one in known) / sum(one.asked for one in known)
        return Finding(
            about=slow.did,
            text=f"{slow.did} takes {slow.mean_ms:.0f} ms for an answer, {mean:.0f} ms is what a question takes",
            action=f"send {MOVED:.0%} of its questions to others that fit, and see with {CHECKED_WITH} questions",
            measured={"variation": round(spread, 3), "slowest_ms": round(slow.mean_ms, 1), "mean_ms": round(mean, 1)},
            needs={"did": slow.did, "mean_ms": mean},
            harmless=True,
        )

    async def act(self, finding: Finding) -> Taken:
        """Note the share; the colleagues keep to it from the next goal on."""
        shifts = {**(self._tuning.get("load_shift") or {}), finding.needs["did"]: MOVED}
        undo = await self._tuning.put("load_shift", shifts)
        return Taken(
            text=f"{MOVED:.0%} of the questions to {finding.needs['did']} go to others", undo=undo, trying=True
        )

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """Kept if the questions since then took no longer on average than those before."""
        asked = [step for step in await self._metrics.asked(since_ms=action.updated_ms) if not step.reused]
        if len(asked) < CHECKED_WITH:
            return None
        return "keep" if fmean(step.ms for step in asked) <= action.measured["mean_ms"] else "revert"
