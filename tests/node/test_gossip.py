import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from identity.did import did_key
from identity.keys import KeyPair
from node.errors import NotNamed
from node.gossip import Heard
from node.net.errors import RemoteRefused
from node.net.port import GossipMessage
from protocols import limits
from protocols.didcomm.envelope import pack_signed
from protocols.message import Message
from protocols.swarm import TOPIC, TWIN_OFFLINE, TWIN_ONLINE, TwinOnline
from protocols.sync import PROTOCOL, SyncRequest, SyncResponse
from storage import gossip as rows
from storage.errors import StorageFull
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Clock, Node, new_keys, open_node, running, soon

NEWS = "https://test.example/1.0/news"
ANNA = new_keys()


def signed(keys: KeyPair, n: int = 1, message_type: str = NEWS, *, seconds: int = 0, **headers: Any) -> bytes:
    """Message number `n` of an author: the greater number is the newer one."""
    values: dict[str, Any] = {
        "id": f"{n:08}",
        "type": message_type,
        "body": {"n": n},
        "from_": did_key(keys.public),
        "created_time": START_MS // 1000 + seconds,
    }
    return pack_signed(Message(**{**values, **headers}), signer=keys)


class Ear:
    """A listener that remembers what it heard."""

    def __init__(self, node: Node, message_type: str = NEWS) -> None:
        self.heard: list[Heard] = []
        self._arrived: asyncio.Queue[Heard] = asyncio.Queue()
        node.gossip.on(message_type, self._hear)

    async def _hear(self, heard: Heard) -> None:
        self.heard.append(heard)
        self._arrived.put_nowait(heard)

    async def next(self) -> Heard:
        return await soon(self._arrived.get())

    @property
    def bodies(self) -> list[Any]:
        return [heard.message.body.get("n") for heard in self.heard]


async def held(node: Node) -> list[bytes]:
    return [data for _, data in await node.database.read(lambda conn: rows.since(conn, 0, 10_000))]


async def take(node: Node, *messages: bytes) -> None:
    """Let these arrive from a neighbour, and wait until they are dealt with. The gossip must be running."""
    marker = new_keys()
    done = asyncio.Event()

    async def mark(heard: Heard) -> None:
        done.set()

    marker_type = f"https://test.example/1.0/{os.urandom(4).hex()}"
    node.gossip.on(marker_type, mark)
    handler = node.network.topics[TOPIC]
    for data in (*messages, signed(marker, message_type=marker_type)):
        handler(GossipMessage(TOPIC, data, node.peer_id))
    await soon(done.wait())
    did = did_key(marker.public)
    await node.database.write(lambda conn: rows.drop(conn, type=marker_type, author=did, subject=""))
    node.gossip.counters["gossip_accepted"] -= 1
    node.gossip.counters["gossip_taken"] -= 1


@contextlib.asynccontextmanager
async def listening(path: Path, **options: Any) -> AsyncIterator[tuple[Node, Ear]]:
    async with open_node(FakeSwarm(), path / "node", **options) as node:
        ear = Ear(node)
        await node.gossip.join(TOPIC)
        async with running(node.gossip.run()):
            yield node, ear


def test_what_one_publishes_all_hear_once_and_keep(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_node(swarm, tmp_path / "a") as a,
            open_node(swarm, tmp_path / "b") as b,
            open_node(swarm, tmp_path / "c") as c,
        ):
            ears = [Ear(node) for node in (a, b, c)]
            for node in (a, b, c):
                await node.gossip.join(TOPIC)
            await a.dial(b)
            await b.dial(c)
            async with running(a.gossip.run(), b.gossip.run(), c.gossip.run()):
                message = await a.gossip.publish(TOPIC, NEWS, {"n": 1})
                for ear in ears[1:]:
                    heard = await ear.next()
                    assert heard.message == message
                    assert heard.author == a.did
                for node in (a, b, c):
                    await take(node)
                    for peer in node.network.peers():
                        await node.gossip.catch_up(peer.peer_id)  # the echo of what all have
            assert [len(ear.heard) for ear in ears] == [0, 1, 1]
            assert await held(a) == await held(b) == await held(c)

    asyncio.run(main())


