"""Events: follow them as they happen (server-sent events), read them back, add one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Annotated, Any, Final

import orjson
from aiohttp import web
from prometheus_client import Gauge
from pydantic import Field

from node.api.router import Routes
from node.api.wire import JsonObject, PageQuery, Query, Wire, page
from node.clock import rfc3339
from node.events import Event, Lagged
from node.trace import TRACE_ID
from node.twin import Twin
from storage.eventlog import LogEntry

routes = Routes("events")

HEARTBEAT_S: Final = 15.0
"""How often an idle stream says that it lives; proxies commonly cut one that is silent for 30 s or more."""

EventType = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
Name = Annotated[str, Field(min_length=1, max_length=2048)]


class Payload(Wire):
    type: str
    data: JsonObject


class EventOut(Wire):
    id: str
    event_type: str
    ts: str
    twin_id: str
    subject: str | None
    source: str
    trace_id: str | None
    payload: Payload


class EventPage(Wire):
    items: list[EventOut]
    next: str | None


class NewEvent(Wire):
    event_type: EventType
    subject: Annotated[str, Field(max_length=256)] = ""
    payload: JsonObject = Field(default_factory=dict)


class Wanted(Query):
    event_type: EventType | None = None
    twin_id: Name | None = None
    source: Name | None = None


class LogQuery(PageQuery, Wanted):
    pass


class Streams:
    """The open streams of one application: they end when it does."""

    def __init__(self, gauge: Gauge) -> None:
        self.gauge: Final = gauge
        self.closing: Final = asyncio.Event()


STREAMS: Final = web.AppKey("streams", Streams)


async def end_streams(app: web.Application) -> None:
    """End every open stream, so that stopping does not wait for clients that never go."""
    app[STREAMS].closing.set()


@routes.add("POST", "/v1/events", "Publish an event of the owner's; its source is `api`.")
async def publish(twin: Twin, body: NewEvent) -> EventOut:
    event = await twin.events.publish(
        body.event_type, body.subject, body.payload, source="api", trace_id=TRACE_ID.get() or ""
    )
    return _shown(event, event.payload)


@routes.add("GET", "/v1/events/log", "Events that happened, oldest first.")
async def read_log(twin: Twin, query: LogQuery) -> EventPage:
    rows = await twin.events.log(
        query.limit, query.after, event_type=query.event_type, twin_id=query.twin_id, source=query.source
    )
    return EventPage(**page(rows, lambda row: _shown(row, orjson.loads(row.payload))))


@routes.add(
    "GET",
    "/v1/events",
    "Follow events as they happen. A reader that is too slow is sent `lagged` with how many it missed.",
    produces="text/event-stream",
)
async def follow(twin: Twin, request: web.Request, query: Wanted) -> web.StreamResponse:
    async with twin.events.subscribe() as events:
        return await stream_events(request, lambda response: _write(response, events, query))


async def stream_events(
    request: web.Request, write: Callable[[web.StreamResponse], Coroutine[Any, Any, None]]
) -> web.StreamResponse:
    """Send server-sent events until `write` has ended, the reader goes or the application closes."""
    streams = request.app[STREAMS]
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Trace-Id": TRACE_ID.get() or "",
        }
    )
    await response.prepare(request)
    with streams.gauge.track_inprogress():
        try:
            await _run(response, write(response), streams.closing)
        except* ConnectionResetError:
            pass  # the reader has gone, which is how most streams end
    return response


async def _run(response: web.StreamResponse, writing: Coroutine[Any, Any, None], closing: asyncio.Event) -> None:
    """Write until there is no more, the reader goes (ConnectionResetError) or the application closes."""
    async with asyncio.TaskGroup() as group:
        await response.write(b": connected\n\n")
        tasks = [
            group.create_task(writing),
            group.create_task(_beat(response)),
            group.create_task(closing.wait()),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _write(response: web.StreamResponse, events: AsyncIterator[Event | Lagged], wanted: Wanted) -> None:
    async for event in events:
        if isinstance(event, Lagged):
            await response.write(b"event: lagged\ndata: %s\n\n" % orjson.dumps({"missed": event.n}))
        elif _matches(event, wanted):
            data = _shown(event, event.payload).model_dump_json().encode()
            head = f"id: {event.id}\nevent: {event.event_type}\ndata: ".encode()
            await response.write(head + data + b"\n\n")


async def _beat(response: web.StreamResponse) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        await response.write(b": heartbeat\n\n")


def _matches(event: Event, wanted: Wanted) -> bool:
    return (
        wanted.event_type in (None, event.event_type)
        and wanted.twin_id in (None, event.twin_id)
        and wanted.source in (None, event.source)
    )


def _shown(event: Event | LogEntry, data: Mapping[str, Any]) -> EventOut:
    return EventOut(
        id=event.id,
        event_type=event.event_type,
        ts=rfc3339(event.ts_ms),
        twin_id=event.twin_id,
        subject=event.subject,
        source=event.source,
        trace_id=event.trace_id,
        payload=Payload(type=event.event_type, data=dict(data)),
    )
