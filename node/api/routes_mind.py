"""Goals: have one pursued, or only planned."""

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import Field

from node.api.router import Routes
from node.api.wire import Integral, JsonObject, Wire
from node.mind.executive import JobResult
from node.mind.jobs.jobs import Step
from node.twin import Twin

routes = Routes("mind")

MAX_DEADLINE_S: Final = 30 * 86_400
"""Whoever lets a goal take a month has forgotten it."""

Goal = Annotated[str, Field(min_length=1, pattern=r"\S")]
SessionId = Annotated[str, Field(min_length=1, max_length=128)]


class Interact(Wire):
    """`deadline_s` is how long the goal may take; a deadline that passes ends the job."""

    goal: Goal
    session_id: SessionId | None = None
    max_steps: Annotated[int, Field(ge=1, le=64), Integral] = 8
    deadline_s: Annotated[float, Field(gt=0, le=MAX_DEADLINE_S)] | None = None


class Plan(Wire):
    goal: Goal


class StepOut(Wire):
    n: int
    action: str
    input: JsonObject
    output: JsonObject | None
    ms: float


class Outcome(Wire):
    """`reason` says why it is degraded; `waits_for` are the approvals that it waits for. `reflection` is null while
    nobody has reflected on the job, which is done after the answer: `GET /v1/jobs/{id}` has it then."""

    job_id: str
    status: str
    answer: str
    steps: list[StepOut]
    reflection: str | None
    degraded: bool
    reason: str | None
    waits_for: list[str]


class Planned(Wire):
    steps: list[StepOut]


@routes.add("POST", "/v1/interact", "Pursue a goal, and wait for the answer.")
async def interact(twin: Twin, body: Interact) -> Outcome:
    result = await twin.executive.interact(
        body.goal, session_id=body.session_id, max_steps=body.max_steps, deadline_s=body.deadline_s
    )
    return outcome_of(result)


@routes.add("POST", "/v1/plan", "The steps that a goal would take, without taking them.")
async def plan(twin: Twin, body: Plan) -> Planned:
    return Planned(steps=steps_out(await twin.executive.plan(body.goal)))


def outcome_of(result: JobResult) -> Outcome:
    """How a goal stands, as it is shown."""
    return Outcome(
        job_id=result.job_id,
        status=result.status,
        answer=result.answer,
        steps=steps_out(result.steps),
        reflection=result.reflection,
        degraded=result.degraded,
        reason=result.reason,
        waits_for=list(result.waits_for),
    )


def steps_out(steps: Iterable[Step]) -> list[StepOut]:
    """Steps as they are shown."""
    return [
        StepOut(
            n=step.n,
            action=step.action,
            input=dict(step.input),
            output=None if step.output is None else dict(step.output),
            ms=step.ms,
        )
        for step in steps
    ]
