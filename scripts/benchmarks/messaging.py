"""Durable private messages of 1 KB between two processes on loopback: the rate of 3,000, and one at a time.

Ours: two `pagi up` whose owners allow each other. 64 of A's owner's clients send at once through `POST
/v1/didcomm/send`; the clock runs from the first request until A counts all as delivered, which it does when B has them
on its disk and A has noted that on its own. Afterwards every id must be `delivered` in A's outbox and in B's inbox
exactly once. Latency is one request with `wait_s`, one after the other. The clients, which are this process, take part
of the machine.

The peer: two Node.js processes, HTTP with keep-alive and 64 under way, each with one file instead of a database
(tests/interop/durable_peer.mjs): message appended and synced, packed, posted, unpacked, appended and synced, answered,
delivery appended and synced; what waits for the disk at once shares a sync. It has no owner's interface, no order
within threads, no retry, no event log and no check for duplicates. Sides take turns; the rate is the median of the
rounds, the latencies are those of all rounds together. Without Node.js and `npm ci` in tests/interop only ours is
measured.
"""

import asyncio
import os
import re
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp

from benchmarks import didcomm_node
from benchmarks.didcomm_node import NodeProcess
from benchmarks.table import Row
from identity.did import did_key
from identity.keys import KeyPair
from node.cli.demo_swarm import Member, wait_until

ROUNDS = 3
MESSAGES = 3_000
AT_ONCE = 64
ALONE = 200
BODY = {"content": "x" * 1024}
TYPE = "https://didcomm.org/basicmessage/2.0/message"
DELIVERED = re.compile(rb'pagi_counts_total\{kind="didcomm_delivered"\} (\S+)')
ALL_S = 120.0
POLL_S = 0.02
PAGE = 500


def run() -> list[Row]:
    """The rate and the latencies of both sides."""
    rates: list[float] = []
    alone_ms: list[float] = []
    peer_rates: list[float] = []
    peer_alone_ms: list[float] = []
    with tempfile.TemporaryDirectory(prefix="pagi-messaging-") as folder, ExitStack() as stack:
        a, b = stack.enter_context(_twins(Path(folder)))
        peer = stack.enter_context(_Peer.open(Path(folder))) if didcomm_node.is_installed() else None
        for _ in range(ROUNDS):
            rate, latencies_ms = asyncio.run(_measure(a, b))
            rates.append(rate)
            alone_ms += latencies_ms
            if peer:
                peer_rates.append(MESSAGES / peer.send(MESSAGES, AT_ONCE)[0])
                peer_alone_ms += peer.send(ALONE, 1)[1]
    peer_name = f"{didcomm_node.PEER}, HTTP, files"
    found = bool(peer_rates)
    p50, p99 = _p50_p99(alone_ms)
    peer_p50, peer_p99 = _p50_p99(peer_alone_ms) if found else (None, None)
    return [
        Row(
            f"{AT_ONCE} at once, 1 KB, durable",
            median(rates),
            median(peer_rates) if found else None,
            "messages/s",
            peer_name,
            "higher",
            "at least 500",
        ),
        Row("one at a time, until delivered, p50", p50, peer_p50, "ms", peer_name, "lower", ""),
        Row("one at a time, until delivered, p99", p99, peer_p99, "ms", peer_name, "lower", ""),
    ]


def _p50_p99(values: list[float]) -> tuple[float, float]:
    cuts = quantiles(values, n=100)
    return cuts[49], cuts[98]


@contextmanager
def _twins(folder: Path) -> Iterator[tuple[Member, Member]]:
    """Two twins that are connected and whose owners allow each other."""
    up = [sys.executable, "-m", "node.cli", "up", "--model", "none", "--no-mdns", "--unsealed"]
    up += ["--listen", "/ip4/127.0.0.1/tcp/0", "--api", "127.0.0.1:0"]
    b = Member("b", up, folder / "b")
    b.start()
    try:
        a = Member("a", [*up, "--bootstrap", b.first_line["listen"][0]], folder / "a")
        a.start()
        try:
            for one, other in ((a, b), (b, a)):
                trust = one.client().get("trust")
                one.client().put("trust", body={**trust, "allow": [other.did]})
                wait_until("the twins are connected", partial(_peers, one))
            yield a, b
        finally:
            a.stop()
    finally:
        b.stop()


def _peers(twin: Member) -> list[Any] | None:
    """Who is connected to the twin; None if nobody is."""
    return twin.client().get("swarm", "peers")["items"] or None


async def _measure(a: Member, b: Member) -> tuple[float, list[float]]:
    """Messages per second, many at once; milliseconds of each, one at a time."""
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
            assert sent["status"] == "delivered"
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
        found = DELIVERED.search(await response.read())
    return float(found[1]) if found else 0.0


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
        alice, bob = KeyPair(os.urandom(32)), KeyPair(os.urandom(32))
        for process in (sender, receiver):
            process.know([alice, bob])
        self._port = receiver.ask("listen")["port"]
        self._message = {
            "typ": "application/didcomm-plain+json",
            "type": TYPE,
            "body": BODY,
            "from": did_key(alice.public),
            "to": [did_key(bob.public)],
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
