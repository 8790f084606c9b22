"""Twenty twins and a relay, real processes on loopback: a thousand revisions at once, and the way of a single one.

All twins name each other and know nothing but the relay. *Coming to one state*: twenty owners' clients propose fifty
lessons each, all at the same time, through the API; the clock runs from the first request until every twin says that it
has adopted all of them, and then all must have one `state_hash`. *On the wire* is what the kernel says, through
`ss -ti`, that the open TCP connections to the twins' and the relay's libp2p ports have sent meanwhile, both ways:
encrypted payload, without TCP/IP headers. The owners' requests go to other ports and do not count.

*Way*: one twin proposes now and then; the clock runs from the request until each of the others broadcasts the event
that the revision is adopted, that is, after it is on its disk. The peer is the loop that the original design had: as
many clones, each pulling a bare repository once a second with the `git` program, until the pull that brought the commit
has ended; a push comes at a moment that has nothing to do with the pulls. The clients, which are this process, take
part of the machine, as does Git's on its turn.

PAGI_BENCH_TWINS, PAGI_BENCH_REVISIONS and PAGI_BENCH_WAYS make it smaller.
"""

import asyncio
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import aiohttp

from benchmarks.git_pull import PULL_EVERY_S, measure_pulls
from benchmarks.lessons import lesson
from benchmarks.table import Row
from benchmarks.twins import ONE_THREAD, UP
from node.cli.demo_swarm import Member

TWINS: Final = int(os.environ.get("PAGI_BENCH_TWINS", "20"))
REVISIONS: Final = int(os.environ.get("PAGI_BENCH_REVISIONS", "1000"))
WAYS: Final = int(os.environ.get("PAGI_BENCH_WAYS", "40"))
WAY_EVERY_S: Final = 0.5
ALL_S: Final = 300.0
POLL_S: Final = 0.1
LOOPBACK: Final = "/ip4/127.0.0.1/tcp/0"
ADOPTED: Final = "playbook_revision_received"


