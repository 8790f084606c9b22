"""The gossipsub router with the parameters that lose nothing silently, and a filter on control messages.

Runs on the trio side. Gossipsub v1.1: https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.1.md
"""

import random
from collections.abc import Iterable
from typing import Any, Final

from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.score import ScoreParams, TopicScoreParams

PROTOCOL: Final = "/meshsub/1.1.0"

MAX_WANTED_IDS: Final = 256
"""Message ids taken from one control message. Each id of an IWANT is answered by a message of up to 64 KiB, and
the library answers an id that is named a thousand times a thousand times."""


class GossipRouter(GossipSub):  # type: ignore[misc] # the library is not typed for us
    """Gossipsub with a heartbeat of one second, without the library's silent rate limit of 10 messages a second."""

    def __init__(self) -> None:
        # The weight of p4 is positive: the library subtracts it.
        invalid = TopicScoreParams(weight=1.0, cap=100.0, decay=0.9)
        super().__init__(
            protocols=[PROTOCOL],
            degree=6,
            degree_low=4,
            degree_high=12,
            heartbeat_interval=1,
            score_params=ScoreParams(p4_invalid_messages=invalid),
            spam_protection_enabled=False,
            max_messages_per_topic_per_second=1e9,
            adaptive_gossip_enabled=False,
            eclipse_protection_enabled=False,
        )

    def _get_peers_to_send(
        self, topic_ids: Iterable[str], msg_forwarder: Any, origin: Any, msg_id: bytes | None = None
    ) -> Iterable[Any]:
        """The mesh; and all subscribers for a message of our own (flood publishing, gossipsub v1.1), or some while
        the mesh is thin. A peer that has just come is in the mesh only after a moment, and what is sent in that
        moment would never reach it: the heartbeat announces messages to those outside the mesh alone."""
        chosen = set(super()._get_peers_to_send(topic_ids, msg_forwarder, origin, msg_id))
        for topic in topic_ids:
            others = [peer for peer in self.pubsub.peer_topics.get(topic, ()) if peer not in (msg_forwarder, origin)]
            if origin == self.pubsub.my_id:
                chosen.update(others)
            elif len(self.mesh.get(topic, ())) < self.degree_low:
                chosen.update(random.sample(others, min(len(others), self.degree)))
        return chosen

    async def handle_rpc(self, rpc: Any, sender_peer_id: Any) -> None:
        """Handle the control messages that concern topics we are in; the others only cost memory.

        Peers that a PRUNE recommends are left out: the library would dial whatever addresses a peer names.
        """
        given = rpc.control
        control = rpc_pb2.ControlMessage()
        for ihave in given.ihave:
            if ihave.topicID in self.mesh:
                control.ihave.add(topicID=ihave.topicID, messageIDs=ihave.messageIDs[:MAX_WANTED_IDS])
        wanted = {wanted_id for iwant in given.iwant for wanted_id in iwant.messageIDs[:MAX_WANTED_IDS]}
        if wanted:
            control.iwant.add(messageIDs=sorted(wanted)[:MAX_WANTED_IDS])
        control.graft.extend(graft for graft in given.graft if graft.topicID in self.mesh)
        for prune in given.prune:
            if prune.topicID in self.mesh:
                control.prune.add(topicID=prune.topicID, backoff=min(prune.backoff, 3600))
        await super().handle_rpc(rpc_pb2.RPC(control=control), sender_peer_id)
