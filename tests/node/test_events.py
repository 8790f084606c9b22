import asyncio
import sqlite3
from pathlib import Path

import pytest

from node.events import SUBSCRIBER_BUFFER, Event, EventBus, Lagged
from storage import eventlog
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, open_node, soon


def test_an_event_is_in_the_log_before_anybody_hears_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node, node.events.subscribe() as events:
            made = await node.events.publish("goal_received", "7", {"job_id": "7"}, source="mind", trace_id="t")
            assert await soon(anext(events)) == made
            assert (made.event_type, made.subject, made.payload, made.ts_ms) == (
                "goal_received",
                "7",
                {"job_id": "7"},
                START_MS,
            )
            entry = (await node.events.log(event_type="goal_received")).items[0]
            assert (entry.id, entry.source, entry.trace_id, entry.twin_id) == (made.id, "mind", "t", node.did)
            assert (await node.events.log(source="net")).items == ()
            assert await node.database.read(eventlog.verify_chain) == 1

    asyncio.run(main())


def test_an_event_whose_transaction_fails_is_nowhere(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            event = node.events.make("didcomm_received", "1", {})

            def fails(conn: sqlite3.Connection) -> None:
                EventBus.record(conn, event)
                raise KeyError("the change that it belongs to")

            with pytest.raises(KeyError):
                await node.database.write(fails)
            assert (await node.events.log()).items == ()

    asyncio.run(main())


def test_what_is_only_broadcast_leaves_nothing_on_disk(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node, node.events.subscribe() as events:
            made = node.events.broadcast("peer_connected", "p", {"peer_id": "p"}, source="net")
            assert await soon(anext(events)) == made
            assert (made.event_type, made.payload, made.source) == ("peer_connected", {"peer_id": "p"}, "net")
            assert (await node.events.log()).items == ()

    asyncio.run(main())


def test_a_slow_subscriber_is_told_how_many_it_lost_before_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            made = [node.events.make("twin_online", str(n), {}) for n in range(3 * SUBSCRIBER_BUFFER)]
            async with node.events.subscribe() as slow, node.events.subscribe() as quick:
                node.events.announce(made[0])
                assert await soon(anext(slow)) == made[0]  # and now it is slow
                for event in made[1:]:
                    node.events.announce(event)
                    assert await soon(anext(quick)) in made
                lost = len(made) - 1 - SUBSCRIBER_BUFFER
                assert await soon(anext(slow)) == Lagged(lost)
                assert await soon(anext(slow)) == made[lost + 1]
                node.events.announce(made[0], made[1])  # two more than it can take
                assert await soon(anext(slow)) == Lagged(1)  # one has left the buffer since
                rest = [await soon(anext(slow)) for _ in range(SUBSCRIBER_BUFFER)]
                assert rest == [*made[lost + 3 :], made[0], made[1]]

    asyncio.run(main())


def test_who_left_hears_nothing_and_holds_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            async with node.events.subscribe():
                pass
            assert node.events._subscribers == set()
            await node.events.publish("twin_online", "x", {})

    asyncio.run(main())


def test_the_log_is_read_by_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            made: list[Event] = [await node.events.publish("twin_online", str(n), {}) for n in range(5)]
            first = await node.events.log(limit=3)
            second = await node.events.log(limit=3, after=first.next)
            assert [entry.id for entry in first.items + second.items] == [event.id for event in made]
            assert second.next is None

    asyncio.run(main())
