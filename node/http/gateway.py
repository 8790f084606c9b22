"""The trustless gateway (https://specs.ipfs.tech/http-gateways/trustless-gateway/): blocks, CAR files, IPNS records.

It serves what is here to whoever knows its CID, as bitswap does, and fetches nothing for anybody. What is sent is
bounded in number, bytes and time; a CAR file that cannot go on is broken off, so that nobody takes it for whole.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, urlencode

import orjson
from aiohttp import web

from identity.cid import Cid
from identity.errors import PagiError
from node.http.gateway_dag import GetBlock, NotWhole, Way, blocks_in, follow, range_of
from node.http.gateway_query import MEDIA_TYPES, PROBE, Query, Refusal, read_ipns_name, read_query
from node.http.listening import client_key
from protocols import limits
from protocols.ipld.car import car_header, car_section

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

GetRecord = Callable[[str], Awaitable[bytes | None]]
"""The signed record of an IPNS name that this node keeps, None if it keeps none."""

_FOR_EVER: Final = "public, max-age=29030400, immutable"
_FOR_A_MINUTE: Final = "public, max-age=60"
_RETRY_AFTER_S: Final = 5

_EMPTY_CID: Final = bytes.fromhex("01550000")
_PROBE_CAR: Final = b"\x19\xa2\x65roots\x81\xd8\x2a\x45\x00" + _EMPTY_CID + b"\x67version\x01"
"""A CAR file without blocks whose root is the probe: identity CIDs are read nowhere else."""

_OPEN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Cache-Control, If-None-Match",
    "Access-Control-Expose-Headers": "Content-Disposition, Content-Length, Content-Location, ETag",
    "X-Content-Type-Options": "nosniff",
}
"""Web pages may read what everybody may read."""

_FILENAME_CHARS: Final = 255

_PIECE_BYTES: Final = 65_537
"""One more than what aiohttp writes before it waits for the client."""


class Gateway:
    """What it serves, to whom and how much at once. `routes` are for `make_public_app`."""

    def __init__(
        self,
        get: GetBlock,
        *,
        record: GetRecord | None = None,
        denied: Collection[Cid] = (),
        proxied: bool = False,
        response_s: float = limits.GATEWAY_S,
        stall_s: float = limits.GATEWAY_STALL_S,
        response_bytes: int = limits.MAX_GATEWAY_BYTES,
    ) -> None:
        """`denied` are blocks that the owner keeps but does not serve."""
        self._blocks = get
        self._record = record
        self._denied = frozenset(cid.digest for cid in denied)
        self._proxied = proxied
        self._response_s = response_s
        self._stall_s = stall_s
        self._response_bytes = response_bytes
        self._under_way: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """Method, path and handler of each."""
        served = (("/ipfs/{path:.*}", self._serve_content), ("/ipns/{path:.*}", self._serve_record))
        return [
            (method, path, handler)
            for path, serve in served
            for method, handler in (
                ("GET", self._guarded(serve)),
                ("HEAD", self._guarded(serve)),
                ("OPTIONS", _allow),
            )
        ]

    def _guarded(self, serve: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.counters["gateway_requests"] += 1
            try:
                if request.headers.get("Service-Worker") == "script":
                    raise Refusal(400, "No service worker is served.")
                async with self._place(client_key(request, proxied=self._proxied)):
                    return await serve(request)
            except Refusal as refusal:
                self.counters["gateway_refused"] += 1
                return _refused(request, refusal)

        return handle

    @asynccontextmanager
    async def _place(self, host: str) -> AsyncIterator[None]:
        """One of the responses under way. Raises Refusal if there are too many."""
        of_host = self._under_way[host]
        if of_host >= limits.MAX_GATEWAY_RESPONSES_PER_HOST or self._under_way.total() >= limits.MAX_GATEWAY_RESPONSES:
            raise Refusal(429, "Too many responses are under way: wait until others have ended.")
        self._under_way[host] += 1
        try:
            yield
        finally:
            self._under_way[host] -= 1
            if not self._under_way[host]:
                del self._under_way[host]

    async def _get(self, cid: Cid) -> bytes | None:
        if cid.digest in self._denied:
            raise Refusal(410, f"{cid} is not served here.")
        return await self._blocks(cid)

    async def _serve_content(self, request: web.Request) -> web.StreamResponse:
        query = read_query(_raw_path(request), request.query, request.headers.get("Accept"))
        if query.root is None:
            body = _PROBE_CAR if query.asked.format == "car" else b""
            return web.Response(body=body, headers=_headers(request, query, _etag(query)))
        try:
            async with asyncio.timeout(self._response_s):
                way = await follow(query.root, query.names, self._get)
        except TimeoutError as error:
            raise Refusal(504, "The path took too long to follow.") from error
        part = await range_of(way, query.entity_bytes) if query.entity_bytes is not None else None
        etag = _etag(query)
        headers = _headers(request, query, etag)
        if _has_etag(request, etag):
            return web.Response(status=304, headers={name: headers[name] for name in ("ETag", "Cache-Control", *_OPEN)})
        return await self._send(request, query, way, part, headers)

    async def _send(
        self, request: web.Request, query: Query, way: Way, part: tuple[int, int] | None, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        if query.asked.format == "raw":
            response.content_length = len(way.end_block)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            async with asyncio.timeout(self._response_s):
                if query.asked.format == "raw":
                    await self._send_block(response, way.end_block)
                else:
                    await self._send_car(response, query, way, part)
                await response.write_eof()
        except (NotWhole, Refusal, TimeoutError, PagiError) as error:
            logger.info("an answer about %s was broken off: %s", query.root, error or "it took too long")
            self.counters["gateway_broken_off"] += 1
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _send_car(
        self, response: web.StreamResponse, query: Query, way: Way, part: tuple[int, int] | None
    ) -> None:
        await self._write(response, car_header([query.root or way.end]))
        sent = 0
        async for cid, block in blocks_in(way, query.scope, part, self._get, dups=query.asked.dups):
            section = car_section(cid, block)
            sent += len(section)
            if sent > self._response_bytes:
                raise NotWhole(f"more than {self._response_bytes} bytes")
            await self._send_block(response, section)

    async def _send_block(self, response: web.StreamResponse, data: bytes) -> None:
        await self._write(response, data)
        self.counters["gateway_blocks_served"] += 1
        self.counters["gateway_bytes_served"] += len(data)

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        """In pieces: a client that takes one after the other is slow, not away."""
        view = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            async with asyncio.timeout(self._stall_s):
                await response.write(view[start : start + _PIECE_BYTES])

    async def _serve_record(self, request: web.Request) -> web.StreamResponse:
        name = read_ipns_name(_raw_path(request), request.query, request.headers.get("Accept"))
        record = await self._record(name) if self._record is not None else None
        if record is None:
            raise Refusal(404, "No record of this name is here, and this gateway looks for none.")
        etag = f'"{hashlib.sha256(record).hexdigest()[:32]}.ipns-record"'
        headers = _OPEN | {
            "Content-Type": MEDIA_TYPES["ipns-record"],
            "Content-Disposition": f'attachment; filename="{name}.ipns-record"',
            "Cache-Control": _FOR_A_MINUTE,
            "ETag": etag,
        }
        if _has_etag(request, etag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=record, headers=headers)


async def _allow(request: web.Request) -> web.StreamResponse:
    """For web pages that ask before they send a header of their own."""
    return web.Response(status=204, headers=_OPEN | {"Access-Control-Max-Age": "86400"})


def _raw_path(request: web.Request) -> str:
    """The path as it came: an escaped '/' in a name is not one between names."""
    return request.raw_path.partition("?")[0]


def _etag(query: Query) -> str:
    """Of a block strong, of a CAR file weak: it names the root, the scope, and what else makes the answer another."""
    root = query.root or PROBE
    if query.asked.format == "raw":
        return f'"{root}.raw"'
    makes = orjson.dumps([query.names, query.entity_bytes and (query.entity_bytes.first, query.entity_bytes.last)])
    dups = "y" if query.asked.dups else "n"
    return f'W/"{root}.car.{query.scope}.dfs.{dups}.{hashlib.sha256(makes).hexdigest()[:16]}"'


def _has_etag(request: web.Request, etag: str) -> bool:
    """Whether the client has this very answer (RFC 9110, section 13.1.2: compared weakly)."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def _headers(request: web.Request, query: Query, etag: str) -> dict[str, str]:
    asked = query.asked
    headers = _OPEN | {"ETag": etag, "Cache-Control": _FOR_EVER, "Vary": "Accept"}
    if asked.format == "car":
        headers["Content-Type"] = f"{MEDIA_TYPES['car']}; version=1; order=dfs; dups={'y' if asked.dups else 'n'}"
        headers["Accept-Ranges"] = "none"
    else:
        headers["Content-Type"] = MEDIA_TYPES["raw"]
    ending = "car" if asked.format == "car" else "bin"
    headers["Content-Disposition"] = _disposition(request.query.get("filename"), f"{query.root or PROBE}.{ending}")
    if asked.negotiated:
        signals = {"car-dups": "y"} if asked.dups and "car-dups" not in request.query else {}
        params = {"format": asked.format, **request.query, **signals}
        headers["Content-Location"] = f"{quote(_raw_path(request), safe='/%')}?{urlencode(params)}"
    return headers


def _disposition(wanted: str | None, default: str) -> str:
    """What a browser saves it as. A name that is not plain ASCII is given in both of its forms (RFC 8187)."""
    name = "".join(char for char in (wanted or default)[:_FILENAME_CHARS] if char.isprintable() and char not in '"\\/')
    plain = "".join(char if char.isascii() else "_" for char in name)
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _refused(request: web.Request, refusal: Refusal) -> web.Response:
    """A problem document (RFC 9457). `only-if-cached` has a status of its own for what is not here."""
    status = refusal.status
    if status == 404 and "only-if-cached" in request.headers.get("Cache-Control", ""):
        status = 412
    headers = dict(_OPEN)
    if status in (429, 504):
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    if status in (404, 412):
        headers["Cache-Control"] = "no-store"
    body = orjson.dumps({"type": "about:blank", "status": status, "detail": refusal.detail})
    return web.Response(status=status, body=body, content_type="application/problem+json", headers=headers)
