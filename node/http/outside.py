"""The one HTTP client for addresses that others name: DID documents, status lists, agents' endpoints.

Each request is bounded in time and in bytes, and where it may go is asked for each socket before it connects: for names
whatever they resolve to, for addresses in the URL, and again for each redirect. Compressed answers are not taken, so no
answer unpacks to more than came. No cookies, no credentials, no proxy; what is logged or shown names hosts, never a
path or a query, which may be secrets of an invitation.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

import aiohttp
from aiohttp.connector import AddrInfoType
from yarl import URL

from node import __version__
from node.http.addresses import may_connect
from node.http.errors import AddressForbidden, AnswerTooLarge, HostRefused, HostSilent, HostUnreachable

MAX_REDIRECTS: Final = 3
"""A move to another host, to https, and to a path."""

MAX_URL_CHARS: Final = 4096
MAX_CONNECTIONS: Final = 64
"""Connections that are open at once, and for each host: a stranger who names many addresses there is no flood."""
MAX_CONNECTIONS_PER_HOST: Final = 8

HEARTBEAT_S: Final = 30.0
"""A WebSocket whose other end is gone without a word is noticed within two of these."""

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class _ForbiddenPlace(OSError):
    """A socket was asked for that we do not open. aiohttp hands OSErrors of sockets on."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a host answered to a POST, whatever the status."""

    status: int
    content_type: str
    body: bytes


