"""What waits for the owner's decision, and deciding it."""

from typing import Annotated, Literal

import orjson
from pydantic import Field

from node.api.router import Routes
from node.api.wire import JsonObject, PageQuery, Wire, page
from node.clock import rfc3339
from node.mind.jobs.approvals import MAX_NOTE_CHARS
from node.twin import Twin
from storage.approvals import ApprovalRow

routes = Routes("approvals")

Status = Literal["pending", "approved", "denied", "expired", "used"]


class ApprovalOut(Wire):
    """`kind` is `action` (may it be done?), `question` (approve with the answer as note), `outcome` (did what was cut
    short happen?) or `answer` (may another twin be told?). `record` is the decision, signed with the twin's key."""

    id: str
    kind: str
    summary: str
    tool: str
    arguments: JsonObject
    action_sha256: str
    job_id: str | None
    status: Status
    created: str
    expires: str
    decided: str | None
    note: str | None
    record: JsonObject | None


class ApprovalPage(Wire):
    items: list[ApprovalOut]
    next: str | None


class ApprovalQuery(PageQuery):
    """Without a status what is pending; `all` for everything."""

    status: Status | Literal["all"] = "pending"


class Decision(Wire):
    decision: Literal["approve", "deny"]
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARS)] | None = None


@routes.add("GET", "/v1/approvals", "What waits for you, newest first.")
async def list_approvals(twin: Twin, query: ApprovalQuery) -> ApprovalPage:
    status = None if query.status == "all" else query.status
    return ApprovalPage(**page(await twin.approvals.list(query.limit, query.after, status=status), _shown))


@routes.add("GET", "/v1/approvals/{id}", "One approval, with its record.")
async def show_approval(twin: Twin, id: str) -> ApprovalOut:  # noqa: A002 - the name in the path
    return _shown(await twin.approvals.get(id))


@routes.add("POST", "/v1/approvals/{id}", "Decide: the note of an approved question is its answer.")
async def decide(twin: Twin, id: str, body: Decision) -> ApprovalOut:  # noqa: A002 - the name in the path
    return _shown(await twin.approvals.decide(id, approve=body.decision == "approve", note=body.note))


def _shown(row: ApprovalRow) -> ApprovalOut:
    action = orjson.loads(row.action)
    return ApprovalOut(
        id=row.id,
        kind=row.kind,
        summary=row.summary,
        tool=action["tool"],
        arguments=action["arguments"],
        action_sha256=row.action_hash.hex(),
        job_id=row.job_id,
        status=row.status,
        created=rfc3339(row.created_ms),
        expires=rfc3339(row.expires_ms),
        decided=None if row.decided_ms is None else rfc3339(row.decided_ms),
        note=row.note,
        record=None if row.record is None else orjson.loads(row.record),
    )
