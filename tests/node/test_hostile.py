"""A hostile peer against a whole twin: what it sends is refused, counted and changes nothing, and others are served.

The twin runs in this process, on a real libp2p network. The attacker and an honest friend, whom the owner named, are
networks of their own: they send whatever bytes a test wants, in frames and gossip messages that are well-formed.
(Frames and gossip that are not are the business of tests/node/net/test_garbage.py.)
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import orjson
import pytest

from identity.cid import Cid
from identity.did import Did, did_key, peer_id_of_did, resolve_did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE
from node.clock import now_ms
from node.composition import open_twin
from node.config import Config, MindConfig, NetworkConfig
from node.ids import time_ordered_id
from node.messaging.source import ACCEPTED, REFUSED, TRY_LATER
from node.messaging.source import PROTOCOL as DIDCOMM
from node.net.errors import RemoteRefused
from node.net.libp2p_network import open_network
from node.net.port import Network
from node.twin import Twin
from protocols import dag_cbor, limits
from protocols.didcomm import jwe, jws
from protocols.didcomm.author import author_of
from protocols.didcomm.envelope import pack_anoncrypt, pack_authcrypt, pack_signed
from protocols.message import Message
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update, topic_of
from protocols.playbook.revision import Revision, SignedRevision, new_ops, sign_revision
from protocols.swarm import SHUTDOWN, TOPIC, TWIN_ONLINE, TwinOnline
from protocols.sync import PROTOCOL as SYNC
from protocols.sync import SyncRequest, SyncResponse
from protocols.task import ASK, Ask
from storage.home import Home
from storage.trust import Trust

pytestmark = pytest.mark.slow

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
NOTE = "https://example.org/hostile-test/1.0/note"
NESTED = b"[" * 10_000
TOO_LONG = bytes(limits.MAX_DIDCOMM_BYTES + 1)
DAY_S = 86_400


class Blocks(dict[Cid, bytes]):
    """What a peer serves by bitswap."""

    def has(self, cid: Cid) -> bool:
        return cid in self

    def add(self, signed: SignedRevision) -> Cid:
        self[signed.cid], self[signed.payload_cid] = signed.envelope_block, signed.payload_block
        return signed.cid


@dataclass(frozen=True)
class Peer:
    """Somebody with a key and a connection to the twin."""

    keys: KeyPair
    network: Network
    blocks: Blocks

    @property
    def did(self) -> Did:
        return did_key(self.keys.public)

    def message(self, **fields: Any) -> Message:
        """A message of this peer's, made now. `fields` change it."""
        made: dict[str, Any] = {"id": time_ordered_id(now_ms()), "type": NOTE, "from_": self.did}
        return Message(**(made | {"created_time": int(time())} | fields))

    def packed(self, to: Did, **fields: Any) -> bytes:
        """A message to a twin, as it goes over the wire."""
        message = self.message(**({"to": (to,)} | fields))
        return pack_authcrypt(message, sender=self.keys, recipients=[resolve_did_key(to)], entropy=os.urandom)

    def signed(self, message_type: str, body: Mapping[str, Any], **fields: Any) -> bytes:
        """A message to everyone, as it is gossiped."""
        return pack_signed(self.message(type=message_type, body=body, **fields), signer=self.keys)

    def encrypted(self, plaintext: bytes, to: Did) -> bytes:
        """Any bytes at all, encrypted for a twin by this peer: no check of ours stands before them."""
        methods = resolve_did_key(to).key_agreement
        return jwe.encrypt(
            plaintext,
            enc="A256CBC-HS512",
            sender=author_of(self.keys).agreement[0],
            recipients=methods,
            entropy=os.urandom,
        )

    def announced(self, name: str, addresses: Iterable[str], **fields: Any) -> bytes:
        """This peer's announcement that it is online."""
        body = TwinOnline(name, tuple(addresses), ("ask",), ("boats",), "1").to_body()
        return self.signed(TWIN_ONLINE, body, **fields)

    def revision(self, text: str) -> SignedRevision:
        """A first revision of the common playbook, by this peer."""
        op = {"op": "add", "section": "boats", "text": text, "tags": []}
        ops = new_ops([op], author=self.did, height=1)
        return sign_revision(Revision("common", (), 1, self.did, now_ms(), "Because.", (), ops), self.keys)


