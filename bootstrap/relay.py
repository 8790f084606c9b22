"""The relay's composition root: the network port, gossip, and the newest signed messages on disk.

A relay forwards gossip between twins that have no direct link, and answers `/pagi/sync/1.0` with the announcements
that it holds, so that twins which know only the relay find each other. It verifies what it keeps and can read nothing
private.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from node.gossip import Gossip
from node.net.libp2p_network import open_network
from node.net.port import Network
from node.net.settings import NetSettings
from protocols.playbook.messages import topic_of
from protocols.swarm import TOPIC
from storage.database import Database
from storage.home import Home

KEPT_PLAYBOOKS: Final = ("common",)
"""Playbooks whose heads are kept for latecomers; the gossip of every other one is forwarded all the same."""

SYNC_EVERY_S: Final = 60.0


class NoBlocks:
    """A relay stores no content for others."""

    def get(self, cid: Cid) -> bytes | None:
        return None

    def has(self, cid: Cid) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Relay:
    """A running relay."""

    did: Did
    network: Network
    gossip: Gossip


@asynccontextmanager
async def open_relay(home: Home, keys: KeyPair, *, listen: Sequence[str]) -> AsyncIterator[Relay]:
    """Run a relay from its home, whose lock the caller holds. Raises StorageError or NetError."""
    async with (
        Database.open(home.node_db) as database,
        open_network(keys, listen=listen, blocks=NoBlocks(), settings=NetSettings(gossip_forwarder=True)) as network,
    ):
        gossip = Gossip(keys=keys, network=network, database=database, sync_every_s=SYNC_EVERY_S)
        for topic in (TOPIC, *(topic_of(name) for name in KEPT_PLAYBOOKS)):
            await gossip.join(topic)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(gossip.run())
            try:
                yield Relay(did_key(keys.public), network, gossip)
            finally:
                running.cancel()
