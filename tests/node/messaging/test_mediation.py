"""A twin and its mediators over a network in memory: the relay's real one, and such as deny, lie or say nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootstrap.relay import NoBlocks
from identity.did import DIDCOMM_SERVICE, Did, Endpoint, Service, did_key, resolve_did_key
from identity.keys import KeyPair
from node.config import MailConfig
from node.dids.own import OwnDids
from node.messaging import mediation as module
from node.messaging.mediation import Mediation
from node.messaging.source import ACCEPTED, PROTOCOL, REFUSED
from protocols.conversations import mediation, pickup
from protocols.conversations.reply import Reply
from protocols.didcomm.author import author_of
from protocols.didcomm.envelope import pack_private, unpack
from protocols.message import Message
from protocols.swarm import Mediator
from storage import mailbox, mediators
from storage.mailbox import InboxRow
from tests.bootstrap.clients import Relay, open_relay_on, sealed
from tests.node.net.fake import FakeNetwork, FakeSwarm
from tests.node.parts import Clock, Mail, Node, new_keys, open_node, private, running, soon


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses are for real networks."""
    monkeypatch.setattr(module, "TICK_S", 0.005)
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.005)


class Member:
    """A twin with its mail and its mediators."""

    def __init__(self, node: Node, relays: Sequence[str], config: MailConfig, own: OwnDids | None = None) -> None:
        if own is not None:
            node.own = own
        self.node = node
        self.did = node.did
        self.mail = Mail(node, config)
        self.changes: list[tuple[Mediator, ...]] = []
        self.mediation = Mediation(
            own=node.own,
            config=config,
            relays=relays,
            resolver=node.resolver,
            network=node.network,
            database=node.database,
            intake=self.mail.intake,
            exchange=self.mail.exchange,
            composer=self.mail.composer,
            send_now=self.mail.delivery.send_now,
            now=node.clock,
        )
        self.mediation.on_change = lambda: self.changes.append(self.mediation.mediators())

    async def inbox(self) -> list[InboxRow]:
        page = await self.node.database.read(lambda conn: mailbox.inbox(conn, limit=500))
        return list(reversed(page.items))

    async def wait(self, check: Callable[[], Any]) -> None:
        """Until `check` is true."""
        async with asyncio.timeout(20):
            while not check():  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.002)

    async def wait_inbox(self, count: int) -> list[InboxRow]:
        async with asyncio.timeout(20):
            while len(rows := await self.inbox()) < count:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.002)
        return rows

    @property
    def states(self) -> list[str]:
        return [status.state for status in self.mediation.status()]

    async def wait_state(self, *states: str) -> None:
        await self.wait(lambda: self.states == list(states))

    async def wait_idle(self) -> None:
        """It has asked for everything and waits for what is pushed."""
        await self.wait(lambda: self.states == ["granted"] and self.mediation.status()[0].waiting == 0)


@asynccontextmanager
async def open_member(
    swarm: FakeSwarm,
    home: Path,
    *relays: str,
    keys: KeyPair | None = None,
    clock: Clock | None = None,
    dial: bool = True,
    retired: Sequence[KeyPair] = (),
    config: MailConfig | None = None,
) -> AsyncIterator[Member]:
    async with open_node(swarm, home, keys=keys, clock=clock) as node:
        own = await OwnDids.load(node.database, node.keys, retired=retired, now=node.clock) if retired else None
        member = Member(node, relays, config or MailConfig(), own)
        await member.mediation.load()
        async with running(member.mail.office.run(), member.mediation.run()):
            for relay in relays if dial else ():
                await node.network.dial(relay)
            yield member
        await member.mail.outside.close()


def letter(sender: KeyPair, to: Did, number: int, clock: Clock) -> bytes:
    """A private message, packed."""
    message = Message(
        id=f"{number:05}",
        type="https://test.example/1.0/hello",
        body={"n": number},
        from_=did_key(sender.public),
        to=(to,),
        thid="talk",
        created_time=clock() // 1000,
    )
    return pack_private(message, author=author_of(sender), recipient=resolve_did_key(to), entropy=os.urandom)


def address_of(relay: Relay) -> str:
    return relay.network.addresses()[0]


