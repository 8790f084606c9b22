import asyncio
import contextlib
import dataclasses
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from node.errors import RevisionRefused, RevisionUnknown, TooManyPlaybooks
from node.hive import following
from node.hive.hive import Hive
from protocols import limits
from protocols.didcomm.envelope import pack_signed
from protocols.errors import MalformedMessage
from protocols.message import Message
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update, topic_of
from protocols.playbook.revision import Revision, SignedRevision, new_ops, sign_revision
from storage import gossip as gossip_rows
from storage import revisions as rows
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Node, new_hive, new_keys, open_node, running, soon

BULLET = {"op": "add", "section": "manners", "text": "Thank whoever answered.", "tags": []}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "REFUSED_FIRST_S", 0.01)


class Member:
    """A node with its hive."""

    def __init__(self, node: Node, names: Sequence[str]) -> None:
        self.node = node
        self.hive: Hive = new_hive(node, names)

    async def propose(self, text: str = "Thank whoever answered.", name: str = "common") -> Cid:
        return await self.hive.propose(name, "because", [BULLET | {"text": text}])

    async def status(self, cid: Cid) -> str | None:
        row = await self.node.database.read(lambda conn: rows.get(conn, cid))
        return row.status if row else None

    async def texts(self, name: str = "common") -> set[str]:
        return {bullet.text for bullet in (await self.hive.view(name)).bullets}

    async def hash(self, name: str = "common") -> str:
        return (await self.hive.view(name)).state_hash

    async def until_judged(self, cid: Cid) -> str:
        """Wait until a revision was judged here, and what came of it."""
        async with self.node.events.subscribe() as events:
            status = await self.status(cid)
            async with asyncio.timeout(20):
                while status is None:
                    await anext(events)
                    status = await self.status(cid)
            async with self.hive._lock:  # held until what follows from the row is done
                return status


@contextlib.asynccontextmanager
async def open_member(
    swarm: FakeSwarm, home: Path, *, names: Sequence[str] = ("common",), run: bool = True, **options: Any
) -> AsyncIterator[Member]:
    async with open_node(swarm, home, **options) as node:
        member = Member(node, names)
        await member.hive.load()
        if not run:
            yield member
            return
        async with running(node.gossip.run(), member.hive.run()):
            await soon(_joined(node, names[0]))
            yield member


async def _joined(node: Node, name: str) -> None:
    while topic_of(name) not in node.network.topics:  # noqa: ASYNC110 - the fake tells nobody of its topics
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def open_members(path: Path, count: int, *, named: bool = True) -> AsyncIterator[tuple[Member, ...]]:
    """Members in a row, each connected to the next; all name each other."""
    swarm = FakeSwarm()
    async with contextlib.AsyncExitStack() as stack:
        members = [await stack.enter_async_context(open_member(swarm, path / str(n))) for n in range(count)]
        for member in members if named else ():
            await member.node.name(*(other.node for other in members))
        for one, other in itertools.pairwise(members):
            await one.node.dial(other.node)
        yield tuple(members)


def revision(
    keys: KeyPair, *, parents: Sequence[SignedRevision] = (), height: int = 1, **changes: Any
) -> SignedRevision:
    author = did_key(keys.public)
    made = Revision(
        playbook="common",
        parents=tuple(parent.cid for parent in parents),
        height=height,
        author=author,
        ts=START_MS,
        critique="because",
        evidence=(),
        ops=new_ops([BULLET], author=author, height=height),
    )
    return sign_revision(dataclasses.replace(made, **changes), keys)


def announcement(keys: KeyPair, *heads: Cid, n: int = 1) -> bytes:
    body = Update("common", heads).to_body()
    message = Message(
        id=f"{n:08}", type=PLAYBOOK_UPDATE, body=body, from_=did_key(keys.public), created_time=START_MS // 1000
    )
    return pack_signed(message, signer=keys)


async def hear(member: Member, data: bytes) -> None:
    await member.node.gossip._accept(data, member.node.peer_id)


