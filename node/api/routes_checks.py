"""Checks: small tasks with known answers, by which this twin tries what others teach."""

from typing import Annotated, Literal

from pydantic import Field

from node.api.router import Routes
from node.api.wire import PageQuery, Wire, page
from node.clock import rfc3339
from node.hive.judging.checks import MAX_GOAL_BYTES
from node.hive.judging.expecting import MAX_EXPECTED_BYTES
from node.twin import Twin
from storage.checks import Check

routes = Routes("checks")

PlaybookName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]

MAX_RUN_AT_ONCE = 50
"""Checks answered by one request: each keeps the model busy for some seconds."""


class NewCheck(Wire):
    """`expected` is a text that the answer must hold, a number, or a /regular expression/."""

    goal: Annotated[str, Field(min_length=1, max_length=MAX_GOAL_BYTES)]
    expected: Annotated[str, Field(min_length=1, max_length=MAX_EXPECTED_BYTES)]
    playbook: PlaybookName = "common"


class CheckOut(Wire):
    id: str
    playbook: str
    goal: str
    expected: str
    origin: Literal["owner", "history"]
    created: str


class CheckPage(Wire):
    items: list[CheckOut]
    next: str | None


class CheckQuery(PageQuery):
    playbook: str | None = Field(default=None, max_length=64, description="only those of this playbook")


class Run(Wire):
    """Without `ids` the newest ones of the playbook are run."""

    playbook: PlaybookName = "common"
    ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=MAX_RUN_AT_ONCE)] = Field(
        default_factory=list
    )


class RanOut(Wire):
    id: str
    goal: str
    passed: bool


class Ran(Wire):
    items: list[RanOut]
    passed: int


class Gone(Wire):
    id: str


@routes.add("GET", "/v1/checks", "The checks, the newest first.")
async def list_checks(twin: Twin, query: CheckQuery) -> CheckPage:
    rows = await twin.hive.checks.list(query.playbook, limit=query.limit, after=query.after)
    return CheckPage(**page(rows, _check))


@routes.add("POST", "/v1/checks", "Add a check, in place of one with the same goal.")
async def add(twin: Twin, body: NewCheck) -> CheckOut:
    return _check(await twin.hive.checks.add(body.playbook, body.goal, body.expected))


@routes.add("DELETE", "/v1/checks/{check}", "Remove a check.")
async def remove(twin: Twin, check: str) -> Gone:
    await twin.hive.checks.remove(check)
    return Gone(id=check)


@routes.add("POST", "/v1/checks/run", "Answer checks with the playbook as it is now.")
async def run(twin: Twin, body: Run) -> Ran:
    if body.ids:
        chosen = [await twin.hive.checks.get(check) for check in dict.fromkeys(body.ids)]
    else:
        chosen = list((await twin.hive.checks.list(body.playbook, limit=MAX_RUN_AT_ONCE)).items)
    results = await twin.hive.run_checks(body.playbook, chosen)
    await twin.learning.note_checks(body.playbook, [(check, results[check.id]) for check in chosen])
    items = [RanOut(id=check.id, goal=check.goal, passed=results[check.id]) for check in chosen]
    return Ran(items=items, passed=sum(item.passed for item in items))


def _check(check: Check) -> CheckOut:
    return CheckOut(
        id=check.id,
        playbook=check.playbook,
        goal=check.goal,
        expected=check.expected,
        origin=check.origin,
        created=rfc3339(check.created_ms),
    )
