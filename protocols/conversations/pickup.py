"""Message pickup 3.0 and 4.0: messages, states, and what a mediator answers; the recipient is in `pickup_recipient`.

Sources: https://didcomm.org/messagepickup/3.0 and https://didcomm.org/message-pickup/4.0. Version 4.0 renames the
protocol and `limit`, counts milliseconds where 3.0 counts seconds, answers for an empty queue with an empty delivery
where 3.0 sends a status, and answers `messages-received` with nothing. In live mode messages come in deliveries too,
and are confirmed: 4.0 says so, and 3.0 is read so.

Nothing leaves the queue before `messages-received`, so a message can come twice; the receiver knows it by its id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from identity.did import Did
from protocols import fields, limits
from protocols.attachment import Attachment
from protocols.conversations import problem_report
from protocols.conversations.machine import Table
from protocols.conversations.reply import Reply
from protocols.errors import MalformedMessage, UnexpectedMessage
from protocols.message import Message

Version = Literal["3.0", "4.0"]
VERSIONS: Final[tuple[Version, ...]] = ("4.0", "3.0")
"""Both versions, the preferred one first."""

URI: Final[Mapping[Version, str]] = {
    "3.0": "https://didcomm.org/messagepickup/3.0",
    "4.0": "https://didcomm.org/message-pickup/4.0",
}

STATUS_REQUEST: Final[Mapping[Version, str]] = {v: f"{URI[v]}/status-request" for v in VERSIONS}
STATUS: Final[Mapping[Version, str]] = {v: f"{URI[v]}/status" for v in VERSIONS}
DELIVERY_REQUEST: Final[Mapping[Version, str]] = {v: f"{URI[v]}/delivery-request" for v in VERSIONS}
DELIVERY: Final[Mapping[Version, str]] = {v: f"{URI[v]}/delivery" for v in VERSIONS}
MESSAGES_RECEIVED: Final[Mapping[Version, str]] = {v: f"{URI[v]}/messages-received" for v in VERSIONS}
LIVE_DELIVERY_CHANGE: Final[Mapping[Version, str]] = {v: f"{URI[v]}/live-delivery-change" for v in VERSIONS}

MEDIATOR_TYPES: Final = tuple(
    types[v] for types in (STATUS_REQUEST, DELIVERY_REQUEST, MESSAGES_RECEIVED, LIVE_DELIVERY_CHANGE) for v in VERSIONS
)
"""What a mediator answers."""

RECIPIENT_TYPES: Final = tuple(types[v] for types in (STATUS, DELIVERY) for v in VERSIONS)
"""What a recipient gets."""

_VERSION_OF: Final[Mapping[str, Version]] = {uri: version for version, uri in URI.items()}
_LIMIT: Final[Mapping[Version, str]] = {"3.0": "limit", "4.0": "message_count_limit"}
_MS: Final[Mapping[Version, int]] = {"3.0": 1000, "4.0": 1}

_RECIPIENT_STATES: Final = {
    ("away", "send live-delivery-change"): "asking",
    ("away", "send status-request"): "asking",
    ("asking", "receive problem-report"): "asking",
    ("asking", "receive status (empty)"): "idle",
    ("asking", "receive status (some)"): "fetching",
    ("asking", "receive delivery (some)"): "storing",
    ("fetching", "receive delivery (some)"): "storing",
    ("fetching", "receive delivery (empty)"): "idle",
    ("fetching", "receive status (empty)"): "idle",
    ("fetching", "receive status (some)"): "fetching",
    ("storing", "receive delivery (some)"): "storing",
    ("storing", "receive delivery (empty)"): "storing",
    ("storing", "receive status (empty)"): "storing",
    ("storing", "receive status (some)"): "storing",
    ("storing", "send messages-received"): "fetching",
    ("storing", "nothing could be stored"): "idle",
    ("idle", "send status-request"): "asking",
    ("idle", "receive delivery (some)"): "taking",
    ("idle", "receive delivery (empty)"): "idle",
    ("idle", "receive status (empty)"): "idle",
    ("idle", "receive status (some)"): "fetching",
    ("taking", "receive delivery (some)"): "taking",
    ("taking", "receive delivery (empty)"): "taking",
    ("taking", "receive status (empty)"): "taking",
    ("taking", "receive status (some)"): "storing",
    ("taking", "send messages-received"): "idle",
    ("taking", "nothing could be stored"): "idle",
}

_MEDIATOR_STATES: Final = {
    ("on demand", "receive status-request"): "on demand",
    ("on demand", "receive delivery-request"): "on demand",
    ("on demand", "receive messages-received"): "on demand",
    ("on demand", "receive live-delivery-change (on)"): "live",
    ("on demand", "receive live-delivery-change (off)"): "on demand",
    ("on demand", "connection closed"): "closed",
    ("live", "receive status-request"): "live",
    ("live", "receive delivery-request"): "live",
    ("live", "receive messages-received"): "live",
    ("live", "receive live-delivery-change (on)"): "live",
    ("live", "receive live-delivery-change (off)"): "on demand",
    ("live", "send delivery"): "live",
    ("live", "connection closed"): "closed",
}

RECIPIENT: Final[Mapping[Version, Table]] = {
    version: Table(
        name=f"messagepickup {version}", role="recipient", uri=uri, start="away", transitions=_RECIPIENT_STATES
    )
    for version, uri in URI.items()
}
MEDIATOR: Final[Mapping[Version, Table]] = {
    version: Table(
        name=f"messagepickup {version}",
        role="mediator",
        uri=uri,
        start="on demand",
        final=frozenset({"closed"}),
        transitions=_MEDIATOR_STATES,
    )
    for version, uri in URI.items()
}
"""One connection of a recipient: live mode ends with it."""


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Asks how many messages wait, all or those to one of the recipient's DIDs."""

    recipient_did: Did | None = None

    def to_body(self) -> dict[str, Any]:
        """The message body."""
        return _about(self.recipient_did)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(_recipient_did(body))


