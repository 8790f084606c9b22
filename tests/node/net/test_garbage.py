"""Garbage on every protocol and topic is refused and counted, while another peer is served."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from libp2p.bitswap.pb.bitswap_pb2 import Message as BitswapMessage
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX

from identity.cid import Cid
from identity.multibase import CODEC_RAW, encode_varint
from node.net import bitswap_wire
from node.net.gossip_router import PROTOCOL as MESHSUB
from node.net.settings import NetSettings
from protocols import limits
from protocols.framing import encode_frame
from protocols.jsonguard import parse_json
from tests.node.net.raw import as_raw_peer, in_order, throwing
from tests.node.net.support import TOPIC, Blocks, Inbox, new_keys, real, real_with, until

pytestmark = pytest.mark.slow

PROTOCOL = "/pagi/test-json/1.0"
NESTED = b"[" * 10_000 + b"]" * 10_000
TEN_MB = 10 * 1024 * 1024


async def read_json(peer: str, payload: bytes) -> bytes:
    parse_json(payload, max_bytes=limits.MAX_DIDCOMM_BYTES, max_depth=limits.MAX_JSON_DEPTH)
    return b"taken"


def signed(topic: str, data: bytes, *, number: int = 1) -> Any:
    """A gossip message of a new author, as it should be."""
    keys = create_new_key_pair()
    author = ID.from_pubkey(keys.public_key)
    message = rpc_pb2.Message(data=data, topicIDs=[topic], from_id=author.to_bytes(), seqno=number.to_bytes(8, "big"))
    message.signature = keys.private_key.sign(PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString())
    message.key = keys.public_key.serialize()
    return message


def rpc(*messages: Any) -> bytes:
    return encode_frame(rpc_pb2.RPC(publish=list(messages)).SerializeToString())


async def while_another_is_served(attack: Callable[[Any], Awaitable[None]]) -> None:
    """Run an attack on a network that serves and gossips; another peer's requests and messages must get through."""
    inbox = Inbox()
    async with real() as victim, real() as friend:
        await victim.subscribe(TOPIC, inbox)
        await friend.subscribe(TOPIC, Inbox())
        await victim.serve(PROTOCOL, read_json, max_request_bytes=65536, max_in_flight_per_peer=8)
        await friend.dial(victim.addresses()[0])
        attacking = asyncio.ensure_future(attack(victim))
        served = 0
        while not attacking.done() or not served:
            assert await friend.request(victim.peer_id, PROTOCOL, b"{}") == b"taken"
            served += 1
        await attacking
        await friend.publish(TOPIC, b"still here")
        while (await inbox.next()).data != b"still here":
            pass
        assert victim.alive
        assert "restarts" not in victim.counters()


def test_a_request_protocol() -> None:
    writes = [
        os.urandom(65536),
        b"\xff" * 64,
        encode_varint(100) + b"cut short",
        encode_varint(TEN_MB) + bytes(TEN_MB),
        encode_frame(NESTED),
        b"",
    ]

    async def attack(victim: Any) -> None:
        await as_raw_peer(victim.addresses()[0], throwing(PROTOCOL, writes))
        await until(victim, "frames_refused", 3)
        await until(victim, "requests_failed", 1)

    asyncio.run(while_another_is_served(attack))


def test_bitswap() -> None:
    many = BitswapMessage()
    for number in range(bitswap_wire.MAX_WANTS + 1):
        many.wantlist.entries.add(block=bytes(Cid.of(CODEC_RAW, b"%d" % number)))
    unsolicited = BitswapMessage()
    unsolicited.payload.add(prefix=b"\x01\x55\x12\x20", data=b"nobody asked")
    unsolicited.blocks.append(b"nor for this")
    odd = BitswapMessage()
    odd.wantlist.entries.add(block=b"not a cid", sendDontHave=True)
    writes = [
        os.urandom(65536),
        encode_varint(100) + b"cut short",
        encode_varint(TEN_MB) + bytes(TEN_MB),
        encode_frame(NESTED),
        encode_frame(many.SerializeToString()),
        encode_frame(unsolicited.SerializeToString()),
        encode_frame(odd.SerializeToString()),
    ]

    async def attack(victim: Any) -> None:
        await as_raw_peer(victim.addresses()[0], throwing(bitswap_wire.PROTOCOL, writes))
        await until(victim, "frames_refused", 2)  # the ten megabytes and the nested one, if not the random one as well
        await until(victim, "bitswap_wants_refused", 2)
        await until(victim, "bitswap_blocks_unsolicited", 2)

    asyncio.run(while_another_is_served(attack))


