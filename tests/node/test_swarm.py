import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from identity.did import Did, did_key, peer_id
from identity.keys import KeyPair
from node import swarm as swarm_module
from node.config import NetworkConfig
from node.net.errors import RemoteUnavailable
from node.swarm import CAPABILITIES, DIALLING_AT_ONCE, Directory, KnownTwin
from protocols import limits
from protocols.didcomm.envelope import pack_signed
from protocols.message import Message
from protocols.swarm import TOPIC, TWIN_OFFLINE, TWIN_ONLINE, Mediator, TwinOnline
from storage import contacts
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Node, Watch, new_keys, new_reputation, open_node, running, soon, watching

ANNA = new_keys()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses of the directory are for real networks."""
    monkeypatch.setattr(swarm_module, "DIAL_WAIT_S", 0)
    monkeypatch.setattr(swarm_module, "CHANGE_CHECK_S", 0.001)


class Member:
    """A node with its directory. `topics` is what it can be asked."""

    def __init__(self, node: Node, name: str, config: NetworkConfig) -> None:
        self.node = node
        self.topics: tuple[str, ...] = ()
        self.mediators: tuple[Mediator, ...] = ()
        self.directory = Directory(
            did=node.did,
            name=name,
            config=config,
            network=node.network,
            gossip=node.gossip,
            database=node.database,
            events=node.events,
            topics=self._topics,
            trust=node.trust,
            scores=new_reputation(node).scores,
            mediators=lambda: self.mediators,
            now=node.clock,
        )

    async def _topics(self) -> tuple[str, ...]:
        return self.topics

    async def listed(self) -> dict[str, KnownTwin]:
        return {twin.name: twin for twin in await self.directory.twins()}

    async def hear(self, *messages: bytes) -> None:
        for data in messages:
            await self.node.gossip._accept(data, self.node.peer_id)


@contextlib.asynccontextmanager
async def open_member(
    swarm: FakeSwarm, path: Path, name: str, *, run: bool = True, **config: Any
) -> AsyncIterator[Member]:
    async with open_node(swarm, path / name) as node:
        member = Member(node, name, NetworkConfig(**config))
        if not run:
            yield member
            return
        async with running(node.gossip.run(), member.directory.run()):
            yield member


def online(keys: KeyPair = ANNA, n: int = 1, *, seconds: int = 0, **changes: Any) -> bytes:
    """Announcement number `n`: the greater number is the newer one."""
    address = f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id(keys.public)}"
    body = TwinOnline("anna", (address,), ("ask",), ("tides",), "1").to_body() | changes
    return _signed(keys, n, TWIN_ONLINE, body, seconds)


def offline(keys: KeyPair = ANNA, n: int = 1, *, seconds: int = 0) -> bytes:
    return _signed(keys, n, TWIN_OFFLINE, {}, seconds)


def _signed(keys: KeyPair, n: int, message_type: str, body: dict[str, Any], seconds: int) -> bytes:
    message = Message(
        id=f"{n:08}", type=message_type, body=body, from_=did_key(keys.public), created_time=START_MS // 1000 + seconds
    )
    return pack_signed(message, signer=keys)


async def met(watch: Watch, other: Member) -> None:
    await watch.until("peer_connected", lambda event: event.subject == other.node.peer_id)


def test_twins_that_know_only_a_relay_find_each_other_and_connect(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "relay") as relay:
            await relay.gossip.join(TOPIC)
            async with (
                running(relay.gossip.run()),
                open_member(swarm, tmp_path, "ada") as ada,
                open_member(swarm, tmp_path, "bela") as bela,
                watching(ada.node) as watch,
            ):
                for member in (ada, bela):
                    await member.node.dial(relay)
                await met(watch, bela)
                twin = (await ada.listed())["bela"]
                assert (twin.did, twin.addresses) == (bela.node.did, bela.node.network.addresses())
                assert (twin.capabilities, twin.online) == (CAPABILITIES, True)

    asyncio.run(main())


def test_what_changed_is_announced_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path, "ada") as ada, open_member(swarm, tmp_path, "bela", run=False) as bela:
            heard: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()

            async def listen(heard_message: Any) -> None:
                heard.put_nowait(tuple(heard_message.message.body["topics"]))

            bela.node.gossip.on(TWIN_ONLINE, listen)
            await bela.node.gossip.join(TOPIC)
            async with running(bela.node.gossip.run()):
                await ada.node.dial(bela.node)
                assert await soon(heard.get()) == ()
                ada.topics = ("tides",)
                assert await soon(heard.get()) == ("tides",)
                ada.topics = ("tides", "flour")
                assert await soon(heard.get()) == ("tides", "flour")
                assert heard.empty()

    asyncio.run(main())


def test_who_keeps_its_mail_is_announced_and_learned(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path, "ada") as ada, open_member(swarm, tmp_path, "bela", run=False) as bela:
            keeper = Mediator(
                Did("did:key:z6Mk"), ("/ip4/192.0.2.1/tcp/4800/p2p/12D3", "https://relay.example/didcomm")
            )
            long = Mediator(Did("did:peer:2." + "x" * 900), ("u" * 250, "v" * 250))
            # No announcement has room for all of these: the first ones count.
            ada.mediators = (long, replace(long, did=Did("did:peer:2." + "y" * 900)), long, keeper)
            heard: asyncio.Queue[int] = asyncio.Queue()

            async def listen(heard_message: Any) -> None:
                heard.put_nowait(len(heard_message.message.body["mediators"]))

            bela.node.gossip.on(TWIN_ONLINE, listen)
            await bela.node.gossip.join(TOPIC)
            async with running(bela.node.gossip.run()):
                await ada.node.dial(bela.node)
                assert await soon(heard.get()) == 3
            assert (await bela.listed())["ada"].mediators == (*ada.mediators[:2], keeper)

    asyncio.run(main())


def test_an_announcement_fits_whatever_the_network_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", run=False) as ada:
            addresses = [f"/ip4/127.0.0.1/tcp/{n // 2}/p2p/{ada.node.peer_id}" for n in range(60)]
            ada.node.network.addresses = lambda: tuple(addresses)  # type: ignore[method-assign]
            said = asyncio.Event()
            publish = ada.node.gossip.publish

            async def notes(topic: str, message_type: str, body: Any) -> Any:
                assert len(set(body["addresses"])) == limits.MAX_ADDRESSES
                said.set()
                return await publish(topic, message_type, body)

            ada.node.gossip.publish = notes  # type: ignore[method-assign]
            async with running(ada.directory.run()):
                await soon(said.wait())

    asyncio.run(main())


@pytest.mark.parametrize(
    "address",
    [
        f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id(new_keys().public)}",
        "/ip4/127.0.0.1/tcp/1",
        f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id(ANNA.public)}/p2p-circuit/p2p/{peer_id(new_keys().public)}",
    ],
)
def test_an_announcement_of_another_peers_address_is_refused(tmp_path: Path, address: str) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada") as ada:
            await ada.hear(online(addresses=[address]))
            assert await ada.listed() == {}
            assert ada.node.network.targets == set()
            assert ada.node.gossip.counters["gossip_refused_40020"] == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("messages", "there"),
    [
        ([online(n=1), offline(n=2)], False),
        ([offline(n=2), online(n=1)], False),
        ([online(n=1), offline(n=2), online(n=3)], True),
        ([offline(n=2), online(n=3), online(n=1)], True),
        ([online(n=3), offline(n=2)], True),
        ([online(n=1, seconds=1), offline(n=9)], True),
    ],
)
def test_whatever_comes_first_the_newer_word_counts(tmp_path: Path, messages: Sequence[bytes], there: bool) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", run=False) as ada:
            await ada.hear(*messages)
            listed = await ada.listed()
            assert bool(listed and listed["anna"].online) is there

    asyncio.run(main())


def test_one_that_says_nothing_more_is_not_online_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", run=False, announce_every_s=300) as ada:
            await ada.hear(online())
            ada.node.clock.advance(600)
            assert (await ada.listed())["anna"].online
            ada.node.clock.advance(100)
            assert not (await ada.listed())["anna"].online
            await ada.hear(online(n=2, seconds=700))
            assert (await ada.listed())["anna"].online

    asyncio.run(main())


def test_one_that_is_connected_is_online_whatever_it_says(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_member(swarm, tmp_path, "ada", run=False) as ada,
            open_node(swarm, tmp_path / "anna", keys=ANNA) as anna,
        ):
            await ada.hear(online())
            ada.node.clock.advance(10_000)
            await anna.dial(ada.node)
            assert (await ada.listed())["anna"].online

    asyncio.run(main())


def test_the_coming_and_going_of_named_twins_is_in_the_log_and_repeating_it_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", run=False) as ada:
            await name(ada, ANNA)
            await ada.hear(online(n=1), online(n=2), online(n=3, topics=["more"]))
            await ada.hear(offline(n=4), offline(n=5), online(n=6))
            log = [entry.event_type for entry in (await ada.node.events.log()).items]
            assert log == ["twin_online", "twin_offline", "twin_online"]
            assert (await ada.listed())["anna"].topics == ("tides",)
            await ada.hear(offline(new_keys()))  # of one that nobody knows
            assert len((await ada.node.events.log()).items) == 3

    asyncio.run(main())


def test_what_strangers_do_is_broadcast_and_leaves_no_row(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path, "ada") as ada, watching(ada.node) as watch:
            for _ in range(20):
                stranger = new_keys()
                await ada.hear(online(stranger, 1), offline(stranger, 2))
            async with open_node(swarm, tmp_path / "stranger") as stranger_node:
                await stranger_node.dial(ada.node)
                await watch.until("peer_connected")
            await watch.until("peer_disconnected")
            seen = Counter(event.event_type for event in watch.seen)
            assert (seen["twin_online"], seen["twin_offline"]) == (20, 20)
            assert (await ada.node.events.log()).items == ()

    asyncio.run(main())


def test_a_named_twin_that_flaps_leaves_only_so_many_rows(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", run=False) as ada, watching(ada.node) as watch:
            await name(ada, ANNA)
            for n in range(0, 60, 2):
                await ada.hear(online(n=n + 1), offline(n=n + 2))
            assert len((await ada.node.events.log()).items) == limits.PRESENCE_ROWS_BURST
            await watch.until("twin_offline", lambda event: len(watch.seen) == 60)
            ada.node.clock.advance(1 / limits.PRESENCE_ROWS_PER_S)
            await ada.hear(online(n=61))
            assert len((await ada.node.events.log()).items) == limits.PRESENCE_ROWS_BURST + 1

    asyncio.run(main())


async def name(member: Member, *named: KeyPair) -> None:
    """The owner names exactly these."""
    allow = frozenset(did_key(keys.public) for keys in named)
    await member.node.trust.put(replace(member.node.trust.current, allow=allow))


def test_those_seen_last_come_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", run=False) as ada:
            for seconds in (5, 1, 9, 3):
                await ada.hear(online(new_keys(), seconds=seconds - 10, name=str(seconds)))
            assert list(await ada.listed()) == ["9", "5", "3", "1"]

    asyncio.run(main())


def test_one_that_left_is_not_dialled_any_more_and_one_that_is_blocked_never(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path, "ada") as ada, open_member(swarm, tmp_path, "bela") as bela:
            async with watching(ada.node) as watch:
                await bela.hear(_announcement_of(ada))
                await met(watch, bela)
            await bela.hear(offline(ada.node.keys, 2, seconds=1))
            assert bela.node.network.targets == set()
            await bela.node.name(block=[ada.node])
            swarm.cut(ada.node.peer_id, bela.node.peer_id)
            await bela.hear(_announcement_of(ada, n=3))
            await asyncio.sleep(0.01)
            assert bela.node.network.targets == set()

    asyncio.run(main())


def _announcement_of(member: Member, n: int = 1) -> bytes:
    return online(member.node.keys, n, seconds=n - 1, addresses=list(member.node.network.addresses()), name="ada")


def test_a_crowd_of_strangers_is_dialled_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STRANGER_DIALS", 20)

    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada") as ada:
            dialling = 0
            most = 0
            dialled = asyncio.Queue[str]()
            release = asyncio.Event()

            async def dial(address: str, *, timeout_s: float = 10, keep: bool = True) -> Any:
                nonlocal dialling, most
                assert keep is address.startswith("/ip4/127.")  # the named one
                dialling += 1
                most = max(most, dialling)
                dialled.put_nowait(address)
                await release.wait()
                dialling -= 1
                return peer_id(ANNA.public)

            ada.node.network.dial = dial  # type: ignore[method-assign]
            at_once, count = DIALLING_AT_ONCE // 2, limits.MAX_STRANGER_DIALS
            for n in range(count + 9):
                stranger = KeyPair(os.urandom(32))
                await ada.hear(online(stranger, addresses=[at(f"/ip4/8.8.{n // 250}.{1 + n % 250}", stranger)]))
            for _ in range(at_once):
                await soon(dialled.get())
            assert most == at_once
            await name(ada, ANNA)
            await ada.hear(online())
            await until(lambda: len(ada.directory._dialling) == count + 1)  # a named twin is never one too many
            release.set()
            for _ in range(count - at_once + 1):
                await soon(dialled.get())
            assert dialled.empty()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def at(host: str, keys: KeyPair, port: int = 4801) -> str:
    return f"{host}/tcp/{port}/p2p/{peer_id(keys.public)}"


def test_named_twins_are_dialled_while_strangers_keep_us_busy(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", max_twin_connections=1) as ada:
            dialled = asyncio.Queue[tuple[str, bool]]()

            async def dial(address: str, *, timeout_s: float = 10, keep: bool = True) -> Any:
                dialled.put_nowait((address, keep))
                await asyncio.Event().wait()

            ada.node.network.dial = dial  # type: ignore[method-assign]
            for n in range(DIALLING_AT_ONCE):
                stranger = new_keys()
                await ada.hear(online(stranger, addresses=[at(f"/ip4/8.8.8.{n}", stranger)]))
            for _ in range(DIALLING_AT_ONCE // 2):
                assert not (await soon(dialled.get()))[1]
            address = at("/ip4/10.1.2.3", ANNA)
            await name(ada, ANNA)
            await ada.hear(online(addresses=[address]))
            assert await soon(dialled.get()) == (address, True)

    asyncio.run(main())


def test_a_strangers_announcement_makes_nobody_a_victim(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada") as ada:
            own = ["/ip4/192.168.1.7/tcp/4801/p2p/x", "/ip4/127.0.0.1/tcp/4801/p2p/x"]
            ada.node.network.addresses = lambda: tuple(own)  # type: ignore[method-assign]
            dialled = Counter[str]()

            async def dial(address: str, *, timeout_s: float = 10, keep: bool = True) -> Any:
                dialled[address.split("/tcp/")[0]] += 1
                raise RemoteUnavailable(address)

            ada.node.network.dial = dial  # type: ignore[method-assign]
            for _ in range(3 * limits.KNOCKS_BURST):
                stranger = new_keys()
                bait = ["/ip4/127.0.0.1", "/ip4/10.0.0.1", "/ip4/169.254.169.254", "/dns4/intranet", "/ip4/8.8.8.8"]
                await ada.hear(online(stranger, addresses=[at(host, stranger, 6379) for host in bait]))
            await until(lambda: not ada.directory._dialling)
            assert dialled == {"/ip4/8.8.8.8": limits.KNOCKS_BURST}
            many = new_keys()
            await ada.hear(online(many, addresses=[at("/ip4/9.9.9.9", many, port) for port in range(1, 9)]))
            await until(lambda: not ada.directory._dialling)
            assert dialled["/ip4/9.9.9.9"] == limits.MAX_STRANGER_ADDRESSES

    asyncio.run(main())


def test_a_stranger_is_not_dialled_for_ever_and_a_twin_named_meanwhile_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_member(swarm, tmp_path, "ada") as ada,
            open_node(swarm, tmp_path / "anna", keys=ANNA) as anna,
            watching(ada.node) as watch,
        ):
            await ada.hear(online(addresses=list(anna.network.addresses())))
            await watch.until("peer_connected")
            assert ada.node.network.targets == set()
            await until(lambda: not ada.directory._dialling)
            await name(ada, ANNA)
            await until(lambda: ada.node.network.targets == {anna.peer_id})
            swarm.cut(ada.node.peer_id, anna.peer_id)
            await watch.until("peer_disconnected")
            assert ada.directory._dialled_once == set()

    asyncio.run(main())


def test_naming_a_twin_dials_it(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_member(swarm, tmp_path, "ada", max_twin_connections=1) as ada,
            open_node(swarm, tmp_path / "anna", keys=ANNA) as anna,
            open_node(swarm, tmp_path / "other") as other,
            watching(ada.node) as watch,
        ):
            await other.dial(ada.node)
            await ada.hear(online(addresses=list(anna.network.addresses())))
            await until(lambda: not ada.directory._dialling)
            assert [info.peer_id for info in ada.node.network.peers()] == [other.peer_id]
            await name(ada, ANNA)
            await watch.until("peer_connected", lambda event: event.subject == anna.peer_id)

    asyncio.run(main())


def test_those_known_from_before_a_restart_are_dialled_at_start(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path, "bela", run=False) as bela:
            async with open_member(swarm, tmp_path, "ada", run=False) as ada:
                await ada.hear(_announcement_of(bela))
            async with open_member(swarm, tmp_path, "ada", run=False) as ada, watching(ada.node) as watch:
                async with running(ada.directory.run()):
                    await met(watch, bela)
                assert await ada.directory.addresses_of(bela.node.did) == bela.node.network.addresses()
                assert await ada.directory.addresses_of(did_key(ANNA.public)) == ()

    asyncio.run(main())


def test_it_says_that_it_leaves(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_member(swarm, tmp_path, "ada") as ada,
            open_member(swarm, tmp_path, "bela") as bela,
            watching(bela.node) as watch,
        ):
            await ada.node.dial(bela.node)
            await watch.until("twin_online")
            ada.node.clock.advance(1)
            await ada.directory.leave()
            event = await watch.until("twin_offline")
            assert event.subject == ada.node.did

    asyncio.run(main())


def test_a_twins_standing_stands_beside_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", run=False) as ada:
            await ada.hear(online())
            assert (await ada.listed())["anna"].reputation == 0.0
            await new_reputation(ada.node).note(did_key(ANNA.public), "receipt", "one", good=2.0)
            assert (await ada.listed())["anna"].reputation == 0.5

    asyncio.run(main())


def test_what_the_owner_calls_a_twin_comes_before_what_it_calls_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path, "ada", run=False) as ada:
            await ada.hear(online())
            await ada.node.database.write(
                lambda conn: contacts.put_contact(
                    conn,
                    did_key(ANNA.public),
                    services="[]",
                    name="Anna of the mill",
                    source="invitation",
                    updated_ms=1,
                )
            )
            assert set(await ada.listed()) == {"Anna of the mill"}

    asyncio.run(main())
