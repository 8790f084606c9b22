"""Nothing that was acknowledged is lost: a real process is killed at random points, over and over, on one home."""

import asyncio
import hashlib
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from storage import eventlog, mailbox
from storage.blocks import BlockStore
from storage.database import Database
from storage.home import Home

CHILD = Path(__file__).with_name("crash_child.py")
ROUNDS = 25
DEADLINE_S = 30


def block_of(name: str) -> bytes:
    """What the child stores under a name."""
    seed = hashlib.sha256(name.encode()).digest()
    size_bytes = 32 + int.from_bytes(seed[:2]) % 8160
    return (seed * 2560)[: size_bytes * (10 if seed[2] % 4 == 0 else 1)]


def run_and_kill(home: Path, round_number: int, kill_after: int) -> list[str]:
    """Start the child, kill it once it has acknowledged `kill_after` ids; return all that it acknowledged."""
    child = subprocess.Popen([sys.executable, str(CHILD), str(home), str(round_number)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    too_long = threading.Timer(DEADLINE_S, child.kill)
    too_long.start()
    acknowledged: list[str] = []
    try:
        for line in child.stdout:
            acknowledged.append(line.decode().strip())
            if len(acknowledged) == kill_after:
                child.send_signal(signal.SIGKILL)
    finally:
        too_long.cancel()
        child.kill()
        child.wait()
        child.stdout.close()
    assert child.returncode == -signal.SIGKILL
    assert len(acknowledged) >= kill_after
    return acknowledged


async def check(home: Home, acknowledged: set[str]) -> int:
    """Everything acknowledged is there, whole, once; what was not acknowledged is whole or absent."""
    rows = {line.removeprefix("row ") for line in acknowledged if line.startswith("row ")}
    blocks = {line.removeprefix("block ") for line in acknowledged if line.startswith("block ")}

    def look(conn: sqlite3.Connection) -> int:
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
        logged = eventlog.verify_chain(conn)
        received = {row[0] for row in conn.execute("SELECT message_id FROM inbox")}
        queued = {row[0] for row in conn.execute("SELECT message_id FROM outbox")}
        events = {row[0] for row in conn.execute("SELECT id FROM event_log")}
        assert rows <= received
        assert received == queued == events  # one transaction each: all of it or nothing
        assert logged == len(events)
        for row in mailbox.inbox(conn, limit=len(received)).items:
            assert row.plaintext == block_of(row.message_id)
        return logged

    async with Database.open(home.node_db) as database:
        logged = await database.read(look)
    store = BlockStore(home.blocks, 1 << 30)
    for name in blocks:
        assert store.get(Cid.of(CODEC_RAW, block_of(name))) == block_of(name)
    assert list((home.blocks / ".tmp").iterdir()) == []
    assert list((home.blocks / "damaged").iterdir()) == []
    assert store.count == len(list(store.cids()))
    assert store.size_bytes == sum(len(store.get(cid) or b"") for cid in store.cids())
    return logged


@pytest.mark.slow
def test_acknowledged_writes_survive_kill_at_random_points(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    chance = random.Random(20261120)
    acknowledged: set[str] = set()
    for round_number in range(ROUNDS):
        # Mostly early, where the database is opened, recovered and checkpointed; now and then far in.
        kill_after = chance.choice([1, 2, 5, chance.randrange(1, 400), chance.randrange(1, 2000)])
        acknowledged.update(run_and_kill(home.path, round_number, kill_after))
        asyncio.run(check(home, acknowledged))
    kinds = {line.split()[0] for line in acknowledged}
    assert kinds == {"row", "block"}
