"""`kill -9` at any moment loses nothing that was acknowledged and does nothing twice.

One real twin is killed over and over on one home, while its owner and another real twin keep it busy. What its API or
the other twin's outbox acknowledged is written down, and at the end all of it must be there exactly once.

PAGI_CRASH_SEED repeats a run's moments, PAGI_CRASH_KILLS changes how many there are.
"""

import asyncio
import itertools
import json
import os
import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from identity.cid import Cid
from node.cli.errors import NodeNotRunning, NodeSilent
from protocols.conversations.problem_report import PROBLEM
from protocols.task import ANSWER, ASK
from storage import eventlog
from storage.blocks import BlockStore
from storage.database import Database
from storage.home import Home
from tests.node.processes import Machine, Process, every_item, name_each_other, wait_until

KILLS = int(os.environ.get("PAGI_CRASH_KILLS", "50"))
SEED = int(os.environ.get("PAGI_CRASH_SEED", str(time.time_ns() % 1_000_000)))
KILLS_WHILE_NEW = 4
"""Kills of a twin whose home was never whole."""

SETTLE_S = 90.0
NOTE = "https://example.org/crash-test/1.0/note"
FACT = "The lighthouse at Cape Fenn burns 42 litres of oil in a long winter night."
QUESTION = "How many litres of oil does the lighthouse at Cape Fenn burn in a long winter night?"
CONFIG = "[network]\nsync_every_s = 2\n[mind]\nask_timeout_s = 20\n"


class Acknowledged:
    """What the twins' owners were told is done. Lists of ids, appended to by several threads."""

    def __init__(self) -> None:
        self.memories: dict[str, str] = {}
        self.jobs: list[str] = []
        self.revisions: dict[str, list[str]] = {"a": [], "b": []}
        self.sent: dict[str, list[str]] = {"a": [], "b": []}

    @property
    def size(self) -> int:
        return sum(map(len, (self.memories, self.jobs, *self.revisions.values(), *self.sent.values())))


class Work:
    """What keeps one twin busy while the context is open: each deed again and again, in a thread of its own.

    A request that a kill cuts off was not acknowledged, and is not written down. A problem that the twin answers with
    is an error of the test's, raised at the end.
    """

    def __init__(self, *deeds: Callable[[], None], pause_s: float) -> None:
        self._deeds = deeds
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(len(deeds))
        self._running: list[Future[None]] = []

    def __enter__(self) -> None:
        self._running = [self._threads.submit(self._repeat, deed) for deed in self._deeds]

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown()
        for done in self._running:
            done.result()

    def _repeat(self, deed: Callable[[], None]) -> None:
        while not self._stop.wait(self._pause_s):
            try:
                deed()
            except (NodeNotRunning, NodeSilent):
                continue


_numbers = itertools.count()


def remember(twin: Process, done: Acknowledged) -> None:
    content = f"Crate {next(_numbers)} stands in row {next(_numbers)}."
    memory = {"kind": "episodic", "content": content}
    done.memories[twin.client.post("memory", body=memory)["id"]] = content


def learn(name: str, twin: Process, done: Acknowledged) -> None:
    op = {"op": "add", "section": "crates", "text": f"Lesson {next(_numbers)} of {name}.", "tags": []}
    body = {"critique": "Counted.", "ops": [op]}
    done.revisions[name].append(twin.client.post("playbooks", "common", "revisions", body=body)["cid"])


def write(name: str, sender: Process, to: str, done: Acknowledged) -> None:
    body = {"to": to, "type": NOTE, "body": {"n": next(_numbers)}}
    done.sent[name].append(sender.client.post("didcomm", "send", body=body)["id"])


def calculate(twin: Process, done: Acknowledged) -> None:
    outcome = twin.client.post("interact", body={"goal": "How much is 12 * 7?"})
    assert outcome["status"] == "done", outcome
    assert "84" in outcome["answer"]
    done.jobs.append(outcome["job_id"])


