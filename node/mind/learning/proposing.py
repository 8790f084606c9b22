"""Lessons from feedback: rules are made of it, and what helps of them is kept.

Failures of one kind are put together. Of some of them rules are made: what the sums have in common that the owner gave
as reasons (generalising.py), and what a capable model writes. Each rule is then tried: it must mend a failure that it
was not made of (where there is only one, that one), and no check of the owner's may be answered wrongly for it. The
best is kept: in the playbook, as a signed revision with the jobs as its evidence, if the owner lets lessons of these be
shared and nothing in it looks private; else for this twin alone, in the namespace `mind`.

Without a capable model nothing can be tried, and `Improvement.why` says so.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from identity.errors import PagiError
from node.clock import wait_within
from node.hive.judging.expecting import Expectation
from node.hive.judging.gate import Attempt, NotTried
from node.inference.embedder import Embedder
from node.inference.engine import Engine, ModelSource
from node.mind.learning.generalising import Example, rule_of
from node.mind.learning.guiding import Guiding
from node.mind.learning.learning import Learning
from node.mind.learning.lesson_writing import MAX_RULE_CHARS, asking, rule_in
from node.mind.learning.own_lessons import OwnLessons
from node.mind.learning.rule_trial import PlaybooksAndChecks, RuleTrial, Tried, adding
from node.mind.perceiving.perception import perceive
from storage import feedback as rows
from storage.database import Database
from storage.feedback import Feedback, State

logger = logging.getLogger(__name__)

MAX_FAILURES: Final = 200
"""Failures that one round looks at, the oldest: the rest waits for the next."""

MAX_OF_A_KIND: Final = 6
"""Failures in one prompt and its trial: a rule that needs more examples is no rule."""

MIN_ALIKE: Final = 0.70
"""Cosine of two goals, their numbers left out, from which they are of one kind: docs/decisions/learning.md."""

SHOWN: Final = 0.6
"""The share of a kind's failures that the model sees; with the others its rule is tried."""

MAX_ATTEMPTS: Final = 3
"""Rules that the model writes for one kind: each costs an answer for every failure and check."""

MAX_ROUNDS: Final = 2
"""How often one failure is looked at: what is put together with the wrong ones first gets another chance."""

AT_LEAST: Final = 3
"""Failures that make a round at once. Fewer wait for LATEST_S."""