@dataclass(frozen=True)
class Scene:
    """A twin, a friend whom its owner named, and an attacker whom nobody knows."""

    twin: Twin
    friend: Peer
    attacker: Peer

    async def state(self) -> dict[str, Any]:
        """Everything about the twin that a message can change."""
        twin = self.twin
        return {
            "inbox": [(row.message_id, row.status) for row in (await twin.mail.inbox(500)).items],
            "outbox": [row.message_id for row in (await twin.mail.outbox(500)).items],
            "twins": [(known.did, known.name, known.addresses) for known in await twin.directory.twins()],
            "playbook": (await twin.hive.view("common")).state_hash,
            "revisions": [row.cid for row in (await twin.hive.revisions("common")).items],
            "blocks": sorted(path.name for path in twin.home.blocks.rglob("*") if path.is_file()),
            "memories": [memory.id for memory in (await twin.memory.list(limit=500)).items],
            "jobs": [job.id for job in (await twin.jobs.list(500)).items],
            "trust": twin.trust.current,
        }

    async def counted(self, name: str, count: int) -> None:
        """Wait until the twin has counted so many."""
        async with asyncio.timeout(20):
            while self.twin.counters().get(name, 0) < count:  # noqa: ASYNC110 - counters tell nobody that they grew
                await asyncio.sleep(0.01)

    async def send(self, peer: Peer, packed: bytes) -> bytes:
        """One frame on the protocol of private messages; the twin's answer."""
        return await peer.network.request(self.twin.peer_id, DIDCOMM, packed, timeout_s=20)

    async def is_served(self, peer: Peer) -> None:
        """The peer's message is taken."""
        assert await self.send(peer, peer.packed(self.twin.did)) == ACCEPTED


