"""Content by CID: files, folders and DAGs, in and out of wherever this twin's blocks are, and what is kept of them.

What is acknowledged is whole, on disk and pinned, in this order; what fails on the way leaves nothing behind, but for
a fetch: its blocks stay until the next collection, so that it goes on where it was.
"""

from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.errors import PagiError
from node.content import reading
from node.content.adding import add_file, add_folder, add_tree
from node.content.blocks import Backend, Blocks, Collected, Hold, Roots, Usage
from node.content.car import export_car, import_car
from node.content.errors import NotPinned
from node.content.reading import Listed, Opened, Stat
from node.content.walking import Fetched, Report, fetch_dag
from node.content.writing import Bringing, Sink, bringing_in, unbroken, writing
from node.errors import ContentTooLarge
from protocols.unixfs.layout import CHUNK_BYTES, Entry
from storage.errors import StorageFull
from storage.page import Page
from storage.pins import Pin, PinKind

MAX_READ_BYTES: Final = 64 * 1024 * 1024
"""What `read` holds in memory at most: receipts and credentials are far smaller."""


@dataclass(frozen=True, slots=True)
class Added:
    """What was added. `size_bytes` are those of the files, `total_bytes` those of all blocks under the CID."""

    cid: Cid
    size_bytes: int
    total_bytes: int