def run() -> list[Row]:
    """The figures of one swarm, and Git's."""
    with tempfile.TemporaryDirectory(prefix="pagi-hive-") as name, ExitStack() as stack:
        os.environ.update(ONE_THREAD)
        folder = Path(name)
        relay, twins = _swarm(stack, folder)
        figures = asyncio.run(_measure(twins, _ports([relay, *twins])))
        for twin in twins:
            twin.stop()
        pulls = measure_pulls(folder / "git", clones=TWINS - 1, pushes=WAYS // 2)
    return _rows(figures, pulls)


def _rows(figures: "Figures", pulls: Sequence[float]) -> list[Row]:
    ours, theirs = quantiles(figures.ways_s, n=100), quantiles(pulls, n=100)
    peer = f"git pull every {PULL_EVERY_S:g} s"
    way = f"a revision's way to {TWINS - 1} twins"
    title = f"{TWINS} twins make {REVISIONS:,} revisions"
    return [
        Row(f"{title}: until all are the same", figures.seconds, None, "s", "", "lower", ""),
        Row(f"{title}: on the wire", figures.wire_bytes / 1e6, None, "MB", "", "lower", ""),
        Row(f"{way}, p50", ours[49], theirs[49], "s", peer, "lower", "under 1 s"),
        Row(f"{way}, p99", ours[98], theirs[98], "s", peer, "lower", "under 1 s"),
    ]


class Figures:
    """What one swarm showed."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wire_bytes = 0
        self.ways_s: list[float] = []


class Owner:
    """A twin's owner: a client of its API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def of(cls, twin: Member) -> "AsyncIterator[Owner]":
        token = (twin.home / "api-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=ALL_S)
        async with aiohttp.ClientSession(twin.first_line["api"], headers=headers, timeout=timeout) as session:
            yield cls(session)

    async def propose(self, number: int) -> str:
        body = {"critique": "It was missing in a job.", "ops": [lesson(number)]}
        async with self._session.post("/v1/playbooks/common/revisions", json=body) as response:
            answer = await response.json()
            if response.status != 200:
                raise RuntimeError(f"the twin refused a revision: {answer}")
            return str(answer["cid"])

    async def state(self) -> tuple[int, str]:
        """How many revisions are adopted, and the state hash."""
        async with self._session.get("/v1/playbooks") as response:
            (line,) = [item for item in (await response.json())["items"] if item["name"] == "common"]
            return int(line["revisions"].get("adopted", 0)), str(line["state_hash"])

    async def adopted(self) -> AsyncIterator[str]:
        """The CIDs of revisions as this twin adopts them."""
        async with self._session.get(f"/v1/events?event_type={ADOPTED}") as response:
            async for line in response.content:
                if line.startswith(b"data:"):
                    event: dict[str, Any] = json.loads(line[5:])
                    if event.get("event_type") == ADOPTED and event["payload"]["data"]["status"] == "adopted":
                        yield str(event["subject"])


async def _measure(twins: Sequence[Member], ports: Collection[str]) -> Figures:
    figures = Figures()
    async with AsyncExitStack() as stack:
        owners = [await stack.enter_async_context(Owner.of(twin)) for twin in twins]
        before, began = _sent_bytes(ports), time.perf_counter()
        await _propose_all(owners)
        for owner in owners:
            while (await owner.state())[0] < REVISIONS:
                if time.perf_counter() - began > ALL_S:
                    raise RuntimeError(f"not all revisions came to all twins within {ALL_S:.0f} s")
                await asyncio.sleep(POLL_S)
        figures.seconds = time.perf_counter() - began
        figures.wire_bytes = _sent_bytes(ports) - before
        if len({await owner.state() for owner in owners}) != 1:
            raise RuntimeError("the twins have adopted the same revisions and do not have the same state")
        figures.ways_s = await _ways(owners)
    return figures


async def _propose_all(owners: Sequence[Owner]) -> None:
    async def work(owner: Owner, first: int) -> None:
        for number in range(first, REVISIONS, len(owners)):
            await owner.propose(number)

    async with asyncio.TaskGroup() as tasks:
        for first, owner in enumerate(owners):
            tasks.create_task(work(owner, first))


async def _ways(owners: Sequence[Owner]) -> list[float]:
    """Seconds from each proposal of the first twin until each of the others has adopted it."""
    begun: dict[str, float] = {}
    seen: list[tuple[str, float]] = []
    enough = asyncio.Event()
    sender, *others = owners

    async def watch(owner: Owner) -> None:
        async for cid in owner.adopted():
            seen.append((cid, time.perf_counter()))
            if len(seen) >= WAYS * len(others):
                enough.set()

    async with asyncio.TaskGroup() as tasks:
        watching = [tasks.create_task(watch(owner)) for owner in others]
        await asyncio.sleep(1)  # all of them follow the events by then
        for number in range(WAYS):
            asked_at = time.perf_counter()
            begun[await sender.propose(REVISIONS + number)] = asked_at
            await asyncio.sleep(WAY_EVERY_S)
        async with asyncio.timeout(ALL_S):
            await enough.wait()
        for task in watching:
            task.cancel()
    return [at - begun[cid] for cid, at in seen if cid in begun]


def _ports(members: Sequence[Member]) -> Collection[str]:
    """The TCP ports on which these listen for libp2p."""
    return {match[1] for member in members if (match := re.search(r"/tcp/(\d+)", member.first_line["listen"][0]))}


def _sent_bytes(ports: Collection[str]) -> int:
    """What the open connections to these ports have sent since they were opened, from either end."""
    said = subprocess.run(["ss", "-tinH", "state", "established"], check=True, capture_output=True, text=True).stdout
    total = 0
    for head, details in zip(*[iter(said.splitlines())] * 2, strict=False):
        here, there = head.split()[2:4]
        if ports & {here.rpartition(":")[2], there.rpartition(":")[2]}:
            found = re.search(r"bytes_sent:(\d+)", details)
            total += int(found[1]) if found else 0
    return total


def _swarm(stack: ExitStack, folder: Path) -> tuple[Member, list[Member]]:
    """A relay, and twins that name each other."""
    relay = Member("relay", [UP[0], "-m", "bootstrap", "--listen", LOOPBACK], folder / "relay")
    stack.callback(relay.stop)
    relay.start()
    up = [*UP, "--listen", LOOPBACK, "--bootstrap", str(relay.first_line["listen"][0])]
    twins = [_started(stack, folder / f"twin-{number}", up) for number in range(TWINS)]
    trust = {"allow": [twin.did for twin in twins], "block": [], "reputation_threshold": 1.0, "auto_adopt": True}
    for twin in twins:
        twin.client().put("trust", body=trust)
    began = time.monotonic()
    while any(not twin.client().get("swarm", "peers")["items"] for twin in twins):
        if time.monotonic() - began > ALL_S:
            raise RuntimeError("not all twins have found the relay")
        time.sleep(POLL_S)
    return relay, twins


def _started(stack: ExitStack, home: Path, command: Sequence[str]) -> Member:
    twin = Member(home.name, command, home)
    stack.callback(twin.stop)
    twin.start()
    return twin