def test_only_what_is_newer_is_kept_and_handed_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(tmp_path) as (node, ear):
            await take(node, signed(ANNA, 2), signed(ANNA, 2), signed(ANNA, 1), signed(ANNA, 9, seconds=-1))
            assert ear.bodies == [2]
            await take(node, signed(ANNA, 3), signed(new_keys(), 1), signed(ANNA, 0, seconds=1))
            assert ear.bodies == [2, 3, 1, 0]
            assert len(await held(node)) == 2
            assert node.gossip.counters["gossip_not_newer"] == 3

    asyncio.run(main())


def test_a_twin_that_left_does_not_come_back_by_an_older_announcement(tmp_path: Path) -> None:
    online = TwinOnline("Anna", (), (), (), "1").to_body()

    async def main() -> None:
        async with listening(tmp_path) as (node, _):
            coming = Ear(node, TWIN_ONLINE)
            leaving = Ear(node, TWIN_OFFLINE)
            came = signed(ANNA, 1, TWIN_ONLINE, body=online)
            left = signed(ANNA, 2, TWIN_OFFLINE, body={})
            await take(node, left, came)
            assert (len(coming.heard), len(leaving.heard)) == (0, 1)
            await take(node, signed(ANNA, 3, TWIN_ONLINE, body=online), left)
            assert (len(coming.heard), len(leaving.heard)) == (1, 1)

    asyncio.run(main())


def test_garbage_is_refused_counted_and_not_kept(tmp_path: Path) -> None:
    other = did_key(new_keys().public)
    good = signed(ANNA)
    garbage = {
        "empty": b"",
        "random": os.urandom(500),
        "truncated": good[:-9],
        "one bit": good[:-60] + bytes([good[-60] ^ 1]) + good[-59:],
        "deep": b"[" * 10_000 + b"]" * 10_000,
        "too long": signed(ANNA, body={"x": "x" * limits.MAX_GOSSIP_BYTES}),
        "plain": Message(id="1", type=NEWS, from_=other).to_bytes(),
        "future": signed(ANNA, seconds=limits.CLOCK_SKEW_S + 1),
        "replay": signed(ANNA, seconds=-limits.REPLAY_WINDOW_S - 1),
        "announcement": signed(ANNA, message_type=TWIN_ONLINE, body={"name": "x"}),
        "playbook": signed(ANNA, message_type="https://pagi.ai/playbook/1.0/update", body={}),
    }

    async def main() -> None:
        async with listening(tmp_path) as (node, ear):
            await take(node, *garbage.values())
            assert ear.heard == []
            assert await held(node) == []
            refused = {name: n for name, n in node.gossip.counters.items() if name.startswith("gossip_refused")}
            assert sum(refused.values()) == len(garbage)
            await take(node, good)
            assert ear.bodies == [1]

    asyncio.run(main())


async def raises_refusal(heard: Heard) -> None:
    raise NotNamed("no")


async def raises_defect(heard: Heard) -> None:
    raise KeyError("oops")


@pytest.mark.parametrize("listener", [raises_refusal, raises_defect])
def test_a_listener_that_raises_stops_nothing(tmp_path: Path, listener: Callable[[Heard], Any]) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "node") as node:
            node.gossip.on(NEWS, listener)
            ear = Ear(node)
            await node.gossip.join(TOPIC)
            async with running(node.gossip.run()):
                await take(node, signed(ANNA, 1), signed(ANNA, 2))
                assert ear.bodies == [1, 2]

    asyncio.run(main())


