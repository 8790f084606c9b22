"""The owner's HTTP interface: one aiohttp application over one twin."""

import errno
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from node.api import (
    routes_approvals,
    routes_artifacts,
    routes_budget,
    routes_checks,
    routes_content,
    routes_credentials,
    routes_dids,
    routes_documents,
    routes_emotion,
    routes_events,
    routes_fleet,
    routes_hosting,
    routes_invitations,
    routes_ipns,
    routes_jobs,
    routes_learning,
    routes_mail,
    routes_mediators,
    routes_memory,
    routes_mind,
    routes_models,
    routes_openai,
    routes_playbook_files,
    routes_playbooks,
    routes_providers,
    routes_red_lines,
    routes_remembering,
    routes_self,
    routes_swarm,
    routes_tasks,
    routes_tools,
    routes_trust,
)
from node.api.errors import CannotServe
from node.api.metrics import CONTENT_TYPE, Metrics
from node.api.middleware import only_the_owner, only_this_host, traced
from node.api.openapi import document
from node.api.router import TWIN, Route, Routes
from node.errors import PortInUse
from node.twin import Twin
from protocols.limits import MAX_API_BODY_BYTES

_AREAS: Final = (
    routes_self.routes,
    routes_artifacts.routes,
    routes_swarm.routes,
    routes_dids.routes,
    routes_mind.routes,
    routes_models.routes,
    routes_openai.routes,
    routes_providers.routes,
    routes_budget.routes,
    routes_jobs.routes,
    routes_learning.routes,
    routes_approvals.routes,
    routes_emotion.routes,
    routes_fleet.routes,
    routes_remembering.routes,
    routes_memory.routes,
    routes_documents.routes,
    routes_mail.routes,
    routes_mediators.routes,
    routes_invitations.routes,
    routes_playbooks.routes,
    routes_playbook_files.routes,
    routes_red_lines.routes,
    routes_checks.routes,
    routes_trust.routes,
    routes_content.routes,
    routes_hosting.routes,
    routes_ipns.routes,
    routes_credentials.routes,
    routes_tasks.routes,
    routes_tools.routes,
    routes_events.routes,
)
_SHUTDOWN_S: Final = 3.0
"""How long requests under way may take to end when the twin stops."""

_MAX_LINE_BYTES: Final = 64 * 1024
"""A path into a folder, each byte of it percent-encoded, and whatever else a query takes."""


def make_app(twin: Twin, token: str, *, hosts: Collection[str] = (), metrics_public: bool = False) -> web.Application:
    """The application that answers for `twin` to whoever has `token`.

    `hosts` are names that the Host header may have besides the loopback ones.
    """
    metrics = Metrics(twin.counters, version=twin.version)
    app = web.Application(
        client_max_size=MAX_API_BODY_BYTES,
        middlewares=(traced(metrics), only_this_host(hosts), only_the_owner(token, metrics_public=metrics_public)),
    )
    app[TWIN] = twin
    app[routes_events.STREAMS] = routes_events.Streams(metrics.streams)
    app.on_shutdown.append(routes_events.end_streams)
    own = _own_routes(metrics, twin.version, metrics_public=metrics_public)
    for route in (*(route for area in _AREAS for route in area.entries), *own):
        app.router.add_route(route.method, route.path, route.handle)
    return app


def _own_routes(metrics: Metrics, version: str, *, metrics_public: bool) -> list[Route]:
    """The two routes that describe the others."""
    routes = Routes("about")

    @routes.add("GET", "/metrics", "Prometheus metrics.", produces="text/plain")
    async def scrape() -> web.StreamResponse:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    @routes.add("GET", "/v1/openapi.json", "This document.")
    async def openapi() -> web.StreamResponse:
        return web.json_response(description)

    public = frozenset({"/live", "/ready"} | ({"/metrics"} if metrics_public else set()))
    entries = [route for area in _AREAS for route in area.entries] + routes.entries
    description = document(entries, public=public, version=version)
    return routes.entries


@asynccontextmanager
async def serve(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Answer on `host:port` (port 0 picks one) until the block ends; gives the base URL in use.

    Raises PortInUse or CannotServe.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S, max_line_size=_MAX_LINE_BYTES)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            cause = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise (PortInUse if busy else CannotServe)(f"cannot listen on {host}:{port}: {cause}") from error
        used = runner.addresses[0][1]
        yield f"http://[{host}]:{used}" if ":" in host else f"http://{host}:{used}"
    finally:
        await runner.cleanup()
