"""The held-out gate: a node's own checks, answered without and with a revision, and what follows from that.

Only what the model says counts. The revision is tried as it would work: the bullets that each goal is given are chosen
from the playbook without it and from the playbook with it, so what it removes is tried as much as what it adds.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from node.hive.judging.checks import expectation_of
from node.hive.retrieval import Retrieval
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.ops import Add, Remove
from protocols.playbook.revision import Revision
from storage.checks import Check
from storage.judging import Stage

logger = logging.getLogger(__name__)

MAX_CHECKS_OF_ONE: Final = 8
"""Checks by which one revision is tried: twice as many answers of the model, half a minute to some minutes."""

CHECK_TIMEOUT_S: Final = 180.0
"""One answer, with a minute for goals that go first. A model that needs longer is too busy to be asked now."""

TRIAL_S: Final = 900.0
"""One trial. What was measured until then counts, unless it is nothing."""

GUIDANCE_TOKENS: Final = 200
"""Room for bullets in a prompt, as a goal of the owner has."""

GateMode = Literal["when-checks-fit", "always", "off"]
"""What is done where nothing can be measured: adopt by trust alone, wait for the owner, or never try anything."""


class NotTried(Exception):
    """No model answers; the message says why, in words for the owner."""


Attempt = Callable[[str, Sequence[str]], Awaitable[str]]
"""Answers a goal with these bullets as guidance: (goal, bullets) → answer. Raises NotTried. The same always gives the
same."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How many of `checks` were answered rightly without and with a revision.

    It changed the words of `changed` answers; `changed_right` of these are right with it.
    """

    checks: int
    passed_without: int
    passed_with: int
    changed: int
    changed_right: int


def changed_bullets(revision: Revision, current: Playbook) -> list[str]:
    """The texts of the bullets that a revision adds, and of those that it takes out."""
    texts = [op.text for op in revision.ops if isinstance(op, Add)]
    removed = (current.bullet(op.id) for op in revision.ops if isinstance(op, Remove))
    return texts + [bullet.text for bullet in removed if bullet is not None]


async def measure(
    checks: Sequence[Check],
    *,
    without: Sequence[tuple[Bullet, int]],
    with_it: Sequence[tuple[Bullet, int]],
    retrieval: Retrieval,
    attempt: Attempt,
) -> Measured:
    """Answer each check with the bullets of either playbook, given with their ages. Raises NotTried.

    Where a goal is given the same bullets either way it is answered once. A model that answers without the revision and
    not with it was silenced by it: that answer is wrong.
    """
    began = time.monotonic()
    done = right_without = right_with = changed = changed_right = 0
    for check in checks:
        if done and time.monotonic() - began > TRIAL_S:
            break
        expected = expectation_of(check)
        given = [await asyncio.to_thread(_guidance, retrieval, check.goal, bullets) for bullets in (without, with_it)]
        after: str | None
        before = after = await _answer(attempt, check.goal, given[0])
        if given[1] != given[0]:
            try:
                after = await _answer(attempt, check.goal, given[1])
            except NotTried as error:
                logger.info("a check is not answered with a revision: %s", error)
                after = None
        done += 1
        is_right = after is not None and expected.met_by(after)
        right_without += expected.met_by(before)
        right_with += is_right
        changed += before != after
        changed_right += before != after and is_right
    return Measured(done, right_without, right_with, changed, changed_right)


async def _answer(attempt: Attempt, goal: str, guidance: Sequence[str]) -> str:
    """One answer, in time. Raises NotTried."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await attempt(goal, guidance)
    except TimeoutError as error:
        raise NotTried(f"the model needed more than {CHECK_TIMEOUT_S:.0f} s for one answer") from error


def _guidance(retrieval: Retrieval, goal: str, bullets: Sequence[tuple[Bullet, int]]) -> tuple[str, ...]:
    found = retrieval.fitting(
        goal, [bullet for bullet, _ in bullets], ages=[age for _, age in bullets], tokens=GUIDANCE_TOKENS
    )
    return tuple(fitting.bullet.text for fitting in found)


# What follows from it


def tried_stage(measured: Measured, mode: GateMode) -> Stage:
    """The gate's stage after a trial.

    Where a revision makes a difference, one answer at least must be right: what replaces "I do not know" by something
    wrong is no better for having replaced nothing that was right.
    """
    counts = f"of {_checks(measured.checks)} {measured.passed_without} right without it, {measured.passed_with} with it"
    if measured.passed_with < measured.passed_without:
        return Stage("gate", "quarantined", f"it makes answers worse: {counts}")
    if measured.changed and not measured.changed_right:
        return Stage("gate", "quarantined", f"of the answers that it changes none is right: {counts}")
    if not measured.passed_with:
        return unmeasured_stage(f"none of {_checks(measured.checks)} is answered rightly, with it or without", mode)
    return Stage("gate", "passed", counts)


def unmeasured_stage(why: str, mode: GateMode) -> Stage:
    """The gate's stage where nothing could be measured: by the owner's setting that is noted, or it waits."""
    if mode == "always":
        return Stage("gate", "quarantined", f"nothing was measured ({why}), and the gate is set to 'always'")
    return Stage("gate", "noted", f"nothing was measured: {why}")


def waiting_stage(checks: int) -> Stage:
    """The gate's stage until the trial is over."""
    return Stage("gate", "pending", f"it is being tried on {_checks(checks)}")


def _checks(count: int) -> str:
    return f"{count} check{'s' if count != 1 else ''} of yours"
