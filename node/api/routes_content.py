"""Content by its CID."""

from typing import Final

from aiohttp import web

from identity.cid import Cid
from node.api.router import Routes, read_bytes
from node.api.wire import Wire
from node.twin import Twin

routes = Routes("ipfs")

MAX_CONTENT_BYTES: Final = 64 * 1024 * 1024
"""Bounds the memory of one upload, which is held whole while it is cut into blocks."""


class Added(Wire):
    cid: str
    size_bytes: int


@routes.add(
    "POST", "/v1/ipfs/add", "Store bytes, at most 64 MiB, and get their CID.", consumes="application/octet-stream"
)
async def add(twin: Twin, request: web.Request) -> Added:
    cid, size_bytes = await twin.content.add(await read_bytes(request, MAX_CONTENT_BYTES))
    return Added(cid=str(cid), size_bytes=size_bytes)


@routes.add(
    "GET",
    "/v1/ipfs/cat/{cid}",
    "The bytes of a CID, fetched from the swarm if they are not here.",
    produces="application/octet-stream",
)
async def cat(twin: Twin, cid: Cid) -> web.StreamResponse:
    return web.Response(
        body=await twin.content.cat(cid),
        content_type="application/octet-stream",
        headers={"X-Content-Type-Options": "nosniff"},
    )
