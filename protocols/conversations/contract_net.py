"""Contract net for tasks: a task is broadcast, twins bid, one is awarded it, works, and gets a signed receipt.

The broadcast is public (`protocols.swarm.TaskBroadcast`); all else is private, between the requester and each bidder by
itself. Once the requester knows better how good the work was it may send another receipt in place of the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from identity.cid import Cid
from identity.did import Did
from identity.errors import MalformedCid
from protocols import fields, limits
from protocols.conversations.machine import Table
from protocols.conversations.receipt import Receipt, task_id_of
from protocols.conversations.reply import Reply
from protocols.errors import MalformedMessage, SenderMismatch, UnexpectedMessage
from protocols.message import Message

URI: Final = "https://pagi.ai/task/1.0"
BID: Final = f"{URI}/bid"
AWARD: Final = f"{URI}/award"
REJECT: Final = f"{URI}/reject"
PROGRESS: Final = f"{URI}/progress"
RESULT: Final = f"{URI}/result"
FAILURE: Final = f"{URI}/failure"
RECEIPT: Final = f"{URI}/receipt"

REQUESTER: Final = Table(
    name="task 1.0",
    role="requester",
    uri=URI,
    start="open",
    final=frozenset({"rejected", "expired"}),
    transitions={
        ("open", "receive bid"): "bid",
        ("open", "deadline passed"): "expired",
        ("bid", "receive bid"): "bid",
        ("bid", "send award"): "awarded",
        ("bid", "send reject"): "rejected",
        ("bid", "deadline passed"): "expired",
        ("awarded", "receive progress"): "awarded",
        ("awarded", "receive result"): "delivered",
        ("awarded", "receive failure"): "failed",
        ("awarded", "deadline passed"): "failed",
        ("awarded", "send reject"): "rejected",
        ("delivered", "send receipt"): "closed",
        ("failed", "send receipt"): "closed",
        ("closed", "send receipt"): "closed",
    },
)

WORKER: Final = Table(
    name="task 1.0",
    role="worker",
    uri=URI,
    start="open",
    final=frozenset({"rejected", "expired"}),
    transitions={
        ("open", "send bid"): "bid",
        ("open", "deadline passed"): "expired",
        ("bid", "send bid"): "bid",
        ("bid", "receive award"): "working",
        ("bid", "receive reject"): "rejected",
        ("bid", "deadline passed"): "expired",
        ("working", "send progress"): "working",
        ("working", "send result"): "delivered",
        ("working", "send failure"): "failed",
        ("working", "deadline passed"): "failed",
        ("working", "receive reject"): "rejected",
        ("delivered", "receive receipt"): "closed",
        ("delivered", "receive reject"): "rejected",
        ("failed", "receive receipt"): "closed",
        ("failed", "receive reject"): "rejected",
        ("closed", "receive receipt"): "closed",
    },
)

_TABLES: Final = {"requester": REQUESTER, "worker": WORKER}


@dataclass(frozen=True, slots=True)
class Bid:
    """An offer: how sure the worker is that it can (0 to 1), how long it needs, and what it asks for, if anything."""

    task_id: str
    confidence: float
    eta_s: int
    price: float | None = None

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        body = {"task_id": self.task_id, "confidence": self.confidence, "eta_s": self.eta_s}
        if self.price is not None:
            body["price"] = self.price
        return fields.sendable(Bid.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(
            task_id=task_id_of(body),
            confidence=fields.number(body.get("confidence"), "confidence", 0.0, 1.0),
            eta_s=fields.integer(body.get("eta_s"), "eta_s", 0, limits.MAX_ETA_S),
            price=None if body.get("price") is None else fields.number(body["price"], "price", 0.0, limits.MAX_PRICE),
        )


@dataclass(frozen=True, slots=True)
class Award:
    """The task is the worker's."""

    task_id: str

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        return fields.sendable(Award.from_body, {"task_id": self.task_id})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(task_id_of(body))


