"""What every stream of ours needs: reading frames under time and memory bounds, and dropping it. On the trio side."""

from types import TracebackType
from typing import Any, Final, Self

import trio

from protocols.errors import RemoteProtocolError
from protocols.framing import FrameDecoder

MAX_FRAME_BYTES: Final = 2 * 1024 * 1024
"""A request or a reply of ours, and a reply that is taken from a peer: twice the largest sync answer."""

FRAME_S: Final = 30.0
"""A frame that has begun must be whole within this time, or its stream is reset: a byte now and then keeps no room."""

MAX_HALF_RECEIVED_BYTES: Final = 256 * 1024 * 1024
"""Frames that have begun, of all streams together. Connections times streams times the longest frame would be 10 GB."""

_READ_BYTES: Final = 512 * 1024


class Inflow:
    """How much of unfinished frames is held in memory, over all streams of one host."""

    def __init__(self) -> None:
        self.held_bytes = 0


class FrameReader:
    """Reads a peer's frames of at most `max_bytes` from a stream. A context manager: leaving it frees what it holds.

    A stream without frames is given up after `idle_s` seconds.
    """

    def __init__(self, stream: Any, inflow: Inflow, max_bytes: int, *, idle_s: float) -> None:
        self._stream = stream
        self._inflow = inflow
        self._idle_s = idle_s
        self._decoder = FrameDecoder(max_bytes)
        self._begun_at: float | None = None
        self._held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hold(0)

    @property
    def pending(self) -> bool:
        """Whether part of a frame is held."""
        return self._decoder.pending

    async def read(self) -> list[bytes]:
        """Wait for more; return the frames that are whole now, perhaps none.

        Raises StreamError at the stream's end, trio.TooSlowError, RemoteProtocolError.
        """
        now = trio.current_time()
        ends_at = now + self._idle_s if self._begun_at is None else self._begun_at + FRAME_S
        self._stream.muxed_stream.wake_at(self._decoder.missing_bytes)
        with trio.fail_at(max(ends_at, now)):
            chunk = await self._stream.read(_READ_BYTES)
        frames = self._decoder.feed(chunk)
        if not self._decoder.pending:
            self._begun_at = None
            self._hold(0)
        else:
            if frames or self._begun_at is None:
                self._begun_at = trio.current_time()
                self._hold(0)
            self._hold(self._held_bytes + len(chunk))
            if self._inflow.held_bytes > MAX_HALF_RECEIVED_BYTES:
                raise RemoteProtocolError("too much is half received")
        return frames

    def _hold(self, size_bytes: int) -> None:
        self._inflow.held_bytes += size_bytes - self._held_bytes
        self._held_bytes = size_bytes


async def drop(stream: Any) -> None:
    """Reset a stream, also while this task is being cancelled; the peer's slowness costs at most one second."""
    with trio.move_on_after(1) as scope:
        scope.shield = True
        await stream.reset()
