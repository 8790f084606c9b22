"""Mail for somebody who is away, through a mediator that may lose it, and what becomes of it on every way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.did import Did, PeerId, peer_id_of_did
from node.messaging.delivery import ACK_GRACE_MS, BACK_GRACE_MS, CARRIER_MS
from node.messaging.source import ACCEPTED, PROTOCOL, REFUSED, TRY_LATER
from node.net.errors import RemoteRefused, RemoteUnavailable
from protocols.conversations.routing import read_forward
from protocols.didcomm.envelope import unpack
from protocols.message import Message
from storage import outbox, twins
from storage.outbox import OutboxRow
from tests.node.messaging.test_delivery import HELLO, Recipient
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, Node, new_did, open_node, private, running, soon

CARRIER_S = CARRIER_MS / 1000


class Relay:
    """A mediator: it answers by a script, then takes everything, and brings it on when it is told to."""

    def __init__(self, node: Node, *script: bytes) -> None:
        self.node = node
        self.kept: list[tuple[str, bytes]] = []
        self._script = list(script)

    async def serve(self) -> None:
        await self.node.network.serve(PROTOCOL, self._accept, max_request_bytes=2**20, max_in_flight_per_peer=64)

    async def _accept(self, peer: PeerId, packed: bytes) -> bytes:
        answer = self._script.pop(0) if self._script else ACCEPTED
        if answer == ACCEPTED:
            self.kept.append(read_forward(unpack(packed, keys=(self.node.keys,)).message))
        return answer

    async def bring_on(self) -> list[bytes]:
        """Bring what is kept, in order, up to the first that is not taken; return the answers."""
        answers = []
        while self.kept:
            did, packed = self.kept[0]
            answers.append(await self.node.network.request(peer_id_of_did(Did(did)), PROTOCOL, packed))
            if answers[-1] != ACCEPTED:
                break
            del self.kept[0]
        return answers


async def tell_mediator(node: Node, about: Node, relay: Node) -> None:
    """`node` hears that mail for `about` may be left with `relay`."""
    kept_by = twins.MediatorRow(relay.did, relay.network.addresses())
    await node.database.write(
        lambda conn: twins.upsert_twin(conn, about.did, "twin", (), (), (), 1, True, mediators=[kept_by])
    )


@dataclass
class Scene:
    """A sender that is connected to a relay, and a recipient that is connected to nobody."""

    mail: Mail
    relay: Relay
    recipient: Recipient

    async def queue(self, thid: str | None = None) -> str:
        return (await self.mail.office.send(self.recipient.did, HELLO, {}, thid=thid)).id

    async def settled(self, message_id: str) -> str:
        return await self.mail.delivery.wait_settled(message_id, 20)

    async def row(self, message_id: str) -> OutboxRow:
        row = await self.mail.node.database.read(lambda conn: outbox.get_outbound(conn, message_id))
        assert row is not None
        return row

    async def later(self, seconds: float) -> None:
        self.mail.node.clock.advance(seconds)
        self.mail.delivery.wake()
        await soon(self.mail.delivery.idle())

    async def connect(self) -> None:
        """The recipient connects to the sender; what follows from it has happened."""
        hurry, hurried = self.mail.delivery.hurry, asyncio.Event()

        async def told(recipient: Did) -> None:
            await hurry(recipient)
            hurried.set()

        self.mail.delivery.hurry = told  # type: ignore[method-assign]
        await self.recipient.node.dial(self.mail.node)
        await soon(hurried.wait())
        self.mail.delivery.hurry = hurry  # type: ignore[method-assign]
        await soon(self.mail.delivery.idle())

    async def events(self) -> list[tuple[str, str | None]]:
        return [(entry.event_type, entry.subject) for entry in (await self.mail.node.events.log()).items]


@contextlib.asynccontextmanager
async def open_scene(path: Path, *script: bytes, answers: Sequence[bytes] = ()) -> AsyncIterator[Scene]:
    swarm = FakeSwarm()
    async with (
        open_node(swarm, path / "sender") as sender,
        open_node(swarm, path / "relay", clock=sender.clock) as middle,
        open_node(swarm, path / "recipient", clock=sender.clock) as other,
    ):
        relay, recipient, mail = Relay(middle, *script), Recipient(other, answers), Mail(sender)
        await relay.serve()
        await recipient.serve()
        await tell_mediator(sender, other, middle)
        await sender.dial(middle)
        async with running(mail.delivery.run()):
            await soon(mail.delivery.idle())
            yield Scene(mail, relay, recipient)


def test_for_one_who_is_away_a_mediator_takes_it_and_the_recipient_confirms_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path) as scene:
            message_id = await scene.queue()
            assert await scene.settled(message_id) == "sent"
            row = await scene.row(message_id)
            assert row.via == f"mediator {scene.relay.node.did} (libp2p)"
            assert (row.sent_ms, row.delivered_ms) == (scene.mail.node.clock(), None)
            [(next_did, packed)] = scene.relay.kept
            message = unpack(packed, keys=(scene.recipient.node.keys,)).message
            assert (next_did, message.id, message.please_ack) == (scene.recipient.did, message_id, ("",))
            await scene.mail.delivery.acknowledge(new_did(), [message_id])
            assert (await scene.row(message_id)).status == "sent"
            await scene.mail.delivery.acknowledge(scene.recipient.did, [message_id, "unknown"])
            row = await scene.row(message_id)
            assert (row.status, row.acked) == ("delivered", True)
            await scene.mail.delivery.acknowledge(scene.recipient.did, [message_id])
            assert await scene.events() == [("didcomm_sent", message_id), ("didcomm_delivered", message_id)]

    asyncio.run(main())


def test_a_mediator_that_dies_with_the_message_costs_only_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path) as scene:
            first = await scene.queue()
            second = await scene.queue(thid=first)
            assert [await scene.settled(message_id) for message_id in (first, second)] == ["sent", "sent"]
            scene.relay.kept.clear()
            await scene.connect()
            third = await scene.queue(thid=first)
            await soon(scene.mail.delivery.idle())
            assert scene.recipient.offered == []  # the confirmation may be on its way, and the third waits for both
            await scene.later(ACK_GRACE_MS / 1000)
            assert scene.recipient.taken == [first, second, third]
            row = await scene.row(first)
            assert (row.status, row.via, row.acked) == ("delivered", "libp2p", False)

    asyncio.run(main())


def test_what_is_confirmed_in_time_is_not_sent_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path) as scene:
            message_id = await scene.queue()
            await scene.settled(message_id)
            await scene.connect()
            assert (await scene.row(message_id)).status == "queued"
            waiting = asyncio.create_task(scene.settled(message_id))
            await scene.mail.delivery.acknowledge(scene.recipient.did, [message_id])
            assert await waiting == "delivered"
            await scene.later(CARRIER_S + 1)
            assert scene.recipient.offered == []

    asyncio.run(main())


def test_one_who_connects_and_goes_again_leaves_it_with_the_mediator(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path, answers=[b"error"] * 9) as scene:
            message_id = await scene.queue()
            await scene.settled(message_id)
            await scene.connect()
            other = await scene.queue(thid=message_id)
            await scene.later(3)
            assert [(await scene.row(each)).status for each in (message_id, other)] == ["sent", "sent"]
            assert len(scene.relay.kept) == 2  # the first of them only once
            assert scene.recipient.taken == []

    asyncio.run(main())


def test_a_mediator_gets_it_again_only_after_hours(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path) as scene:
            message_id = await scene.queue()
            await scene.settled(message_id)
            await scene.later(CARRIER_S - 1)
            assert len(scene.relay.kept) == 1
            await scene.later(1)
            assert len(scene.relay.kept) == 2
            assert (await scene.row(message_id)).status == "sent"
            row = await scene.row(message_id)
            assert row.expires_ms is not None
            await scene.later((row.expires_ms - scene.mail.node.clock()) / 1000)
            await scene.later(CARRIER_S)
            assert (await scene.row(message_id)).status == "sent"
            assert len(scene.relay.kept) == 2

    asyncio.run(main())


@pytest.mark.parametrize("answer", [TRY_LATER, REFUSED, b"", b"?"])
def test_what_a_mediator_does_not_take_waits_and_says_why(tmp_path: Path, answer: bytes) -> None:
    async def main() -> None:
        async with open_scene(tmp_path, answer) as scene:
            scene.mail.addresses[scene.recipient.did] = [f"/memory/1/p2p/{new_peer()}"]
            message_id = await scene.queue()
            await soon(scene.mail.delivery.idle())
            row = await scene.row(message_id)
            assert (row.status, row.attempts) == ("queued", 1)
            assert f"mediator {scene.relay.node.did} (libp2p): " in (row.last_error or "")
            assert "libp2p: " in (row.last_error or "")
            await scene.later(60)
            assert (await scene.row(message_id)).status == "sent"

    asyncio.run(main())


def new_peer() -> PeerId:
    return peer_id_of_did(new_did())


def test_what_every_way_refuses_has_failed(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path, REFUSED) as scene:
            message_id = await scene.queue()
            assert await scene.settled(message_id) == "failed"
            assert "refused" in ((await scene.row(message_id)).last_error or "")

    asyncio.run(main())


def test_a_direct_way_that_breaks_gives_way_to_the_mediator_and_keeps_the_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path, answers=[ACCEPTED, b"error"]) as scene:
            await scene.connect()
            first = await scene.queue()
            ids = [first, *[await scene.queue(thid=first) for _ in range(3)]]
            await soon(scene.mail.delivery.idle())
            assert scene.recipient.offered == ids[:2]
            assert scene.relay.kept  # the second, and what was under way with it: they go straight as well
            await scene.later(ACK_GRACE_MS / 1000)
            assert scene.recipient.taken == ids
            assert [await scene.settled(message_id) for message_id in ids] == ["delivered"] * 4

    asyncio.run(main())


def test_who_takes_mail_over_its_own_connection_is_not_sent_the_same_all_the_time(tmp_path: Path) -> None:
    class Back:
        name, closed = "test", False

        def __init__(self) -> None:
            self.sent: list[bytes] = []

        def keep(self) -> None: ...

        async def send(self, packed: bytes) -> None:
            self.sent.append(packed)

    async def main() -> None:
        async with open_scene(tmp_path) as scene:
            back = Back()
            scene.mail.live.open(scene.recipient.did, back)
            message_id = await scene.queue()
            assert await scene.settled(message_id) == "sent"
            assert (await scene.row(message_id)).via == "return"
            for _ in range(3):
                await scene.mail.delivery.hurry_back(scene.recipient.did)
                await soon(scene.mail.delivery.idle())
            assert len(back.sent) == 1
            scene.mail.node.clock.advance(BACK_GRACE_MS / 1000)
            await scene.mail.delivery.hurry_back(scene.recipient.did)
            await soon(scene.mail.delivery.idle())
            assert len(back.sent) == 2

    asyncio.run(main())


def test_nothing_overtakes_what_a_mediator_has_before_we_know_that_the_recipient_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path) as scene:
            first = await scene.queue()
            assert await scene.settled(first) == "sent"
            noticed = asyncio.Event()
            hurry = scene.mail.delivery.hurry

            async def late(recipient: Did) -> None:
                await noticed.wait()
                await hurry(recipient)

            scene.mail.delivery.hurry = late  # type: ignore[method-assign]
            await scene.recipient.node.dial(scene.mail.node)
            second = await scene.queue(thid=first)
            await soon(scene.mail.delivery.idle())
            assert (scene.recipient.offered, len(scene.relay.kept)) == ([], 1)
            await scene.later(ACK_GRACE_MS / 1000)
            assert scene.recipient.taken == [first, second]
            noticed.set()

    asyncio.run(main())


def test_what_was_handed_over_while_the_recipient_connected_is_sent_to_it_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path) as scene:

            async def slow(peer: PeerId, packed: bytes) -> bytes:
                await scene.recipient.node.dial(scene.mail.node)
                await scene.mail.node.database.write(lambda conn: None)
                return ACCEPTED

            await scene.relay.node.network.serve(PROTOCOL, slow, max_request_bytes=2**20, max_in_flight_per_peer=64)
            message_id = await scene.queue()
            await soon(scene.mail.delivery.idle())
            await scene.later(ACK_GRACE_MS / 1000)
            assert scene.recipient.taken == [message_id]

    asyncio.run(main())


def test_between_two_twins_the_confirmation_comes_back_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path) as scene:
            sender, recipient, relay = scene.mail.node, scene.recipient.node, scene.relay
            await sender.name(recipient)
            await recipient.name(sender)
            await tell_mediator(recipient, sender, relay.node)
            theirs = Mail(recipient)
            theirs.office.keep(HELLO)
            await recipient.dial(relay.node)
            async with running(theirs.office.run(), scene.mail.office.run()):
                message_id = await scene.queue()
                assert await scene.settled(message_id) == "sent"
                assert await relay.bring_on() == [ACCEPTED]
                while not relay.kept:  # noqa: ASYNC110 - the acknowledgement, which is gathered for a moment
                    await asyncio.sleep(0.01)
                assert await relay.bring_on() == [ACCEPTED]
                row = await scene.row(message_id)
                assert (row.status, row.acked) == ("delivered", True)
                assert (await theirs.office.inbox(9)).items[0].message_id == message_id

    asyncio.run(main())


def test_one_message_can_be_sent_at_once_without_the_outbox(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path, ACCEPTED, REFUSED, answers=[REFUSED]) as scene:
            sender, recipient = scene.mail.node, scene.recipient
            message = private(sender, recipient.node)
            assert await scene.mail.delivery.send_now(recipient.did, message) == (
                f"mediator {scene.relay.node.did} (libp2p)"
            )
            with pytest.raises(RemoteRefused, match="refused"):
                await scene.mail.delivery.send_now(recipient.did, message)
            await recipient.node.dial(sender)
            with pytest.raises(RemoteRefused, match="the recipient refused it"):
                await scene.mail.delivery.send_now(recipient.did, message)
            assert await scene.mail.delivery.send_now(recipient.did, message) == "libp2p"
            nobody = new_did()
            with pytest.raises(RemoteUnavailable, match="not connected"):
                await scene.mail.delivery.send_now(nobody, Message(id="1", type=HELLO, from_=sender.did, to=(nobody,)))
            assert (await scene.mail.office.outbox(9)).items == ()

    asyncio.run(main())


def test_a_crash_between_handing_over_and_noting_it_sends_it_again_and_loses_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "b") as other:
            recipient = Recipient(other)
            await recipient.serve()
            taken = asyncio.Event()

            async def take_and_hang(peer: PeerId, packed: bytes) -> bytes:
                await recipient._accept(peer, packed)
                taken.set()
                await asyncio.Event().wait()
                return ACCEPTED

            await other.network.serve(PROTOCOL, take_and_hang, max_request_bytes=2**20, max_in_flight_per_peer=64)
            async with open_node(swarm, tmp_path / "a") as sender:
                keys, mail = sender.keys, Mail(sender)
                await sender.dial(other)
                async with running(mail.delivery.run()):
                    sent = await mail.office.send(other.did, HELLO, {})
                    await soon(taken.wait())
            await recipient.serve()
            async with open_node(swarm, tmp_path / "a", keys=keys) as sender:
                mail = Mail(sender)
                await sender.dial(other)
                async with running(mail.delivery.run()):
                    assert await mail.delivery.wait_settled(sent.id, 20) == "delivered"
            assert recipient.taken == [sent.id, sent.id]  # the same id: the receiver knows it

    asyncio.run(main())


def test_an_acknowledgement_that_is_lost_costs_a_duplicate_that_the_receiver_knows(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as sender, open_node(swarm, tmp_path / "b") as other:
            await other.name(sender)
            mail, theirs = Mail(sender), Mail(other)
            lost: list[Any] = []

            async def take_and_break(peer: PeerId, packed: bytes) -> bytes:
                answer = await theirs.office._take(peer, packed)
                if not lost:
                    lost.append(answer)
                    raise ConnectionResetError
                return answer

            await sender.dial(other)
            async with running(mail.delivery.run(), theirs.office.run()):
                await asyncio.sleep(0)
                await soon(theirs.delivery.idle())
                await other.network.serve(PROTOCOL, take_and_break, max_request_bytes=2**20, max_in_flight_per_peer=64)
                sent = await mail.office.send(other.did, HELLO, {})
                await soon(mail.delivery.idle())
                assert lost == [ACCEPTED]
                sender.clock.advance(60)
                mail.delivery.wake()
                assert await mail.delivery.wait_settled(sent.id, 20) == "delivered"
            assert len((await theirs.office.inbox(9)).items) == 1
            assert theirs.intake.counters["didcomm_repeated"] == 1

    asyncio.run(main())


STEPS = ("queue", "queue", "connect", "cut", "bring on", "wait", "acknowledge", "the relay dies")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.sampled_from(STEPS), max_size=14),
    relays=st.lists(st.sampled_from([ACCEPTED, ACCEPTED, TRY_LATER, b"error"]), max_size=6),
    recipients=st.lists(st.sampled_from([ACCEPTED, ACCEPTED, TRY_LATER, b"error"]), max_size=6),
)
def test_whatever_breaks_a_thread_arrives_whole_and_in_order(
    steps: list[str], relays: list[bytes], recipients: list[bytes]
) -> None:
    async def main(path: Path) -> None:
        async with open_scene(path, *relays, answers=recipients) as scene:
            sender, other, swarm = scene.mail.node, scene.recipient.node, scene.mail.node.network._swarm
            await other.dial(scene.relay.node)
            ids: list[str] = []

            async def do(step: str) -> None:
                if step == "queue":
                    ids.append(await scene.queue(thid="thread"))
                elif step == "connect":
                    swarm.heal(sender.peer_id, other.peer_id)
                    await other.dial(sender)
                elif step == "cut":
                    swarm.cut(sender.peer_id, other.peer_id)
                elif step == "bring on":
                    with contextlib.suppress(RemoteRefused):
                        await scene.relay.bring_on()
                elif step == "the relay dies":
                    scene.relay.kept.clear()
                    swarm.cut(sender.peer_id, scene.relay.node.peer_id)
                elif step == "acknowledge":
                    await scene.mail.delivery.acknowledge(scene.recipient.did, scene.recipient.taken)
                else:
                    await scene.later(2.5)
                await soon(scene.mail.delivery.idle())

            for step in ("queue", *steps):
                await do(step)
            await do("connect")
            while {(await scene.row(message_id)).status for message_id in ids} != {"delivered"}:
                await scene.later(61)
                await do("connect")
            assert list(dict.fromkeys(scene.recipient.taken)) == ids

    with TemporaryDirectory() as path:
        asyncio.run(main(Path(path)))
