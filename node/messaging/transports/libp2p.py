"""Over libp2p: one frame to the peer, one byte back once the message is on its disk."""

from identity.did import peer_id_of_did
from node.messaging.routes import Route
from node.messaging.source import PROTOCOL
from node.messaging.transports.carrier import OPEN_S, SEND_S
from node.net.port import Network


class Libp2pCarrier:
    """Brings messages to twins and relays that are connected, and dials those that are not."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def run(self) -> None:
        """Nothing runs in the background."""

    async def open(self, route: Route) -> None:
        """Dial, unless the peer is connected. A recipient stays a target; a mediator is called as mail needs it."""
        peer = peer_id_of_did(route.peer)
        if route.address and not any(info.peer_id == peer for info in self._network.peers()):
            await self._network.dial(route.address, timeout_s=OPEN_S, keep=route.direct)

    async def send(self, route: Route, packed: bytes, *, thread: str) -> bytes:
        """The peer's own answer."""
        return await self._network.request(peer_id_of_did(route.peer), PROTOCOL, packed, timeout_s=SEND_S)