@dataclass(frozen=True, slots=True)
class Reject:
    """The bid is not taken, or an award is taken back."""

    task_id: str
    reason: str = ""

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        return fields.sendable(Reject.from_body, {"task_id": self.task_id, "reason": self.reason})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(task_id_of(body), _note(body.get("reason", ""), "reason"))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is, from 0 to 100."""

    task_id: str
    percent: int
    note: str = ""

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        body = {"task_id": self.task_id, "percent": self.percent, "note": self.note}
        return fields.sendable(Progress.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        percent = fields.integer(body.get("percent"), "percent", 0, 100)
        return cls(task_id_of(body), percent, _note(body.get("note", ""), "note"))


@dataclass(frozen=True, slots=True)
class Result:
    """The work. `sources` name what it rests on; `evidence` is the CID of what is too large for a message."""

    task_id: str
    answer: str
    sources: tuple[str, ...] = ()
    evidence: Cid | None = None

    def to_body(self) -> dict[str, Any]:
        """The message body, control characters left out. Raises LocalProtocolError if the receiver would refuse it."""
        body = {"task_id": self.task_id, "answer": fields.clean(self.answer), "sources": list(self.sources)}
        if self.evidence is not None:
            body["evidence"] = str(self.evidence)
        return fields.sendable(Result.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(
            task_id=task_id_of(body),
            answer=fields.text(body.get("answer"), "answer", limits.MAX_ANSWER_BYTES),
            sources=fields.lines(body.get("sources", []), "sources", limits.MAX_SOURCES, limits.MAX_EVIDENCE_CHARS),
            evidence=None if body.get("evidence") is None else _cid(body["evidence"]),
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """The worker could not do it."""

    task_id: str
    reason: str

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        return fields.sendable(Failure.from_body, {"task_id": self.task_id, "reason": self.reason})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(task_id_of(body), _note(body.get("reason"), "reason"))


Body = Bid | Award | Reject | Progress | Result | Failure | Receipt

_KINDS: Final[Mapping[str, type[Body]]] = {
    BID: Bid,
    AWARD: Award,
    REJECT: Reject,
    PROGRESS: Progress,
    RESULT: Result,
    FAILURE: Failure,
    RECEIPT: Receipt,
}
_TYPE_OF: Final[Mapping[type[Body], str]] = {kind: message_type for message_type, kind in _KINDS.items()}

TYPES: Final = tuple(_KINDS)
"""Every private message of the protocol."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One task between a requester and one worker, as one of the two sees it. All its fields can be kept on disk."""

    role: Literal["requester", "worker"]
    task_id: str
    own: Did
    peer: Did
    state: str = "open"

    def receive(self, message: Message) -> tuple["Contract", Body]:
        """Take a message of the other side. Raises RemoteProtocolError and changes nothing."""
        kind = _KINDS.get(message.type)
        if kind is None:
            raise UnexpectedMessage("not a message about a task")
        if message.from_ != self.peer:
            raise SenderMismatch("the message is not from the other side of the task")
        state = _TABLES[self.role].received(self.state, message)
        body = kind.from_body(message.body)
        if body.task_id != self.task_id:
            raise UnexpectedMessage("the message is about another task")
        if isinstance(body, Receipt):
            self._check(body)
        return replace(self, state=state), body

    def send(self, body: Body) -> tuple["Contract", Reply]:
        """Say something to the other side. Raises UnexpectedMessage if it is not due, LocalProtocolError."""
        message_type = _TYPE_OF[type(body)]
        state = _TABLES[self.role].sent(self.state, message_type)
        return replace(self, state=state), Reply(message_type, body.to_body())

    def expire(self) -> "Contract":
        """The deadline has passed. Raises UnexpectedMessage if none ran."""
        return replace(self, state=_TABLES[self.role].after(self.state, "deadline passed"))

    def _check(self, receipt: Receipt) -> None:
        if (receipt.requester, receipt.worker) != (self.peer, self.own):
            raise SenderMismatch("the receipt is between others")
        if self.state != "closed" and (receipt.outcome == "result") != (self.state == "delivered"):
            raise UnexpectedMessage("the receipt says that the task ended otherwise")


def _note(value: object, name: str) -> str:
    return fields.line(value, name, limits.MAX_NOTE_CHARS, min_chars=0)


def _cid(value: object) -> Cid:
    try:
        return Cid.parse(fields.line(value, "evidence", limits.MAX_EVIDENCE_CHARS))
    except MalformedCid as error:
        raise MalformedMessage("'evidence' is not a CID") from error
