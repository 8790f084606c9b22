"""Messages of ours, until they are in the outbox: every header that does not belong to the conversation."""

import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from identity.did import Did
from node.clock import NowMs, now_ms
from node.config import MailConfig
from node.dids.own import OwnDids
from protocols.conversations.reply import Reply
from protocols.didcomm.envelope import Form
from protocols.message import Attachment, Message, ReturnRoute
from storage import outbox

NameFor = Callable[[Did], Awaitable[Did]]
"""The name of ours in which to begin to write to somebody."""


class Composer:
    """Writes messages in our name; the time and the id are added here."""

    def __init__(self, *, own: OwnDids, config: MailConfig, now: NowMs = now_ms) -> None:
        self._own = own
        self._expire_after_s = config.expire_after_s
        self._now = now

    def message(
        self,
        to: Did,
        message_type: str,
        body: Mapping[str, Any],
        *,
        as_: Did | None = None,
        thid: str | None = None,
        pthid: str | None = None,
        attachments: Sequence[Attachment] = (),
        please_ack: bool = False,
        ack: Sequence[str] = (),
        return_route: ReturnRoute | None = None,
        expires_s: int | None = None,
        message_id: str | None = None,
    ) -> Message:
        """A message to `to`. `as_` is the name of ours that it is written in: the one that was written to."""
        now_s = self._now() // 1000
        return Message(
            id=message_id or str(uuid.uuid4()),
            type=message_type,
            body=body,
            from_=self._own.author(as_).did,
            to=(to,),
            thid=thid,
            pthid=pthid,
            created_time=now_s,
            expires_time=now_s + (self._expire_after_s if expires_s is None else expires_s),
            attachments=tuple(attachments),
            please_ack=("",) if please_ack else (),
            ack=tuple(ack),
            return_route=return_route,
        )

    def reply(self, to: Did, reply: Reply, *, thread: str, as_: Did | None, expires_s: int | None = None) -> Message:
        """What a conversation wants sent in `thread`; a reply with a parent thread begins a thread of its own."""
        return self.message(
            to,
            reply.type,
            reply.body,
            as_=as_,
            thid=None if reply.pthid is not None else thread,
            pthid=reply.pthid,
            attachments=reply.attachments,
            ack=reply.ack,
            return_route=reply.return_route,
            expires_s=expires_s,
        )

    def queue(self, conn: sqlite3.Connection, message: Message, form: Form = "authcrypt") -> None:
        """Put a message into the outbox, in the transaction that is open; `Delivery.wake` is the caller's to call."""
        assert message.expires_time is not None
        outbox.queue_outbound(
            conn,
            message_id=message.id,
            to_did=message.to[0],
            type=message.type,
            thid=message.thread,
            plaintext=message.to_bytes(),
            created_ms=self._now(),
            expires_ms=message.expires_time * 1000,
            pthid=message.pthid,
            form=form,
        )
