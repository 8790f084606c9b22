"""Asking peers: requests and replies as frames on streams that are kept open, many under way at once.

Runs on the trio side. A reply belongs to the oldest request of its stream that has none yet.
"""

import logging
from collections import deque
from collections.abc import Awaitable
from typing import Any, Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.exceptions import StreamFailure
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID

from node.net.counters import Counters
from node.net.errors import RemoteNetError, RemoteRefused, RemoteTimeout, RemoteUnavailable
from node.net.streams import MAX_FRAME_BYTES, drop
from protocols.errors import RemoteProtocolError
from protocols.framing import FrameDecoder, encode_frame

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S: Final = 10.0
"""Time to open a stream and agree on its protocol."""

RETIRED_S: Final = 30.0
"""A stream on which a reply is overdue takes no further requests, and is dropped after this time."""

IDLE_S: Final = 60.0
"""A stream without requests is closed after this time; the answering side waits longer, so that we close first."""

_WRITE_BYTES: Final = 256 * 1024
_READ_BYTES: Final = 64 * 1024


class _Reply:
    """What one request waits for."""

    __slots__ = ("arrived", "error", "payload")

    def __init__(self) -> None:
        self.arrived = trio.Event()
        self.payload = b""
        self.error: RemoteNetError | None = None

    def fail(self, error: RemoteNetError) -> None:
        if not self.arrived.is_set():
            self.error = error
            self.arrived.set()


class _Channel:
    """One stream of a protocol to a peer. `open` is false once nothing more can be asked on it."""

    def __init__(self, peer: ID, protocol: str) -> None:
        self.open = True
        self.used_at = trio.current_time()
        self._peer = peer
        self._protocol = protocol
        self._replies: deque[_Reply] = deque()
        self._outgoing: deque[bytes] = deque()
        self._wake = trio.Event()
        self._scope = trio.CancelScope()

    @property
    def idle(self) -> bool:
        return not self._replies

    def ask(self, payload: bytes) -> _Reply:
        reply = _Reply()
        self._replies.append(reply)
        self._outgoing.append(encode_frame(payload))
        self.used_at = trio.current_time()
        self._wake.set()
        return reply

    def retire(self) -> None:
        """Take no more requests; end when those under way have ended, or some time later."""
        self.open = False
        self._scope.deadline = trio.current_time() + RETIRED_S
        self._wake.set()

    async def run(self, host: Any) -> None:
        """Open the stream and serve it until it ends. Every request that has no reply then fails."""
        error: RemoteNetError = RemoteUnavailable(f"no open connection to {self._peer}")
        stream = None
        try:
            with trio.fail_after(OPEN_TIMEOUT_S):
                stream = await host.new_stream(self._peer, [self._protocol])
            with self._scope:
                await self._converse(stream)
        except* StreamError:
            error = self._ended(stream)
        except* StreamFailure:
            if host.get_network().get_connections(self._peer):
                error = RemoteRefused(f"{self._peer} does not speak {self._protocol}")
        except* BaseLibp2pError:
            pass  # no stream could be opened: the connection is going away
        except* RemoteProtocolError:
            error = RemoteRefused(f"{self._peer} sent a malformed reply on {self._protocol}")
        except* trio.TooSlowError:
            error = RemoteTimeout(f"{self._peer} does not open a stream")
        finally:
            self.open = False
            for reply in self._replies:
                reply.fail(error)
            if stream is not None:
                await drop(stream)

    def _ended(self, stream: Any) -> RemoteNetError:
        """Why the stream ended. The library may report a reset as an end, so its own notes are asked."""
        if stream is None or stream.muxed_conn.event_shutting_down.is_set():
            return RemoteUnavailable(f"the connection to {self._peer} is gone")
        if stream.muxed_stream.reset_received:
            return RemoteRefused(f"{self._peer} reset the stream of {self._protocol}")
        return RemoteUnavailable(f"{self._peer} closed the stream of {self._protocol}")

    async def _converse(self, stream: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, stream)
            await self._read(stream)
            nursery.cancel_scope.cancel()

    async def _write(self, stream: Any) -> None:
        while self.open or self._replies:
            batch, size = [], 0
            while self._outgoing and size < _WRITE_BYTES:
                batch.append(self._outgoing.popleft())
                size += len(batch[-1])
            if batch:
                await stream.write(b"".join(batch))
            else:
                self._wake = trio.Event()
                await self._wake.wait()
        await stream.close_write()

    async def _read(self, stream: Any) -> None:
        decoder = FrameDecoder(MAX_FRAME_BYTES)
        while self.open or self._replies:
            for payload in decoder.feed(await stream.read(_READ_BYTES)):
                if not self._replies:
                    raise RemoteProtocolError("a reply without a request")
                reply = self._replies.popleft()
                reply.payload = payload
                reply.arrived.set()


class Requester:
    """Sends requests and hands back their replies."""

    def __init__(self, host: Any, nursery: trio.Nursery, counters: Counters) -> None:
        self._host = host
        self._nursery = nursery
        self._counters = counters
        self._channels: dict[tuple[ID, str], _Channel] = {}

    async def run(self) -> None:
        """Close streams that are not used."""
        while True:
            await trio.sleep(IDLE_S / 4)
            for channel in self._channels.values():
                if channel.idle and trio.current_time() - channel.used_at > IDLE_S:
                    channel.retire()

    def request(self, peer: ID, protocol: str, payload: bytes, timeout_s: float) -> Awaitable[bytes]:
        """Send one request, in the order of these calls, and give its reply to await.

        Raises RemoteUnavailable; the awaitable raises RemoteUnavailable, RemoteTimeout or RemoteRefused. Cancelling it,
        as a time-out does, never cuts a frame: the stream has its own task that writes.
        """
        if not self._host.get_network().get_connections(peer):
            raise RemoteUnavailable(f"{peer} is not connected")
        channel = self._channel(peer, protocol)
        reply = channel.ask(payload)
        self._counters.add("requests_sent")
        return self._replied(peer, protocol, channel, reply, timeout_s)

    @staticmethod
    async def _replied(peer: ID, protocol: str, channel: _Channel, reply: _Reply, timeout_s: float) -> bytes:
        with trio.move_on_after(timeout_s):
            await reply.arrived.wait()
        if reply.error is not None:
            raise reply.error
        if not reply.arrived.is_set():
            channel.retire()
            raise RemoteTimeout(f"{peer} did not answer on {protocol} within {timeout_s:g} s")
        return reply.payload

    def _channel(self, peer: ID, protocol: str) -> _Channel:
        channel = self._channels.get((peer, protocol))
        if channel is None or not channel.open:
            channel = self._channels[peer, protocol] = _Channel(peer, protocol)
            self._nursery.start_soon(self._serve, (peer, protocol), channel)
        return channel

    async def _serve(self, key: tuple[ID, str], channel: _Channel) -> None:
        try:
            await channel.run(self._host)
        except Exception:
            logger.exception("A request stream ended with an error of a kind that is not expected.")
        if self._channels.get(key) is channel:
            del self._channels[key]
