"""Questions whose answer is waited for and not kept: a ping, what somebody can do, a status list.

Nothing of it survives the process. What must not be lost goes through the post office.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from identity.did import Did
from node.errors import MessageTimeout
from node.messaging.composing import Composer, NameFor
from protocols.message import Message, ReturnRoute

SendNow = Callable[[Did, Message], Awaitable[str]]
"""Sends a message by the first way that works, once; gives the way's name. Raises PagiError if there is none."""


class Threads:
    """Answers that somebody waits for. Only whom we asked can answer: anybody can write into a thread."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Did, str], asyncio.Future[Message]] = {}

    @contextmanager
    def awaited(self, sender: Did, thread: str) -> Iterator[asyncio.Future[Message]]:
        """The first message of `sender` in `thread` while the block is open."""
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[sender, thread] = reply
        try:
            yield reply
        finally:
            del self._waiting[sender, thread]

    def take(self, sender: Did, message: Message) -> bool:
        """Whether somebody waited for this message, who has it now. A problem report stands under the thread."""
        for thread in (message.thread, message.pthid):
            reply = self._waiting.get((sender, thread)) if thread is not None else None
            if reply is not None and not reply.done():
                reply.set_result(message)
                return True
        return False


class Exchange:
    """Asks and waits."""

    def __init__(self, *, composer: Composer, threads: Threads, send_now: SendNow, name_for: NameFor) -> None:
        self._composer = composer
        self._name_for = name_for
        self._threads = threads
        self._send_now = send_now

    async def ask(
        self,
        to: Did,
        message_type: str,
        body: Mapping[str, Any],
        *,
        timeout_s: float,
        pthid: str | None = None,
        return_route: ReturnRoute = "all",
    ) -> Message:
        """The first message of `to` in the thread of this question, which may be a problem report.

        Raises MessageTimeout, and what keeps the question from being sent.
        """
        message = self._composer.message(
            to,
            message_type,
            body,
            as_=await self._name_for(to),
            pthid=pthid,
            return_route=return_route,
            expires_s=math.ceil(timeout_s),
        )
        with self._threads.awaited(to, message.id) as reply:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._send_now(to, message)
                    return await reply
            except TimeoutError as error:
                raise MessageTimeout(f"no reply from {to} within {timeout_s:g} s") from error
