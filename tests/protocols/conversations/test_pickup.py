"""Message pickup: recipient and mediator against each other, in both versions, with random queues and refusals."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import Did
from protocols import limits
from protocols.attachment import Attachment
from protocols.conversations import pickup, problem_report
from protocols.conversations.pickup import (
    MEDIATOR,
    RECIPIENT,
    Delivered,
    DeliveryRequest,
    LiveDeliveryChange,
    MessagesReceived,
    Queue,
    Status,
    StatusRequest,
    Version,
    answer,
    delivery,
    read_delivery,
    read_request,
)
from protocols.conversations.pickup_recipient import Recipient, Step
from protocols.conversations.reply import Reply
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError, UnexpectedMessage
from protocols.message import MAX_PLAINTEXT_BYTES, Message

both_versions = pytest.mark.parametrize("version", pickup.VERSIONS)
DID = Did("did:example:recipient")


def as_message(reply: Reply, id: str = "1") -> Message:  # noqa: A002
    return Message(id=id, type=reply.type, body=reply.body, attachments=reply.attachments)


class Mailbox:
    """A mediator's queue for one recipient, and one connection to it."""

    def __init__(self, version: Version, messages: list[Delivered], *, can_live: bool = True) -> None:
        self.version, self.messages, self.can_live = version, messages, can_live
        self.state = MEDIATOR[version].start

    def ask(self, asked: Reply) -> Reply | None:
        _, request = read_request(as_message(asked))
        if isinstance(request, MessagesReceived):
            self.messages = [message for message in self.messages if message.id not in request.ids]
        size = sum(len(message.packed) for message in self.messages)
        queue = Queue(len(self.messages), size, waiting=self.messages)
        self.state, reply = answer(self.state, as_message(asked), queue, can_live=self.can_live, now_ms=0)
        return reply


def drain(mailbox: Mailbox, step: Step, *, refused: frozenset[str] = frozenset()) -> tuple[Recipient, list[str]]:
    """Everything that a recipient does until it is idle; what is `refused` cannot be stored."""
    stored: list[str] = []
    recipient, to_send = step.recipient, list(step.sends)
    for _ in range(500):
        if not to_send:
            return recipient, stored
        reply = mailbox.ask(to_send.pop(0))
        if reply is None:
            continue
        step = recipient.receive(as_message(reply))
        recipient = step.recipient
        to_send += step.sends
        if step.brought:
            safe = [message.id for message in step.brought if message.id not in refused]
            stored += safe
            step = recipient.confirm(safe)
            recipient = step.recipient
            to_send += step.sends
    raise AssertionError("it does not come to an end")


def mail(count: int, size: int = 10) -> list[Delivered]:
    return [Delivered(str(index), b"x" * size) for index in range(count)]


@both_versions
@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("count", [0, 1, 10, 25])
def test_a_queue_is_emptied_in_order(version: Version, live: bool, count: int) -> None:
    mailbox = Mailbox(version, mail(count))
    recipient, stored = drain(mailbox, Recipient(version, limit=10).begin(live=live))
    assert stored == [str(index) for index in range(count)]
    assert (recipient.state, mailbox.messages) == ("idle", [])
    assert mailbox.state == ("live" if live else "on demand")


@both_versions
def test_every_request_asks_for_the_answer_on_the_same_connection(version: Version) -> None:
    step = Recipient(version).begin(live=True)
    assert [reply.return_route for reply in step.sends] == ["all"]
    confirmed = replace(step.recipient, state="storing").confirm(["1"])
    assert [reply.return_route for reply in confirmed.sends] == ["all", "all"]


@both_versions
def test_where_live_mode_is_refused_the_queue_is_fetched_all_the_same(version: Version) -> None:
    mailbox = Mailbox(version, mail(3), can_live=False)
    step = Recipient(version).begin(live=True)
    report = mailbox.ask(step.sends[0])
    assert report is not None
    assert (report.type, report.body["code"]) == (problem_report.PROBLEM, problem_report.LIVE_MODE_NOT_SUPPORTED)
    assert report.pthid == "1"
    recipient, stored = drain(mailbox, step)
    assert (recipient.state, stored, mailbox.state) == ("idle", ["0", "1", "2"], "on demand")


@both_versions
def test_what_cannot_be_stored_stays_in_the_queue(version: Version) -> None:
    mailbox = Mailbox(version, mail(5))
    recipient, stored = drain(mailbox, Recipient(version).begin(live=False), refused=frozenset("13"))
    assert stored == ["0", "2", "4"]
    assert [message.id for message in mailbox.messages] == ["1", "3"]
    recipient, stored = drain(mailbox, recipient.begin(live=False))
    assert (recipient.state, stored) == ("idle", ["1", "3"])


