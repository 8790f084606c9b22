"""A relay that keeps mail: its memory with 1,000 live clients, and how fast mail of 1 KB is kept and handed over.

A real `pagi-relay` with its public listener; this process is all clients and all senders, so it takes its part of the
machine. Each client registers, keeps a WebSocket open and asks for live delivery; their addresses are those of 20 hosts
(127.0.1.x), as the relay counts connections by host. Then

- 10,000 forwards are posted, 64 at once, each acknowledged by the relay when it is on its disk, while all clients are
  live: the clock runs until the last of them was pushed, opened by its client and confirmed;
- the clients go, and 10,000 further ones are posted: the clock runs until the last acknowledgement.

Everything is packed before the clock starts. At the end the relay must hold exactly what nobody has fetched. There is
no peer: other mediators keep their queues in a database server of its own, or in memory alone.
"""

import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.table import Row
from identity.did import Did, did_key, resolve_did_key
from identity.keys import KeyPair
from node.cli.demo_swarm import Member
from protocols.conversations import mediation, pickup
from protocols.conversations.routing import wrap
from protocols.didcomm.author import author_of
from protocols.didcomm.envelope import ENCRYPTED, pack_private, unpack
from protocols.message import Message

CLIENTS = 1_000
HOSTS = 20
SENDER_HOSTS = 64
MESSAGES = 10_000
AT_ONCE = 64
TEXT = "x" * 1024
PATIENCE_S = 300.0


