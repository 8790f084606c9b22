"""Server-sent events, bytes in and data out (HTML Living Standard, section 9.2): what model providers stream with.

Pure. Comments, event names and ids are passed over: both wire formats say all that counts in the data.
"""

from collections.abc import Iterator
from typing import Final

from node.inference.providers.errors import ProviderFailed
from protocols.limits import MAX_PROVIDER_EVENT_BYTES, MAX_PROVIDER_REPLY_BYTES

_BOM: Final = b"\xef\xbb\xbf"


class EventReader:
    """Reads one stream, in pieces of any size."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size_bytes = 0
        self._total_bytes = 0
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that `piece` completes. Raises ProviderFailed for what is too large."""
        self._total_bytes += len(piece)
        if self._total_bytes > MAX_PROVIDER_REPLY_BYTES:
            raise ProviderFailed(f"its answer has more than {MAX_PROVIDER_REPLY_BYTES} bytes")
        lines = self._lines(piece)
        if len(self._rest) + self._size_bytes > MAX_PROVIDER_EVENT_BYTES:
            raise ProviderFailed(f"an event of its answer has more than {MAX_PROVIDER_EVENT_BYTES} bytes")
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                yield b"\n".join(self._data)
                self._data, self._size_bytes = [], 0

    def _lines(self, piece: bytes) -> list[bytes]:
        """The lines that `piece` ends. A carriage return at the very end may be the half of a CRLF, and waits."""
        ends = b"\n" in piece or b"\r" in piece or self._rest.endswith(b"\r")
        self._rest += piece
        if not ends:
            return []  # so that a long line in small pieces is not looked through again with each of them
        text = bytes(self._rest)
        if not self._begun and len(text) >= len(_BOM):
            self._begun, text = True, text.removeprefix(_BOM)
        held = b"\r" if text.endswith(b"\r") else b""
        *lines, rest = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = bytearray(rest + held)
        return lines

    def _take(self, line: bytes) -> None:
        if not line.startswith(b"data"):
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size_bytes += len(value) + 1
            if self._size_bytes > MAX_PROVIDER_EVENT_BYTES:
                raise ProviderFailed(f"an event of its answer has more than {MAX_PROVIDER_EVENT_BYTES} bytes")
