"""This twin's own name: published at the start and on change, on disk first, and never falling behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from identity.cid import Cid
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE
from node.content.naming import TELL_NOBODY_MS, VALID_MS, OwnName
from protocols import ipns
from protocols.profile import Profile
from storage import meta, pins
from storage.errors import StorageFull
from tests.node.content.test_providing import until
from tests.node.net.fake import FakeNetwork, FakeSwarm
from tests.node.net.support import Blocks
from tests.node.parts import Clock, Node, new_keys, open_node, running

HEADS = [Cid.of(CODEC_DAG_JOSE, bytes([number])) for number in range(3)]


class Scene:
    """One twin's home that can be opened again, a swarm, and a relay in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.keys = new_keys()
        self.clock = Clock()
        self.swarm = FakeSwarm()
        self.heads: dict[str, list[Cid]] = {"common": HEADS[:1]}

    @asynccontextmanager
    async def twin(self, name: str = "Ada") -> AsyncIterator[tuple[Node, OwnName]]:
        async with open_node(self.swarm, self.home, keys=self.keys, clock=self.clock) as node:
            own = self.own_name(node, name)
            await own.load()
            yield node, own

    def own_name(self, node: Node, name: str) -> OwnName:
        return OwnName(
            keys=self.keys,
            name=name,
            capabilities=("ask",),
            heads=lambda: self.heads,
            store=node.blocks,
            database=node.database,
            network=node.network,
            now=self.clock,
            check_s=0.01,
        )

    @asynccontextmanager
    async def relay(self, keys: KeyPair | None = None) -> AsyncIterator[FakeNetwork]:
        async with self.swarm.open(keys or new_keys(), Blocks(), dht_server=True) as relay:
            yield relay

    def in_the_dht(self) -> ipns.IpnsRecord | None:
        name = ipns.IpnsName(self.keys.public)
        raw = self.swarm.values.get(name.routing_key)
        return None if raw is None else ipns.verify_record(name, raw, now_ms=self.clock())


def test_the_name_leads_to_a_profile_that_is_kept_and_provided(tmp_path: Path) -> None:
    async def main() -> None:
        here = Scene(tmp_path)
        async with here.relay() as relay, here.twin() as (node, own):
            await node.network.dial(relay.addresses()[0])
            published = await own.publish()
            assert published.taken_by == 1
            record = here.in_the_dht()
            assert record == published.record
            assert record is not None
            assert record.value == f"/ipfs/{published.cid}"
            assert record.valid_until_ms == here.clock() + VALID_MS
            block = node.blocks.get(published.cid)
            assert block is not None
            assert Profile.from_block(block) == published.profile
            assert published.profile.name == "Ada"
            assert published.profile.did == node.did
            assert published.profile.playbooks == {"common": tuple(HEADS[:1])}
            pin = await node.database.read(lambda conn: pins.get(conn, published.cid))
            assert pin is not None
            assert pin.kind == "direct", "the playbooks' own blocks are not pinned by it"
            assert [found.peer_id for found in await relay_finds(here, relay, published.cid)] == [node.peer_id]

    asyncio.run(main())


async def relay_finds(here: Scene, relay: FakeNetwork, cid: Cid) -> tuple[ipns.IpnsName, ...] | tuple:  # type: ignore[type-arg]
    async with here.swarm.open(new_keys(), Blocks()) as other:
        await other.dial(relay.addresses()[0])
        return await other.find_providers(cid)


def test_a_change_is_published_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        here = Scene(tmp_path)
        async with here.relay() as relay, here.twin() as (node, own):
            await node.network.dial(relay.addresses()[0])
            async with running(own.run()):
                await until(lambda: own.current is not None and own.current.taken_by == 1)
                first = own.current
                assert first is not None
                looks = node.network.counts
                await until(lambda: looks["dht_servers"] > 5)
                assert own.counters["ipns_records_made"] == own.counters["ipns_told"] == 1
                here.clock.advance(60)
                here.heads = {"common": HEADS[1:], "tides": HEADS[:1], "empty": []}
                await until(lambda: own.current is not first)
                await until(lambda: here.in_the_dht() not in (None, first.record))
                second = own.current
                assert second is not None
                assert second.profile.playbooks == {"common": tuple(HEADS[1:]), "tides": tuple(HEADS[:1])}
                assert second.record.sequence > first.record.sequence
                assert second.profile.updated_ms == here.clock()
            assert await node.database.read(lambda conn: pins.get(conn, first.cid)) is None, "the old one may go"

    asyncio.run(main())


def test_a_record_is_renewed_before_it_ends_and_told_again_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        here = Scene(tmp_path)
        async with here.relay() as relay, here.twin() as (node, own):
            await node.network.dial(relay.addresses()[0])
            async with running(own.run()):
                await until(lambda: own.counters["ipns_told"] == 1)
                here.clock.advance(5 * 3600)
                await until(lambda: own.counters["ipns_told"] == 2)
                assert own.counters["ipns_records_made"] == 1
                here.clock.advance(20 * 3600)
                await until(lambda: own.counters["ipns_records_made"] == 2)
                await until(lambda: here.in_the_dht() == (own.current and own.current.record))
            assert own.current is not None
            assert own.current.record.valid_until_ms == here.clock() + VALID_MS

    asyncio.run(main())


