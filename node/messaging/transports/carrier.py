"""What delivery needs of a carrier, and what a carrier hands back."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from node.messaging.routes import Route
from node.messaging.source import Source

logger = logging.getLogger(__name__)

SEND_S: Final = 10.0
"""How long one message may take on its way: the other side stores it before it answers."""

OPEN_S: Final = 5.0
"""How long a connection may take: other ways wait behind it."""

OnReply = Callable[[Route, bytes], Awaitable[None]]
"""Takes in a packed message that came back on a way that we opened (DIDComm v2.1, "Return Route")."""


def contained(on_reply: OnReply) -> OnReply:
    """`on_reply` whose defects stay its own: whom we wrote to can trigger them, and must not stop the whole node."""

    async def take(route: Route, packed: bytes) -> None:
        try:
            await on_reply(route, packed)
        except Exception:
            logger.exception("a message that came back by %s could not be taken in", route)

    return take


def source_of_reply(route: Route) -> Source:
    """Where such a message came from. What it is rated by is the place that we chose to connect to."""
    return Source("websocket" if route.transport == "websocket" else "http", str(route))


class Carrier(Protocol):
    """Brings packed messages along one kind of route."""

    async def run(self) -> None:
        """What has to run in the background, until cancelled; a carrier that needs nothing returns at once."""

    async def open(self, route: Route) -> None:
        """Make sure that there is a connection, where the route needs one. Raises NetError."""

    async def send(self, route: Route, packed: bytes, *, thread: str) -> bytes:
        """Bring one message to the route's end: ACCEPTED, REFUSED, or anything else for later. Raises NetError.

        What ACCEPTED means, `Route.confirms` says. After an error it is unknown whether the message arrived.
        """
