"""What the twin remembers."""

from typing import Annotated, Any

from pydantic import Field

from node.api.errors import NoSuchItem
from node.api.router import Routes
from node.api.wire import Integral, PageQuery, Wire, page
from node.clock import rfc3339
from node.memory.record import MAX_CONTENT_BYTES, MAX_LABEL_CHARS, MAX_TAG_CHARS, MAX_TAGS, Kind, Recalled, Role
from node.twin import Twin
from storage.memories import MemoryRow

routes = Routes("memory")

Namespace = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_CHARS, pattern=r"\S")]


class NewMemory(Wire):
    kind: Kind
    content: Annotated[str, Field(min_length=1, max_length=MAX_CONTENT_BYTES, pattern=r"\S")]
    namespace: Namespace = "private"
    role: Role | None = None
    session_id: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)] | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)


class MemoryId(Wire):
    id: str


class Search(Wire):
    query: Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]
    k: Annotated[int, Field(ge=1, le=100), Integral] = 5
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=3)] | None = None
    namespace: Namespace | None = None


class MemoryOut(Wire):
    id: str
    kind: str
    content: str
    namespace: str
    ts: str
    tags: list[str]
    source: str | None


class Hit(MemoryOut):
    score: float


class Hits(Wire):
    items: list[Hit]
    next: str | None


class MemoryPage(Wire):
    items: list[MemoryOut]
    next: str | None


class MemoryQuery(PageQuery):
    namespace: Namespace | None = None
    kind: Kind | None = None


@routes.add("POST", "/v1/memory", "Remember something.")
async def add(twin: Twin, body: NewMemory) -> MemoryId:
    memory_id = await twin.memory.add(
        kind=body.kind,
        content=body.content,
        namespace=body.namespace,
        role=body.role,
        session_id=body.session_id,
        tags=tuple(body.tags),
        source="api",
    )
    return MemoryId(id=memory_id)


@routes.add("POST", "/v1/memory/search", "What is remembered about something, nearest in meaning first.")
async def search(twin: Twin, body: Search) -> Hits:
    found = await twin.memory.search(
        body.query,
        k=body.k,
        kinds=None if body.kinds is None else tuple(body.kinds),
        namespaces=None if body.namespace is None else (body.namespace,),
    )
    return Hits(items=[_hit(memory) for memory in found], next=None)


@routes.add("GET", "/v1/memory", "All memories, newest first.")
async def list_memories(twin: Twin, query: MemoryQuery) -> MemoryPage:
    rows = await twin.memory.list(limit=query.limit, after=query.after, namespace=query.namespace, kind=query.kind)
    return MemoryPage(**page(rows, lambda memory: MemoryOut(**_members(memory))))


@routes.add("DELETE", "/v1/memory/{id}", "Forget one memory.")
async def forget(twin: Twin, id: str) -> MemoryId:  # noqa: A002 - the name in the path
    if not await twin.memory.forget(id):
        raise NoSuchItem("no memory has this id")
    return MemoryId(id=id)


def _hit(memory: Recalled) -> Hit:
    return Hit(**_members(memory), score=memory.score)


def _members(memory: Recalled | MemoryRow) -> dict[str, Any]:
    return {
        "id": memory.id,
        "kind": memory.kind,
        "content": memory.content,
        "namespace": memory.namespace,
        "ts": rfc3339(memory.ts_ms),
        "tags": list(memory.tags),
        "source": memory.source,
    }
