"""Playbooks: read one, propose a change, judge the changes of others."""

from typing import Annotated, Any, Literal

from pydantic import Field

from identity.cid import Cid
from node.api.errors import InvalidRequest
from node.api.router import Routes
from node.api.wire import Integral, JsonObject, PageQuery, Wire, page
from node.clock import rfc3339
from node.hive.judge import Status
from node.twin import Twin
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.playbook.merge import Bullet, MetricTotal, Playbook
from protocols.playbook.revision import parse_name
from protocols.playbook.toml import render
from storage.revisions import RevisionRow

routes = Routes("playbooks")

Label = Annotated[str, Field(min_length=1, max_length=64)]
Key = Annotated[str, Field(min_length=1, max_length=519)]
Text = Annotated[str, Field(min_length=1, max_length=limits.MAX_TEXT_BYTES)]


class AddOp(Wire):
    op: Literal["add"]
    section: Label
    text: Text
    tags: list[Label] = Field(default_factory=list, max_length=limits.MAX_TAGS)


class RemoveOp(Wire):
    op: Literal["remove"]
    id: Label


class CountOp(Wire):
    op: Literal["helpful", "harmful"]
    id: Label
    n: Annotated[int, Field(ge=1, le=limits.MAX_COUNT_STEP), Integral] = 1


class SetOp(Wire):
    """`key` is dotted; a `value` of null unsets it."""

    op: Literal["set"]
    key: Key
    value: Any


class ToolOp(Wire):
    """A `meta` of null takes the tool out."""

    op: Literal["tool"]
    name: Label
    meta: JsonObject | None


class MetricOp(Wire):
    op: Literal["metric"]
    name: Label
    sum: Annotated[float, Field(ge=-limits.MAX_METRIC_SUM, le=limits.MAX_METRIC_SUM)]
    count: Annotated[int, Field(ge=1, le=limits.MAX_METRIC_COUNT), Integral] = 1


AnyOp = Annotated[AddOp | RemoveOp | CountOp | SetOp | ToolOp | MetricOp, Field(discriminator="op")]


class Proposal(Wire):
    critique: Text
    ops: Annotated[list[AnyOp], Field(min_length=1, max_length=limits.MAX_OPS)]


class RevisionId(Wire):
    cid: str


class Reject(Wire):
    reason: Annotated[str, Field(min_length=1, max_length=1024)]


class Rollback(Wire):
    """`to` is the CID of the revision that becomes the newest one again."""

    to: Annotated[str, Field(min_length=1, max_length=128)]


class BulletOut(Wire):
    id: str
    section: str
    text: str
    tags: list[str]
    helpful: int
    harmful: int
    author: str
    revision: str


class MetricOut(Wire):
    sum: float
    count: int
    mean: float


class PlaybookOut(Wire):
    """`toml` is the whole as playbook.toml; the same accepted revisions give the same `state_hash` everywhere."""

    name: str
    heads: list[str]
    version: int
    bullets: list[BulletOut]
    settings: JsonObject
    tools: JsonObject
    metrics: dict[str, MetricOut]
    toml: str
    state_hash: str


class RevisionOut(Wire):
    cid: str
    author: str
    height: int
    ts: str
    critique: str
    status: str
    reason: str | None


class RevisionPage(Wire):
    items: list[RevisionOut]
    next: str | None


class RevisionQuery(PageQuery):
    status: Status | None = None


@routes.add("GET", "/v1/playbooks/{name}", "The playbook as this twin has accepted it.")
async def show(twin: Twin, name: str) -> PlaybookOut:
    return _playbook(await twin.hive.view(_known_as(name)))


@routes.add("POST", "/v1/playbooks/{name}/revisions", "Propose a change: it is signed, adopted here and gossiped.")
async def propose(twin: Twin, name: str, body: Proposal) -> RevisionId:
    cid = await twin.hive.propose(_known_as(name), body.critique, [op.model_dump() for op in body.ops])
    return RevisionId(cid=str(cid))


@routes.add("GET", "/v1/playbooks/{name}/revisions", "The revisions that are known here, and how they were judged.")
async def list_revisions(twin: Twin, name: str, query: RevisionQuery) -> RevisionPage:
    rows = await twin.hive.revisions(_known_as(name), query.status, query.limit, query.after)
    return RevisionPage(**page(rows, _revision))


@routes.add("POST", "/v1/playbooks/{name}/revisions/{cid}/approve", "Adopt a revision.")
async def approve(twin: Twin, name: str, cid: Cid) -> PlaybookOut:
    return _playbook(await twin.hive.approve(_known_as(name), cid))


@routes.add("POST", "/v1/playbooks/{name}/revisions/{cid}/reject", "Do not adopt a revision.")
async def reject(twin: Twin, name: str, cid: Cid, body: Reject) -> PlaybookOut:
    return _playbook(await twin.hive.reject(_known_as(name), cid, body.reason))


@routes.add("POST", "/v1/playbooks/{name}/rollback", "Undo what was adopted after a revision.")
async def rollback(twin: Twin, name: str, body: Rollback) -> PlaybookOut:
    return _playbook(await twin.hive.rollback(_known_as(name), Cid.parse(body.to)))


def _known_as(name: str) -> str:
    """The name of a playbook as the owner gave it. Raises InvalidRequest."""
    try:
        return parse_name(name)
    except RemoteProtocolError as error:
        raise InvalidRequest(f"path: name: {error}") from error


def _playbook(playbook: Playbook) -> PlaybookOut:
    return PlaybookOut(
        name=playbook.name,
        heads=sorted(str(cid) for cid in playbook.heads),
        version=playbook.height,
        bullets=[_bullet(bullet) for bullet in playbook.bullets],
        settings=dict(playbook.settings),
        tools=dict(playbook.tools),
        metrics={name: _metric(total) for name, total in playbook.metrics.items()},
        toml=render(playbook),
        state_hash=playbook.state_hash,
    )


def _bullet(bullet: Bullet) -> BulletOut:
    return BulletOut(
        id=bullet.id,
        section=bullet.section,
        text=bullet.text,
        tags=list(bullet.tags),
        helpful=bullet.helpful,
        harmful=bullet.harmful,
        author=bullet.author,
        revision=str(bullet.revision),
    )


def _metric(total: MetricTotal) -> MetricOut:
    return MetricOut(sum=total.sum, count=total.count, mean=total.mean)


def _revision(row: RevisionRow) -> RevisionOut:
    return RevisionOut(
        cid=str(row.cid),
        author=row.author,
        height=row.height,
        ts=rfc3339(row.ts_ms),
        critique=row.critique,
        status=row.status,
        reason=row.reason,
    )
