"""What others are to keep for this twin: a friend, or its relay. A wish is on disk at once, and is told to the host
until it has answered; how it stands is asked for until that is settled.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

from identity.cid import Cid
from identity.did import Did
from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.content.errors import NotPinned
from node.events import EventBus
from protocols import limits
from protocols.conversations import pinning
from protocols.conversations.problem_report import PROBLEM, Problem
from protocols.message import Message
from storage import remote_pins as rows
from storage.database import Database
from storage.page import Page
from storage.remote_pins import RemotePin, RemoteStatus

ANSWER_S: Final = 15.0
ASK_FIRST_S: Final = 2.0
ASK_MOST_S: Final = 120.0
"""Pauses between questions to a host: twice as long each time that nothing has changed."""

LOOK_EVERY_S: Final = 2.0

_OF_HOST: Final[Mapping[pinning.State, RemoteStatus]] = {
    "queued": "queued",
    "pinning": "pinning",
    "pinned": "pinned",
    "failed": "failed",
}

logger = logging.getLogger(__name__)


class Ask(Protocol):
    """Asks another twin and waits for its answer (`Exchange.ask`)."""

    def __call__(
        self, to: Did, message_type: str, body: Mapping[str, Any], *, timeout_s: float
    ) -> Awaitable[Message]: ...


class RemotePins:
    """The pins of this twin with its hosts."""

    def __init__(self, *, database: Database, ask: Ask, events: EventBus, now: NowMs = now_ms) -> None:
        self._database = database
        self._ask = ask
        self._events = events
        self._now = now
        self._rests: dict[Did, tuple[float, float]] = {}  # by host: not before, and the pause after that
        self._changed = asyncio.Event()
        self.used: dict[Did, tuple[int, int]] = {}
        """By host, as it said last: bytes used, and bytes that it keeps for us at most."""

    async def pin(self, host: Did, cid: Cid, name: str | None = None) -> RemotePin:
        """Have a host keep all that is under a CID. It is on disk that it is to be; the host is told as soon as it can
        be."""
        now = self._now()
        pin = await self._database.write(lambda conn: rows.add(conn, host, cid, name, now))
        self._hurry(host)
        return pin

    async def unpin(self, host: Did, cid: Cid) -> None:
        """Have it kept no longer. Raises NotPinned."""
        now = self._now()
        if not await self._database.write(lambda conn: rows.end(conn, host, cid, now)):
            raise NotPinned(f"{host} was not asked to keep {cid}")
        self._hurry(host)

    async def pins(self, *, limit: int, after: str | None = None, host: Did | None = None) -> Page[RemotePin]:
        """What others are to keep, oldest first."""
        return await self._database.read(lambda conn: rows.list_pins(conn, limit=limit, after=after, host=host))

    async def run(self) -> None:
        """Tell and ask the hosts, until cancelled."""
        under_way: dict[Did, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                under_way = {host: task for host, task in under_way.items() if not task.done()}
                for host in await self._database.read(rows.hosts_to_ask):
                    if host not in under_way and self._rests.get(host, (0.0, 0.0))[0] <= self._now() / 1000:
                        under_way[host] = tasks.create_task(self._talk(host))
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    def _hurry(self, host: Did) -> None:
        self._rests.pop(host, None)
        self._changed.set()

    async def _talk(self, host: Did) -> None:
        """Tell a host what is new, and ask it about the rest; then let it rest for a while."""
        pins = await self._database.read(lambda conn: rows.unsettled(conn, host, limits.MAX_HOSTED_ASKED))
        changed = 0
        try:
            for pin in pins:
                if pin.status == "asking":
                    body = pinning.Pin(pin.cid, pin.name).to_body()
                    changed += await self._heed([pin], await self._asked(host, pinning.PIN, body))
            for message_type, some in (
                (pinning.UNPIN, [pin for pin in pins if pin.status == "ending"]),
                (pinning.LIST, [pin for pin in pins if pin.status in ("queued", "pinning")]),
            ):
                if some:
                    body = pinning.About(tuple(pin.cid for pin in some)).to_body()
                    changed += await self._heed(some, await self._asked(host, message_type, body))
        except PagiError as error:
            logger.debug("%s cannot be asked about its pins: %s", host, error)
            await self._note_all(pins, f"it does not answer: {error}"[: limits.MAX_PINNING_REASON_CHARS])
        self._rest(host, changed=changed > 0)

    async def _asked(self, host: Did, message_type: str, body: Mapping[str, Any]) -> Message:
        return await self._ask(host, message_type, body, timeout_s=ANSWER_S)

    async def _heed(self, pins: Sequence[RemotePin], answer: Message) -> int:
        """Note what the host says of these pins; how many of them have changed. Raises MalformedMessage."""
        status = pinning.read_status(answer)
        if status is None:
            return await self._heed_refusal(pins, answer)
        self.used[pins[0].host] = status.used_bytes, status.quota_bytes
        stands = {stand.cid: stand for stand in status.pins}
        changed = 0
        for pin in pins:
            stand = stands.get(pin.cid)
            if pin.status == "ending":
                await self._forget(pin)
                changed += 1
            elif stand is not None and stand.state != "unknown":
                changed += await self._note(pin, _OF_HOST[stand.state], stand.reason)
            elif stand is not None:
                changed += await self._note(pin, "failed", "the host keeps it no longer")
        return changed

    async def _heed_refusal(self, pins: Sequence[RemotePin], answer: Message) -> int:
        code = Problem.from_body(answer.body).code if answer.type == PROBLEM else answer.type
        reason = "the host keeps nothing for us" if code == pinning.REFUSED else f"the host refuses: {code[:100]}"
        for pin in pins:
            if pin.status == "ending":
                await self._forget(pin)
            else:
                await self._note(pin, "failed", reason)
        return len(pins)

    async def _forget(self, pin: RemotePin) -> None:
        await self._database.write(lambda conn: rows.remove(conn, pin.seq))

    async def _note_all(self, pins: Sequence[RemotePin], reason: str) -> None:
        now = self._now()
        await self._database.write(lambda conn: [rows.note(conn, pin, pin.status, reason, now) for pin in pins])

    async def _note(self, pin: RemotePin, status: RemoteStatus, reason: str | None) -> bool:
        now = self._now()
        event = self._events.make(
            "remote_pin_changed",
            str(pin.cid),
            {"cid": str(pin.cid), "host": pin.host, "status": status, "reason": reason},
            source="content",
        )

        def note(conn: sqlite3.Connection) -> bool:
            news = rows.note(conn, pin, status, reason, now)
            if news and status != pin.status:
                self._events.record(conn, event)
            return news

        news = await self._database.write(note)
        if news and status != pin.status:
            self._events.announce(event)
        return news

    def _rest(self, host: Did, *, changed: bool) -> None:
        _, pause_s = self._rests.get(host, (0.0, ASK_FIRST_S))
        pause_s = ASK_FIRST_S if changed else pause_s
        self._rests[host] = self._now() / 1000 + pause_s, min(2 * pause_s, ASK_MOST_S)
