"""What the twin learns from many goals: what it found, did and would do; lessons from feedback; traces to train on."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from node.api.router import Routes
from node.api.routes_checks import PlaybookName
from node.api.wire import PageQuery, Query, Wire
from node.clock import rfc3339
from node.mind.learning.proposing import Improvement
from node.twin import Twin
from storage.meta_learning import MetaAction

routes = Routes("learning")

NDJSON = "application/x-ndjson"


class ActionOut(Wire):
    """`state` is `proposed`, `trying` (in effect, and compared), `done`, `undone`, `declined` or `failed`."""

    id: str
    case: str
    about: str
    state: Literal["proposed", "trying", "done", "undone", "declined", "failed"]
    finding: str
    action: str
    measured: dict[str, float]
    created: str
    updated: str


class LearningPage(Wire):
    """`mode` is `[mind] meta_learning`."""

    mode: Literal["on", "propose", "off"]
    items: list[ActionOut]
    next: str | None


class Looked(Wire):
    items: list[ActionOut]


class Improve(Wire):
    playbook: PlaybookName = "common"


class KeptOut(Wire):
    """A rule that helped; `revision` is null where it stays with this twin."""

    rule: str
    playbook: str
    failures: int
    mended: int
    revision: str | None


class ImprovementOut(Wire):
    """`dropped` counts rules by why they were dropped; `why` says why nothing could be done, or was broken off."""

    kept: list[KeptOut]
    dropped: dict[str, int]
    failures: int
    why: str | None


class ExportQuery(Query):
    curated: Annotated[bool, Field(description="only what is known to be good, or was corrected")] = False


@routes.add("GET", "/v1/learning", "What the twin changed, or would change, by how it and the swarm do; newest first.")
async def list_actions(twin: Twin, query: PageQuery) -> LearningPage:
    learner = twin.mind.meta.learner
    found = await learner.list(query.limit, query.after)
    return LearningPage(mode=learner.mode, items=[_action(one) for one in found.items], next=found.next)


@routes.add("GET", "/v1/learning/export", "Traces of jobs for fine-tuning, one JSON document a line.", produces=NDJSON)
async def export(twin: Twin, query: ExportQuery) -> web.Response:
    lines, _ = await twin.mind.meta.exporting.lines(curated=query.curated)
    return web.Response(body=b"".join(lines), content_type=NDJSON)


@routes.add("POST", "/v1/learning/look", "Look now for what could be better.")
async def look(twin: Twin) -> Looked:
    return Looked(items=[_action(one) for one in await twin.mind.meta.learner.look()])


@routes.add("POST", "/v1/learning/improve", "Learn now from the feedback that waits.")
async def improve(twin: Twin, body: Improve) -> ImprovementOut:
    return _improvement(await twin.mind.proposing.improve(body.playbook))


@routes.add("GET", "/v1/learning/{id}", "One action.")
async def show(twin: Twin, id: str) -> ActionOut:  # noqa: A002 - the name in the path
    return _action(await twin.mind.meta.learner.get(id))


@routes.add("POST", "/v1/learning/{id}/approve", "Do what was proposed.")
async def approve(twin: Twin, id: str) -> ActionOut:  # noqa: A002 - the name in the path
    return _action(await twin.mind.meta.learner.approve(id))


@routes.add("POST", "/v1/learning/{id}/decline", "Leave what was proposed.")
async def decline(twin: Twin, id: str) -> ActionOut:  # noqa: A002 - the name in the path
    return _action(await twin.mind.meta.learner.decline(id))


@routes.add("POST", "/v1/learning/{id}/undo", "Take back what was done.")
async def undo(twin: Twin, id: str) -> ActionOut:  # noqa: A002 - the name in the path
    return _action(await twin.mind.meta.learner.undo(id))


def _action(action: MetaAction) -> ActionOut:
    return ActionOut(
        id=action.id,
        case=action.matter,
        about=action.about,
        state=action.state,
        finding=action.finding,
        action=action.action,
        measured={name: float(value) for name, value in action.measured.items()},
        created=rfc3339(action.ts_ms),
        updated=rfc3339(action.updated_ms),
    )


def _improvement(learnt: Improvement) -> ImprovementOut:
    kept = [
        KeptOut(rule=one.rule, playbook=one.playbook, failures=one.failures, mended=one.mended, revision=one.revision)
        for one in learnt.kept
    ]
    return ImprovementOut(kept=kept, dropped=dict(learnt.dropped), failures=learnt.failures, why=learnt.why)
