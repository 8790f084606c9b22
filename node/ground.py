"""What nearly every part of a twin stands on, for the functions that put parts together.

A part itself never gets this: each is given by name what it uses.
"""

from dataclasses import dataclass

from identity.resolver import Resolver
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.events import EventBus
from node.net.port import Network
from node.trust import TrustList
from storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Who we are, whom we trust, the disk, the network and the clock."""

    own: OwnDids
    resolver: Resolver
    database: Database
    events: EventBus
    network: Network
    trust: TrustList
    now: NowMs = now_ms
