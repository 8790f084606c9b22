"""Reading a tar stream as it comes: one member after another, never more of it in memory than a piece.

Formats: ustar, its pax extensions (POSIX.1-2001) and those of GNU for long names. What a member is called is given as
it stands there: whether the path is safe is the caller's to decide.
"""

import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from node.content.errors import TreeRefused
from protocols import limits

_BLOCK: Final = 512
_PIECE: Final = 1024 * 1024
_PAX: Final = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_KINDS: Final[dict[bytes, Literal["file", "folder", "symlink"]]] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member. `target` is where a symbolic link leads; `size_bytes` is that of a file's content."""

    path: str
    kind: Literal["file", "folder", "symlink"]
    size_bytes: int
    target: str


class TarStream:
    """A tar file that arrives in pieces of any size. Raises TreeRefused for what is no tar, or cut short."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._content = 0
        """Bytes of the present member's content that were not read yet."""
        self._padding = 0

    async def members(self) -> AsyncIterator[Member]:
        """The members in order. The content of one is passed over if `content` did not read it.

        Raises TreeRefused for hard links, devices and pipes too.
        """
        names: dict[str, str] = {}
        while (info := await self._next_header()) is not None:
            if info.type in _PAX:
                names |= _pax_names(await self._small_content())
            elif info.type == tarfile.XGLTYPE:
                await self._small_content()
            elif info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                key = "path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
                names[key] = _text((await self._small_content()).rstrip(b"\0"))
            else:
                yield self._member(info, names)
                names = {}

    async def content(self) -> AsyncIterator[bytes]:
        """The content of the member that came last."""
        while self._content:
            piece = await self._take_some(min(self._content, _PIECE))
            self._content -= len(piece)
            yield piece

    def _member(self, info: tarfile.TarInfo, names: dict[str, str]) -> Member:
        path = names.get("path", info.name)
        kind = _KINDS.get(info.type)
        if kind is None:
            what = "a hard link" if info.type == tarfile.LNKTYPE else "a device, a pipe or something of that sort"
            raise TreeRefused(f"{path[:200]!r} is {what}: only files, folders and symbolic links can be kept")
        if "size" in names:
            self._announce(_number(names["size"]))
        if kind == "file" and path.endswith("/"):
            kind = "folder"  # as tar wrote folders before there was a type for them
        if kind != "file" and self._content:
            raise TreeRefused(f"{path[:200]!r} has content, but is no file")
        return Member(path, kind, self._content, names.get("linkpath", info.linkname))

    async def _next_header(self) -> tarfile.TarInfo | None:
        """The next header; None at the end of the archive, whose rest is read and dropped."""
        async for _ in self.content():
            pass
        if self._padding:
            await self._take(self._padding)
        header = await self._take(_BLOCK)
        if not any(header):
            await self._drain()
            return None
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise TreeRefused("the folder was not sent as a tar stream, or was damaged on its way") from error
        self._announce(info.size)
        return info

    def _announce(self, size_bytes: int) -> None:
        if size_bytes < 0:
            raise TreeRefused("the tar stream names a size below zero")
        self._content, self._padding = size_bytes, -size_bytes % _BLOCK

    async def _small_content(self) -> bytes:
        """The content of a header that describes the next member."""
        if self._content > limits.MAX_TAR_HEADER_BYTES:
            raise TreeRefused(f"a header of the tar stream has over {limits.MAX_TAR_HEADER_BYTES} bytes")
        return b"".join([piece async for piece in self.content()])

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += await self._more()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _take_some(self, most: int) -> bytes:
        """What is there, but no more than `most` bytes; at least one."""
        if not self._buffer:
            piece = await self._more()
            if len(piece) <= most:
                return piece
            self._buffer += piece
        taken = bytes(self._buffer[:most])
        del self._buffer[:most]
        return taken

    async def _more(self) -> bytes:
        async for piece in self._stream:
            if piece:
                return piece
        raise TreeRefused("the tar stream ends in the middle")

    async def _drain(self) -> None:
        """Read on to the end, so that whoever sends is not cut off."""
        rest = len(self._buffer)
        self._buffer.clear()
        while rest <= limits.MAX_TAR_TAIL_BYTES:
            piece = await anext(self._stream, None)
            if piece is None:
                return
            rest += len(piece)
        raise TreeRefused("too much stands behind the end of the tar stream")


def _pax_names(content: bytes) -> dict[str, str]:
    """The records of a pax header (`LENGTH KEY=VALUE\\n`) that are of interest: path, linkpath and size."""
    names: dict[str, str] = {}
    while content:
        length, space, _ = content.partition(b" ")
        size = _number(_text(length[:8]))
        record, content = content[len(length) + 1 : size], content[size:]
        key, equals, value = record.partition(b"=")
        if not space or not equals or not value.endswith(b"\n") or len(record) != size - len(length) - 1:
            raise TreeRefused("a pax header of the tar stream is damaged")
        if key in (b"path", b"linkpath", b"size"):
            names[key.decode()] = _text(value[:-1])
        elif key.startswith(b"GNU.sparse"):
            raise TreeRefused("the tar stream has a file with holes; make it without --sparse")
    return names


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise TreeRefused("a pax header of the tar stream is damaged")
    return int(text)