@asynccontextmanager
async def peer_of(twin: Twin, keys: KeyPair | None = None) -> AsyncIterator[Peer]:
    keys = keys or KeyPair(os.urandom(32))
    blocks = Blocks()
    async with open_network(keys, listen=[LOOPBACK], blocks=blocks) as network:
        await network.dial(twin.network.addresses()[0])
        yield Peer(keys, network, blocks)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    home = Home(folder / "home")
    home.create()
    config = Config(
        name="victim",
        network=NetworkConfig(listen=(LOOPBACK,), mdns=False, sync_every_s=3600),
        mind=MindConfig(reflect=False),
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(home.lock())
        twin = await stack.enter_async_context(open_twin(home, config, KeyPair(os.urandom(32)), model=None))
        friend = await stack.enter_async_context(peer_of(twin))
        attacker = await stack.enter_async_context(peer_of(twin))
        await twin.trust.put(Trust(frozenset([friend.did]), frozenset(), 1.0, auto_adopt=True))
        for peer in (friend, attacker):
            for topic in (TOPIC, topic_of("common")):
                await peer.network.subscribe(topic, lambda message: None)
        twin.mail.keep(NOTE)  # for the owner to read: no problem reports about it, so that the outbox stays as it is
        yield Scene(twin, friend, attacker)


def other(text: bytes) -> bytes:
    """The same text with one character changed, which in a signed message is one of its payload."""
    at = 40
    return text[:at] + (b"A" if text[at : at + 1] != b"A" else b"B") + text[at + 1 :]


def test_private_messages(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            twin, friend, attacker = here.twin, here.friend, here.attacker
            to, now_s = twin.did, int(time())
            stranger = did_key(KeyPair(os.urandom(32)).public)
            good = attacker.packed(to)
            document = orjson.loads(good)
            document["ciphertext"] = other(document["ciphertext"].encode()).decode()
            forged = attacker.message(from_=friend.did, to=(to,)).to_bytes()
            nested = b'{"id":"x","type":"%s","body":{"x":%s}}' % (NOTE.encode(), NESTED + b"]" * 10_000)
            unsigned = attacker.message(from_=None, to=(to,))
            refused = [
                ("random bytes", os.urandom(4096), 40021),
                ("nothing", b"", 40021),
                ("truncated", good[:-10], 40021),
                ("nested arrays", NESTED, 40023),
                ("nested arrays inside", attacker.encrypted(nested, to), 40023),
                ("no envelope", attacker.message(to=(to,)).to_bytes(), 40021),
                ("encrypted garbage", attacker.encrypted(os.urandom(999), to), 40021),
                ("changed", orjson.dumps(document), 40025),
                ("signed, not encrypted", attacker.signed(NOTE, {}), 40020),
                ("of nobody", pack_anoncrypt(unsigned, recipients=[resolve_did_key(to)], entropy=os.urandom), 40020),
                ("`from` is not the signer", attacker.encrypted(forged, to), 40321),
                ("`to` is somebody else", attacker.encrypted(attacker.message(to=(stranger,)).to_bytes(), to), 40321),
                ("for somebody else", attacker.packed(stranger), 40421),
                ("of the future", attacker.packed(to, created_time=now_s + 3600), 40026),
                ("too old", attacker.packed(to, created_time=now_s - 8 * DAY_S), 41021),
                ("expired", attacker.packed(to, expires_time=now_s - 1), 41021),
            ]
            before = await here.state()
            for what, packed, code in refused:
                counted = twin.counters().get(f"didcomm_refused_{code}", 0)
                assert await here.send(attacker, packed) == REFUSED, what
                assert twin.counters()[f"didcomm_refused_{code}"] == counted + 1, what
            with pytest.raises(RemoteRefused):
                await here.send(attacker, TOO_LONG)
            await here.counted("frames_refused", 1)
            assert await here.state() == before
            await here.is_served(friend)

    asyncio.run(main())


def test_a_replay(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            packed = here.friend.packed(here.twin.did)
            assert await here.send(here.friend, packed) == ACCEPTED
            async with asyncio.timeout(20):
                while (await here.state())["inbox"][0][1] != "handled":  # noqa: ASYNC110 - nobody is told of it
                    await asyncio.sleep(0.01)
            before = await here.state()
            for peer in (here.attacker, here.friend):
                assert await here.send(peer, packed) == ACCEPTED, "it is on disk, as the sender wants"
            assert here.twin.counters()["didcomm_repeated"] == 2
            assert await here.state() == before

    asyncio.run(main())


def test_a_stranger_and_a_blocked_twin(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            twin, attacker = here.twin, here.attacker
            question = Ask("What do you know?").to_body()
            answers = [
                await here.send(attacker, attacker.packed(twin.did, type=ASK, body=question))
                for _ in range(limits.MAX_STRANGER_REQUESTS + 3)
            ]
            assert answers == [ACCEPTED] * limits.MAX_STRANGER_REQUESTS + [TRY_LATER] * 3
            assert twin.counters()["didcomm_stranger_over_share"] == 3
            await here.is_served(here.friend)
            state = await here.state()
            requests = [status for _, status in state["inbox"] if status == "request"]
            assert len(requests) == limits.MAX_STRANGER_REQUESTS, "none was acted on"
            assert state["outbox"] == []

            allowed = twin.trust.current.allow
            await twin.trust.put(Trust(allowed, frozenset([attacker.did]), 1.0, auto_adopt=True))
            before = await here.state()
            assert await here.send(attacker, attacker.packed(twin.did)) == REFUSED
            assert await here.state() == before

    asyncio.run(main())


def test_a_flood_is_throttled_while_others_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DIDCOMM_RATE_PER_S", 20.0)
    monkeypatch.setattr(limits, "DIDCOMM_BURST", 50)

    async def main() -> None:
        async with scene(tmp_path) as here:
            before = await here.state()

            async def flood() -> None:
                garbage = os.urandom(2000)
                while True:
                    await asyncio.gather(*(here.send(here.attacker, garbage) for _ in range(100)))

            flooding = asyncio.create_task(flood())
            await here.counted("didcomm_throttled", 200)
            for _ in range(30):
                await here.is_served(here.friend)
            flooding.cancel()
            await asyncio.wait([flooding])
            assert flooding.cancelled(), "the flood ended by itself"
            after = await here.state()
            assert len(after.pop("inbox")) == 30
            assert after == {name: before[name] for name in after}

    asyncio.run(main())


def test_requests_to_catch_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            good = SyncRequest(0, 10).encode()
            refused = [
                os.urandom(60),
                b"",
                good[:-1],
                good + b"\x00",
                b"\x81" * 60,
                dag_cbor.encode({"after": -1, "limit": 10}),
                dag_cbor.encode({"after": 0, "limit": limits.MAX_SYNC_MESSAGES + 1}),
                dag_cbor.encode({"after": "0", "limit": None}),
                b"\x81" * 10_000,
                TOO_LONG,
            ]
            before = await here.state()
            for payload in refused:
                with pytest.raises(RemoteRefused):
                    await here.attacker.network.request(here.twin.peer_id, SYNC, payload, timeout_s=20)
            counters = here.twin.counters()
            assert counters["requests_failed"] + counters["frames_refused"] == len(refused)
            answer = await here.friend.network.request(here.twin.peer_id, SYNC, good)
            assert SyncResponse.decode(answer).messages
            assert await here.state() == before

    asyncio.run(main())


def test_answers_to_catching_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            twin, attacker = here.twin, here.attacker
            lie = attacker.announced("liar", here.friend.network.addresses())
            forged = [other(lie), b"{" + NESTED, attacker.message().to_bytes()]
            broken = [os.urandom(500), b"", TOO_LONG[: limits.MAX_SYNC_RESPONSE_BYTES], b"\x81" * 10_000]
            broken.append(dag_cbor.encode({"messages": [b"[]"], "next": 1, "more": False}))
            answers = iter([*broken, SyncResponse(tuple(forged), 3, more=False).encode()])

            async def answer(peer: str, payload: bytes) -> bytes:
                return next(answers)

            await attacker.network.serve(SYNC, answer, max_request_bytes=64, max_in_flight_per_peer=1)
            before = await here.state()
            failed = twin.counters().get("sync_failed", 0)
            for _ in broken:
                await twin.gossip.catch_up(attacker.network.peer_id)
            assert twin.counters()["sync_failed"] == failed + len(broken)
            await twin.gossip.catch_up(attacker.network.peer_id)
            counters = twin.counters()
            assert [counters[f"gossip_refused_{code}"] for code in (40121, 40023, 40021)] == [1, 1, 1]
            assert await here.state() == before

    asyncio.run(main())


def test_gossip(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            friend, attacker = here.friend, here.attacker
            now_s = int(time())
            own = attacker.network.addresses()
            borrowed = attacker.message(type=TWIN_ONLINE, from_=friend.did).to_bytes()
            kid = resolve_did_key(attacker.did).authentication[0].id
            refused = [
                ("random bytes", os.urandom(4096), 40021),
                ("nested arrays", NESTED, 40023),
                ("no signature", attacker.message(type=TWIN_ONLINE).to_bytes(), 40021),
                ("changed", other(attacker.announced("Mallory", own)), 40121),
                ("`from` is not the signer", jws.sign(borrowed, kid=kid, signer=attacker.keys), 40321),
                ("encrypted", attacker.packed(here.twin.did), 40021),
                ("of the future", attacker.announced("Mallory", own, created_time=now_s + 3600), 40026),
                ("too old", attacker.announced("Mallory", own, created_time=now_s - 8 * DAY_S), 41021),
                ("somebody else's address", attacker.announced("Mallory", friend.network.addresses()), 40020),
                ("a name that is none", attacker.signed(TWIN_ONLINE, {"name": "x" * 999}), 40021),
                ("no heads", attacker.signed(PLAYBOOK_UPDATE, {"playbook": "common", "heads": []}), 40021),
            ]
            before = await here.state()
            for what, data, code in refused:
                name = f"gossip_refused_{code}"
                counted = here.twin.counters().get(name, 0)
                await attacker.network.publish(TOPIC, data)
                await here.counted(name, counted + 1)
                assert await here.state() == before, what
            await attacker.network.publish(TOPIC, attacker.signed(SHUTDOWN, {}))
            await here.is_served(friend)

    asyncio.run(main())


def test_authors_without_end_take_bounded_room_and_leave_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STRANGER_ROWS_BURST", 10)
    monkeypatch.setattr(limits, "STRANGER_ROWS_PER_S", 0.001)

    async def main() -> None:
        async with scene(tmp_path) as here:
            events = [entry.event_type for entry in (await here.twin.events.log()).items]
            for number in range(30):
                invented = Peer(KeyPair(os.urandom(32)), here.attacker.network, here.attacker.blocks)
                await here.attacker.network.publish(TOPIC, invented.announced(f"Mallory {number}", ()))
            await here.counted("gossip_refused_room", 20)
            assert len((await here.state())["twins"]) == 10
            await here.friend.network.publish(TOPIC, here.friend.announced("Friend", here.friend.network.addresses()))
            async with asyncio.timeout(20):
                while "Friend" not in [name for _, name, _ in (await here.state())["twins"]]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            log = [entry.event_type for entry in (await here.twin.events.log()).items]
            assert log == [*events, "twin_online"], "the friend's alone"

    asyncio.run(main())


def test_announcements_of_a_victims_address_do_not_become_a_flood_there(tmp_path: Path) -> None:
    async def main() -> None:
        knocks = 0

        async def victim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal knocks
            knocks += 1
            writer.close()

        async with scene(tmp_path) as here, await asyncio.start_server(victim, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            for number in range(3 * limits.KNOCKS_BURST):
                keys = KeyPair(os.urandom(32))
                invented = Peer(keys, here.attacker.network, here.attacker.blocks)
                peer_id = peer_id_of_did(invented.did)
                addresses = [f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer_id}", f"/dns4/localhost/tcp/{port}/p2p/{peer_id}"]
                await here.attacker.network.publish(TOPIC, invented.announced(f"Mallory {number}", addresses))
            await here.counted("gossip_accepted", 3 * limits.KNOCKS_BURST)
            async with asyncio.timeout(30):
                while here.twin.directory._dialling:  # noqa: ASYNC110 - nobody is told when the last dial has ended
                    await asyncio.sleep(0.05)
            assert 0 < knocks <= limits.KNOCKS_BURST + 2
            await here.is_served(here.friend)

    asyncio.run(main())


def test_an_old_announcement_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            friend, addresses = here.friend, here.friend.network.addresses()
            old = friend.announced("Old", addresses, created_time=int(time()) - 100)
            for count, data in enumerate((old, friend.announced("New", addresses)), 1):
                await friend.network.publish(TOPIC, data)
                await here.counted("gossip_accepted", count)
            async with asyncio.timeout(20):
                while [name for _, name, _ in (await here.state())["twins"]] != ["New"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            before = await here.state()
            await here.attacker.network.publish(TOPIC, old)
            await here.counted("gossip_not_newer", 1)
            assert await here.state() == before

    asyncio.run(main())


def test_playbook_updates(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            twin, friend, attacker = here.twin, here.friend, here.attacker
            topic = topic_of("common")
            before = await here.state()

            unwanted = attacker.blocks.add(attacker.revision("Sink them all."))
            await attacker.network.publish(topic, update(attacker, unwanted))
            await here.counted("updates_not_followed", 1)

            absent = Cid.of(CODEC_DAG_JOSE, b"nobody has this")
            await friend.network.publish(topic, update(friend, absent))
            await here.counted("revisions_unavailable", 1)

            garbage = Cid.of(CODEC_DAG_JOSE, b"no revision")
            friend.blocks[garbage] = b"no revision"
            await friend.network.publish(topic, update(friend, garbage))
            await here.counted("revisions_refused", 1)

            stolen = attacker.revision("Sink them all.")
            friend.blocks[stolen.cid] = stolen.envelope_block
            friend.blocks[stolen.payload_cid] = attacker.revision("Another text.").payload_block
            await friend.network.publish(topic, update(friend, stolen.cid))
            await here.counted("bitswap_blocks_unsolicited", 1)
            assert await here.state() == before

            foreign = friend.blocks.add(attacker.revision("A stranger's advice, passed on by a friend."))
            await friend.network.publish(topic, update(friend, foreign))
            await here.counted("revisions_quarantined", 1)
            assert (await here.state())["playbook"] == before["playbook"]

            wanted = friend.blocks.add(friend.revision("Reef early."))
            await friend.network.publish(topic, update(friend, wanted))
            await here.counted("revisions_adopted", 1)
            assert [bullet.text for bullet in (await twin.hive.view("common")).bullets] == ["Reef early."]

    asyncio.run(main())


def update(peer: Peer, head: Cid) -> bytes:
    """The peer's word that this is its newest head of the common playbook."""
    return peer.signed(PLAYBOOK_UPDATE, Update("common", (head,)).to_body())


def test_a_stranger_s_dids_are_not_its_peer_ids(tmp_path: Path) -> None:
    """A message counts for who wrote it, whoever carries it: the friend's connection makes the attacker nobody."""

    async def main() -> None:
        async with scene(tmp_path) as here:
            packed = here.attacker.packed(here.twin.did, type=ASK, body=Ask("What do you know?").to_body())
            assert peer_id_of_did(here.attacker.did) != here.friend.network.peer_id
            assert await here.send(here.friend, packed) == ACCEPTED
            state = await here.state()
            assert [status for _, status in state["inbox"]] == ["request"]
            assert state["outbox"] == []

    asyncio.run(main())
