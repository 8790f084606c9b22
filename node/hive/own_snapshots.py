"""Snapshots that this twin writes of its playbooks, so that newcomers see one before they have its history.

A new one is written when a playbook has grown enough, or no longer holds everything that the last one shows.
"""

import asyncio
import logging
import sqlite3
from typing import Final

from identity.cid import Cid
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from protocols.errors import LocalProtocolError
from protocols.playbook.merge import Playbook
from protocols.playbook.snapshot import Snapshot, write_snapshot
from storage import snapshots as rows
from storage.blocks import BlockStore
from storage.database import Database
from storage.errors import StorageError
from storage.snapshots import SnapshotRow

logger = logging.getLogger(__name__)

GROWN_BY: Final = 500
"""Revisions that a snapshot is worth: a newcomer fetches fewer than these in a fraction of a second."""

GROWN_SHARE: Final = 0.1
"""A long playbook must have grown by this share: a snapshot costs what the playbook is long, for us and for others."""


class OwnSnapshots:
    """The newest snapshot of each playbook."""

    def __init__(self, *, keys: KeyPair, database: Database, blocks: BlockStore, now: NowMs = now_ms) -> None:
        self._keys = keys
        self._database = database
        self._blocks = blocks
        self._now = now
        self._newest: dict[str, SnapshotRow] = {}
        self._shown: dict[str, Playbook] = {}

    async def load(self) -> None:
        """Read which snapshots there are. Those whose blocks are lost are written again."""
        for row in await self._database.read(lambda conn: rows.with_status(conn, "own")):
            if self._blocks.has(row.cid):
                self._newest[row.playbook] = row

    def newest(self, name: str) -> Cid | None:
        """The snapshot to name to others, if there is one."""
        row = self._newest.get(name)
        return None if row is None else row.cid

    async def renew(self, playbook: Playbook) -> bool:
        """Write a snapshot of `playbook` if it is time; whether another one is to be named now."""
        name = playbook.name
        row = self._newest.get(name)
        shown = self._shown.get(name)
        if shown is not None and not await asyncio.to_thread(_holds, playbook, shown):
            row = None
        step = GROWN_BY if row is None else max(GROWN_BY, int(row.revisions * GROWN_SHARE))
        if row is not None and 0 <= len(playbook.revisions) - row.revisions < step:
            return False
        if len(playbook.revisions) < GROWN_BY:
            return await self._forget(name)
        try:
            await self._write(playbook)
        except (LocalProtocolError, StorageError) as error:
            logger.warning("no snapshot of playbook %s could be written: %s", name, error)
            return False
        return True

    async def _write(self, playbook: Playbook) -> None:
        now = self._now()
        with self._blocks.hold() as hold:

            def write() -> Snapshot:
                snapshot, blocks = write_snapshot(playbook, keys=self._keys, now_ms=now)
                hold.put_many(blocks.items())
                return snapshot

            snapshot = await asyncio.to_thread(write)
            root = snapshot.root
            row = SnapshotRow(
                *(snapshot.cid, root.playbook, root.author, root.height, root.revisions, root.state_hash),
                status="own",
                reason=None,
                updated_ms=now,
            )
            await self._database.write(lambda conn: rows.put(conn, row))
        self._newest[playbook.name], self._shown[playbook.name] = row, playbook

    async def _forget(self, name: str) -> bool:
        """The owner has taken back so much that there is nothing left to show."""
        row = self._newest.pop(name, None)
        self._shown.pop(name, None)
        if row is None:
            return False

        def forget(conn: sqlite3.Connection, cid: Cid = row.cid) -> None:
            rows.drop(conn, cid)

        await self._database.write(forget)
        return True


def _holds(playbook: Playbook, shown: Playbook) -> bool:
    """Whether everything that was shown is still adopted."""
    return len(shown.revisions) <= len(playbook.revisions) and all(cid in playbook.revisions for cid in shown.revisions)
