import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.hive import sharing
from node.hive.own_snapshots import OwnSnapshots
from node.hive.sharing import Sharing
from protocols import limits
from protocols.playbook import merge
from protocols.playbook.merge import Playbook
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update
from storage import gossip as gossip_rows
from tests.node.hive.histories import chain, revision
from tests.node.hive.test_hive import open_member
from tests.node.hive.test_receiving import name
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, open_node, running, soon


class Announcer:
    """A node that shares playbooks which are not its own, and notes what it announces."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.announced: asyncio.Queue[tuple[Update, bool]] = asyncio.Queue()
        self.joined: asyncio.Queue[str] = asyncio.Queue()
        snapshots = OwnSnapshots(keys=node.keys, database=node.database, blocks=node.blocks, now=node.clock)
        self.sharing = Sharing(node.gossip, snapshots, self._join)
        self._publish, self._keep = node.gossip.publish, node.gossip.keep
        node.gossip.publish = self._published  # type: ignore[method-assign]
        node.gossip.keep = self._kept  # type: ignore[method-assign]

    async def _join(self, name: str) -> None:
        self.joined.put_nowait(name)

    async def _published(self, topic: str, message_type: str, body: Any) -> Any:
        self.announced.put_nowait((Update.from_body(body), True))

    async def _kept(self, message_type: str, body: Any) -> Any:
        self.announced.put_nowait((Update.from_body(body), False))

    async def next(self) -> tuple[Update, bool]:
        return await soon(self.announced.get())


@contextlib.asynccontextmanager
async def announcer(path: Path) -> AsyncIterator[Announcer]:
    async with open_node(FakeSwarm(), path / "a") as node:
        made = Announcer(node)
        async with running(made.sharing.run()):
            yield made


def playbooks(count: int) -> list[Playbook]:
    """A playbook as it grows by one revision after the other."""
    revisions = chain(count)
    return [merge.from_revisions("common", revisions[: n + 1]) for n in range(count)]


def test_the_first_news_goes_out_at_once_and_what_follows_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PUBLISH_EVERY_S", 0.2)

    async def main() -> None:
        async with announcer(tmp_path) as a:
            grown = playbooks(5)
            await a.sharing.share(grown[0], gossip=True)
            assert await a.next() == (Update("common", grown[0].next_parents), True)
            for playbook in grown[1:]:
                await a.sharing.share(playbook, gossip=playbook is grown[2])
            assert await a.next() == (Update("common", grown[4].next_parents), True)
            assert a.announced.empty()

    asyncio.run(main())


def test_what_others_wrote_is_kept_for_those_who_sync(tmp_path: Path) -> None:
    async def main() -> None:
        async with announcer(tmp_path) as a:
            (playbook,) = playbooks(1)
            await a.sharing.share(playbook, gossip=False)
            assert await a.next() == (Update("common", playbook.next_parents), False)
            await a.sharing.share(merge.EMPTY("common"), gossip=True)  # there is nothing to say of it
            assert not a.sharing._news

    asyncio.run(main())


def test_heads_that_are_too_many_are_joined_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "JOIN_WITHIN_S", 0.02)

    async def main() -> None:
        async with announcer(tmp_path) as a:
            heads = [revision() for _ in range(limits.MAX_PARENTS + 1)]
            await a.sharing.share(merge.from_revisions("common", heads[:-1]), gossip=False)
            await a.sharing.share(merge.from_revisions("other", []), gossip=False)
            assert not a.sharing._crowded.is_set()
            await a.sharing.share(merge.from_revisions("common", heads), gossip=False)
            assert await soon(a.joined.get()) == "common"
            assert await soon(a.joined.get()) == "common"  # again, for as long as there are too many
            joined = revision(parents=heads[:2])
            await a.sharing.share(merge.from_revisions("common", [*heads, joined]), gossip=False)
            while a.sharing._crowded.is_set():  # noqa: ASYNC110 - it tells nobody that it rests
                await asyncio.sleep(0.001)

    asyncio.run(main())


@pytest.mark.slow
def test_heads_that_no_announcement_names_reach_everyone_and_the_joining_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "JOIN_WITHIN_S", 0.2)

    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_member(swarm, tmp_path / "a") as a,
            open_member(swarm, tmp_path / "b") as b,
            open_member(swarm, tmp_path / "c") as c,
        ):
            heads = [revision() for _ in range(3 * limits.MAX_PARENTS)]
            for member in (a, b, c):
                await name(member, a, b, c, authors=heads)
            for member in (a, b):  # both have all of them, and nobody announces them
                await member.hive.take_in(heads)
            await a.node.dial(b.node)
            await b.node.dial(c.node)
            async with asyncio.timeout(20):
                while not (  # noqa: ASYNC110 - what happens last is told to nobody
                    len(c.hive.effective("common").heads) <= limits.MAX_PARENTS
                    and {head.cid for head in heads} <= c.hive.judged
                    and len({await member.hash() for member in (a, b, c)}) == 1
                ):
                    await asyncio.sleep(0.01)
            joins = len(c.hive.judged) - len(heads)
            assert 3 <= joins <= 12
            for member in (a, b, c):
                assert (
                    not member.hive._sharing._crowded.is_set()
                    or len(member.hive.effective("common").heads) <= limits.MAX_PARENTS
                )

    asyncio.run(main())


def test_what_is_announced_is_on_disk_for_those_who_sync(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path / "a") as a:
            await a.propose()
            while not await a.node.database.read(  # noqa: ASYNC110 - what is kept is told to nobody
                lambda conn: gossip_rows.of_type(conn, PLAYBOOK_UPDATE)
            ):
                await asyncio.sleep(0.001)

    asyncio.run(soon(main()))
