"""Yamux streams over a secured connection: frames are read and written by the batch, without locks.

The library's own muxer takes some ten turns of the loop for each frame, asks every 10 ms whether it may send again,
and does not hold a peer to the windows that it announces. Here one task reads all that has come and one writes all that
waits. Specification: https://github.com/hashicorp/yamux/blob/master/spec.md. Runs on the trio side.
"""

import contextlib
import logging
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import trio
from libp2p.abc import IMuxedConn
from libp2p.exceptions import BaseLibp2pError
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable

from node.net.secured import Session
from node.net.yamux_stream import ACK, FIN, GO_AWAY, MAX_WINDOW_BYTES, PING, RST, SYN, WINDOW, YamuxStream
from protocols import limits
from protocols.errors import MalformedMessage
from protocols.ratelimit import TokenBucket

logger = logging.getLogger(__name__)

_GONE: Final = (BaseLibp2pError, OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What the library and trio raise when the other side, or the socket, has gone."""

_HEADER: Final = struct.Struct("!BBHII")

MAX_WAITING_BYTES: Final = 256 * 1024
"""Frames that wait to be written; streams have to wait before they add more."""

MAX_CONTROL_BYTES: Final = 1024 * 1024
"""With so many no frame is read either: each may need an answer, and a peer that takes none is not to fill memory."""

MAX_STREAMS: Final = 1024
"""Streams of one connection, ours and the peer's, closed ones apart. Another one of the peer is reset."""

PACE_S: Final = 0.05
"""How long a peer that sends too many frames is not read from."""

CLOSE_S: Final = 1.0
"""Time to say goodbye."""


@dataclass(slots=True)
class _Body:
    """Data of a frame that is coming in. `stream` is None if nobody waits for it."""

    stream: YamuxStream | None
    left_bytes: int
    flags: int


class Yamux(IMuxedConn):  # type: ignore[misc] # the library is not typed for us
    """One connection. What the library asks of a muxer, and `send`, `end` and `wait_room` for its streams."""

    def __init__(self, conn: Session, peer_id: Any) -> None:
        self.peer_id = peer_id
        self.secured_conn = conn
        self.event_started = trio.Event()
        self.event_shutting_down = trio.Event()
        self.on_close: Callable[[], Awaitable[None]] | None = None
        self._next_id = 1 if conn.is_initiator else 2
        self._streams: dict[int, YamuxStream] = {}
        self._accept_sender, self._accepted = trio.open_memory_channel[YamuxStream](MAX_STREAMS)
        self._waiting: list[bytes | memoryview] = []
        self._waiting_bytes = 0
        self._more = trio.Event()
        self._room = trio.Event()
        self._half = b""
        self._body: _Body | None = None
        self._ended = False
        self._cost = 0
        self._frames = TokenBucket(limits.FRAMES_PER_S, limits.FRAMES_BURST)

    # What the library asks

    @property
    def is_initiator(self) -> bool:
        return bool(self.secured_conn.is_initiator)

    @property
    def is_established(self) -> bool:
        return self.event_started.is_set() and not self.is_closed

    @property
    def is_closed(self) -> bool:
        return self.event_shutting_down.is_set()

    @property
    def unread_bytes(self) -> int:
        """What has come and nobody has read."""
        return sum(stream.unread_bytes for stream in self._streams.values())

    def get_transport_addresses(self) -> Any:
        return self.secured_conn.get_transport_addresses()

    def get_connection_type(self) -> Any:
        return self.secured_conn.get_connection_type()

    def get_remote_address(self) -> Any:
        return self.secured_conn.get_remote_address()

    async def start(self) -> None:
        """Run until the connection ends. Its socket is closed then, also when this is cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                self.event_started.set()
                await self._read()
                nursery.cancel_scope.cancel()
        finally:
            await self._hang_up()
        await self._end()

    async def open_stream(self) -> YamuxStream:
        if self.is_closed:
            raise MuxedConnUnavailable("the connection is closed")
        if len(self._streams) >= MAX_STREAMS:
            raise MuxedConnUnavailable("too many streams are open")
        if self._next_id >= 2**32:
            await self.close()
            raise MuxedConnUnavailable("no numbers are left for streams")
        stream = self._streams[self._next_id] = YamuxStream(self._next_id, self)
        self._next_id += 2
        self.send(WINDOW, stream.stream_id, SYN, stream.widen())
        return stream

    async def accept_stream(self) -> YamuxStream:
        try:
            return await self._accepted.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise MuxedConnUnavailable("the connection is closed") from None

    async def close(self) -> None:
        if not self.is_closed:
            self.send(GO_AWAY, 0, 0, 0)
            with trio.move_on_after(CLOSE_S):
                while self._waiting_bytes and not self.is_closed:
                    await self._room.wait()
        await self._end()

    # What its streams ask

    def send(self, kind: int, stream_id: int, flags: int, value: int, body: "bytes | memoryview" = b"") -> None:
        """Queue a frame."""
        if self.is_closed:
            return
        self._waiting.append(_HEADER.pack(0, kind, flags, stream_id, value))
        if body:
            self._waiting.append(body)
        self._waiting_bytes += _HEADER.size + len(body)
        self._more.set()

    async def wait_room(self) -> None:
        """Wait until more data may be queued, or the connection has ended."""
        while self._waiting_bytes >= MAX_WAITING_BYTES and not self.is_closed:
            await self._room.wait()

    def forget(self, stream_id: int) -> None:
        """A stream is over on both sides."""
        self._streams.pop(stream_id, None)

    # Inside

    async def _read(self) -> None:
        try:
            while not self.is_closed:
                for message in await self.secured_conn.receive():
                    self._take(message)
                    await self._pace()
                while self._waiting_bytes > MAX_CONTROL_BYTES and not self.is_closed:
                    await self._room.wait()
        except (*_GONE, MalformedMessage):
            pass
        except Exception:
            logger.exception("A connection ended with an error of a kind that is not expected.")

    async def _pace(self) -> None:
        """Wait if the peer sends more frames than a peer needs: each costs the same, however short it is."""
        cost, self._cost = min(self._cost + 1, limits.FRAMES_BURST), 0
        while not self._frames.allow(trio.current_time(), cost):  # noqa: ASYNC110 - it fills with time alone
            await trio.sleep(PACE_S)

    async def _hang_up(self) -> None:
        with contextlib.suppress(*_GONE), trio.move_on_after(CLOSE_S) as scope:
            scope.shield = True
            await self.secured_conn.close()

    async def _write(self) -> None:
        """Write what waits, all of it at once."""
        with contextlib.suppress(*_GONE):
            while not self.is_closed:
                if not self._waiting:
                    self._more = trio.Event()
                    await self._more.wait()
                batch, self._waiting = self._waiting, []
                size_bytes = self._waiting_bytes
                await self.secured_conn.write(b"".join(batch))
                self._waiting_bytes -= size_bytes
                self._room.set()
                self._room = trio.Event()
        self.event_shutting_down.set()
        self._room.set()
        await self._hang_up()

    def _take(self, message: bytes) -> None:
        """Read what one message holds: frames may begin and end anywhere in it. Raises MalformedMessage."""
        if self._half:
            message = self._half + message
        view = memoryview(message)
        start = 0
        while True:
            if self._body is not None:
                start += self._take_body(view[start:])
                if self._body is not None:
                    self._half = b""
                    return
            if len(message) - start < _HEADER.size:
                self._half = message[start:]
                return
            self._take_header(*_HEADER.unpack_from(message, start))
            start += _HEADER.size

    def _take_body(self, view: memoryview) -> int:
        """Pass on as much of a frame's data as is here; the number of bytes."""
        body = self._body
        assert body is not None
        piece = view[: body.left_bytes]
        body.left_bytes -= len(piece)
        if body.stream is not None:
            body.stream.feed(piece)
        if not body.left_bytes:
            self._body = None
            self._take_flags(body.stream, body.flags)
        return len(piece)

    def _take_header(self, version: int, kind: int, flags: int, stream_id: int, value: int) -> None:
        if version != 0 or kind > GO_AWAY:
            raise MalformedMessage("not a frame of yamux")
        self._cost += 1
        if kind == PING:
            if flags & SYN:
                self.send(PING, 0, ACK, value)
            return
        if kind == GO_AWAY:
            raise MuxedConnUnavailable("the peer says goodbye")
        stream = self._new_stream(stream_id) if flags & SYN else self._streams.get(stream_id)
        if kind == WINDOW:
            if stream is not None:
                stream.grant(value)
            self._take_flags(stream, flags)
            return
        if stream is not None:
            stream.expect(value)
        elif value > MAX_WINDOW_BYTES:
            raise MalformedMessage("a peer sent more than it may")
        self._body = _Body(stream, value, flags)

    def _new_stream(self, stream_id: int) -> YamuxStream | None:
        if not stream_id or stream_id % 2 == self._next_id % 2 or stream_id in self._streams:
            raise MalformedMessage("a stream with a number that is taken")
        self._cost += limits.FRAMES_FOR_A_STREAM
        if len(self._streams) >= MAX_STREAMS:
            self.send(WINDOW, stream_id, RST, 0)
            return None
        stream = YamuxStream(stream_id, self)
        try:
            self._accept_sender.send_nowait(stream)
        except trio.WouldBlock:
            self.send(WINDOW, stream_id, RST, 0)
            return None
        self._streams[stream_id] = stream
        self.send(WINDOW, stream_id, ACK, stream.widen())
        return stream

    def _take_flags(self, stream: YamuxStream | None, flags: int) -> None:
        if stream is not None and flags & RST:
            stream.die()
            self.forget(stream.stream_id)
        elif stream is not None and flags & FIN:
            stream.end()

    async def _end(self) -> None:
        """Wake everybody who waits for something on this connection, and close it."""
        if self._ended:
            return
        self._ended = True
        self.event_shutting_down.set()
        for event in (self._more, self._room):
            event.set()
        for stream in tuple(self._streams.values()):
            stream.die()
        self._streams.clear()
        self._accept_sender.close()
        await self._hang_up()
        if self.on_close is not None:
            await self.on_close()
