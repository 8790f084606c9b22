"""Over WebSockets that we open: each message one text frame (DIDComm v2.1, "WebSockets"), nothing acknowledges it.

A socket stays open for a while and is used again. What comes in over it is taken in, since the other side may answer
on the same way; one frame at a time, so that it is slowed down rather than stored here.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import ClientWebSocketResponse, WSMsgType

from node.http.outside import Outside
from node.messaging.routes import Route
from node.messaging.source import ACCEPTED
from node.messaging.transports.carrier import OPEN_S, OnReply
from node.net.errors import NetError, NetworkDown, RemoteTimeout, RemoteUnavailable
from protocols import limits

logger = logging.getLogger(__name__)


class WebSocketCarrier:
    """Keeps a bounded number of sockets, for as long as `run` runs."""

    def __init__(self, outside: Outside, on_reply: OnReply, *, idle_s: float = limits.SOCKET_OUT_IDLE_S) -> None:
        self._outside = outside
        self._on_reply = on_reply
        self._idle_s = idle_s
        self._sockets: OrderedDict[str, _Socket] = OrderedDict()
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def open_sockets(self) -> int:
        """How many there are."""
        return len(self._sockets)

    async def run(self) -> None:
        """Allow sockets until cancelled, which closes them."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    async def open(self, route: Route) -> None:
        """Connect, unless a socket to this URL is open."""
        await (await self._socket(route)).ready()

    async def send(self, route: Route, packed: bytes, *, thread: str) -> bytes:
        """ACCEPTED once it is written."""
        await (await self._socket(route)).send(packed)
        return ACCEPTED

    async def _socket(self, route: Route) -> "_Socket":
        socket = self._sockets.get(route.address)
        if socket is None:
            if self._tasks is None:
                raise NetworkDown("no WebSockets are opened while the node stops")
            if len(self._sockets) >= limits.MAX_SOCKETS_OUT:
                self._sockets.popitem(last=False)[1].close()
            socket = self._sockets[route.address] = _Socket(route, self._idle_s)
            socket.task = self._tasks.create_task(socket.serve(self._outside, self._on_reply, self._gone))
        self._sockets.move_to_end(route.address)
        return socket

    def _gone(self, socket: "_Socket") -> None:
        if self._sockets.get(socket.route.address) is socket:
            del self._sockets[socket.route.address]


class _Socket:
    """One connection. `serve` opens and reads it; whoever sends waits until it is open."""

    def __init__(self, route: Route, idle_s: float) -> None:
        self.route = route
        self.task: asyncio.Task[None] | None = None
        self._idle_s = idle_s
        self._opened: asyncio.Future[ClientWebSocketResponse] = asyncio.get_running_loop().create_future()
        self._opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())  # perhaps nobody waits
        self._idle: asyncio.Timeout | None = None

    def close(self) -> None:
        """Give the connection up."""
        if self.task is not None:
            self.task.cancel()

    async def ready(self) -> ClientWebSocketResponse:
        """The open socket. Raises NetError."""
        try:
            async with asyncio.timeout(OPEN_S):
                return await asyncio.shield(self._opened)
        except TimeoutError as error:
            self.close()
            raise RemoteTimeout(f"no WebSocket within {OPEN_S:g} s") from error

    async def send(self, packed: bytes) -> None:
        """Write one frame. Raises NetError."""
        socket = await self.ready()
        self._touch()
        try:
            await socket.send_str(packed.decode("utf-8"))
        except (ConnectionError, RuntimeError) as error:  # aiohttp raises either, by how far the closing has come
            self.close()
            raise RemoteUnavailable("the WebSocket was closed") from error

    async def serve(self, outside: Outside, on_reply: OnReply, gone: "Callable[[_Socket], None]") -> None:
        """Open the connection, take in what comes, and close it when it was idle or is closed."""
        try:
            async with outside.websocket(
                self.route.address, max_bytes=limits.MAX_DIDCOMM_BYTES, timeout_s=OPEN_S
            ) as socket:
                self._opened.set_result(socket)
                await self._read(socket, on_reply)
        except NetError as error:
            self._fail(error)
        finally:
            gone(self)
            self._fail(RemoteUnavailable("the WebSocket was closed"))

    async def _read(self, socket: ClientWebSocketResponse, on_reply: OnReply) -> None:
        try:
            async with asyncio.timeout(self._idle_s) as self._idle:
                async for frame in socket:
                    self._touch()
                    if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        break
                    await on_reply(self.route, frame.data.encode() if isinstance(frame.data, str) else frame.data)
        except TimeoutError:
            logger.debug("the WebSocket to %s was idle", self.route)
        finally:
            self._idle = None

    def _touch(self) -> None:
        if self._idle is not None:
            self._idle.reschedule(asyncio.get_running_loop().time() + self._idle_s)

    def _fail(self, error: NetError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
