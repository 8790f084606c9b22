"""Keeping content for others: the host and its client over two nodes in memory, as far as a restart of the host."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from node.content import hosting as hosting_module
from node.content.embedded import EmbeddedBlocks
from node.content.errors import NotPinned
from node.content.hosting import Hosting
from node.content.remote_pins import RemotePins
from node.errors import MessageTimeout
from node.messaging.source import Source
from protocols import dag_cbor, limits
from protocols.conversations import pinning
from protocols.errors import MalformedMessage
from protocols.message import Message
from protocols.unixfs.layout import build_file
from storage import hosted_pins, needed
from storage.remote_pins import RemotePin
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, new_keys, open_node

T = TypeVar("T")

SHARE = 200_000
TOTAL = 500_000
WAIT_S = 20
CLIENT, HOST = new_keys(), new_keys()


async def until(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """What `look` gives, as soon as it holds."""
    async with asyncio.timeout(WAIT_S):
        while not holds(found := await look()):  # noqa: ASYNC110 - rows of a database tell nobody
            await asyncio.sleep(0.005)
    return found


@dataclass(slots=True)
class Pair:
    """A client that has content, and a host for it."""

    client: Node
    host: Node
    hosting: Hosting
    blocks: EmbeddedBlocks
    remote: RemotePins
    shares: dict[Did, int]
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def add(self, size_bytes: int, chunk_bytes: int = 10_000) -> tuple[Cid, dict[Cid, bytes]]:
        """A file that the client has."""
        root, blocks = build_file(os.urandom(size_bytes), chunk_bytes=chunk_bytes)
        self.client.blocks.put_many(blocks.items())
        return root, blocks

    async def ask(self, to: Did, message_type: str, body: Mapping[str, Any], *, timeout_s: float) -> Message:
        assert to == self.host.did
        if self.away:
            raise MessageTimeout("no reply")
        self.asked.append(message_type)
        return await self.answer(Message(id="q", type=message_type, body=body))

    async def answer(self, message: Message, client: Did | None = None) -> Message:
        (reply,) = await self.hosting.answer(Source("libp2p", "peer"), client or self.client.did, message)
        return Message(id="a", type=reply.type, body=reply.body, thid=message.id, pthid=reply.pthid)

    async def settled(self, cid: Cid) -> RemotePin:
        return await self.until(cid, lambda pin: pin.settled)

    async def until(self, cid: Cid, holds: Callable[[RemotePin], bool]) -> RemotePin:
        page = await until(
            lambda: self.remote.pins(limit=100), lambda page: any(pin.cid == cid and holds(pin) for pin in page.items)
        )
        return next(pin for pin in page.items if pin.cid == cid)

    async def gone(self) -> None:
        await until(lambda: self.remote.pins(limit=1), lambda page: not page.items)

    async def of_host(self) -> list[hosted_pins.HostedPin]:
        return list((await self.hosting.pins(limit=100)).items)


@asynccontextmanager
async def a_pair(folder: Path, *, total_bytes: int = TOTAL) -> AsyncIterator[Pair]:
    """Both parts run. The host serves the client, with a share of SHARE bytes, until `shares` says something else."""
    swarm = FakeSwarm()
    async with (
        open_node(swarm, folder / "client", keys=CLIENT) as client,
        open_node(swarm, folder / "host", keys=HOST) as host,
    ):
        shares = {client.did: SHARE}

        async def roots() -> set[Cid]:
            return await host.database.read(needed.roots)

        def share_of(_: sqlite3.Connection, did: Did) -> int:
            return shares.get(did, 0)

        blocks = EmbeddedBlocks(host.blocks, database=host.database, network=host.network, roots=roots)
        hosting = Hosting(
            database=host.database, blocks=blocks, share_of=share_of, total_bytes=total_bytes, now=host.clock
        )
        await host.dial(client)

        async def ask(to: Did, message_type: str, body: Mapping[str, Any], *, timeout_s: float) -> Message:
            return await pair.ask(to, message_type, body, timeout_s=timeout_s)

        remote = RemotePins(database=client.database, ask=ask, events=client.events)
        pair = Pair(client, host, hosting, blocks, remote, shares)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part.run()) for part in (hosting, remote)]
            yield pair
            for task in running:
                task.cancel()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds."""
    monkeypatch.setattr("node.content.remote_pins.ASK_FIRST_S", 0.001)
    monkeypatch.setattr("node.content.remote_pins.ASK_MOST_S", 0.01)
    monkeypatch.setattr("node.content.remote_pins.LOOK_EVERY_S", 0.005)
    monkeypatch.setattr("node.content.hosting.LOOK_EVERY_S", 0.005)
    monkeypatch.setattr("node.content.hosting.SWEEP_EVERY_S", 0.005)


