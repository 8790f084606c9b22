"""Routing 2.0: `forward`, by which a mediator passes on what it cannot read (DIDComm v2.1, "Routing Protocol 2.0").

A packed message is wrapped once for each mediator on its way, the last one's wrapping innermost. Wrappings are
anonymous: a mediator learns who is written to, not who writes. It answers nothing, and honours no `please_ack`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from identity.did import DidDocument, did_of_url, resolve_did_key
from identity.errors import MalformedDid
from protocols import fields, limits
from protocols.attachment import Attachment
from protocols.conversations.machine import Table
from protocols.didcomm.agreement import Entropy
from protocols.didcomm.envelope import ENCRYPTED, Resolve, pack_anoncrypt
from protocols.errors import LocalProtocolError, MalformedMessage, MessageTooLarge, TooLarge, UnusableRecipient
from protocols.jsonguard import parse_json
from protocols.message import Message

URI: Final = "https://didcomm.org/routing/2.0"
FORWARD: Final = f"{URI}/forward"

_ID_BYTES: Final = 16

SENDER: Final = Table(
    name="routing 2.0",
    role="sender",
    uri=URI,
    start="idle",
    final=frozenset({"handed over"}),
    transitions={("idle", "send forward"): "handed over"},
)

MEDIATOR: Final = Table(
    name="routing 2.0",
    role="mediator",
    uri=URI,
    start="idle",
    final=frozenset({"dropped", "taken"}),
    transitions={
        ("idle", "receive forward"): "read",
        ("read", "`next` is in nobody's keylist"): "dropped",
        ("read", "the queue is full"): "dropped",
        ("read", "it is on disk"): "queued",
        ("queued", "the recipient confirmed it"): "taken",
        ("queued", "deadline passed"): "dropped",
    },
)

RECIPIENT: Final = Table(
    name="routing 2.0",
    role="recipient",
    uri=URI,
    start="idle",
    final=frozenset({"received"}),
    transitions={("idle", "receive what was forwarded"): "received"},
)


@dataclass(frozen=True, slots=True)
class Forward:
    """Asks to pass the attached message on to `next`: a DID, or a key of one."""

    next: str

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        return fields.sendable(Forward.from_body, {"next": self.next})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        following = fields.line(body.get("next"), "next", limits.MAX_KID_CHARS)
        try:
            did_of_url(following)
        except MalformedDid as error:
            raise MalformedMessage("'next' is neither a DID nor a key of one") from error
        return cls(following)


def wrap(
    packed: bytes,
    *,
    next_did: str,
    routing: Sequence[str | DidDocument],
    entropy: Entropy,
    resolve: Resolve = resolve_did_key,
    expires_time: int | None = None,
) -> bytes:
    """`packed` for `next_did`, wrapped for the mediators in `routing`, who get it in this order.

    A mediator is a document, or the DID or key id that a service's `routingKeys` name, which `resolve` finds. Raises
    UnusableRecipient, MessageTooLarge, LocalProtocolError; what `resolve` raises passes through.
    """
    if len(routing) > limits.MAX_HOPS:
        raise UnusableRecipient(f"{len(routing)} mediators on the way; {limits.MAX_HOPS} are allowed")
    following = next_did
    for hop in reversed(routing):
        if len(packed) > limits.MAX_FORWARDED_BYTES:
            raise MessageTooLarge(f"{len(packed)} bytes for a mediator; it takes {limits.MAX_FORWARDED_BYTES}")
        document = hop if isinstance(hop, DidDocument) else _hop(hop, resolve)
        forward = Message(
            id=entropy(_ID_BYTES).hex(),
            type=FORWARD,
            body=Forward(following).to_body(),
            to=(document.did,),
            expires_time=expires_time,
            attachments=(Attachment.of_json(_as_json(packed), media_type=ENCRYPTED),),
        )
        packed = pack_anoncrypt(forward, recipients=(document,), entropy=entropy)
        following = document.did if isinstance(hop, DidDocument) else hop
    return packed


def read_forward(message: Message) -> tuple[str, bytes]:
    """Whom a `forward` is for, a DID or a key of one, and the packed message. Raises MalformedMessage, TooLarge.

    Read as others write it too: without `to`, and with an attachment that has nothing but its data. One message is
    passed on for each forward.
    """
    if message.type != FORWARD:
        raise MalformedMessage("not a forward")
    following = Forward.from_body(message.body).next
    if len(message.attachments) != 1:
        raise MalformedMessage("a forward has one attachment")
    packed = message.attachments[0].content()
    if len(packed) > limits.MAX_FORWARDED_BYTES:
        raise TooLarge(f"{len(packed)} bytes to pass on; {limits.MAX_FORWARDED_BYTES} are taken")
    return following, packed


def _hop(key: str, resolve: Resolve) -> DidDocument:
    """The document behind a routing key, with only that key to encrypt to if one is named."""
    try:
        did = did_of_url(key)
    except MalformedDid as error:
        raise UnusableRecipient("a routing key is neither a DID nor a key of one") from error
    document = resolve(did)
    if key == did:
        return document
    return replace(document, key_agreement=tuple(method for method in document.key_agreement if method.id == key))


def _as_json(packed: bytes) -> object:
    """A packed message is JSON: as such it grows by a third with each wrapping, in base64 by 7/9."""
    try:
        return parse_json(packed, max_bytes=limits.MAX_DIDCOMM_BYTES, max_depth=limits.MAX_JSON_DEPTH)
    except MalformedMessage as error:
        raise LocalProtocolError("only a packed message can be forwarded") from error
