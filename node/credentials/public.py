"""What the public listener serves of credentials: status lists, our JSON-LD context, our schemas."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from identity.credentials.contexts import PAGI_V1, context_bytes
from identity.credentials.schemas import schema_bytes
from node.credentials.errors import StatusListUnknown
from node.credentials.status_lists import PATH, TTL_S, StatusLists

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FOR_A_DAY: Final = {"Cache-Control": "public, max-age=86400"}
_FOR_A_WHILE: Final = {"Cache-Control": f"public, max-age={int(TTL_S)}"}
_NUMBER_CHARS: Final = 10


def public_routes(lists: StatusLists) -> Sequence[tuple[str, str, Handler]]:
    """Method, path and handler of each."""

    async def status_list(request: web.Request) -> web.StreamResponse:
        number = request.match_info["n"]
        if not number.isascii() or not number.isdecimal() or len(number) > _NUMBER_CHARS:
            raise web.HTTPNotFound
        try:
            document = await lists.current(int(number))
        except StatusListUnknown as error:
            raise web.HTTPNotFound from error
        return web.json_response(document, content_type="application/vc", headers=_FOR_A_WHILE)

    async def context(_: web.Request) -> web.StreamResponse:
        return web.Response(body=context_bytes(PAGI_V1), content_type="application/ld+json", headers=_FOR_A_DAY)

    async def schema(request: web.Request) -> web.StreamResponse:
        try:
            body = schema_bytes(request.match_info["name"])
        except KeyError as error:
            raise web.HTTPNotFound from error
        return web.Response(body=body, content_type="application/schema+json", headers=_FOR_A_DAY)

    return (
        ("GET", PATH + "{n}", status_list),
        ("GET", "/ns/credentials/v1", context),
        ("GET", "/schemas/{name}", schema),
    )