def run(folder: Path, test: Callable[[Pair], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with a_pair(folder, **options) as pair:
            await test(pair)

    asyncio.run(main())


def test_what_a_client_asks_for_is_fetched_kept_and_let_go(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        root, blocks = pair.add(100_000)
        await pair.remote.pin(pair.host.did, root, "tides")
        pin = await pair.settled(root)
        assert (pin.status, pin.reason, pin.name) == ("pinned", None, "tides")
        (hosted,) = await pair.of_host()
        counted = sum(len(block) + limits.HOSTED_BLOCK_BYTES for block in blocks.values())
        assert (hosted.client, hosted.status, hosted.size_bytes) == (pair.client.did, "pinned", counted)
        assert pair.remote.used == {pair.host.did: (counted, SHARE)}
        assert (await pair.blocks.collect()).blocks == 0
        assert set(pair.host.blocks.cids()) == set(blocks)
        await pair.remote.unpin(pair.host.did, root)
        await pair.gone()
        assert await pair.of_host() == []
        assert (await pair.blocks.collect()).blocks == len(blocks)
        with pytest.raises(NotPinned):
            await pair.remote.unpin(pair.host.did, root)

    run(tmp_path, test)


def test_what_is_larger_than_the_share_is_refused_and_never_on_the_disk(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        most = 0
        write = pair.host.blocks._write

        def measure(blocks: Mapping[Cid, bytes]) -> None:
            nonlocal most
            write(blocks)
            most = max(most, pair.host.blocks.size_bytes)

        pair.host.blocks._write = measure  # type: ignore[method-assign]
        small, _ = pair.add(50_000)
        await pair.remote.pin(pair.host.did, small)
        assert (await pair.settled(small)).status == "pinned"
        leaves = [os.urandom(10_000) for _ in range(30)]
        cids = [Cid.of(CODEC_RAW, leaf) for leaf in leaves]
        silent = dag_cbor.encode([bytes(cid) for cid in cids])  # does not say how large it is
        root = Cid.of(CODEC_DAG_CBOR, silent)
        pair.client.blocks.put_many([(root, silent), *zip(cids, leaves, strict=True)])
        await pair.remote.pin(pair.host.did, root)
        pin = await pair.settled(root)
        assert pin.status == "failed"
        assert pin.reason is not None
        assert "larger than the" in pin.reason
        assert most <= SHARE
        assert {hosted.cid: hosted.size_bytes for hosted in await pair.of_host()}[root] == 0
        claims, _ = pair.add(250_000)
        await pair.remote.pin(pair.host.did, claims)
        assert (await pair.settled(claims)).status == "failed"
        assert most <= SHARE
        assert set(pair.host.blocks.cids()) >= {small}
        assert pair.host.blocks.size_bytes < 60_000, "what was refused is gone again"

    run(tmp_path, test)


def test_the_shares_of_all_are_bounded_together(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        first, _ = pair.add(60_000)
        await pair.remote.pin(pair.host.did, first)
        assert (await pair.settled(first)).status == "pinned"
        second, _ = pair.add(60_000)
        await pair.remote.pin(pair.host.did, second)
        assert (await pair.settled(second)).status == "failed"
        assert await pair.hosting.used_bytes() <= 100_000

    run(tmp_path, test, total_bytes=100_000)


def test_a_stranger_is_refused_and_costs_no_row(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        stranger = Did("did:key:zStranger")
        cid = Cid.of(CODEC_RAW, b"anything")
        for message_type, body in (
            (pinning.PIN, pinning.Pin(cid).to_body()),
            (pinning.LIST, pinning.About((cid,)).to_body()),
            (pinning.UNPIN, pinning.About((cid,)).to_body()),
        ):
            answer = await pair.answer(Message(id="q", type=message_type, body=body), stranger)
            assert pinning.read_status(answer) is None
            assert answer.body["code"] == pinning.REFUSED
        assert await pair.of_host() == []
        with pytest.raises(MalformedMessage):
            await pair.answer(Message(id="q", type=pinning.PIN, body={"cid": "x"}))

    run(tmp_path, test)


def test_a_host_that_keeps_nothing_for_us_is_not_asked_for_ever(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        pair.shares.clear()
        root, _ = pair.add(1000)
        await pair.remote.pin(pair.host.did, root)
        pin = await pair.settled(root)
        assert (pin.status, pin.reason) == ("failed", "the host keeps nothing for us")
        await pair.remote.unpin(pair.host.did, root)
        await pair.gone()

    run(tmp_path, test)


def test_the_pins_of_whom_the_owner_names_no_longer_go(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        root, _ = pair.add(1000)
        await pair.remote.pin(pair.host.did, root)
        await pair.settled(root)
        pair.shares.clear()
        await until(pair.of_host, lambda pins: not pins)

    run(tmp_path, test)


def test_another_clients_pin_is_neither_seen_nor_ended(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        root, _ = pair.add(1000)
        await pair.remote.pin(pair.host.did, root)
        await pair.settled(root)
        other = Did("did:key:zOther")
        pair.shares[other] = SHARE
        about = pinning.About((root,)).to_body()
        for message_type in (pinning.UNPIN, pinning.LIST):
            status = pinning.read_status(await pair.answer(Message(id="q", type=message_type, body=about), other))
            assert status is not None
            assert [stand.state for stand in status.pins] == ["unknown"]
            assert status.used_bytes == 0
        assert len(await pair.of_host()) == 1

    run(tmp_path, test)


def test_a_host_that_is_away_hears_of_it_when_it_is_back(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        pair.away = True
        root, _ = pair.add(1000)
        await pair.remote.pin(pair.host.did, root)
        pin = await pair.until(root, lambda pin: pin.reason is not None)
        assert (pin.status, pin.reason) == ("asking", "it does not answer: no reply")
        pair.away = False
        assert (await pair.settled(root)).status == "pinned"

    run(tmp_path, test)


def test_what_nobody_gives_waits_and_then_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting_module, "RETRY_FIRST_MS", 0)

    async def test(pair: Pair) -> None:
        root, blocks = pair.add(1000)
        missing = next(iter(blocks))
        pair.client.blocks.delete(missing)
        await pair.remote.pin(pair.host.did, root)
        pin = await pair.until(root, lambda pin: pin.status == "queued" and pin.reason is not None)
        assert "nobody who can be reached has" in (pin.reason or "")
        pair.host.clock.now_ms += limits.HOSTED_KEPT_ASKING_MS + 1
        assert (await pair.settled(root)).status == "failed"

    run(tmp_path, test)


def test_an_attempt_that_was_cut_off_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        reached = asyncio.Event()
        async with a_pair(tmp_path) as pair:
            root, blocks = pair.add(150_000, chunk_bytes=4096)
            fetch = pair.blocks.fetch
            calls = 0

            async def stop_half_way(cids: Sequence[Cid]) -> dict[Cid, bytes]:
                nonlocal calls
                calls += 1
                if calls > 2:
                    reached.set()
                    await asyncio.Event().wait()
                return await fetch(cids)

            pair.blocks.fetch = stop_half_way  # type: ignore[method-assign]
            await pair.remote.pin(pair.host.did, root)
            await reached.wait()
            assert 0 < pair.host.blocks.count < len(blocks)
            (hosted,) = await pair.of_host()
            assert (hosted.status, hosted.size_bytes > 0) == ("pinning", True)
            assert (await pair.blocks.collect()).blocks == 0
        came = set(pair.host.blocks.cids())
        assert len(came) < len(blocks)
        asked: list[Cid] = []
        fetch_any = EmbeddedBlocks.fetch

        async def note(blocks: EmbeddedBlocks, cids: Sequence[Cid]) -> dict[Cid, bytes]:
            asked.extend(cids)
            return await fetch_any(blocks, cids)

        monkeypatch.setattr(EmbeddedBlocks, "fetch", note)
        async with a_pair(tmp_path) as pair:
            await until(pair.of_host, lambda pins: pins[0].status == "pinned")
        assert set(asked) == set(blocks) - came

    asyncio.run(main())


def test_a_wish_that_is_ended_while_it_is_fetched_ends_the_fetch(tmp_path: Path) -> None:
    async def test(pair: Pair) -> None:
        root, _ = pair.add(1000)
        began, ended = asyncio.Event(), asyncio.Event()

        async def never(_: Sequence[Cid]) -> dict[Cid, bytes]:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return {}

        pair.blocks.fetch = never  # type: ignore[method-assign, assignment]
        await pair.remote.pin(pair.host.did, root)
        async with asyncio.timeout(WAIT_S):
            await began.wait()
            await pair.remote.unpin(pair.host.did, root)
            await ended.wait()
        await pair.gone()
        assert await pair.of_host() == []

    run(tmp_path, test)