def test_what_came_while_it_was_away_is_there_in_order_and_once(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, keys, friend, clock = FakeSwarm(), new_keys(), new_keys(), Clock()
        did = did_key(keys.public)
        async with open_relay_on(swarm, tmp_path) as relay:
            async with open_member(swarm, tmp_path / "a", address_of(relay), keys=keys) as member:
                trust = replace(member.node.trust.current, allow=frozenset({did_key(friend.public)}))
                await member.node.trust.put(trust)
                await member.wait_idle()
            for number in range(150):
                assert await relay.forward(letter(friend, did, number, clock), did) == ACCEPTED
            async with open_member(swarm, tmp_path / "a", address_of(relay), keys=keys) as member:
                rows = await member.wait_inbox(150)
                assert [row.message_id for row in rows] == [f"{number:05}" for number in range(150)]
                assert {row.status for row in rows} <= {"received", "handled"}
                await member.wait_idle()
                # Then live: nothing is asked for, and it comes.
                for number in range(150, 160):
                    assert await relay.forward(letter(friend, did, number, clock), did) == ACCEPTED
                rows = await member.wait_inbox(160)
                assert [row.message_id for row in rows] == [f"{number:05}" for number in range(160)]
                # One that is pushed while it is being asked for comes twice, and is known.
                await member.wait(lambda: member.mediation.counters["mediation_taken"] >= 160)
                assert member.mediation.status()[0].picked_up_ms == clock()

    asyncio.run(main())


def test_it_says_who_keeps_its_mail_also_after_a_restart_without_the_relay(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, keys = FakeSwarm(), new_keys()
        async with open_relay_on(swarm, tmp_path) as relay:
            address, expected = address_of(relay), Mediator(relay.did, (address_of(relay),))
            async with open_member(swarm, tmp_path / "a", address, keys=keys) as member:
                assert member.mediation.mediators() == ()
                await member.wait_state("granted")
                assert member.mediation.mediators() == (expected,)
                assert member.changes[-1] == (expected,)
        async with open_member(swarm, tmp_path / "a", address, keys=keys, dial=False) as member:
            assert member.mediation.mediators() == (expected,)
            assert member.states == ["away"]
        # The owner takes the relay out: nobody is told of it any more.
        async with open_member(swarm, tmp_path / "a", keys=keys) as member:
            assert member.mediation.mediators() == ()
            assert await member.node.database.read(mediators.own_mediators) == []

    asyncio.run(main())


def test_it_comes_back_when_the_relay_does(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, relay_keys, friend = FakeSwarm(), new_keys(), new_keys()
        async with open_relay_on(swarm, tmp_path, keys=relay_keys) as relay:
            address = address_of(relay)
            async with open_member(swarm, tmp_path / "a", address) as member:
                await member.wait_idle()
                swarm.cut(relay.network.peer_id, member.node.peer_id)
                await member.wait_state("away")
                packed = letter(friend, member.did, 1, Clock())
                assert await relay.forward(packed, member.did) == ACCEPTED
                swarm.heal(relay.network.peer_id, member.node.peer_id)
                await member.wait_inbox(1)

    asyncio.run(main())


def test_other_names_are_registered_as_they_are_given_out(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_relay_on(swarm, tmp_path) as relay,
            open_member(swarm, tmp_path / "a", address_of(relay)) as member,
        ):
            await member.wait_idle()
            endpoint = Endpoint("https://a.example/didcomm", ("didcomm/v2",))
            member.node.own.set_services((Service(f"{member.did}#x", DIDCOMM_SERVICE, (endpoint,)),))
            alias = await member.node.own.peer_did()
            async with asyncio.timeout(20):
                while await relay.forward(sealed(), alias) == REFUSED:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.002)

    asyncio.run(main())


def test_a_name_that_is_handed_out_is_registered_before_anybody_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_S", 3600)

    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_relay_on(swarm, tmp_path) as relay,
            open_member(swarm, tmp_path / "a", address_of(relay)) as member,
        ):
            await member.wait_idle()
            member.mail.introductions.public_url = "https://a.example"
            member.mail.introductions.register_names = member.mediation.register_names
            name = await member.mail.introductions.own_did()
            assert name.startswith("did:peer:2")
            assert await relay.forward(sealed(), name) == ACCEPTED

    asyncio.run(main())


def test_a_mediator_that_is_silent_does_not_hold_up_an_invitation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEW_NAME_S", 0.01)
    monkeypatch.setattr(module, "TICK_S", 3600)

    async def silent(peer: object, packed: bytes) -> bytes:
        return ACCEPTED

    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_relay_on(swarm, tmp_path) as relay,
            open_member(swarm, tmp_path / "a", address_of(relay)) as member,
        ):
            await member.wait_idle()
            await relay.network.serve(PROTOCOL, silent, max_request_bytes=1 << 20, max_in_flight_per_peer=64)
            member.mail.introductions.public_url = "https://a.example"
            member.mail.introductions.register_names = member.mediation.register_names
            assert (await member.mail.introductions.own_did()).startswith("did:peer:2")

    asyncio.run(main())


