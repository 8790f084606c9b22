"""Pinning 1.0, ours: a twin asks another one, or its relay, to keep content for it.

Each question is answered at once with how things stand, and may be put again: a host that is asked for what it keeps
already says so. How a transfer ends is found by asking later; the host keeps it on disk, so nothing of it is lost with
a message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from identity.cid import Cid
from identity.errors import MalformedCid
from protocols import fields, limits
from protocols.conversations import problem_report
from protocols.conversations.machine import Table
from protocols.conversations.reply import Reply
from protocols.errors import MalformedMessage
from protocols.message import Message

URI: Final = "https://pagi.ai/pinning/1.0"
PIN: Final = f"{URI}/pin"
UNPIN: Final = f"{URI}/unpin"
LIST: Final = f"{URI}/list"
STATUS: Final = f"{URI}/status"

HOST_TYPES: Final = (PIN, UNPIN, LIST)
"""What a host answers."""

REFUSED: Final = "e.p.req.not-a-client"
"""The problem code for whom nothing is kept."""

State = Literal["queued", "pinning", "pinned", "failed", "unknown"]
"""How a pin stands with its host. `unknown`: it keeps none of this CID for the client, or no longer."""

STATES: Final[tuple[State, ...]] = ("queued", "pinning", "pinned", "failed", "unknown")

CLIENT: Final = Table(
    name="pinning 1.0",
    role="client",
    uri=URI,
    start="idle",
    final=frozenset({"answered", "refused", "unanswered"}),
    transitions={
        ("idle", "send pin"): "waiting",
        ("idle", "send unpin"): "waiting",
        ("idle", "send list"): "waiting",
        ("waiting", "receive status"): "answered",
        ("waiting", "receive problem-report"): "refused",
        ("waiting", "deadline passed"): "unanswered",
    },
)

HOST: Final = Table(
    name="pinning 1.0",
    role="host",
    uri=URI,
    start="idle",
    final=frozenset({"done"}),
    transitions={
        ("idle", "receive pin"): "asked",
        ("idle", "receive unpin"): "asked",
        ("idle", "receive list"): "asked",
        ("asked", "send status"): "done",
        ("asked", "send problem-report"): "done",
    },
)


@dataclass(frozen=True, slots=True)
class Pin:
    """Asks to keep all that is under a CID. `name` is what it is for, in the client's words."""

    cid: Cid
    name: str | None = None

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the host would refuse it."""
        body = {"cid": str(self.cid)} | ({} if self.name is None else {"name": self.name})
        return fields.sendable(Pin.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        name = body.get("name")
        return cls(
            _cid(body.get("cid")), None if name is None else fields.line(name, "name", limits.MAX_PIN_NAME_CHARS)
        )


@dataclass(frozen=True, slots=True)
class About:
    """The CIDs that an UNPIN ends, or that a LIST asks about; a LIST with none asks for the newest pins."""

    cids: tuple[Cid, ...] = ()

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the host would refuse it."""
        return fields.sendable(About.from_body, {"cids": [str(cid) for cid in self.cids]})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(tuple(map(_cid, fields.sequence(body.get("cids"), "cids", limits.MAX_HOSTED_ASKED))))


@dataclass(frozen=True, slots=True)
class Stand:
    """How one pin stands, and why if it failed. `size_bytes` is what it counts against the client's share."""

    cid: Cid
    state: State
    size_bytes: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How some pins stand, and how much of its share the client has used."""

    pins: tuple[Stand, ...]
    used_bytes: int
    quota_bytes: int

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the client would refuse it."""
        pins = [
            {"cid": str(pin.cid), "state": pin.state, "size_bytes": pin.size_bytes}
            | ({} if pin.reason is None else {"reason": pin.reason})
            for pin in self.pins
        ]
        body = {"pins": pins, "used_bytes": self.used_bytes, "quota_bytes": self.quota_bytes}
        return fields.sendable(Status.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        items = fields.sequence(body.get("pins"), "pins", limits.MAX_HOSTED_ASKED)
        return cls(
            tuple(_stand(fields.mapping(item, "pins")) for item in items),
            fields.integer(body.get("used_bytes"), "used_bytes", 0),
            fields.integer(body.get("quota_bytes"), "quota_bytes", 0),
        )


def status(pins: Sequence[Stand], *, used_bytes: int, quota_bytes: int) -> Reply:
    """The host's answer."""
    return Reply(STATUS, Status(tuple(pins), used_bytes, quota_bytes).to_body())


def refused(message: Message) -> Reply:
    """The host's answer to somebody for whom it keeps nothing."""
    return problem_report.report(REFUSED, "Nothing is kept here for you.", pthid=message.thread)


def read_status(message: Message) -> Status | None:
    """What the host says; None if the message says nothing of it, such as a problem report. Raises MalformedMessage."""
    return Status.from_body(message.body) if message.type == STATUS else None


def _cid(value: object) -> Cid:
    try:
        return Cid.parse(fields.line(value, "cid", 128))
    except MalformedCid as error:
        raise MalformedMessage("'cid' is no CID") from error


def _stand(item: Mapping[str, object]) -> Stand:
    state = next((known for known in STATES if known == item.get("state")), None)
    if state is None:
        raise MalformedMessage(f"'state' is none of {', '.join(STATES)}")
    reason = item.get("reason")
    return Stand(
        cid=_cid(item.get("cid")),
        state=state,
        size_bytes=fields.integer(item.get("size_bytes"), "size_bytes", 0),
        reason=None if reason is None else fields.line(reason, "reason", limits.MAX_PINNING_REASON_CHARS),
    )
