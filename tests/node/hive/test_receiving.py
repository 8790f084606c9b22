"""Receiving histories at a whole hive: cut off and taken up again, refused without a trace, bounded."""

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from identity.did import PeerId, did_key
from node.hive import following, receiving
from protocols import limits
from protocols.playbook.history import PROTOCOL
from protocols.playbook.revision import SignedRevision
from tests.node.hive.histories import chain, keep, revision
from tests.node.hive.test_hive import Member, announcement, hear, open_member
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_keys, running, soon


async def name(member: Member, *others: Member, authors: Sequence[SignedRevision] = ()) -> None:
    allow = frozenset({other.node.did for other in others} | {signed.revision.author for signed in authors})
    await member.node.trust.put(dataclasses.replace(member.node.trust.current, allow=allow, auto_adopt=True))


async def counted(member: Member, counter: str, count: int = 1) -> None:
    while member.hive.counters[counter] < count:  # noqa: ASYNC110 - counters tell nobody that they grew
        await asyncio.sleep(0.001)


async def has(member: Member, revisions: Sequence[SignedRevision]) -> None:
    """As if it had received and judged them long ago."""
    await name(member, authors=revisions)
    await member.hive.take_in(revisions)


def serve_only(member: Member, answers: int) -> None:
    """Answer so many history requests, and refuse what comes then."""
    handler, size = member.node.network.services[PROTOCOL]
    given = 0

    async def some(peer: PeerId, payload: bytes) -> bytes:
        nonlocal given
        given += 1
        if given > answers:
            raise ConnectionError("it is gone")
        return await handler(peer, payload)

    member.node.network.services[PROTOCOL] = (some, size)
    member.node.network.blocks = _Nothing()


class _Nothing:
    def get(self, cid: object) -> None:
        return None

    def has(self, cid: object) -> bool:
        return False


def test_a_history_that_is_cut_off_is_taken_up_where_it_was_also_after_a_crash(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, keys = FakeSwarm(), new_keys()
        revisions = chain(200)
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "c") as c:
            await has(a, revisions)
            await has(c, revisions)
            serve_only(a, 2)  # 32, and 128 more
            async with open_member(swarm, tmp_path / "b", keys=keys) as b:
                await name(b, a, authors=revisions)
                await a.node.dial(b.node)
                await hear(b, announcement(a.node.keys, revisions[-1].cid))
                await soon(counted(b, "revisions_unavailable"))
                assert not b.hive.judged
                assert b.node.blocks.count == 2 * 160
            async with open_member(swarm, tmp_path / "b", keys=keys) as b:
                await c.node.dial(b.node)
                assert await b.until_judged(revisions[-1].cid) == "adopted"
                assert await b.hash() == await c.hash()
                assert c.hive.counters["history_revisions_served"] == 40

    asyncio.run(main())


def test_what_is_under_way_is_not_garbage(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        revisions = chain(200)
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "b") as b:
            await has(a, revisions)
            serve_only(a, 1)
            await name(b, a, authors=revisions)
            await a.node.dial(b.node)
            await hear(b, announcement(a.node.keys, revisions[-1].cid))
            await soon(counted(b, "revisions_unavailable"))
            assert b.node.blocks.collect(tuple) == (0, 0)
            assert b.node.blocks.count == 2 * 32

    asyncio.run(main())


def test_a_long_history_is_judged_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "TAKEN_AT_ONCE", 10)

    async def main() -> None:
        swarm = FakeSwarm()
        revisions = chain(35)
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "b") as b:
            await has(a, revisions)
            await name(b, a, authors=revisions)
            taken: list[int] = []
            taker = b.hive._receiving._taker
            take_in = taker.take_in

            async def noted(batch: Sequence[SignedRevision]) -> None:
                taken.append(len(batch))
                await take_in(batch)

            monkeypatch.setattr(taker, "take_in", noted)
            await a.node.dial(b.node)
            await hear(b, announcement(a.node.keys, revisions[-1].cid))
            assert await b.until_judged(revisions[-1].cid) == "adopted"
            assert await b.hash() == await a.hash()
            assert taken == [10, 10, 10, 5]

    asyncio.run(main())


