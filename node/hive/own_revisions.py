"""Revisions of our own: written on top of what is in effect, held to the owner's red lines, kept and announced."""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from identity.cid import Cid
from identity.did import did_key
from identity.errors import PagiError
from identity.keys import KeyPair
from node.clock import NowMs
from node.hive.admission import Admission
from node.hive.effective import Also, Effective
from node.hive.judging.judging import Judging
from node.hive.proposal import write_revision
from node.hive.sharing import Sharing
from node.reputation.reputation import Reputation
from protocols.playbook.ops import Harmful, Helpful
from protocols.playbook.revision import SignedRevision, parse_name

logger = logging.getLogger(__name__)

COUNT_WEIGHT: Final = 0.1
"""What one count of a bullet says about its author: a tenth of a finished task."""

JOINED: Final = "joins heads, and changes nothing"
"""The critique of a revision that only joins heads."""


class OwnRevisions:
    """Proposes. `lock` is held by whoever changes a playbook."""

    def __init__(
        self,
        *,
        keys: KeyPair,
        lock: asyncio.Lock,
        effective: Effective,
        judging: Judging,
        admission: Admission,
        reputation: Reputation,
        sharing: Sharing,
        now: NowMs,
    ) -> None:
        self._keys = keys
        self._did = did_key(keys.public)
        self._lock = lock
        self._effective = effective
        self._judging = judging
        self._admission = admission
        self._reputation = reputation
        self._sharing = sharing
        self._now = now

    async def propose(
        self,
        name: str,
        critique: str,
        ops: Sequence[Mapping[str, object]],
        evidence: Sequence[str],
        *,
        anyway: bool,
        also: Also = lambda conn: None,
    ) -> Cid:
        """See `Hive.propose`."""
        name = parse_name(name)
        async with self._lock:
            signed = self._written(name, critique, ops, evidence)
            await self._judging.check_own(signed.revision, anyway=anyway)
            notes = self._counted(signed)

            def kept(conn: sqlite3.Connection) -> None:
                also(conn)
                for note in notes:
                    note(conn)

            await self._admission.take([signed], also=kept)
        await self._sharing.join(name)
        await self._sharing.share(self._effective.view(name), gossip=True)
        return signed.cid

    async def check(self, name: str, ops: Sequence[Mapping[str, object]], *, anyway: bool) -> None:
        """See `Hive.check`."""
        await self._judging.check_own(self._written(parse_name(name), "", ops, ()).revision, anyway=anyway)

    async def join_heads(self, name: str) -> None:
        """A revision that changes nothing and joins heads, which are too many to be announced.

        What stands in its way now, such as a full disk, is logged: they are joined later.
        """
        try:
            await self.propose(name, JOINED, [], (), anyway=True)
        except PagiError as error:
            logger.warning("the heads of playbook %s could not be joined: %s", name, error)

    def _written(
        self, name: str, critique: str, ops: Sequence[Mapping[str, object]], evidence: Sequence[str]
    ) -> SignedRevision:
        return write_revision(
            self._effective.view(name),
            critique=critique,
            ops=ops,
            evidence=evidence,
            keys=self._keys,
            now_ms=self._now(),
            tried=self._effective.view_with_canaries(name),
        )

    def _counted(self, signed: SignedRevision) -> list[Also]:
        """What we count of others' bullets is our experience with their authors: noted with the revision, or not."""
        playbook = self._effective.view_with_canaries(signed.revision.playbook)
        notes: list[Also] = []
        for op in signed.revision.ops:
            if not isinstance(op, Helpful | Harmful):
                continue
            bullet = playbook.bullet(op.id)
            if bullet is None or bullet.author == self._did:
                continue
            weight = min(1.0, COUNT_WEIGHT * op.n)
            good, bad = (weight, 0.0) if isinstance(op, Helpful) else (0.0, weight)
            ref = f"{signed.cid}/{bullet.id}"
            notes.append(self._reputation.noting(bullet.author, "bullet", ref, good=good, bad=bad))
        return notes