def ask(twin: Process) -> None:
    """Make the twin ask the other one. A kill may cost it the answer, but never makes it fail."""
    outcome = twin.client.post("interact", body={"goal": QUESTION})
    assert outcome["status"] == "done", outcome


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_at_any_moment_loses_nothing_and_does_nothing_twice(machine: Machine) -> None:
    sys.stdout.write(f"PAGI_CRASH_SEED={SEED} PAGI_CRASH_KILLS={KILLS}\n")
    chance = random.Random(SEED)
    done = Acknowledged()
    a = machine.twin("a", config=CONFIG)
    a.start()
    b = machine.twin("b", "--bootstrap", a.address, config=CONFIG)
    start_s = kill_while_new(b, chance)
    name_each_other(a, b)
    b.client.post("memory", body={"kind": "semantic", "content": FACT, "namespace": "shared"})
    wait_until(lambda: topics_of(a, b), "A hears what B can be asked")

    while_ready = 0
    for_b = (lambda: write("a", a, b.did, done), lambda: learn("a", a, done), lambda: ask(a))
    with Work(*for_b, pause_s=0.25):
        for number in range(KILLS):
            while_ready += keep_busy_then_kill(a, b, done, chance, start_s if number % 5 < 2 else None)
            b.launch()
            if number % 5 == 4:
                assert b.is_ready_within(SETTLE_S)
                check_newest(b, done)
                b.kill()
                b.launch()
        assert b.is_ready_within(SETTLE_S)
    sys.stdout.write(f"{while_ready} of {KILLS} kills hit a ready twin; {done.size} deeds acknowledged\n")
    assert min(map(len, (done.memories, done.jobs, *done.revisions.values(), *done.sent.values()))) > 0

    check_all_arrives(a, b, done)
    check_all_kept(a, b, done)
    assert (a.stop(), b.stop()) == (0, 0)
    for twin in (a, b):
        asyncio.run(check_disk(Home(twin.home)))


def kill_while_new(b: Process, chance: random.Random) -> float:
    """Kill a twin whose home is being made; then start it, and tell how long that took."""
    for _ in range(KILLS_WHILE_NEW):
        b.launch()
        b.is_ready_within(chance.uniform(0.1, 1.2))
        b.kill()
    identity = b.home / "identity.json"
    named = json.loads(identity.read_text())["did"] if identity.exists() else None
    started = time.monotonic()
    b.start()
    assert named in (None, b.did)
    return time.monotonic() - started


def keep_busy_then_kill(
    a: Process, b: Process, done: Acknowledged, chance: random.Random, start_s: float | None
) -> bool:
    """Let B run until some moment: within `start_s` of its launch if that is given, else after it was ready."""
    ready = b.is_ready_within(SETTLE_S if start_s is None else chance.uniform(0.05, start_s))
    if not ready:
        assert start_s is not None, b.last_words
        b.kill()
        return False
    deeds = (
        lambda: remember(b, done),
        lambda: learn("b", b, done),
        lambda: write("b", b, a.did, done),
        lambda: calculate(b, done),
    )
    with Work(*deeds, pause_s=0.05):
        time.sleep(chance.uniform(0.05, 1.5))
        b.kill()
    return True


def topics_of(a: Process, b: Process) -> list[str] | None:
    twins = {item["did"]: item for item in a.client.get("twins")["items"]}
    return twins[b.did]["topics"] or None if b.did in twins else None


def check_newest(b: Process, done: Acknowledged) -> None:
    """What was acknowledged last is the first that a crash would lose."""
    for acknowledged, path in (
        (list(done.memories), ("memory",)),
        (done.jobs, ("jobs",)),
        (done.sent["b"], ("didcomm", "outbox")),
    ):
        newest = {item["id"] for item in b.client.get(*path, query={"limit": 500})["items"]}
        assert newest.issuperset(acknowledged[-1:])
    revisions = {item["cid"] for item in every_item(b.client, "playbooks", "common", "revisions")}
    assert revisions.issuperset(done.revisions["b"])


