"""Trials: what waits at the gate is tried in the background, one revision after another.

A revision waits on disk, so a trial that a stop of the node interrupts begins anew. Nothing is decided here: whoever
asked is told what was measured, or why nothing could be.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from sqlite3 import Connection
from typing import Final, Protocol

from identity.cid import Cid
from identity.did import Did
from identity.errors import PagiError
from node.clock import wait_within
from node.hive.judging.checks import Checks
from node.hive.judging.errors import NoModelToTry
from node.hive.judging.gate import MAX_CHECKS_OF_ONE, Attempt, Measured, NotTried, changed_bullets, measure
from node.hive.retrieval import Retrieval
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.revision import SignedRevision
from storage import judging as rows
from storage.checks import Check
from storage.database import Database

logger = logging.getLogger(__name__)

LOOK_AGAIN_S: Final = 60.0
"""How long a trial that could not be held waits, unless something new comes."""


class Tried(Protocol):
    """Whoever waits for trials."""

    def effective(self, name: str) -> Playbook:
        """What a revision is tried on."""

    async def guiding(self, name: str, signed: SignedRevision | None = None) -> Sequence[tuple[Bullet, int]]:
        """The bullets that goals are given, with their ages, as they are or would be with one more revision."""

    def held(self, cid: Cid) -> SignedRevision | None:
        """Blocks the calling thread."""

    async def trial_over(self, name: str, cid: Cid, measured: Measured | None, why: str) -> None:
        """What was measured, or None and why nothing was."""


class Trials:
    """Tries revisions by checks. `attempt` is the model's side of it."""

    def __init__(
        self,
        *,
        database: Database,
        checks: Checks,
        retrieval: Retrieval,
        attempt: Attempt,
    ) -> None:
        self._database = database
        self._checks = checks
        self._retrieval = retrieval
        self._attempt = attempt
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def look(self) -> None:
        """Something may wait."""
        self._wake.set()

    async def run(self, tried: Tried) -> None:
        """Try what waits, until cancelled. Authors take turns: whoever writes much holds up nobody else."""
        while True:
            self._wake.clear()
            turns: Counter[Did] = Counter()
            seen: set[Cid] = set()
            while waiting := [one for one in await self._database.read(_waiting) if one.cid not in seen]:
                chosen = min(waiting, key=lambda one: turns[one.author])  # of the same author the first that came
                turns[chosen.author] += 1
                seen.add(chosen.cid)
                try:
                    await self._try(tried, chosen.playbook, chosen.cid)
                except PagiError as error:
                    logger.warning("revision %s could not be tried: %s", chosen.cid, error)
            await wait_within(self._wake, LOOK_AGAIN_S)

    async def run_checks(self, bullets: Sequence[tuple[Bullet, int]], checks: Sequence[Check]) -> dict[str, bool]:
        """Answer checks with bullets, given with their ages; whether each is right, by its id. Raises NoModelToTry."""
        results = {}
        async with self._one_at_a_time:
            for check in checks:
                try:
                    found = await measure(
                        [check], without=bullets, with_it=bullets, retrieval=self._retrieval, attempt=self._attempt
                    )
                except NotTried as error:
                    raise NoModelToTry(str(error)) from error
                results[check.id] = found.passed_with == 1
        return results

    async def _try(self, tried: Tried, name: str, cid: Cid) -> None:
        signed = await asyncio.to_thread(tried.held, cid)
        if signed is None:
            await tried.trial_over(name, cid, None, "its blocks are missing here")
            return
        texts = changed_bullets(signed.revision, tried.effective(name))
        checks = await self._checks.fitting(name, texts, most=MAX_CHECKS_OF_ONE)
        if not checks:
            await tried.trial_over(name, cid, None, "no check of yours fits")
            return
        try:
            async with self._one_at_a_time:
                measured = await measure(
                    checks,
                    without=await tried.guiding(name),
                    with_it=await tried.guiding(name, signed),
                    retrieval=self._retrieval,
                    attempt=self._attempt,
                )
        except NotTried as error:
            await tried.trial_over(name, cid, None, str(error))
            return
        await tried.trial_over(name, cid, measured, "")


def _waiting(conn: Connection) -> list[rows.Waiting]:
    return rows.waiting_at(conn, "gate")
