import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from identity.cid import Cid
from identity.did import PeerId
from node.hive import fetch as fetch_module
from node.hive.fetch import Fetch
from node.hive.history import HistoryServer
from node.hive.walk import Walk
from node.net.errors import BlockNotFound
from protocols import dag_cbor, limits
from protocols.errors import RemoteProtocolError
from protocols.playbook.history import PROTOCOL, HistoryAnswer
from protocols.playbook.revision import SignedRevision
from tests.node.hive.histories import chain, keep, revision
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, open_node


class FakeDisk:
    """What is known, and what lies on the disk, as the test says."""

    def __init__(self) -> None:
        self.heights: dict[Cid, int] = {}
        self.here: dict[Cid, SignedRevision] = {}
        self.staged: list[SignedRevision] = []

    def is_judged(self, cid: Cid) -> bool:
        return cid in self.heights

    async def known(self, cids: Sequence[Cid]) -> Mapping[Cid, int]:
        return {cid: self.heights[cid] for cid in cids if cid in self.heights}

    def held(self, cid: Cid) -> SignedRevision | None:
        return self.here.get(cid)

    def stage(self, revisions: Sequence[SignedRevision]) -> None:
        self.staged += revisions
        self.here.update({signed.cid: signed for signed in revisions})


class Server:
    """A peer that has revisions on its disk and may serve their history."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.counters: Counter[str] = Counter()
        self.requests = 0

    def has(self, revisions: Sequence[SignedRevision]) -> "Server":
        keep(self.node.blocks, revisions)
        return self

    async def speaks(self) -> "Server":
        server = HistoryServer(self.node.network, self.node.blocks, self.counters, now=self.node.clock)
        await server.serve()
        answer, size = self.node.network.services[PROTOCOL]

        async def counted(peer: PeerId, payload: bytes) -> bytes:
            self.requests += 1
            return await answer(peer, payload)

        self.node.network.services[PROTOCOL] = (counted, size)
        return self

    def says(self, reply: Callable[[], Awaitable[bytes]]) -> "Server":
        async def handler(peer: PeerId, payload: bytes) -> bytes:
            self.requests += 1
            return await reply()

        self.node.network.services[PROTOCOL] = (handler, limits.MAX_HISTORY_REQUEST_BYTES)
        return self


class Newcomer:
    """Whoever fetches."""

    def __init__(self, node: Node, servers: Sequence[Server]) -> None:
        self.node = node
        self.servers = servers
        self.disk = FakeDisk()
        self.counters: Counter[str] = Counter()

    async def fetch(self, *heads: SignedRevision, have: Sequence[SignedRevision] = ()) -> list[Cid]:
        walk = Walk([head.cid for head in heads], playbook="common")
        await Fetch(
            walk,
            disk=self.disk,
            network=self.node.network,
            peers=[server.node.peer_id for server in self.servers],
            have=[one.cid for one in have],
            counters=self.counters,
        ).run()
        return walk.in_order()


@contextlib.asynccontextmanager
async def newcomer(path: Path, servers: int = 1) -> AsyncIterator[Newcomer]:
    """A newcomer who is connected to peers that serve nothing yet."""
    swarm = FakeSwarm()
    async with contextlib.AsyncExitStack() as stack:
        node = await stack.enter_async_context(open_node(swarm, path / "newcomer"))
        peers = [Server(await stack.enter_async_context(open_node(swarm, path / f"{n}"))) for n in range(servers)]
        for peer in peers:
            await node.dial(peer.node)
        yield Newcomer(node, peers)


def cids(revisions: Sequence[SignedRevision]) -> list[Cid]:
    return [signed.cid for signed in revisions]


def test_a_history_comes_in_few_answers(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as b:
            revisions = chain(300)
            (server,) = b.servers
            await server.has(revisions).speaks()
            assert await b.fetch(revisions[-1]) == cids(revisions)
            assert server.requests == 3  # 32, 128, and the rest
            assert b.disk.staged == revisions[::-1]
            assert server.counters["history_revisions_served"] == 300

    asyncio.run(main())


def test_what_is_known_is_not_sent_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as b:
            revisions = chain(100)
            (server,) = b.servers
            await server.has(revisions).speaks()
            b.disk.heights = {one.cid: one.revision.height for one in revisions[:95]}
            assert await b.fetch(revisions[-1], have=[revisions[94]]) == cids(revisions[95:])
            assert server.counters["history_revisions_served"] == 5

    asyncio.run(main())


def test_what_is_known_and_was_sent_all_the_same_is_passed_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as b:
            revisions = chain(20)
            (server,) = b.servers
            await server.has(revisions).speaks()
            b.disk.heights = {one.cid: one.revision.height for one in revisions[:15]}
            assert await b.fetch(revisions[-1]) == cids(revisions[15:])
            assert server.counters["history_revisions_served"] == 20
            assert b.counters == {"history_revisions_fetched": 5}

    asyncio.run(main())


def test_what_lies_on_the_disk_is_not_fetched(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as b:
            revisions = chain(50)
            (server,) = b.servers
            await server.has(revisions).speaks()
            b.disk.here = {one.cid: one for one in revisions[10:]}
            assert await b.fetch(revisions[-1]) == cids(revisions)
            assert server.counters["history_revisions_served"] == 10

    asyncio.run(main())


def test_a_peer_that_speaks_bitswap_alone_gives_it_level_by_level(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as b:
            low, *roots = chain(1), *chain(1), *chain(1)
            top = revision(parents=[*low, *roots])
            b.servers[0].has([*low, *roots, top])
            found = await b.fetch(top)
            assert found == [*sorted(cids([*low, *roots])), top.cid]
            assert b.counters["history_unanswered"] == 1

    asyncio.run(main())


def test_when_one_stops_another_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path, servers=3) as b:
            revisions = chain(90)
            for server, part in zip(b.servers, (revisions[60:], revisions[30:60], revisions[:30]), strict=True):
                await server.has(part).speaks()
            assert await b.fetch(revisions[-1]) == cids(revisions)
            assert [server.counters["history_revisions_served"] for server in b.servers] == [30, 30, 30]

    asyncio.run(main())


def test_one_that_went_away_is_passed_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path, servers=2) as b:
            revisions = chain(10)
            b.node.network._swarm.cut(b.node.peer_id, b.servers[0].node.peer_id)
            await b.servers[1].has(revisions).speaks()
            assert await b.fetch(revisions[-1]) == cids(revisions)

    asyncio.run(main())


async def _unasked() -> bytes:
    strange = revision()
    return HistoryAnswer(((strange.envelope_block, strange.payload_block),)).encode()


async def _malformed() -> bytes:
    return dag_cbor.encode({"blocks": "none"})


async def _fails() -> bytes:
    raise ValueError("a defect of the peer")


async def _never() -> bytes:
    await asyncio.Event().wait()
    return b""


@pytest.mark.parametrize(
    ("reply", "counter"),
    [
        (_unasked, "history_garbage"),
        (_malformed, "history_garbage"),
        (_fails, "history_unanswered"),
        (_never, "history_unanswered"),
    ],
)
def test_a_peer_that_answers_wrongly_is_not_asked_again_and_another_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Callable[[], Awaitable[bytes]], counter: str
) -> None:
    monkeypatch.setattr(fetch_module, "ANSWER_TIMEOUT_S", 0.1)

    async def main() -> None:
        async with newcomer(tmp_path, servers=2) as b:
            revisions = chain(100)
            bad, good = b.servers
            bad.says(reply)
            await good.has(revisions).speaks()
            assert await b.fetch(revisions[-1]) == cids(revisions)
            assert (bad.requests, b.counters[counter]) == (1, 1)

    monkeypatch.setattr(fetch_module, "ANSWER_TIMEOUT_S", 0.1 if reply is _never else 20.0)
    asyncio.run(main())


def test_a_payload_that_is_another_one_is_the_peers_fault_and_not_the_authors(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path, servers=2) as b:
            one, other = revision(), revision()

            async def mixed() -> bytes:
                return HistoryAnswer(((one.envelope_block, other.payload_block),)).encode()

            b.servers[0].says(mixed)
            await b.servers[1].has([one]).speaks()
            assert await b.fetch(one) == [one.cid]
            assert b.counters["history_garbage"] == 1

    asyncio.run(main())


def test_what_came_before_the_garbage_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as b:
            low, top = chain(2)
            strange = revision()

            async def half() -> bytes:
                return HistoryAnswer(
                    ((top.envelope_block, top.payload_block), (strange.envelope_block, strange.payload_block))
                ).encode()

            b.servers[0].says(half)
            with pytest.raises(BlockNotFound):
                await b.fetch(top)
            assert b.disk.staged == [top]
            b.servers[0].has([low])
            await b.servers[0].speaks()
            assert await b.fetch(top) == [low.cid, top.cid]

    asyncio.run(main())


def test_what_is_wrong_in_the_right_block_is_a_lie_of_its_author(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path, servers=2) as b:
            lie = revision(playbook="other")
            for server in b.servers:
                await server.has([lie]).speaks()
            server = b.servers[0]
            server.says(lambda: _answering(lie))
            with pytest.raises(RemoteProtocolError):
                await b.fetch(lie)
            assert not b.counters

    asyncio.run(main())


async def _answering(*revisions: SignedRevision) -> bytes:
    return HistoryAnswer(tuple((one.envelope_block, one.payload_block) for one in revisions)).encode()


def test_what_nobody_has_is_not_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as b:
            await b.servers[0].speaks()
            with pytest.raises(BlockNotFound):
                await b.fetch(revision())

    asyncio.run(main())


def test_blocks_that_were_lost_under_what_is_had_come_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with newcomer(tmp_path) as b:
            low, middle, top = chain(3)
            await b.servers[0].has([low, middle, top]).speaks()
            b.disk.heights = {low.cid: 1, top.cid: 3}
            assert await b.fetch(middle, have=[top]) == [middle.cid]

    asyncio.run(main())


def test_one_peer_gets_only_so_many_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HISTORY_BURST", 2)

    async def main() -> None:
        async with newcomer(tmp_path) as b:
            one = revision()
            await b.servers[0].has([one]).speaks()
            for _ in range(3):
                b.disk.here.clear()
                await b.fetch(one)  # the third time by bitswap
            assert b.servers[0].counters == {"history_revisions_served": 2, "history_throttled": 1}
            b.servers[0].node.clock.advance(1)
            b.disk.here.clear()
            await b.fetch(one)
            assert b.servers[0].counters["history_revisions_served"] == 3

    asyncio.run(main())
