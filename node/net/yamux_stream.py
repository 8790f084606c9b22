"""One yamux stream: what has come and is not read yet, and how much either side may still send. On the trio side."""

import math
from collections import deque
from typing import Any, Final, Protocol

import trio
from libp2p.abc import IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError, MuxedStreamReset

from node.net.secured import MAX_PLAIN_BYTES
from protocols.errors import MalformedMessage

DATA, WINDOW, PING, GO_AWAY = range(4)
"""Kinds of frames."""

SYN, ACK, FIN, RST = 1, 2, 4, 8
"""Flags of frames."""

HEADER_BYTES: Final = 12

MAX_FRAME_BYTES: Final = MAX_PLAIN_BYTES - HEADER_BYTES
"""What one frame carries: with its header it fills one message of Noise."""

FIRST_WINDOW_BYTES: Final = 256 * 1024
"""What either side may send on a new stream before it is told of more, by the specification."""

WINDOW_BYTES: Final = 512 * 1024
"""What a peer may send on a stream before we have read it: a message with a block of the usual size fits in."""

MAX_WINDOW_BYTES: Final = 4 * 1024 * 1024
"""The same for a stream that is read as fast as it comes: 40 MB/s where a packet takes 100 ms there and back."""

QUICK_S: Final = 0.2
"""A window that is used up in this time is too small."""

STALLED_S: Final = 10.0
"""How long a peer may take nothing of what is written to a stream; then the stream is given up."""

_SMALL_BYTES: Final = 1024
"""Shorter pieces are copied together: each on its own would cost many times its size. So are those that are less than
half of the message they came in, since a view keeps the whole of it in memory."""


class Carrier(Protocol):
    """What a stream needs of its connection."""

    @property
    def is_closed(self) -> bool: ...

    def send(self, kind: int, stream_id: int, flags: int, value: int, body: "bytes | memoryview" = b"") -> None:
        """Queue a frame."""

    async def wait_room(self) -> None:
        """Wait until more data may be queued, or the connection has ended."""

    def forget(self, stream_id: int) -> None:
        """A stream is over on both sides."""


