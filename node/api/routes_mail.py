"""DIDComm messages: send one, read what came and what is on its way."""

from typing import Annotated, Literal

import orjson
from pydantic import Field

from identity.did import parse_did
from node.api.router import Routes
from node.api.wire import JsonObject, PageQuery, Wire, page
from node.clock import rfc3339
from node.twin import Twin
from storage.mailbox import InboxRow, OutboxRow

routes = Routes("didcomm")


class Send(Wire):
    """`wait_s` makes the answer wait, at most so long, until the message is delivered."""

    to: Annotated[str, Field(min_length=1, max_length=2048)]
    type: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[a-z][a-z0-9+.-]*:\S+$")]
    body: JsonObject
    thid: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    pack: Literal["authcrypt"] = "authcrypt"
    wait_s: Annotated[float, Field(ge=0, le=60)] = 0.0


class Sent(Wire):
    id: str
    status: str


class MessageOut(Wire):
    """A message. `received_time` is null for ours; `attempts` and `error` are of deliveries, and null for others'."""

    id: str
    from_: Annotated[str | None, Field(alias="from")]
    to: str
    type: str
    body: JsonObject
    thid: str | None
    created_time: str | None
    received_time: str | None
    status: str
    attempts: int | None
    error: str | None


class Messages(Wire):
    items: list[MessageOut]
    next: str | None


@routes.add("POST", "/v1/didcomm/send", "Send an encrypted message to a twin; it is kept until it is delivered.")
async def send(twin: Twin, body: Send) -> Sent:
    to = twin.did if body.to == "me" else parse_did(body.to)
    sent = await twin.mail.send(to, body.type, body.body, thid=body.thid)
    status = sent.status
    if body.wait_s and status == "queued":
        status = await twin.mail.wait_delivered(sent.id, body.wait_s)
    return Sent(id=sent.id, status=status)


@routes.add("GET", "/v1/didcomm/inbox", "Received messages, newest first.")
async def inbox(twin: Twin, query: PageQuery) -> Messages:
    return Messages(**page(await twin.mail.inbox(query.limit, query.after), _received))


@routes.add("GET", "/v1/didcomm/outbox", "Our messages, newest first.")
async def outbox(twin: Twin, query: PageQuery) -> Messages:
    own = twin.did
    return Messages(**page(await twin.mail.outbox(query.limit, query.after), lambda row: _ours(row, own)))


def _received(row: InboxRow) -> MessageOut:
    return MessageOut(
        id=row.message_id,
        from_=row.from_did,
        to=row.to_did,
        type=row.type,
        body=_body(row.plaintext),
        thid=row.thid,
        created_time=None if row.created_time is None else rfc3339(row.created_time * 1000),
        received_time=rfc3339(row.received_ms),
        status=row.status,
        attempts=None,
        error=None,
    )


def _ours(row: OutboxRow, own: str) -> MessageOut:
    return MessageOut(
        id=row.message_id,
        from_=own,
        to=row.to_did,
        type=row.type,
        body=_body(row.plaintext),
        thid=row.thid,
        created_time=rfc3339(row.created_ms),
        received_time=None,
        status=row.status,
        attempts=row.attempts,
        error=row.last_error,
    )


def _body(plaintext: bytes) -> dict[str, object]:
    body = orjson.loads(plaintext).get("body", {})
    assert isinstance(body, dict), "the mailbox stores only messages that were parsed"
    return body
