"""Contract net: both roles through every way a task can end, receipts, and hostile messages."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.artifacts import sign_artifact
from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_RAW
from protocols import limits
from protocols.conversations import contract_net
from protocols.conversations.contract_net import (
    REQUESTER,
    WORKER,
    Award,
    Bid,
    Body,
    Contract,
    Failure,
    Progress,
    Reject,
    Result,
)
from protocols.conversations.receipt import Receipt
from protocols.errors import (
    ForgedSignature,
    LocalProtocolError,
    MalformedMessage,
    RemoteProtocolError,
    SenderMismatch,
    UnexpectedMessage,
)
from protocols.message import Message

Say = Callable[..., Message]

ADA = KeyPair(bytes((1,)) * 32)
BELA = KeyPair(bytes((2,)) * 32)
REQUESTS, WORKS = did_key(ADA.public), did_key(BELA.public)
TASK = "task-1"
CID = Cid.of(CODEC_RAW, b"evidence")

RECEIPT = Receipt.sign(
    task_id=TASK, requester=REQUESTS, worker=WORKS, outcome="result", quality=0.8, finished=1_700_000_000, sign=ADA.sign
)
BODIES: list[Body] = [
    Bid(TASK, 0.5, 60),
    Bid(TASK, 1.0, 0, 12.5),
    Award(TASK),
    Reject(TASK, "Another was cheaper."),
    Reject(TASK),
    Progress(TASK, 50, "half"),
    Result(TASK, "It is 42.\nI am sure.", ("memory-1",), CID),
    Result(TASK, ""),
    Failure(TASK, "No idea."),
    RECEIPT,
]


class Pair:
    """The two sides of a task, and what goes between them."""

    def __init__(self, say: Say) -> None:
        self.requester = Contract("requester", TASK, REQUESTS, WORKS)
        self.worker = Contract("worker", TASK, WORKS, REQUESTS)
        self._say = say

    def worker_says(self, body: Body) -> None:
        self.worker, reply = self.worker.send(body)
        self.requester, read = self.requester.receive(self._say(reply, by=BELA))
        assert read == body

    def requester_says(self, body: Body) -> None:
        self.requester, reply = self.requester.send(body)
        self.worker, read = self.worker.receive(self._say(reply, by=ADA))
        assert read == body

    @property
    def states(self) -> tuple[str, str]:
        return self.requester.state, self.worker.state


@pytest.fixture
def pair(say: Say) -> Pair:
    return Pair(say)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_a_round_trip(body: Body) -> None:
    assert type(body).from_body(body.to_body()) == body


def test_from_the_bid_to_the_receipt(pair: Pair) -> None:
    pair.worker_says(Bid(TASK, 0.5, 60))
    pair.worker_says(Bid(TASK, 0.9, 30))
    pair.requester_says(Award(TASK))
    pair.worker_says(Progress(TASK, 10))
    pair.worker_says(Progress(TASK, 90))
    pair.worker_says(Result(TASK, "42", (), CID))
    assert pair.states == ("delivered", "delivered")
    pair.requester_says(RECEIPT)
    assert pair.states == ("closed", "closed")
    rated = Receipt.sign(
        task_id=TASK, requester=REQUESTS, worker=WORKS, outcome="result", quality=1, finished=2, sign=ADA.sign
    )
    pair.requester_says(rated)
    assert pair.states == ("closed", "closed")


def test_a_task_that_fails_has_a_receipt_too(pair: Pair) -> None:
    pair.worker_says(Bid(TASK, 0.5, 60))
    pair.requester_says(Award(TASK))
    pair.worker_says(Failure(TASK, "No idea."))
    with pytest.raises(UnexpectedMessage):
        pair.requester_says(RECEIPT)
    failed = Receipt.sign(
        task_id=TASK, requester=REQUESTS, worker=WORKS, outcome="failure", quality=0, finished=1, sign=ADA.sign
    )
    pair.requester = replace(pair.requester, state="failed")
    pair.requester_says(failed)
    assert pair.states == ("closed", "closed")


def test_a_bid_that_is_not_taken_and_an_award_that_is_taken_back(pair: Pair) -> None:
    pair.worker_says(Bid(TASK, 0.5, 60))
    rejected = Pair(pair._say)
    rejected.requester, rejected.worker = pair.requester, pair.worker
    rejected.requester_says(Reject(TASK))
    assert rejected.states == ("rejected", "rejected")
    pair.requester_says(Award(TASK))
    pair.requester_says(Reject(TASK, "Too slow."))
    assert pair.states == ("rejected", "rejected")


def test_the_deadline(pair: Pair) -> None:
    assert pair.requester.expire().state == pair.worker.expire().state == "expired"
    pair.worker_says(Bid(TASK, 0.5, 60))
    assert pair.requester.expire().state == "expired"
    pair.requester_says(Award(TASK))
    assert pair.requester.expire().state == pair.worker.expire().state == "failed"
    with pytest.raises(UnexpectedMessage):
        pair.worker.expire().expire()


def test_what_is_not_due_changes_nothing(pair: Pair, say: Say) -> None:
    for body in (Award(TASK), RECEIPT, Result(TASK, "x"), Progress(TASK, 1)):
        with pytest.raises(UnexpectedMessage):
            pair.worker.send(body)
    for body in (Progress(TASK, 1), Result(TASK, "42"), Award(TASK)):
        with pytest.raises(UnexpectedMessage):
            pair.requester.receive(say(f"{contract_net.URI}/{type(body).__name__.lower()}", body.to_body(), by=BELA))
    assert pair.states == ("open", "open")


def test_others_have_no_say(pair: Pair, say: Say) -> None:
    bid = Bid(TASK, 1.0, 1).to_body()
    with pytest.raises(SenderMismatch):
        pair.requester.receive(say(contract_net.BID, bid, by=KeyPair(bytes((3,)) * 32)))
    with pytest.raises(UnexpectedMessage):
        pair.requester.receive(say(contract_net.BID, Bid("task-2", 1.0, 1).to_body(), by=BELA))
    with pytest.raises(UnexpectedMessage):
        pair.requester.receive(say("https://pagi.ai/task/1.0/ask", {"question": "?"}, by=BELA))
    with pytest.raises(UnexpectedMessage):
        pair.requester.receive(say("https://x.example/task/1.0/bid", bid, by=BELA))


def test_a_receipt_is_between_these_two_and_about_what_happened(pair: Pair, say: Say) -> None:
    worker = replace(pair.worker, state="delivered")
    for change, error in (
        ({"worker": did_key(KeyPair(bytes((3,)) * 32).public)}, SenderMismatch),
        ({"outcome": "failure"}, UnexpectedMessage),
    ):
        fields = {
            "task_id": TASK,
            "requester": REQUESTS,
            "worker": WORKS,
            "outcome": "result",
            "quality": 1,
            "finished": 1,
        }
        receipt = Receipt.sign(**(fields | change), sign=ADA.sign)  # type: ignore[arg-type]
        with pytest.raises(error):
            worker.receive(say(contract_net.RECEIPT, receipt.to_body()))


@pytest.mark.parametrize("quality", [0, 1, 1.0, 0.1 + 0.2])
def test_a_receipt_is_proven_by_its_bytes(quality: float) -> None:
    receipt = Receipt.sign(
        task_id=TASK, requester=REQUESTS, worker=WORKS, outcome="result", quality=quality, finished=1, sign=ADA.sign
    )
    body = receipt.to_body()
    assert Receipt.from_body(body) == receipt
    assert Receipt.from_body(body).block == receipt.block
    assert receipt.cid == Cid.of(CODEC_RAW, receipt.block)
    assert sorted(body["receipt"]["artifact"]) == [
        "finished", "outcome", "quality", "requester", "task_id", "type", "worker"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"quality": 1.0},
        {"worker": REQUESTS},
        {"outcome": "failure"},
        {"finished": 1},
        {"requester": WORKS},
        {"requester": "did:web:a.example"},
    ],
)
def test_a_forged_receipt_is_refused(change: dict[str, Any]) -> None:
    body = RECEIPT.to_body()
    body["receipt"]["artifact"] |= change
    with pytest.raises(ForgedSignature):
        Receipt.from_body(body)


def test_a_receipt_that_its_worker_signed_is_refused() -> None:
    signed = sign_artifact(RECEIPT.artifact, did=WORKS, sign=BELA.sign)
    with pytest.raises(ForgedSignature):
        Receipt.from_json({"did": WORKS, "signature": signed.signature, "artifact": RECEIPT.artifact})
    with pytest.raises(ForgedSignature):
        Receipt.from_json({"did": WORKS, "signature": RECEIPT.signature, "artifact": RECEIPT.artifact})


@pytest.mark.parametrize(
    "change",
    [
        {"type": "task"},
        {"outcome": "done"},
        {"quality": 1.5},
        {"quality": float("nan")},
        {"finished": -1},
        {"requester": "ada"},
        {"task_id": ""},
    ],
)
def test_a_malformed_receipt_is_refused(change: dict[str, Any]) -> None:
    body = RECEIPT.to_body()
    body["receipt"]["artifact"] |= change
    with pytest.raises(MalformedMessage):
        Receipt.from_body(body)
    with pytest.raises(MalformedMessage):
        Receipt.from_body(RECEIPT.to_body() | {"task_id": "another"})


@pytest.mark.parametrize(
    "body",
    [
        Bid("", 0.5, 1),
        Bid("i" * (limits.MAX_ID_CHARS + 1), 0.5, 1),
        Bid(TASK, 1.1, 1),
        Bid(TASK, 0.5, -1),
        Bid(TASK, 0.5, limits.MAX_ETA_S + 1),
        Bid(TASK, 0.5, 1, -1.0),
        Bid(TASK, 0.5, 1, float("inf")),
        Progress(TASK, 101),
        Progress(TASK, 1, "two\nlines"),
        Failure(TASK, "n" * (limits.MAX_NOTE_CHARS + 1)),
        Result(TASK, "a" * (limits.MAX_ANSWER_BYTES + 1)),
        Result(TASK, "", tuple(map(str, range(limits.MAX_SOURCES + 1)))),
        replace(RECEIPT, quality=0.9),
    ],
)
def test_out_of_bounds_cannot_be_sent(body: Body) -> None:
    with pytest.raises(LocalProtocolError):
        body.to_body()


MEMBERS = {
    "task_id": st.just(TASK) | st.text(max_size=3),
    "confidence": st.floats(),
    "eta_s": st.integers(),
    "percent": st.integers(-5, 105),
    "note": st.text(max_size=3),
    "reason": st.text(max_size=3),
    "answer": st.text(max_size=3),
    "evidence": st.just(str(CID)) | st.text(max_size=4),
    "receipt": st.just(RECEIPT.to_body()["receipt"]) | st.dictionaries(st.text(max_size=3), st.none()),
}
MESSAGES = st.builds(
    lambda message_type, body, sender: Message(id="1", type=message_type, body=body, from_=sender),
    st.sampled_from([*contract_net.TYPES, "x"]),
    st.fixed_dictionaries({}, optional=MEMBERS) | st.sampled_from([body.to_body() for body in BODIES]),
    st.sampled_from([REQUESTS, WORKS, None]),
)


@given(st.lists(st.one_of(MESSAGES, st.sampled_from(BODIES), st.just("expire")), max_size=12), st.booleans())
def test_random_messages_never_leave_the_tables(events: list[Any], requests: bool) -> None:
    table = REQUESTER if requests else WORKER
    contract = Contract("requester", TASK, REQUESTS, WORKS) if requests else Contract("worker", TASK, WORKS, REQUESTS)
    for event in events:
        before = contract
        try:
            if event == "expire":
                contract = contract.expire()
            else:
                contract = (contract.receive if isinstance(event, Message) else contract.send)(event)[0]
        except RemoteProtocolError:
            assert contract is before
        assert contract.state in table.states
        if before.state in table.final:
            assert contract is before
