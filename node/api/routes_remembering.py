"""How the twin's memory is ordered: namespaces, sessions, episodes, one memory's ties, consolidation, the index."""

from typing import Literal

from node.api.errors import NoSuchItem
from node.api.router import Routes
from node.api.routes_memory import MemoryDetail, MemoryPage, Namespace, When, members, memory_out, period_of
from node.api.wire import PageQuery, Wire, page
from node.clock import LAST_MS, rfc3339
from node.twin import Twin
from storage.namespaces import NamespaceRow
from storage.working import SessionRow

routes = Routes("memory")


class NamespaceOut(Wire):
    """`fixed`: only the owner writes it. Only what is shared is ever told to other twins unasked."""

    name: str
    privacy: Literal["private", "ask", "shared"]
    description: str
    fixed: bool
    memories: int


class NamespaceList(Wire):
    items: list[NamespaceOut]
    next: None = None


class SetPrivacy(Wire):
    name: Namespace
    privacy: Literal["private", "ask", "shared"]


class SessionOut(Wire):
    session_id: str
    turns: int
    episodes: int
    facts: int
    first: str
    last: str


class SessionPage(Wire):
    items: list[SessionOut]
    next: str | None


class EpisodeQuery(PageQuery):
    """Without `when` all episodes, oldest first."""

    when: When | None = None


class ConsolidatedOut(Wire):
    """What one pass did. `more`: it ended at its bounds; `interrupted`: a goal came, and goals go first."""

    episodes: int
    facts: int
    merged: int
    contradictions: int
    expired: int
    more: bool
    interrupted: bool


class IndexOut(Wire):
    """`vectors` is 0 before the first search, and `filled` the share of the index that was read since the start.

    `waiting` memories are still to be embedded by this model; `unreachable` ones cannot be found before that.
    """

    model: str
    dimensions: int
    vectors: int
    memories: int
    waiting: int
    unreachable: int
    exact: bool
    filled: float
    task: Literal["idle", "reading", "embedding", "building", "writing"]


@routes.add("GET", "/v1/memory/namespaces", "The namespaces, and who may be told of what is in each.")
async def list_namespaces(twin: Twin) -> NamespaceList:
    return await _namespaces(twin)


@routes.add("PUT", "/v1/memory/namespaces", "Say who may be told of what is in a namespace.")
async def set_privacy(twin: Twin, body: SetPrivacy) -> NamespaceList:
    await twin.remembering.namespaces.set(body.name, body.privacy)
    return await _namespaces(twin)


@routes.add("GET", "/v1/memory/sessions", "The conversations that are remembered, the one that was last used first.")
async def list_sessions(twin: Twin, query: PageQuery) -> SessionPage:
    rows = await twin.remembering.working.sessions(limit=query.limit, after=query.after)
    return SessionPage(**page(rows, _session))


@routes.add("GET", "/v1/memory/episodes", "What happened, at some time or ever, oldest first.")
async def list_episodes(twin: Twin, query: EpisodeQuery) -> MemoryPage:
    asked = None if query.when is None else period_of(query.when)
    from_ms, to_ms = (0, LAST_MS) if asked is None else (asked.from_ms, asked.to_ms)
    rows = await twin.remembering.episodes.between(from_ms, to_ms, limit=query.limit, after=query.after)
    return MemoryPage(**page(rows, memory_out))


@routes.add("POST", "/v1/memory/consolidate", "One pass of consolidation, now.")
async def consolidate(twin: Twin) -> ConsolidatedOut:
    done = await twin.remembering.consolidation.consolidate()
    return ConsolidatedOut(
        episodes=done.episodes,
        facts=done.facts,
        merged=done.merged,
        contradictions=done.contradictions,
        expired=done.expired,
        more=done.more,
        interrupted=done.interrupted,
    )


@routes.add("GET", "/v1/memory/index", "How far the index is.")
async def index_state(twin: Twin) -> IndexOut:
    state = await twin.memory.index.state()
    return IndexOut(
        model=state.model_id,
        dimensions=state.dimensions,
        vectors=state.vectors,
        memories=state.memories,
        waiting=state.waiting,
        unreachable=state.unreachable,
        exact=state.exact,
        filled=state.filled,
        task=state.task,
    )


@routes.add("GET", "/v1/memory/{id}", "One memory with all that is known of it.")
async def show(twin: Twin, id: str) -> MemoryDetail:  # noqa: A002 - the name in the path
    row = await twin.memory.get(id)
    if row is None:
        raise NoSuchItem("no memory has this id")
    ties = await twin.memory.ties(row)
    return MemoryDetail(
        **members(row),
        role=row.role,
        activation=row.activation,
        expires=None if row.expires_ms is None else rfc3339(row.expires_ms),
        embedded_by=row.model_id,
        made_from=list(ties.made_from),
        made_into=list(ties.made_into),
        contradicts=list(ties.contradicts),
        merged_into=ties.merged_into,
        said_before=list(ties.said_before),
    )


async def _namespaces(twin: Twin) -> NamespaceList:
    return NamespaceList(items=[_namespace(row) for row in await twin.remembering.namespaces.list()])


def _namespace(row: NamespaceRow) -> NamespaceOut:
    return NamespaceOut(
        name=row.name,
        privacy=row.privacy,
        description=row.description,
        fixed=row.fixed,
        memories=row.memories,
    )


def _session(row: SessionRow) -> SessionOut:
    return SessionOut(
        session_id=row.session_id,
        turns=row.turns,
        episodes=row.episodes,
        facts=row.facts,
        first=rfc3339(row.first_ms),
        last=rfc3339(row.last_ms),
    )
