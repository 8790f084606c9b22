"""DIDComm messages: send one, read what came and what is on its way; ask who is there, and what it can do."""

import time
from typing import Annotated

from pydantic import Field

from identity.cid import Cid
from identity.did import Did, parse_did
from node.api.router import Routes
from node.api.wire import Integral, JsonObject, OneLine, PageQuery, Wire, page
from node.clock import rfc3339
from node.errors import NoAnswer, OwnDid
from node.twin import Twin
from protocols.conversations import discover_features, problem_report, trust_ping
from protocols.conversations.discover_features import Disclosures, Queries, Query
from protocols.didcomm.envelope import Form
from protocols.message import Attachment, Message, parse_message
from storage.mailbox import InboxRow
from storage.outbox import OutboxRow

routes = Routes("didcomm")

DidText = Annotated[str, Field(min_length=1, max_length=2048)]
IdText = Annotated[str, Field(min_length=1, max_length=128), OneLine]
Seconds = Annotated[float, Field(gt=0, le=60)]


FileName = Annotated[
    str, Field(min_length=1, max_length=255, pattern=r"^([^/\\.]|\.[^/\\.]|\.\.[^/\\])[^/\\]*$"), OneLine
]
"""Names of files, without those that stand for folders."""


class AttachmentIn(Wire):
    """Content of the block store, by its CID: the recipient fetches it over IPFS."""

    cid: Annotated[str, Field(min_length=1, max_length=256)]
    media_type: Annotated[str, Field(min_length=1, max_length=255), OneLine] | None = None
    filename: FileName | None = None
    byte_count: Annotated[int, Field(ge=0, le=2**53), Integral] | None = None


class Send(Wire):
    """`wait_s` makes the answer wait, at most so long, until the message is delivered; `pack` names its envelopes."""

    to: DidText
    type: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[a-z][a-z0-9+.-]*:\S+$"), OneLine]
    body: JsonObject
    thid: IdText | None = None
    pthid: IdText | None = None
    attachments: Annotated[list[AttachmentIn], Field(max_length=16)] = Field(default_factory=list)
    please_ack: bool = False
    expires_s: Annotated[int, Field(ge=1, le=31_536_000), Integral] | None = None
    pack: Form = "authcrypt"
    wait_s: Annotated[float, Field(ge=0, le=60)] = 0.0


class Sent(Wire):
    id: str
    status: str


class AttachmentOut(Wire):
    """What is attached. `cid` is null where the content is in the message itself, or is to be had from elsewhere."""

    id: str | None
    cid: str | None
    media_type: str | None
    filename: str | None
    format: str | None
    byte_count: int | None


class MessageOut(Wire):
    """A message. `received_time` is null for ours; `attempts` and `error` are of deliveries, and null for others'.

    `via` is what the message came or went by, null while it did not go. Of ours, `sent_time` is when a mediator or a
    socket took it that confirms nothing, `delivered_time` when the recipient had it on its disk, as far as it said so.
    """

    id: str
    from_: Annotated[str | None, Field(alias="from")]
    to: str
    type: str
    body: JsonObject
    thid: str | None
    pthid: str | None
    attachments: list[AttachmentOut]
    created_time: str | None
    received_time: str | None
    sent_time: str | None
    delivered_time: str | None
    status: str
    via: str | None
    attempts: int | None
    error: str | None


class Messages(Wire):
    items: list[MessageOut]
    next: str | None


class Ping(Wire):
    to: DidText
    timeout_s: Seconds = 10.0


class Pong(Wire):
    """The other side has answered; `ms` is the time that took."""

    did: str
    ms: float


class Discover(Wire):
    """`match` is an identifier; `*` at its end matches whatever follows."""

    to: DidText
    feature_type: Annotated[str, Field(min_length=1, max_length=64), OneLine] = "protocol"
    match: Annotated[str, Field(min_length=1, max_length=512), OneLine] = "*"
    timeout_s: Seconds = 10.0


class FeatureOut(Wire):
    feature_type: str
    id: str
    roles: list[str]


class Features(Wire):
    """What the other side says that it can do. What is missing says nothing."""

    did: str
    features: list[FeatureOut]


@routes.add("POST", "/v1/didcomm/send", "Send an encrypted message to a twin; it is kept until it is delivered.")
async def send(twin: Twin, body: Send) -> Sent:
    sent = await twin.mail.send(
        _did(twin, body.to),
        body.type,
        body.body,
        thid=body.thid,
        pthid=body.pthid,
        attachments=[_attachment(entry) for entry in body.attachments],
        please_ack=body.please_ack,
        expires_s=body.expires_s,
        form=body.pack,
    )
    status = sent.status
    if body.wait_s and status == "queued":
        status = await twin.mail.wait_delivered(sent.id, body.wait_s)
    return Sent(id=sent.id, status=status)