def test_a_server_that_comes_or_comes_back_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        here, keys = Scene(tmp_path), new_keys()
        async with here.twin() as (node, own), running(own.run()):
            await until(lambda: own.counters["ipns_told_to_nobody"] >= 1)
            async with here.relay(keys) as relay:
                await node.network.dial(relay.addresses()[0])
                await until(lambda: here.in_the_dht() is not None)
            here.swarm.values.clear()
            async with here.relay(keys):
                await until(lambda: here.in_the_dht() is not None)
            assert own.counters["ipns_records_made"] == 1

    asyncio.run(main())


def test_a_later_record_that_somebody_else_with_our_key_published_is_overtaken(tmp_path: Path) -> None:
    """A second copy of the twin ran elsewhere for a while: servers take nothing of ours that is older."""

    async def main() -> None:
        here = Scene(tmp_path)
        async with here.relay() as relay, here.twin() as (node, own):
            await node.network.dial(relay.addresses()[0])
            async with running(own.run()):
                await until(lambda: own.counters["ipns_told"] == 1)
                other = ipns.create_record(
                    here.keys.sign,
                    value="/ipfs/bafkqaaa",
                    sequence=here.clock() // 1000 + 10**6,
                    valid_until_ms=here.clock() + VALID_MS,
                    ttl_s=1,
                )
                here.swarm.values[own.name.routing_key] = other
                here.clock.advance(5 * 3600)
                await until(lambda: here.swarm.values[own.name.routing_key] != other)
            assert own.current is not None
            assert here.in_the_dht() == own.current.record

    asyncio.run(main())


def test_what_nobody_took_is_told_again_soon(tmp_path: Path) -> None:
    async def main() -> None:
        here = Scene(tmp_path)
        async with here.relay() as relay, here.twin() as (node, own):
            await node.network.dial(relay.addresses()[0])

            async def refuse(key: bytes, value: bytes) -> int:
                return 0

            node.network.put_value = refuse  # type: ignore[method-assign]
            async with running(own.run()):
                await until(lambda: own.counters["ipns_told_to_nobody"] == 1)
                here.clock.advance(TELL_NOBODY_MS // 1000 - 1)
                looked = node.network.counts["dht_servers"]
                await until(lambda: node.network.counts["dht_servers"] > looked + 3)
                assert own.counters["ipns_told_to_nobody"] == 1
                here.clock.advance(1)
                await until(lambda: own.counters["ipns_told_to_nobody"] == 2)

    asyncio.run(main())


def test_a_profile_that_the_owner_pinned_stays_pinned(tmp_path: Path) -> None:
    async def main() -> None:
        here = Scene(tmp_path)
        async with here.twin() as (node, own):
            first = await own.publish()
            await node.database.write(lambda conn: pins.add(conn, first.cid, "recursive", "as it was"))
            here.heads["other"] = HEADS[1:2]
            assert (await own.publish()).cid != first.cid
            assert await node.database.read(lambda conn: pins.get(conn, first.cid)) is not None

    asyncio.run(main())


def test_after_a_restart_the_same_record_is_used_and_a_later_one_is_later(tmp_path: Path) -> None:
    async def main() -> None:
        here = Scene(tmp_path)
        async with here.twin() as (_, own):
            first = await own.publish()
        async with here.twin() as (_, own):
            assert own.current is not None
            assert own.current.record == first.record
            second = await own.publish()
            assert second.record.newer_than(first.record)
        here.clock.now_ms -= 10**9  # the clock was set back by some days
        async with here.twin() as (_, own):
            third = await own.publish()
            assert third.record.sequence == second.record.sequence + 1

    asyncio.run(main())


def test_restored_from_an_old_backup_with_a_slow_clock_it_still_comes_out_ahead(tmp_path: Path) -> None:
    async def main() -> None:
        here = Scene(tmp_path / "now")
        async with here.relay() as relay:
            async with here.twin() as (node, own):
                await node.network.dial(relay.addresses()[0])
                for _ in range(5):
                    last = await own.publish()
            here.home = tmp_path / "restored"
            here.clock.now_ms -= 10**7
            async with here.twin("Ada again") as (node, own):
                async with running(own.run()):
                    await until(lambda: own.counters["ipns_records_made"] >= 1)
                    await node.network.dial(relay.addresses()[0])
                    await until(lambda: (here.in_the_dht() or last.record).newer_than(last.record))
                assert own.current is not None
                assert own.current.record == here.in_the_dht()
                assert own.current.profile.name == "Ada again"

    asyncio.run(main())


def test_a_twin_with_a_new_key_begins_a_new_name(tmp_path: Path) -> None:
    async def main() -> None:
        here = Scene(tmp_path)
        async with here.twin() as (_, own):
            first = await own.publish()
        here.keys = new_keys()
        async with here.twin() as (node, own):
            assert own.current is None
            second = await own.publish()
            assert second.profile.did == node.did
            assert await node.database.read(lambda conn: pins.get(conn, first.cid)) is None

    asyncio.run(main())


def test_nothing_is_told_that_is_not_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        here = Scene(tmp_path)
        async with here.relay() as relay, here.twin() as (node, own):
            await node.network.dial(relay.addresses()[0])
            first = await own.publish()

            def full(*_: object) -> None:
                raise StorageFull("the disk is full")

            monkeypatch.setattr(meta, "put", full)
            here.heads = {"common": HEADS}
            with pytest.raises(StorageFull):
                await own.publish()
            assert own.current == first
            assert here.in_the_dht() == first.record
            kept = await node.database.read(lambda conn: meta.get(conn, "ipns"))
            assert kept is not None
            assert json.loads(kept)["cid"] == str(first.cid)

    asyncio.run(main())
