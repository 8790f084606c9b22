"""Decisions carried out, one after another: the owner's, and those that follow from trust, red lines, trials, canaries.

What a decision changes is worked out in deciding.py; here it is put into effect, told, and announced.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from identity.cid import Cid
from identity.did import Did
from identity.errors import PagiError
from node.clock import NowMs
from node.config import HiveConfig
from node.hive.deciding import Changes, Deciding
from node.hive.effective import Effective
from node.hive.judging.canaries import DEFAULT_SHARE
from node.hive.judging.duplicates import leaving
from node.hive.judging.gate import Measured, tried_stage, unmeasured_stage
from node.hive.judging.results import GateResults, row_of
from node.hive.sharing import Sharing
from node.hive.shelf import Shelf
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.messages import Update
from protocols.playbook.revision import SignedRevision
from storage.judging import GateRow
from storage.trust import Trust

logger = logging.getLogger(__name__)

COMPARE_EVERY_S: Final = 60.0
"""How often it is looked whether a canary has had enough outcomes."""


class Decisions:
    """Everything here takes turns with whatever else changes a playbook: all hold `lock`."""

    def __init__(
        self,
        *,
        lock: asyncio.Lock,
        config: HiveConfig,
        shelf: Shelf,
        effective: Effective,
        deciding: Deciding,
        results: GateResults,
        sharing: Sharing,
        model_name: Callable[[], str],
        look_for_trials: Callable[[], None],
        now: NowMs,
    ) -> None:
        self._lock = lock
        self._config = config
        self._shelf = shelf
        self._effective = effective
        self._deciding = deciding
        self._results = results
        self._sharing = sharing
        self._model_name = model_name
        self._look_for_trials = look_for_trials
        self._now = now

    # The owner

    async def approve(self, name: str, cid: Cid, *, share: float | None) -> Playbook:
        """Adopt a revision, with a share for so many of the goals. Raises RevisionUnknown or AuthorBlocked."""
        async with self._lock:
            return await self._carry_out(name, await self._deciding.approve(name, cid, share=share), share=share)

    async def reject(self, name: str, cid: Cid, reason: str) -> Playbook:
        """Reject a revision, adopted or not. Raises RevisionUnknown."""
        async with self._lock:
            return await self._carry_out(name, await self._deciding.reject(name, cid, reason))

    async def reject_author(self, name: str, author: Did, reason: str) -> int:
        """Reject all that an author wrote so far; how many revisions that were."""
        async with self._lock:
            changes = await self._deciding.reject_author(name, author, reason)
            await self._carry_out(name, changes)
            return len(changes)

    async def rollback(self, name: str, cid: Cid) -> Playbook:
        """Keep only `cid` and its history of what is in effect. Raises RevisionUnknown or RevisionRefused."""
        async with self._lock:
            return await self._carry_out(name, await self._deciding.rollback(name, cid))

    async def split(self, name: str, a: str, b: str) -> None:
        """Show two bullets by themselves from now on. Raises NotDuplicates."""
        async with self._lock:
            shown = self._effective.lessons(name, with_canaries=True)
            await self._effective.split(name, leaving(shown, a, b))

    # What follows from something else

    async def followed(self, update: Update, author: Did) -> None:
        """All that `author` announced is here and judged: what it vouches for is judged again."""
        async with self._lock:
            changes = await self._deciding.vouched(update.playbook, update.heads, author)
            await self._carry_out(update.playbook, changes)

    async def after_trust(self, trust: Trust) -> None:
        """Judge again what was decided by its author."""
        for name in self._effective.names:
            async with self._lock:
                await self._carry_out(name, await self._deciding.after_trust(name, trust))

    async def after_red_lines(self) -> None:
        """Judge again what was not decided by the owner."""
        for name in self._effective.names:
            async with self._lock:
                await self._carry_out(name, await self._deciding.after_red_lines(name))

    async def judge_canaries(self, name: str) -> None:
        """Keep, or take back, the canaries that have had enough outcomes."""
        async with self._lock:
            await self._carry_out(name, await self._deciding.after_comparison(name))

    async def judge_early(self, name: str) -> None:
        """Judge the revisions whose time has come."""
        async with self._lock:
            await self._carry_out(name, await self._deciding.in_time(name, self._now()))

    async def compare_canaries(self) -> None:
        """Do both from time to time, until cancelled."""
        while True:
            await asyncio.sleep(COMPARE_EVERY_S)
            for name in self._effective.names:
                try:
                    await self.judge_canaries(name)
                    await self.judge_early(name)
                except PagiError as error:
                    logger.warning("what waits in playbook %s could not be judged: %s", name, error)

    # Trials

    def effective(self, name: str) -> Playbook:
        """What a revision is tried on."""
        return self._effective.view(name)

    async def guiding(self, name: str, signed: SignedRevision | None = None) -> Sequence[tuple[Bullet, int]]:
        """The bullets that goals are given, with their ages, as they are or would be with one more revision."""
        return await self._effective.guiding(name, signed)

    def held(self, cid: Cid) -> SignedRevision | None:
        """A revision on our own disk. Blocks the calling thread."""
        return self._shelf.held(cid)

    async def trial_over(self, name: str, cid: Cid, measured: Measured | None, why: str) -> None:
        """A trial has ended: keep, tell and follow what it showed."""
        mode, signed = self._config.gate, None
        results: list[GateRow] = []
        async with AsyncExitStack() as kept:
            if measured is None:
                stage = unmeasured_stage(why, mode)
            else:
                stage = tried_stage(measured, mode)
                signed = self._results.sign(name, cid, measured, by=self._model_name())
                results.append(row_of(signed))
                await kept.enter_async_context(self._results.putting(signed))
            async with self._lock:
                changes = await self._deciding.after_trial(name, cid, stage)
                await self._carry_out(name, changes, results=results)
        if signed is not None and changes:
            await self._results.tell(signed)

    async def _carry_out(
        self, name: str, changes: Changes, *, share: float | None = None, results: Sequence[GateRow] = ()
    ) -> Playbook:
        """Put changes into effect and tell of them. The caller holds the lock."""
        if not changes:
            return self._effective.view(name)
        before = (self._effective.view(name), self._effective.view_with_canaries(name))
        share = share or self._config.canary_share or DEFAULT_SHARE
        await self._effective.change(name, changes, share=share, results=results)
        if before != (self._effective.view(name), self._effective.view_with_canaries(name)):
            await self._effective.tell_updated(name)
            await self._sharing.share(self._effective.view(name), gossip=True)
        self._look_for_trials()
        return self._effective.view(name)