class YamuxStream(IMuxedStream):  # type: ignore[misc] # the library is not typed for us
    """A stream of the connection `muxed_conn`. The upper half is what the library asks of it."""

    def __init__(self, stream_id: int, carrier: Carrier) -> None:
        self.stream_id = stream_id
        self.muxed_conn: Any = carrier
        self.reset_received = False
        self.unread_bytes = 0
        self._carrier = carrier
        self._pieces: deque[memoryview | bytearray] = deque()
        self._sent_all = False
        self._got_all = False
        self._may_send_bytes = FIRST_WINDOW_BYTES
        self._may_get_bytes = FIRST_WINDOW_BYTES
        self._window_bytes = WINDOW_BYTES
        self._read_bytes = 0
        self._wake_at_bytes = 1
        self._told_at = -math.inf
        self._readable = trio.Event()
        self._writable = trio.Event()

    async def read(self, n: int | None = None) -> bytes:
        """At least one byte of what has come, and at most `n`. Raises MuxedStreamEOF or MuxedStreamReset."""
        await trio.lowlevel.checkpoint()
        while self.unread_bytes < self._wake_at_bytes and not self._got_all:
            self._readable = _unset(self._readable)
            await self._readable.wait()
        if self.reset_received:
            raise MuxedStreamReset("the stream was reset")
        if not self._pieces:
            raise MuxedStreamEOF("the stream has ended")
        data = self._pop(self.unread_bytes if n is None or n < 0 else n)
        self._tell_window(len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Send it as the peer takes it. Raises MuxedStreamError if it takes nothing for a while, or has gone."""
        rest = memoryview(data)
        await trio.lowlevel.checkpoint()
        while rest:
            await self._carrier.wait_room()
            self._check_writable()
            if self._may_send_bytes <= 0:
                await self._wait_window()
                continue
            size_bytes = min(len(rest), self._may_send_bytes, MAX_FRAME_BYTES)
            self._may_send_bytes -= size_bytes
            self._carrier.send(DATA, self.stream_id, 0, size_bytes, rest[:size_bytes])
            rest = rest[size_bytes:]

    def wake_at(self, size_bytes: int) -> None:
        """Let `read` wait for so many bytes, unless the stream ends: half of a window at most, lest nothing comes."""
        self._wake_at_bytes = max(min(size_bytes, self._window_bytes // 2), 1)

    async def close(self) -> None:
        """Send no more. The stream is over when the peer has done the same. It is closed also if this is cancelled."""
        if not self._sent_all:
            self._sent_all = True
            self._carrier.send(WINDOW, self.stream_id, FIN, 0)
            if self._got_all:
                self._carrier.forget(self.stream_id)
        await trio.lowlevel.checkpoint()

    async def reset(self) -> None:
        """End it both ways at once. It is reset also if this is cancelled."""
        if not self.reset_received and not (self._sent_all and self._got_all):
            self._carrier.send(WINDOW, self.stream_id, RST, 0)
        self.die()
        self._carrier.forget(self.stream_id)
        await trio.lowlevel.checkpoint()

    async def __aenter__(self) -> "YamuxStream":
        return self

    def set_deadline(self, ttl: int) -> None:
        raise NotImplementedError("a stream has no deadline; use a cancel scope")

    def get_remote_address(self) -> Any:
        return self.muxed_conn.get_remote_address()

    # What its connection tells

    def widen(self) -> int:
        """How much more than the first window the peer may send from the beginning."""
        more = WINDOW_BYTES - FIRST_WINDOW_BYTES
        self._may_get_bytes += more
        return more

    def expect(self, size_bytes: int) -> None:
        """Data is coming. Raises MalformedMessage if it is more than the peer may send."""
        if size_bytes > self._may_get_bytes:
            raise MalformedMessage("a peer sent more than it may")
        self._may_get_bytes -= size_bytes

    def feed(self, piece: memoryview) -> None:
        """Data that was expected has come."""
        if not piece or self.reset_received:
            return
        self.unread_bytes += len(piece)
        if len(piece) >= max(_SMALL_BYTES, memoryview(piece.obj).nbytes // 2):
            self._pieces.append(piece)
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))
        if self.unread_bytes >= self._wake_at_bytes:
            self._readable.set()

    def grant(self, size_bytes: int) -> None:
        """The peer takes more."""
        self._may_send_bytes += size_bytes
        self._writable.set()

    def end(self) -> None:
        """The peer sends no more."""
        self._got_all = True
        self._readable.set()
        if self._sent_all:
            self._carrier.forget(self.stream_id)

    def die(self) -> None:
        """The stream was reset, or its connection has ended."""
        self.reset_received = self._sent_all = self._got_all = True
        self._pieces.clear()
        self.unread_bytes = 0
        self._readable.set()
        self._writable.set()

    # Inside

    def _pop(self, size_bytes: int) -> bytes:
        parts = []
        while self._pieces and size_bytes > 0:
            piece = self._pieces.popleft()
            if len(piece) > size_bytes:
                view = memoryview(piece)  # Copying the rest for each small read would take quadratic time.
                self._pieces.appendleft(view[size_bytes:])
                piece = view[:size_bytes]
            parts.append(piece)
            size_bytes -= len(piece)
        data = b"".join(parts)
        self.unread_bytes -= len(data)
        return data

    def _tell_window(self, read_bytes: int) -> None:
        """Tell the peer once half of the window is free, and give it a larger one if it fills this one quickly."""
        self._read_bytes += read_bytes
        if self._got_all or self._read_bytes < self._window_bytes // 2:
            return
        now = trio.current_time()
        if now - self._told_at < QUICK_S and self._window_bytes < MAX_WINDOW_BYTES:
            self._read_bytes += self._window_bytes
            self._window_bytes *= 2
        self._told_at = now
        self._may_get_bytes += self._read_bytes
        self._carrier.send(WINDOW, self.stream_id, 0, self._read_bytes)
        self._read_bytes = 0

    def _check_writable(self) -> None:
        if self.reset_received or self._carrier.is_closed:
            raise MuxedStreamReset("the stream was reset")
        if self._sent_all:
            raise MuxedStreamError("the stream is closed for writing")

    async def _wait_window(self) -> None:
        self._writable = _unset(self._writable)
        with trio.move_on_after(STALLED_S):
            await self._writable.wait()
            return
        raise MuxedStreamError("the peer does not read the stream")


def _unset(event: trio.Event) -> trio.Event:
    """An event to wait for: this one while it is not set, since another task may wait for it as well."""
    return trio.Event() if event.is_set() else event