class Outside:
    """An HTTP client that a stranger may point anywhere. One for each node; its session is made when it is needed."""

    def __init__(self, *, allow_private: bool, connections_per_host: int = MAX_CONNECTIONS_PER_HOST) -> None:
        self._allow_private = allow_private
        self._connections_per_host = connections_per_host
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, max_bytes: int, timeout_s: float, accept: str = "application/json") -> bytes:
        """The body at a URL, after at most MAX_REDIRECTS redirects, none of them from https to http.

        Raises AddressForbidden, HostUnreachable, HostSilent, HostRefused if there is no success, AnswerTooLarge.
        """
        place = _parsed(url)
        async with _bounded(place, timeout_s):
            for _ in range(MAX_REDIRECTS + 1):
                async with self._request("GET", place, {"Accept": accept}) as response:
                    status = response.status
                    if status in _REDIRECTS:
                        place = _redirected(place, response)
                    elif 200 <= status < 300:
                        return await _body(response, max_bytes)
                    else:
                        raise HostRefused(f"{place.host} answered with status {status}", status)
            raise HostRefused(f"{place.host} redirects more than {MAX_REDIRECTS} times", status)

    async def post(
        self, url: str, data: bytes, *, content_type: str, max_reply_bytes: int, timeout_s: float
    ) -> HttpReply:
        """Post `data`; redirects are not followed. Raises as `get` does, but gives whatever status there is."""
        place = _parsed(url)
        headers = {"Content-Type": content_type}
        async with _bounded(place, timeout_s), self._request("POST", place, headers, data) as response:
            return HttpReply(response.status, response.content_type, await _body(response, max_reply_bytes))

    @asynccontextmanager
    async def post_open(
        self, url: str, data: bytes, *, headers: Mapping[str, str], connect_s: float, timeout_s: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Post `data` and give the answer as soon as its head is there; redirects are not followed.

        `timeout_s` bounds the wait for the head, `connect_s` that for the connection. Reading the body is the caller's
        to bound. Raises as `get` does, also while the body is read; leaving the block early ends the connection.
        """
        place = _parsed(url)
        wanted = {**headers, "Accept-Encoding": "identity"}
        patience = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        with _translated(place):
            async with asyncio.timeout(timeout_s):
                response = await self._opened().request(
                    "POST", place, headers=wanted, data=data, allow_redirects=False, timeout=patience
                )
            try:
                yield response
            finally:
                response.close()

    @asynccontextmanager
    async def websocket(
        self, url: str, *, max_bytes: int, timeout_s: float
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket to a ws(s) or http(s) URL; redirects are not followed. `timeout_s` bounds opening and closing.

        Raises as `get` does while it is opened. What happens on it afterwards is aiohttp's: a message over `max_bytes`
        closes it.
        """
        place = _parsed(url)
        async with _bounded(place, timeout_s):
            opened = await self._opened().ws_connect(
                place,
                max_msg_size=max_bytes + 1,  # aiohttp's bound is the first size that is too large
                timeout=aiohttp.ClientWSTimeout(ws_close=timeout_s),
                heartbeat=HEARTBEAT_S,
            )
        try:
            yield opened
        finally:
            await opened.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def _request(
        self, method: str, place: URL, headers: Mapping[str, str], data: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        wanted = {**headers, "Accept-Encoding": "identity"}
        async with self._opened().request(method, place, headers=wanted, data=data, allow_redirects=False) as response:
            yield response

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            watch = aiohttp.TraceConfig()
            watch.on_request_redirect.append(_no_redirect)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MAX_CONNECTIONS,
                    limit_per_host=self._connections_per_host,
                    use_dns_cache=False,
                    resolver=aiohttp.ThreadedResolver(),
                    socket_factory=self._socket,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": f"pagi-twin/{__version__}"},
                timeout=aiohttp.ClientTimeout(total=None),
                trace_configs=[watch],
            )
        return self._session

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """The socket for one address that is about to be connected to: every connection begins here."""
        family, kind, protocol, _, address = info
        if not may_connect(str(address[0]), allow_private=self._allow_private):
            raise _ForbiddenPlace(None, "leads to an address that is not connected to")
        return socket.socket(family=family, type=kind, proto=protocol)


async def _no_redirect(*_: object) -> NoReturn:
    """Only a WebSocket's handshake would follow one by itself."""
    raise HostRefused("a redirect in answer to a WebSocket's handshake", 302)


def _parsed(url: str) -> URL:
    """Raises AddressForbidden."""
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise AddressForbidden("not a URL")
    try:
        place = URL(url)
        usable = place.scheme in _SCHEMES and place.host and place.user is None and place.password is None
    except ValueError as error:
        raise AddressForbidden("not a URL") from error
    if not usable:
        raise AddressForbidden("not an http(s) or ws(s) URL of a host, without a user name")
    return place.with_scheme(_SCHEMES[place.scheme]).with_fragment(None)


def _redirected(place: URL, response: aiohttp.ClientResponse) -> URL:
    """Raises AddressForbidden, or HostRefused if the redirect has no target or leaves TLS."""
    target = response.headers.get("Location", "")
    if not target or len(target) > MAX_URL_CHARS:
        raise HostRefused(f"{place.host} redirects to nowhere", response.status)
    try:
        following = place.join(URL(target))
    except ValueError as error:
        raise AddressForbidden(f"{place.host} redirects to what is no URL") from error
    if place.scheme == "https" and following.scheme != "https":
        raise HostRefused(f"{place.host} redirects away from https", response.status)
    return _parsed(str(following))


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The whole body, refused as soon as it is clear that it is too large."""
    too_large = AnswerTooLarge(f"{response.url.host} answers with more than {max_bytes} bytes")
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        raise AnswerTooLarge(f"{response.url.host} answers compressed, which was not asked for")
    if (response.content_length or 0) > max_bytes:
        raise too_large
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > max_bytes:
            raise too_large
    return bytes(data)


@asynccontextmanager
async def _bounded(place: URL, timeout_s: float) -> AsyncIterator[None]:
    """Bound the time, and make errors of ours of what the library raises."""
    with _translated(place):
        async with asyncio.timeout(timeout_s):
            yield


@contextmanager
def _translated(place: URL) -> Iterator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise HostUnreachable(f"{place.host} cannot be reached: no connection in time") from error
    except TimeoutError as error:
        raise HostSilent(f"{place.host} did not answer in time") from error
    except aiohttp.WSServerHandshakeError as error:
        raise HostRefused(f"{place.host} does not open a WebSocket (status {error.status})", error.status) from error
    except aiohttp.InvalidURL as error:
        raise AddressForbidden(f"not a URL that can be connected to, at {place.host}") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise HostUnreachable(f"{place.host} has no certificate that this machine trusts") from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(getattr(error, "os_error", None), _ForbiddenPlace):
            raise AddressForbidden(f"{place.host} leads to an address that is not connected to") from error
        raise HostUnreachable(f"{place.host} cannot be reached: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    """Why, without the URL that aiohttp writes into some of its messages."""
    inner = getattr(error, "os_error", None)
    reason = getattr(inner if inner is not None else error, "strerror", None)
    return reason if isinstance(reason, str) else type(error).__name__