def test_what_one_proposes_all_who_name_it_adopt(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 3) as (a, b, c):
            cid = await a.propose()
            assert [await member.until_judged(cid) for member in (a, b, c)] == ["adopted"] * 3
            assert len({await member.hash() for member in (a, b, c)}) == 1
            assert await c.texts() == {"Thank whoever answered."}
            log = [entry.event_type for entry in (await c.node.events.log()).items]
            assert log == ["playbook_revision_received", "playbook_updated"]
            row = (await c.hive.revisions("common")).items[0]
            assert (row.cid, row.author, row.reason) == (cid, a.node.did, "its author is on the allow-list")

    asyncio.run(main())


def test_two_who_propose_at_the_same_time_end_with_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 3) as (a, b, c):
            first, second = await asyncio.gather(a.propose("one"), b.propose("two"))
            for member in (a, b, c):
                for cid in (first, second):
                    assert await member.until_judged(cid) == "adopted"
            third = await c.propose("three")  # joins both heads
            assert (await c.hive.view("common")).heads == {third}
            for member in (a, b):
                await member.until_judged(third)
                assert await member.texts() == {"one", "two", "three"}
            assert len({await member.hash() for member in (a, b, c)}) == 1

    asyncio.run(main())


def test_a_stranger_makes_us_store_nothing_until_it_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2, named=False) as (a, b):
            cid = await a.propose()
            await soon(_counted(b, "updates_not_followed"))
            assert await b.status(cid) is None
            assert not b.node.blocks.has(cid)
            await b.node.name(a.node)
            assert await b.until_judged(cid) == "adopted"
            assert await a.hash() == await b.hash()

    asyncio.run(main())


async def _counted(member: Member, counter: str, count: int = 1) -> None:
    while member.hive.counters[counter] < count:  # noqa: ASYNC110 - counters tell nobody that they grew
        await asyncio.sleep(0.001)


