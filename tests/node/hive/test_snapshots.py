"""Snapshots between twins: written when it is time, shown until the history is here, and checked against it."""

import asyncio
import dataclasses
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from node.hive import own_snapshots, provisional, sharing
from node.red_lines.red_lines import RedLines
from protocols.didcomm.envelope import pack_signed
from protocols.message import Message
from protocols.playbook import merge
from protocols.playbook.history import PROTOCOL
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update
from protocols.playbook.revision import SignedRevision
from protocols.playbook.snapshot import Snapshot, write_snapshot
from storage import snapshots as rows
from storage.database import Database
from storage.snapshots import SnapshotRow
from tests.node.hive.histories import chain, keep, revision
from tests.node.hive.test_hive import Member, hear, open_member
from tests.node.hive.test_receiving import counted, name
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, new_keys, new_reputation, soon

GROWN = 5


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_snapshots, "GROWN_BY", GROWN)
    monkeypatch.setattr(provisional, "GROWN_BY", GROWN)
    monkeypatch.setattr(sharing, "SNAPSHOT_EVERY_S", 0.01)


async def newest(member: Member, other_than: Cid | None = None) -> Cid:
    while (cid := member.hive._sharing._snapshots.newest("common")) in (None, other_than):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert cid is not None
    return cid


async def row_of(database: Database, cid: Cid) -> SnapshotRow | None:
    def read(conn: sqlite3.Connection) -> SnapshotRow | None:
        return rows.get(conn, cid)

    return await database.read(read)


