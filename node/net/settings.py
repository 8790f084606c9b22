"""What a network can be told when it is opened."""

from dataclasses import dataclass
from typing import Literal

from protocols import limits


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSettings:
    """The choices of one network; every default suits a twin.

    `gossip_forwarder` makes a relay: it subscribes to each topic that a peer subscribes to (with `topic_prefix`, at
    most `max_topics`), so that peers without a direct link hear each other. A DHT `client` asks, a `server` also keeps
    records for others. Times are in seconds.
    """

    gossip_forwarder: bool = False
    topic_prefix: str = "pagi-"
    max_topics: int = 1024
    gossip_rate_per_s: float = limits.GOSSIP_RATE_PER_S
    gossip_burst: float = limits.GOSSIP_BURST
    publish_timeout_s: float = 10.0
    first_subscriber_s: float = 2.0
    max_connections: int = 300
    ping_interval_s: float = 5.0
    ping_timeout_s: float = 5.0
    announce_interval_s: float = 10.0
    redial_first_s: float = 1.0
    redial_max_s: float = 30.0
    dht: Literal["off", "client", "server"] = "client"
    mdns: bool = False