@both_versions
def test_live_deliveries_are_confirmed_without_asking_for_more(version: Version) -> None:
    mailbox = Mailbox(version, [])
    idle, _ = drain(mailbox, Recipient(version).begin(live=True))
    step = idle.receive(as_message(delivery(version, mail(1))))
    assert step.brought == tuple(mail(1))
    confirmed = step.recipient.confirm(["0"])
    assert [reply.type for reply in confirmed.sends] == [pickup.MESSAGES_RECEIVED[version]]
    assert confirmed.recipient == idle


@both_versions
def test_a_second_delivery_may_come_before_the_first_is_stored(version: Version) -> None:
    recipient = Recipient(version, state="fetching")
    step = recipient.receive(as_message(delivery(version, mail(1))))
    step = step.recipient.receive(as_message(delivery(version, [Delivered("live", b"y")])))
    assert [message.id for message in step.brought] == ["live"]
    assert step.recipient.confirm(["0", "live"]).recipient.state == "fetching"


def test_an_empty_queue_is_answered_as_each_version_has_it() -> None:
    for version, expected in (("3.0", pickup.STATUS), ("4.0", pickup.DELIVERY)):
        asked = Message(id="1", type=pickup.DELIVERY_REQUEST[version], body=DeliveryRequest(5).to_body(version))
        _, reply = answer("on demand", asked, Queue(0, 0), can_live=False, now_ms=0)
        assert reply is not None
        assert (reply.type, reply.attachments) == (expected[version], ())
    received = MessagesReceived(("1",)).to_body()
    for version, answered in (("3.0", True), ("4.0", False)):
        asked = Message(id="1", type=pickup.MESSAGES_RECEIVED[version], body=received)
        _, reply = answer("live", asked, Queue(0, 0), can_live=True, now_ms=0)
        assert (reply is not None) == answered


def test_times_are_in_each_versions_unit() -> None:
    queue = Queue(2, 20, oldest_ms=1_000_500, newest_ms=2_000_000)
    for version, oldest, waited in (("3.0", 1000, 1999), ("4.0", 1_000_500, None)):
        asked = Message(id="1", type=pickup.STATUS_REQUEST[version], body=StatusRequest(DID).to_body())
        _, reply = answer("live", asked, queue, can_live=True, now_ms=3_000_000)
        assert reply is not None
        assert reply.body["oldest_received_time"] == oldest
        assert reply.body.get("longest_waited_seconds") == waited
        assert reply.body["recipient_did"] == DID
        assert reply.body["live_delivery"] is True
        assert Status.from_body(reply.body, version).newest_ms == 2_000_000


