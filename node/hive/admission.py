"""Taking verified revisions in: they are stored, judged, and come into effect or wait.

Ours come from the owner's side, those of others from receiving.py; both take turns with all else that changes a
playbook.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from identity.cid import Cid
from identity.did import Did
from node.config import HiveConfig
from node.hive.decisions import Decisions
from node.hive.effective import IN_EFFECT, Also, Effective
from node.hive.judging.canaries import DEFAULT_SHARE
from node.hive.judging.judging import Judging
from node.hive.judging.trials import Trials
from node.hive.judging.verdict import verdict_of
from node.hive.shares import Shares, size_of
from node.hive.sharing import Sharing
from node.hive.shelf import Shelf
from node.trust import TrustList
from protocols.playbook.merge import Playbook
from protocols.playbook.messages import Update
from protocols.playbook.revision import SignedRevision
from storage import revisions as rows
from storage.database import Database

TURN_BYTES: Final = 512 * 1024
"""What is judged in one turn, about: comparing it with everything takes a second or two, and the owner waits for her
own turn as long."""


class Admission:
    """The `Taker` of what is received, and of our own revisions. `lock` is held by whoever changes a playbook."""

    def __init__(
        self,
        *,
        lock: asyncio.Lock,
        config: HiveConfig,
        database: Database,
        shelf: Shelf,
        shares: Shares,
        effective: Effective,
        judging: Judging,
        trials: Trials,
        decisions: Decisions,
        sharing: Sharing,
        trust: TrustList,
        counters: Counter[str],
    ) -> None:
        self._lock = lock
        self._config = config
        self._database = database
        self._shelf = shelf
        self._shares = shares
        self._effective = effective
        self._judging = judging
        self._trials = trials
        self._decisions = decisions
        self._sharing = sharing
        self._trust = trust
        self._counters = counters

    @property
    def judged(self) -> set[Cid]:
        """The revisions that were judged here, whatever came of them."""
        return self._effective.judged

    def follows(self, name: str) -> bool:
        """Whether a playbook of this name is kept here."""
        return name in self._effective.names

    async def may_teach(self, author: Did) -> bool:
        """Whether what this author announces is fetched: the owner named it, or let it in by its standing."""
        if self._trust.allows(author):
            return True
        trust = self._trust.current
        if trust.reputation_threshold >= 1 or self._trust.blocks(author):
            return False
        return await self._judging.standing(author, trust) >= trust.reputation_threshold

    def effective(self, name: str) -> Playbook:
        """The effective playbook; never one that is shown by a snapshot."""
        return self._effective.view(name)

    async def check_room(self, sizes: Mapping[Did, int]) -> None:
        """Raise TooLarge if there is no room for so many more bytes of these authors."""
        await self._shares.check_sizes(sizes)

    async def tell_everyone(self, name: str) -> None:
        """Announce the heads of a playbook to those who may not have heard of them."""
        await self._sharing.share(self._effective.view(name), gossip=True)

    async def followed(self, update: Update, author: Did) -> None:
        """All that `author` announced is here and judged."""
        await self._decisions.followed(update, author)

    async def take_in(self, revisions: Sequence[SignedRevision]) -> None:
        """Store, judge and perhaps adopt verified revisions, parents first. Raises TooLarge.

        They come in several turns if they are many; a crash between two loses those that are left.
        """
        for some in _turns(revisions):
            async with self._lock:
                # Another walk may have brought some of them meanwhile.
                new = [signed for signed in some if signed.cid not in self.judged or await self._is_missed(signed)]
                await self._shares.check([signed for signed in new if signed.cid not in self.judged])
                await self.take(new)
        for name in sorted({signed.revision.playbook for signed in revisions}):
            await self._sharing.share(self._effective.view(name), gossip=False)

    async def take(self, revisions: Sequence[SignedRevision], *, also: Also = lambda conn: None) -> None:
        """Store, judge and adopt verified revisions, parents first. The caller holds the lock.

        `also` writes in the transaction that keeps them.
        """
        async with self._shelf.putting(revisions):
            for name in sorted({signed.revision.playbook for signed in revisions}):
                await self._judge(name, [signed for signed in revisions if signed.revision.playbook == name], also)
        self._trials.look()

    async def _judge(self, name: str, revisions: Sequence[SignedRevision], also: Also) -> None:
        new = [signed for signed in revisions if signed.cid not in self.judged]
        changed = len(new) < len(revisions)
        if changed:  # Those that were judged before had only lost their blocks: what was decided stands.
            await self._effective.reload(name)
        stages = await self._judging.judge(new, self._effective.view(name))
        share = self._config.canary_share or DEFAULT_SHARE
        changed |= await self._effective.take(name, list(zip(new, stages, strict=True)), share, also=also)
        self._shares.add(new)
        self._counters.update(f"revisions_{verdict_of(found).status}" for found in stages)
        if changed:
            await self._effective.tell_updated(name)

    async def _is_missed(self, signed: SignedRevision) -> bool:
        """Whether a revision was put into effect and is not, since the disk had lost its blocks."""
        if signed.cid in self._effective.view_with_canaries(signed.revision.playbook).revisions:
            return False
        row = await self._database.read(lambda conn: rows.get(conn, signed.cid))
        return row is not None and row.status in IN_EFFECT


def _turns(revisions: Sequence[SignedRevision]) -> Iterator[Sequence[SignedRevision]]:
    """The revisions in their order, cut after about TURN_BYTES."""
    some: list[SignedRevision] = []
    size_bytes = 0
    for signed in revisions:
        some.append(signed)
        size_bytes += size_of(signed)
        if size_bytes >= TURN_BYTES:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some
