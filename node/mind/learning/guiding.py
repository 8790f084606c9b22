"""Which rules a goal is given: the bullets of the playbook that has the best one for it, and this twin's own lessons.

What is being tried, as a canary or of another playbook, is given to a share of the goals; those that it was kept from
are told as well, for a comparison needs both.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from identity.cid import Cid
from node.hive.canary import is_tried_on
from node.hive.judging.duplicates import Lesson
from node.hive.retrieval import Fitting, Retrieval
from node.mind.learning.own_lessons import OwnLessons
from node.trust import TrustList
from protocols.playbook.merge import Bullet, Playbook
from storage.learning import Use

TRIAL_SHARE: Final = 0.5
"""The share of the goals that are given rules of another playbook, to see what that does."""

NOVEL_BELOW: Final = 0.70
"""Cosine of a goal and the nearest bullet of any playbook below which no playbook is for such goals."""

Blend = Callable[[str, str], tuple[float, float] | None]
"""The weights of two playbooks that are given together where neither fits well; None where they are not."""

Trial = Callable[[str], tuple[Cid, Sequence[tuple[str, str]]] | None]
"""The rules, as (section, text), that are tried in a playbook, and the name that their outcomes are noted by."""


class Playbooks(Protocol):
    """What this needs of the hive."""

    @property
    def names(self) -> Sequence[str]: ...

    async def view_with_canaries(self, name: str) -> Playbook: ...

    async def lessons(self, name: str, *, with_canaries: bool = False) -> Sequence[Lesson]: ...

    async def canaries(self, name: str) -> Mapping[Cid, float]: ...


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a job is given of a playbook: `given`, best first. `kept_back` fitted too, and is compared with.

    `tried` are the revisions that were given to this job and are given to a share of all jobs only. `own` are lessons
    that only this twin has: a prompt with them may only go to a model that may see what is private.
    """

    playbook: str
    given: tuple[Fitting, ...]
    kept_back: tuple[Fitting, ...] = ()
    tried: frozenset[Cid] = frozenset()
    own: tuple[Fitting, ...] = ()

    @property
    def texts(self) -> list[str]:
        """The bullets' words, for the prompt."""
        return [fitting.bullet.text for fitting in self.given]

    @property
    def score(self) -> float:
        """How good the best of all bullets is that fitted. Those kept back count: what is compared must be alike."""
        return max((fitting.score for fitting in (*self.given, *self.kept_back)), default=0.0)

    @property
    def likeness(self) -> float:
        """The cosine of the goal and the nearest of the bullets, 0 for none."""
        return max((fitting.likeness for fitting in self.given), default=0.0)

    @property
    def own_texts(self) -> list[str]:
        """The words of the lessons that only this twin has."""
        return [fitting.bullet.text for fitting in self.own]

    @property
    def uses(self) -> list[Use]:
        """The rows of this."""
        bullets = [one.bullet for one in self.given]
        given = [Use(one.id, one.revision, "tried" if one.revision in self.tried else "adopted") for one in bullets]
        return given + [Use(one.bullet.id, one.bullet.revision, "kept_back") for one in self.kept_back]


