import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from identity.did import Did
from node.dids.own import OwnDids
from node.gossip import Heard
from node.mind.errors import WorkStopped
from node.mind.ethics.kill_switch import KillSwitch
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.fleet import RESUME
from protocols.message import Message
from protocols.swarm import SHUTDOWN
from storage import outbox
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, Node, new_did, new_keys, open_node


class Successors(dict[Did, Did]):
    """Which name a twin has now."""

    def __call__(self, did: Did) -> Did:
        return self.get(did, did)


def switch_of(
    node: Node, owners: Sequence[str] = (), *, current: Successors | None = None, own: OwnDids | None = None
) -> KillSwitch:
    mail = Mail(node)
    return KillSwitch(
        own=own or node.own,
        owners=owners,
        current=current if current is not None else Successors(),
        database=node.database,
        events=node.events,
        gossip=node.gossip,
        trust=node.trust,
        composer=mail.composer,
        wake=mail.delivery.wake,
        now=node.clock,
    )


@asynccontextmanager
async def opened(path: Path, *owners: str, **options: Any) -> AsyncIterator[tuple[Node, KillSwitch]]:
    async with open_node(FakeSwarm(), path) as node:
        switch = switch_of(node, owners, **options)
        await switch.load()
        yield node, switch


def heard(node: Node, author: Did, sequence: int, *, stops: bool = True, reason: str = "") -> Heard:
    body = {"sequence": sequence, "reason": reason}
    kind = SHUTDOWN if stops else RESUME
    message = Message(id=f"m{sequence}", type=kind, body=body, from_=author, created_time=node.clock() // 1000)
    return Heard(message, author, node.peer_id)


def test_the_own_order_stops_and_only_it_lets_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "a") as (node, switch):
            told: list[bool] = []

            async def watcher(stopped: bool) -> None:
                told.append(stopped)

            switch.on_change(watcher)
            switch.check()
            (stop,) = await switch.order(stops=True, reason="smoke\nin the hall")
            assert (stop.by, stop.reason) == (node.did, "smoke in the hall")
            with pytest.raises(WorkStopped, match="smoke in the hall"):
                switch.check()
            await switch.order(stops=True, reason="again")
            assert [one.reason for one in switch.stopped] == ["again"]
            assert await switch.order(stops=False) == ()
            switch.check()
            assert told == [True, False]
            log = [entry.event_type for entry in (await node.events.log()).items]
            assert log == ["fleet_stopped", "fleet_stopped", "fleet_resumed"]

    asyncio.run(main())


def test_an_order_is_on_disk_before_anything_follows(tmp_path: Path) -> None:
    async def main() -> None:
        keys = new_keys()
        async with open_node(FakeSwarm(), tmp_path / "a", keys=keys) as node:
            switch = switch_of(node)

            async def crash(stopped: bool) -> None:
                raise RuntimeError("the power goes")

            switch.on_change(crash)
            with pytest.raises(RuntimeError):
                await switch.order(stops=True, reason="stay")
        async with open_node(FakeSwarm(), tmp_path / "a", keys=keys) as node:
            again = switch_of(node)
            await again.load()
            assert [stop.reason for stop in again.stopped] == ["stay"]

    asyncio.run(main())


def test_only_owners_are_heeded_and_an_order_counts_once(tmp_path: Path) -> None:
    async def main() -> None:
        owner, stranger = new_did(), new_did()
        async with opened(tmp_path / "a", owner) as (node, switch):
            now = node.clock()
            with pytest.raises(RemoteProtocolError):
                await switch._on_gossip(heard(node, stranger, now))
            with pytest.raises(RemoteProtocolError):
                await switch._on_gossip(heard(node, owner, now + (limits.CLOCK_SKEW_S + 1) * 1000))
            assert switch.stopped == ()
            await switch._on_gossip(heard(node, owner, now, reason="drill"))
            assert [(stop.by, stop.reason) for stop in switch.stopped] == [(owner, "drill")]
            assert await switch.order(stops=False) != ()  # what an owner stopped this twin's own key does not free
            await switch._on_gossip(heard(node, owner, now + 1, stops=False))
            assert switch.stopped == ()
            await switch._on_gossip(heard(node, owner, now))  # played again
            assert switch.stopped == ()
            assert switch.counters == {"orders_of_others": 1, "orders_again": 1}

    asyncio.run(main())


def test_a_stop_follows_its_owner_to_a_new_key_and_the_old_key_says_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        owner, successor = new_did(), new_did()
        current = Successors()
        async with opened(tmp_path / "a", owner, current=current) as (node, switch):
            now = node.clock()
            await switch._on_gossip(heard(node, owner, now))
            current[owner] = successor
            assert [stop.by for stop in switch.stopped] == [successor]
            assert switch.owners == (node.did, successor)
            with pytest.raises(RemoteProtocolError):
                await switch._on_gossip(heard(node, owner, now + 1, stops=False))  # by whoever has the old key
            await switch._on_gossip(heard(node, successor, now + 2, stops=False))
            assert switch.stopped == ()

    asyncio.run(main())


def test_our_own_stop_stands_after_our_key_was_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        old, new = new_keys(), new_keys()
        async with open_node(FakeSwarm(), tmp_path / "a", keys=old) as node:
            await switch_of(node).order(stops=True, reason="stay")
        async with open_node(FakeSwarm(), tmp_path / "a", keys=new) as node:
            own = OwnDids(new, retired=[old], database=node.database, now=node.clock)
            switch = switch_of(node, own=own)
            await switch.load()
            assert [stop.by for stop in switch.stopped] == [own.did]
            assert await switch.order(stops=False) == ()

    asyncio.run(main())


def test_an_owner_who_is_taken_off_the_list_stops_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        owner, keys = new_did(), new_keys()
        async with open_node(FakeSwarm(), tmp_path / "a", keys=keys) as node:
            switch = switch_of(node, [owner])
            await switch._on_gossip(heard(node, owner, node.clock()))
            assert len(switch.stopped) == 1
        async with open_node(FakeSwarm(), tmp_path / "a", keys=keys) as node:
            switch = switch_of(node)
            await switch.load()
            assert switch.stopped == ()

    asyncio.run(main())


def test_named_twins_are_told_in_private_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "b") as other, opened(tmp_path / "a") as (node, switch):
            await node.name(other)
            await switch.order(stops=True, reason="drill")
            rows = (await node.database.read(lambda conn: outbox.list_outbound(conn, limit=9))).items
            assert [(row.to_did, row.type) for row in rows] == [(other.did, SHUTDOWN)]

    asyncio.run(main())


def test_a_clock_that_goes_back_does_not_undo_an_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "a") as (node, switch):
            await switch.order(stops=True)
            node.clock.advance(-3600)
            assert await switch.order(stops=False) == ()

    asyncio.run(main())
