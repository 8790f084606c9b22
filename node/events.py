"""The event bus: what happened, written to the hash-chained log and broadcast to whoever watches.

Broadcast is observation only, never control: a subscriber that is slow loses the oldest events and is told
how many (`Lagged`). An event that belongs to a change of state is recorded in the transaction of that change
(`record`) and broadcast after it (`announce`); all others go through `publish`, which does both. The log grows for
ever, so what strangers can cause without end is broadcast alone (`broadcast`).
"""

import asyncio
import sqlite3
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson

from identity.did import Did
from node.clock import NowMs, now_ms
from node.trace import TRACE_ID
from storage import eventlog
from storage.database import Database
from storage.page import Page

SUBSCRIBER_BUFFER: Final = 512
"""Events kept for one slow subscriber before the oldest are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The envelope of API.md: `payload` is `{type, data}` there, and only `data` here."""

    id: str
    event_type: str
    ts_ms: int
    twin_id: Did
    subject: str
    source: str
    trace_id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lagged:
    """A subscriber was slow and lost `n` events."""

    n: int


class _Subscriber:
    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._missed = 0
        self._arrived = asyncio.Event()

    def offer(self, event: Event) -> None:
        if len(self._events) >= SUBSCRIBER_BUFFER:
            self._events.popleft()
            self._missed += 1
        self._events.append(event)
        self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[Event | Lagged]:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._events:
                if self._missed:  # Looked at each time: the oldest may have gone while the subscriber was busy.
                    missed, self._missed = self._missed, 0
                    yield Lagged(missed)
                else:
                    yield self._events.popleft()


class EventBus:
    """All events of one twin."""

    def __init__(self, database: Database, twin_id: Did, *, now: NowMs = now_ms) -> None:
        self._database = database
        self._twin_id = twin_id
        self._now = now
        self._subscribers: set[_Subscriber] = set()

    def make(
        self, event_type: str, subject: str, data: Mapping[str, Any], *, source: str = "node", trace_id: str = ""
    ) -> Event:
        """A new event, neither recorded nor broadcast yet."""
        return Event(
            id=str(uuid.uuid4()),
            event_type=event_type,
            ts_ms=self._now(),
            twin_id=self._twin_id,
            subject=subject,
            source=source,
            trace_id=trace_id or TRACE_ID.get() or uuid.uuid4().hex,
            payload=data,
        )

    @staticmethod
    def record(conn: sqlite3.Connection, event: Event) -> None:
        """Append the event to the log, inside the caller's transaction."""
        eventlog.append(
            conn,
            id=event.id,
            event_type=event.event_type,
            ts_ms=event.ts_ms,
            twin_id=event.twin_id,
            subject=event.subject,
            source=event.source,
            trace_id=event.trace_id,
            payload=orjson.dumps(event.payload),
        )

    def announce(self, *events: Event) -> None:
        """Broadcast events that are recorded and committed."""
        for event in events:
            for subscriber in self._subscribers:
                subscriber.offer(event)

    async def publish(
        self, event_type: str, subject: str, data: Mapping[str, Any], *, source: str = "node", trace_id: str = ""
    ) -> Event:
        """Record an event in a transaction of its own, then broadcast it."""
        event = self.make(event_type, subject, data, source=source, trace_id=trace_id)
        await self._database.write(lambda conn: self.record(conn, event))
        self.announce(event)
        return event

    def broadcast(self, event_type: str, subject: str, data: Mapping[str, Any], *, source: str = "node") -> Event:
        """Broadcast an event without recording it: for what anybody can cause as often as they like."""
        event = self.make(event_type, subject, data, source=source)
        self.announce(event)
        return event

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[Event | Lagged]]:
        """Follow all events from now on."""
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        try:
            yield aiter(subscriber)
        finally:
            self._subscribers.discard(subscriber)

    async def log(
        self,
        limit: int = 100,
        after: str | None = None,
        event_type: str | None = None,
        twin_id: str | None = None,
        source: str | None = None,
    ) -> Page[eventlog.LogEntry]:
        """Read the log back, oldest first."""
        return await self._database.read(
            lambda conn: eventlog.read_log(
                conn, limit=limit, after=after, event_type=event_type, twin_id=twin_id, source=source
            )
        )