class Guiding:
    """Chooses the rules. `usual` is the playbook of goals that no playbook has anything for."""

    def __init__(
        self,
        *,
        playbooks: Playbooks,
        retrieval: Retrieval,
        trust: TrustList,
        tokens: int,
        usual: str,
        own_lessons: OwnLessons | None = None,
        blend: Blend = lambda first, second: None,
        trial: Trial = lambda name: None,
    ) -> None:
        self._playbooks = playbooks
        self._retrieval = retrieval
        self._trust = trust
        self._tokens = tokens
        self._usual = usual
        self._own_lessons = own_lessons
        self._blend, self._trial = blend, trial

    async def guidance(self, job_id: str, goal: str) -> Guidance:
        """The bullets for a goal, from the playbook that has the best one for it; the usual one if none has any."""
        names = sorted(self._playbooks.names, key=lambda name: (name != self._usual, name))
        found = [await self.of(name, job_id, goal) for name in names or [self._usual]]
        best = max(found, key=lambda guidance: guidance.score)
        best = await self._with_blend(best, found, job_id, goal)
        own = await self._own_lessons.bullets() if self._own_lessons is not None else ()
        return replace(best, own=await asyncio.to_thread(self._fitting, goal, own, None)) if own else best

    async def _with_blend(self, best: Guidance, found: Sequence[Guidance], job_id: str, goal: str) -> Guidance:
        """Where no playbook fits well: the rules of the two that fit best, if these two are to be blended."""
        ranked = sorted(found, key=lambda one: -one.likeness)[:2]
        if len(ranked) < 2 or ranked[0].likeness >= NOVEL_BELOW:
            return best
        names = [one.playbook for one in ranked]
        weights = self._blend(names[0], names[1])
        return best if weights is None else replace(best, given=await self._blended(job_id, goal, names, weights))

    async def fits(self, goal: str) -> list[tuple[str, float]]:
        """How well each playbook fits a goal: the cosine of the goal and its nearest rule, best first, 0 for none."""
        found = [(name, (await self.of(name, "", goal)).likeness) for name in self._playbooks.names]
        return sorted(found, key=lambda fit: (-fit[1], fit[0]))

    async def blended(self, goal: str, names: Sequence[str], weights: Sequence[float]) -> list[str]:
        """The words of the rules of several playbooks for one goal, each with its share of the room."""
        return [fitting.bullet.text for fitting in await self._blended("", goal, names, weights)]

    async def _blended(
        self, job_id: str, goal: str, names: Sequence[str], weights: Sequence[float]
    ) -> tuple[Fitting, ...]:
        found: list[Fitting] = []
        for name, weight in zip(names, weights, strict=True):
            found += (await self.of(name, job_id, goal, tokens=int(weight * self._tokens))).given
        return tuple(sorted(found, key=lambda fitting: (-fitting.score, fitting.bullet.id)))

    async def rules_for(self, name: str, goal: str, candidate: Bullet | None = None) -> list[str]:
        """The words of all that a goal would be given: of a playbook, of the own lessons, and of a candidate."""
        playbook = await self._playbooks.view_with_canaries(name)
        bullets = [lesson.bullet for lesson in await self._playbooks.lessons(name)]
        own = [*(await self._own_lessons.bullets() if self._own_lessons is not None else ())]
        own += [candidate] if candidate is not None else []
        found = await asyncio.to_thread(
            lambda: (*self._fitting(goal, own, None), *self._fitting(goal, bullets, playbook))
        )
        return [fitting.bullet.text for fitting in found]

    async def of(self, name: str, job_id: str, goal: str, *, tokens: int | None = None) -> Guidance:
        """The bullets of one playbook: those adopted and, for a share of the jobs, those that are being tried."""
        shares = {**await self._playbooks.canaries(name)}
        playbook = await self._playbooks.view_with_canaries(name)
        bullets = [lesson.bullet for lesson in await self._playbooks.lessons(name, with_canaries=True)]
        if self._own_lessons is not None and (trial := self._trial(name)) is not None:
            shares[trial[0]] = TRIAL_SHARE
            bullets += [self._own_lessons.candidate(text, trial[0]) for _, text in trial[1]]
        tried = frozenset(cid for cid, share in shares.items() if is_tried_on(job_id, cid, share))
        given = [bullet for bullet in bullets if bullet.revision not in shares or bullet.revision in tried]
        fitting = await asyncio.to_thread(self._fitting, goal, given, playbook, tokens)
        kept_back: tuple[Fitting, ...] = ()
        if len(given) < len(bullets):
            either = await asyncio.to_thread(self._fitting, goal, bullets, playbook)
            kept_back = tuple(one for one in either if one.bullet.revision in shares.keys() - tried)
        return Guidance(name, fitting, kept_back, tried)

    def _fitting(
        self, goal: str, bullets: Sequence[Bullet], playbook: Playbook | None, tokens: int | None = None
    ) -> tuple[Fitting, ...]:
        """Without a playbook all are as new as can be."""
        ages = [0] * len(bullets)
        if playbook is not None:
            ages = [playbook.height - playbook.revisions.get(bullet.revision, playbook.height) for bullet in bullets]
        room = self._tokens if tokens is None else tokens
        return self._retrieval.fitting(goal, bullets, ages=ages, tokens=room, trusted=self._trust.named)