@dataclass(frozen=True, slots=True)
class Status:
    """How many messages wait. What is None was not said; `longest_waited_s` is in version 3.0 only."""

    message_count: int
    recipient_did: Did | None = None
    total_bytes: int | None = None
    oldest_ms: int | None = None
    newest_ms: int | None = None
    longest_waited_s: int | None = None
    live_delivery: bool | None = None

    def to_body(self, version: Version) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        unit = _MS[version]
        members = {
            "message_count": self.message_count,
            "total_bytes": self.total_bytes,
            "oldest_received_time": None if self.oldest_ms is None else self.oldest_ms // unit,
            "newest_received_time": None if self.newest_ms is None else self.newest_ms // unit,
            "longest_waited_seconds": self.longest_waited_s if version == "3.0" else None,
            "live_delivery": self.live_delivery,
        }
        body = _about(self.recipient_did) | {name: value for name, value in members.items() if value is not None}
        return fields.sendable(lambda built: Status.from_body(built, version), body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any], version: Version) -> Self:
        """Read a message body. Raises MalformedMessage."""
        unit = _MS[version]

        def count(name: str, scale: int = 1) -> int | None:
            value = body.get(name)
            return None if value is None else scale * fields.integer(value, name, 0, fields.MAX_SAFE_INTEGER // scale)

        live = body.get("live_delivery")
        return cls(
            message_count=fields.integer(body.get("message_count"), "message_count", 0),
            recipient_did=_recipient_did(body),
            total_bytes=count("total_bytes"),
            oldest_ms=count("oldest_received_time", unit),
            newest_ms=count("newest_received_time", unit),
            longest_waited_s=count("longest_waited_seconds"),
            live_delivery=None if live is None else fields.flag(live, "live_delivery"),
        )


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """Asks for at most `limit` messages, the oldest first, all or those to one of the recipient's DIDs."""

    limit: int
    recipient_did: Did | None = None

    def to_body(self, version: Version) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        body = {_LIMIT[version]: self.limit} | _about(self.recipient_did)
        return fields.sendable(lambda built: DeliveryRequest.from_body(built, version), body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any], version: Version) -> Self:
        """Read a message body; a limit over what a mediator delivers at once is lowered. Raises MalformedMessage."""
        limit = fields.integer(body.get(_LIMIT[version]), _LIMIT[version], 1)
        return cls(min(limit, limits.MAX_DELIVERY), _recipient_did(body))


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message out of a queue: what its mediator calls it, and the packed message."""

    id: str
    packed: bytes


def delivery(version: Version, messages: Sequence[Delivered], recipient_did: Did | None = None) -> Reply:
    """The message that delivers these, or as many of the first as fit: also what live mode sends by itself."""
    chosen: list[Attachment] = []
    room = limits.MAX_FORWARDED_BYTES
    for message in messages[: limits.MAX_DELIVERY]:
        room -= len(message.packed)
        if room < 0 and chosen:
            break
        chosen.append(replace(Attachment.of_base64(message.packed), id=message.id))
    return Reply(DELIVERY[version], _about(recipient_did), tuple(chosen))


def read_delivery(message: Message) -> tuple[Delivered, ...]:
    """What a delivery brings. Raises MalformedMessage."""
    return tuple(_delivered(attachment) for attachment in message.attachments)


@dataclass(frozen=True, slots=True)
class MessagesReceived:
    """These are safe with the recipient: the mediator may forget them."""

    ids: tuple[str, ...]

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        return fields.sendable(MessagesReceived.from_body, {"message_id_list": list(self.ids)})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        ids = body.get("message_id_list")
        return cls(fields.lines(ids, "message_id_list", limits.MAX_RECEIVED_IDS, limits.MAX_ID_CHARS))


@dataclass(frozen=True, slots=True)
class LiveDeliveryChange:
    """Switches live mode: whether what arrives from now on is delivered at once."""

    live_delivery: bool

    def to_body(self) -> dict[str, Any]:
        """The message body."""
        return {"live_delivery": self.live_delivery}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(fields.flag(body.get("live_delivery"), "live_delivery"))


Request = StatusRequest | DeliveryRequest | MessagesReceived | LiveDeliveryChange


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for the one who asks (for the `recipient_did` alone, if the request names one), oldest first.

    `waiting` needs to hold no more than the request's limit, and nothing unless messages are asked for.
    """

    message_count: int
    total_bytes: int
    oldest_ms: int | None = None
    newest_ms: int | None = None
    waiting: Sequence[Delivered] = ()


