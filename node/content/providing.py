"""Telling the DHT what this twin has: the roots of its pins and the heads of its playbooks.

A record lives 48 hours and is told again after 22. A server that was not there before is told all at once: it may have
been restarted, and keeps its records in memory. All of this is best effort and in the background: nothing waits for it.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from identity.cid import Cid
from node.content.servers import Told
from node.net.errors import NetworkDown
from node.net.port import Network
from protocols import limits

CHECK_S: Final = 5.0
"""How often it is looked for what is new; one look reads the names of all pins."""

AT_ONCE: Final = 4
"""Contents that are told of at one time."""

PER_S: Final = 20
"""Contents that are told of in a second: two requests each, under what a server takes from one peer."""

AGAIN_S: Final = 600.0
"""How long what nobody took waits for its next turn."""

FEW_SERVERS: Final = 20
"""With fewer servers each keeps every record, so that a new one lacks all; with more, those closest keep it (k)."""


class Providing:
    """`roots` gives what is to be told, in the order of importance."""

    def __init__(
        self,
        *,
        network: Network,
        roots: Callable[[], Awaitable[Collection[Cid]]],
        every_s: float = limits.REPROVIDE_S,
        check_s: float = CHECK_S,
    ) -> None:
        self._network = network
        self._roots = roots
        self._every_s = every_s
        self._check_s = check_s
        self._due_at: dict[Cid, float] = {}
        self._told = Told(network)
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Tell what is due, again and again, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._told.watch())
            while True:
                with contextlib.suppress(NetworkDown):
                    await self._tell_what_is_due()
                await asyncio.sleep(self._check_s)

    async def _tell_what_is_due(self) -> None:
        servers = await self._network.dht_servers()
        if not servers:
            return
        if len(servers) <= FEW_SERVERS and not self._told.all_of(servers):
            self._due_at.clear()
        self._told.note(servers)
        roots = list(dict.fromkeys(await self._roots()))
        self.counters["provide_left_out"] = max(0, len(roots) - limits.MAX_PROVIDED)
        wanted = roots[: limits.MAX_PROVIDED]
        self._due_at = {cid: self._due_at.get(cid, 0.0) for cid in wanted}
        now_s = time.monotonic()
        due = [cid for cid in wanted if self._due_at[cid] <= now_s]
        for start in range(0, len(due), AT_ONCE):
            await asyncio.gather(
                *(self._tell(cid) for cid in due[start : start + AT_ONCE]), asyncio.sleep(AT_ONCE / PER_S)
            )

    async def _tell(self, cid: Cid) -> None:
        taken = await self._network.provide(cid)
        self.counters["provided" if taken else "provided_to_nobody"] += 1
        self._due_at[cid] = time.monotonic() + (self._every_s if taken else AGAIN_S)
