"""Durable private messages of 1 KB between two processes on loopback: the rate of 3,000, and one at a time.

Ours: two `pagi up` whose owners named each other, once connected over libp2p, once with nothing but HTTP between them:
they do not listen on libp2p, know each other's public listener from an invitation, and each message is a POST that is
answered when it is on disk. 64 of A's owner's clients send at once through `POST /v1/didcomm/send`; the clock runs from
the first request until A counts all as delivered, which it does when B has them on its disk and A has noted that on its
own. A web server proves nobody, so over HTTP a message is delivered only once B's own acknowledgement, a message of its
own, came the other way. Afterwards every id must be `delivered` in A's outbox and in B's inbox exactly once. Latency is
one request with `wait_s`, one after the other, until B's answer that the message is on its disk is noted. The clients,
which are this process, take part of the machine.

The peer: two Node.js processes, HTTP with keep-alive and 64 under way, each with one file instead of a database
(tests/interop/durable_peer.mjs): message appended and synced, packed, posted, unpacked, appended and synced, answered,
delivery appended and synced; what waits for the disk at once shares a sync. It has no owner's interface, no order
within threads, no retry, no event log and no check for duplicates. Sides take turns; the rate is the median of the
rounds, the latencies are those of all rounds together. Without Node.js and `npm ci` in tests/interop only ours is
measured.
"""

import asyncio
import re
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp

from benchmarks import agents, didcomm_node, twins
from benchmarks.didcomm_node import NodeProcess
from benchmarks.table import Row
from node.cli.demo_swarm import Member

ROUNDS = 3
MESSAGES = 3_000
AT_ONCE = 64
ALONE = 200
BODY = {"content": "x" * 1024}
AIMS = {"libp2p": "at least 500", "HTTP": "the fastest"}
TYPE = "https://didcomm.org/basicmessage/2.0/message"
DELIVERED = re.compile(rb'pagi_counts_total\{kind="didcomm_(?:delivered|acknowledged)"\} (\S+)')
ALL_S = 120.0
POLL_S = 0.02
PAGE = 500

Round = tuple[float, list[float]]
"""Messages per second, many at once; milliseconds of each, one at a time."""


def run() -> list[Row]:
    """The rates and the latencies of ours by either way, and the peer's."""
    ours: dict[str, list[Round]] = {way: [] for way in AIMS}
    theirs: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="pagi-messaging-") as folder, ExitStack() as stack:
        pairs = {
            "libp2p": stack.enter_context(twins.over_libp2p(Path(folder))),
            "HTTP": stack.enter_context(twins.over_http(Path(folder))),
        }
        peer = stack.enter_context(_Peer.open(Path(folder))) if didcomm_node.is_installed() else None
        for _ in range(ROUNDS):
            for way, (a, b) in pairs.items():
                ours[way].append(asyncio.run(_measure(a, b)))
            if peer:
                theirs.append((MESSAGES / peer.send(MESSAGES, AT_ONCE)[0], peer.send(ALONE, 1)[1]))
    return [row for way, rounds in ours.items() for row in _rows(way, rounds, theirs)]


def _rows(way: str, ours: list[Round], theirs: list[Round]) -> Iterator[Row]:
    rate, p50, p99 = _figures(ours)
    peer_rate, peer_p50, peer_p99 = _figures(theirs) if theirs else (None, None, None)
    peer = f"{didcomm_node.PEER}, HTTP, files"
    yield Row(f"{way}: {AT_ONCE} at once, 1 KB, durable", rate, peer_rate, "messages/s", peer, "higher", AIMS[way])
    yield Row(f"{way}: one at a time, until on disk there, p50", p50, peer_p50, "ms", peer, "lower", "")
    yield Row(f"{way}: one at a time, until on disk there, p99", p99, peer_p99, "ms", peer, "lower", "")


def _figures(rounds: list[Round]) -> tuple[float, float, float]:
    """The rate, and the p50 and p99 of the latencies."""
    cuts = quantiles([ms for _, latencies in rounds for ms in latencies], n=100)
    return median(rate for rate, _ in rounds), cuts[49], cuts[98]


