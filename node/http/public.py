"""What strangers may ask over HTTP: to take a message, by POST or WebSocket, and for the DID document.

DIDComm v2.1, "HTTPS" and "WebSockets". Nobody is asked who they are: a message says so itself, and the door decides.
Why a message is refused is not told: whoever has the keys to send one has other ways to find out.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.typedefs import Middleware

from identity.errors import PagiError
from node.http.listening import body_read, client_key, frame_read, request_begun
from node.messaging.source import ACCEPTED, REFUSED, Source
from node.net.errors import RemoteTimeout, RemoteUnavailable
from protocols import limits
from protocols.didcomm.envelope import ENCRYPTED
from protocols.ratelimit import KeyedBuckets

logger = logging.getLogger(__name__)

_TAKEN: Final = frozenset({ENCRYPTED, "application/didcomm-signed+json"})
_RETRY_AFTER_S: Final = 5
_HEARTBEAT_S: Final = 30.0
"""A WebSocket whose other end is gone without a word is noticed within two of these."""

_INVITED: Final = """This link invites you to a PAGI twin. Give it to your own twin or DIDComm agent:

    pagi accept '<this link>'
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door(Protocol):
    """Whoever takes the messages: a twin's intake, a relay's mediator."""

    async def accept(self, source: Source, packed: bytes) -> bytes:
        """ACCEPTED, REFUSED or TRY_LATER."""

    def did_document(self) -> Mapping[str, Any] | None:
        """The did.json of this host's did:web, or None if it has none."""


def make_public_app(
    door: Door,
    *,
    extra: Sequence[tuple[str, str, Handler]] = (),
    proxied: bool = False,
    reply_s: float = limits.PUBLIC_REPLY_S,
    body_s: float = limits.PUBLIC_BODY_S,
    first_frame_s: float = limits.PUBLIC_FIRST_FRAME_S,
    now_s: Callable[[], float] = time.monotonic,
) -> web.Application:
    """The application; `extra` are further routes as (method, path, handler).

    With `proxied` the last address in X-Forwarded-For is the client's: only for a listener that nobody but the proxy
    can reach.
    """
    public = _Public(door, proxied=proxied, reply_s=reply_s, body_s=body_s, first_frame_s=first_frame_s, now_s=now_s)
    app = web.Application(client_max_size=limits.MAX_DIDCOMM_BYTES, middlewares=(public.watch(),))
    app.router.add_route("POST", "/didcomm", public.take_posted)
    app.router.add_route("GET", "/didcomm", public.take_from_socket)
    app.router.add_route("GET", "/invitation", _explain)
    for path in ("/.well-known/did.json", "/did.json"):
        app.router.add_route("GET", path, public.show_document)
    for method, path, handler in extra:
        app.router.add_route(method, path, handler)
    app.on_shutdown.append(public.close_sockets)
    return app


