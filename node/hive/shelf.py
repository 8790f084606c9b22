"""The revisions on disk: their blocks in the block store, and a row for each that was judged."""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from identity.cid import Cid
from identity.did import Did
from node.errors import RevisionUnknown
from node.hive.judging.verdict import Verdict
from node.holding import holding
from protocols.playbook import merge
from protocols.playbook.merge import Playbook
from protocols.playbook.revision import SignedRevision, link_of, verify_revision
from storage import revisions as rows
from storage.blocks import BlockStore
from storage.database import Database

logger = logging.getLogger(__name__)


class Shelf:
    """Reads revisions back. Blocks may be missing where a disk lost them; rows may be where a crash came between."""

    def __init__(self, database: Database, blocks: BlockStore) -> None:
        self._database = database
        self._blocks = blocks

    def putting(self, revisions: Sequence[SignedRevision]) -> AbstractAsyncContextManager[object]:
        """Store both blocks of each, to be recorded before this is left: no collection takes them until then.

        Raises StorageFull.
        """
        return holding(
            self._blocks,
            [
                pair for signed in revisions
                for pair in ((signed.payload_cid, signed.payload_block), (signed.cid, signed.envelope_block))
            ],
        )  # fmt: skip

    def record(self, conn: sqlite3.Connection, signed: SignedRevision, verdict: Verdict, now_ms: int) -> None:
        """Note how a revision was judged, in the transaction that is open."""
        rows.put(
            conn,
            cid=signed.cid,
            payload_cid=signed.payload_cid,
            playbook=signed.revision.playbook,
            author=signed.revision.author,
            height=signed.revision.height,
            ts_ms=signed.revision.ts,
            critique=signed.revision.critique,
            status=verdict.status,
            reason=verdict.reason,
            updated_ms=now_ms,
        )

    def held(self, cid: Cid) -> SignedRevision | None:
        """A revision, judged or not, if both its blocks are here. Blocks the calling thread."""
        envelope = self._blocks.get(cid)
        payload = self._blocks.get(link_of(envelope)) if envelope is not None else None
        if envelope is None or payload is None:
            return None
        return verify_revision(envelope, payload)

    async def sizes(self) -> Counter[Did]:
        """The bytes of all revisions that were judged here, by author. Looks at two files for each."""
        found = await self._database.read(rows.blocks_by_author)

        def measure() -> Counter[Did]:
            total: Counter[Did] = Counter()
            for author, *cids in found:
                total[author] += sum(self._blocks.size_of(cid) for cid in cids)
            return total

        return await asyncio.to_thread(measure)

    async def check_known(self, name: str, cid: Cid) -> None:
        """Raises RevisionUnknown if no revision of this CID and playbook was judged here."""
        row = await self._database.read(lambda conn: rows.get(conn, cid))
        if row is None or row.playbook != name:
            raise RevisionUnknown(f"no revision {cid} of the playbook {name!r} is known here")

    async def stored(self, name: str, cid: Cid) -> SignedRevision:
        """A revision that was judged here. Raises RevisionUnknown, also if its blocks are lost."""
        await self.check_known(name, cid)
        signed = await asyncio.to_thread(self.held, cid)
        if signed is None:
            raise RevisionUnknown(f"the blocks of revision {cid} are missing here")
        return signed

    async def effective(self, name: str) -> tuple[Playbook, Playbook]:
        """The join of the adopted revisions, and that of these and the canaries.

        Those whose blocks are lost are left out, and the log says so.
        """
        adopted = await self._database.read(lambda conn: rows.adopted(conn, name))
        tried = await self._database.read(lambda conn: rows.in_canary(conn, name))
        found = await asyncio.to_thread(lambda: [self.held(cid) for cid in (*adopted, *tried)])
        missing = found.count(None)
        if missing:
            logger.error("%d adopted revisions of playbook %s have lost their blocks", missing, name)
        usual = merge.from_revisions(name, [signed for signed in found[: len(adopted)] if signed is not None])
        with_tried = usual
        for signed in found[len(adopted) :]:
            with_tried = with_tried if signed is None else merge.apply(with_tried, signed)
        return usual, with_tried
