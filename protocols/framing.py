"""Frames on a byte stream: an unsigned varint length (multiformats), then so many bytes."""

from typing import Final

from identity.errors import MalformedMultibase
from identity.multibase import decode_varint, encode_varint
from protocols.errors import MalformedMessage, TooLarge

_MAX_PREFIX_BYTES: Final = 5
"""A length of 32 GiB; a longer prefix is refused before it is whole."""


def encode_frame(payload: bytes) -> bytes:
    """One frame that holds `payload`."""
    return encode_varint(len(payload)) + payload


class FrameDecoder:
    """Cuts a byte stream into frames of at most `max_bytes` each.

    After an error the stream has no known frame border: drop the connection, every later `feed` raises too.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._need = -1  # the length of the frame that is under way; -1 while its prefix is incomplete
        self._broken = False

    @property
    def pending(self) -> bool:
        """Whether part of a frame is held: the end of the stream here means that it was cut short."""
        return self._need >= 0 or bool(self._buffer)

    @property
    def missing_bytes(self) -> int:
        """How many bytes the frame that is under way still needs; 0 while its length is not known."""
        return max(self._need - len(self._buffer), 0)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes of the stream and return the payloads that they complete, in order.

        Raises TooLarge as soon as a length over the bound is announced, and MalformedMessage for a wrong prefix.
        Holds at most one frame and one chunk.
        """
        if self._broken:
            raise MalformedMessage("the stream was refused before")
        self._buffer += chunk
        payloads = []
        while self._need >= 0 or self._read_prefix():
            if len(self._buffer) < self._need:
                break
            with memoryview(self._buffer) as view:
                payloads.append(bytes(view[: self._need]))
            del self._buffer[: self._need]
            self._need = -1
        return payloads

    def _read_prefix(self) -> bool:
        head = bytes(self._buffer[:_MAX_PREFIX_BYTES])
        if len(head) < _MAX_PREFIX_BYTES and all(byte & 0x80 for byte in head):
            return False
        try:
            need, size = decode_varint(head)
        except MalformedMultibase as error:
            self._broken = True
            raise MalformedMessage("a frame's length is not a varint") from error
        if need > self._max_bytes:
            self._broken = True
            raise TooLarge(f"a frame of {need} bytes; {self._max_bytes} are allowed")
        del self._buffer[:size]
        self._need = need
        return True
