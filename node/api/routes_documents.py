"""Documents that the twin has read: each piece of one is a memory."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from node.api.errors import BodyTooLarge
from node.api.router import Routes
from node.api.routes_memory import Namespace
from node.api.wire import Integral, PageQuery, Query, Wire, page
from node.clock import rfc3339
from node.memory.documents.documents import MAX_SOURCE_CHARS
from node.memory.documents.reading import MAX_DOCUMENT_BYTES
from node.memory.record import MAX_TAGS
from node.twin import Twin
from storage.documents import DocumentRow

routes = Routes("documents")

MAX_ASKED = 500
"""Documents that are asked about at once."""

Source = Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_CHARS, pattern=r"\S")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TakeQuery(Query):
    """`source` is a path or a URL; `name` tells the kind where that does not. `tags` are separated by commas."""

    source: Source
    namespace: Namespace = "domain"
    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    tags: Annotated[str, Field(max_length=1024)] = ""


class TakenOut(Wire):
    source: str
    title: str
    pieces: int
    added: int
    forgotten: int


class Digest(Wire):
    source: Source
    sha256: Sha256


class Asked(Wire):
    namespace: Namespace = "domain"
    items: Annotated[list[Digest], Field(max_length=MAX_ASKED)]


class Unchanged(Wire):
    sources: list[str]


class DocumentOut(Wire):
    source: str
    title: str
    kind: str
    namespace: str
    sha256: str
    size_bytes: int
    pieces: int
    read: str


class DocumentPage(Wire):
    items: list[DocumentOut]
    next: str | None


class DocumentsQuery(PageQuery):
    """`below` keeps the documents whose source begins with it."""

    below: Source | None = None


class SourceQuery(Query):
    source: Source


class Forgotten(Wire):
    source: str
    forgotten: Annotated[int, Integral]


@routes.add(
    "POST",
    "/v1/documents",
    "Read a document into memory: text, Markdown, HTML, PDF or source code. Again, only what is new in it is added.",
    consumes="application/octet-stream",
)
async def take(twin: Twin, query: TakeQuery, request: web.Request) -> TakenOut:
    data = await _body(request)
    tags = tuple(dict.fromkeys(tag for part in query.tags.split(",") if (tag := part.strip())))[:MAX_TAGS]
    taken = await twin.documents.take(data, source=query.source, namespace=query.namespace, name=query.name, tags=tags)
    return TakenOut(
        source=taken.source, title=taken.title, pieces=taken.pieces, added=taken.added, forgotten=taken.forgotten
    )


@routes.add("POST", "/v1/documents/unchanged", "Which of these documents were read already as they are.")
async def unchanged(twin: Twin, body: Asked) -> Unchanged:
    wanted = [(item.source, item.sha256) for item in body.items]
    return Unchanged(sources=await twin.documents.unchanged(wanted, namespace=body.namespace))


@routes.add("GET", "/v1/documents", "The documents that were read, the newest first.")
async def list_documents(twin: Twin, query: DocumentsQuery) -> DocumentPage:
    rows = await twin.documents.list(query.limit, query.after, below=query.below)
    return DocumentPage(**page(rows, lambda row: DocumentOut(**_members(row))))


@routes.add("DELETE", "/v1/documents", "Forget a document and all memories of it.")
async def remove(twin: Twin, query: SourceQuery) -> Forgotten:
    return Forgotten(source=query.source, forgotten=await twin.documents.remove(query.source))


async def _body(request: web.Request) -> bytes:
    """The whole body. Raises BodyTooLarge before more than that is held."""
    if (request.content_length or 0) > MAX_DOCUMENT_BYTES:
        raise BodyTooLarge(f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    data = bytearray()
    async for piece in request.content.iter_chunked(1 << 16):
        data += piece
        if len(data) > MAX_DOCUMENT_BYTES:
            raise BodyTooLarge(f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    return bytes(data)


def _members(row: DocumentRow) -> dict[str, Any]:
    return {
        "source": row.source,
        "title": row.title,
        "kind": row.kind,
        "namespace": row.namespace,
        "sha256": row.sha256,
        "size_bytes": row.size_bytes,
        "pieces": row.pieces,
        "read": rfc3339(row.updated_ms),
    }
