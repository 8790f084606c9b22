"""Answers that are sent as they are made: bytes of any length, and the progress of long work."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, TypeVar

import orjson
from aiohttp import hdrs, web
from pydantic import BaseModel

from identity.errors import PagiError
from node.api.problem import problem_of
from node.trace import TRACE_ID

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger(__name__)

How = TypeVar("How", bound="DataclassInstance")
"""How far some work is, as that work says it."""

PROGRESS_TYPE: Final = "application/x-ndjson"
PROGRESS_EVERY_S: Final = 0.25
"""How often somebody is told how far it is: as often as a person can read."""


async def send_bytes(
    request: web.Request,
    pieces: AsyncGenerator[bytes, None],
    *,
    content_type: str,
    status: int = 200,
    size_bytes: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Send pieces as the body. What fails before the first one is a problem document like any other; what fails later
    cuts the connection off, so that nobody takes a part for the whole."""
    response = web.StreamResponse(status=status, headers={"X-Trace-Id": TRACE_ID.get() or "", **(headers or {})})
    response.content_type = content_type
    response.content_length = size_bytes
    async with aclosing(pieces):
        first = await anext(pieces, b"")
        await response.prepare(request)
        try:
            await response.write(first)
            async for piece in pieces:
                await response.write(piece)
        except PagiError as error:
            logger.warning("a body was cut off after its head was sent: %s", error)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("cut off") from error
    await response.write_eof()
    return response


def wants_progress(request: web.Request) -> bool:
    """Whether the client asks for lines of progress instead of one answer at the end."""
    return PROGRESS_TYPE in request.headers.get(hdrs.ACCEPT, "")


async def send_progress(
    request: web.Request, work: Callable[[Callable[[How], None]], Awaitable[BaseModel]], *, trace_id: str
) -> web.StreamResponse:
    """Do the work and tell how far it is, each line one JSON object: `{"progress": …}` as often as there is news, and
    `{"result": …}` or `{"problem": …}` at the end. The work ends when the client goes."""
    response = web.StreamResponse(headers={"X-Trace-Id": trace_id, "Cache-Control": "no-store"})
    response.content_type = PROGRESS_TYPE
    await response.prepare(request)
    latest: How | None = None

    def report(progress: How) -> None:
        nonlocal latest
        latest = progress

    working = asyncio.ensure_future(work(report))
    try:
        told = None
        while not (await asyncio.wait([working], timeout=PROGRESS_EVERY_S))[0]:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("the client has gone")
            if latest is not told and latest is not None:
                told = latest
                await response.write(_line("progress", asdict(latest)))
        await response.write(_ending(working, trace_id))
    finally:
        working.cancel()
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # seen, though the client that it is for may be gone
    await response.write_eof()
    return response


def _ending(done: asyncio.Future[BaseModel], trace_id: str) -> bytes:
    try:
        return _line("result", done.result().model_dump())
    except PagiError as error:
        return _line("problem", problem_of(error, trace_id).model_dump())


def _line(kind: str, value: object) -> bytes:
    return orjson.dumps({kind: value}) + b"\n"
