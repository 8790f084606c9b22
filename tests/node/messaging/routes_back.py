"""A connection that somebody keeps open for us, in memory."""

import asyncio

from node.net.errors import RemoteUnavailable


class FakeBack:
    """Takes what is sent over it; `end` closes it."""

    name = "fake"

    def __init__(self) -> None:
        self.closed = False
        self.kept = False
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()

    def keep(self) -> None:
        self.kept = True

    def end(self) -> None:
        self.closed = True

    async def send(self, packed: bytes) -> None:
        if self.closed:
            raise RemoteUnavailable("closed")
        self.sent.put_nowait(packed)