def test_the_owner_sees_it_first_if_she_wants_to(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            await b.node.name(a.node, auto_adopt=False)
            cids = [await a.propose(text) for text in ("one", "two", "three")]
            for cid in cids:
                assert await b.until_judged(cid) == "quarantined"
            assert await b.texts() == set()
            await b.hive.approve("common", cids[0])
            await b.hive.reject("common", cids[1], "no")
            assert await b.texts() == {"one"}
            await b.node.name(a.node, auto_adopt=True)
            assert [await b.status(cid) for cid in cids] == ["adopted", "rejected", "adopted"]  # her word stands
            assert await b.texts() == {"one", "three"}

    asyncio.run(main())


def test_what_a_blocked_author_wrote_is_rejected_for_as_long_as_it_is_blocked(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 3) as (a, b, c):
            await c.node.name(b.node, block=[a.node])
            first = await a.propose("one")
            await b.until_judged(first)
            second = await b.propose("two")  # on top of it
            assert await c.until_judged(second) == "adopted"
            assert await c.status(first) == "rejected"
            assert await c.texts() == {"two"}
            await c.node.name(b.node)
            assert await c.status(first) == "quarantined"
            await c.node.name(a.node, b.node)
            assert await c.status(first) == "adopted"
            assert await c.hash() == await b.hash()

    asyncio.run(main())


def test_a_missing_block_does_not_stop_a_change_of_trust(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            await b.node.name(a.node, auto_adopt=False)
            cids = [await a.propose(text) for text in ("one", "two")]
            for cid in cids:
                await b.until_judged(cid)
            b.node.blocks.delete(cids[0])
            await b.node.name(a.node)
            assert [await b.status(cid) for cid in cids] == ["quarantined", "adopted"]
            with pytest.raises(RevisionUnknown):
                await b.hive.approve("common", cids[0])
            await b.hive.reject("common", cids[0], "lost")  # needs no blocks
            assert await b.status(cids[0]) == "rejected"

    asyncio.run(main())


def test_rolling_back_keeps_a_revision_and_its_history(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            cids = [await a.propose(text) for text in ("one", "two", "three")]
            await b.until_judged(cids[2])
            back = await a.hive.rollback("common", cids[1])
            assert {bullet.text for bullet in back.bullets} == {"one", "two"}
            assert [await a.status(cid) for cid in cids] == ["adopted", "adopted", "rejected"]
            with pytest.raises(RevisionRefused):
                await a.hive.rollback("common", cids[2])
            assert await b.texts() == {"one", "two", "three"}  # another twin's owner decides for herself
            await b.hive.rollback("common", cids[1])
            assert await a.hash() == await b.hash()
            fourth = await a.propose("four")
            assert (await a.hive.view("common")).heads == {fourth}
            assert await b.until_judged(fourth) == "adopted"
            assert await a.hash() == await b.hash()

    asyncio.run(main())


def test_only_what_is_known_here_can_be_decided(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path / "a", run=False) as a:
            cid = await a.propose(name="other")
            unknown = revision(new_keys()).cid
            for name, target in (("common", unknown), ("common", cid)):
                for decide in (a.hive.approve, a.hive.rollback):
                    with pytest.raises(RevisionUnknown):
                        await decide(name, target)
                with pytest.raises(RevisionUnknown):
                    await a.hive.reject(name, target, "no")
            assert await a.status(cid) == "adopted"

    asyncio.run(main())


def test_the_state_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, keys = FakeSwarm(), new_keys()
        async with open_member(swarm, tmp_path / "a", keys=keys) as a:
            await a.propose("one")
            rejected = await a.propose("two")
            await a.hive.reject("common", rejected, "no")
            before = await a.hash()
        async with open_member(swarm, tmp_path / "a", keys=keys) as a:
            assert await a.hash() == before
            assert await a.texts() == {"one"}

    asyncio.run(main())


def test_the_history_comes_from_whoever_has_it(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "c") as c:
            async with open_member(swarm, tmp_path / "a") as a:
                await c.node.name(a.node)
                await a.node.dial(c.node)
                cids = [await a.propose(text) for text in ("one", "two", "three")]
                await c.until_judged(cids[-1])
                of_a, hash_of_a = a.node, await a.hash()
            async with open_member(swarm, tmp_path / "b") as b:  # never met a
                await b.node.name(of_a)
                await b.node.dial(c.node)
                assert await b.until_judged(cids[-1]) == "adopted"
                assert await b.hash() == hash_of_a

    asyncio.run(main())


def test_heads_that_nobody_could_give_are_fetched_as_soon_as_somebody_connects(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "b") as b:
            await b.node.name(a.node)
            cid = await a.propose()
            await hear(b, announcement(a.node.keys, cid))  # as a relay forwards it, which has no blocks
            await soon(_counted(b, "revisions_unavailable"))
            assert await b.status(cid) is None
            await a.node.dial(b.node)
            assert await b.until_judged(cid) == "adopted"

    asyncio.run(main())


def test_a_crash_between_the_blocks_and_the_row_is_made_good(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, keys, author = FakeSwarm(), new_keys(), new_keys()
        signed = revision(author)
        async with open_member(swarm, tmp_path / "b", keys=keys) as b:
            await b.node.trust.put(
                dataclasses.replace(b.node.trust.current, allow=frozenset({did_key(author.public)}), auto_adopt=True)
            )
            await hear(b, announcement(author, signed.cid))
            await soon(_counted(b, "revisions_unavailable"))
            b.node.blocks.put_many([(signed.payload_cid, signed.payload_block), (signed.cid, signed.envelope_block)])
        async with open_member(swarm, tmp_path / "b", keys=keys) as b:  # alone: there is nobody to fetch from
            assert await b.until_judged(signed.cid) == "adopted"

    asyncio.run(main())


@pytest.mark.parametrize("status", ["adopted", "rejected"])
def test_blocks_that_were_lost_come_back_with_the_next_announcement(tmp_path: Path, status: str) -> None:
    async def main() -> None:
        swarm, keys = FakeSwarm(), new_keys()
        async with open_member(swarm, tmp_path / "a") as a:
            async with open_member(swarm, tmp_path / "b", keys=keys) as b:
                await b.node.name(a.node)
                await a.node.dial(b.node)
                first = await a.propose("one")
                await b.until_judged(first)
                if status == "rejected":
                    await b.hive.reject("common", first, "no")
                b.node.blocks.delete(first)
            async with open_member(swarm, tmp_path / "b", keys=keys) as b:
                assert await b.texts() == set()
                await a.node.dial(b.node)
                second = await a.propose("two")
                assert await b.until_judged(second) == "adopted"
                assert b.node.blocks.has(first)
                assert await b.status(first) == status  # what was decided stands
                async with b.hive._lock:
                    assert await b.texts() == ({"one", "two"} if status == "adopted" else {"two"})

    asyncio.run(main())


@pytest.mark.parametrize("lie", ["height", "another playbook", "no revision"])
def test_a_lie_is_refused_and_changes_nothing(tmp_path: Path, lie: str) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "liar", run=False) as liar, open_member(swarm, tmp_path / "b") as b:
            root = revision(liar.node.keys)
            signed = {
                "height": revision(liar.node.keys, parents=[root], height=9),
                "another playbook": revision(liar.node.keys, playbook="other"),
                "no revision": revision(liar.node.keys),
            }[lie]
            for one in (root, signed):
                liar.node.blocks.put_many([(one.payload_cid, one.payload_block), (one.cid, one.envelope_block)])
            head = signed.cid
            if lie == "no revision":
                head = Cid.of(head.codec, b"garbage")
                liar.node.blocks.put(head, b"garbage")
            await b.node.name(liar.node)
            await liar.node.dial(b.node)
            await hear(b, announcement(liar.node.keys, head))
            await soon(_counted(b, "revisions_refused"))
            assert (await b.hive.revisions("common")).items == ()
            assert b.node.blocks.size_bytes == 0
            await hear(b, announcement(liar.node.keys, root.cid, n=2))
            assert await b.until_judged(root.cid) == "adopted"

    asyncio.run(main())


def test_a_named_twin_has_its_share_of_the_disk_and_its_inventions_have_one_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = revision(new_keys())
    room = len(one.envelope_block) + len(one.payload_block)
    monkeypatch.setattr(limits, "MAX_HISTORY_BYTES_PER_AUTHOR", 2 * room + room // 2)

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "a", run=False) as a, open_member(swarm, tmp_path / "b") as b:
            own = [revision(a.node.keys, ts=START_MS + n) for n in range(3)]
            invented = [revision(new_keys()) for _ in range(3)]
            for signed in (*own, *invented):
                a.node.blocks.put_many(
                    [(signed.payload_cid, signed.payload_block), (signed.cid, signed.envelope_block)]
                )
            await b.node.name(a.node)
            await a.node.dial(b.node)
            for n, (taken, statuses) in enumerate(((own, "adopted"), (invented, "quarantined")), 1):
                for head in taken[:2]:
                    await hear(b, announcement(a.node.keys, head.cid, n=10 * n + taken.index(head)))
                    assert await b.until_judged(head.cid) == statuses
                await hear(b, announcement(a.node.keys, taken[2].cid, n=10 * n + 2))
                await soon(_counted(b, "revisions_refused", n))
                assert await b.status(taken[2].cid) is None
            size_bytes = b.node.blocks.size_bytes
            assert size_bytes <= 2 * limits.MAX_HISTORY_BYTES_PER_AUTHOR
            assert await b.hive._shelf.sizes() == b.hive._shares._sizes
            mine = await b.propose()
            assert await b.status(mine) == "adopted"

    asyncio.run(main())


def test_an_announcement_on_disk_that_cannot_be_read_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        swarm, author = FakeSwarm(), new_keys()
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "b", run=False) as b:
            await b.node.name(a.node)
            bad = pack_signed(
                Message(id="1", type=PLAYBOOK_UPDATE, body={}, from_=did_key(author.public)), signer=author
            )
            for data in (bad, b"no message at all"):
                await b.node.database.write(
                    lambda conn, data=data: gossip_rows.keep_latest(  # type: ignore[misc]
                        conn, type=PLAYBOOK_UPDATE, author=did_key(author.public), subject=str(len(data)),
                        message_id="1", created_time=1, signed=data,
                    )
                )  # fmt: skip
            cid = await a.propose()
            await a.node.dial(b.node)
            async with running(b.node.gossip.run(), b.hive.run()):
                assert await b.until_judged(cid) == "adopted"
                await b.node.name(a.node, auto_adopt=False)

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert "cannot be read" in caplog.text


def test_a_playbook_of_others_is_offered_and_followed_when_the_owner_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "a") as a:
            first = await a.propose(name="tides")
            await a.propose(name="winds")
            monkeypatch.setattr(limits, "MAX_PLAYBOOKS", 1)
            async with open_member(swarm, tmp_path / "b") as b:
                await b.node.dial(a.node)
                await soon(_heard(b, 2))
                assert await b.hive.offered() == {}  # nobody who may teach here has it
                await b.node.name(a.node)
                assert await b.hive.offered() == {"tides": [a.node.did]}
                assert await b.status(first) is None
                monkeypatch.undo()
                assert list(await b.hive.offered()) == ["tides", "winds"]
                await b.hive.follow("tides")
                assert await b.until_judged(first) == "adopted"
                assert list(await b.hive.offered()) == ["winds"]
                await b.hive.follow("empty")
                with pytest.raises(MalformedMessage):
                    await b.hive.follow("No name")
            async with open_member(swarm, tmp_path / "b", run=False) as b:
                assert b.hive.names == ["common", "empty", "tides"]

    asyncio.run(main())


async def _heard(member: Member, count: int) -> None:
    """Until it holds so many announcements of others' playbooks."""
    while len(await member.hive._receiving._held()) < count:  # noqa: ASYNC110 - what is kept by sync is told to nobody
        await asyncio.sleep(0.001)


def test_no_more_playbooks_are_kept_than_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(limits, "MAX_PLAYBOOKS", 2)
        async with open_member(FakeSwarm(), tmp_path, run=False) as member:
            await member.hive.follow("tides")
            await member.hive.follow("tides")
            with pytest.raises(TooManyPlaybooks):
                await member.hive.follow("kilns")

    asyncio.run(main())


def test_a_playbook_that_is_new_here_is_followed_from_then_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            first = await a.propose(name="tides")
            assert await b.status(first) is None  # nobody asked for it
            await b.propose("mine", name="tides")
            assert topic_of("tides") in b.node.network.topics
            second = await a.propose("more", name="tides")
            assert await b.until_judged(second) == "adopted"
            assert await b.status(first) == "adopted"

    asyncio.run(main())


@pytest.mark.slow
def test_more_heads_than_a_revision_can_join_are_joined_by_the_next_ones(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_members(tmp_path, 2) as (a, b):
            root = revision(a.node.keys)
            heads = [revision(new_keys(), playbook="common") for _ in range(limits.MAX_PARENTS + 5)]
            # The highest one is among those that come last by CID or by chance: it must be a parent all the same.
            high = revision(a.node.keys, parents=[root], height=2)
            allow = frozenset({a.node.did, b.node.did, *(head.revision.author for head in heads)})
            for member in (a, b):
                await member.node.trust.put(dataclasses.replace(member.node.trust.current, allow=allow))
            async with a.hive._lock:
                await a.hive._admission.take([root, *heads, high])
            cids = [await a.propose("one"), await a.propose("two")]
            assert (await a.hive.view("common")).heads == {cids[1]}
            assert await b.until_judged(cids[1]) == "adopted"
            assert await a.hash() == await b.hash()

    asyncio.run(main())


def test_a_proposal_that_does_not_fit_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path / "a", run=False) as a:
            nobody = "b" + "a" * 32
            for ops in (
                [{"op": "remove", "id": nobody}],
                [{"op": "helpful", "id": nobody}],
                [{"op": "unknown"}],
                [BULLET | {"text": ""}],
                [BULLET] * (limits.MAX_OPS + 1),
            ):
                with pytest.raises(RevisionRefused):
                    await a.hive.propose("common", "because", ops)
            assert (await a.hive.revisions("common")).items == ()
            assert a.node.blocks.size_bytes == 0

    asyncio.run(main())