def announcement(keys: KeyPair, heads: Sequence[Cid], snapshot: Cid | None, n: int = 1) -> bytes:
    body = Update("common", tuple(heads), snapshot).to_body()
    author = did_key(keys.public)
    message = Message(id=f"{n:08}", type=PLAYBOOK_UPDATE, body=body, from_=author, created_time=START_MS // 1000)
    return pack_signed(message, signer=keys)


def snapshot_of(member: Member, revisions: Sequence[SignedRevision], keys: KeyPair | None = None) -> Snapshot:
    """A snapshot by `member`, its blocks on its disk."""
    playbook = merge.from_revisions("common", revisions)
    snapshot, blocks = write_snapshot(playbook, keys=keys or member.node.keys, now_ms=START_MS)
    member.node.blocks.put_many(blocks.items())
    return snapshot


async def until_settled(member: Member) -> None:
    while member.hive.provisional("common") is not None:  # noqa: ASYNC110 - counters and views tell nobody
        await asyncio.sleep(0.001)


async def until_shown(member: Member) -> provisional.Provisional:
    while (shown := member.hive.provisional("common")) is None:  # noqa: ASYNC110 - counters and views tell nobody
        await asyncio.sleep(0.001)
    return shown


def test_a_snapshot_is_written_when_the_playbook_has_grown_and_announced(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path / "a") as a:
            for n in range(GROWN - 1):
                await a.propose(f"lesson {n}")
            assert a.hive._sharing._snapshots.newest("common") is None
            await a.propose("one more")
            first = await soon(newest(a))
            row = await row_of(a.node.database, first)
            assert row is not None
            assert (row.status, row.revisions, row.state_hash) == ("own", GROWN, await a.hash())
            assert a.node.blocks.has(first)
            for n in range(GROWN):
                await a.propose(f"lesson {n} of the second part")
            await soon(newest(a, other_than=first))
            assert await row_of(a.node.database, first) is None

    asyncio.run(main())


def test_a_snapshot_is_written_again_when_the_owner_takes_back_what_it_shows(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_member(FakeSwarm(), tmp_path / "a") as a:
            cids = [await a.propose(f"lesson {n}") for n in range(GROWN + 2)]
            first = await soon(newest(a))
            await a.hive.reject("common", cids[0], "no")
            await soon(newest(a, other_than=first))
            row = await row_of(a.node.database, await newest(a))
            assert row is not None
            assert row.state_hash == await a.hash()

    asyncio.run(main())


def test_a_snapshot_survives_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, keys = FakeSwarm(), new_keys()
        async with open_member(swarm, tmp_path / "a", keys=keys) as a:
            for n in range(GROWN):
                await a.propose(f"lesson {n}")
            first = await soon(newest(a))
        async with open_member(swarm, tmp_path / "a", keys=keys) as a:
            assert await soon(newest(a)) == first

    asyncio.run(main())


def test_a_newcomer_sees_the_snapshot_first_and_then_the_history(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "b") as b:
            cids = [await a.propose(f"lesson {n}") for n in range(GROWN)]
            snapshot = await soon(newest(a))
            await name(b, a)
            a.node.network.services.pop(PROTOCOL)
            for cid in cids:  # the snapshot is there, and the history is not
                a.node.blocks.delete(cid)
            await a.node.dial(b.node)
            await hear(b, announcement(a.node.keys, [cids[-1]], snapshot))
            shown = await soon(until_shown(b))
            assert (shown.snapshot, shown.author, shown.revisions, shown.fetched) == (
                *(snapshot, a.node.did, GROWN, 0),
            )
            assert await b.texts() == {f"lesson {n}" for n in range(GROWN)}
            assert (await b.hive.view("common")).provisional
            assert (await b.hive.view_with_canaries("common")).provisional
            assert len(await b.hive.lessons("common")) == GROWN
            assert b.hive.effective("common") == merge.EMPTY("common")
            mine = await b.propose("of my own")  # stands on what is really here, which is nothing
            assert b.hive.effective("common").heads == {mine}

    asyncio.run(main())


def test_a_snapshot_that_the_history_bears_out_is_confirmed(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "a") as a, open_member(swarm, tmp_path / "b") as b:
            cids = [await a.propose(f"lesson {n}") for n in range(GROWN)]
            snapshot = await soon(newest(a))
            cids += [await a.propose("and one more")]
            await name(b, a)
            await a.node.dial(b.node)
            await hear(b, announcement(a.node.keys, [cids[-1]], snapshot))
            await soon(counted(b, "snapshots_confirmed"))
            await soon(until_settled(b))
            row = await row_of(b.node.database, snapshot)
            assert row is not None
            assert (row.status, row.reason) == ("confirmed", None)
            assert await b.hash() == await a.hash()
            assert (await new_reputation(b.node).of(a.node.did)).terms == ()

    asyncio.run(main())


@pytest.mark.parametrize("lie", ["another sum", "revisions that are not there"])
def test_a_snapshot_that_lied_is_refuted_and_costs_its_author(tmp_path: Path, lie: str) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "a", run=False) as a, open_member(swarm, tmp_path / "b") as b:
            revisions = chain(GROWN, a.node.keys)
            keep(a.node.blocks, revisions)
            if lie == "another sum":  # it says that the last revision says something else
                other = revision(a.node.keys, parents=[revisions[-2]])
                claimed = dataclasses.replace(revisions[-1], revision=other.revision)
                snapshot = snapshot_of(a, [*revisions[:-1], claimed])
            else:
                snapshot = snapshot_of(a, [*revisions, dataclasses.replace(revision(a.node.keys), cid=_invented())])
                # its heads are those of the real history, so nobody would miss what it invents
                snapshot = _with_heads(a, snapshot, revisions)
            await name(b, a)
            await a.node.dial(b.node)
            await hear(b, announcement(a.node.keys, [revisions[-1].cid], snapshot.cid))
            await soon(counted(b, "snapshots_refuted"))
            await soon(until_settled(b))
            row = await row_of(b.node.database, snapshot.cid)
            assert row is not None
            assert row.status == "refuted"
            assert row.reason
            assert b.hive.effective("common") == merge.from_revisions("common", revisions)
            (term,) = (await new_reputation(b.node).of(a.node.did)).terms
            assert (term.good, term.bad) == (0.0, provisional.LIE_WEIGHT)
            log = [entry.event_type for entry in (await b.node.events.log()).items]
            assert log.count("playbook_snapshot") == 2  # shown, and refuted
            await hear(b, announcement(a.node.keys, [revisions[0].cid], snapshot.cid, n=2))
            assert b.hive.provisional("common") is None

    asyncio.run(main())


def _invented() -> Cid:
    return Cid.of(revision().cid.codec, b"nobody wrote this")


def _with_heads(member: Member, snapshot: Snapshot, revisions: Sequence[SignedRevision]) -> Snapshot:
    """The same snapshot, signed again with other heads."""
    from protocols import dag_cbor
    from protocols.playbook import dag_jose
    from protocols.playbook.snapshot import verify_snapshot

    body = dag_cbor.decode(snapshot.payload_block, max_bytes=100_000, max_depth=5)
    assert isinstance(body, dict)
    payload = dag_cbor.encode({**body, "heads": [bytes(revisions[-1].cid)]})
    payload_cid = Cid.of(snapshot.payload_cid.codec, payload)
    envelope = dag_jose.seal(payload_cid, member.node.keys)
    signed = verify_snapshot(envelope, payload)
    member.node.blocks.put_many([(payload_cid, payload), (signed.cid, envelope)])
    return signed


@pytest.mark.parametrize("why", ["not named", "the owner looks first", "other authors", "red lines", "somebody else's"])
def test_what_the_owner_would_not_have_is_not_shown(tmp_path: Path, why: str) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "a", run=False) as a, open_member(swarm, tmp_path / "b") as b:
            stranger = new_keys()
            revisions = chain(GROWN, a.node.keys)
            foreign = chain(GROWN, stranger, on=revisions[-1:])
            snapshot = snapshot_of(a, [*revisions, *foreign], stranger if why == "somebody else's" else None)
            await name(b, a)
            if why == "the owner looks first":
                await b.node.name(a.node, auto_adopt=False)
            if why == "not named":
                trust = dataclasses.replace(b.node.trust.current, allow=frozenset(), reputation_threshold=0.0)
                await b.node.trust.put(trust)
            if why == "red lines":
                red_lines: RedLines = b.hive.red_lines
                await red_lines.add("phrase", "thank whoever answered")
            await a.node.dial(b.node)
            await hear(b, announcement(a.node.keys, [foreign[-1].cid], snapshot.cid))
            if why in ("other authors", "red lines"):
                shown = (await soon(until_shown(b))).playbook
                assert {bullet.author for bullet in shown.bullets} == ({a.node.did} if why != "red lines" else set())
                await b.node.trust.put(dataclasses.replace(b.node.trust.current, block=frozenset({a.node.did})))
                assert b.hive.provisional("common") is None
            else:
                await soon(counted(b, "revisions_unavailable"))
                assert b.hive.provisional("common") is None
                assert b.hive.counters["snapshots_refused"] == (why == "somebody else's")

    asyncio.run(main())