def test_a_crash_while_a_history_is_judged_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "TAKEN_AT_ONCE", 10)

    async def main() -> None:
        swarm, keys = FakeSwarm(), new_keys()
        revisions = chain(35)
        async with open_member(swarm, tmp_path / "a") as a:
            await has(a, revisions)
            async with open_member(swarm, tmp_path / "b", keys=keys) as b:
                await name(b, a, authors=revisions)
                taker = b.hive._receiving._taker
                take_in = taker.take_in
                stopped = asyncio.Event()

                async def once(batch: Sequence[SignedRevision]) -> None:
                    if b.hive.judged:
                        stopped.set()
                        await asyncio.Event().wait()
                    await take_in(batch)

                monkeypatch.setattr(taker, "take_in", once)
                await a.node.dial(b.node)
                await hear(b, announcement(a.node.keys, revisions[-1].cid))
                await soon(_wait(stopped))
                assert len(b.hive.judged) == 10
            wanted = await a.hash()
        async with open_member(swarm, tmp_path / "b", keys=keys) as b:  # alone: it has all blocks
            assert await b.until_judged(revisions[-1].cid) == "adopted"
            assert await b.hash() == wanted

    asyncio.run(main())


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def test_histories_that_never_come_whole_take_a_bounded_part_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        histories = [chain(20) for _ in range(8)]
        room = sum(len(one.envelope_block) + len(one.payload_block) for one in histories[0])
        monkeypatch.setattr(limits, "MAX_HISTORY_BYTES", room + room // 2)
        monkeypatch.setattr(following, "RETRY_FIRST_S", 0.001)
        monkeypatch.setattr(following, "RETRY_MOST_S", 0.001)
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "b") as b:
            for n, history in enumerate(histories):
                keep(a.node.blocks, history[1:])  # all but the lowest
                await name(b, a, authors=history)
                await a.node.dial(b.node)
                await hear(b, announcement(a.node.keys, history[-1].cid, n=n))
                await soon(counted(b, "revisions_unavailable", b.hive.counters["revisions_unavailable"] + 2))
                assert b.node.blocks.size_bytes <= 3 * room

    asyncio.run(main())


def test_what_was_announced_by_one_who_is_no_longer_named_is_dropped(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        (one,) = chain(1)
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "b") as b:
            await name(b, a)
            await hear(b, announcement(a.node.keys, one.cid))
            await soon(counted(b, "revisions_unavailable"))
            await b.node.name()
            keep(a.node.blocks, [one])
            await a.node.dial(b.node)
            while b.hive._receiving._following._wanted:  # noqa: ASYNC110 - the end of an attempt is told to nobody
                await asyncio.sleep(0.001)
            assert not b.node.blocks.count

    asyncio.run(main())


def test_a_bomb_of_heads_by_one_named_author_stays_within_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        swarm, keys = FakeSwarm(), new_keys()
        heads = [revision(keys) for _ in range(3 * limits.MAX_PARENTS)]
        size = sum(len(one.envelope_block) + len(one.payload_block) for one in heads[: limits.MAX_PARENTS])
        monkeypatch.setattr(limits, "MAX_HISTORY_BYTES_PER_AUTHOR", 2 * size + size // 2)
        async with open_member(swarm, tmp_path / "a", run=False) as a, open_member(swarm, tmp_path / "b") as b:
            keep(a.node.blocks, heads)
            await name(b, authors=heads)
            async with running(a.hive.run()):
                await a.node.dial(b.node)
                for n in range(3):
                    some = heads[n * limits.MAX_PARENTS : (n + 1) * limits.MAX_PARENTS]
                    await hear(b, announcement(keys, *(one.cid for one in some), n=n))
                    if n < 2:
                        await soon(counted(b, "revisions_adopted", (n + 1) * limits.MAX_PARENTS))
                await soon(counted(b, "revisions_refused"))
                assert b.node.blocks.size_bytes <= limits.MAX_HISTORY_BYTES_PER_AUTHOR
                assert len((await b.hive.view("common")).heads) == 2 * limits.MAX_PARENTS
                mine = await b.propose()
                assert await b.status(mine) == "adopted"
            assert did_key(keys.public) == heads[0].revision.author

    asyncio.run(main())
