"""The trial of a rule: what it mends of what it was not made of, and whether it spoils what was right.

Each answer is put together as one for a goal of the owner, with all rules that the goal would be given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from identity.errors import PagiError
from node.hive.judging.alike import says_the_same
from node.hive.judging.checks import Checks, expectation_of
from node.hive.judging.errors import RedLineCrossed
from node.hive.judging.expecting import Expectation
from node.hive.judging.gate import Attempt
from node.inference.embedder import Embedder
from node.mind.learning.guiding import Guiding
from node.mind.learning.learning import Playbooks
from node.mind.learning.own_lessons import OwnLessons
from storage.checks import Check
from storage.feedback import Feedback

MAX_CHECKS: Final = 6
"""Checks of the owner that one rule is tried on, the likest: what it could spoil."""

SECTION: Final = "rules"
TAG: Final = "from-feedback"


class PlaybooksAndChecks(Playbooks, Protocol):
    """What this needs of the hive."""

    checks: Checks

    @property
    def names(self) -> Sequence[str]: ...

    async def check(self, name: str, ops: Sequence[Mapping[str, object]], *, anyway: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """A rule, the failures that it mends, and how many of these the model had not seen."""

    rule: str
    mended: tuple[Feedback, ...] = ()
    unseen: int = 0


class RuleTrial:
    """Tries rules. `attempt` answers as a goal of the owner would be answered."""

    def __init__(
        self,
        *,
        embedder: Embedder,
        playbooks: PlaybooksAndChecks,
        guiding: Guiding,
        own_lessons: OwnLessons,
        attempt: Attempt,
    ) -> None:
        self._embedder = embedder
        self._playbooks = playbooks
        self._guiding = guiding
        self._own_lessons = own_lessons
        self._attempt = attempt

    async def is_right(self, failure: Feedback, rules: Sequence[str]) -> bool:
        assert failure.expected is not None
        return Expectation.of(failure.expected).met_by(await self._attempt(failure.goal, rules))

    async def refused(self, name: str, rule: str) -> str | None:
        """Why a rule is not even tried; None if nothing speaks against it."""
        try:
            await self._playbooks.check(name, [adding(rule)])
        except RedLineCrossed:
            return "it crosses a red line"
        except PagiError:
            return "it is no rule"
        known = [lesson.bullet.text for lesson in await self._playbooks.lessons(name)]
        known += [bullet.text for bullet in await self._own_lessons.bullets()]
        if not known:
            return None
        is_known = await asyncio.to_thread(self._is_known, rule, known)
        return "it says what another one says" if is_known else None

    def _is_known(self, rule: str, known: Collection[str]) -> bool:
        vectors = self._embedder.embed([rule, *known])
        likeness = (vectors[1:] @ vectors[0]).tolist()
        return any(says_the_same(rule, text, alike) for text, alike in zip(known, likeness, strict=True))

    async def tried(self, name: str, rule: str, seen: Sequence[Feedback], unseen: Sequence[Feedback]) -> Tried | str:
        """What a rule mends, or in words why it is not kept. Raises NotTried."""
        candidate = self._own_lessons.candidate(rule)

        async def mended(failures: Sequence[Feedback]) -> list[Feedback]:
            return [
                one
                for one in failures
                if await self.is_right(one, await self._guiding.rules_for(name, one.goal, candidate))
            ]

        new = await mended(unseen)
        if unseen and not new:
            return "it did not help"
        all_mended = (*new, *await mended(seen))
        if not all_mended:
            return "it did not help"
        for check in await self._playbooks.checks.fitting(name, [rule], most=MAX_CHECKS):
            if await self._is_spoilt(name, check, rule):
                return "it spoils an answer that was right"
        return Tried(rule, all_mended, len(new))

    async def _is_spoilt(self, name: str, check: Check, rule: str) -> bool:
        candidate = self._own_lessons.candidate(rule)
        without = await self._guiding.rules_for(name, check.goal)
        with_it = await self._guiding.rules_for(name, check.goal, candidate)
        if without == with_it:
            return False
        expected = expectation_of(check)
        if not expected.met_by(await self._attempt(check.goal, without)):
            return False
        return not expected.met_by(await self._attempt(check.goal, with_it))


def adding(rule: str) -> dict[str, Any]:
    return {"op": "add", "section": SECTION, "text": rule, "tags": [TAG]}
