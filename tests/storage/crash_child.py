"""Writes rows and blocks into a home until it is killed; prints an id only after it was acknowledged.

Usage: crash_child.py HOME ROUND
"""

import asyncio
import hashlib
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_RAW
from storage import eventlog, gossip, mailbox, outbox
from storage.blocks import BlockStore
from storage.database import Database
from storage.home import Home

WRITERS = 4
SENDER = Did("did:key:zSender")


def row(name: str) -> Callable[[sqlite3.Connection], None]:
    """One transaction's worth: a message in, its answer out, gossip and an event, all named alike."""

    def write(conn: sqlite3.Connection) -> None:
        mailbox.put_inbound(
            conn,
            message_id=name,
            from_did=SENDER,
            to_did=SENDER,
            type="t",
            thid=None,
            plaintext=block_of(name),
            created_time=0,
            received_ms=0,
        )
        outbox.queue_outbound(
            conn,
            message_id=name,
            to_did=SENDER,
            type="t",
            thid=None,
            plaintext=b"answer",
            created_ms=0,
            expires_ms=None,
        )
        gossip.keep_latest(
            conn, type="t", author=SENDER, subject="s", message_id=name, created_time=0, signed=name.encode()
        )
        eventlog.append(
            conn,
            id=name,
            event_type="e",
            ts_ms=0,
            twin_id=SENDER,
            subject=None,
            source="test",
            trace_id=None,
            payload=b"{}",
        )

    return write


def block_of(name: str) -> bytes:
    """The block that belongs to a name: 32 to 8,191 bytes that follow from it, or for one in four ten times as many."""
    seed = hashlib.sha256(name.encode()).digest()
    size_bytes = 32 + int.from_bytes(seed[:2]) % 8160
    return (seed * 2560)[: size_bytes * (10 if seed[2] % 4 == 0 else 1)]


def acknowledge(kind: str, name: str) -> None:
    """Tell the parent, in one write that a kill cannot cut in two."""
    os.write(1, f"{kind} {name}\n".encode())


async def main(home: Home, round_number: int) -> None:
    home.create()
    with home.lock():
        blocks = BlockStore(home.blocks, 1 << 30)
        async with Database.open(home.node_db) as database, asyncio.TaskGroup() as group:
            for writer in range(WRITERS):
                group.create_task(write_rows(database, f"r{round_number}w{writer}"))
            group.create_task(write_blocks(blocks, f"r{round_number}b"))


async def write_rows(database: Database, prefix: str) -> None:
    for number in range(1_000_000):
        await database.write(row(f"{prefix}n{number}"))
        acknowledge("row", f"{prefix}n{number}")


async def write_blocks(blocks: BlockStore, prefix: str) -> None:
    """Put blocks, some to stay and some that nothing needs, and now and then collect the latter."""
    live = set(blocks.cids())
    for number in range(1_000_000):
        names = [f"{prefix}n{number}", f"{prefix}m{number}"]
        pairs = [(Cid.of(CODEC_RAW, block_of(name)), block_of(name)) for name in names]
        await asyncio.to_thread(blocks.put_many, pairs)
        live.update(cid for cid, _ in pairs)
        for name in names:
            acknowledge("block", name)
        useless = block_of(f"{prefix}u{number}")
        await asyncio.to_thread(blocks.put, Cid.of(CODEC_RAW, useless), useless)
        if number % 20 == 19:
            await asyncio.to_thread(blocks.collect, lambda: live)


if __name__ == "__main__":
    asyncio.run(main(Home(Path(sys.argv[1])), int(sys.argv[2])))
