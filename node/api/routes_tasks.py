"""Tasks: give one to the swarm, see who bid, what came of it and the receipt, and say how good it was."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import Field

from node.api.errors import InvalidRequest
from node.api.router import Routes
from node.api.wire import Distinct, OneLine, PageQuery, Wire, many_lines, page
from node.clock import now_ms, rfc3339
from node.tasks.requester import DEFAULT_DEADLINE_S, MAX_DEADLINE_S
from node.twin import Twin
from protocols import limits
from storage.tasks import ContractRow, TaskRow

routes = Routes("tasks")

Requirement = Annotated[str, Field(min_length=1, max_length=limits.MAX_CAPABILITY_CHARS), OneLine]
Requirements = Annotated[list[Requirement], Field(max_length=limits.MAX_REQUIREMENTS), Distinct]


class NewTask(Wire):
    """The task's text and what a worker must be able to do; everybody in the swarm can read it."""

    task: Annotated[str, Field(min_length=1, max_length=limits.MAX_TASK_BYTES), many_lines(limits.MAX_TASK_BYTES)]
    requirements: Requirements = Field(default_factory=list)
    deadline: Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})] | None = None


class Rating(Wire):
    quality: Annotated[float, Field(ge=0, le=1)]


class BidOut(Wire):
    """One twin's part. `state` is of the contract net's table (docs/protocols/task.md)."""

    did: str
    confidence: float
    eta_s: int
    state: str
    percent: int
    note: str | None


class TaskOut(Wire):
    """A task. `given`: by this twin. Who gave it signed `receipt`, whose block is `receipt_cid`."""

    id: str
    given: bool
    requester: str
    task: str
    requirements: list[str]
    status: str
    created: str
    deadline: str
    worker: str | None
    note: str | None
    result: dict[str, Any] | None
    receipt: dict[str, Any] | None
    receipt_cid: str | None


class TaskWithBids(TaskOut):
    bids: list[BidOut]


class TaskList(Wire):
    items: list[TaskOut]
    next: str | None


@routes.add("POST", "/v1/tasks", "Broadcast a task to the swarm: twins that the owner named may bid for it.")
async def post(twin: Twin, body: NewTask) -> TaskOut:
    row = await twin.tasks.post(body.task, body.requirements, _seconds_until(body.deadline))
    return _task(row, twin.did)


@routes.add("GET", "/v1/tasks", "Tasks that this twin gave and that it bid for, newest first.")
async def tasks(twin: Twin, query: PageQuery) -> TaskList:
    own = twin.did
    return TaskList(**page(await twin.tasks.list(query.limit, query.after), lambda row: _task(row, own)))


@routes.add("GET", "/v1/tasks/{task_id}", "One task with its bids, result and receipt.")
async def task(twin: Twin, task_id: str) -> TaskWithBids:
    row, contracts = await twin.tasks.get(task_id)
    return TaskWithBids(**_task(row, twin.did).model_dump(), bids=[_bid(contract) for contract in contracts])


@routes.add("POST", "/v1/tasks/{task_id}/rate", "Say how good the result was: the worker gets a receipt that says so.")
async def rate(twin: Twin, task_id: str, body: Rating) -> TaskOut:
    return _task(await twin.tasks.rate(task_id, body.quality), twin.did)


def _seconds_until(deadline: str | None) -> int:
    if deadline is None:
        return DEFAULT_DEADLINE_S
    try:
        at = datetime.fromisoformat(deadline)
        seconds = int(at.timestamp() - now_ms() / 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest("body: /deadline: not a time such as 2027-01-31T12:00:00Z") from error
    if at.tzinfo is None or not 1 <= seconds <= MAX_DEADLINE_S:
        raise InvalidRequest("body: /deadline: must name its time zone and be within the next seven days")
    return seconds


def _task(row: TaskRow, own: str) -> TaskOut:
    return TaskOut(
        id=row.id,
        given=row.requester == own,
        requester=row.requester,
        task=row.task,
        requirements=list(row.requirements),
        status=row.status,
        created=rfc3339(row.created_ms),
        deadline=rfc3339(row.deadline_ms),
        worker=row.worker,
        note=row.note,
        result=_json(row.result),
        receipt=_json(row.receipt),
        receipt_cid=row.receipt_cid,
    )


def _bid(row: ContractRow) -> BidOut:
    return BidOut(
        did=row.peer,
        confidence=row.confidence,
        eta_s=row.eta_s,
        state=row.state,
        percent=row.percent,
        note=row.note,
    )


def _json(data: bytes | None) -> dict[str, Any] | None:
    value = None if data is None else orjson.loads(data)
    assert value is None or isinstance(value, dict)
    return value
