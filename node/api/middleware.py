"""What every request passes: trace id and problem+json on the outside, then the Host check, then the token.

The Host check stands against DNS rebinding: a web page that makes its own name point to 127.0.0.1 could otherwise
talk to the twin. There is no CORS at all: no page of another origin may read an answer.
"""

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from identity.errors import PagiError
from node.api.errors import ForbiddenHost, InvalidRequest, Unauthorized, Unexpected
from node.api.metrics import Metrics
from node.api.problem import from_http, problem_of, response_of
from node.content.errors import RangeUnsatisfiable
from node.trace import TRACE_ID, trace_id_of

logger = logging.getLogger(__name__)

TRACE_HEADER: Final = "X-Trace-Id"
_CLIENT_GONE: Final = 499
"""In the metrics, whoever ended a transfer before it was whole; no status of HTTP's own says that."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def traced(metrics: Metrics) -> Middleware:
    """The outermost layer: every answer has a trace id, every error is a problem document, everything is counted."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        trace_id = trace_id_of(request.headers.get("traceparent"))
        token = TRACE_ID.set(trace_id)
        started = time.perf_counter()
        try:
            response = await _answer(request, handler, trace_id)
        finally:
            TRACE_ID.reset(token)
        if not response.prepared:
            response.headers[TRACE_HEADER] = trace_id
        metrics.count(request.method, _template(request), response.status, time.perf_counter() - started)
        return response

    return middleware


async def _answer(request: web.Request, handler: Handler, trace_id: str) -> web.StreamResponse:
    """The handler's answer, or its error as a problem document. This is the supervisor of all routes."""
    headers: dict[str, str] = {}
    try:
        return await handler(request)
    except PagiError as error:
        problem = problem_of(error, trace_id)
        if problem.status >= 500:
            logger.warning("%s %s failed, trace %s: %s", request.method, _template(request), trace_id, error)
        if isinstance(error, RangeUnsatisfiable):
            headers["Content-Range"] = f"bytes */{error.size_bytes}"  # RFC 9110, section 15.5.17
    except web.HTTPException as error:
        problem = problem_of(from_http(error), trace_id)
        if "Allow" in error.headers:
            headers["Allow"] = _methods_of(request) or error.headers["Allow"]
    except web.RequestPayloadError:
        problem = problem_of(InvalidRequest("the body was cut off, or is not in the encoding that it names"), trace_id)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            return web.Response(status=_CLIENT_GONE)  # which nobody reads
        # The supervisor of the routes: one that is broken must not end the others.
        logger.exception("%s %s failed unexpectedly, trace %s", request.method, _template(request), trace_id)
        problem = problem_of(Unexpected(), trace_id)
    return response_of(problem, headers, path=request.path)


def _methods_of(request: web.Request) -> str:
    """What the path takes where it is one of ours to the letter: a path with a variable part may fit it as well."""
    resources = (resource for resource in request.app.router.resources() if resource.canonical == request.path)
    return ",".join(sorted({route.method for resource in resources for route in resource}))


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def only_this_host(hosts: Collection[str]) -> Middleware:
    """Refuse a Host header that is neither a loopback name nor one of `hosts`."""
    allowed = frozenset(host.lower() for host in hosts) | {"localhost"}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = host_name(request.headers.get("Host", ""))
        if host not in allowed and not _is_loopback(host):
            raise ForbiddenHost("the Host header names another machine")
        return await handler(request)

    return middleware


def host_name(authority: str) -> str:
    """The host of `host:port` or `[v6]:port`, in lower case and without a final dot."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.rpartition(":")[0].lower().rstrip(".") if ":" in authority else authority.lower().rstrip(".")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def only_the_owner(token: str, *, metrics_public: bool) -> Middleware:
    """Ask for the token on everything except the two probes, and /metrics where that is public."""
    expected = token.encode()
    assert expected, "an empty token would let everybody in"
    public = {"/live", "/ready"} | ({"/metrics"} if metrics_public else set())

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in public:
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            matches = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected)
            if scheme.lower() != "bearer" or not matches:
                raise Unauthorized("the request has no token" if not given else "the token is not this twin's")
        return await handler(request)

    return middleware