def test_mail_for_a_name_that_it_had_before_is_fetched(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, old, new, friend, clock = FakeSwarm(), new_keys(), new_keys(), new_keys(), Clock()
        async with open_relay_on(swarm, tmp_path) as relay:
            async with open_member(swarm, tmp_path / "a", address_of(relay), keys=old) as member:
                await member.wait_idle()
            was = did_key(old.public)
            assert await relay.forward(letter(friend, was, 1, clock), was) == ACCEPTED
            async with open_member(swarm, tmp_path / "a", address_of(relay), keys=new, retired=[old]) as member:
                [row] = await member.wait_inbox(1)
                assert row.to_did == was
                await member.wait_idle()
                assert await relay.forward(letter(friend, was, 2, clock), was) == ACCEPTED
                await member.wait_inbox(2)

    asyncio.run(main())


def test_a_twin_may_want_none(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        config = MailConfig(mediator="none")
        async with (
            open_relay_on(swarm, tmp_path) as relay,
            open_member(swarm, tmp_path / "a", address_of(relay), config=config) as member,
        ):
            assert member.states == []
            assert await relay.forward(sealed(), member.did) == REFUSED

    asyncio.run(main())


def test_a_twin_keeps_nobodys_mail_and_shows_its_owner_nothing_of_the_question(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "b") as other:
            address = other.node.network.addresses()[0]
            async with open_member(swarm, tmp_path / "a", address) as member:
                await member.wait_state("denied")
                assert member.mediation.mediators() == ()
                assert member.mail.intake.carriers == set()
                assert (await member.inbox(), await other.inbox()) == ([], [])

    asyncio.run(main())


def test_an_address_whose_key_cannot_be_written_to_is_no_mediator(tmp_path: Path) -> None:
    async def main() -> None:
        rsa = "/ip4/192.0.2.1/tcp/4800/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"
        async with open_member(FakeSwarm(), tmp_path / "a", rsa, dial=False) as member:
            assert member.mediation.status() == ()

    asyncio.run(main())


# Mediators that are no good


class Impostor:
    """A relay that answers each message type with what the test says; what it does not know it takes and is silent."""

    def __init__(self, network: FakeNetwork, keys: KeyPair) -> None:
        self.network = network
        self.keys = keys
        self.did = did_key(keys.public)
        self.answers: dict[str, Callable[[Message], Reply]] = {}
        self.asked: list[str] = []

    async def take(self, peer: Any, packed: bytes) -> bytes:
        opened = unpack(packed, keys=[self.keys])
        message = opened.message
        self.asked.append(message.type)
        if (answer := self.answers.get(message.type)) is not None:
            assert opened.sender is not None
            asyncio.get_running_loop().create_task(self.send(opened.sender, answer(message), thid=message.thread))
        return ACCEPTED

    async def send(self, to: Did, reply: Reply, *, thid: str | None = None) -> bytes:
        message = Message(
            id=os.urandom(8).hex(),
            type=reply.type,
            body=reply.body,
            attachments=reply.attachments,
            from_=self.did,
            to=(to,),
            thid=thid,
            created_time=Clock()() // 1000,
        )
        packed = pack_private(message, author=author_of(self.keys), recipient=resolve_did_key(to), entropy=os.urandom)
        [peer] = [info.peer_id for info in self.network.peers()]
        return await self.network.request(peer, PROTOCOL, packed)

    def grants(self, routing_did: Did | None = None) -> None:
        grant = mediation.Grant((routing_did or self.did,)).to_body("3.0")
        self.answers[mediation.REQUEST["3.0"]] = lambda message: Reply(mediation.GRANT["3.0"], grant)
        self.answers[mediation.UPDATE["3.0"]] = _all_registered
        status = pickup.Status(0, live_delivery=True).to_body("4.0")
        for asked in (pickup.LIVE_DELIVERY_CHANGE["4.0"], pickup.STATUS_REQUEST["4.0"]):
            self.answers[asked] = lambda message: Reply(pickup.STATUS["4.0"], status)


def _all_registered(message: Message) -> Reply:
    changes = mediation.Update.from_body(message.body).changes
    outcomes = tuple(mediation.Outcome(change, "success") for change in changes)
    return Reply(mediation.UPDATE_RESPONSE["3.0"], mediation.UpdateResponse(outcomes).to_body())


@asynccontextmanager
async def open_impostor(swarm: FakeSwarm, *, speaks: bool = True) -> AsyncIterator[Impostor]:
    keys = new_keys()
    async with swarm.open(keys, NoBlocks()) as network:
        impostor = Impostor(network, keys)
        if speaks:
            await network.serve(PROTOCOL, impostor.take, max_request_bytes=1 << 20, max_in_flight_per_peer=64)
        yield impostor


def test_a_relay_that_denies_keeps_nothing_and_takes_back_what_it_granted(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_impostor(swarm) as impostor:
            impostor.grants()
            async with open_member(swarm, tmp_path / "a", impostor.network.addresses()[0]) as member:
                await member.wait_idle()
                assert len(member.mediation.mediators()) == 1
                impostor.answers[mediation.REQUEST["3.0"]] = lambda message: Reply(mediation.DENY["3.0"])
                swarm.cut(impostor.network.peer_id, member.node.peer_id)
                swarm.heal(impostor.network.peer_id, member.node.peer_id)
                await member.wait(lambda: member.changes[-1] == ())
                assert member.states == ["denied"]
                assert member.mediation.mediators() == ()
                assert await member.node.database.read(mediators.own_mediators) == []

    asyncio.run(main())


def test_a_relay_that_never_answers_or_keeps_no_mail_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.01)

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_impostor(swarm) as silent, open_impostor(swarm, speaks=False) as mute:
            addresses = [one.network.addresses()[0] for one in (silent, mute)]
            async with open_member(swarm, tmp_path / "a", *addresses) as member:
                await member.wait_state("failed", "failed")
                assert all(status.reason for status in member.mediation.status())
                # It is asked again, with pauses, and is of use once it answers.
                silent.grants()
                await member.wait_state("granted", "failed")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (mediation.REQUEST["3.0"], Reply(mediation.GRANT["3.0"], {"routing_did": []})),
        (mediation.REQUEST["3.0"], Reply(mediation.GRANT["3.0"], {"routing_did": ["did:key:zNobody"]})),
        (mediation.REQUEST["3.0"], Reply(mediation.GRANT["3.0"], {"routing_did": ["did:example:1"]})),
        (mediation.REQUEST["3.0"], Reply(pickup.STATUS["4.0"], {"message_count": 0})),
        (mediation.UPDATE["3.0"], Reply(mediation.UPDATE_RESPONSE["3.0"], {"updated": []})),
        (mediation.UPDATE["3.0"], Reply(mediation.UPDATE_RESPONSE["3.0"], {"updated": "all"})),
    ],
)
def test_lies_cost_a_mediator_its_place_and_nothing_else(tmp_path: Path, asked: str, answer: Reply) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_impostor(swarm) as impostor:
            impostor.grants()
            impostor.answers[asked] = lambda message: answer
            async with open_member(swarm, tmp_path / "a", impostor.network.addresses()[0]) as member:
                await member.wait_state("failed")
                assert member.mediation.mediators() == ()

    asyncio.run(main())


