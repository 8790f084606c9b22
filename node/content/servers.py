"""Which of the DHT servers that are connected have not been told yet.

A server keeps its records in memory: one that went away, however shortly, is new when it is back.
"""

from collections.abc import Collection

from identity.did import PeerId
from node.net.port import Network, PeerDisconnected


class Told:
    """The servers that were told everything and have been connected ever since."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._told: set[PeerId] = set()

    async def watch(self) -> None:
        """Forget those that go, until cancelled."""
        async for event in self._network.peer_events():
            if isinstance(event, PeerDisconnected):
                self._told.discard(event.peer_id)

    def all_of(self, servers: Collection[PeerId]) -> bool:
        """Whether there is none among them that was not told."""
        return self._told.issuperset(servers)

    def note(self, servers: Collection[PeerId]) -> None:
        """They are told now, or will be."""
        self._told.update(servers)
