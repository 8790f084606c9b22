"""Who keeps our mail while we are away."""

from node.api.router import Routes
from node.api.wire import Wire
from node.clock import rfc3339
from node.messaging.mediation import MediatorStatus
from node.twin import Twin

routes = Routes("didcomm")


class MediatorOut(Wire):
    """`state` is granted, asking, denied, failed or away; `reason` says why it is of no use now. `waiting` is how many
    messages it said it holds, null while it is not connected; `uris` are where others bring mail for us."""

    did: str
    state: str
    reason: str | None
    routing_did: str | None
    uris: list[str]
    waiting: int | None
    granted_time: str | None
    picked_up_time: str | None


class Mediators(Wire):
    items: list[MediatorOut]


@routes.add(
    "GET", "/v1/didcomm/mediators", "The relays that keep our mail while we are away, and how we stand with each."
)
async def mediators(twin: Twin) -> Mediators:
    return Mediators(items=[_out(status) for status in twin.mediation.status()])


def _out(status: MediatorStatus) -> MediatorOut:
    return MediatorOut(
        did=status.did,
        state=status.state,
        reason=status.reason,
        routing_did=status.routing_did,
        uris=list(status.uris),
        waiting=status.waiting,
        granted_time=None if status.granted_ms is None else rfc3339(status.granted_ms),
        picked_up_time=None if status.picked_up_ms is None else rfc3339(status.picked_up_ms),
    )
