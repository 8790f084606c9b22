"""Over a connection that the recipient opened to us and keeps open for replies."""

from node.messaging.live import LiveRoutes
from node.messaging.routes import Route
from node.messaging.source import ACCEPTED
from node.net.errors import RemoteUnavailable


class BackCarrier:
    """Writes into open HTTP responses and WebSockets. Nothing there says that a message arrived."""

    def __init__(self, live: LiveRoutes) -> None:
        self._live = live

    async def run(self) -> None:
        """Nothing runs in the background."""

    async def open(self, route: Route) -> None:
        """There is nothing to open: only the recipient can."""

    async def send(self, route: Route, packed: bytes, *, thread: str) -> bytes:
        """ACCEPTED once it is written."""
        live = self._live.of(route.peer, thread)
        if live is None:
            raise RemoteUnavailable("the recipient keeps no connection open for messages of this thread")
        await live.send(packed)
        return ACCEPTED
