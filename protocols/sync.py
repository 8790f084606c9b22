"""Catch-up, `/pagi/sync/1.0`: a twin that missed gossip asks a peer for the signed messages it holds.

One request, one response, both canonical dag-cbor. The responder keeps only the newest message of each
(type, author, subject), so that `after=0` gives the current picture. The cursor is the responder's own and means
nothing to anybody else. Every message is verified by its own signature: the responder is not trusted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from protocols import dag_cbor, fields, limits
from protocols.errors import MalformedMessage

PROTOCOL: Final = "/pagi/sync/1.0"

_RESPONSE_OVERHEAD_BYTES: Final = 64
"""Keys, cursor and list head of a response, rounded up."""

_MESSAGE_OVERHEAD_BYTES: Final = 5
"""The dag-cbor head of one byte string."""

_DEPTH: Final = 2


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """Asks for at most `limit` messages whose cursor at the responder is above `after`."""

    after: int
    limit: int

    def encode(self) -> bytes:
        """The request's bytes. Raises LocalProtocolError if it is out of bounds."""
        return fields.sendable(SyncRequest.decode, dag_cbor.encode({"after": self.after, "limit": self.limit}))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a request. Raises RemoteProtocolError."""
        value = dag_cbor.decode(data, max_bytes=limits.MAX_SYNC_REQUEST_BYTES, max_depth=_DEPTH)
        body = fields.mapping(value, "request")
        return cls(
            after=fields.integer(body.get("after"), "after", 0),
            limit=fields.integer(body.get("limit"), "limit", 1, limits.MAX_SYNC_MESSAGES),
        )


@dataclass(frozen=True, slots=True)
class SyncResponse:
    """Signed DIDComm messages (their JSON bytes); `next` is the cursor to go on from, `more` if there is more now."""

    messages: tuple[bytes, ...]
    next: int
    more: bool

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[int, bytes]], *, after: int, more: bool) -> Self:
        """As many of `rows` (cursor, signed message; ascending) as one response may hold.

        `more` says whether the responder holds rows behind these; it becomes true if not all of them fit.
        """
        messages: list[bytes] = []
        room = limits.MAX_SYNC_RESPONSE_BYTES - _RESPONSE_OVERHEAD_BYTES
        for cursor, message in rows:
            room -= len(message) + _MESSAGE_OVERHEAD_BYTES
            if room < 0 or len(messages) == limits.MAX_SYNC_MESSAGES:
                more = True
                break
            messages.append(message)
            after = cursor
        return cls(tuple(messages), after, more)

    def encode(self) -> bytes:
        """The response's bytes. Raises LocalProtocolError if it is out of bounds."""
        data = dag_cbor.encode({"messages": list(self.messages), "next": self.next, "more": self.more})
        return fields.sendable(SyncResponse.decode, data)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a response. Raises RemoteProtocolError. The messages in it are not verified yet."""
        value = dag_cbor.decode(data, max_bytes=limits.MAX_SYNC_RESPONSE_BYTES, max_depth=_DEPTH)
        body = fields.mapping(value, "response")
        messages = fields.sequence(body.get("messages"), "messages", limits.MAX_SYNC_MESSAGES)
        return cls(
            messages=tuple(_signed_json(message) for message in messages),
            next=fields.integer(body.get("next"), "next", 0),
            more=fields.flag(body.get("more"), "more"),
        )


def _signed_json(message: object) -> bytes:
    """A JSON object's bytes; what begins with `{` can also not be taken for the bytes of a link."""
    if not isinstance(message, bytes) or not message.startswith(b"{") or len(message) > limits.MAX_GOSSIP_BYTES:
        raise MalformedMessage(f"'messages' holds what is not a JSON object of at most {limits.MAX_GOSSIP_BYTES} bytes")
    return message
