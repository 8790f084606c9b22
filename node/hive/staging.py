"""Blocks of histories that are on disk and not judged yet, one stage for each playbook and author that announced it.

A stage outlives an attempt that was cut off, so that the next one goes on where it was. What it holds no garbage
collection takes before it is judged; a history that is refused takes its blocks away again.
"""

from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack

from identity.cid import Cid
from identity.did import Did
from node.hive.shelf import Shelf
from protocols import limits
from protocols.playbook.revision import SignedRevision
from storage import revisions as rows
from storage.blocks import BlockStore
from storage.database import Database


class Stage:
    """The blocks of one author's announced history. Its methods that are not asynchronous block the thread."""

    def __init__(
        self, playbook: str, *, database: Database, blocks: BlockStore, shelf: Shelf, judged: Container[Cid]
    ) -> None:
        self._playbook = playbook
        self._judged = judged
        self._database = database
        self._blocks = blocks
        self._shelf = shelf
        self._exit = ExitStack()
        self._hold = self._exit.enter_context(blocks.hold())
        self._size_bytes = 0

    def is_judged(self, cid: Cid) -> bool:
        """Whether a revision was judged here, also if its blocks are lost."""
        return cid in self._judged

    async def known(self, cids: Sequence[Cid]) -> Mapping[Cid, int]:
        """Of these, the heights of the revisions that were judged here and whose blocks are here."""
        found = await self._database.read(lambda conn: rows.judged(conn, self._playbook, cids))
        return {
            cid: height
            for cid, (payload_cid, height) in found.items()
            if self._blocks.has(cid) and self._blocks.has(payload_cid)
        }

    def held(self, cid: Cid) -> SignedRevision | None:
        """A revision whose blocks are here, judged or not; it stays here for as long as the stage does."""
        self._hold.keep([cid])
        signed = self._shelf.held(cid)
        if signed is not None:
            self._hold.keep([signed.payload_cid])
        return signed

    def stage(self, revisions: Sequence[SignedRevision]) -> None:
        """Keep the blocks until they are judged, or given up. Raises StorageError."""
        self._size_bytes += sum(len(one.envelope_block) + len(one.payload_block) for one in revisions)
        self._hold.put_many(
            pair for one in revisions for pair in ((one.payload_cid, one.payload_block), (one.cid, one.envelope_block))
        )

    def begin(self) -> None:
        """Another attempt begins. Leftovers of histories that were announced and never came whole have a bound."""
        if self._size_bytes > limits.MAX_HISTORY_BYTES:
            self.roll_back()

    def roll_back(self) -> None:
        """Take away what came and was not judged."""
        self._hold.roll_back()
        self._size_bytes = 0

    def close(self) -> None:
        """Hold nothing any more: what was judged is kept for its row's sake."""
        self._exit.close()


class Staging:
    """All stages of this node. `judged` are the revisions that were judged here."""

    def __init__(self, database: Database, blocks: BlockStore, judged: Container[Cid]) -> None:
        self._database = database
        self._blocks = blocks
        self._shelf = Shelf(database, blocks)
        self._judged = judged
        self._stages: dict[tuple[str, Did], Stage] = {}

    def of(self, playbook: str, author: Did) -> Stage:
        """The stage of an author's announcements of a playbook."""
        key = (playbook, author)
        if key not in self._stages:
            self._stages[key] = Stage(
                playbook, database=self._database, blocks=self._blocks, shelf=self._shelf, judged=self._judged
            )
        return self._stages[key]

    def done(self, playbook: str, author: Did) -> None:
        """Nothing of this author is under way any more."""
        stage = self._stages.pop((playbook, author), None)
        if stage is not None:
            stage.close()