@routes.add("GET", "/v1/didcomm/inbox", "Received messages, newest first.")
async def inbox(twin: Twin, query: PageQuery) -> Messages:
    return Messages(**page(await twin.mail.inbox(query.limit, query.after), _received))


@routes.add("GET", "/v1/didcomm/outbox", "Our messages, newest first.")
async def outbox(twin: Twin, query: PageQuery) -> Messages:
    return Messages(**page(await twin.mail.outbox(query.limit, query.after), _ours))


@routes.add("POST", "/v1/didcomm/ping", "Ask somebody whether it is there, and wait for the answer.")
async def ping(twin: Twin, body: Ping) -> Pong:
    did, began = _other(twin, body.to), time.perf_counter()
    ask = twin.messaging.exchange.ask
    reply = await ask(did, trust_ping.PING, trust_ping.Ping().to_body(), timeout_s=body.timeout_s)
    _check(reply, trust_ping.PING_RESPONSE)
    return Pong(did=did, ms=round((time.perf_counter() - began) * 1000, 1))


@routes.add("POST", "/v1/didcomm/discover", "Ask somebody what it can do, and wait for the answer.")
async def discover(twin: Twin, body: Discover) -> Features:
    did, queries = _other(twin, body.to), Queries((Query(body.feature_type, body.match),))
    ask = twin.messaging.exchange.ask
    reply = await ask(did, discover_features.QUERIES, queries.to_body(), timeout_s=body.timeout_s)
    _check(reply, discover_features.DISCLOSE)
    found = [
        FeatureOut(feature_type=feature.feature_type, id=feature.id, roles=list(feature.roles))
        for feature in Disclosures.from_body(reply.body).features
    ]
    return Features(did=did, features=found)


def _did(twin: Twin, text: str) -> Did:
    """Whom the owner means: who replaced its key is not to be found under the old name."""
    return twin.did if text == "me" else twin.successions.current(parse_did(text))


def _other(twin: Twin, text: str) -> Did:
    """Somebody else. Raises OwnDid."""
    did = _did(twin, text)
    if did == twin.did:
        raise OwnDid("a twin does not talk to itself")
    return did


def _check(reply: Message, expected: str) -> None:
    if reply.type == problem_report.PROBLEM:
        raise NoAnswer(f"it answered with a problem: {problem_report.Problem.from_body(reply.body).code}")
    if reply.type != expected:
        raise NoAnswer("it answered with a message of another type")


def _attachment(entry: AttachmentIn) -> Attachment:
    return Attachment.of_cid(
        Cid.parse(entry.cid), media_type=entry.media_type, filename=entry.filename, byte_count=entry.byte_count
    )


def _received(row: InboxRow) -> MessageOut:
    message = parse_message(row.plaintext)
    return MessageOut(
        id=row.message_id,
        from_=row.from_did,
        to=row.to_did,
        type=row.type,
        body=dict(message.body),
        thid=row.thid,
        pthid=message.pthid,
        attachments=_attachments(message),
        created_time=None if row.created_time is None else rfc3339(row.created_time * 1000),
        received_time=rfc3339(row.received_ms),
        sent_time=None,
        delivered_time=None,
        status=row.status,
        via=row.via,
        attempts=None,
        error=None,
    )


def _ours(row: OutboxRow) -> MessageOut:
    message = parse_message(row.plaintext)
    return MessageOut(
        id=row.message_id,
        from_=message.from_,
        to=row.to_did,
        type=row.type,
        body=dict(message.body),
        thid=row.thid,
        pthid=row.pthid,
        attachments=_attachments(message),
        created_time=rfc3339(row.created_ms),
        received_time=None,
        sent_time=None if row.sent_ms is None else rfc3339(row.sent_ms),
        delivered_time=None if row.delivered_ms is None else rfc3339(row.delivered_ms),
        status=row.status,
        via=row.via,
        attempts=row.attempts,
        error=row.last_error,
    )


def _attachments(message: Message) -> list[AttachmentOut]:
    return [
        AttachmentOut(
            id=attachment.id,
            cid=None if attachment.cid is None else str(attachment.cid),
            media_type=attachment.media_type,
            filename=attachment.filename,
            format=attachment.format,
            byte_count=attachment.byte_count,
        )
        for attachment in message.attachments
    ]
