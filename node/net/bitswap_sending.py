"""Bitswap messages on their way out: one stream of ours to each peer, opened when there is something to say.

Runs on the trio side. What we ask goes before what we answer: an answer may wait for a peer that does not read.
"""

import logging
from collections import deque
from typing import Any, Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID

from node.net import bitswap_wire as wire
from node.net.counters import Counters
from node.net.streams import drop

logger = logging.getLogger(__name__)

MAX_ANSWERS: Final = 2
"""Answers of up to 2 MiB that wait for one peer; no further ones are read from the disk for it."""

MAX_ASKING: Final = 1024
"""Messages with wants that wait for one peer, of some KB each. Our own calls make them; a peer that takes none is not
to cost more."""

WRITE_S: Final = 30.0
"""A peer must take a message within this time, or what waits for it is dropped."""

IDLE_S: Final = 60.0
OPEN_TIMEOUT_S: Final = 10.0


class _Waiting:
    """What waits for one peer. `more` wakes its writer, `room` those who have an answer for it."""

    __slots__ = ("answers", "asking", "broken", "more", "room")

    def __init__(self) -> None:
        self.asking: deque[bytes] = deque()
        self.answers: deque[bytes] = deque()
        self.more = trio.Event()
        self.room = trio.Event()
        self.broken = False

    def wake(self) -> None:
        self.more.set()

    async def some(self) -> bool:
        """Wait for messages, for a while; whether there are any."""
        with trio.move_on_after(IDLE_S):
            while not self.asking and not self.answers:
                self.more = trio.Event()
                await self.more.wait()
        return bool(self.asking or self.answers)

    def next(self) -> bytes:
        if self.asking:
            return self.asking.popleft()
        message = self.answers.popleft()
        self.room.set()
        self.room = trio.Event()
        return message


class Sending:
    """The writers of one host."""

    def __init__(self, host: Any, nursery: trio.Nursery, counters: Counters) -> None:
        self._host = host
        self._nursery = nursery
        self._counters = counters
        self._waiting: dict[ID, _Waiting] = {}

    def ask(self, peer: ID, message: bytes) -> None:
        """Send wants or cancels, soon and in order."""
        waiting = self._of(peer)
        if len(waiting.asking) < MAX_ASKING:
            waiting.asking.append(message)
            waiting.wake()
        else:
            self._counters.add("bitswap_messages_dropped")

    async def answer(self, peer: ID, message: bytes) -> bool:
        """Send an answer; waits while others wait. False if it was dropped, since the peer took nothing."""
        waiting = self._of(peer)
        while len(waiting.answers) >= MAX_ANSWERS and not waiting.broken:
            await waiting.room.wait()
        if waiting.broken:
            self._counters.add("bitswap_messages_dropped")
            return False
        waiting.answers.append(message)
        waiting.wake()
        return True

    def _of(self, peer: ID) -> _Waiting:
        waiting = self._waiting.get(peer)
        if waiting is None:
            waiting = self._waiting[peer] = _Waiting()
            self._nursery.start_soon(self._write, peer, waiting)
        return waiting

    async def _write(self, peer: ID, waiting: _Waiting) -> None:
        """Send what waits for a peer on a stream of our own, until nothing has come for a while or it breaks."""
        stream = None
        try:
            while await waiting.some():
                message = waiting.next()
                with trio.fail_after(WRITE_S):
                    if stream is not None and not await _written(stream, message):
                        await drop(stream)
                        stream = None
                    if stream is None:
                        with trio.fail_after(OPEN_TIMEOUT_S):
                            stream = await self._host.new_stream(peer, [wire.PROTOCOL])
                        await stream.write(message)
                self._counters.add("bitswap_bytes_sent", len(message))
        except (BaseLibp2pError, trio.TooSlowError):
            pass
        except Exception:
            logger.exception("Sending blocks ended with an error of a kind that is not expected.")
        finally:
            del self._waiting[peer]
            waiting.broken = True
            waiting.room.set()
            if dropped := len(waiting.asking) + len(waiting.answers):
                self._counters.add("bitswap_messages_dropped", dropped)
            if stream is not None:
                await drop(stream)


async def _written(stream: Any, message: bytes) -> bool:
    """Write to a stream that was used before. A peer that restarted has left it dead, and only this write tells."""
    try:
        await stream.write(message)
    except BaseLibp2pError:
        return False
    return True