def test_only_a_mediator_that_was_asked_brings_mail(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_impostor(swarm) as impostor, open_impostor(swarm) as stranger:
            impostor.grants()
            async with open_member(swarm, tmp_path / "a", impostor.network.addresses()[0]) as member:
                await member.wait_idle()
                await stranger.network.dial(member.node.network.addresses()[0])
                friend = new_keys()
                brought = pickup.delivery("4.0", [pickup.Delivered("1", letter(friend, member.did, 1, Clock()))])
                assert await stranger.send(member.did, brought) == REFUSED
                assert await impostor.send(member.did, brought) == ACCEPTED
                await member.wait_inbox(1)
                # What it made up, or changed, is not taken: it is for us, from who it says, or nothing.
                forged = pickup.delivery(
                    "4.0",
                    [
                        pickup.Delivered("2", b"made up"),
                        pickup.Delivered("3", letter(friend, impostor.did, 2, Clock())),
                        pickup.Delivered("4", letter(friend, member.did, 1, Clock())),
                    ],
                )
                await impostor.send(member.did, forged)
                await member.wait(lambda: pickup.MESSAGES_RECEIVED["4.0"] in impostor.asked[-1:])
                assert len(await member.inbox()) == 1

    asyncio.run(main())


def test_a_flood_of_pushes_is_held_back(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_impostor(swarm) as impostor:
            impostor.grants()
            async with open_member(swarm, tmp_path / "a", impostor.network.addresses()[0]) as member:
                await member.wait_idle()
                flood = pickup.delivery("4.0", [pickup.Delivered(str(n), b"x" * 1000) for n in range(64)])
                verdicts = [await impostor.send(member.did, flood) for _ in range(80)]
                assert REFUSED not in verdicts
                # The twin still works: its own relay's other question is answered.
                assert await member.inbox() == []
                await member.wait_state("granted")

    asyncio.run(main())


def test_a_strangers_message_is_a_request_as_ever(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_relay_on(swarm, tmp_path) as relay,
            open_member(swarm, tmp_path / "a", address_of(relay)) as member,
        ):
            await member.wait_idle()
            stranger = new_keys()
            hello = private(stranger, member.node)
            packed = pack_private(
                hello, author=author_of(stranger), recipient=resolve_did_key(member.did), entropy=os.urandom
            )
            for _ in range(3):
                assert await soon(relay.forward(packed, member.did)) == ACCEPTED
            [row] = await member.wait_inbox(1)
            assert (row.status, row.via) == ("request", "mediator")

    asyncio.run(main())