class Content:
    """The files, folders and DAGs of one twin. `roots` names what a collection must not take besides the pins."""

    def __init__(self, *, blocks: Blocks, roots: Roots) -> None:
        self._blocks = blocks
        self._roots = roots
        self._in_use: Counter[Cid] = Counter()
        self.counters: Counter[str] = Counter()

    @property
    def backend(self) -> Backend:
        """Where the blocks are."""
        return self._blocks.backend

    async def here(self, cid: Cid) -> bytes | None:
        """A block that is here, its hash checked; None if it is not. Nobody is asked for it."""
        return await self._blocks.get(cid)

    async def check(self) -> str:
        """One line about the backend. Raises BackendUnavailable."""
        return await self._blocks.check()

    # Adding

    async def add(self, data: bytes, *, name: str | None = None) -> tuple[Cid, int]:
        """Keep a file and pin it, by this name; its CID and its size in bytes. Raises StorageFull."""

        async def whole() -> AsyncIterator[bytes]:
            yield data

        added = await self.add_stream(whole(), name=name)
        return added.cid, added.size_bytes

    async def add_stream(
        self,
        stream: AsyncIterable[bytes],
        *,
        chunk_bytes: int = CHUNK_BYTES,
        wrap: str | None = None,
        name: str | None = None,
        pin: bool = True,
    ) -> Added:
        """Keep a file of any size that comes in pieces of any size.

        `wrap` puts it into a folder under this name; `name` is what the pin is called. Raises StorageFull or
        UnusableName, and whatever the stream raises; then nothing of it is kept.
        """

        async def build(sink: Sink) -> tuple[Entry, int]:
            entry = await add_file(self._bounded(stream), sink, chunk_bytes=chunk_bytes)
            return await _wrapped(entry, wrap, sink), entry.file_bytes

        return await self._add(build, name=name, pin=pin)

    async def add_tree(
        self,
        tar: AsyncIterable[bytes],
        *,
        chunk_bytes: int = CHUNK_BYTES,
        wrap: str | None = None,
        name: str | None = None,
        pin: bool = True,
    ) -> Added:
        """Keep a folder that comes as a tar stream. The rest as `add_stream`; raises TreeRefused too."""

        async def build(sink: Sink) -> tuple[Entry, int]:
            entry, size_bytes = await add_tree(self._bounded(tar), sink, chunk_bytes=chunk_bytes)
            return await _wrapped(entry, wrap, sink), size_bytes

        return await self._add(build, name=name, pin=pin)

    async def _add(
        self, build: Callable[[Sink], Awaitable[tuple[Entry, int]]], *, name: str | None, pin: bool
    ) -> Added:
        async with self._bringing_in() as bringing:
            async with writing(bringing.hold) as sink:
                entry, size_bytes = await build(sink)
            if pin:
                await self._pin_last(bringing, [entry.cid], name)
        return Added(entry.cid, size_bytes, entry.total_bytes)

    @asynccontextmanager
    async def _bringing_in(self) -> AsyncIterator[Bringing]:
        try:
            async with bringing_in(self._blocks) as bringing:
                yield bringing
        except BaseException:
            self.counters["content_not_taken"] += 1
            raise
        self.counters["content_taken"] += 1

    async def _bounded(self, stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The stream, as far as it may go: what is longer than the quota cannot be kept, unless it repeats itself."""
        quota_bytes, size_bytes = (await self._blocks.usage()).quota_bytes, 0
        async for piece in stream:
            size_bytes += len(piece)
            if size_bytes > quota_bytes:
                raise StorageFull(f"this is longer than the quota of {quota_bytes} bytes")
            yield piece

    async def _pin_last(self, bringing: Bringing, cids: Sequence[Cid], name: str | None) -> None:
        """Pin what is whole. What was pinned is kept, also if its caller has gone meanwhile."""

        async def pin_all() -> None:
            for cid in cids:
                await self._blocks.pin(cid, "recursive", name)
                bringing.kept = True

        await unbroken(pin_all())

    # Reading

    @contextmanager
    def _using(self, cid: Cid) -> Iterator[None]:
        """A collection that begins meanwhile takes nothing of this DAG."""
        self._in_use[cid] += 1
        try:
            yield
        finally:
            self._in_use[cid] -= 1
            self._in_use += Counter()  # drops what nobody uses

    async def open(self, path: Cid | str) -> Opened:
        """A file by its CID or by a path such as `CID/folder/file`. A block that is neither file nor folder is a file
        of its own bytes.

        Raises ContentUnavailable, WrongKind for a folder or a link, NoSuchEntry, UnusablePath and MalformedMessage.
        """
        return await reading.open_file(self._blocks, path)

    async def cat(self, path: Cid | str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes of a file from `start` on, at most `length` of them, as they come. What is missing is fetched, and
        not kept. Close it when it is not read to its end. Raises what `open` raises, and RangeUnsatisfiable.
        """
        async with aclosing(self.read_open(await self.open(path), start, length)) as pieces:
            async for piece in pieces:
                yield piece

    async def read_open(self, opened: Opened, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The same of a file that is open."""
        with self._using(opened.cid):
            async with aclosing(reading.read_range(self._blocks, opened, start, length)) as pieces:
                async for piece in pieces:
                    yield piece

    async def read(self, path: Cid | str) -> bytes:
        """A file whole. Raises ContentTooLarge over MAX_READ_BYTES, and what `cat` raises."""
        opened = await self.open(path)
        if opened.size_bytes > MAX_READ_BYTES:
            raise ContentTooLarge(f"{opened.cid} has {opened.size_bytes} bytes; at most {MAX_READ_BYTES} are held")
        return b"".join([piece async for piece in self.read_open(opened)])

    async def resolve(self, path: Cid | str) -> Cid:
        """The CID at the end of a path."""
        return await reading.resolve(self._blocks, path)

    async def stat(self, path: Cid | str) -> Stat:
        """What a CID or a path leads to."""
        return await reading.stat(self._blocks, path)

    async def ls(self, path: Cid | str, *, limit: int, after: str | None = None) -> Page[Listed]:
        """The entries of a folder, by name. Raises WrongKind for what is no folder."""
        return await reading.ls(self._blocks, path, limit=limit, after=after)

    # Keeping

    async def fetch(self, cid: Cid, *, report: Report | None = None) -> Fetched:
        """Have the whole of a DAG here. What came stays if it fails, so the next time goes on from there."""
        async with self._blocks.hold() as hold:
            return await self._fetch(hold, cid, report)

    async def pin(
        self, cid: Cid, kind: PinKind = "recursive", name: str | None = None, *, report: Report | None = None
    ) -> Fetched:
        """Have a DAG, or one block, here and keep it. The pin is made when everything is here; raises what `fetch`
        raises."""
        async with self._blocks.hold() as hold:
            fetched = await self._fetch(hold, cid, report, root_only=kind == "direct")
            await self._blocks.pin(cid, kind, name)
        return fetched

    async def _fetch(self, hold: Hold, cid: Cid, report: Report | None, *, root_only: bool = False) -> Fetched:
        try:
            fetched = await fetch_dag(self._blocks, hold, cid, report=report, root_only=root_only)
        except PagiError:
            self.counters["content_fetches_failed"] += 1
            raise
        self.counters["content_fetches"] += 1
        self.counters["content_blocks_fetched"] += fetched.new_blocks
        return fetched

    async def unpin(self, cid: Cid) -> None:
        """Need it no longer; its blocks stay until the next collection. Raises NotPinned."""
        if not await self._blocks.unpin(cid):
            raise NotPinned(f"{cid} is not pinned")

    async def pins(
        self, *, limit: int, after: str | None = None, kind: PinKind | None = None, name: str | None = None
    ) -> Page[Pin]:
        """What is pinned, oldest first."""
        return await self._blocks.pins(limit=limit, after=after, kind=kind, name=name)

    async def collect(self) -> Collected:
        """Remove every block that nothing needs: no pin, no transfer under way, nothing of `roots`.

        Raises PinBroken if a block of a pin is lost, so that nobody knows what else it needs; then nothing is removed.
        """
        collected = await self._blocks.collect(self.live)
        self.counters["content_blocks_collected"] += collected.blocks
        return collected

    async def live(self) -> Collection[Cid]:
        """The roots of all that is needed besides the pins, what is being read included."""
        return {*await self._roots(), *self._in_use}

    async def usage(self) -> Usage:
        """How much is kept, and how much may be."""
        return await self._blocks.usage()

    # CAR files

    async def export_car(self, cid: Cid) -> AsyncGenerator[bytes, None]:
        """A DAG as a CAR file. Close it when it is not read to its end."""
        with self._using(cid):
            async with aclosing(export_car(self._blocks, cid)) as pieces:
                async for piece in pieces:
                    yield piece

    async def import_car(
        self, stream: AsyncIterable[bytes], *, pin: bool = True, name: str | None = None
    ) -> tuple[Cid, ...]:
        """Keep what a CAR file has, and pin its roots. Raises CarRefused, MalformedMessage, TooLarge and StorageFull;
        then nothing of it is kept."""
        async with self._bringing_in() as bringing:
            roots = await import_car(self._blocks, bringing.hold, self._bounded(stream))
            if pin:
                await self._pin_last(bringing, roots, name)
        return roots


async def _wrapped(entry: Entry, name: str | None, sink: Sink) -> Entry:
    return entry if name is None else await add_folder({name: entry}, sink)
