"""What names stand for: asked of the twin, asked of the DHT, remembered, and never believed without a signature."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from identity.did import Did
from identity.keys import KeyPair
from identity.multibase import CODEC_RAW
from node.content.errors import NameNotFound
from node.content.naming import TTL_S, OwnName
from node.content.resolving import Names
from node.errors import ContentUnavailable
from protocols import ipns
from protocols.errors import UnusableIpnsName
from protocols.profile import Profile
from tests.node.content.test_naming import Scene
from tests.node.net.support import Blocks
from tests.node.parts import Clock, new_keys, open_node


class Reader:
    """Ada's twin with its name, a relay, and Bert who resolves names."""

    def __init__(self, ada: OwnName, names: Names, clock: Clock, network: Any, scene: Scene) -> None:
        self.ada = ada
        self.names = names
        self.clock = clock
        self.network = network
        self.scene = scene
        self.reads = 0


@asynccontextmanager
async def reading(folder: Path, *, serve: bool = True) -> AsyncIterator[Reader]:
    scene = Scene(folder / "ada")
    named: dict[Did, str] = {}
    async with (
        scene.relay() as relay,
        scene.twin() as (node, ada),
        open_node(scene.swarm, folder / "bert", clock=scene.clock) as bert,
    ):
        for network in (node.network, bert.network):
            await network.dial(relay.addresses()[0])

        async def read(cid: Cid) -> bytes:
            block = node.blocks.get(cid)
            if block is None:
                raise ContentUnavailable(f"{cid} is not here")
            return block

        async def names_of_twins() -> dict[Did, str]:
            return named

        if serve:
            await Names(own=ada, network=node.network, read=read, named=names_of_twins, now=scene.clock).serve()
        own = OwnName(
            keys=bert.keys,
            name="Bert",
            capabilities=(),
            heads=dict,
            store=bert.blocks,
            database=bert.database,
            network=bert.network,
            now=scene.clock,
        )
        names = Names(own=own, network=bert.network, read=read, named=names_of_twins, now=scene.clock)
        reader = Reader(ada, names, scene.clock, bert.network, scene)
        named[ada.name.did] = "Ada"
        yield reader


def test_a_name_is_found_through_the_relay(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path) as here:
            published = await here.ada.publish()
            found = await here.names.resolve(here.ada.name)
            assert (found.record, found.cid, found.profile) == (published.record, published.cid, published.profile)
            assert found.problem is None

    asyncio.run(main())


def test_a_twin_that_is_connected_is_asked_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path) as here:
            await here.ada.publish()
            here.scene.swarm.values.clear()
            with pytest.raises(NameNotFound):
                await here.names.resolve(here.ada.name)
            address = f"/ip4/127.0.0.1/tcp/1/p2p/{here.ada.name.peer_id}"
            await here.network.dial(address)
            found = await here.names.resolve(here.ada.name)
            assert found.record == here.ada.current.record  # type: ignore[union-attr]

    asyncio.run(main())


def test_every_form_of_a_name_is_understood(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path) as here:
            ada = here.ada.name
            for text in ("Ada", "ada", str(ada), ada.did, ada.peer_id, f"/ipns/{ada}"):
                assert await here.names.find(text) == ada
            assert (await here.names.find("me")).did != ada.did
            with pytest.raises(UnusableIpnsName):
                await here.names.find("Carla")

    asyncio.run(main())


def test_of_two_twins_with_one_name_none_is_meant(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path) as here:
            here.names._named = both  # type: ignore[method-assign]
            with pytest.raises(UnusableIpnsName, match="2 twins"):
                await here.names.find("Ada")

    async def both() -> dict[Did, str]:
        return {ipns.IpnsName(new_keys().public).did: "Ada" for _ in range(2)}

    asyncio.run(main())


def test_a_twin_that_calls_itself_by_anothers_name_is_not_taken_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path) as here:
            other = ipns.IpnsName(new_keys().public)
            for text in (str(other), other.did, other.peer_id):

                async def lying(text: str = text) -> dict[Did, str]:
                    return {here.ada.name.did: text}

                here.names._named = lying  # type: ignore[method-assign]
                assert await here.names.find(text) == other

    asyncio.run(main())


