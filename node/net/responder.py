"""Answering peers: each request is a frame, its reply is one frame, in the order of the requests.

Runs on the trio side; the handlers themselves run on the asyncio side and settle their slot from there.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio
from libp2p.network.stream.exceptions import StreamEOF, StreamError
from libp2p.peer.id import ID

from node.net.counters import Counters
from node.net.streams import FrameReader, Inflow, drop
from protocols.errors import RemoteProtocolError
from protocols.framing import encode_frame

IDLE_S: Final = 180.0
"""A stream without requests is reset after this time: it costs memory, and a peer that needs one opens it in 2 ms."""

MAX_STREAMS: Final = 8
"""Streams of one protocol that one peer may keep open; a requester of ours uses one."""


class _Failed(Exception):
    """A handler could not answer, so the order of replies cannot be kept."""


class Slot:
    """The place of one reply in its stream. It is settled exactly once, on the trio side."""

    __slots__ = ("_settled", "reply", "settled")

    def __init__(self, settled: Callable[[], None]) -> None:
        self.settled = False
        self.reply: bytes | None = None
        self._settled = settled

    def settle(self, reply: bytes | None) -> None:
        """Give the reply, or None if there is none: the stream is reset when it is this one's turn."""
        self.settled = True
        self.reply = reply
        self._settled()


class _Caller:
    """What one peer has under way on one protocol."""

    def __init__(self, max_in_flight: int) -> None:
        self.streams = 0
        self.gate = trio.Semaphore(max_in_flight, max_value=max_in_flight)

    @property
    def idle(self) -> bool:
        return not self.streams and self.gate.value == self.gate.max_value


@dataclass(frozen=True, slots=True)
class _Service:
    protocol: str
    max_request_bytes: int
    max_in_flight_per_peer: int
    callers: dict[ID, _Caller]

    def tidy(self, peer: ID) -> None:
        """Forget a peer that has nothing under way; not before, or a new stream would begin with a new bound."""
        caller = self.callers.get(peer)
        if caller is not None and caller.idle:
            del self.callers[peer]


OnRequest = Callable[[str, str, bytes, Slot], None]
"""Passes a request on to the asyncio side: protocol, peer ID, payload, the slot of its reply."""


class Responder:
    """Serves request protocols on a host."""

    def __init__(self, host: Any, inflow: Inflow, counters: Counters, on_request: OnRequest) -> None:
        self._host = host
        self._inflow = inflow
        self._counters = counters
        self._on_request = on_request

    def serve(self, protocol: str, max_request_bytes: int, max_in_flight_per_peer: int) -> None:
        """Accept streams of `protocol`; what is open already goes on under the bounds that it has."""
        service = _Service(protocol, max_request_bytes, max_in_flight_per_peer, {})
        self._host.set_stream_handler(protocol, partial(self._handle, service))

    async def _handle(self, service: _Service, stream: Any) -> None:
        peer = stream.muxed_conn.peer_id
        caller = service.callers.setdefault(peer, _Caller(service.max_in_flight_per_peer))
        if caller.streams >= MAX_STREAMS:
            self._counters.add("streams_refused")
            await stream.reset()
            return
        caller.streams += 1
        try:
            with FrameReader(stream, self._inflow, service.max_request_bytes, idle_s=IDLE_S) as frames:
                await _Conversation(service, caller, peer, stream, frames, self._counters, self._on_request).run()
        except* RemoteProtocolError:
            self._counters.add("frames_refused")
        except* _Failed:
            self._counters.add("requests_failed")
        except* trio.TooSlowError:
            self._counters.add("streams_timed_out")
        except* StreamError:
            pass
        finally:
            caller.streams -= 1
            service.tidy(peer)
            await drop(stream)


class _Conversation:
    """One stream: frames come in, replies go out in the same order."""

    def __init__(
        self,
        service: _Service,
        caller: _Caller,
        peer: ID,
        stream: Any,
        frames: FrameReader,
        counters: Counters,
        on_request: OnRequest,
    ) -> None:
        self._service = service
        self._caller = caller
        self._peer = peer
        self._peer_text = peer.to_base58()
        self._stream = stream
        self._frames = frames
        self._counters = counters
        self._on_request = on_request
        self._slots: deque[Slot] = deque()
        self._wake = trio.Event()
        self._ended = False
        self._held = 0
        self._over = False

    async def run(self) -> None:
        """Until the peer ends the stream and has its replies. Raises a group of what went wrong."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._write)
        finally:
            self._over = True
            self._release(self._held - sum(not slot.settled for slot in self._slots))
        await self._stream.close()

    async def _read(self) -> None:
        try:
            while True:
                for payload in await self._frames.read():
                    await self._caller.gate.acquire()
                    self._held += 1
                    slot = Slot(self._on_settled)
                    self._slots.append(slot)
                    self._on_request(self._service.protocol, self._peer_text, payload, slot)
        except StreamEOF:
            if self._frames.pending:
                raise RemoteProtocolError("the stream ended inside a frame") from None
            self._ended = True
            self._wake.set()

    def _on_settled(self) -> None:
        if self._over:
            self._release(1)
            self._service.tidy(self._peer)
        self._wake.set()

    def _release(self, count: int) -> None:
        """Let so many further requests in. A reply counts until it is written: a peer may ask and never read."""
        self._held -= count
        for _ in range(count):
            self._caller.gate.release()

    async def _write(self) -> None:
        while self._slots or not self._ended:
            ready = []
            while self._slots and self._slots[0].settled and self._slots[0].reply is not None:
                ready.append(encode_frame(self._slots.popleft().reply or b""))
            if ready:
                self._counters.add("requests_served", len(ready))
                await self._stream.write(b"".join(ready))
                self._release(len(ready))
            elif self._slots and self._slots[0].settled:
                raise _Failed
            else:
                self._wake = trio.Event()
                await self._wake.wait()