def check_all_arrives(a: Process, b: Process, done: Acknowledged) -> None:
    """Every message that was acknowledged gets there, once; both playbooks become the same and hold every lesson."""
    outboxes = {}
    for name, twin in (("a", a), ("b", b)):
        outboxes[name] = wait_until(partial(settled_outbox, twin), f"{name} delivers all it has", SETTLE_S)
        assert {item["status"] for item in outboxes[name]} == {"delivered"}
        assert set(done.sent[name]) <= {item["id"] for item in outboxes[name]}
    inboxes = {"a": list(every_item(b.client, "didcomm", "inbox")), "b": list(every_item(a.client, "didcomm", "inbox"))}
    for name, inbox in inboxes.items():  # with questions that are not kept where they come from, nor their answers here
        received = Counter(item["id"] for item in inbox)
        assert max(received.values()) == 1
        assert received.keys() >= {item["id"] for item in outboxes[name] if item["type"] != PROBLEM}
    asked = [item["id"] for item in outboxes["a"] if item["type"] == ASK]
    answered = [item["thid"] for item in outboxes["b"] if item["type"] == ANSWER]
    assert asked
    assert Counter(asked) == Counter(answered)

    def same_playbook() -> dict[str, Any] | None:
        seen = [twin.client.get("playbooks", "common") for twin in (a, b)]
        return seen[0] if seen[0]["state_hash"] == seen[1]["state_hash"] else None

    playbook = wait_until(same_playbook, "both playbooks are the same", SETTLE_S)
    lessons = Counter(bullet["revision"] for bullet in playbook["bullets"])
    for cid in done.revisions["a"] + done.revisions["b"]:
        assert lessons[cid] == 1


def settled_outbox(twin: Process) -> list[dict[str, Any]] | None:
    rows = list(every_item(twin.client, "didcomm", "outbox"))
    return None if any(row["status"] == "queued" for row in rows) else rows


def check_all_kept(a: Process, b: Process, done: Acknowledged) -> None:
    """Every memory, job and revision that was acknowledged is there, once, and no message waits to be handled."""
    kept = Counter(
        (item["id"], item["content"])
        for item in every_item(
            b.client,
            "memory",
        )
    )
    for memory_id, content in done.memories.items():
        assert kept[memory_id, content] == 1
    jobs = {item["id"]: item["status"] for item in every_item(b.client, "jobs")}
    assert {jobs.get(job) for job in done.jobs} == {"done"}
    for twin in (a, b):
        revisions = {
            item["cid"]: item["status"] for item in every_item(twin.client, "playbooks", "common", "revisions")
        }
        assert set(revisions.values()) == {"adopted"}
        assert revisions.keys() >= {*done.revisions["a"], *done.revisions["b"]}
        wait_until(partial(all_handled, twin), "every message is handled", SETTLE_S)


def all_handled(twin: Process) -> bool | None:
    return all(item["status"] == "handled" for item in every_item(twin.client, "didcomm", "inbox")) or None


async def check_disk(home: Home) -> None:
    """The database is sound, its log unbroken and without repetition; every block is whole."""

    def look(conn: sqlite3.Connection) -> list[Cid]:
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
        assert eventlog.verify_chain(conn) > 0
        once = ("didcomm_received", "didcomm_delivered", "playbook_revision_received")
        for kind in once:
            subjects = Counter(
                row[0] for row in conn.execute("SELECT subject FROM event_log WHERE event_type = ?", (kind,))
            )
            assert subjects
            assert max(subjects.values()) == 1
        return [
            Cid.parse(row[0])
            for row in conn.execute("SELECT cid FROM revisions UNION SELECT payload_cid FROM revisions")
        ]

    async with Database.open(home.node_db) as database:
        named = await database.read(look)
    store = BlockStore(home.blocks, 1 << 30)
    held = list(store.cids())
    assert set(named) <= set(held)
    assert all(store.get(cid) is not None for cid in held)
    assert list((home.blocks / "damaged").iterdir()) == []
