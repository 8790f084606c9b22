"""What models were used for, what it cost, and how far that is from the owner's limits."""

from typing import Annotated, Literal

from pydantic import Field

from node.api.router import Routes
from node.api.wire import PageQuery, Query, Wire, page
from node.twin import Twin
from storage.usage import UsageRow

routes = Routes("budget")


class BudgetQuery(Query):
    session_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None


class BudgetShare(Wire):
    used: float
    limit: float | None


class BudgetScope(Wire):
    """`calls` are under way now, and have `reserved_tokens` and `reserved_money` at most to themselves."""

    scope: Literal["day", "session", "twin"]
    tokens: BudgetShare
    seconds: BudgetShare
    money: BudgetShare
    calls: int
    reserved_tokens: int
    reserved_money: float


class BudgetOut(Wire):
    """`state` is what a call would meet now that costs something: `ok`, `throttled` or `critical`."""

    state: Literal["ok", "throttled", "critical"]
    throttle_at: float
    scopes: list[BudgetScope]


class UsageOut(Wire):
    """One model of one provider on one day (UTC). `failed` are those of the calls that gave no whole answer."""

    day: str
    provider: str
    model: str
    calls: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float
    money: float


class UsagePage(Wire):
    items: list[UsageOut]
    next: str | None


@routes.add("GET", "/v1/budget", "What was used today, in a session and ever, beside the limits of [budget].")
async def budget(twin: Twin, query: BudgetQuery) -> BudgetOut:
    governor = twin.inference.governor
    tallies = await governor.tallies(query.session_id)
    return BudgetOut(
        state=await governor.check(query.session_id),
        throttle_at=governor.throttle_at,
        scopes=[
            BudgetScope(
                scope=scope,
                tokens=BudgetShare(used=tally.tokens, limit=limits.tokens),
                seconds=BudgetShare(used=tally.ms / 1000, limit=limits.seconds),
                money=BudgetShare(used=tally.micros / 1e6, limit=limits.money),
                calls=tally.calls,
                reserved_tokens=tally.reserved_tokens,
                reserved_money=tally.reserved_micros / 1e6,
            )
            for scope, (tally, limits) in tallies.items()
        ],
    )


@routes.add("GET", "/v1/budget/usage", "What was used, by day, provider and model, the newest day first.")
async def usage(twin: Twin, query: PageQuery) -> UsagePage:
    return UsagePage(**page(await twin.inference.governor.rows(query.limit, query.after), _out))


def _out(row: UsageRow) -> UsageOut:
    return UsageOut(
        day=row.day,
        provider=row.provider,
        model=row.model,
        calls=row.calls,
        failed=row.failed,
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        completion_tokens=row.completion_tokens,
        seconds=row.ms / 1000,
        money=row.micros / 1e6,
    )
