"""Fetching from one mediator: nothing is confirmed before it was taken, order is kept, and no mediator can stop us."""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import Did
from node.errors import NotNow
from node.messaging import pickup as module
from node.messaging.pickup import LOOK_EVERY_S, MAX_PUSHES, PUT_OFF_TRIES, Pickup
from node.messaging.source import ACCEPTED, REFUSED, TRY_LATER
from protocols.conversations import pickup, problem_report
from protocols.conversations.pickup import Delivered
from protocols.conversations.reply import Reply
from protocols.errors import ProtocolError
from protocols.message import Message
from tests.node.parts import Clock

ME, RELAY = Did("did:key:zMe"), Did("did:key:zRelay")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause after something was put off is for real disks."""
    monkeypatch.setattr(module, "PUT_OFF_S", 0)


def as_message(reply: Reply) -> Message:
    return Message(
        id=os.urandom(8).hex(), type=reply.type, body=reply.body, attachments=reply.attachments, pthid=reply.pthid
    )


class Mediator:
    """A mediator in memory that answers as the protocol says. `log` is what happened, in order."""

    def __init__(
        self, *packed: bytes, versions: tuple[pickup.Version, ...] = pickup.VERSIONS, live: bool = True
    ) -> None:
        self.queue = {f"id{number}": one for number, one in enumerate(packed)}
        self.versions = versions
        self.can_live = live
        self.state = "on demand"
        self.log: list[str] = []
        self.put_off: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.clock = Clock()
        self.pickup = Pickup(ask=self.ask, tell=self.tell, take=self.take, now=self.clock)
        self.batch = 64

    async def ask(self, reply: Reply) -> Message:
        self.log.append(reply.type.rpartition("/")[2])
        message = as_message(reply)
        version = reply.type.split("/")[-2]
        if version not in self.versions:
            return as_message(problem_report.report(problem_report.UNSUPPORTED, pthid=message.id))
        waiting = [Delivered(message_id, packed) for message_id, packed in self.queue.items()][: self.batch]
        queue = pickup.Queue(len(self.queue), 0, waiting=waiting)
        self.state, answer = pickup.answer(self.state, message, queue, can_live=self.can_live, now_ms=self.clock())
        assert answer is not None
        return as_message(answer)

    async def tell(self, reply: Reply) -> None:
        for message_id in pickup.MessagesReceived.from_body(reply.body).ids:
            self.log.append(f"confirmed {message_id}")
            del self.queue[message_id]

    async def take(self, packed: bytes) -> bytes:
        self.log.append(packed.decode())
        if packed in self.put_off:
            return TRY_LATER
        return REFUSED if packed in self.refused else ACCEPTED

    def pushed(self, *ids: str, version: pickup.Version = "4.0") -> None:
        brought = [Delivered(message_id, self.queue[message_id]) for message_id in ids]
        self.pickup.push(as_message(pickup.delivery(version, brought)))


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_everything_that_waits_is_taken_before_it_is_confirmed() -> None:
    async def main() -> None:
        mediator = Mediator(b"a", b"b", b"c")
        mediator.refused, mediator.batch = {b"b"}, 2
        await mediator.pickup.begin()
        assert mediator.log == [
            "live-delivery-change",
            "delivery-request",
            "a",
            "b",
            "confirmed id0",
            "confirmed id1",
            "delivery-request",
            "c",
            "confirmed id2",
            "delivery-request",
        ]
        assert mediator.queue == {}
        assert (mediator.pickup.taken, mediator.state) == (3, "live")

    run(main())


@given(st.integers(0, 40), st.integers(1, 7), st.sets(st.integers(0, 40)))
def test_whatever_is_refused_the_rest_is_taken_once_and_in_order(count: int, batch: int, bad: set[int]) -> None:
    async def main() -> None:
        packed = [b"%d" % number for number in range(count)]
        mediator = Mediator(*packed)
        mediator.batch, mediator.refused = batch, {b"%d" % number for number in bad}
        await mediator.pickup.begin()
        assert [entry for entry in mediator.log if entry.isdigit()] == [one.decode() for one in packed]
        assert mediator.queue == {}

    run(main())


def test_what_is_pushed_is_taken_and_confirmed() -> None:
    async def main() -> None:
        mediator = Mediator()
        await mediator.pickup.begin()
        mediator.queue = {"x": b"first", "y": b"second"}
        mediator.log.clear()
        mediator.pushed("x")
        mediator.pushed("y")
        await mediator.pickup.next(1)
        await mediator.pickup.next(1)
        assert mediator.log == ["first", "confirmed x", "second", "confirmed y"]

    run(main())


def test_what_is_put_off_holds_up_what_is_behind_it_for_a_while_and_is_not_lost() -> None:
    async def main() -> None:
        mediator = Mediator(b"a", b"busy", b"c")
        mediator.put_off = {b"busy"}
        await mediator.pickup.begin()
        while mediator.queue.keys() != {"id1"}:
            mediator.clock.advance(1)
            await mediator.pickup.next(0)
        takes = [entry for entry in mediator.log if entry in ("a", "busy", "c")]
        assert takes[: PUT_OFF_TRIES + 2] == ["a", *["busy"] * PUT_OFF_TRIES, "c"]
        mediator.put_off = set()
        mediator.clock.advance(1)
        await mediator.pickup.next(0)
        assert mediator.queue == {}

    run(main())


def test_a_pushed_message_that_is_put_off_is_asked_for_soon() -> None:
    async def main() -> None:
        mediator = Mediator()
        await mediator.pickup.begin()
        mediator.queue = {"x": b"busy"}
        mediator.put_off = {b"busy"}
        mediator.pushed("x")
        await mediator.pickup.next(1)
        assert mediator.queue
        mediator.put_off = set()
        await mediator.pickup.next(0)
        assert mediator.queue == {}

    run(main())


def test_a_clock_that_jumps_makes_it_look_and_nothing_else() -> None:
    async def main() -> None:
        mediator = Mediator()
        await mediator.pickup.begin()
        mediator.log.clear()
        await mediator.pickup.next(0)
        assert mediator.log == []
        mediator.queue["missed"] = b"missed"  # a push that was lost
        mediator.clock.advance(3600)
        await mediator.pickup.next(0)
        assert mediator.queue == {}
        mediator.log.clear()
        mediator.clock.advance(-7200)
        await mediator.pickup.next(0)
        mediator.clock.advance(7200 + LOOK_EVERY_S + 1)
        await mediator.pickup.next(0)
        assert mediator.log == ["status-request"]

    run(main())


def test_a_mediator_that_is_no_longer_live_is_asked_for_it_again() -> None:
    async def main() -> None:
        mediator = Mediator()
        await mediator.pickup.begin()
        mediator.state = "on demand"
        mediator.clock.advance(LOOK_EVERY_S + 1)
        await mediator.pickup.next(0)
        assert mediator.state == "live"

    run(main())


def test_a_mediator_that_only_speaks_the_older_version() -> None:
    async def main() -> None:
        mediator = Mediator(b"a", b"b", versions=("3.0",))
        mediator.batch = 1
        await mediator.pickup.begin()
        assert mediator.queue == {}
        # It answers what it is told with a status, which nobody waits for.
        status = pickup.Status(0, live_delivery=True).to_body("3.0")
        mediator.pickup.push(Message(id="s", type=pickup.STATUS["3.0"], body=status))
        await mediator.pickup.next(1)
        mediator.queue["x"] = b"x"
        mediator.pushed("x", version="3.0")
        await mediator.pickup.next(1)
        assert mediator.queue == {}

    run(main())


def test_a_mediator_without_live_mode_is_asked_now_and_then() -> None:
    async def main() -> None:
        mediator = Mediator(b"a", live=False)
        await mediator.pickup.begin()
        assert mediator.queue == {}
        mediator.queue["x"] = b"x"
        mediator.clock.advance(LOOK_EVERY_S + 1)
        await mediator.pickup.next(0)
        assert mediator.queue == {}

    run(main())


class Died(Exception):
    """The twin died."""


def test_what_was_not_taken_before_the_twin_died_is_still_there() -> None:
    async def main() -> None:
        mediator = Mediator(b"a", b"b")

        async def dies(packed: bytes) -> bytes:
            raise Died

        dying = Pickup(ask=mediator.ask, tell=mediator.tell, take=dies, now=mediator.clock)
        with pytest.raises(Died):
            await dying.begin()
        assert len(mediator.queue) == 2

    run(main())


def test_a_mediator_that_promises_and_brings_nothing_ends_it() -> None:
    async def main() -> None:
        mediator = Mediator()

        async def lies(reply: Reply) -> Message:
            mediator.log.append(reply.type.rpartition("/")[2])
            if reply.type == pickup.DELIVERY_REQUEST["4.0"]:
                return as_message(pickup.delivery("4.0", []))
            return Message(id="1", type=pickup.STATUS["4.0"], body={"message_count": 5})

        lied_to = Pickup(ask=lies, tell=mediator.tell, take=mediator.take, now=mediator.clock)
        await lied_to.begin()
        assert mediator.log == ["live-delivery-change", "delivery-request"]
        assert lied_to.waiting == 0

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        Message(id="1", type=pickup.STATUS["4.0"], body={"message_count": "many"}),
        Message(id="1", type=pickup.STATUS["4.0"], body={}),
        Message(id="1", type="https://example.org/1.0/what"),
        replace(as_message(pickup.delivery("4.0", [Delivered("x", b"x")])), type=pickup.DELIVERY["3.0"]),
    ],
)
def test_nonsense_ends_the_conversation(answer: Message) -> None:
    async def main() -> None:
        mediator = Mediator()

        async def babbles(reply: Reply) -> Message:
            return answer

        talked_to = Pickup(ask=babbles, tell=mediator.tell, take=mediator.take, now=mediator.clock)
        with pytest.raises(ProtocolError):
            await talked_to.begin()
        assert mediator.log == []

    run(main())


def test_nonsense_that_nobody_asked_for_is_passed_over() -> None:
    async def main() -> None:
        mediator = Mediator()
        await mediator.pickup.begin()
        mediator.pickup.push(replace(as_message(pickup.delivery("3.0", [])), type=pickup.DELIVERY["3.0"]))
        await mediator.pickup.next(1)
        mediator.queue["x"] = b"x"
        mediator.pushed("x")
        await mediator.pickup.next(1)
        assert mediator.queue == {}

    run(main())


def test_a_mediator_that_pushes_without_end_is_held_back() -> None:
    async def main() -> None:
        mediator = Mediator()
        await mediator.pickup.begin()
        mediator.queue["x"] = b"x"
        for _ in range(MAX_PUSHES):
            mediator.pushed("x")
        with pytest.raises(NotNow):
            mediator.pushed("x")

    run(main())
