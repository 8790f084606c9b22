"""What became of goals."""

from typing import Any, Literal

from node.api.router import Routes
from node.api.routes_mind import StepOut, steps_out
from node.api.wire import PageQuery, Wire, page
from node.clock import rfc3339
from node.mind.jobs import Job
from node.mind.learning import Used
from node.twin import Twin
from storage.jobs import LogLine

routes = Routes("jobs")


class JobOut(Wire):
    id: str
    goal: str
    session_id: str | None
    status: str
    created: str
    answer: str | None
    reflection: str | None


class UseOut(Wire):
    """A bullet of the playbook that fitted; one that was kept back was not given, to compare."""

    bullet: str
    revision: str
    use: Literal["adopted", "tried", "kept_back"]


class GuidanceOut(Wire):
    """What the playbook gave to a job, and the outcome that its bullets are counted by."""

    playbook: str
    outcome: Literal["good", "bad", "unknown"]
    source: Literal["job", "owner"]
    bullets: list[UseOut]


class JobDetail(JobOut):
    """`guidance` is null for a job that no playbook helped with."""

    steps: list[StepOut]
    guidance: GuidanceOut | None


class Rating(Wire):
    rating: Literal["good", "bad"]


class JobPage(Wire):
    items: list[JobOut]
    next: str | None


class Line(Wire):
    ts: str
    level: str
    text: str


class LogPage(Wire):
    items: list[Line]
    next: str | None


@routes.add("GET", "/v1/jobs", "The jobs, newest first.")
async def list_jobs(twin: Twin, query: PageQuery) -> JobPage:
    return JobPage(**page(await twin.jobs.list(query.limit, query.after), lambda job: JobOut(**_members(job))))


@routes.add("GET", "/v1/jobs/{id}", "One job with its steps.")
async def show_job(twin: Twin, id: str) -> JobDetail:  # noqa: A002 - the name in the path
    job = await twin.jobs.get(id)
    return JobDetail(**_members(job), steps=steps_out(job.steps), guidance=_guidance(await twin.learning.of(id)))


@routes.add("POST", "/v1/jobs/{id}/rate", "Say how a job went: its playbook bullets are counted by it.")
async def rate_job(twin: Twin, id: str, body: Rating) -> GuidanceOut:  # noqa: A002 - the name in the path
    job = await twin.jobs.get(id)
    rated = _guidance(await twin.learning.rate(id, good=body.rating == "good"))
    assert rated is not None
    if body.rating == "good" and job.answer:
        await twin.hive.checks.add_from_history(rated.playbook, job.goal, job.answer)
    elif body.rating == "bad":
        await twin.hive.checks.forget_from_history(rated.playbook, job.goal)
    return rated


@routes.add("GET", "/v1/jobs/{id}/log", "The log of one job, oldest line first.")
async def show_log(twin: Twin, id: str) -> LogPage:  # noqa: A002 - the name in the path
    return LogPage(items=[_line(line) for line in await twin.jobs.log(id)], next=None)


def _guidance(used: Used | None) -> GuidanceOut | None:
    if used is None:
        return None
    noted = used.outcome
    uses = [UseOut(bullet=use.bullet, revision=str(use.revision), use=use.use) for use in used.uses]
    return GuidanceOut(playbook=noted.playbook, outcome=noted.outcome, source=noted.source, bullets=uses)


def _line(line: LogLine) -> Line:
    return Line(ts=rfc3339(line.ts_ms), level=line.level, text=line.text)


def _members(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "goal": job.goal,
        "session_id": job.session_id,
        "status": job.status,
        "created": rfc3339(job.created_ms),
        "answer": job.answer,
        "reflection": job.reflection,
    }
