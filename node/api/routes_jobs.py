"""What became of goals."""

from contextlib import aclosing
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web
from pydantic import Field

from node.api.router import Routes
from node.api.routes_events import stream_events
from node.api.routes_mind import Interact, Outcome, StepOut, outcome_of, steps_out
from node.api.wire import PageQuery, Query, Wire, page
from node.clock import rfc3339
from node.hive.judging.expecting import MAX_EXPECTED_BYTES
from node.mind.jobs.following import JobEvent
from node.mind.jobs.jobs import Job
from node.mind.learning.learning import MAX_BECAUSE_CHARS, Used
from node.twin import Twin
from storage.jobs import LogLine

routes = Routes("jobs")


class JobOut(Wire):
    """`progress` goes from 0 to 1, and `doing` is what is done now; `degraded` says why no capable model took part."""

    id: str
    goal: str
    session_id: str | None
    status: str
    created: str
    ended: str | None
    deadline: str | None
    progress: float
    doing: str
    parent_id: str | None
    degraded: str | None
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
    source: Literal["job", "owner", "check", "receipt"]
    bullets: list[UseOut]


class JobDetail(JobOut):
    """`guidance` is null for a job that no playbook helped with."""

    steps: list[StepOut]
    guidance: GuidanceOut | None


class Rating(Wire):
    """Of a bad answer `expected` is what a right one holds, as in a check, and `because` how it comes about: a lesson
    is made of them. `share` lets that lesson into the playbook, where others read it."""

    rating: Literal["good", "bad"]
    expected: Annotated[str, Field(min_length=1, max_length=MAX_EXPECTED_BYTES)] | None = None
    because: Annotated[str, Field(min_length=1, max_length=MAX_BECAUSE_CHARS)] | None = None
    share: bool | None = None


class JobPage(Wire):
    items: list[JobOut]
    next: str | None


class Older(Query):
    older_than_days: Annotated[float, Field(ge=0, le=36_500)]


class ForgottenJobs(Wire):
    forgotten: int


class Submitted(Wire):
    id: str
    status: str


class Line(Wire):
    ts: str
    level: str
    text: str


class LogPage(Wire):
    items: list[Line]
    next: str | None


@routes.add("POST", "/v1/jobs", "Give a goal, and do not wait: it is worked on in its turn, also after a restart.")
async def submit(twin: Twin, body: Interact) -> Submitted:
    job_id = await twin.executive.submit(
        body.goal, session_id=body.session_id, max_steps=body.max_steps, deadline_s=body.deadline_s
    )
    return Submitted(id=job_id, status=(await twin.jobs.get(job_id)).status)


@routes.add("GET", "/v1/jobs", "The jobs, newest first; the parts of a job stand in its steps.")
async def list_jobs(twin: Twin, query: PageQuery) -> JobPage:
    return JobPage(**page(await twin.jobs.list(query.limit, query.after), lambda job: JobOut(**_members(job))))


@routes.add("GET", "/v1/jobs/{id}", "One job with its steps.")
async def show_job(twin: Twin, id: str) -> JobDetail:  # noqa: A002 - the name in the path
    job = await twin.jobs.get(id)
    return JobDetail(**_members(job), steps=steps_out(job.steps), guidance=_guidance(await twin.learning.of(id)))


@routes.add("DELETE", "/v1/jobs/{id}", "Forget a job that has ended, with its parts, steps, log and approvals.")
async def forget(twin: Twin, id: str) -> ForgottenJobs:  # noqa: A002 - the name in the path
    return ForgottenJobs(forgotten=await twin.mind.clearing.forget(id))


@routes.add("DELETE", "/v1/jobs", "Forget all jobs that ended more than so many days ago.")
async def forget_older(twin: Twin, query: Older) -> ForgottenJobs:
    return ForgottenJobs(forgotten=await twin.mind.clearing.forget_older(query.older_than_days))


@routes.add("POST", "/v1/jobs/{id}/cancel", "End a job; what runs for it ends soon.")
async def cancel(twin: Twin, id: str) -> Outcome:  # noqa: A002 - the name in the path
    return outcome_of(await twin.executive.cancel(id))


@routes.add("POST", "/v1/jobs/{id}/pause", "Stop working on a job until it is resumed.")
async def pause(twin: Twin, id: str) -> Outcome:  # noqa: A002 - the name in the path
    return outcome_of(await twin.executive.pause(id))


@routes.add("POST", "/v1/jobs/{id}/resume", "Let a job go on that was paused.")
async def resume(twin: Twin, id: str) -> Outcome:  # noqa: A002 - the name in the path
    return outcome_of(await twin.executive.resume(id))


@routes.add(
    "GET",
    "/v1/jobs/{id}/events",
    "Follow a job: `step`, `status`, `progress`, `text` in pieces, `approval`, and `end`, which is the last.",
    produces="text/event-stream",
)
async def follow(twin: Twin, request: web.Request, id: str) -> web.StreamResponse:  # noqa: A002 - the name in the path
    events = twin.executive.follow(id)
    first = await anext(events)  # a job that is not known is a problem document

    async def write(response: web.StreamResponse) -> None:
        async with aclosing(events):
            await response.write(_sse(first))
            async for event in events:
                await response.write(_sse(event))

    return await stream_events(request, write)


@routes.add("POST", "/v1/jobs/{id}/rate", "Say how a job went: its playbook bullets are counted by it.")
async def rate_job(twin: Twin, id: str, body: Rating) -> GuidanceOut:  # noqa: A002 - the name in the path
    job = await twin.jobs.get(id)
    rated = _guidance(
        await twin.learning.rate(
            id, good=body.rating == "good", expected=body.expected, because=body.because, share=body.share
        )
    )
    assert rated is not None
    if body.rating == "good" and job.status == "done" and job.answer:
        await twin.hive.checks.add_from_history(rated.playbook, job.goal, job.answer)
    elif body.rating == "bad":
        await twin.hive.checks.forget_from_history(rated.playbook, job.goal)
    return rated


@routes.add("GET", "/v1/jobs/{id}/log", "The log of one job, oldest line first.")
async def show_log(twin: Twin, id: str) -> LogPage:  # noqa: A002 - the name in the path
    return LogPage(items=[_line(line) for line in await twin.jobs.log(id)], next=None)


def _sse(event: JobEvent) -> bytes:
    data = orjson.dumps({"job_id": event.job_id, **event.data})
    return b"event: %s\ndata: %s\n\n" % (event.kind.encode(), data)


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
        "ended": None if job.ended_ms is None else rfc3339(job.ended_ms),
        "deadline": None if job.deadline_ms is None else rfc3339(job.deadline_ms),
        "progress": job.progress,
        "doing": job.doing,
        "parent_id": job.parent_id,
        "degraded": job.degraded,
        "answer": job.answer,
        "reflection": job.reflection,
    }
