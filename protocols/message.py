"""The one message model: a DIDComm v2.1 plaintext message (section "Plaintext Message Structure").

A value, its bytes and its time checks. Who really sent it is for the envelope to say: never trust `from_` by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from identity.did import Did, parse_did
from identity.errors import MalformedDid
from protocols.attachment import Attachment, read_attachments
from protocols.errors import ClockSkew, Expired, LocalProtocolError, MalformedMessage, MessageTooLarge
from protocols.jsonguard import parse_json
from protocols.limits import (
    CLOCK_SKEW_S,
    MAX_ACKS,
    MAX_FROM_PRIOR_CHARS,
    MAX_ID_CHARS,
    MAX_JSON_DEPTH,
    MAX_PLAINTEXT_BYTES,
    MAX_RECIPIENTS,
    MAX_URI_CHARS,
    REPLAY_WINDOW_S,
)

__all__ = ["EMPTY", "PLAIN_TYP", "Attachment", "Message", "ReturnRoute", "check_times", "parse_message", "read_message"]

EMPTY: Final = "https://didcomm.org/empty/1.0/empty"
"""The type of a message that only carries headers, such as an acknowledgement."""

ReturnRoute = Literal["none", "all", "thread"]
"""Which messages the sender takes back over the connection that this one came by (DIDComm v2.1, "Return Route")."""

PLAIN_TYP: Final = "application/didcomm-plain+json"

_TYPS: Final = (None, PLAIN_TYP, "didcomm-plain+json")
"""RFC 7515, section 4.1.9, lets a sender leave out `application/`."""

_MAX_TIME_S: Final = 1 << 53
"""Beyond this a number is no longer exact in every JSON implementation; it is 285 million years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A plaintext message. Times are seconds since 1970 (UTC). `body` belongs to the protocol that `type` names.

    `please_ack` names the messages whose receipt the sender wants confirmed, `""` being this one; `ack` confirms those
    that it names (section "ACKs"). `from_prior` is a JWT that `protocols.didcomm.from_prior` reads.
    """

    id: str
    type: str
    body: Mapping[str, Any] = field(default_factory=dict)
    from_: Did | None = None
    to: tuple[Did, ...] = ()
    thid: str | None = None
    pthid: str | None = None
    created_time: int | None = None
    expires_time: int | None = None
    attachments: tuple[Attachment, ...] = ()
    please_ack: tuple[str, ...] = ()
    ack: tuple[str, ...] = ()
    return_route: ReturnRoute | None = None
    from_prior: str | None = None

    @property
    def thread(self) -> str:
        """The thread that the message belongs to: one without `thid` begins its own."""
        return self.thid or self.id

    def to_bytes(self) -> bytes:
        """The message as JSON.

        Raises LocalProtocolError if the body is not JSON, and MessageTooLarge over `limits.MAX_PLAINTEXT_BYTES`.
        """
        headers: dict[str, object] = {"id": self.id, "typ": PLAIN_TYP, "type": self.type, "body": self.body}
        optional = {
            "from": self.from_,
            "to": self.to or None,
            "thid": self.thid,
            "pthid": self.pthid,
            "created_time": self.created_time,
            "expires_time": self.expires_time,
            "please_ack": self.please_ack or None,
            "ack": self.ack or None,
            "return_route": self.return_route,
            "from_prior": self.from_prior,
            "attachments": [attachment.to_json() for attachment in self.attachments] or None,
        }
        headers.update((name, value) for name, value in optional.items() if value is not None)
        try:
            data = orjson.dumps(headers)
        except orjson.JSONEncodeError as error:
            raise LocalProtocolError(f"the message is not JSON: {error}") from error
        if len(data) > MAX_PLAINTEXT_BYTES:
            raise MessageTooLarge(f"a message of {len(data)} bytes; {MAX_PLAINTEXT_BYTES} are allowed")
        return data


def parse_message(data: bytes) -> Message:
    """Read a plaintext message from its JSON. Raises MalformedMessage, TooLarge or TooDeep."""
    return read_message(parse_json(data, max_bytes=MAX_PLAINTEXT_BYTES, max_depth=MAX_JSON_DEPTH))


def read_message(headers: object) -> Message:
    """Read a plaintext message from parsed JSON. Headers that are unknown here are dropped, as DIDComm v2.1 asks.

    Raises MalformedMessage.
    """
    if not isinstance(headers, dict):
        raise MalformedMessage("a message is a JSON object")
    if headers.get("typ") not in _TYPS:
        raise MalformedMessage("`typ` is not that of a DIDComm plaintext message")
    body = headers.get("body", {})
    if not isinstance(body, dict):
        raise MalformedMessage("`body` is not an object")
    sender = headers.get("from")
    return Message(
        id=_text(headers, "id", MAX_ID_CHARS),
        type=_text(headers, "type", MAX_URI_CHARS),
        body=body,
        from_=None if sender is None else _did(sender),
        to=_recipients(headers.get("to")),
        thid=_optional_text(headers, "thid"),
        pthid=_optional_text(headers, "pthid"),
        created_time=_time(headers, "created_time"),
        expires_time=_time(headers, "expires_time"),
        attachments=read_attachments(headers.get("attachments")),
        please_ack=_ids(headers, "please_ack", min_chars=0),
        ack=_ids(headers, "ack", min_chars=1),
        return_route=_return_route(headers.get("return_route")),
        from_prior=_optional_text(headers, "from_prior", MAX_FROM_PRIOR_CHARS),
    )


def check_times(message: Message, now_s: int) -> None:
    """Refuse a message that is from the future, past its end or older than the ids that we remember.

    Raises ClockSkew or Expired. A message without `created_time` passes: only its id guards it against replay.
    """
    created, expires = message.created_time, message.expires_time
    if created is not None and created > now_s + CLOCK_SKEW_S:
        raise ClockSkew(f"the message was made {created - now_s} s in the future")
    if created is not None and created < now_s - REPLAY_WINDOW_S:
        raise Expired(f"the message is {now_s - created} s old")
    if expires is not None and expires <= now_s:
        raise Expired(f"the message expired {now_s - expires} s ago")


def _text(headers: Mapping[str, object], name: str, max_chars: int) -> str:
    value = headers.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= max_chars:
        raise MalformedMessage(f"`{name}` is not a text of 1 to {max_chars} characters")
    return value


def _optional_text(headers: Mapping[str, object], name: str, max_chars: int = MAX_ID_CHARS) -> str | None:
    return None if headers.get(name) is None else _text(headers, name, max_chars)


def _ids(headers: Mapping[str, object], name: str, *, min_chars: int) -> tuple[str, ...]:
    value = headers.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ACKS:
        raise MalformedMessage(f"`{name}` is not a list of at most {MAX_ACKS} message ids")
    if not all(isinstance(entry, str) and min_chars <= len(entry) <= MAX_ID_CHARS for entry in value):
        raise MalformedMessage(f"`{name}` holds something else than message ids")
    return tuple(value)


def _return_route(value: object) -> ReturnRoute | None:
    if value is None or value == "none" or value == "all" or value == "thread":
        return value
    raise MalformedMessage("`return_route` is none of none, all and thread")


def _did(value: object) -> Did:
    if not isinstance(value, str):
        raise MalformedMessage("a DID is text")
    try:
        return parse_did(value)
    except MalformedDid as error:
        raise MalformedMessage("`from` and `to` hold DIDs without a fragment, path or query") from error


def _recipients(value: object) -> tuple[Did, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_RECIPIENTS:
        raise MalformedMessage(f"`to` is not a list of at most {MAX_RECIPIENTS} DIDs")
    return tuple(_did(entry) for entry in value)


def _time(headers: Mapping[str, object], name: str) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_TIME_S:
        raise MalformedMessage(f"`{name}` is not a number of seconds since 1970")
    return value
