"""A newcomer's first sync of a playbook of 10,000 revisions, with the snapshot and without: two processes on loopback.

One twin has the history, by twenty authors, on its disk; the other is new. The clock runs from the moment in which the
newcomer's owner names the authors until its API shows what it waits for: the snapshot's bullets, and the whole history,
verified, judged and on disk, with the same `state_hash`. *Without*: a newcomer whose owner has not named the twin that
has the history, and lets in authors by their standing instead, takes no snapshot from it. Each figure is the median of
newcomers that each begin with an empty home. There is no peer that does the same.

PAGI_BENCH_HISTORY makes it smaller.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.lessons import lesson
from benchmarks.table import Row
from benchmarks.twins import UP
from identity.did import did_key
from identity.keys import KeyPair
from node.cli.demo_swarm import Member
from protocols.playbook.revision import Revision, SignedRevision, new_ops, sign_revision
from storage import revisions as rows
from storage.blocks import BlockStore

HISTORY: Final = int(os.environ.get("PAGI_BENCH_HISTORY", "10000"))
ROUNDS: Final = int(os.environ.get("PAGI_BENCH_ROUNDS", "3"))
ALL_S: Final = 120.0
POLL_S: Final = 0.05
AUTHORS: Final = tuple(KeyPair(bytes([number]) * 32) for number in range(1, 21))
COMMAND: Final = (*UP, "--listen", "/ip4/127.0.0.1/tcp/0")
AIM: Final = "under 5 s"

Shown = dict[str, Any]


def run() -> list[Row]:
    """Seconds of each way."""
    with tempfile.TemporaryDirectory(prefix="pagi-newcomer-") as name, ExitStack() as stack:
        folder = Path(name)
        old = Member("old", COMMAND, folder / "old")
        stack.callback(old.stop)
        old.start()
        old.stop()
        _fill(old.home, make_history(HISTORY))
        old.start()
        _until(partial(_has_snapshot, old), "a snapshot")
        with_snapshot = [_first_sync(folder / f"with-{n}", old, named=True) for n in range(ROUNDS)]
        without = [_first_sync(folder / f"without-{n}", old, named=False) for n in range(ROUNDS)]
    title = f"a newcomer's first {HISTORY:,} revisions"
    return [
        Row(f"{title}: the snapshot is shown", median(s for s, _ in with_snapshot), None, "s", "", "lower", AIM),
        Row(f"{title}: the history after it", median(s for _, s in with_snapshot), None, "s", "", "lower", ""),
        Row(f"{title}: without a snapshot", median(s for _, s in without), None, "s", "", "lower", AIM),
    ]


def make_history(count: int) -> Sequence[SignedRevision]:
    """A chain of revisions by the authors in turn."""
    made: list[SignedRevision] = []
    for number in range(count):
        keys, height = AUTHORS[number % len(AUTHORS)], number + 1
        author = did_key(keys.public)
        ops = new_ops([lesson(number)], author=author, height=height)
        parents = (made[-1].cid,) if made else ()
        revision = Revision("common", parents, height, author, 1_750_000_000_000, "It was missing in a job.", (), ops)
        made.append(sign_revision(revision, keys))
    return made


def _fill(home: Path, history: Sequence[SignedRevision]) -> None:
    """Put a history into the home of a twin that does not run, as if it had adopted it long ago."""
    blocks = BlockStore(home / "blocks", 1 << 30)
    blocks.put_many(
        pair for one in history for pair in ((one.payload_cid, one.payload_block), (one.cid, one.envelope_block))
    )
    blocks.close()
    with closing(sqlite3.connect(home / "node.db")) as conn, conn:
        for one in history:
            rows.put(
                conn,
                cid=one.cid,
                payload_cid=one.payload_cid,
                playbook="common",
                author=one.revision.author,
                height=one.revision.height,
                ts_ms=one.revision.ts,
                critique=one.revision.critique,
                status="adopted",
                reason="its author is on the allow-list",
                updated_ms=one.revision.ts,
            )


def _first_sync(home: Path, old: Member, *, named: bool) -> tuple[float, float]:
    """Seconds until something is shown, and until the whole history is there."""
    new = Member(home.name, [*COMMAND, "--bootstrap", str(old.first_line["listen"][0])], home)
    new.start()
    try:
        client = new.client()
        _until(lambda: client.get("swarm", "peers")["items"] or None, "the two are connected")
        wanted = {"state_hash": _line(old)["state_hash"], "revisions": {"adopted": HISTORY}}
        allow = [did_key(keys.public) for keys in AUTHORS] + ([old.did] if named else [])
        trust = {"allow": allow, "block": [], "reputation_threshold": 1.0 if named else 0.0, "auto_adopt": True}
        began = time.perf_counter()
        client.put("trust", body=trust)
        _until(lambda: _line(new)["bullets"] or None, "something is shown")
        shown_s = time.perf_counter() - began
        _until(lambda: wanted.items() <= _line(new).items() or None, "the history is there")
        return shown_s, time.perf_counter() - began
    finally:
        new.stop()


def _line(twin: Member) -> Shown:
    """A short look at the common playbook, as the twin's list of playbooks has it."""
    (line,) = [item for item in twin.client().get("playbooks")["items"] if item["name"] == "common"]
    return dict(line)


def _has_snapshot(twin: Member) -> bool | None:
    with closing(sqlite3.connect(f"file:{twin.home / 'node.db'}?mode=ro", uri=True)) as conn:
        return bool(conn.execute("SELECT count(*) FROM snapshots WHERE status = 'own'").fetchone()[0]) or None


def _until(check: Callable[[], object], what: str) -> None:
    until = time.monotonic() + ALL_S
    while check() is None:
        if time.monotonic() > until:
            raise RuntimeError(f"{what}: not within {ALL_S:.0f} s")
        time.sleep(POLL_S)
