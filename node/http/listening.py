"""A listener that strangers may connect to: so many connections in all, so many from one host, and none that dawdles.

aiohttp bounds what happens within a request. What comes before it, a connection that sends nothing or one byte of its
head a minute, is bounded here, at the transport; and so is what all connections together have sent and nobody has read,
which is most of what a WebSocket costs whose frame never ends.
"""

import asyncio
import errno
import ipaddress
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web

from node.errors import ConfigInvalid, PortInUse
from node.net.errors import CannotListen
from protocols import limits

FRAME_HEAD_BYTES: Final = 14
"""What stands before a frame's payload at the most (RFC 6455, section 5.2)."""

_SHUTDOWN_S: Final = 3.0
"""How long requests under way may take to end when the listener stops."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one listener admits. `per_host` is None behind a proxy, where every connection comes from one host.

    When more than `unread_bytes` wait in all, the connection that has most of them is ended; so is one that leaves what
    was written to it untaken for `stall_s`, whether it is being closed or not.
    """

    connections: int = limits.MAX_PUBLIC_CONNECTIONS
    per_host: int | None = limits.MAX_PUBLIC_CONNECTIONS_PER_HOST
    head_s: float = limits.PUBLIC_HEAD_S
    unread_bytes: int = limits.MAX_PUBLIC_UNREAD_BYTES
    stall_s: float = limits.PUBLIC_STALL_S


def host_key(address: str | None) -> str:
    """What a host is counted by: its IPv4 address, or the /64 that an IPv6 host can choose its addresses from."""
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)


def client_key(request: web.Request, *, proxied: bool) -> str:
    """What the host behind a request is counted by. With `proxied` the last address in X-Forwarded-For is its own."""
    forwarded = request.headers.get("X-Forwarded-For", "") if proxied else ""
    return host_key(forwarded.rpartition(",")[2].strip() or request.remote)


def host_and_port(text: str, setting: str) -> tuple[str, int]:
    """The two parts of `HOST:PORT`. Raises ConfigInvalid, which names the setting."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigInvalid(f"{setting}: not HOST:PORT: {text!r}")
    return host.strip("[]"), int(port)


@asynccontextmanager
async def listen(app: web.Application, host: str, port: int, *, bounds: Bounds = Bounds()) -> AsyncIterator[str]:
    """Answer on `host:port` (port 0 picks one) until the block ends; gives the base URL in use.

    Raises PortInUse or CannotListen.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
        keepalive_timeout=limits.PUBLIC_IDLE_S,
        auto_decompress=False,  # a small body must not unpack to a large one
    )
    await runner.setup()
    try:
        assert runner.server is not None
        doorman = _Doorman(runner.server, bounds)
        try:
            server = await asyncio.get_running_loop().create_server(lambda: _Guarded(doorman), host, port)
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            cause = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise (PortInUse if busy else CannotListen)(f"cannot listen on {host}:{port}: {cause}") from error
        try:
            used = server.sockets[0].getsockname()[1]
            yield f"http://[{host}]:{used}" if ":" in host else f"http://{host}:{used}"
        finally:
            server.close()
    finally:
        await runner.cleanup()


def request_begun(request: web.Request) -> None:
    """The head of a request is complete: its connection is not one that dawdles."""
    if (guard := _guard_of(request)) is not None:
        guard.begun()
        guard.read()


def body_read(request: web.Request) -> None:
    """The body of a request was read: nothing of it waits."""
    if (guard := _guard_of(request)) is not None:
        guard.read()


def frame_read(request: web.Request, length: int) -> None:
    """A WebSocket's message of so many bytes was read."""
    if (guard := _guard_of(request)) is not None:
        guard.read(length + FRAME_HEAD_BYTES)


def _guard_of(request: web.Request) -> "_Guarded | None":
    guard = request.transport.get_protocol() if request.transport is not None else None
    return guard if isinstance(guard, _Guarded) else None


class _Doorman:
    """Counts connections, and makes the protocol of each that is admitted."""

    def __init__(self, make: Callable[[], asyncio.Protocol], bounds: Bounds) -> None:
        self.make = make
        self.bounds = bounds
        self._of: Counter[str] = Counter()
        self._unread: Counter[_Guarded] = Counter()
        self._waiting = 0

    def admit(self, host: str) -> bool:
        per_host = self.bounds.per_host
        if self._of.total() >= self.bounds.connections or (per_host is not None and self._of[host] >= per_host):
            return False
        self._of[host] += 1
        return True

    def leave(self, host: str) -> None:
        self._of[host] -= 1
        if not self._of[host]:
            del self._of[host]

    def sent(self, by: "_Guarded", count: int) -> None:
        """More came over a connection. If too much waits now, the one that has most of it ends."""
        self._unread[by] += count
        self._waiting += count
        if self._waiting > self.bounds.unread_bytes:
            most = max(self._unread, key=self._unread.__getitem__)
            self.read(most)
            most.abort()

    def read(self, by: "_Guarded", count: int | None = None) -> None:
        """So much of what came over a connection was read, or all of it."""
        held = self._unread.pop(by, 0)
        rest = 0 if count is None else max(0, held - count)
        self._waiting -= held - rest
        if rest:
            self._unread[by] = rest


class _Guarded(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol, and hands everything on once the connection is admitted."""

    def __init__(self, doorman: _Doorman) -> None:
        self._doorman = doorman
        self._host = ""
        self._inner: asyncio.Protocol | None = None
        self._connection: asyncio.Transport | None = None
        self._slow: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def begun(self) -> None:
        """There is a request: from here on aiohttp's own times hold."""
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def read(self, count: int | None = None) -> None:
        """So much of what was sent was read, or all of it."""
        self._doorman.read(self, count)

    def abort(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast(asyncio.Transport, transport)  # uvloop's transports are none of asyncio's classes
        peer = transport.get_extra_info("peername")
        host = host_key(peer[0] if peer else None)
        if not self._doorman.admit(host):
            connection.abort()
            return
        self._host, self._inner, self._connection = host, self._doorman.make(), connection
        connection.set_write_buffer_limits(high=0)  # so that any rest that waits is told by pause_writing
        self._slow = asyncio.get_running_loop().call_later(self._doorman.bounds.head_s, connection.abort)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            self.begun()
            self._taken()
            self.read()
            self._doorman.leave(self._host)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            return
        self._doorman.sent(self, len(data))
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._stalled = asyncio.get_running_loop().call_later(self._doorman.bounds.stall_s, self.abort)
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._taken()
            self._inner.resume_writing()

    def _taken(self) -> None:
        """Nothing that was written waits any more."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
