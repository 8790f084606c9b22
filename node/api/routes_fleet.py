"""The kill switch: stopping all twins that heed this one's key, and letting them go on."""

from typing import Annotated, Literal

from pydantic import Field

from node.api.router import Routes
from node.api.wire import Wire
from node.clock import rfc3339
from node.twin import Twin
from protocols import limits

routes = Routes("fleet")


class Order(Wire):
    """`stop` stops all work of this twin and of every twin that has this one's DID in its `[mind] owners`; `resume`
    takes this twin's own `stop` back, and nobody else's."""

    action: Literal["stop", "resume"]
    reason: Annotated[str, Field(max_length=limits.MAX_ORDER_REASON_CHARS)] = ""


class StopOut(Wire):
    by: str
    reason: str
    since: str


class Fleet(Wire):
    """`stops` are the orders that stand: while there is one, nothing is worked on. `owners` may give such orders."""

    stopped: bool
    stops: list[StopOut]
    owners: list[str]


@routes.add("GET", "/v1/fleet", "Whether work is stopped, by whom and why.")
async def get(twin: Twin) -> Fleet:
    return _shown(twin)


@routes.add("POST", "/v1/fleet", "Stop all work of the fleet, or let it go on.")
async def order(twin: Twin, body: Order) -> Fleet:
    await twin.mind.kill_switch.order(stops=body.action == "stop", reason=body.reason)
    return _shown(twin)


def _shown(twin: Twin) -> Fleet:
    switch = twin.mind.kill_switch
    stops = [StopOut(by=stop.by, reason=stop.reason, since=rfc3339(stop.since_ms)) for stop in switch.stopped]
    return Fleet(stopped=bool(stops), stops=stops, owners=list(switch.owners))
