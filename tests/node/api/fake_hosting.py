"""What others keep for the fake twin, and what it keeps for others, in memory."""

from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_RAW
from node.content.errors import NotPinned
from storage.hosted_pins import HostedPin
from storage.page import Page
from storage.remote_pins import RemotePin


class FakeRemotePins:
    """The host has answered nothing yet."""

    def __init__(self, now_ms: int) -> None:
        self.rows: list[RemotePin] = []
        self.used: dict[Did, tuple[int, int]] = {}
        self._now_ms = now_ms

    async def pin(self, host: Did, cid: Cid, name: str | None = None) -> RemotePin:
        pin = RemotePin(len(self.rows) + 1, host, cid, name, "asking", None, self._now_ms, self._now_ms)
        self.rows = [*(row for row in self.rows if (row.host, row.cid) != (host, cid)), pin]
        self.used[host] = (0, 1000)
        return pin

    async def unpin(self, host: Did, cid: Cid) -> None:
        if all((row.host, row.cid) != (host, cid) for row in self.rows):
            raise NotPinned(f"{host} was not asked to keep {cid}")
        self.rows = [row for row in self.rows if (row.host, row.cid) != (host, cid)]

    async def pins(self, *, limit: int, after: str | None = None, host: Did | None = None) -> Page[RemotePin]:
        rows = [row for row in self.rows if host in (None, row.host) and row.seq > int(after or 0)]
        return Page(tuple(rows[:limit]), str(rows[limit - 1].seq) if len(rows) > limit else None)


class FakeHosting:
    """Keeps one thing for one client."""

    total_bytes = 2048

    def __init__(self, client: Did, now_ms: int) -> None:
        cid = Cid.of(CODEC_RAW, b"a friend's")
        self.rows = [HostedPin(1, client, cid, "tides", "pinned", None, 1024, now_ms, now_ms)]

    async def pins(self, *, limit: int, after: str | None = None) -> Page[HostedPin]:
        return Page(tuple(row for row in self.rows if row.seq > int(after or 0))[:limit], None)

    async def used_bytes(self) -> int:
        return sum(row.size_bytes for row in self.rows)