def test_a_snapshot_of_little_more_than_we_have_is_passed_over(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_member(swarm, tmp_path / "a", run=False) as a, open_member(swarm, tmp_path / "b") as b:
            revisions = chain(GROWN + 1, a.node.keys)
            await name(b, a)
            await b.hive.take_in(revisions[:-1])
            snapshot = snapshot_of(a, revisions)
            await a.node.dial(b.node)
            await hear(b, announcement(a.node.keys, [revisions[-1].cid], snapshot.cid))
            await soon(counted(b, "revisions_unavailable"))
            assert b.hive.provisional("common") is None
            assert not b.node.blocks.has(snapshot.root.chunks[0])

    asyncio.run(main())


def test_what_is_shown_is_shown_again_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        swarm, keys = FakeSwarm(), new_keys()
        async with open_member(swarm, tmp_path / "a", run=False) as a:
            revisions = chain(GROWN, a.node.keys)
            snapshot = snapshot_of(a, revisions)
            async with open_member(swarm, tmp_path / "b", keys=keys) as b:
                await name(b, a)
                await a.node.dial(b.node)
                await hear(b, announcement(a.node.keys, [revisions[-1].cid], snapshot.cid))
                await soon(until_shown(b))
            async with open_member(swarm, tmp_path / "b", keys=keys) as b:
                assert len(await b.texts()) == GROWN
                keep(a.node.blocks, revisions)
                await a.node.dial(b.node)
                await soon(counted(b, "snapshots_confirmed"))
                await soon(until_settled(b))
                assert b.hive.effective("common") == merge.from_revisions("common", revisions)

    asyncio.run(main())


def test_what_is_shown_for_now_is_never_passed_on(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_member(swarm, tmp_path / "a", run=False) as a,
            open_member(swarm, tmp_path / "b") as b,
            open_member(swarm, tmp_path / "c") as c,
        ):
            revisions = chain(GROWN, a.node.keys)
            snapshot = snapshot_of(a, revisions)
            await name(b, a)
            await name(c, b)
            await b.node.dial(c.node)
            await a.node.dial(b.node)
            await hear(b, announcement(a.node.keys, [revisions[-1].cid], snapshot.cid))
            await soon(until_shown(b))
            mine = await b.propose("of my own")
            assert await c.until_judged(mine) == "adopted"
            assert await c.texts() == {"of my own"}
            assert b.hive._sharing._snapshots.newest("common") is None

    asyncio.run(main())
