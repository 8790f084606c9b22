"""Answers that are given at once and kept nowhere: to a ping, to a question what we can do, and acknowledgements.

A stranger is answered only by the way that its message came: an answer must not make us connect to anybody. Whom the
owner named is written to by any way. Nothing here is promised: whoever misses an answer asks again.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Sequence

from identity.did import Did, peer_id_of_did
from identity.errors import PagiError
from identity.resolver import Resolver
from node.dids.own import OwnDids
from node.messaging.composing import Composer
from node.messaging.exchange import SendNow
from node.messaging.source import PROTOCOL, Incoming
from node.net.errors import NetError
from node.net.port import Network
from protocols import limits
from protocols.conversations.empty import acknowledge
from protocols.conversations.reply import Reply
from protocols.didcomm.envelope import pack_private
from protocols.message import Message

logger = logging.getLogger(__name__)

_SENDERS = 8
"""Answers that are on their way at once: one to somebody who is slow must not hold up the others."""

_ACK_AFTER_S = 0.1
"""So long acknowledgements are gathered: what is under way with the first one often comes right behind it."""

_EXPIRES_S = 300
"""An answer that is older is of no use to whoever waits for it."""


class Answers:
    """Sends answers, for as long as `run` runs. `send_now` is delivery's."""

    def __init__(
        self, *, own: OwnDids, resolver: Resolver, composer: Composer, network: Network, send_now: SendNow
    ) -> None:
        self._own = own
        self._resolver = resolver
        self._composer = composer
        self._network = network
        self._send_now = send_now
        self._waiting: asyncio.Queue[tuple[Incoming, Message]] = asyncio.Queue(limits.MAX_ANSWERS_WAITING)
        self._owed: dict[tuple[Did, Did], list[str]] = {}
        self.counters: Counter[str] = Counter()

    async def give(self, incoming: Incoming, replies: Sequence[Reply]) -> None:
        """Answer a message: over its own connection at once, or as soon as a sender is free."""
        for reply in replies:
            message = self._composer.reply(
                incoming.sender, reply, thread=incoming.message.thread, as_=incoming.recipient, expires_s=_EXPIRES_S
            )
            if incoming.back is None or not await self._sent_back(incoming, message):
                self._queue(incoming, message)

    def owe(self, incoming: Incoming, message_ids: Sequence[str]) -> None:
        """Acknowledge these soon, together with what else is owed to the same sender."""
        key = incoming.sender, incoming.recipient
        if key not in self._owed:
            if len(self._owed) >= limits.MAX_ANSWERS_WAITING:
                self.counters["didcomm_answers_dropped"] += 1
                return
            self._owed[key] = []
            asyncio.get_running_loop().call_later(_ACK_AFTER_S, self._acknowledge, incoming)
        owed = self._owed[key]
        owed += (message_id for message_id in message_ids if message_id not in owed)
        if len(owed) >= limits.MAX_ACKS:
            self._acknowledge(incoming)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_SENDERS):
                tasks.create_task(self._send_all())

    def _acknowledge(self, incoming: Incoming) -> None:
        owed = self._owed.pop((incoming.sender, incoming.recipient), [])
        for start in range(0, len(owed), limits.MAX_ACKS):
            reply = acknowledge(*owed[start : start + limits.MAX_ACKS])
            self._queue(
                incoming,
                self._composer.reply(
                    incoming.sender, reply, thread=incoming.message.thread, as_=incoming.recipient, expires_s=_EXPIRES_S
                ),
            )

    def _queue(self, incoming: Incoming, message: Message) -> None:
        try:
            self._waiting.put_nowait((incoming, message))
        except asyncio.QueueFull:
            self.counters["didcomm_answers_dropped"] += 1

    async def _send_all(self) -> None:
        while True:
            incoming, message = await self._waiting.get()
            try:
                await self._send(incoming, message)
            except PagiError as error:
                self.counters["didcomm_answers_failed"] += 1
                logger.debug("an answer to %s could not be sent: %s", incoming.sender, error)

    async def _send(self, incoming: Incoming, message: Message) -> None:
        if incoming.known:
            await self._send_now(incoming.sender, message)
        elif incoming.source.transport == "libp2p" and incoming.source.peer == incoming.sender:
            await self._network.request(peer_id_of_did(incoming.sender), PROTOCOL, self._packed(message))
        elif incoming.back is None or not await self._sent_back(incoming, message):
            self.counters["didcomm_answers_dropped"] += 1
            return
        self.counters["didcomm_answered"] += 1

    async def _sent_back(self, incoming: Incoming, message: Message) -> bool:
        assert incoming.back is not None
        try:
            await incoming.back.send(self._packed(message))
        except NetError:
            return False
        self.counters["didcomm_answered"] += 1
        return True

    def _packed(self, message: Message) -> bytes:
        return pack_private(
            message,
            author=self._own.author(message.from_),
            recipient=self._resolver.cached(message.to[0]),
            entropy=os.urandom,
        )
