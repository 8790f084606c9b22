"""Documents as memories: each piece of a document is a semantic memory whose source is the document.

What is in memory is compared with what is read, piece by piece: only what is new is added, only what is gone is
forgotten, and whatever a crash left half done is finished when the document is given again. The row that says that a
document was read is written last.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from weakref import WeakValueDictionary

from node.clock import NowMs, now_ms
from node.memory.documents.errors import DocumentError, DocumentTooLarge, DocumentUnknown
from node.memory.documents.kinds import DocumentKind, kind_of, known_endings, language_of
from node.memory.documents.reading import MAX_DOCUMENT_BYTES, OUT_OF_PROCESS, READER_VERSION, Read, read_document
from node.memory.documents.worker import read_elsewhere
from node.memory.record import MAX_TAGS, By, NewMemory, checked_namespace
from storage import documents as rows
from storage.database import Database
from storage.documents import DocumentRow
from storage.page import Page

MAX_SOURCE_CHARS: Final = 1024
MAX_READING: Final = 2
"""Documents that are read at once: each takes a core while it lasts."""

_AT_ONCE: Final = 256
"""Memories in one transaction: others that write wait for it."""


class Remembering(Protocol):
    """What this needs of the memory."""

    async def add_many(self, items: Sequence[NewMemory], *, by: By) -> list[str]: ...

    async def forget_many(self, memory_ids: Sequence[str]) -> int: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of giving a document. `pieces` is how many it has now."""

    source: str
    title: str
    pieces: int
    added: int
    forgotten: int


class Documents:
    """The documents that this twin has read. Only its owner gives it some: they may stand in any namespace."""

    def __init__(self, database: Database, memory: Remembering, *, now: NowMs = now_ms) -> None:
        self._database = database
        self._memory = memory
        self._now = now
        self._reading = asyncio.Semaphore(MAX_READING)
        self._changing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def unchanged(self, wanted: Sequence[tuple[str, str]], *, namespace: str) -> list[str]:
        """Those of the (source, sha256 in hex) of which everything is in that namespace already."""
        return await self._database.read(
            lambda conn: rows.unchanged(conn, wanted, namespace=checked_namespace(namespace), reader=READER_VERSION)
        )

    async def take(
        self, data: bytes, *, source: str, namespace: str, name: str | None = None, tags: Sequence[str] = ()
    ) -> Taken:
        """Remember a document, or what is new in it. `name` tells the kind where `source` does not.

        Raises DocumentError, DocumentUnreadable, DocumentTooLarge, BadMemory or a StorageError.
        """
        checked_namespace(namespace)
        if not source.strip() or len(source) > MAX_SOURCE_CHARS:
            raise DocumentError(f"a document's source has 1 to {MAX_SOURCE_CHARS} characters")
        if "/" not in source and "\\" not in source and kind_of(source) is None:
            raise DocumentError(f"{source!r} is no path or URL: what the owner told has such a source")
        if len(data) > MAX_DOCUMENT_BYTES:
            raise DocumentTooLarge(f"{source} has {len(data)} bytes; {MAX_DOCUMENT_BYTES} are taken")
        kind = kind_of(name or source)
        if kind is None:
            endings = ", ".join(known_endings())
            raise DocumentError(f"{name or source}: not a kind of document that is read (these are: {endings})")
        short = (name or source).replace("\\", "/").rstrip("/").rpartition("/")[2]
        async with self._alone_with(source):
            read = await self._read(data, kind, short)
            return await self._keep(read, data, source=source, kind=kind, namespace=namespace, tags=tags)

    async def remove(self, source: str) -> int:
        """Forget a document and all of its memories; how many those were. Raises DocumentUnknown."""
        async with self._alone_with(source):
            known = await self._database.read(lambda conn: (rows.get(conn, source), rows.memories_of(conn, source)))
            if known[0] is None:
                raise DocumentUnknown(f"no document {source!r} was ingested")
            forgotten = await self._memory.forget_many([memory_id for memory_id, _, _ in known[1]])
            await self._database.write(lambda conn: rows.delete(conn, source))
            return forgotten

    async def list(self, limit: int, after: str | None = None, *, below: str | None = None) -> Page[DocumentRow]:
        """The documents, the newest first; with `below` those whose source begins with it. Raises BadCursor."""
        return await self._database.read(lambda conn: rows.listed(conn, limit=limit, after=after, below=below))

    def _alone_with(self, source: str) -> asyncio.Lock:
        """Held by whoever changes what is remembered of a document; it is there for as long as somebody has it."""
        return self._changing.setdefault(source, asyncio.Lock())

    async def _read(self, data: bytes, kind: DocumentKind, name: str) -> Read:
        async with self._reading:
            if kind in OUT_OF_PROCESS:
                return await read_elsewhere(data, kind, name)
            return await asyncio.to_thread(read_document, data, kind, name)

    async def _keep(
        self, read: Read, data: bytes, *, source: str, kind: DocumentKind, namespace: str, tags: Sequence[str]
    ) -> Taken:
        held = await self._database.read(lambda conn: rows.memories_of(conn, source))
        spare: defaultdict[str, list[str]] = defaultdict(list)
        gone = [memory_id for memory_id, place, _ in held if place != namespace]
        for memory_id, place, content in held:
            if place == namespace:
                spare[content].append(memory_id)
        new: list[NewMemory] = []
        language = language_of(source) if kind == "code" else None
        labels = tuple(dict.fromkeys((*tags, *((language,) if language else ()))))[:MAX_TAGS]
        for piece in read.pieces:
            if spare[piece.content]:
                spare[piece.content].pop()
            else:
                new.append(
                    NewMemory(kind="semantic", content=piece.content, namespace=namespace, source=source, tags=labels)
                )
        gone += [memory_id for ids in spare.values() for memory_id in ids]
        if new or gone:
            await self._database.write(lambda conn: rows.begin_change(conn, source))
        for start in range(0, len(new), _AT_ONCE):
            await self._memory.add_many(new[start : start + _AT_ONCE], by="owner")
        if gone:
            await self._memory.forget_many(gone)
        await self._database.write(
            lambda conn: rows.put(
                conn,
                source,
                title=read.title,
                kind=kind,
                namespace=namespace,
                sha256=hashlib.sha256(data).hexdigest(),
                reader=READER_VERSION,
                size_bytes=len(data),
                pieces=len(read.pieces),
                updated_ms=self._now(),
            )
        )
        return Taken(source, read.title, len(read.pieces), len(new), len(gone))