class _Public:
    def __init__(
        self,
        door: Door,
        *,
        proxied: bool,
        reply_s: float,
        body_s: float,
        first_frame_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self._door = door
        self._proxied = proxied
        self._reply_s = reply_s
        self._body_s = body_s
        self._first_frame_s = first_frame_s
        self._now_s = now_s
        self._rates = KeyedBuckets(limits.PUBLIC_RATE_PER_S, limits.PUBLIC_BURST, limits.MAX_RATED_KEYS)
        self._bodies = asyncio.Semaphore(limits.MAX_PUBLIC_BODIES)
        self._sockets: set[web.WebSocketResponse] = set()

    def watch(self) -> Middleware:
        """What every request passes: its rate; and an error's way out."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            request_begun(request)
            if not self._rates.allow(self._key(request), self._now_s()):
                return _problem(429, "Too Many Requests", retry=True)
            try:
                return await handler(request)
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                return _problem(error.status, error.reason, allow=error.headers.get("Allow"))
            except web.RequestPayloadError:
                return _problem(400, "Bad Request")
            except PagiError as error:
                logger.warning("a public request failed: %s", error)
                return _problem(503, "Service Unavailable", retry=True)

        return middleware

    async def take_posted(self, request: web.Request) -> web.StreamResponse:
        """One message in the body; what is written back over this way, if its sender asks for that, in the response."""
        if request.content_type.lower() not in _TAKEN or "Content-Encoding" in request.headers:
            return _problem(415, "Unsupported Media Type")
        try:
            async with asyncio.timeout(self._body_s), self._bodies:
                packed = await request.read()
                body_read(request)
        except TimeoutError:
            response = _problem(408, "Request Timeout")
            response.force_close()
            return response
        key, back = self._key(request), _PostBack()
        try:
            verdict = await self._door.accept(Source("http", key, back=back), packed)
            if verdict == REFUSED:
                return _problem(400, "Bad Request")
            if verdict != ACCEPTED:
                return _problem(503, "Service Unavailable", retry=True)
            self._rates.give_back(key)  # The door has its own rates for what it takes.
            reply = await back.wait(self._reply_s)
        finally:
            back.end()
        return web.Response(status=202) if reply is None else web.Response(body=reply, content_type=ENCRYPTED)

    async def take_from_socket(self, request: web.Request) -> web.StreamResponse:
        """One message in each frame, one at a time, so that whoever sends too much is slowed down by the connection."""
        socket = web.WebSocketResponse(
            max_msg_size=limits.MAX_DIDCOMM_BYTES, heartbeat=_HEARTBEAT_S, compress=False, timeout=_RETRY_AFTER_S
        )
        if not socket.can_prepare(request).ok:
            return _problem(426, "Upgrade Required")
        await socket.prepare(request)
        back = _SocketBack(socket)
        self._sockets.add(socket)
        try:
            await self._read(request, socket, Source("websocket", self._key(request), back=back))
        finally:
            back.end()
            self._sockets.discard(socket)
            await socket.close()
        return socket

    async def _read(self, request: web.Request, socket: web.WebSocketResponse, source: Source) -> None:
        taken, refused = False, 0
        while refused < limits.MAX_PUBLIC_REFUSED_FRAMES:
            try:
                async with asyncio.timeout(None if taken else self._first_frame_s):
                    frame = await socket.receive()
            except TimeoutError:
                return
            if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            packed = frame.data.encode() if isinstance(frame.data, str) else frame.data
            frame_read(request, len(packed))
            verdict = await self._door.accept(source, packed)
            taken = taken or verdict == ACCEPTED
            refused = 0 if verdict == ACCEPTED else refused + 1
        await socket.close(code=WSCloseCode.POLICY_VIOLATION)

    async def show_document(self, request: web.Request) -> web.StreamResponse:
        """The DID document, also to web pages: it is public."""
        document = self._door.did_document()
        if document is None:
            return _problem(404, "Not Found")
        return web.Response(
            body=orjson.dumps(document), content_type="application/json", headers={"Access-Control-Allow-Origin": "*"}
        )

    async def close_sockets(self, app: web.Application) -> None:
        """The listener ends: sockets do not end by themselves."""
        for socket in tuple(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    def _key(self, request: web.Request) -> str:
        return client_key(request, proxied=self._proxied)


class _PostBack:
    """The response to one POST: it carries one message, if one comes in time."""

    name = "HTTP response"

    def __init__(self) -> None:
        self._reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._kept = False

    @property
    def closed(self) -> bool:
        return self._reply.done()

    def keep(self) -> None:
        self._kept = True

    async def send(self, packed: bytes) -> None:
        if self._reply.done():
            raise RemoteUnavailable("the response to that POST is complete")
        self._reply.set_result(packed)

    async def wait(self, timeout_s: float) -> bytes | None:
        if not self._kept and not self._reply.done():
            return None
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._reply)
        except TimeoutError:  # It may have come in the very moment that the time was up.
            return self._reply.result() if self._reply.done() else None

    def end(self) -> None:
        self._reply.cancel()


class _SocketBack:
    """A WebSocket that somebody opened to us."""

    name = "WebSocket"

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._ended = False

    @property
    def closed(self) -> bool:
        return self._ended or self._socket.closed

    def keep(self) -> None:
        """It stays open as it is."""

    async def send(self, packed: bytes) -> None:
        if self.closed:
            raise RemoteUnavailable("the WebSocket is closed")
        try:
            async with asyncio.timeout(limits.PUBLIC_SEND_S):
                await self._socket.send_str(packed.decode())
        except TimeoutError as error:
            self._ended = True
            raise RemoteTimeout("the other end of the WebSocket takes nothing") from error
        except (ConnectionError, RuntimeError) as error:  # aiohttp raises either, by how far the closing has come
            self._ended = True
            raise RemoteUnavailable("the WebSocket was closed") from error

    def end(self) -> None:
        self._ended = True


async def _explain(request: web.Request) -> web.StreamResponse:
    """For a person who opens an invitation in a browser. What is behind the `?` is not looked at."""
    return web.Response(text=_INVITED)


def _problem(status: int, title: str, *, retry: bool = False, allow: str | None = None) -> web.Response:
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if retry else {}
    if allow is not None:
        headers["Allow"] = allow
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status})
    return web.Response(status=status, body=body, content_type="application/problem+json", headers=headers)