def test_a_full_disk_loses_nothing_that_sync_does_not_bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            ear = Ear(b)
            await b.gossip.join(TOPIC)
            await a.dial(b)
            async with running(a.gossip.run(), b.gossip.run()):
                await soon(_synced(b))
                await a.gossip.keep(NEWS, {"n": 1})
                write = b.database.write

                async def full(fn: Any) -> Any:
                    raise StorageFull("no room")

                monkeypatch.setattr(b.database, "write", full)
                b.network.topics[TOPIC](GossipMessage(TOPIC, signed(ANNA), a.peer_id))
                await b.gossip.catch_up(a.peer_id)
                await soon(_until_counted(b, "gossip_not_stored"))
                assert ear.heard == []
                monkeypatch.setattr(b.database, "write", write)
                await b.gossip.catch_up(a.peer_id)
                assert ear.bodies == [1]

    asyncio.run(main())


async def _until_counted(node: Node, counter: str) -> None:
    while not node.gossip.counters[counter]:  # noqa: ASYNC110 - counters tell nobody that they grew
        await asyncio.sleep(0.005)


async def _synced(node: Node) -> None:
    """Wait until the catch-up that a new connection starts has left its cursor."""
    while not node.gossip._cursors:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def test_an_author_that_floods_is_throttled_and_sync_brings_what_is_newest(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            ear = Ear(b)
            for node in (a, b):
                await node.gossip.join(TOPIC)
            async with running(a.gossip.run(), b.gossip.run()):
                count = limits.GOSSIP_BURST + 50
                flood = [signed(ANNA, n) for n in range(count)]
                await take(b, *flood, signed(new_keys(), 7))
                assert b.gossip.counters["gossip_refused_rate"] == 50
                assert ear.bodies[-2:] == [limits.GOSSIP_BURST - 1, 7]
                await take(a, flood[-1])
                await a.dial(b)
                assert (await soon(_heard(ear, count - 1))).message.body == {"n": count - 1}

    asyncio.run(main())


async def _heard(ear: Ear, n: int) -> Heard:
    while True:
        for heard in ear.heard:
            if heard.message.body == {"n": n}:
                return heard
        await ear.next()


async def fill(node: Node, authors: Sequence[KeyPair]) -> None:
    """Let a node hold a message of each author."""

    def put(conn: Any) -> None:
        for n, keys in enumerate(authors):
            rows.keep_latest(
                conn,
                type=NEWS,
                author=did_key(keys.public),
                subject="",
                message_id=f"{n:08}",
                created_time=START_MS // 1000,
                signed=signed(keys, n),
            )

    await node.database.write(put)


def test_one_neighbour_fills_the_disk_only_so_fast_neither_live_nor_by_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STRANGER_ROWS_BURST", 5)

    async def main() -> None:
        swarm, clock = FakeSwarm(), Clock()
        async with (
            open_node(swarm, tmp_path / "a", clock=clock) as a,
            open_node(swarm, tmp_path / "b", clock=clock) as b,
        ):
            await fill(a, [new_keys() for _ in range(12)])
            await b.gossip.join(TOPIC)
            async with running(a.gossip.run()):
                await a.dial(b)
                for _ in range(3):  # the next time goes on where the last one ended, once there is room again
                    await b.gossip.catch_up(a.peer_id)
                assert len(await held(b)) == 5
                assert a.peer_id not in b.gossip._cursors
                flood = [signed(new_keys()) for _ in range(3)]
                for data in flood:
                    assert await b.gossip._accept(data, a.peer_id) == "no room"
                assert await b.gossip._accept(flood[0], b.peer_id) == "taken"  # another neighbour
                assert await b.gossip._accept(signed(a.keys), a.peer_id) == "taken"  # one that is connected
                await b.trust.put(replace(b.trust.current, allow=frozenset([did_key(ANNA.public)])))
                assert await b.gossip._accept(signed(ANNA), a.peer_id) == "taken"  # one that is named
                clock.advance(1)
                await b.gossip.catch_up(a.peer_id)
                clock.advance(1)
                await b.gossip.catch_up(a.peer_id)
                assert len(await held(b)) == 12 + 3
                assert b.gossip._cursors == {a.peer_id: 12}

    asyncio.run(main())


def test_strangers_push_out_neither_named_nor_connected_authors_nor_ourselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_ROWS", 6)

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            await a.dial(b)
            await b.trust.put(replace(b.trust.current, allow=frozenset([did_key(ANNA.public)])))
            _, own = await b.gossip.keep(NEWS, {})
            spared = [own, signed(ANNA), signed(a.keys)]
            for data in (*spared[1:], *(signed(new_keys()) for _ in range(20))):
                assert await b.gossip._accept(data, a.peer_id) == "taken"
            kept = await held(b)
            assert kept[:3] == spared
            assert len(kept) == 6

    asyncio.run(main())


def test_a_peer_that_hands_on_garbage_is_not_listened_to_for_long(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            garbage = SyncResponse((b"{}",) * limits.MAX_SYNC_MESSAGES, 1, more=True).encode()
            asked = 0

            async def answer(peer: Any, payload: bytes) -> bytes:
                nonlocal asked
                asked += 1
                return garbage

            await a.network.serve(PROTOCOL, answer, max_request_bytes=64, max_in_flight_per_peer=1)
            await a.dial(b)
            await b.gossip.catch_up(a.peer_id)
            assert asked == 1
            assert b.gossip.counters["gossip_refused_40021"] == limits.MAX_SYNC_GARBAGE + 1
            assert b.gossip.counters["sync_failed"] == 1

    asyncio.run(main())


async def _serving(node: Node) -> None:
    while PROTOCOL not in node.network.services:  # noqa: ASYNC110
        await asyncio.sleep(0)


def test_a_peer_that_asks_again_and_again_is_throttled(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            await a.dial(b)
            async with running(a.gossip.run()):
                await soon(_serving(a))
                request = SyncRequest(0, 1).encode()
                for _ in range(limits.SYNC_BURST):
                    await b.network.request(a.peer_id, PROTOCOL, request)
                with pytest.raises(RemoteRefused):
                    await b.network.request(a.peer_id, PROTOCOL, request)
                assert a.gossip.counters["sync_throttled"] == 1

    asyncio.run(main())


def test_nothing_is_kept_of_a_peer_that_has_gone(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:

            async def answer(peer: Any, payload: bytes) -> bytes:
                swarm.cut(a.peer_id, b.peer_id)
                return SyncResponse((), 7, more=False).encode()

            await a.network.serve(PROTOCOL, answer, max_request_bytes=64, max_in_flight_per_peer=1)
            await a.dial(b)
            await b.gossip.catch_up(a.peer_id)
            assert b.gossip._cursors == {}
            assert b.gossip._catching_up == set()

    asyncio.run(main())


@pytest.mark.slow
def test_a_newcomer_gets_everything_page_by_page_and_asks_only_for_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 2 * limits.MAX_SYNC_MESSAGES + 7
    monkeypatch.setattr(limits, "STRANGER_ROWS_BURST", count)

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            authors = [new_keys() for _ in range(count)]

            await fill(a, authors)
            ear = Ear(b)
            async with running(a.gossip.run()):
                await a.dial(b)
                await b.gossip.catch_up(a.peer_id)
                assert ear.bodies == list(range(count))
                assert b.gossip._cursors == {a.peer_id: count}
                await b.gossip.catch_up(a.peer_id)
                assert b.gossip.counters["sync_messages"] == count
                await a.gossip.keep(NEWS, {"n": -1})
                await b.gossip.catch_up(a.peer_id)
                assert b.gossip.counters["sync_messages"] == count + 1
                assert ear.bodies[-1] == -1

    asyncio.run(main())


def test_a_peer_that_lost_its_database_is_asked_from_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            ear = Ear(b)
            async with running(a.gossip.run()):
                await a.dial(b)
                b.gossip._cursors[a.peer_id] = 1000  # from a database that is gone, and nobody saw the disconnect
                await b.gossip.catch_up(a.peer_id)
                assert b.gossip._cursors[a.peer_id] == 0
                await a.gossip.keep(NEWS, {"n": 1})
                b.gossip._cursors[a.peer_id] = 1000
                await b.gossip.catch_up(a.peer_id)
                assert ear.bodies == [1]

    asyncio.run(main())


def test_one_that_connects_again_is_caught_up_with(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            ear = Ear(b)
            for node in (a, b):
                await node.gossip.join(TOPIC)
            async with running(a.gossip.run(), b.gossip.run()):
                await a.dial(b)
                swarm.cut(a.peer_id, b.peer_id)
                await a.gossip.publish(TOPIC, NEWS, {"n": 1})
                await take(b)
                assert ear.heard == []
                swarm.heal(a.peer_id, b.peer_id)
                assert (await ear.next()).message.body == {"n": 1}

    asyncio.run(main())


def test_a_sync_request_that_is_garbage_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            await a.dial(b)
            async with running(a.gossip.run()):
                await soon(asyncio.sleep(0))
                for data in (b"", b"x", os.urandom(60), os.urandom(limits.MAX_SYNC_REQUEST_BYTES + 1)):
                    with pytest.raises(RemoteRefused):
                        await b.network.request(a.peer_id, PROTOCOL, data)

    asyncio.run(main())


def test_a_peer_that_answers_sync_with_garbage_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:

            async def garbage(peer: Any, payload: bytes) -> bytes:
                return os.urandom(100)

            await a.network.serve(PROTOCOL, garbage, max_request_bytes=64, max_in_flight_per_peer=1)
            await a.dial(b)
            await b.gossip.catch_up(a.peer_id)
            assert b.gossip.counters["sync_failed"] == 1
            assert await held(b) == []

    asyncio.run(main())


def test_our_own_messages_always_replace_each_other(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        async with open_node(FakeSwarm(), tmp_path / "node", clock=clock) as node:
            made: list[tuple[int | None, str]] = []
            for jump_s in (0, 0, 0.001, -200, 0, 300, -100_000, 0, 200_000):
                clock.advance(jump_s)
                message, data = await node.gossip.keep(NEWS, {})
                assert await held(node) == [data]
                now_s = clock() // 1000
                assert message.created_time is not None
                assert now_s <= message.created_time <= now_s + limits.CLOCK_SKEW_S
                if jump_s > -limits.CLOCK_SKEW_S:  # others accept no clock that was further ahead
                    assert not made or (message.created_time, message.id) > made[-1]
                made.append((message.created_time, message.id))

    asyncio.run(main())


@pytest.mark.parametrize("ahead_s", [100, 100_000])
def test_a_clock_that_was_ahead_before_a_restart_stops_nothing(tmp_path: Path, ahead_s: int) -> None:
    async def main() -> None:
        clock, keys = Clock(), new_keys()
        clock.advance(ahead_s)
        async with open_node(FakeSwarm(), tmp_path / "node", clock=clock, keys=keys) as node:
            before, _ = await node.gossip.keep(NEWS, {})
        clock.advance(-ahead_s)
        async with open_node(FakeSwarm(), tmp_path / "node", clock=clock, keys=keys) as node:
            after, data = await soon(node.gossip.keep(NEWS, {}))
            assert await held(node) == [data]
            assert before.created_time is not None
            assert after.created_time is not None
            if ahead_s < limits.CLOCK_SKEW_S:
                assert after.created_time > before.created_time  # others hold the first one
            assert after.created_time <= clock() // 1000 + limits.CLOCK_SKEW_S

    asyncio.run(main())


def test_nobody_to_publish_to_is_no_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "node") as node:
            node.network.alive = False
            await node.gossip.publish(TOPIC, NEWS, {"n": 1})
            assert len(await held(node)) == 1
            assert node.gossip.counters["gossip_not_published"] == 1

    asyncio.run(main())
