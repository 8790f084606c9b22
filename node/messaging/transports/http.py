"""Over HTTP: one POST for each message (DIDComm v2.1, "HTTPS")."""

from typing import Final

from node.http.outside import Outside
from node.messaging.routes import Route
from node.messaging.source import ACCEPTED, REFUSED, TRY_LATER
from node.messaging.transports.carrier import SEND_S, OnReply
from protocols import limits
from protocols.didcomm.envelope import ENCRYPTED

_REFUSALS: Final = frozenset({400, 403, 404, 410, 413, 415})
"""What will be answered the same way the next time."""


class HttpCarrier:
    """Posts messages to URLs. A body in the reply is a message to us, and is handed to `on_reply`."""

    def __init__(self, outside: Outside, on_reply: OnReply) -> None:
        self._outside = outside
        self._on_reply = on_reply

    async def run(self) -> None:
        """Nothing runs in the background."""

    async def open(self, route: Route) -> None:
        """Connections are made and kept by the client."""

    async def send(self, route: Route, packed: bytes, *, thread: str) -> bytes:
        """What the status says: any 2xx is ACCEPTED."""
        reply = await self._outside.post(
            route.address,
            packed,
            content_type=ENCRYPTED,
            max_reply_bytes=limits.MAX_DIDCOMM_BYTES,
            timeout_s=SEND_S,
        )
        if not 200 <= reply.status < 300:
            return REFUSED if reply.status in _REFUSALS else TRY_LATER
        if reply.body and reply.content_type.partition(";")[0].strip().lower() == ENCRYPTED:
            await self._on_reply(route, reply.body)
        return ACCEPTED
