"""Keeping content for others: what a client asks for is fetched in the background, within its share and that of all.

A pin is on disk before its client is answered, and its state is there to be asked for at any time. What a client has
used is what lies on our disk for it, a fetch under way included: each batch is held against the share before it is
written. An attempt that is cut off, by whatever, goes on where it was.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from identity.cid import Cid
from identity.did import Did
from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.content.blocks import Blocks, Hold
from node.content.walking import Progress, fetch_dag
from node.errors import ContentTooLarge, ContentUnavailable
from node.messaging.source import Source
from protocols import limits
from protocols.conversations import pinning
from protocols.conversations.pinning import Stand
from protocols.conversations.reply import Reply
from protocols.errors import ProtocolError
from protocols.message import Message
from storage import hosted_pins as rows
from storage.database import Database
from storage.errors import StorageFull
from storage.hosted_pins import HostedPin, HostedStatus
from storage.page import Page

ShareOf = Callable[[sqlite3.Connection, Did], int]
"""How many bytes may be kept for a client, what is kept already included; 0 for whom nothing is kept."""

RETRY_FIRST_MS: Final = 10_000
RETRY_MOST_MS: Final = 3_600_000
"""Pauses between attempts at what nobody gives: who has it may come any moment, or in days."""

LOOK_EVERY_S: Final = 5.0
"""How soon an attempt that is due begins."""

SWEEP_EVERY_S: Final = 60.0
"""How soon the pins of somebody who may have none any more are dropped."""

logger = logging.getLogger(__name__)


class Hosting:
    """The pins of others over `blocks`, at most `total_bytes` of them all together."""

    def __init__(
        self, *, database: Database, blocks: Blocks, share_of: ShareOf, total_bytes: int, now: NowMs = now_ms
    ) -> None:
        self._database = database
        self._blocks = blocks
        self._share_of = share_of
        self.total_bytes: Final = total_bytes
        self._now = now
        self._jobs: dict[int, _Job] = {}
        self._rests: dict[int, tuple[int, int]] = {}  # by pin: not before, and the pause after that
        self._changed = asyncio.Event()
        self.counters: Counter[str] = Counter()

    async def pins(self, *, limit: int, after: str | None = None) -> Page[HostedPin]:
        """What is kept for others, oldest first."""
        return await self._database.read(lambda conn: rows.list_pins(conn, limit=limit, after=after))

    async def used_bytes(self) -> int:
        """What counts against `total_bytes`."""
        return await self._database.read(rows.used_bytes)

    # What clients ask

    async def answer(self, _: Source, client: Did, message: Message) -> Sequence[Reply]:
        """Answer one of `pinning.HOST_TYPES`. Raises MalformedMessage, StorageError."""
        if message.type == pinning.PIN:
            reply = await self._database.write(self._to_pin(client, message, pinning.Pin.from_body(message.body)))
        elif message.type == pinning.UNPIN:
            cids = pinning.About.from_body(message.body).cids
            reply = await self._database.write(self._to_unpin(client, message, cids))
            for job in [job for job in self._jobs.values() if job.pin.client == client and job.pin.cid in cids]:
                job.stop()
        else:
            cids = pinning.About.from_body(message.body).cids
            reply = await self._database.read(lambda conn: self._told(conn, client, message, cids))
        self._changed.set()
        return (reply,)

    def _to_pin(self, client: Did, message: Message, wanted: pinning.Pin) -> Callable[[sqlite3.Connection], Reply]:
        now = self._now()

        def pin(conn: sqlite3.Connection) -> Reply:
            if self._share_of(conn, client) <= 0:
                self.counters["hosting_refused"] += 1
                return pinning.refused(message)
            if rows.get(conn, client, wanted.cid) is None and (
                rows.count(conn, client) >= limits.MAX_HOSTED_PINS_PER_CLIENT
                or rows.count(conn) >= limits.MAX_HOSTED_PINS
            ):
                return self._status(
                    conn, client, [Stand(wanted.cid, "failed", reason="there is no place for more pins")]
                )
            rows.add(conn, client, wanted.cid, wanted.name, now)
            return self._told(conn, client, message, [wanted.cid])

        return pin

    def _to_unpin(self, client: Did, message: Message, cids: Sequence[Cid]) -> Callable[[sqlite3.Connection], Reply]:
        def unpin(conn: sqlite3.Connection) -> Reply:
            for cid in cids:
                rows.remove(conn, client, cid)
            return self._told(conn, client, message, cids)

        return unpin

    def _told(self, conn: sqlite3.Connection, client: Did, message: Message, cids: Sequence[Cid]) -> Reply:
        """How these pins stand, or the newest ones if none is named."""
        if self._share_of(conn, client) <= 0:
            self.counters["hosting_refused"] += 1
            return pinning.refused(message)
        if not cids:
            return self._status(conn, client, map(_stand, rows.newest(conn, client, limits.MAX_HOSTED_ASKED)))
        found = ((cid, rows.get(conn, client, cid)) for cid in cids)
        return self._status(conn, client, (Stand(cid, "unknown") if pin is None else _stand(pin) for cid, pin in found))

    def _status(self, conn: sqlite3.Connection, client: Did, pins: Iterable[Stand]) -> Reply:
        return pinning.status(
            tuple(pins), used_bytes=rows.used_bytes(conn, client), quota_bytes=self._share_of(conn, client)
        )

    # Fetching

    async def run(self) -> None:
        """Fetch what is wanted, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            while True:
                self._changed.clear()
                for pin in await self._due():
                    job = self._jobs[pin.seq] = _Job(pin)
                    job.task = tasks.create_task(self._work(job))
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def _due(self) -> list[HostedPin]:
        """What to begin with now: one pin of a client at a time."""
        free = limits.MAX_HOSTED_AT_ONCE - len(self._jobs)
        if free <= 0:
            return []
        now, busy = self._now(), {job.pin.client for job in self._jobs.values()}
        waiting = await self._database.read(rows.unfinished)
        return [pin for pin in waiting if pin.client not in busy and self._rests.get(pin.seq, (0, 0))[0] <= now][:free]

    async def _work(self, job: "_Job") -> None:
        try:
            status, reason = await self._attempt(job)
            if status == "queued":
                status, reason = self._put_off(job.pin, reason)
            if status != "pinned":
                await self._note(job, status, reason)
            self.counters[f"hosting_{status}"] += 1
        except asyncio.CancelledError:
            if not job.stopped:
                raise
        finally:
            del self._jobs[job.pin.seq]
            self._changed.set()

    async def _attempt(self, job: "_Job") -> tuple[HostedStatus, str | None]:
        """Fetch and note it. A client's bad wish takes back what it brought in; bad luck leaves that for next time."""
        async with self._blocks.hold() as hold:
            try:
                await self.admit(job, 0)
                async with asyncio.timeout(limits.HOSTED_FETCH_S):
                    await fetch_dag(self._blocks, _WithinShare(self, job, hold), job.pin.cid, report=job.report)
                await self._note(job, "pinned", None)
            except (ContentTooLarge, ProtocolError) as error:
                await hold.roll_back()
                return "failed", _line(error)
            except (ContentUnavailable, StorageFull, TimeoutError) as error:
                return "queued", _line(error) if isinstance(error, PagiError) else "it did not come whole in an hour"
        return "pinned", None

    async def admit(self, job: "_Job", more_bytes: int) -> None:
        """So much more is about to be written: count it first, in one transaction. Raises ContentTooLarge."""
        job.brought_bytes += more_bytes
        wanted, now = job.size_bytes, self._now()

        def admit(conn: sqlite3.Connection) -> int:
            before = rows.get(conn, job.pin.client, job.pin.cid)
            own_bytes = before.size_bytes if before is not None else 0
            room = own_bytes + min(
                self._share_of(conn, job.pin.client) - rows.used_bytes(conn, job.pin.client),
                self.total_bytes - rows.used_bytes(conn),
            )
            if wanted <= room:
                rows.note(conn, job.pin.seq, "pinning", size_bytes=wanted, reason=None, now_ms=now)
            return room

        job.room_bytes = await self._database.write(admit)
        if wanted > job.room_bytes:
            raise _too_large(job.room_bytes)

    def _put_off(self, pin: HostedPin, reason: str | None) -> tuple[HostedStatus, str | None]:
        now = self._now()
        if now - pin.created_ms > limits.HOSTED_KEPT_ASKING_MS:
            self._rests.pop(pin.seq, None)
            return "failed", reason
        _, pause_ms = self._rests.get(pin.seq, (0, RETRY_FIRST_MS))
        if len(self._rests) >= limits.MAX_HOSTED_PINS:
            self._rests.clear()
        self._rests[pin.seq] = now + pause_ms, min(2 * pause_ms, RETRY_MOST_MS)
        return "queued", reason

    async def _note(self, job: "_Job", status: HostedStatus, reason: str | None) -> None:
        size_bytes, now = 0 if status == "failed" else job.size_bytes, self._now()
        await self._database.write(
            lambda conn: rows.note(conn, job.pin.seq, status, size_bytes=size_bytes, reason=reason, now_ms=now)
        )

    async def _sweep(self) -> None:
        """Drop the pins of everybody whose share is none any more."""

        def sweep(conn: sqlite3.Connection) -> int:
            gone = [client for client in rows.clients(conn) if self._share_of(conn, client) <= 0]
            return sum(rows.remove_client(conn, client) for client in gone)

        while True:
            dropped = await self._database.write(sweep)
            if dropped:
                logger.info("%d pins of others are kept no longer: those have no share any more", dropped)
            await asyncio.sleep(SWEEP_EVERY_S)