def test_gossip() -> None:
    good = signed(TOPIC, b"good")
    forged = signed(TOPIC, b"forged")
    forged.data = b"changed"
    unsigned = signed(TOPIC, b"unsigned")
    unsigned.signature = b""
    keyless = signed(TOPIC, b"keyless")
    keyless.from_id, keyless.key = os.urandom(34), os.urandom(40)
    nobody = signed(TOPIC, b"nobody")
    nobody.from_id = b""
    elsewhere = signed("pagi-elsewhere", b"no subscriber")
    nowhere = signed(TOPIC, b"two topics")
    nowhere.topicIDs.append(TOPIC)
    huge = signed(TOPIC, bytes(limits.MAX_GOSSIP_BYTES + 1))
    topic_text = rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid="other-" + "x" * 9000)])
    control = rpc_pb2.RPC()
    control.control.prune.add(topicID=TOPIC, peers=[rpc_pb2.PeerInfo(peerID=os.urandom(38))], backoff=2**40)
    control.control.prune.add(topicID="unknown")
    control.control.graft.add(topicID="unknown")
    control.control.iwant.add(messageIDs=[b"id"] * 10_000)
    control.control.ihave.add(topicID=TOPIC, messageIDs=[os.urandom(8) for _ in range(10_000)])
    writes = [
        os.urandom(65536),
        encode_varint(100) + b"cut short",
        encode_varint(TEN_MB) + bytes(TEN_MB),
        encode_frame(NESTED),
        rpc(good, good, forged, unsigned, keyless, nobody, elsewhere, nowhere),
        rpc(huge),
        encode_frame(topic_text.SerializeToString()),
        encode_frame(control.SerializeToString()),
        encode_frame(rpc_pb2.RPC(senderRecord=os.urandom(100)).SerializeToString()),
    ]

    async def attack(victim: Any) -> None:
        await as_raw_peer(victim.addresses()[0], throwing(MESHSUB, writes))
        await until(victim, "gossip_refused_garbage", 2)
        await until(victim, "gossip_refused_signature", 4)
        await until(victim, "gossip_refused_topic", 3)
        await until(victim, "gossip_refused_size", 1)
        await until(victim, "gossip_duplicates", 1)

    asyncio.run(while_another_is_served(attack))


def test_the_librarys_own_protocols() -> None:
    names = ["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"]
    writes = [os.urandom(65536), b"\xff" * 64, encode_varint(TEN_MB) + bytes(200_000), encode_frame(NESTED)]

    async def attack(victim: Any) -> None:
        await as_raw_peer(victim.addresses()[0], in_order([throwing(name, writes) for name in names]))

    asyncio.run(while_another_is_served(attack))


def test_a_flooding_author_is_throttled_and_others_are_heard() -> None:
    keys = new_keys()
    slow = NetSettings(gossip_rate_per_s=1, gossip_burst=5)
    fast = NetSettings(gossip_rate_per_s=1e6, gossip_burst=1e6)

    async def main() -> None:
        inbox = Inbox()
        async with real_with(slow) as victim, real_with(fast, keys) as flooder, real_with(fast) as friend:
            await victim.subscribe(TOPIC, inbox)
            for peer in (flooder, friend):
                await peer.subscribe(TOPIC, Inbox())
                await peer.dial(victim.addresses()[0])
            for number in range(200):
                await flooder.publish(TOPIC, b"flood %d" % number)
            await friend.publish(TOPIC, b"calm")
            heard = []
            while b"calm" not in heard:
                heard.append((await inbox.next()).data)
            counters = victim.counters()
            assert counters.get("gossip_refused_rate", 0) + counters.get("gossip_refused_flood", 0) > 0
            assert len(heard) < 100

    asyncio.run(main())


def test_a_block_with_another_hash_is_not_taken() -> None:
    class Liar(Blocks):
        def get(self, cid: Cid, default: Any = None) -> bytes:
            return b"something else"

    wanted = Cid.of(CODEC_RAW, b"what I want")

    async def main() -> None:
        honest = Blocks()
        honest.put(b"what I want")
        async with real() as one, real(blocks=Liar()) as liar, real(blocks=honest) as owner:
            await one.dial(liar.addresses()[0])
            await one.dial(owner.addresses()[0])
            block = await one.fetch_block(wanted, [liar.peer_id, owner.peer_id], timeout_s=2)
            assert block == b"what I want", "the liar cost its share of the time only"
            assert one.counters()["bitswap_blocks_unsolicited"] == 1

    asyncio.run(main())