async def _measure(a: Member, b: Member) -> Round:
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    token = (a.home / "api-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    message = {"to": b.did, "type": TYPE, "body": BODY}
    async with aiohttp.ClientSession(a.first_line["api"], connector=connector, headers=headers) as owner:
        await _send(owner, {**message, "wait_s": 10})
        before = await _delivered(owner)
        started = time.perf_counter()
        ids = await _send_all(owner, message)
        while await _delivered(owner) < before + MESSAGES:
            if time.perf_counter() - started > ALL_S:
                raise RuntimeError(f"not all messages were delivered within {ALL_S:.0f} s")
            await asyncio.sleep(POLL_S)
        seconds = time.perf_counter() - started
        latencies_ms = []
        for _ in range(ALONE):
            began = time.perf_counter()
            sent = await _send(owner, {**message, "wait_s": 10})
            latencies_ms.append((time.perf_counter() - began) * 1000)
            assert sent["status"] in ("delivered", "sent")
    await asyncio.to_thread(_check, a, b, ids)
    return MESSAGES / seconds, latencies_ms


async def _send_all(owner: aiohttp.ClientSession, message: dict[str, Any]) -> list[str]:
    ids: list[str] = []
    left = iter(range(MESSAGES))

    async def work() -> None:
        ids.extend([(await _send(owner, message))["id"] for _ in left])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    return ids


async def _send(owner: aiohttp.ClientSession, message: dict[str, Any]) -> dict[str, Any]:
    async with owner.post("/v1/didcomm/send", json=message) as response:
        answer: dict[str, Any] = await response.json()
        if response.status != 200:
            raise RuntimeError(f"the twin refused a message: {answer}")
        return answer


async def _delivered(owner: aiohttp.ClientSession) -> float:
    async with owner.get("/metrics") as response:
        return sum(map(float, DELIVERED.findall(await response.read())))


def _check(a: Member, b: Member, ids: list[str]) -> None:
    """Every message is delivered at A and in B's inbox once. Raises RuntimeError otherwise."""
    delivered = Counter(item["id"] for item in _items(a, "outbox") if item["status"] == "delivered")
    arrived = Counter(item["id"] for item in _items(b, "inbox"))
    wrong = [id_ for id_ in ids if delivered[id_] != 1 or arrived[id_] != 1]
    if wrong or len(set(ids)) != MESSAGES:
        raise RuntimeError(f"{len(wrong)} of {len(ids)} messages are not there exactly once, such as {wrong[:3]}")


def _items(twin: Member, box: str) -> Iterator[dict[str, Any]]:
    after: str | None = None
    while True:
        page = twin.client().get("didcomm", box, query={"limit": PAGE, "after": after})
        yield from page["items"]
        after = page["next"]
        if after is None:
            return


class _Peer:
    """A sender and a receiver with didcomm-node."""

    def __init__(self, sender: NodeProcess, receiver: NodeProcess, journal: Path) -> None:
        self._sender = sender
        self._journal = journal
        alice, bob = agents.twin(), agents.twin()
        for process in (sender, receiver):
            process.know([alice, bob])
        self._port = receiver.ask("listen")["port"]
        self._message = {
            "typ": "application/didcomm-plain+json",
            "type": TYPE,
            "body": BODY,
            "from": alice.did,
            "to": [bob.did],
            "created_time": int(time.time()),
        }
        self.send(10, 1)

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> "Iterator[_Peer]":
        """Run both while the context is open."""
        journal = folder / "received"
        with (
            NodeProcess("durable_peer.mjs", "sender", str(folder / "sent")) as sender,
            NodeProcess("durable_peer.mjs", "receiver", str(journal)) as receiver,
        ):
            yield cls(sender, receiver, journal)

    def send(self, count: int, at_once: int) -> tuple[float, list[float]]:
        """Seconds for all, milliseconds of each. Raises RuntimeError unless each is in the receiver's file."""
        ids = [str(uuid.uuid4()) for _ in range(count)]
        before = self._received()
        answer = self._sender.ask("send", port=self._port, message=self._message, ids=ids, in_flight=at_once)
        if self._received() != before + count:
            raise RuntimeError(f"{didcomm_node.PEER}: {self._received() - before} of {count} messages arrived")
        return float(answer["seconds"]), [float(ms) for ms in answer["latencies_ms"]]

    def _received(self) -> int:
        return self._journal.read_bytes().count(b"\n") if self._journal.exists() else 0
