"""Content by its CID: in and out, what is kept of it, and how much."""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import hdrs, web

from identity.cid import Cid
from node.api.content_models import (
    Added,
    AddQuery,
    CollectedOut,
    EntryOut,
    EntryPage,
    Imported,
    ImportQuery,
    ListQuery,
    PathQuery,
    PinIn,
    Pinned,
    PinOut,
    PinPage,
    PinsQuery,
    StatOut,
    Unpinned,
    UsageOut,
)
from node.api.errors import InvalidRequest
from node.api.ranges import one_range
from node.api.router import Routes
from node.api.streaming import send_bytes, send_progress, wants_progress
from node.api.wire import page
from node.content.reading import Listed, Opened
from node.content.walking import Report
from node.trace import TRACE_ID
from node.twin import Twin
from protocols import limits
from storage.errors import StorageFull
from storage.pins import Pin

routes = Routes("ipfs")

TAR: Final = "application/x-tar"
CAR: Final = "application/vnd.ipld.car"
BYTES: Final = "application/octet-stream"


@routes.add(
    "POST",
    "/v1/ipfs/add",
    "Store a file, or a folder as a tar stream, and get its CID.",
    consumes=(BYTES, TAR),
)
async def add(twin: Twin, request: web.Request, query: AddQuery) -> Added:
    chunk_bytes = int(query.chunker.removeprefix("size-"))
    if chunk_bytes > limits.MAX_BLOCK_BYTES:
        raise InvalidRequest(f"query: /chunker: a block has {limits.MAX_BLOCK_BYTES} bytes at most")
    put = twin.content.add_tree if request.content_type == TAR else twin.content.add_stream
    body = await _body(twin, request)
    added = await put(body, chunk_bytes=chunk_bytes, wrap=query.wrap, name=query.name, pin=query.pin)
    return Added(cid=str(added.cid), size_bytes=added.size_bytes, total_bytes=added.total_bytes)


@routes.add(
    "GET",
    "/v1/ipfs/cat/{cid}",
    "The bytes of a file, or a range of them, fetched from the swarm if they are not here.",
    produces=BYTES,
    statuses=(200, 206),
)
async def cat(twin: Twin, cid: Cid, query: PathQuery, request: web.Request) -> web.StreamResponse:
    opened = await twin.content.open(_below(cid, query.path))
    status, asked, headers = _what_to_send(request, opened)
    return await send_bytes(
        request,
        twin.content.read_open(opened, asked.start, len(asked)),
        content_type=BYTES,
        status=status,
        size_bytes=len(asked),
        headers=headers,
    )


@routes.add("HEAD", "/v1/ipfs/cat/{cid}", "How long a file is.", produces=BYTES, statuses=(200, 206))
async def look(twin: Twin, cid: Cid, query: PathQuery, request: web.Request) -> web.StreamResponse:
    opened = await twin.content.open(_below(cid, query.path))
    status, asked, headers = _what_to_send(request, opened)
    return web.Response(status=status, headers={**headers, hdrs.CONTENT_LENGTH: str(len(asked))}, content_type=BYTES)


@routes.add("GET", "/v1/ipfs/stat/{cid}", "What a CID or a path leads to.")
async def stat(twin: Twin, cid: Cid, query: PathQuery) -> StatOut:
    found = await twin.content.stat(_below(cid, query.path))
    return StatOut(
        cid=str(found.cid),
        kind=found.kind,
        codec=found.codec,
        size_bytes=found.size_bytes,
        total_bytes=found.total_bytes,
        links=found.links,
        here=found.here,
        target=found.target,
    )


@routes.add("GET", "/v1/ipfs/ls/{cid}", "The entries of a folder, by name.")
async def ls(twin: Twin, cid: Cid, query: ListQuery) -> EntryPage:
    folder = await twin.content.resolve(_below(cid, query.path))
    entries = await twin.content.ls(folder, limit=query.limit, after=query.after)
    return EntryPage(cid=str(folder), **page(entries, _entry))


@routes.add("GET", "/v1/ipfs/pins", "What is kept, oldest first.")
async def list_pins(twin: Twin, query: PinsQuery) -> PinPage:
    pins = await twin.content.pins(limit=query.limit, after=query.after, kind=query.kind, name=query.name)
    return PinPage(**page(pins, _pin))


