"""Gossip in and out: what is refused, what is dropped and counted, and backpressure for those who publish.

Runs on the trio side. The library's Pubsub is kept for streams, hello and topic bookkeeping; reading, checking and
writing are ours: its reader takes one byte at a time, lets a malformed signature end the whole service, and
verifies one more signature for each message than the protocol has.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import trio
from google.protobuf.message import DecodeError
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX, Pubsub
from libp2p.pubsub.validators import signature_validator

from node.net import patches
from node.net.counters import Counters
from node.net.errors import PublishTimeout
from node.net.gossip_router import MAX_WANTED_IDS, GossipRouter
from node.net.settings import NetSettings
from node.net.streams import FrameReader, Inflow
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.framing import encode_frame
from protocols.ratelimit import KeyedBuckets

MAX_RPC_BYTES: Final = 1024 * 1024
"""A gossip frame; every implementation drops larger ones."""

MAX_QUEUED: Final = 1024
"""Frames that wait for one peer; further ones are dropped and counted."""

BUSY_QUEUE: Final = 24
"""Frames that wait for one peer before publishing waits for it."""

STALLED_S: Final = 2.0
"""A peer that took nothing for so long is not waited for: it must not hold up what others would take."""

MAX_BACKLOG: Final = 8192
"""Messages that wait for the asyncio side before further ones are dropped and counted."""

NEIGHBOUR_FACTOR: Final = 20
"""How many times an author's rate one neighbour may bring: a relay passes on what many authors publish."""

FLOOD_PAUSE_S: Final = 0.1
"""How long a neighbour that brings too much is not read from. Its stream's window then holds it back."""

MAX_TOPIC_CHARS: Final = 256
"""A topic's name; a playbook's topic is its longest use."""

MAX_STREAMS: Final = 4
"""Streams on which one neighbour may gossip at once: one on each connection, and the old ones while they end."""

_BATCH_BYTES: Final = 60 * 1024

Deliver = Callable[[str, bytes, str], None]
"""Takes a message that passed: topic, data, the neighbour's peer ID."""