def test_a_delivery_is_bounded_in_number_and_bytes() -> None:
    version: Version = "4.0"
    assert len(delivery(version, mail(limits.MAX_DELIVERY + 1)).attachments) == limits.MAX_DELIVERY
    assert len(delivery(version, mail(3, limits.MAX_FORWARDED_BYTES // 2)).attachments) == 2
    largest = delivery(version, mail(2, limits.MAX_FORWARDED_BYTES))
    assert len(largest.attachments) == 1
    assert len(as_message(largest, "i" * limits.MAX_ID_CHARS).to_bytes()) <= MAX_PLAINTEXT_BYTES
    smallest = [Delivered(f"{index:0256}", b"x" * (limits.MAX_FORWARDED_BYTES // 64)) for index in range(64)]
    full = delivery(version, smallest, Did("did:example:" + "d" * 2000))
    assert len(full.attachments) == 64
    assert len(as_message(full, "i" * limits.MAX_ID_CHARS).to_bytes()) <= MAX_PLAINTEXT_BYTES
    assert read_delivery(as_message(full)) == tuple(smallest)


def test_the_mediator_keeps_to_the_limit_that_is_asked_for() -> None:
    for version in pickup.VERSIONS:
        asked = Message(id="1", type=pickup.DELIVERY_REQUEST[version], body=DeliveryRequest(2, DID).to_body(version))
        _, reply = answer("on demand", asked, Queue(5, 50, waiting=mail(5)), can_live=False, now_ms=0)
        assert reply is not None
        assert (len(reply.attachments), reply.body) == (2, {"recipient_did": DID})


def test_a_limit_over_ours_is_lowered_and_nonsense_refused() -> None:
    assert DeliveryRequest.from_body({"limit": 10**9}, "3.0").limit == limits.MAX_DELIVERY
    for version, body in (
        ("3.0", {"limit": 0}),
        ("3.0", {"message_count_limit": 5}),
        ("4.0", {"limit": 5}),
        ("4.0", {}),
    ):
        with pytest.raises(MalformedMessage):
            DeliveryRequest.from_body(body, version)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        MessagesReceived(tuple(map(str, range(limits.MAX_RECEIVED_IDS + 1)))).to_body()


def test_a_delivered_message_has_an_id() -> None:
    with pytest.raises(MalformedMessage):
        read_delivery(Message(id="1", type="x", attachments=(Attachment.of_base64(b"x"),)))
    with pytest.raises(MalformedMessage):
        read_delivery(Message(id="1", type="x", attachments=(Attachment(id="1", data={"links": []}),)))


def test_live_mode_ends_when_it_is_switched_off() -> None:
    for version in pickup.VERSIONS:
        off = Message(id="1", type=pickup.LIVE_DELIVERY_CHANGE[version], body=LiveDeliveryChange(False).to_body())
        state, reply = answer("live", off, Queue(0, 0), can_live=False, now_ms=0)
        assert reply is not None
        assert (state, reply.body["live_delivery"]) == ("on demand", False)


def test_other_protocols_and_versions_are_not_meant() -> None:
    for message_type in (pickup.STATUS["3.0"], "https://didcomm.org/messagepickup/2.0/status-request", "x"):
        with pytest.raises(UnexpectedMessage):
            read_request(Message(id="1", type=message_type))
    with pytest.raises(UnexpectedMessage):
        Recipient("4.0", state="asking").receive(Message(id="1", type=pickup.STATUS["3.0"], body={"message_count": 1}))


@given(
    st.sampled_from(pickup.VERSIONS),
    st.lists(st.binary(min_size=1, max_size=30), max_size=20),
    st.integers(1, 8),
    st.frozensets(st.integers(0, 19).map(str)),
    st.booleans(),
    st.booleans(),
)
def test_nothing_is_lost_or_lingers(
    version: Version, packed: list[bytes], limit: int, refused: frozenset[str], live: bool, can_live: bool
) -> None:
    """A batch of which nothing can be stored ends a round; else every message is stored once or still there."""
    messages = [Delivered(str(index), data) for index, data in enumerate(packed)]
    mailbox = Mailbox(version, messages, can_live=can_live)
    recipient, stored = drain(mailbox, Recipient(version, limit).begin(live=live), refused=refused)
    assert recipient.state == "idle"
    left = [message.id for message in mailbox.messages]
    assert sorted(stored + left) == sorted(message.id for message in messages)
    assert set(left[:limit]) <= refused


VALUES: Any = (
    st.none() | st.integers() | st.booleans() | st.text(max_size=4) | st.lists(st.text(max_size=3), max_size=3)
)
MESSAGES = st.builds(
    lambda message_type, body, attached: Message(
        id="1",
        type=message_type,
        body=body,
        attachments=(replace(Attachment.of_base64(b"x"), id=attached),) * bool(attached),
    ),
    st.sampled_from([*pickup.MEDIATOR_TYPES, *pickup.RECIPIENT_TYPES, problem_report.PROBLEM, "x"]),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["recipient_did", "total_bytes", "limit", "message_count_limit", "message_id_list"], VALUES
        )
        | {"message_count": st.integers(0, 2), "live_delivery": st.booleans()},
    ),
    st.none() | st.just("1"),
)


@given(
    st.sampled_from(pickup.VERSIONS), st.lists(st.tuples(MESSAGES, st.sampled_from(["", "begin", "confirm", "rest"])))
)
def test_random_messages_never_leave_the_tables(version: Version, events: list[tuple[Message, str]]) -> None:
    recipient, state = Recipient(version), "on demand"
    for message, act in events:
        before = recipient
        try:
            if act == "begin":
                recipient = recipient.begin(live=True).recipient
            elif act:
                recipient = recipient.confirm(["1"] if act == "confirm" else []).recipient
            else:
                recipient = recipient.receive(message).recipient
        except RemoteProtocolError:
            assert recipient is before
        with contextlib.suppress(RemoteProtocolError):
            state, _ = answer(state, message, Queue(0, 0), can_live=True, now_ms=0)
        assert recipient.state in RECIPIENT[version].states
        assert state in MEDIATOR[version].states