def read_request(message: Message) -> tuple[Version, Request]:
    """What a recipient asks for: what is received is to be removed before `answer`. Raises RemoteProtocolError."""
    base, _, name = message.type.rpartition("/")
    version = _VERSION_OF.get(base)
    if version is not None:
        match name:
            case "status-request":
                return version, StatusRequest.from_body(message.body)
            case "delivery-request":
                return version, DeliveryRequest.from_body(message.body, version)
            case "messages-received":
                return version, MessagesReceived.from_body(message.body)
            case "live-delivery-change":
                return version, LiveDeliveryChange.from_body(message.body)
    raise UnexpectedMessage("not what a recipient asks a mediator in message pickup 3.0 or 4.0")


def answer(state: str, message: Message, queue: Queue, *, can_live: bool, now_ms: int) -> tuple[str, Reply | None]:
    """A mediator's answer to one of MEDIATOR_TYPES, and the state of the recipient's connection then.

    `can_live` is whether the connection stays open. Raises UnexpectedMessage or MalformedMessage.
    """
    version, request = read_request(message)
    about, remark = None, ""
    if isinstance(request, LiveDeliveryChange):
        if request.live_delivery and not can_live:
            comment = "Connection does not support Live Delivery"
            code = problem_report.LIVE_MODE_NOT_SUPPORTED
            return state, problem_report.report(code, comment, pthid=message.thread, ack=(message.id,))
        remark = "on" if request.live_delivery else "off"
    elif not isinstance(request, MessagesReceived):
        about = request.recipient_did
    state = MEDIATOR[version].received(state, message, remark)
    if isinstance(request, MessagesReceived) and version == "4.0":
        return state, None
    if isinstance(request, DeliveryRequest) and (queue.waiting or version == "4.0"):
        return state, delivery(version, queue.waiting[: request.limit], about)
    return state, _status(version, queue, about, live=state == "live", now_ms=now_ms)


def _status(version: Version, queue: Queue, about: Did | None, *, live: bool, now_ms: int) -> Reply:
    waited = None if queue.oldest_ms is None else max(0, now_ms - queue.oldest_ms) // 1000
    status = Status(
        queue.message_count, about, queue.total_bytes, queue.oldest_ms, queue.newest_ms, waited, live_delivery=live
    )
    return Reply(STATUS[version], status.to_body(version))


def _delivered(attachment: Attachment) -> Delivered:
    if attachment.id is None:
        raise MalformedMessage("a delivered message has no id to confirm it by")
    return Delivered(attachment.id, attachment.content())


def _about(recipient_did: Did | None) -> dict[str, Any]:
    return {} if recipient_did is None else {"recipient_did": recipient_did}


def _recipient_did(body: Mapping[str, Any]) -> Did | None:
    value = body.get("recipient_did")
    return None if value is None else fields.did(value, "recipient_did")
