"""Whether the twin is well, and who it is."""

from typing import Literal

from aiohttp import web

from node.api.router import Routes
from node.api.wire import Wire
from node.twin import Twin

routes = Routes("self")


class CheckOut(Wire):
    ok: bool
    detail: str


class Health(Wire):
    """`degraded` is ready: it works, but not as the owner would have it; the check that says so names the reason."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, CheckOut]


class IdOut(Wire):
    """`formerly` are the DIDs that it had before, oldest first; `also_known_as` is its did:web, if it has one."""

    did: str
    also_known_as: list[str]
    formerly: list[str]
    peer_id: str
    name: str
    addresses: list[str]
    capabilities: list[str]
    version: str


@routes.add("GET", "/live", "Whether the process answers at all.")
async def live() -> Health:
    return Health(status="ok", checks={"loop": CheckOut(ok=True, detail="the event loop answers")})


@routes.add("GET", "/ready", "Whether each part of the twin works; 503 while one does not.", statuses=(200, 503))
async def ready(twin: Twin) -> web.StreamResponse:
    found = twin.health()
    well = all(check.ok for check in found.values())
    degraded = any(check.degraded for check in found.values())
    health = Health(
        status="unavailable" if not well else "degraded" if degraded else "ok",
        checks={name: CheckOut(ok=check.ok, detail=check.detail) for name, check in found.items()},
    )
    return web.Response(
        body=health.model_dump_json().encode(), content_type="application/json", status=200 if well else 503
    )


@routes.add("GET", "/v1/id", "Who this twin is, and where it can be reached.")
async def show_id(twin: Twin) -> IdOut:
    return IdOut(
        did=twin.did,
        also_known_as=[] if twin.own.web is None else [twin.own.web],
        formerly=list(twin.successions.formerly(twin.did)),
        peer_id=twin.peer_id,
        name=twin.name,
        addresses=list(twin.network.addresses()),
        capabilities=list(twin.capabilities),
        version=twin.version,
    )


@routes.add("GET", "/v1/did", "This twin's DID document.")
async def show_did(twin: Twin) -> web.StreamResponse:
    return web.json_response(twin.document().to_json())
