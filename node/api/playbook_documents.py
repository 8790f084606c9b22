"""The JSON documents of playbooks: what the owner proposes and decides, and what she is shown."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from node.api.wire import Integral, JsonObject, PageQuery, Query, Wire
from node.clock import rfc3339
from node.hive.detail import Detail, Taught
from node.hive.judging.verdict import Status
from protocols import limits
from protocols.playbook.keys import MAX_CHARS as MAX_KEY_CHARS
from protocols.playbook.merge import Bullet, MetricTotal
from storage.judging import GateRow, Outcome, StageName
from storage.revisions import RevisionRow

Label = Annotated[str, Field(min_length=1, max_length=64)]
Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY_CHARS)]
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


TemplateBody = Annotated[Any, Field(description="any JSON; null takes the template out")]


class TemplateOp(Wire):
    """A `body` of null takes the template out."""

    op: Literal["template"]
    name: Label
    body: TemplateBody


AnyOp = Annotated[AddOp | RemoveOp | CountOp | SetOp | ToolOp | TemplateOp | MetricOp, Field(discriminator="op")]


class Proposal(Wire):
    """With `anyway` what is only like a red line is proposed all the same."""

    critique: Text
    anyway: bool = False
    ops: Annotated[list[AnyOp], Field(min_length=1, max_length=limits.MAX_OPS)]


class RevisionId(Wire):
    cid: str


class Reject(Wire):
    reason: Annotated[str, Field(min_length=1, max_length=1024)]


class Rollback(Wire):
    """`to` is the CID of the revision that becomes the newest one again."""

    to: Annotated[str, Field(min_length=1, max_length=128)]


class RejectAuthor(Wire):
    """All that `author` wrote in the playbook so far."""

    author: Annotated[str, Field(min_length=1, max_length=2048)]
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = "rejected by the owner"


class Rejected(Wire):
    rejected: int


class ApproveQuery(Query):
    share: float | None = Field(
        default=None, gt=0, lt=1, description="adopt it for this share of the goals, and compare"
    )


class BulletOut(Wire):
    """`same` are bullets that say the same and are shown as this one; `shown_as` is the one that stands for this."""

    id: str
    section: str
    text: str
    tags: list[str]
    helpful: int
    harmful: int
    author: str
    revision: str
    same: list[str] = Field(default_factory=list)
    shown_as: str | None = None


class MetricOut(Wire):
    sum: float
    count: int
    mean: float


class ProvisionalOut(Wire):
    """The `snapshot` by which a playbook is shown, and how many of its `revisions` are here already."""

    snapshot: str
    author: str
    revisions: int
    fetched: int


class PlaybookOut(Wire):
    """`toml` is the whole as playbook.toml; the same accepted revisions give the same `state_hash` everywhere.

    `canaries` are bullets that only a share of the goals is given so far. What is `provisional` is somebody's snapshot,
    until its history is here. `revisions` counts all that are known here, by status.
    """

    name: str
    heads: list[str]
    version: int
    bullets: list[BulletOut]
    settings: JsonObject
    tools: JsonObject
    metrics: dict[str, MetricOut]
    templates: JsonObject = Field(default_factory=dict)
    toml: str
    state_hash: str
    canaries: list[BulletOut] = Field(default_factory=list)
    provisional: ProvisionalOut | None = None
    revisions: dict[str, int] = Field(default_factory=dict)


class TaughtOut(Wire):
    """A bullet of the revision. The counts are of now; `in_effect` is false where it has been taken out or back."""

    id: str
    section: str
    text: str
    in_effect: bool
    helpful: int
    harmful: int


class RevisionOut(Wire):
    """`changes` are lines for a person; these and `bullets` are in a list only where the query asks for them."""

    cid: str
    author: str
    height: int
    ts: str
    critique: str
    status: str
    reason: str | None
    changes: list[str] = Field(default_factory=list)
    bullets: list[TaughtOut] = Field(default_factory=list)


class RevisionPage(Wire):
    items: list[RevisionOut]
    next: str | None


class RevisionQuery(PageQuery):
    status: Status | None = None
    changes: bool = Field(default=False, description="say of each what it changes, and how its bullets did")


class StageOut(Wire):
    """`noted` has passed, with something to know about it; `pending` is not over."""

    stage: StageName
    outcome: Outcome
    reason: str
    ts: str


class OutcomesOut(Wire):
    good: int
    bad: int


class GateResultOut(Wire):
    """What somebody's own checks have shown; `standing` is its author's, as seen from here."""

    cid: str
    author: str
    standing: float
    checks: int
    passed_without: int
    passed_with: int
    answered_by: str
    ts: str


class RevisionDetail(RevisionOut):
    """One revision. `outcomes` are how the goals went that its bullets fitted."""

    playbook: str
    parents: list[str]
    evidence: list[str]
    stages: list[StageOut]
    outcomes: dict[str, OutcomesOut]
    results: list[GateResultOut]
    share: float | None


class PlaybookLine(Wire):
    name: str
    version: int
    bullets: int
    state_hash: str
    revisions: dict[str, int]


class OfferedOut(Wire):
    """A playbook that is not kept here, and the twins that have it and may teach here."""

    name: str
    by: list[str]


class PlaybookPage(Wire):
    """`offered` are playbooks that could be followed."""

    items: list[PlaybookLine]
    next: str | None
    offered: list[OfferedOut]


class GroupOut(Wire):
    """Bullets that say the same: `bullet` stands for all of them, with the counters of all."""

    bullet: BulletOut
    same: list[BulletOut]


class GroupPage(Wire):
    items: list[GroupOut]
    next: str | None


class Split(Wire):
    """Two bullets that do not say the same."""

    a: Label
    b: Label


def bullet_out(bullet: Bullet, same: Sequence[str] = (), shown_as: str | None = None) -> BulletOut:
    return BulletOut(
        id=bullet.id,
        section=bullet.section,
        text=bullet.text,
        tags=list(bullet.tags),
        helpful=bullet.helpful,
        harmful=bullet.harmful,
        author=bullet.author,
        revision=str(bullet.revision),
        same=list(same),
        shown_as=shown_as,
    )


def metric_out(total: MetricTotal) -> MetricOut:
    return MetricOut(sum=total.sum, count=total.count, mean=total.mean)


def revision_out(row: RevisionRow) -> RevisionOut:
    return RevisionOut(
        cid=str(row.cid),
        author=row.author,
        height=row.height,
        ts=rfc3339(row.ts_ms),
        critique=row.critique,
        status=row.status,
        reason=row.reason,
    )


def taught_by(detail: Detail) -> RevisionOut:
    """The row with what the revision changes."""
    bullets = [taught_out(taught) for taught in detail.bullets]
    return revision_out(detail.row).model_copy(update={"changes": list(detail.changes), "bullets": bullets})


def detail_out(detail: Detail) -> RevisionDetail:
    revision, row = detail.revision, detail.row
    return RevisionDetail(
        **taught_by(detail).model_dump(),
        playbook=row.playbook,
        parents=[str(parent) for parent in revision.parents] if revision is not None else [],
        evidence=[str(item) for item in revision.evidence] if revision is not None else [],
        stages=[
            StageOut(stage=stage.name, outcome=stage.outcome, reason=stage.reason, ts=rfc3339(ts_ms))
            for stage, ts_ms in detail.stages
        ],
        outcomes={arm: OutcomesOut(good=good, bad=bad) for arm, (good, bad) in detail.outcomes.items()},
        results=[result_out(result, standing) for result, standing in detail.results],
        share=detail.share,
    )


def taught_out(taught: Taught) -> TaughtOut:
    now = taught.now
    return TaughtOut(
        id=taught.id,
        section=taught.section,
        text=taught.text,
        in_effect=now is not None,
        helpful=now.helpful if now is not None else 0,
        harmful=now.harmful if now is not None else 0,
    )


def result_out(result: GateRow, standing: float) -> GateResultOut:
    return GateResultOut(
        cid=str(result.cid),
        author=result.author,
        standing=standing,
        checks=result.checks,
        passed_without=result.passed_without,
        passed_with=result.passed_with,
        answered_by=result.answered_by,
        ts=rfc3339(result.ts_ms),
    )
