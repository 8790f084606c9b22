"""Plaintext messages of ours: every header that does not belong to the conversation, in one place."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from identity.did import Did
from node.clock import NowMs, now_ms
from node.config import MailConfig
from node.own import OwnDids
from protocols.conversations.reply import Reply
from protocols.message import Attachment, Message, ReturnRoute

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
    ) -> Message:
        """A message to `to`. `as_` is the name of ours that it is written in: the one that was written to."""
        now_s = self._now() // 1000
        return Message(
            id=str(uuid.uuid4()),
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
