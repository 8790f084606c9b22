"""A model hub on loopback: it has one repository, and does what hubs and networks do on a bad day.

The files come from a second server, as a hub's often do; each of its answers can be cut, stalled or altered.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "owner/tiny-GGUF"


@dataclass(slots=True)
class HubServer:
    """What the hub says and does. `cuts` are the bytes after which each of the next answers with content ends;
    `statuses` the statuses of the next answers about files. `asked` are the ranges that were asked for."""

    files: dict[str, bytes]
    says: dict[str, Any] = field(default_factory=dict)
    listed: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda path, entry: entry
    linked: Callable[[dict[str, str]], dict[str, str]] = lambda headers: headers
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    wrong_range: bool = False
    redirect: str | None = None
    stall: asyncio.Event | None = None
    altered: bytes | None = None
    page_size: int = 1000
    token: str | None = None
    hub: str = ""
    store: str = ""
    asked: list[str | None] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    connections: int = 0

    async def about(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        return web.json_response({"id": REPO, "sha": COMMIT, "cardData": {"license": "mit"}, **self.says})

    async def tree(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        assert request.match_info["commit"] == COMMIT
        start = int(request.query.get("cursor", 0))
        entries = [{"type": "directory", "path": "docs"}, {"type": "file", "path": "README.md", "size": 9}]
        for path, data in sorted(self.files.items()):
            oid = hashlib.sha256(data).hexdigest()
            entries.append(
                self.listed(path, {"type": "file", "path": path, "size": len(data), "lfs": {"oid": oid, "size": 1}})
            )
        end = start + self.page_size
        headers = {}
        if end < len(entries):
            headers["Link"] = f'<{self.hub}{request.path}?recursive=true&cursor={end}>; rel="next"'
        return web.json_response(entries[start:end], headers=headers)

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        if self.statuses:
            raise _status(self.statuses.pop(0))
        data = self.files[request.match_info["path"]]
        headers = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(data)),
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
            "Location": self.redirect or f"{self.store}/blob/{request.match_info['path']}",
        }
        return web.Response(status=302, headers=self.linked(headers))

    async def blob(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization"))
        self.asked.append(request.headers.get("Range"))
        self.connections += 1
        data = self.altered or self.files[request.match_info["path"]]
        start, status, headers = 0, 200, {"Content-Length": str(len(data))}
        if self.ranges and (wanted := request.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            said = start + 1 if self.wrong_range else start
            status = 206
            headers = {
                "Content-Length": str(len(data) - start),
                "Content-Range": f"bytes {said}-{len(data) - 1}/{len(data)}",
            }
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else None
        rest = data[start:] if cut is None else data[start : start + cut]
        await response.write(rest)
        if self.stall is not None:
            await self.stall.wait()
        if cut is not None and request.transport is not None:
            request.transport.close()
        return response

    def _check(self, request: web.Request) -> None:
        self.tokens.append(request.headers.get("Authorization"))
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            raise web.HTTPUnauthorized


def _status(status: int) -> web.HTTPException:
    kinds: dict[int, type[web.HTTPException]] = {
        404: web.HTTPNotFound,
        429: web.HTTPTooManyRequests,
        500: web.HTTPInternalServerError,
        503: web.HTTPServiceUnavailable,
    }
    return kinds[status]()


@asynccontextmanager
async def serving(server: HubServer) -> AsyncIterator[HubServer]:
    """Run the hub and its store on two free ports."""
    hub, store = web.Application(), web.Application()
    hub.router.add_get(f"/api/models/{REPO}", server.about)
    hub.router.add_get(f"/api/models/{REPO}/tree/{{commit}}", server.tree)
    hub.router.add_get(f"/{REPO}/resolve/{COMMIT}/{{path:.+}}", server.resolve)
    store.router.add_get("/blob/{path:.+}", server.blob)
    runners = []
    try:
        for app in (hub, store):
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.hub, server.store = (f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
        yield server
    finally:
        for runner in runners:
            await runner.cleanup()
