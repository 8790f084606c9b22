"""Routes as typed functions: one decorator reads a function's signature and does the rest.

A route is an async function whose parameters are named by their purpose:

    `twin`             the running twin
    `body`             a model, read strictly from the JSON body
    `query`            a model, read from the URL's query
    `request`          the bare request, for what is not JSON
    any other name     that part of the path, as `str`, `Did` or `Cid`

What it returns, a model or a ready response, is the answer. The same signature makes the OpenAPI document.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args, get_type_hints

from aiohttp import web
from pydantic import BaseModel, ValidationError

from identity.cid import Cid
from identity.did import MAX_DID_CHARS, Did, parse_did
from node.api.errors import BodyTooLarge, InvalidRequest
from node.api.problem import from_validation
from node.api.wire import Query, Wire
from node.twin import Twin
from protocols import limits
from protocols.errors import RemoteProtocolError, TooLarge
from protocols.jsonguard import parse_json

MAX_BODY_DEPTH: Final = 32
"""No document of this interface nests deeper than a tool's parameters do."""
MAX_PATH_PART_CHARS: Final = 256

TWIN: Final = web.AppKey("twin", Twin)

Run = Callable[..., Awaitable[BaseModel | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one path. `produces` and `consumes` are media types of what is not a JSON model."""

    method: str
    path: str
    run: Run
    summary: str
    tag: str
    takes: frozenset[str]
    path_parts: Mapping[str, type]
    body: type[Wire] | None
    query: type[Query] | None
    reply: type[BaseModel] | None
    consumes: tuple[str, ...] = ()
    produces: str = "application/json"
    statuses: tuple[int, ...] = (200,)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Read the arguments, run, write the answer. Raises PagiError for whatever does not fit."""
        arguments: dict[str, Any] = {name: _part(request, name, kind) for name, kind in self.path_parts.items()}
        if "twin" in self.takes:
            arguments["twin"] = request.app[TWIN]
        if "request" in self.takes:
            arguments["request"] = request
        if self.query is not None:
            arguments["query"] = _read_query(request, self.query)
        if self.body is not None:
            arguments["body"] = await _read_body(request, self.body)
        result = await self.run(**arguments)
        if isinstance(result, BaseModel):
            return web.Response(body=result.model_dump_json().encode(), content_type="application/json")
        return result


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of one area. `tag` groups them in the OpenAPI document."""

    tag: str
    entries: list[Route] = field(default_factory=list)

    def add(
        self,
        method: str,
        path: str,
        summary: str,
        *,
        consumes: str | tuple[str, ...] = (),
        produces: str = "application/json",
        statuses: tuple[int, ...] = (200,),
    ) -> Callable[[Run], Run]:
        """Make the decorated function the answer to `method` on `path`."""

        def register(run: Run) -> Run:
            hints = get_type_hints(run)
            reply = hints.pop("return")
            takes = frozenset(inspect.signature(run).parameters)
            parts = {name: hints[name] for name in takes - {"twin", "request", "body", "query"}}
            assert all(f"{{{name}}}" in path for name in parts), f"{path} has no part for each of {sorted(parts)}"
            route = Route(
                method=method,
                path=path,
                run=run,
                summary=summary,
                tag=self.tag,
                takes=takes,
                path_parts=parts,
                body=hints.get("body"),
                query=hints.get("query"),
                reply=next((kind for kind in get_args(reply) or (reply,) if issubclass(kind, BaseModel)), None),
                consumes=(consumes,) if isinstance(consumes, str) else consumes,
                produces=produces,
                statuses=statuses,
            )
            self.entries.append(route)
            return run

        return register


def _part(request: web.Request, name: str, kind: Any) -> object:
    text = request.match_info[name]
    most = MAX_DID_CHARS if kind is Did else MAX_PATH_PART_CHARS
    if len(text) > most:
        raise InvalidRequest(f"path: {name}: longer than {most} characters")
    if kind is Cid:
        return Cid.parse(text)
    if kind is Did:
        return request.app[TWIN].did if text == "me" else parse_did(text)
    return text


def _read_query(request: web.Request, model: type[Query]) -> Query:
    repeated = next((key for key in request.query if len(request.query.getall(key)) > 1), None)
    if repeated is not None:
        raise InvalidRequest(f"query: /{repeated[:64]}: given more than once")
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise from_validation(error, "query") from error


async def _read_body(request: web.Request, model: type[Wire]) -> Wire:
    data = await request.read()
    try:
        document = parse_json(data, max_bytes=limits.MAX_API_BODY_BYTES, max_depth=MAX_BODY_DEPTH)
    except TooLarge as error:
        raise BodyTooLarge(str(error)) from error
    except RemoteProtocolError as error:
        raise InvalidRequest(f"body: {error}") from error
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise from_validation(error, "body") from error


async def read_bytes(request: web.Request, max_bytes: int) -> bytes:
    """The whole body of a request that is not JSON. Raises BodyTooLarge as soon as it is clear."""
    too_large = BodyTooLarge(f"the request body is over {max_bytes} bytes")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > max_bytes:
            raise too_large
    return bytes(data)
