"""Making files and folders into blocks, piece by piece: hashing goes on beside reading and writing.

Nothing is kept of what is refused: the caller takes back what the sink has written.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from node.content.errors import TreeRefused
from node.content.paths import check_link, safe_names
from node.content.tar import Member, TarStream
from node.content.writing import Sink
from protocols import limits
from protocols.unixfs.directory import build_directory, build_symlink
from protocols.unixfs.layout import Entry, FileBuilder

PIECE_BYTES: Final = 256 * 1024
"""What is handed to the hashing thread at once: a way there and back costs as much as hashing 50 KB."""

_SMALL_BYTES: Final = 64 * 1024
"""Less than this is hashed at once, without a thread."""


async def add_file(stream: AsyncIterable[bytes], sink: Sink, *, chunk_bytes: int) -> Entry:
    """The blocks of one file, in pieces of any size."""
    builder = FileBuilder(chunk_bytes)
    under_way = None
    async for piece in _in_pieces(stream):
        if under_way is not None:
            await sink.put(await under_way)
            under_way = None
        if len(piece) < _SMALL_BYTES:
            await sink.put(builder.feed(piece))
        else:
            under_way = asyncio.get_running_loop().run_in_executor(None, builder.feed, piece)
    if under_way is not None:
        await sink.put(await under_way)
    entry, blocks = builder.finish()
    await sink.put(blocks)
    return entry


async def _in_pieces(stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    async for part in stream:
        gathered.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if size:
        yield b"".join(gathered)


@dataclass(slots=True)
class _Folder:
    """A folder whose entries are still coming."""

    entries: dict[str, "Entry | _Folder"] = field(default_factory=dict)


async def add_tree(stream: AsyncIterator[bytes], sink: Sink, *, chunk_bytes: int) -> tuple[Entry, int]:
    """The blocks of a folder that comes as a tar stream, as `ipfs add -r` makes them, and the bytes of all its files.

    Raises TreeRefused.
    """
    tar, top, count, size_bytes = TarStream(stream), _Folder(), 0, 0
    async for member in tar.members():
        count += 1
        if count > limits.MAX_TREE_ENTRIES:
            raise TreeRefused(f"the folder has over {limits.MAX_TREE_ENTRIES} entries")
        names = safe_names(member.path)
        if member.kind == "folder":
            _folder_at(top, names)
        elif not names:
            raise TreeRefused("the folder itself is sent as a file")
        else:
            size_bytes += await _add_member(top, names, member, tar, sink, chunk_bytes)
    return await _finish(top, sink), size_bytes


async def _add_member(
    top: _Folder, names: tuple[str, ...], member: Member, tar: TarStream, sink: Sink, chunk_bytes: int
) -> int:
    """Add a file or a symbolic link; the bytes of the file."""
    folder = _folder_at(top, names[:-1])
    if names[-1] in folder.entries:
        raise TreeRefused(f"{member.path[:200]!r} comes twice")
    if member.kind == "symlink":
        check_link(names, member.target)
        entry, blocks = build_symlink(member.target)
        await sink.put(blocks)
    else:
        entry = await add_file(tar.content(), sink, chunk_bytes=chunk_bytes)
    folder.entries[names[-1]] = entry
    return entry.file_bytes


def _folder_at(top: _Folder, names: tuple[str, ...]) -> _Folder:
    """The folder of a path, made where it is missing: not every program sends the folders themselves."""
    folder = top
    for name in names:
        found = folder.entries.setdefault(name, _Folder())
        if not isinstance(found, _Folder):
            raise TreeRefused(f"{'/'.join(names)[:200]!r} leads through what is no folder")
        folder = found
    return folder


async def _finish(folder: _Folder, sink: Sink) -> Entry:
    """The blocks of a folder and of all below, from the bottom up. No deeper than a path has parts."""
    entries = {
        name: await _finish(entry, sink) if isinstance(entry, _Folder) else entry
        for name, entry in folder.entries.items()
    }
    return await add_folder(entries, sink)


async def add_folder(entries: dict[str, Entry], sink: Sink) -> Entry:
    """The blocks of a folder whose entries were added."""
    entry, blocks = build_directory(entries)
    await sink.put(blocks)
    return entry