def test_of_two_questions_at_once_the_older_answer_is_not_remembered(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path) as here:
            older = await here.ada.publish()
            here.clock.advance(1)
            newer = await here.ada.publish()
            answers = {"slow": older.record.raw, "quick": newer.record.raw}
            gate, asked = asyncio.Event(), iter(answers)

            async def get_value(key: bytes, *, timeout_s: float) -> bytes:
                which = next(asked)
                if which == "slow":
                    await gate.wait()
                return answers[which]

            here.network.get_value = get_value
            slow = asyncio.create_task(here.names.resolve(here.ada.name))
            await asyncio.sleep(0)
            assert (await here.names.resolve(here.ada.name)).record == newer.record
            gate.set()
            assert (await slow).record == newer.record
            assert (await here.names.resolve(here.ada.name)).record == newer.record

    asyncio.run(main())


def test_what_was_found_is_used_again_for_as_long_as_it_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path) as here:
            first = await here.ada.publish()
            await here.names.resolve(here.ada.name)
            here.clock.advance(1)
            second = await here.ada.publish()
            assert (await here.names.resolve(here.ada.name)).record == first.record
            here.clock.advance(TTL_S)
            assert (await here.names.resolve(here.ada.name)).record == second.record
            here.scene.swarm.values[here.ada.name.routing_key] = first.record.raw
            here.clock.advance(TTL_S)
            found = await here.names.resolve(here.ada.name)
            assert found.record == second.record, "an older one does not take its place"

    asyncio.run(main())


def test_a_record_that_was_forged_by_the_twin_that_is_asked_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path, serve=False) as here:
            liar = new_keys()
            name = ipns.IpnsName(liar.public)
            forged = make(new_keys(), "/ipfs/bafkqaaa", here.clock())
            async with here.scene.swarm.open(liar, Blocks()) as network:
                await network.serve(ipns.PROTOCOL, answering(forged), max_request_bytes=99, max_in_flight_per_peer=1)
                await here.network.dial(network.addresses()[0])
                with pytest.raises(NameNotFound):
                    await here.names.resolve(name)
            assert here.names.counters["ipns_records_refused"] == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/ipfs/bafkqaaa", "no twin's profile"),
        (f"/ipfs/{Cid.of(CODEC_RAW, b'x')}", "no twin's profile"),
        ("/ipns/example.org", "no twin's profile"),
        (f"/ipfs/{Cid.of(0x71, b'nowhere')}", "cannot be had"),
        (f"/ipfs/{Cid.of(CODEC_RAW, b'x')}/inside", "no twin's profile"),
        ("profile of somebody else", "another twin"),
        ("another document", "no twin's profile"),
    ],
)
def test_a_name_that_leads_elsewhere_is_shown_as_what_it_is(tmp_path: Path, path: str, problem: str) -> None:
    async def main() -> None:
        async with reading(tmp_path, serve=False) as here:
            keys = new_keys()
            name = ipns.IpnsName(keys.public)
            value = path
            if path == "profile of somebody else":
                value = f"/ipfs/{(await here.ada.publish()).cid}"
            elif path == "another document":
                block = b"\xa0"
                here.ada._store.put(Cid.of(0x71, block), block)
                value = f"/ipfs/{Cid.of(0x71, block)}"
            here.scene.swarm.values[name.routing_key] = make(keys, value, here.clock())
            found = await here.names.resolve(name)
            assert found.record.value == value
            assert found.profile is None
            assert problem in str(found.problem)

    asyncio.run(main())


def test_our_own_name_is_answered_from_here_and_other_questions_with_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with reading(tmp_path) as here:
            own = here.names._own
            published = await own.publish()
            assert isinstance(published.profile, Profile)
            here.scene.swarm.values.clear()
            assert (await here.names.resolve(own.name)).profile == published.profile
            answer = here.names._answer
            assert await answer(own.name.peer_id, own.name.routing_key) == published.record.raw
            for asked in (b"", here.ada.name.routing_key, b"x" * 80):
                assert await answer(own.name.peer_id, asked) == b""

    asyncio.run(main())


def make(keys: KeyPair, path: str, now_ms: int) -> bytes:
    return ipns.create_record(keys.sign, value=path, sequence=1, valid_until_ms=now_ms + 3_600_000, ttl_s=60)


def answering(record: bytes) -> Any:
    async def answer(peer: str, asked: bytes) -> bytes:
        return record

    return answer
