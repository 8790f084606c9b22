"""Heads that named twins announced and that are still to be fetched, the newest of each author and playbook.

Each is tried at once, again after a pause that doubles, and again whenever a peer connects: it may have what nobody
had before. Nothing is given up but what is refused, and there is at most one for each author and playbook. A few are
tried at once, one of each author: one whose blocks come slowly, or never, delays nobody else's. Whoever announced what
had to be refused, or announces again and again what nobody has, is listened to and not followed for a while.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from identity.did import Did, PeerId
from identity.errors import PagiError
from node.clock import wait_within
from node.net.port import Network, PeerConnected
from protocols.errors import RemoteProtocolError
from protocols.playbook.messages import Update

logger = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.5
RETRY_MOST_S: Final = 300.0
"""Pauses between two attempts for heads that no peer could give us. The first is short: where the author is not a
neighbour, the neighbour that passed the news on is often just fetching the blocks itself."""


REFUSED_FIRST_S: Final = 1.0
REFUSED_MOST_S: Final = 3600.0
"""Pauses of an author whose history was refused: a walk can cost us thousands of blocks. It ends the sooner the fewer
refusals came without a history that was taken in between."""

PATIENT_ATTEMPTS: Final = 4
"""Attempts of an author in a row that found nothing, and cost nobody a pause: blocks often come later than the news."""

AT_ONCE: Final = 4
"""Histories fetched at once, each held in memory until it is whole."""

ATTEMPT_S: Final = 1800.0
"""Time for one attempt: the longest history, 20,000 blocks, over a slow line."""


@dataclass(slots=True)
class _Record:
    """How it went with one author since something of it was taken in, and until when it is not followed."""

    refused: int = 0
    unavailable: int = 0
    paused_until: float = 0.0

    def pause(self, now: float, first_s: float, most_s: float, times: int) -> None:
        self.paused_until = now + min(first_s * 2.0 ** min(times - 1, 30), most_s)

    def hurry(self) -> None:
        """Somebody connected, who may have what nobody had; what was refused gets no better by that."""
        if not self.refused:
            self.paused_until = 0.0


@dataclass(slots=True)
class Wanted:
    """An announcement, the neighbour that it came from, and the loop's time from which it may be tried.

    `late`: it was not heard when it was made, so that others behind us may not have heard it either.
    """

    update: Update
    author: Did
    via: PeerId | None
    late: bool = False
    due_at: float = 0.0
    attempts: int = 0


class Following:
    """The announcements to follow. `fetch` gets one and takes it in, or raises PagiError."""

    def __init__(self, network: Network, fetch: Callable[[Wanted], Awaitable[None]], counters: Counter[str]) -> None:
        self._network = network
        self._fetch = fetch
        self._counters = counters
        self._wanted: dict[tuple[str, Did], Wanted] = {}
        self._busy_authors: set[Did] = set()
        self._records: dict[Did, _Record] = {}
        self._wake = asyncio.Event()

    def want(self, update: Update, author: Did, via: PeerId | None, *, late: bool = False) -> None:
        """Follow an announcement, in place of an older one of this author."""
        older = self._wanted.get((update.playbook, author))
        late = late or (older is not None and older.late)
        self._wanted[update.playbook, author] = Wanted(update, author, via, late)
        self._wake.set()

    async def run(self) -> None:
        """Fetch what is wanted until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hurry_when_somebody_connects())
            while True:
                self._wake.clear()
                for wanted in list(self._wanted.values()):
                    if self._may_begin(wanted) and self._due_at(wanted) <= self._time():
                        self._busy_authors.add(wanted.author)
                        tasks.create_task(self._follow(wanted))
                await self._wait_woken()

    def _may_begin(self, wanted: Wanted) -> bool:
        return wanted.author not in self._busy_authors and len(self._busy_authors) < AT_ONCE

    def _due_at(self, wanted: Wanted) -> float:
        record = self._records.get(wanted.author)
        return max(wanted.due_at, record.paused_until if record is not None else 0.0)

    async def _follow(self, wanted: Wanted) -> None:
        key = (wanted.update.playbook, wanted.author)
        try:
            if await self._try(wanted) and self._wanted[key] is wanted:
                del self._wanted[key]
        finally:
            self._busy_authors.discard(wanted.author)
            self._wake.set()

    async def _hurry_when_somebody_connects(self) -> None:
        async for event in self._network.peer_events():
            if isinstance(event, PeerConnected):
                for wanted in self._wanted.values():
                    wanted.due_at = 0.0
                for record in self._records.values():
                    record.hurry()
                self._wake.set()

    async def _try(self, wanted: Wanted) -> bool:
        """Whether this is done with, well or badly."""
        # Set before the attempt, so that somebody who connects during it makes it due again.
        wanted.due_at = self._time() + min(RETRY_FIRST_S * 2**wanted.attempts, RETRY_MOST_S)
        wanted.attempts = min(wanted.attempts + 1, 16)
        record = self._records.setdefault(wanted.author, _Record())
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await self._fetch(wanted)
        except RemoteProtocolError as error:
            self._counters["revisions_refused"] += 1
            record.refused += 1
            record.pause(self._time(), REFUSED_FIRST_S, REFUSED_MOST_S, record.refused)
            logger.warning("playbook %s from %s refused: %s", wanted.update.playbook, wanted.author, error)
        except (PagiError, TimeoutError) as error:
            self._counters["revisions_unavailable"] += 1
            record.unavailable += 1
            if record.unavailable > PATIENT_ATTEMPTS:
                record.pause(self._time(), RETRY_FIRST_S, RETRY_MOST_S, record.unavailable - PATIENT_ATTEMPTS)
            logger.info("playbook %s from %s not fetched yet: %s", wanted.update.playbook, wanted.author, error)
            return False
        else:
            del self._records[wanted.author]
        return True

    async def _wait_woken(self) -> None:
        due_at = min(
            (self._due_at(wanted) for wanted in self._wanted.values() if self._may_begin(wanted)), default=None
        )
        await wait_within(self._wake, None if due_at is None else due_at - self._time())

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()