@routes.add(
    "PUT",
    "/v1/ipfs/pins/{cid}",
    "Fetch a DAG and keep it. With `Accept: application/x-ndjson` it tells how far it is, a line of JSON at a time.",
)
async def pin(twin: Twin, cid: Cid, body: PinIn, request: web.Request) -> Pinned | web.StreamResponse:
    async def work(report: Report | None) -> Pinned:
        fetched = await twin.content.pin(cid, body.kind, body.name, report=report)
        return Pinned(
            cid=str(cid),
            kind=body.kind,
            name=body.name,
            blocks=fetched.blocks,
            size_bytes=fetched.size_bytes,
            new_blocks=fetched.new_blocks,
            new_bytes=fetched.new_bytes,
        )

    if wants_progress(request):
        return await send_progress(request, work, trace_id=TRACE_ID.get() or "")
    return await work(None)


@routes.add("DELETE", "/v1/ipfs/pins/{cid}", "Keep it no longer; its blocks go with the next collection.")
async def unpin(twin: Twin, cid: Cid) -> Unpinned:
    await twin.content.unpin(cid)
    return Unpinned(cid=str(cid))


@routes.add("GET", "/v1/ipfs/car/{cid}", "The whole of a DAG as a CAR file (CARv1).", produces=CAR)
async def export_car(twin: Twin, cid: Cid, request: web.Request) -> web.StreamResponse:
    headers = {hdrs.CONTENT_DISPOSITION: f'attachment; filename="{cid}.car"', "X-Content-Type-Options": "nosniff"}
    return await send_bytes(request, twin.content.export_car(cid), content_type=CAR, headers=headers)


@routes.add("POST", "/v1/ipfs/car", "Keep what a CAR file has, and pin its roots.", consumes=(CAR, BYTES))
async def import_car(twin: Twin, request: web.Request, query: ImportQuery) -> Imported:
    roots = await twin.content.import_car(await _body(twin, request), pin=query.pin, name=query.name)
    return Imported(roots=[str(root) for root in roots])


@routes.add("POST", "/v1/ipfs/gc", "Remove every block that nothing needs.")
async def collect(twin: Twin) -> CollectedOut:
    collected = await twin.content.collect()
    return CollectedOut(blocks=collected.blocks, size_bytes=collected.size_bytes)


@routes.add("GET", "/v1/ipfs/usage", "How much is kept and how much may be, and how the backend is.")
async def usage(twin: Twin) -> UsageOut:
    detail, used = await twin.content.check(), await twin.content.usage()
    return UsageOut(
        backend=twin.content.backend,
        detail=detail,
        size_bytes=used.size_bytes,
        quota_bytes=used.quota_bytes,
        blocks=used.blocks,
    )


async def _body(twin: Twin, request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises StorageFull at once for one that says that it is longer than the quota."""
    quota_bytes = (await twin.content.usage()).quota_bytes
    if (request.content_length or 0) > quota_bytes:
        raise StorageFull(f"the body has {request.content_length} bytes; the quota is {quota_bytes}")
    return request.content.iter_any()


def _below(cid: Cid, path: str) -> Cid | str:
    return f"{cid}/{path}" if path else cid


def _what_to_send(request: web.Request, opened: Opened) -> tuple[int, range, dict[str, str]]:
    """Status, bytes and headers of an answer about a file. Raises RangeUnsatisfiable."""
    tag = f'"{opened.cid}"'
    headers = {hdrs.ACCEPT_RANGES: "bytes", hdrs.ETAG: tag, "X-Content-Type-Options": "nosniff"}
    if request.headers.get(hdrs.IF_RANGE, tag) != tag:
        return 200, range(opened.size_bytes), headers
    asked = one_range(request.headers.get(hdrs.RANGE), opened.size_bytes)
    if asked is None:
        return 200, range(opened.size_bytes), headers
    headers[hdrs.CONTENT_RANGE] = f"bytes {asked.start}-{asked.stop - 1}/{opened.size_bytes}"
    return 206, asked, headers


def _entry(listed: Listed) -> EntryOut:
    return EntryOut(
        name=listed.name,
        cid=str(listed.cid),
        kind=listed.kind,
        size_bytes=listed.size_bytes,
        total_bytes=listed.total_bytes,
        target=listed.target,
    )


def _pin(row: Pin) -> PinOut:
    return PinOut(cid=str(row.cid), kind=row.kind, name=row.name)