class Gossip(Pubsub):  # type: ignore[misc] # the library is not typed for us
    """Gossipsub over `host`. `deliver` must not block; `backlog` says how much it has not passed on yet."""

    def __init__(
        self,
        host: Any,
        settings: NetSettings,
        inflow: Inflow,
        counters: Counters,
        deliver: Deliver,
        backlog: Callable[[], int],
    ) -> None:
        super().__init__(host, GossipRouter(), strict_signing=True, max_subscriptions_per_peer=settings.max_topics)
        patches.count_from_now(self)
        self._settings = settings
        self._inflow = inflow
        self._counters = counters
        self._deliver = deliver
        self._backlog = backlog
        rate, burst = settings.gossip_rate_per_s, settings.gossip_burst
        self._burst = burst * NEIGHBOUR_FACTOR
        self._authors = KeyedBuckets(rate, burst, limits.MAX_RATED_KEYS)
        self._neighbours = KeyedBuckets(rate * NEIGHBOUR_FACTOR, burst * NEIGHBOUR_FACTOR, limits.MAX_RATED_KEYS)
        self._frames = KeyedBuckets(rate * NEIGHBOUR_FACTOR, burst * NEIGHBOUR_FACTOR, limits.MAX_RATED_KEYS)
        self._reading: Counter[ID] = Counter()
        self._greeted: set[ID] = set()
        self._changed = trio.Event()  # replaced whenever it is set: a queue moved on, or a peer told its topics
        self._moved_at: dict[ID, float] = {}
        self._publishing = trio.Lock()

    # Publishing

    async def publish_message(self, topic: str, data: bytes) -> None:
        """Publish, waiting while peers cannot take more. Raises PublishTimeout."""
        async with self._publishing:
            await self._wait_for_a_listener(topic)
            with trio.move_on_after(self._settings.publish_timeout_s) as scope:
                while self._is_busy():
                    with trio.move_on_after(STALLED_S / 10):
                        await self._changed.wait()
            if scope.cancelled_caught:
                raise PublishTimeout("the peers did not take what was published before")
            if not self.peer_topics.get(topic):
                self._counters.add("gossip_unheard")
            self._counters.add("gossip_published")
            await self.push_msg(self.my_id, self._signed(topic, data))

    def _signed(self, topic: str, data: bytes) -> Any:
        message = rpc_pb2.Message(data=data, topicIDs=[topic], from_id=self.my_id.to_bytes(), seqno=self._next_seqno())
        assert self.sign_key is not None
        message.signature = self.sign_key.sign(PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString())
        message.key = self.host.get_public_key().serialize()
        return message

    async def _wait_for_a_listener(self, topic: str) -> None:
        """Wait until a peer listens to this topic, but no longer than some peer has not told its topics yet."""
        with trio.move_on_after(self._settings.first_subscriber_s):
            while not self.peer_topics.get(topic) and any(
                peer not in self._greeted for peer in self.host.get_connected_peers()
            ):
                await self._changed.wait()

    def _is_busy(self) -> bool:
        now = trio.current_time()
        return any(
            len(queue) > BUSY_QUEUE and now - self._moved_at.get(peer, now) < STALLED_S
            for peer, queue in self.peer_queues.items()
        )

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # Streams

    async def _handle_new_peer(self, peer_id: ID) -> None:
        """Open our stream to a peer. The library tries again after a SwarmException only; on a connection that is
        just going away opening fails in other ways, and the peer would never hear from us on its new connection."""
        try:
            await super()._handle_new_peer(peer_id)
        except BaseLibp2pError as error:
            raise SwarmException(f"no gossip stream to {peer_id}") from error
        queue = self.peer_queues.get(peer_id)
        if queue is not None and "push" not in vars(queue):
            self._moved_at[peer_id] = trio.current_time()
            patches.widen_queue(queue, MAX_QUEUED, lambda: self._counters.add("gossip_dropped_peer_queue"))
            for topic in self._topics_of(peer_id):
                await self.router.on_peer_subscribed(peer_id, topic)

    async def write_msg(self, stream: Any, rpc_msg: Any) -> bool:
        """Queue a frame. The library writes replayed messages past the queue; two writers of one stream may mix
        their bytes."""
        queue = self.peer_queues.get(stream.muxed_conn.peer_id)
        return queue is not None and bool(queue.push(rpc_msg))

    async def handle_sending_messages(self, peer_id: ID, stream: Any, queue: Any) -> None:
        """Write what waits for a peer, many frames in one write.

        Frames that a broken stream leaves behind are counted; those of the last seconds are replayed on the next.
        """
        frames: list[bytes] = []
        try:
            while (rpc := await queue.pop()) is not None:
                frames = [encode_frame(rpc.SerializeToString())]
                size = len(frames[0])
                while len(queue) and size < _BATCH_BYTES:
                    frames.append(encode_frame(queue._queue.pop().SerializeToString()))
                    size += len(frames[-1])
                await stream.write(b"".join(frames))
                self._moved_at[peer_id] = trio.current_time()
                self._tell_change()
        except (StreamError, ValueError):
            self._counters.add("gossip_unsent", len(frames) + len(queue))
            self._handle_dead_peer(peer_id)

    def renew_stream(self, peer_id: ID, gone: Any) -> None:
        """Open a new stream to a peer whose old one was on a connection that is gone, while it has another.

        The library keeps the old stream as long as any connection to the peer lives.
        """
        stream = self.peers.get(peer_id)
        if stream is not None and stream.muxed_conn is gone.muxed_conn:
            self._handle_dead_peer(peer_id)

    def _topics_of(self, peer_id: ID) -> list[str]:
        return [topic for topic, peers in self.peer_topics.items() if peer_id in peers]

    def _handle_dead_peer(self, peer_id: ID) -> None:
        """Forget a peer's stream; the library then opens a new one if the peer is still connected.

        Its topics are kept in that case, which the library does not: the peer has told them and does not know that
        it should tell them again, so it would hear nothing.
        """
        topics = self._topics_of(peer_id) if self._peer_is_connected(peer_id) else []
        super()._handle_dead_peer(peer_id)
        for topic in topics:
            self.peer_topics.setdefault(topic, set()).add(peer_id)
        if topics:
            self._peer_subscription_count[peer_id] = len(topics)
        if peer_id not in self.peer_queues:
            self._moved_at.pop(peer_id, None)
        self._tell_change()

    def forget_peer(self, peer_id: ID) -> None:
        """Forget what is kept of a peer whose last connection is gone."""
        self._greeted.discard(peer_id)
        self._moved_at.pop(peer_id, None)
        self._tell_change()

    async def stream_handler(self, stream: Any) -> None:
        """Read a neighbour's frames until its stream ends; one that cannot be read resets the stream."""
        peer_id = stream.muxed_conn.peer_id
        if self._reading[peer_id] >= MAX_STREAMS:
            self._counters.add("streams_refused")
            await stream.reset()
            return
        self._reading[peer_id] += 1
        try:
            with FrameReader(stream, self._inflow, MAX_RPC_BYTES, idle_s=math.inf) as frames:
                while True:
                    flooded = self._counters["gossip_refused_flood"]
                    for frame in await frames.read():
                        await self._take(peer_id, rpc_pb2.RPC.FromString(frame))
                    if self._counters["gossip_refused_flood"] > flooded:
                        await trio.sleep(FLOOD_PAUSE_S)
        except (RemoteProtocolError, DecodeError):
            self._counters.add("gossip_refused_garbage")
            await stream.reset()
        except (StreamError, trio.TooSlowError):
            await stream.reset()
        finally:
            self._reading[peer_id] -= 1
            if not self._reading[peer_id]:
                del self._reading[peer_id]

    async def _pace(self, peer_id: ID, rpc: Any) -> None:
        """Wait while this neighbour sends more frames, or asks for more, than so many messages could take."""
        cost = 1 + min(MAX_WANTED_IDS, sum(len(iwant.messageIDs) for iwant in rpc.control.iwant))
        while not self._frames.allow(peer_id, trio.current_time(), min(cost, self._burst)):
            self._counters.add("gossip_paced")
            await trio.sleep(FLOOD_PAUSE_S)

    async def _take(self, peer_id: ID, rpc: Any) -> None:
        await self._pace(peer_id, rpc)
        for message in rpc.publish:
            await self.push_msg(peer_id, message)
        for subscription in rpc.subscriptions[: self.max_subscriptions_per_rpc]:
            self.handle_subscription(peer_id, subscription)
        if rpc.HasField("control"):
            await self.router.handle_rpc(rpc, peer_id)
        if peer_id not in self._greeted:
            self._greeted.add(peer_id)
            self._tell_change()

    def handle_subscription(self, origin_id: ID, sub_message: Any) -> None:
        """Note that a peer listens to a topic of ours; a forwarder begins to listen to it as well."""
        topic = sub_message.topicid
        if not topic.startswith(self._settings.topic_prefix) or len(topic) > MAX_TOPIC_CHARS:
            self._counters.add("gossip_refused_topic")
            return
        super().handle_subscription(origin_id, sub_message)
        wanted = self._settings.gossip_forwarder and sub_message.subscribe and topic not in self.topic_ids
        if wanted and len(self.topic_ids) < self._settings.max_topics:
            self.manager.run_task(self.subscribe, topic)
        self._tell_change()

    # Messages

    async def push_msg(self, msg_forwarder: ID, msg: Any) -> None:
        """Check one message, deliver it and send it on. Ours are sent without being delivered to ourselves."""
        ours = msg_forwarder == self.my_id
        if not ours:
            refusal = self._refusal(msg_forwarder, msg)
            if refusal is not None:
                self._counters.add(refusal)
                return
        self._mark_msg_seen(msg)
        if not ours:
            self._counters.add("gossip_received")
            if self._backlog() < MAX_BACKLOG:
                self._deliver(msg.topicIDs[0], msg.data, msg_forwarder.to_base58())
            else:
                self._counters.add("gossip_dropped_backlog")
        await self.router.publish(msg_forwarder, msg)

    def _refusal(self, neighbour: ID, msg: Any) -> str | None:
        """The counter under which a neighbour's message is refused, or None. The cheap checks come first."""
        now = trio.current_time()
        if not self._neighbours.allow(neighbour, now):
            return "gossip_refused_flood"
        if len(msg.topicIDs) != 1 or msg.topicIDs[0] not in self.topic_ids:
            return "gossip_refused_topic"
        if len(msg.data) > limits.MAX_GOSSIP_BYTES or len(msg.seqno) != 8 or len(msg.from_id) > 64 or len(msg.key) > 64:
            return "gossip_refused_size"
        if self._is_msg_seen(msg):
            return "gossip_duplicates"
        if msg.from_id == self.my_id.to_bytes():
            return "gossip_refused_own"
        if not _is_signed(msg):
            return "gossip_refused_signature"
        if not self._authors.allow(msg.from_id, now):
            self._mark_msg_seen(msg)
            return "gossip_refused_rate"
        return None

    def notify_subscriptions(self, publish_message: Any) -> None:
        """Nothing: messages are delivered by `push_msg`, not by the library's channels of 32."""


def _is_signed(msg: Any) -> bool:
    try:
        return bool(signature_validator(msg))
    except Exception:  # noqa: BLE001 - the library lets whatever a malformed key provokes through
        return False
