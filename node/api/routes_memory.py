"""What the twin remembers: adding, finding, showing and forgetting."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from node.api.errors import NoSuchItem
from node.api.router import Routes
from node.api.wire import Integral, PageQuery, Wire, page
from node.clock import MachineZone, rfc3339
from node.memory import record
from node.memory.errors import BadPeriod
from node.memory.forgetting import MAX_SHOWN, Forgotten, Held, Target
from node.memory.record import MAX_CONTENT_BYTES, MAX_LABEL_CHARS, MAX_TAG_CHARS, MAX_TAGS, Kind, Recalled, Role
from node.memory.when import Period, period
from node.twin import Twin
from storage.memories import MemoryRow

routes = Routes("memory")

Namespace = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_CHARS, pattern=r"\S")]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS, pattern=r"\S")]
When = Annotated[
    str, Field(min_length=1, max_length=200, description='a time such as "last Tuesday", "in May" or "2026-05-14"')
]
Wanted = Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]
Share = Annotated[float, Field(ge=0, le=1)]


class NewMemory(Wire):
    kind: Kind
    content: Annotated[str, Field(min_length=1, max_length=MAX_CONTENT_BYTES, pattern=r"\S")]
    namespace: Namespace = "private"
    role: Role | None = None
    session_id: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)] | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)
    importance: Share = 0.5


class MemoryId(Wire):
    id: str


class Search(Wire):
    query: Wanted
    k: Annotated[int, Field(ge=1, le=100), Integral] = 5
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=3)] | None = None
    namespace: Namespace | None = None
    when: When | None = None


class MemoryOut(Wire):
    """`ts` is when it was kept, `happened` when it happened."""

    id: str
    kind: str
    content: str
    namespace: str
    ts: str
    tags: list[str]
    source: str | None
    session_id: str | None
    happened: str
    importance: float
    mood: str | None
    outcome: str | None
    with_did: str | None


class Hit(MemoryOut):
    """`score` is the cosine to the query; `weight` is what the order is by, and `why` what went into it."""

    score: float
    weight: float
    why: list[str]
    contradicts: list[str]


class Hits(Wire):
    items: list[Hit]
    next: str | None


class MemoryPage(Wire):
    items: list[MemoryOut]
    next: str | None


class MemoryDetail(MemoryOut):
    """One memory with all that is known of it; the lists are ids."""

    role: str | None
    activation: float | None
    expires: str | None
    embedded_by: str
    made_from: list[str]
    made_into: list[str]
    contradicts: list[str]
    merged_into: str | None
    said_before: list[str]


class MemoryQuery(PageQuery):
    namespace: Namespace | None = None
    kind: Kind | None = None
    session_id: Label | None = None
    source: Annotated[str, Field(min_length=1, max_length=4096)] | None = None


class Forget(Wire):
    """Everything that is given must hold. `query` stands for the memories that are about it."""

    ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=1000)] | None = None
    query: Wanted | None = None
    namespace: Namespace | None = None
    session_id: Label | None = None
    source: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    when: When | None = None
    dry_run: bool = False


class HeldOut(Wire):
    what: str
    name: str
    hint: str


class ForgottenOut(Wire):
    """`forgotten` is False for a dry run. `memories` were meant, `also` went with them."""

    forgotten: bool
    memories: int
    also: int
    jobs: int
    items: Annotated[list[MemoryOut], Field(max_length=MAX_SHOWN)]
    held: list[HeldOut]


@routes.add("POST", "/v1/memory", "Remember something.")
async def add(twin: Twin, body: NewMemory) -> MemoryId:
    item = record.NewMemory(
        kind=body.kind,
        content=body.content,
        namespace=body.namespace,
        role=body.role,
        session_id=body.session_id,
        tags=tuple(body.tags),
        source="api",
        importance=body.importance,
        expires_ms=twin.remembering.working.expires_ms() if body.kind == "working" else None,
    )
    return MemoryId(id=(await twin.memory.add_many([item], by="owner"))[0])


@routes.add("POST", "/v1/memory/search", "What is remembered about something, what fits best first.")
async def search(twin: Twin, body: Search) -> Hits:
    asked = None if body.when is None else period_of(body.when)
    found = await twin.remembering.recall.recall(
        body.query,
        k=body.k,
        kinds=("working", "episodic", "semantic") if body.kinds is None else tuple(body.kinds),
        namespaces=None if body.namespace is None else (body.namespace,),
        happened=None if asked is None else (asked.from_ms, asked.to_ms),
    )
    return Hits(items=[_hit(memory) for memory in found], next=None)


@routes.add("GET", "/v1/memory", "All memories, newest first.")
async def list_memories(twin: Twin, query: MemoryQuery) -> MemoryPage:
    rows = await twin.memory.list(
        limit=query.limit,
        after=query.after,
        namespace=query.namespace,
        kind=query.kind,
        session_id=query.session_id,
        source=query.source,
    )
    return MemoryPage(**page(rows, memory_out))


@routes.add("POST", "/v1/memory/forget", "Forget what is named, and all that was made from it.")
async def forget_many(twin: Twin, body: Forget) -> ForgottenOut:
    forgetting = twin.remembering.forgetting
    ids = tuple(body.ids or ())
    if body.query is not None:
        about = {row.id for row in await forgetting.about(body.query, namespace=body.namespace)}
        ids = tuple(about.intersection(ids) if ids else about) or ("",)
    asked = None if body.when is None else period_of(body.when)
    target = Target(
        ids=ids,
        namespace=body.namespace,
        session_id=body.session_id,
        source=body.source,
        from_ms=asked.from_ms if asked else None,
        to_ms=asked.to_ms if asked else None,
    )
    done = await (forgetting.preview(target) if body.dry_run else forgetting.forget(target))
    return _forgotten(done, forgotten=not body.dry_run)


@routes.add("DELETE", "/v1/memory/{id}", "Forget one memory, and all that was made from it.")
async def forget(twin: Twin, id: str) -> MemoryId:  # noqa: A002 - the name in the path
    done = await twin.remembering.forgetting.forget(Target(ids=(id,)))
    if not done.named:
        raise NoSuchItem("no memory has this id")
    return MemoryId(id=id)


def period_of(when: str) -> Period:
    """The time that a person named. Raises BadPeriod."""
    found = period(when, datetime.now(UTC), MachineZone())
    if found is None:
        raise BadPeriod(f"{when[:80]!r} names no time")
    return found


def memory_out(memory: MemoryRow) -> MemoryOut:
    """A row as lists show it."""
    return MemoryOut(**members(memory))


def members(memory: Recalled | MemoryRow) -> dict[str, Any]:
    """What every form of a memory shows."""
    return {
        "id": memory.id,
        "kind": memory.kind,
        "content": memory.content,
        "namespace": memory.namespace,
        "ts": rfc3339(memory.ts_ms),
        "tags": list(memory.tags),
        "source": memory.source,
        "session_id": memory.session_id,
        "happened": rfc3339(memory.happened_ms),
        "importance": memory.importance,
        "mood": memory.mood,
        "outcome": memory.outcome,
        "with_did": memory.with_did,
    }


def _hit(memory: Recalled) -> Hit:
    return Hit(
        **members(memory),
        score=memory.score,
        weight=memory.weight,
        why=list(memory.why),
        contradicts=list(memory.contradicts),
    )


def _forgotten(done: Forgotten, *, forgotten: bool) -> ForgottenOut:
    return ForgottenOut(
        forgotten=forgotten,
        memories=done.named,
        also=done.also,
        jobs=done.jobs,
        items=[memory_out(row) for row in done.shown],
        held=[_held(held) for held in done.held],
    )


def _held(held: Held) -> HeldOut:
    return HeldOut(what=held.what, name=held.name, hint=held.hint)
