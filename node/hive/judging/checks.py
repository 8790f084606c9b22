"""The node's own checks: small tasks with known answers, from the owner and from jobs that the owner found good.

They stay here. What others learn of them is how many there were and how many were answered rightly.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final

from node.clock import NowMs, now_ms
from node.hive.judging.errors import CheckUnknown, CheckUnusable, TooManyChecks
from node.hive.judging.expecting import Expectation
from node.inference.embedder import Embedder
from protocols import fields
from protocols.errors import MalformedMessage
from storage import checks as rows
from storage.checks import Check
from storage.database import Database
from storage.page import Page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MAX_OWN_CHECKS: Final = 500
"""Checks that the owner wrote for one playbook."""

MAX_FROM_HISTORY: Final = 100
"""Checks from history for one playbook, the newest: what was good long ago may be wrong by now."""

MAX_GOAL_BYTES: Final = 2048
"""A small task."""

MIN_LIKENESS: Final = 0.20
"""Cosine of a goal and a bullet from which the goal may be given the bullet, as in retrieval.py."""


class Checks:
    """The checks in the database."""

    def __init__(self, database: Database, embedder: Embedder, *, now: NowMs = now_ms) -> None:
        self._database = database
        self._embedder = embedder
        self._now = now
        self._goals: tuple[tuple[str, ...], NDArray[np.float32]] | None = None

    async def add(self, playbook: str, goal: str, expected: str) -> Check:
        """A check by the owner, in place of one with the same goal. Raises CheckUnusable or TooManyChecks."""
        goal = _checked(goal)
        Expectation.of(expected)

        def store(conn: Connection) -> Check:
            known = rows.by_goal(conn, playbook, goal)
            own = rows.count(conn, playbook, "owner")
            if own >= MAX_OWN_CHECKS and (known is None or known.origin != "owner"):
                raise TooManyChecks(f"there are {MAX_OWN_CHECKS} checks of yours already")
            rows.put(
                conn,
                check_id=_id(playbook, goal),
                playbook=playbook,
                goal=goal,
                expected=expected.strip(),
                origin="owner",
                created_ms=self._now(),
            )
            check = rows.by_goal(conn, playbook, goal)
            assert check is not None
            return check

        return await self._database.write(store)

    async def add_from_history(self, playbook: str, goal: str, answer: str) -> bool:
        """Keep a goal whose answer the owner found good. False if it cannot be a check, or the owner wrote one for it.

        The newest MAX_FROM_HISTORY are kept.
        """
        try:
            goal = _checked(goal)
            expected = Expectation.of_history(answer).text
        except CheckUnusable:
            return False

        def store(conn: Connection) -> bool:
            known = rows.by_goal(conn, playbook, goal)
            if known is not None and known.origin == "owner":
                return False
            rows.put(
                conn,
                check_id=_id(playbook, goal),
                playbook=playbook,
                goal=goal,
                expected=expected,
                origin="history",
                created_ms=self._now(),
            )
            rows.trim(conn, playbook, "history", keep=MAX_FROM_HISTORY)
            return True

        return await self._database.write(store)

    async def forget_from_history(self, playbook: str, goal: str) -> None:
        """Take out the check that a goal became, whose answer the owner finds bad after all."""
        with suppress(CheckUnusable):
            goal = _checked(goal)
        await self._database.write(lambda conn: rows.remove_from_history(conn, playbook, goal))

    async def list(self, playbook: str | None = None, *, limit: int = 50, after: str | None = None) -> Page[Check]:
        """Checks, the newest first."""
        return await self._database.read(lambda conn: rows.list_checks(conn, playbook, limit=limit, after=after))

    async def of(self, playbook: str) -> Sequence[Check]:
        """All checks of a playbook, oldest first."""
        return await self._database.read(lambda conn: rows.of_playbook(conn, playbook))

    async def get(self, check_id: str) -> Check:
        """Raises CheckUnknown."""
        check = await self._database.read(lambda conn: rows.get(conn, check_id))
        if check is None:
            raise CheckUnknown(f"there is no check {check_id!r}")
        return check

    async def remove(self, check_id: str) -> None:
        """Raises CheckUnknown."""
        if not await self._database.write(lambda conn: rows.remove(conn, check_id)):
            raise CheckUnknown(f"there is no check {check_id!r}")

    async def fitting(self, playbook: str, texts: Sequence[str], *, most: int) -> Sequence[Check]:
        """The checks whose goals are like one of the texts, the likest first, at most so many."""
        checks = await self.of(playbook)
        if not checks or not texts:
            return ()
        return await asyncio.to_thread(self._fitting, checks, texts, most)

    def _fitting(self, checks: Sequence[Check], texts: Sequence[str], most: int) -> Sequence[Check]:
        wanted = tuple(check.goal for check in checks)
        goals, vectors = self._goals or ((), None)
        if vectors is None or goals != wanted:  # many revisions are judged between two changes of the checks
            vectors = self._embedder.embed(wanted)
            self._goals = (wanted, vectors)
        scores = vectors @ self._embedder.embed(texts).T
        best = scores.max(axis=1).tolist()
        ranked = sorted(zip(best, checks, strict=True), key=lambda item: (-item[0], item[1].id))
        return [check for likeness, check in ranked[:most] if likeness >= MIN_LIKENESS]


def expectation_of(check: Check) -> Expectation:
    """What an answer to a check that is kept must hold."""
    return Expectation.of_history(check.expected) if check.origin == "history" else Expectation.of(check.expected)


def _checked(goal: str) -> str:
    try:
        return fields.text(fields.clean(goal).strip(), "goal", MAX_GOAL_BYTES, min_bytes=1)
    except MalformedMessage as error:
        raise CheckUnusable(f"a goal has 1 to {MAX_GOAL_BYTES} bytes") from error


def _id(playbook: str, goal: str) -> str:
    return hashlib.sha256(f"{playbook} {goal}".encode()).hexdigest()[:8]