LATEST_S: Final = 900.0

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Kept:
    """A rule that helped: `mended` of `failures` are answered rightly with it. `revision` is None if it is private."""

    rule: str
    playbook: str
    failures: int
    mended: int
    revision: str | None
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Improvement:
    """What a round came to. `dropped` counts rules by why they were; `why` says why nothing could be done at all."""

    kept: tuple[Kept, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    failures: int = 0
    why: str | None = None


Written = tuple[str, frozenset[str]]
"""A rule, and the jobs that it was tried on: again it would come to the same."""


class Proposing:
    """Makes lessons of what waits. `attempt` answers as a goal of the owner would be answered."""

    def __init__(
        self,
        *,
        database: Database,
        model: ModelSource,
        embedder: Embedder,
        playbooks: PlaybooksAndChecks,
        learning: Learning,
        own_lessons: OwnLessons,
        attempt: Attempt,
    ) -> None:
        self._database = database
        self._model = model
        self._embedder = embedder
        self._playbooks = playbooks
        self._guiding: Final[Guiding] = learning.guiding
        self._own_lessons = own_lessons
        self._trial = RuleTrial(
            embedder=embedder,
            playbooks=playbooks,
            guiding=learning.guiding,
            own_lessons=own_lessons,
            attempt=attempt,
        )
        self._waiting = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.counters: Counter[str] = Counter()
        learning.on_feedback = self._waiting.set

    async def run(self) -> None:
        """Learn from feedback from time to time, until cancelled."""
        while True:
            await wait_within(self._waiting, LATEST_S)
            due = not self._waiting.is_set()
            self._waiting.clear()
            if not await self._is_capable():
                continue
            for name, count in (await self._database.read(rows.waiting_counts)).items():
                if due or count >= AT_LEAST:
                    try:
                        await self.improve(name)
                    except PagiError as error:
                        logger.warning("nothing was learnt from feedback on playbook %s yet: %s", name, error)

    async def improve(self, name: str) -> Improvement:
        """Learn from the failures that wait. What cannot be tried now waits on; what nothing helped is not tried again.

        Raises PagiError where a lesson cannot be kept, such as on a full disk: its failures wait on.
        """
        engine = await self._model.ready()
        if engine is None:
            return Improvement(why=f"there is no model here ({self._model.reason}), so nothing was written")
        if not engine.capable:
            return Improvement(why=f"{engine.name} is too small to write rules, so nothing was written")
        async with self._one_at_a_time:
            failures = await self._database.read(lambda conn: rows.waiting(conn, name, MAX_FAILURES))
            kept: list[Kept] = []
            dropped: Counter[str] = Counter()
            rounds: Counter[str] = Counter()
            written: set[Written] = set()
            left = list(failures)
            try:
                while left:
                    kind = await asyncio.to_thread(self._kind, left)
                    lesson, settled = await self._learn(name, kind, engine, dropped, written)
                    kept += [lesson] if lesson is not None else []
                    left = [one for one in left if one not in settled]
                    rounds.update(one.job_id for one in kind if one not in settled)
                    given_up = [one for one in left if rounds[one.job_id] >= MAX_ROUNDS]
                    await self._settle(given_up, "nothing")
                    left = sorted((one for one in left if one not in given_up), key=lambda one: rounds[one.job_id])
            except NotTried as error:
                return Improvement(tuple(kept), dropped, len(failures), f"it was broken off: {error}")
        self.counters["lessons_kept"] += len(kept)
        return Improvement(tuple(kept), dropped, len(failures))

    async def _settle(self, failures: Sequence[Feedback], state: State) -> None:
        if failures:
            await self._database.write(lambda conn: rows.set_state(conn, failures, state))

    async def _is_capable(self) -> bool:
        engine = await self._model.ready()
        return engine is not None and engine.capable

    def _kind(self, failures: Sequence[Feedback]) -> list[Feedback]:
        """The first of the failures and those most like it. Embeds: call it in a thread."""
        vectors = self._embedder.embed([_NUMBER.sub("", failure.goal) for failure in failures])
        likeness = (vectors @ vectors[0]).tolist()
        alike = sorted((n for n in range(1, len(failures)) if likeness[n] >= MIN_ALIKE), key=lambda n: -likeness[n])
        return [failures[n] for n in (0, *alike[: MAX_OF_A_KIND - 1])]

    async def _learn(
        self, name: str, kind: Sequence[Feedback], engine: Engine, dropped: Counter[str], written: set[Written]
    ) -> tuple[Kept | None, Sequence[Feedback]]:
        """One lesson of failures of one kind, if a rule helps, and those that are settled. Raises NotTried.

        `written` is what was tried already, to which it adds.
        """
        right = [one for one in kind if await self._trial.is_right(one, await self._guiding.rules_for(name, one.goal))]
        await self._settle(right, "learnt")
        still = [one for one in kind if one not in right]
        if not still:
            return None, right
        best = await self._best_rule(name, still, engine, dropped, written)
        if best is None:
            return None, right
        if await self._database.read(lambda conn: [rows.get(conn, one.job_id) for one in still]) != still:
            dropped["something else was said of these answers since"] += 1
            return None, right
        return await self._keep(name, best, still), (*right, *best.mended)

    async def _best_rule(
        self, name: str, failures: Sequence[Feedback], engine: Engine, dropped: Counter[str], written: set[Written]
    ) -> Tried | None:
        seen = failures[: max(1, round(len(failures) * SHOWN))]
        about = frozenset(failure.job_id for failure in failures)
        best: Tried | None = None
        async for rule in _rules(seen, engine):
            why = "it is no rule" if rule is None else await self._trial.refused(name, rule)
            if rule is not None and (rule, about) in written:
                why = "it was tried before"
            if rule is None or why is not None:
                dropped[why or ""] += 1
                continue
            written.add((rule, about))
            tried = await self._trial.tried(name, rule, seen, failures[len(seen) :])
            if isinstance(tried, str):
                dropped[tried] += 1
                continue
            if best is not None:
                dropped["another one helps more"] += 1
            if best is None or (tried.unseen, len(tried.mended)) > (best.unseen, len(best.mended)):
                best = tried
            if len(best.mended) == len(failures):
                break
        return best

    async def _keep(self, name: str, best: Tried, failures: Sequence[Feedback]) -> Kept:
        """Keep a rule and settle what it mends, in one transaction."""
        evidence = tuple(f"job:{failure.job_id}" for failure in best.mended)

        def settle(conn: sqlite3.Connection) -> None:
            rows.set_state(conn, best.mended, "learnt")

        revision = None
        if all(failure.share for failure in failures) and not _looks_private(best.rule, failures):
            critique = f"From feedback on {len(failures)} wrong answers: {len(best.mended)} of them are right with it."
            cid = await self._playbooks.propose(name, critique, [adding(best.rule)], evidence, also=settle)
            revision = str(cid)
        else:
            await self._own_lessons.keep(best.rule, also=settle)
        return Kept(best.rule, name, len(failures), len(best.mended), revision, evidence)


async def _rules(failures: Sequence[Feedback], engine: Engine) -> AsyncIterator[str | None]:
    """What these failures suggest, the surest first: what their sums have in common, then what the model writes."""
    rule = rule_of([Example(failure.goal, failure.because) for failure in failures if failure.because is not None])
    if rule is not None and len(rule) <= MAX_RULE_CHARS:
        yield rule
    for attempt in range(MAX_ATTEMPTS):
        yield rule_in((await engine.complete(asking(failures, attempt=attempt))).text)


def _looks_private(rule: str, failures: Sequence[Feedback]) -> bool:
    """Whether a rule holds what is private by its shape, or an answer of the owner's: then it repeats what was said."""
    return perceive(rule).is_private or any(
        Expectation.of(failure.expected).met_by(rule) for failure in failures if failure.expected is not None
    )
