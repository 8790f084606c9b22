"""Sharing playbooks: our signed heads, for whoever syncs with us and, if something of ours is new, for everyone.

The first news goes out at once; what follows within a moment goes out together, so that a busy twin is not held for one
that floods. Heads that are too many to be named in one announcement are joined by a revision that says nothing else;
otherwise those that are never named would be lost to whoever was away.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from node.clock import wait_within
from node.gossip import Gossip
from node.hive.own_snapshots import OwnSnapshots
from protocols import limits
from protocols.limits import MAX_PARENTS
from protocols.playbook.merge import Playbook
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update, topic_of

logger = logging.getLogger(__name__)

RENEW_EVERY_S: Final = limits.REPLAY_WINDOW_S / 7
"""How often our heads are signed anew: messages older than the replay window are refused, also by newcomers."""

PUBLISH_EVERY_S: Final = 0.1
"""Between two announcements of a playbook to everyone: half of what others take from one author."""

KEEP_EVERY_S: Final = 1.0
"""Between two that are only kept for those who sync: what others wrote, they announce themselves."""

SNAPSHOT_EVERY_S: Final = 10.0
"""How often it is looked whether a playbook that has changed needs a new snapshot."""

JOIN_WITHIN_S: Final = 60.0
"""Too many heads are joined after a random part of this time, if there are still too many: the first one to do it
spares all others the work. Whoever did it waits as long again, so a bomb of heads makes nobody write without end."""


@dataclass(slots=True)
class _News:
    """What is to be announced: the newest playbook, to everyone or not, and the loop's time from which it may go."""

    playbook: Playbook
    gossip: bool
    due_at: float


class Sharing:
    """Announces the heads of our effective playbooks. `join_heads` writes a revision of a playbook without changes."""

    def __init__(self, gossip: Gossip, snapshots: OwnSnapshots, join_heads: Callable[[str], Awaitable[object]]) -> None:
        self._gossip = gossip
        self._snapshots = snapshots
        self._join_heads = join_heads
        self._news: dict[str, _News] = {}
        self._sent_at: dict[str, float] = {}
        self._latest: dict[str, Playbook] = {}
        self._wake = asyncio.Event()
        self._crowded = asyncio.Event()

    async def join(self, name: str) -> None:
        """Hear, and pass on, what is announced of a playbook."""
        await self._gossip.join(topic_of(name))

    async def share(self, playbook: Playbook, *, gossip: bool) -> None:
        """Announce a playbook's heads soon: to those who sync with us, with `gossip` to everyone."""
        name = playbook.name
        self._latest[name] = playbook
        if not playbook.heads:
            return
        waiting = self._news.get(name)
        gossip = gossip or (waiting is not None and waiting.gossip)
        pause = PUBLISH_EVERY_S if gossip else KEEP_EVERY_S
        self._news[name] = _News(playbook, gossip, self._sent_at.get(name, -pause) + pause)
        self._wake.set()
        if len(playbook.heads) > MAX_PARENTS:
            self._crowded.set()

    async def run(self) -> None:
        """Announce, until cancelled."""
        await self._snapshots.load()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_news())
            tasks.create_task(self._renew_snapshots())
            tasks.create_task(self._join_crowded())

    async def _send_news(self) -> None:
        while True:
            now = asyncio.get_running_loop().time()
            for name, news in list(self._news.items()):
                if news.due_at <= now:
                    self._sent_at[name] = now
                    del self._news[name]
                    await self._send(news)
            due_at = min((news.due_at for news in self._news.values()), default=None)
            await wait_within(self._wake, None if due_at is None else due_at - asyncio.get_running_loop().time())
            self._wake.clear()

    async def _send(self, news: _News) -> None:
        name = news.playbook.name
        body = Update(name, news.playbook.next_parents, self._snapshots.newest(name)).to_body()
        if news.gossip:
            await self._gossip.publish(topic_of(name), PLAYBOOK_UPDATE, body)
        else:
            await self._gossip.keep(PLAYBOOK_UPDATE, body)

    async def _renew_snapshots(self) -> None:
        looked_at: dict[str, Playbook] = {}
        while True:
            for name, playbook in list(self._latest.items()):
                if looked_at.get(name) is not playbook:
                    looked_at[name] = playbook
                    if await self._snapshots.renew(playbook):
                        await self.share(self._latest[name], gossip=False)
            await asyncio.sleep(SNAPSHOT_EVERY_S)

    async def _join_crowded(self) -> None:
        while True:
            await self._crowded.wait()
            await asyncio.sleep(secrets.randbelow(1000) / 1000 * JOIN_WITHIN_S)
            crowded = [name for name, playbook in self._latest.items() if len(playbook.heads) > MAX_PARENTS]
            for name in crowded:
                await self._join_heads(name)
            if crowded:
                await asyncio.sleep(JOIN_WITHIN_S)
            if all(len(playbook.heads) <= MAX_PARENTS for playbook in self._latest.values()):
                self._crowded.clear()