class Client:
    """One live client on its own WebSocket."""

    def __init__(self, relay: Did, keys: KeyPair) -> None:
        self.keys = keys
        self.did = did_key(keys.public)
        self.received = 0
        self._relay = resolve_did_key(relay)
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def open(self, session: aiohttp.ClientSession, url: str) -> None:
        """Connect, register and ask for live delivery."""
        self._socket = await session.ws_connect(url)
        await self._ask(mediation.REQUEST["3.0"], {})
        await self._ask(mediation.UPDATE["3.0"], {"updates": [{"recipient_did": self.did, "action": "add"}]})
        live = await self._ask(pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": True})
        assert live.body["live_delivery"] is True

    async def take(self, expected: int) -> None:
        """Open and confirm what is pushed, until so many messages were."""
        while self.received < expected:
            brought = pickup.read_delivery(await self._receive())
            for one in brought:
                unpack(one.packed, keys=[self.keys])
            self.received += len(brought)
            await self._send(pickup.MESSAGES_RECEIVED["4.0"], {"message_id_list": [one.id for one in brought]})

    async def close(self) -> None:
        assert self._socket is not None
        await self._socket.close()

    async def _ask(self, message_type: str, body: dict[str, Any]) -> Message:
        await self._send(message_type, body)
        return await self._receive()

    async def _send(self, message_type: str, body: dict[str, Any]) -> None:
        assert self._socket is not None
        message = _message(message_type, body, from_=self.did, to=self._relay.did)
        packed = pack_private(message, author=author_of(self.keys), recipient=self._relay, entropy=os.urandom)
        await self._socket.send_bytes(packed)

    async def _receive(self) -> Message:
        assert self._socket is not None
        frame = await self._socket.receive(PATIENCE_S)
        if frame.type is not aiohttp.WSMsgType.TEXT:
            raise RuntimeError(f"the relay ended a client's WebSocket: {frame.type.name} {frame.data}")
        return unpack(frame.data.encode(), keys=[self.keys]).message


def run() -> list[Row]:
    """What one relay does."""
    with tempfile.TemporaryDirectory(prefix="pagi-mediator-") as folder:
        options = ["--listen", "/ip4/127.0.0.1/tcp/0", "--public", "127.0.0.1:0"]
        relay = Member("relay", [sys.executable, "-m", "bootstrap", *options], Path(folder) / "relay")
        relay.start()
        try:
            return asyncio.run(_measure(relay))
        finally:
            relay.stop()


async def _measure(relay: Member) -> list[Row]:
    url = f"{relay.first_line['public']}/didcomm"
    clients = [Client(Did(relay.did), KeyPair(os.urandom(32))) for _ in range(CLIENTS)]
    empty_mb = _rss_mb(relay)
    sessions = [_session(f"127.0.1.{host + 1}") for host in range(HOSTS)]
    senders = [_session(f"127.0.2.{host + 1}") for host in range(SENDER_HOSTS)]
    try:
        for start in range(0, CLIENTS, AT_ONCE):
            part = clients[start : start + AT_ONCE]
            await asyncio.gather(*(client.open(sessions[(start + n) % HOSTS], url) for n, client in enumerate(part)))
        live_mb = _rss_mb(relay)
        live_s = await _deliver(senders, url, relay, clients)
        after_live_mb = _rss_mb(relay)
        await asyncio.gather(*(client.close() for client in clients))
        forwards = _forwards(relay, clients)
        began = time.perf_counter()
        await _post_all(senders, url, forwards)
        queued_s = time.perf_counter() - began
        queued_mb = _rss_mb(relay)
        _check(relay)
    finally:
        for session in (*sessions, *senders):
            await session.close()
    return [
        Row("RSS, no client", empty_mb, None, "MB", "", "lower", ""),
        Row(f"RSS, {CLIENTS:,} live clients", live_mb, None, "MB", "", "lower", "under 200"),
        Row(
            f"kept, pushed and confirmed, {CLIENTS:,} live clients",
            MESSAGES / live_s,
            None,
            "messages/s",
            "",
            "higher",
            "",
        ),
        Row(f"RSS after {MESSAGES:,} messages", after_live_mb, None, "MB", "", "lower", ""),
        Row("kept for clients that are away", MESSAGES / queued_s, None, "messages/s", "", "higher", "at least 500"),
        Row(f"RSS, {MESSAGES:,} messages waiting", queued_mb, None, "MB", "", "lower", "under 200"),
    ]


async def _deliver(
    senders: Sequence[aiohttp.ClientSession], url: str, relay: Member, clients: Sequence[Client]
) -> float:
    """Seconds until every client has opened and confirmed its share."""
    forwards = _forwards(relay, clients)
    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.take(MESSAGES // CLIENTS))
        tasks.create_task(_post_all(senders, url, forwards))
    while _waiting(relay):  # noqa: ASYNC110 - the last confirmations are on their way, and the relay tells nobody
        await asyncio.sleep(0.01)
    return time.perf_counter() - began


def _forwards(relay: Member, clients: Sequence[Client]) -> list[bytes]:
    """The messages of all senders, packed and wrapped, for each client in turn."""
    sender = KeyPair(os.urandom(32))
    own, hop = did_key(sender.public), resolve_did_key(Did(relay.did))
    documents = [resolve_did_key(client.did) for client in clients]
    forwards = []
    for number in range(MESSAGES):
        to = documents[number % len(documents)]
        message = _message("https://didcomm.org/basicmessage/2.0/message", {"content": TEXT}, from_=own, to=to.did)
        packed = pack_private(message, author=author_of(sender), recipient=to, entropy=os.urandom)
        forwards.append(wrap(packed, next_did=to.did, routing=[hop], entropy=os.urandom))
    return forwards


async def _post_all(senders: Sequence[aiohttp.ClientSession], url: str, forwards: Sequence[bytes]) -> None:
    left = iter(forwards)

    async def post(session: aiohttp.ClientSession) -> None:
        for forward in left:
            async with session.post(url, data=forward, headers={"Content-Type": ENCRYPTED}) as response:
                if response.status != 202:
                    raise RuntimeError(f"the relay did not keep a message: {response.status}")

    async with asyncio.TaskGroup() as tasks:
        for number in range(AT_ONCE):
            tasks.create_task(post(senders[number % len(senders)]))


def _message(message_type: str, body: dict[str, Any], *, from_: Did, to: Did) -> Message:
    return Message(
        id=os.urandom(16).hex(),
        type=message_type,
        body=body,
        from_=from_,
        to=(to,),
        created_time=int(time.time()),
        return_route="all",
    )


def _session(address: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, local_addr=(address, 0)))


def _rss_mb(relay: Member) -> float:
    return float(psutil.Process(relay.pid).memory_info().rss) / 1e6


def _waiting(relay: Member) -> int:
    conn = sqlite3.connect(f"file:{relay.home / 'node.db'}?mode=ro", uri=True)
    try:
        return int(conn.execute("SELECT count(*) FROM mediation_queue").fetchone()[0])
    finally:
        conn.close()


def _check(relay: Member) -> None:
    if (waiting := _waiting(relay)) != MESSAGES:
        raise RuntimeError(f"{waiting} messages wait where {MESSAGES} should")
