"""Case 2: a goal that no playbook fits well. It is given the rules of the two that fit best, by weight, if that helps.

The original: embed, compare with playbooks; below 0.7 blend the top two by weight, test on 3, adopt above 80%.
"""

from typing import Final

from node.hive.judging.checks import expectation_of
from node.hive.judging.gate import Attempt, NotTried
from node.mind.learning.guiding import NOVEL_BELOW, Guiding
from node.mind.learning.rule_trial import PlaybooksAndChecks
from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.errors import CasePostponed
from node.mind.meta.metrics import Metrics
from node.mind.meta.tuning import Tuning
from storage.checks import Check
from storage.meta_learning import MetaAction

TESTED_ON: Final = 3
"""Checks of the owner that the blend is tried on, the likest."""

ADOPTED_ABOVE: Final = 0.80
"""The share of them that must be answered rightly."""

LOOKED_AT: Final = 20
"""Goals that are looked at, the newest."""


class NovelTask:
    """Compares the newest goals with the playbooks."""

    name: Final = "novel-task"

    def __init__(
        self, metrics: Metrics, tuning: Tuning, guiding: Guiding, playbooks: PlaybooksAndChecks, attempt: Attempt
    ) -> None:
        self._metrics = metrics
        self._tuning = tuning
        self._guiding = guiding
        self._playbooks = playbooks
        self._attempt = attempt

    async def look(self) -> Finding | None:
        """A goal that did not go well, fits two playbooks a little and none well, and has checks that are like it."""
        for job in await self._metrics.jobs(most=LOOKED_AT):
            if job.outcome == "good":
                continue
            ranked = await self._guiding.fits(job.goal)
            if len(ranked) < 2 or ranked[0][1] >= NOVEL_BELOW or ranked[1][1] <= 0:
                continue
            (first, a), (second, b) = ranked[:2]
            if self._tuning.blend(first, second) is not None or len(await self._checks(job.goal)) < TESTED_ON:
                continue
            return Finding(
                about=" and ".join(sorted((first, second))),
                text=f"a goal fits the playbook {first} by {a:.2f} and {second} by {b:.2f}, and none well",
                action=f"give such goals the rules of both, if {ADOPTED_ABOVE:.0%} of {TESTED_ON} checks are right so",
                measured={"first": round(a, 3), "second": round(b, 3)},
                needs={"goal": job.goal, "playbooks": [first, second], "weights": [a / (a + b), b / (a + b)]},
                harmless=True,
            )
        return None

    async def act(self, finding: Finding) -> Taken:
        """Try the blend on checks, and keep it if it holds. Raises CasePostponed if no model answers."""
        names, weights = finding.needs["playbooks"], finding.needs["weights"]
        right = 0
        checks = await self._checks(finding.needs["goal"])
        for check in checks:
            rules = await self._guiding.blended(check.goal, names, weights)
            try:
                right += expectation_of(check).met_by(await self._attempt(check.goal, rules))
            except NotTried as error:
                raise CasePostponed(f"it could not be tried: {error}") from error
        if right <= ADOPTED_ABOVE * len(checks):
            return Taken(text=f"not adopted: with the rules of both {right} of {len(checks)} checks were right")
        blends = [*(self._tuning.get("blends") or ()), {"playbooks": names, "weights": weights}]
        undo = await self._tuning.put("blends", blends)
        return Taken(text=f"adopted: with the rules of both {right} of {len(checks)} checks were right", undo=undo)

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """It was tried before it was adopted."""
        return "keep"

    async def _checks(self, goal: str) -> list[Check]:
        found: list[Check] = []
        for name in self._playbooks.names:
            found += await self._playbooks.checks.fitting(name, [goal], most=TESTED_ON)
        return found[:TESTED_ON]
