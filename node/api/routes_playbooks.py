"""Playbooks: read one, propose a change, judge the changes of others."""

from typing import Annotated, Any, Literal, assert_never

from pydantic import Field

from identity.cid import Cid
from node.api.router import Routes
from node.api.services import RevisionRow, Twin
from node.api.wire import Int, JsonObject, PageQuery, Wire, page
from node.clock import rfc3339
from protocols.playbook import revision
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.toml import render

routes = Routes("playbooks")

MAX_OPS = 256
Text = Annotated[str, Field(min_length=1, max_length=16_384)]
Label = Annotated[str, Field(min_length=1, max_length=128)]
Count = Annotated[Int, Field(ge=1, le=2**31)]


class AddOp(Wire):
    op: Literal["add"]
    section: Label
    text: Text
    tags: Annotated[list[Label], Field(max_length=32)] = []


class RemoveOp(Wire):
    op: Literal["remove"]
    id: Label


class CountOp(Wire):
    op: Literal["helpful", "harmful"]
    id: Label
    n: Count = 1


class SetOp(Wire):
    op: Literal["set"]
    key: Label
    value: Any


class ToolOp(Wire):
    op: Literal["tool"]
    name: Label
    meta: JsonObject


class MetricOp(Wire):
    op: Literal["metric"]
    name: Label
    sum: float
    count: Annotated[Int, Field(ge=0, le=2**53 - 1)]


AnyOp = Annotated[AddOp | RemoveOp | CountOp | SetOp | ToolOp | MetricOp, Field(discriminator="op")]


class Proposal(Wire):
    critique: Annotated[str, Field(min_length=1, max_length=8192)]
    ops: Annotated[list[AnyOp], Field(min_length=1, max_length=MAX_OPS)]


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


class PlaybookOut(Wire):
    """`toml` is the whole as playbook.toml; the same accepted revisions give the same `state_hash` everywhere."""

    name: str
    heads: list[str]
    version: int
    bullets: list[BulletOut]
    settings: JsonObject
    tools: JsonObject
    metrics: JsonObject
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
    status: Literal["adopted", "quarantined", "rejected"] | None = None


@routes.add("GET", "/v1/playbooks/{name}", "The playbook as this twin has accepted it.")
async def show(twin: Twin, name: str) -> PlaybookOut:
    return _playbook(await twin.hive.view(name))


@routes.add("POST", "/v1/playbooks/{name}/revisions", "Propose a change: it is signed, adopted here and gossiped.")
async def propose(twin: Twin, name: str, body: Proposal) -> RevisionId:
    cid = await twin.hive.propose(name, body.critique, tuple(_op(op) for op in body.ops))
    return RevisionId(cid=str(cid))


@routes.add("GET", "/v1/playbooks/{name}/revisions", "The revisions that are known here, and how they were judged.")
async def list_revisions(twin: Twin, name: str, query: RevisionQuery) -> RevisionPage:
    rows = await twin.hive.revisions(name, query.status, query.limit, query.after)
    return RevisionPage(**page(rows, _revision))


@routes.add("POST", "/v1/playbooks/{name}/revisions/{cid}/approve", "Adopt a revision.")
async def approve(twin: Twin, name: str, cid: Cid) -> PlaybookOut:
    return _playbook(await twin.hive.approve(name, cid))


@routes.add("POST", "/v1/playbooks/{name}/revisions/{cid}/reject", "Do not adopt a revision.")
async def reject(twin: Twin, name: str, cid: Cid, body: Reject) -> PlaybookOut:
    return _playbook(await twin.hive.reject(name, cid, body.reason))


@routes.add("POST", "/v1/playbooks/{name}/rollback", "Undo what was adopted after a revision.")
async def rollback(twin: Twin, name: str, body: Rollback) -> PlaybookOut:
    return _playbook(await twin.hive.rollback(name, Cid.parse(body.to)))


def _op(op: AddOp | RemoveOp | CountOp | SetOp | ToolOp | MetricOp) -> revision.Op:
    """A proposed operation. The id of a new bullet follows from its content and author: the signer fills it in."""
    match op:
        case AddOp():
            return revision.Add(id="", section=op.section, text=op.text, tags=tuple(op.tags))
        case RemoveOp():
            return revision.Remove(id=op.id)
        case CountOp(op="helpful"):
            return revision.Helpful(id=op.id, n=op.n)
        case CountOp():
            return revision.Harmful(id=op.id, n=op.n)
        case SetOp():
            return revision.Set(key=op.key, value=op.value)
        case ToolOp():
            return revision.Tool(name=op.name, meta=op.meta)
        case MetricOp():
            return revision.Metric(name=op.name, sum=op.sum, count=op.count)
        case _:
            assert_never(op)


def _playbook(playbook: Playbook) -> PlaybookOut:
    return PlaybookOut(
        name=playbook.name,
        heads=sorted(str(cid) for cid in playbook.heads),
        version=playbook.height,
        bullets=[_bullet(bullet) for bullet in playbook.bullets],
        settings=dict(playbook.settings),
        tools=dict(playbook.tools),
        metrics=dict(playbook.metrics),
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
