"""Pins with others, and others' pins here: a friend or a relay keeps what a twin asks for, within a share."""

from typing import Annotated, Literal

from pydantic import Field

from identity.cid import Cid
from identity.did import Did, parse_did
from node.api.router import Routes
from node.api.wire import OneLine, PageQuery, Wire, page
from node.clock import rfc3339
from node.errors import OwnDid
from node.twin import Twin
from protocols import limits
from storage.hosted_pins import HostedPin
from storage.remote_pins import RemotePin

routes = Routes("ipfs")


class KeepIn(Wire):
    """`name` is what it is for, in the owner's words: the host sees it."""

    name: Annotated[str, Field(min_length=1, max_length=limits.MAX_PIN_NAME_CHARS), OneLine] | None = None


class HostQuery(PageQuery):
    host: str | None = Field(default=None, description="only what this host is to keep")


class RemotePinOut(Wire):
    """`asking`: the host was not reached yet; `ending`: it is still to be told that the pin is not wanted any more.
    `reason` says why it failed, or what is in the way."""

    cid: str
    host: str
    name: str | None
    status: Literal["asking", "queued", "pinning", "pinned", "failed", "ending"]
    reason: str | None
    created: str
    updated: str


class HostOut(Wire):
    """A host that has answered since the twin is up: what it keeps for us, and what it would keep at most."""

    host: str
    used_bytes: int
    quota_bytes: int


class RemotePins(Wire):
    items: list[RemotePinOut]
    next: str | None
    hosts: list[HostOut]


class Ended(Wire):
    cid: str
    host: str


class HostedPinOut(Wire):
    """`size_bytes` is what of it is here, as it counts against the client's share."""

    cid: str
    client: str
    name: str | None
    status: Literal["queued", "pinning", "pinned", "failed"]
    reason: str | None
    size_bytes: int
    created: str
    updated: str


class HostedPins(Wire):
    """`used_bytes` and `quota_bytes` are of all clients together."""

    items: list[HostedPinOut]
    next: str | None
    used_bytes: int
    quota_bytes: int


@routes.add("GET", "/v1/ipfs/remote-pins", "What others keep for this twin, or are to keep, oldest first.")
async def list_remote_pins(twin: Twin, query: HostQuery) -> RemotePins:
    host = None if query.host is None else parse_did(query.host)
    pins = await twin.remote_pins.pins(limit=query.limit, after=query.after, host=host)
    hosts = [
        HostOut(host=did, used_bytes=used, quota_bytes=most) for did, (used, most) in twin.remote_pins.used.items()
    ]
    return RemotePins(**page(pins, _remote), hosts=hosts)


@routes.add("PUT", "/v1/ipfs/remote-pins/{host}/{cid}", "Have another twin, or a relay, keep all that is under a CID.")
async def keep_elsewhere(twin: Twin, host: Did, cid: Cid, body: KeepIn) -> RemotePinOut:
    if twin.own.is_ours(host):
        raise OwnDid("a twin is not its own host")
    return _remote(await twin.remote_pins.pin(host, cid, body.name))


@routes.add("DELETE", "/v1/ipfs/remote-pins/{host}/{cid}", "Have it kept there no longer.")
async def end_elsewhere(twin: Twin, host: Did, cid: Cid) -> Ended:
    await twin.remote_pins.unpin(host, cid)
    return Ended(cid=str(cid), host=host)


@routes.add("GET", "/v1/ipfs/hosted-pins", "What this twin keeps for others, oldest first.")
async def list_hosted_pins(twin: Twin, query: PageQuery) -> HostedPins:
    pins = await twin.hosting.pins(limit=query.limit, after=query.after)
    used = await twin.hosting.used_bytes()
    return HostedPins(**page(pins, _hosted), used_bytes=used, quota_bytes=twin.hosting.total_bytes)


def _remote(pin: RemotePin) -> RemotePinOut:
    return RemotePinOut(
        cid=str(pin.cid),
        host=pin.host,
        name=pin.name,
        status=pin.status,
        reason=pin.reason,
        created=rfc3339(pin.created_ms),
        updated=rfc3339(pin.updated_ms),
    )


def _hosted(pin: HostedPin) -> HostedPinOut:
    return HostedPinOut(
        cid=str(pin.cid),
        client=pin.client,
        name=pin.name,
        status=pin.status,
        reason=pin.reason,
        size_bytes=pin.size_bytes,
        created=rfc3339(pin.created_ms),
        updated=rfc3339(pin.updated_ms),
    )
