"""Gate results: what a trial here has shown is signed and told; what others say is kept, bounded, and shown.

A result holds counts and nothing of the checks. That of another twin is its word and no more: it decides nothing here.
"""

import logging
from collections import Counter
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from sqlite3 import Connection
from typing import Final

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.gossip import Gossip, Heard
from node.hive.judging.gate import Measured
from node.holding import holding
from node.reputation.reputation import Reputation
from node.trust import TrustList
from protocols import limits
from protocols.playbook.gate import GateResult, SignedGateResult, sign_gate_result
from protocols.playbook.messages import GATE_RESULT, GateNotice, topic_of
from storage import judging as rows
from storage.blocks import BlockStore
from storage.database import Database
from storage.judging import GateRow

logger = logging.getLogger(__name__)

MIN_STANDING: Final = 0.5
"""The standing from which the word of a twin that nobody named is kept: two finished tasks."""


class GateResults:
    """Signs our results and keeps those of others."""

    def __init__(
        self,
        *,
        keys: KeyPair,
        database: Database,
        blocks: BlockStore,
        gossip: Gossip,
        trust: TrustList,
        reputation: Reputation,
        counters: Counter[str],
        now: NowMs = now_ms,
    ) -> None:
        self._keys = keys
        self._did = did_key(keys.public)
        self._database = database
        self._blocks = blocks
        self._gossip = gossip
        self._trust = trust
        self._reputation = reputation
        self._counters = counters
        self._now = now
        gossip.on(GATE_RESULT, self._on_result)

    def sign(self, playbook: str, revision: Cid, measured: Measured, *, by: str) -> SignedGateResult:
        """Make a result of ours. Its blocks are put by `putting`, its row in the transaction that decides."""
        return sign_gate_result(
            GateResult(
                playbook=playbook,
                revision=revision,
                author=self._did,
                ts=self._now(),
                checks=measured.checks,
                passed_without=measured.passed_without,
                passed_with=measured.passed_with,
                by=by,
            ),
            self._keys,
        )

    def putting(self, signed: SignedGateResult) -> AbstractAsyncContextManager[object]:
        """Put the blocks of a result on disk; its row is to be written before this is left."""
        blocks = [(signed.payload_cid, signed.payload_block), (signed.cid, signed.envelope_block)]
        return holding(self._blocks, blocks)

    async def tell(self, signed: SignedGateResult) -> None:
        """Announce a result of ours that is kept."""
        await self._gossip.publish(topic_of(signed.result.playbook), GATE_RESULT, GateNotice(signed).to_body())

    async def tried(self, cids: Collection[Cid]) -> set[Cid]:
        """Those of these revisions on which we have a result of our own."""

        def read(conn: Connection) -> set[Cid]:
            return {cid for cid in cids if any(row.author == self._did for row in rows.results_of(conn, cid))}

        return await self._database.read(read)

    async def _on_result(self, heard: Heard) -> None:
        signed = GateNotice.from_body(heard.message.body).signed
        author = signed.result.author
        timely = signed.result.ts <= self._now() + limits.CLOCK_SKEW_S * 1000
        if author != heard.author or author == self._did or not timely or not await self._counts(author):
            self._counters["gate_results_not_kept"] += 1
            return
        # It may come before its revision; then it is here when that one is judged.
        async with self.putting(signed):
            await self._database.write(lambda conn: rows.put_result(conn, row_of(signed), own=self._did))
        self._counters["gate_results_kept"] += 1

    async def _counts(self, author: Did) -> bool:
        if author in self._trust.named:
            return True
        return not self._trust.blocks(author) and (await self._reputation.of(author)).score >= MIN_STANDING


def row_of(signed: SignedGateResult) -> GateRow:
    """A result as it is kept."""
    result = signed.result
    return GateRow(
        cid=signed.cid,
        payload_cid=signed.payload_cid,
        revision=result.revision,
        playbook=result.playbook,
        author=result.author,
        checks=result.checks,
        passed_without=result.passed_without,
        passed_with=result.passed_with,
        answered_by=result.by,
        ts_ms=result.ts,
    )