class _Job:
    """One attempt. `room_bytes` is how far it may go, `brought_bytes` what it has written."""

    def __init__(self, pin: HostedPin) -> None:
        self.pin: Final = pin
        self.room_bytes = 0
        self.brought_bytes = 0
        self.stopped = False
        self.task: asyncio.Task[None] | None = None
        self._seen_bytes = 0

    @property
    def size_bytes(self) -> int:
        """What of the pin is on disk, as it counts: what was there before and came now, or what was seen of it."""
        return max(self.pin.size_bytes + self.brought_bytes, self._seen_bytes)

    def stop(self) -> None:
        """The client wants it no longer."""
        self.stopped = True
        if self.task is not None:
            self.task.cancel()

    def report(self, progress: Progress) -> None:
        """So much of the DAG is here. Raises ContentTooLarge."""
        self._seen_bytes = progress.size_bytes + progress.blocks * limits.HOSTED_BLOCK_BYTES
        if max(self._seen_bytes, progress.total_bytes or 0) > self.room_bytes:
            raise _too_large(self.room_bytes)


class _WithinShare:
    """A `Hold` that takes nothing over the client's share."""

    def __init__(self, hosting: Hosting, job: _Job, hold: Hold) -> None:
        self._hosting = hosting
        self._job = job
        self._hold = hold

    async def put_many(self, blocks: Sequence[tuple[Cid, bytes]]) -> None:
        size_bytes = sum(len(block) + limits.HOSTED_BLOCK_BYTES for _, block in blocks)
        await self._hosting.admit(self._job, size_bytes)
        await self._hold.put_many(blocks)

    async def keep(self, cids: Sequence[Cid]) -> None:
        await self._hold.keep(cids)

    async def roll_back(self) -> None:
        await self._hold.roll_back()


def _too_large(room_bytes: int) -> ContentTooLarge:
    return ContentTooLarge(f"it is larger than the {max(0, room_bytes)} bytes that are left for it")


def _stand(pin: HostedPin) -> Stand:
    return Stand(pin.cid, pin.status, pin.size_bytes, pin.reason)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[: limits.MAX_PINNING_REASON_CHARS] or type(error).__name__
