"""A running twin: its parts by name, for the interface over it and for tests, and how they are."""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from identity.did import Did, DidDocument, PeerId
from identity.resolver import Resolver
from node import __version__
from node.content.content import Content
from node.content.hosting import Hosting
from node.content.remote_pins import RemotePins
from node.content.routing import Routing
from node.credentials.service import Credentials
from node.dids.own import OwnDids
from node.dids.rotation_news import RotationNews
from node.dids.second_copy import SecondCopy
from node.dids.succession import Successions
from node.events import EventBus
from node.gossip import Gossip
from node.hive.git.sync import GitSync
from node.hive.hive import Hive
from node.http.outside import Outside
from node.http.public import Handler as PublicHandler
from node.inference.assembly import Inference
from node.inference.gateway import Gateway
from node.inference.local import LocalModel
from node.inference.model_parts import LocalModels
from node.memory.assembly import MemoryParts
from node.memory.documents.documents import Documents
from node.memory.memory import Memory
from node.messaging.assembly import Messaging
from node.messaging.mediation import Mediation
from node.messaging.post_office import PostOffice
from node.mind.assembly import MindParts
from node.mind.executive import Executive
from node.mind.jobs.approvals import Approvals
from node.mind.jobs.jobs import Jobs
from node.mind.learning.learning import Learning
from node.net.port import Network
from node.reputation.attestations import Attestations
from node.reputation.reputation import Reputation
from node.supervisor import Part
from node.swarm import CAPABILITIES, Directory
from node.tasks.tasks import Tasks
from node.trust import TrustList
from plugins.host import PluginHost
from storage.database import Database
from storage.home import Home

logger = logging.getLogger(__name__)

LEAST_FREE_BYTES: Final = 16 * 1024**2
"""With less free on the home's disk any write may be the one that fails."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of `GET /ready`. `degraded` is what works, but not as the owner would have it."""

    ok: bool
    detail: str
    degraded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A running twin: its parts, for the API and for tests."""

    did: Did
    own: OwnDids
    outside: Outside
    resolver: Resolver
    peer_id: PeerId
    name: str
    home: Home
    database: Database
    network: Network
    gossip: Gossip
    directory: Directory
    successions: Successions
    rotation_news: RotationNews
    second_copy: SecondCopy
    messaging: Messaging
    mediation: Mediation
    credentials: Credentials
    hive: Hive
    git: GitSync
    memory: Memory
    remembering: MemoryParts
    documents: Documents
    mind: MindParts
    executive: Executive
    approvals: Approvals
    learning: Learning
    jobs: Jobs
    trust: TrustList
    reputation: Reputation
    attestations: Attestations
    content: Content
    content_parts: Sequence[Part]
    hosting: Hosting
    remote_pins: RemotePins
    routing: Routing
    tasks: Tasks
    tools: PluginHost
    events: EventBus
    model: LocalModel
    models: LocalModels
    inference: Inference
    sign: Callable[[bytes], bytes]
    part_counters: Sequence[Counter[str]]
    public_routes: Sequence[tuple[str, str, PublicHandler]] = ()
    version: str = __version__
    capabilities: tuple[str, ...] = CAPABILITIES
    resting: dict[str, str] = field(default_factory=dict)

    @property
    def gateway(self) -> Gateway:
        """Every model that may be asked: the providers of the owner, and the local one last."""
        return self.inference.gateway

    @property
    def mail(self) -> PostOffice:
        """The inbox, the outbox and who acts on what comes."""
        return self.messaging.mail

    def document(self) -> DidDocument:
        """This twin's DID document."""
        return self.own.document()

    def health(self) -> dict[str, Check]:
        """What `GET /ready` reports. Having no model is a degraded mode, not a failure."""
        if self.gateway.loading:
            model = Check(True, "loading")
        elif self.gateway.reason is not None:
            model = Check(True, f"degraded: {self.gateway.reason}", degraded=True)
        else:
            model = Check(True, self.gateway.name)
        peers = len(self.network.peers())
        network = Check(True, f"{peers} peers") if self.network.alive else Check(False, "libp2p is being restarted")
        copied = self.second_copy.reason
        identity = Check(True, f"degraded: {copied}", degraded=True) if copied else Check(True, self.did)
        checks = {"network": network, "storage": self._storage_health(), "model": model, "identity": identity}
        if (trouble := self.git.health) is not None:
            checks["git"] = Check(True, f"degraded: {trouble}", degraded=True) if trouble else Check(True, "in step")
        return checks

    def _storage_health(self) -> Check:
        free_bytes = shutil.disk_usage(self.home.path).free
        if self.resting:
            return Check(False, "; ".join(f"{part} rests: {reason}" for part, reason in self.resting.items()))
        return Check(free_bytes >= LEAST_FREE_BYTES, f"{free_bytes >> 20} MiB free")

    def counters(self) -> Mapping[str, int]:
        """Every count since the start, for `GET /metrics`."""
        total: Counter[str] = Counter()
        for part in (self.network.counters(), self.database.counters(), *self.part_counters):
            total.update(part)
        return total
