"""Each carrier over real sockets on this machine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from identity.did import Did, PeerId, did_key
from node.http.errors import HostUnreachable
from node.http.listening import listen
from node.http.outside import Outside
from node.http.public import make_public_app
from node.messaging.live import LiveRoutes
from node.messaging.routes import Hop, Route
from node.messaging.source import ACCEPTED, PROTOCOL, REFUSED, TRY_LATER, Source
from node.messaging.transports.back import BackCarrier
from node.messaging.transports.carrier import contained, source_of_reply
from node.messaging.transports.http import HttpCarrier
from node.messaging.transports.libp2p import Libp2pCarrier
from node.messaging.transports.websocket import WebSocketCarrier
from node.net.errors import NetError, NetworkDown, RemoteUnavailable
from protocols import limits
from protocols.didcomm.envelope import ENCRYPTED
from tests.node.net import support
from tests.node.parts import PATIENCE_S, new_keys, running, soon

AGENT = Did("did:web:agent.example")
PACKED = b'{"ciphertext":"..."}'


class Replies:
    """What came back on our own ways."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[tuple[Route, bytes]] = asyncio.Queue()

    async def __call__(self, route: Route, packed: bytes) -> None:
        self.taken.put_nowait((route, packed))


@contextlib.asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    client = Outside(allow_private=True)
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/didcomm", handler)
    async with listen(app, "127.0.0.1", 0) as url:
        yield f"{url}/didcomm"


class Door:
    """A twin's public door that takes everything, and answers over the same connection."""

    def __init__(self, reply: bytes | None = None) -> None:
        self.taken: list[bytes] = []
        self._reply = reply

    async def accept(self, source: Source, packed: bytes) -> bytes:
        self.taken.append(packed)
        if self._reply is not None:
            assert source.back is not None
            source.back.keep()
            await source.back.send(self._reply)
        return ACCEPTED

    def did_document(self) -> None:
        return None


# HTTP


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        *((status, ACCEPTED) for status in (200, 202, 204)),
        *((status, REFUSED) for status in (400, 403, 404, 410, 413, 415)),
        *((status, TRY_LATER) for status in (301, 307, 401, 408, 429, 500, 502, 503)),
    ],
)
def test_what_a_status_means(status: int, answer: bytes) -> None:
    async def main() -> None:
        async def handler(request: web.Request) -> web.Response:
            assert request.content_type == ENCRYPTED
            assert (request.method, await request.read()) == ("POST", PACKED)
            return web.Response(status=status, headers={"Location": "/didcomm"})

        replies = Replies()
        async with serving(handler) as url, outside() as client:
            carrier = HttpCarrier(client, replies)
            assert await carrier.send(Route("http", url, AGENT), PACKED, thread="1") == answer
        assert replies.taken.empty()

    asyncio.run(main())


def test_a_message_in_the_response_is_taken_in() -> None:
    async def main() -> None:
        replies, door = Replies(), Door(b"reply")
        async with listen(make_public_app(door), "127.0.0.1", 0) as url, outside() as client:
            route = Route("http", f"{url}/didcomm", AGENT)
            assert await HttpCarrier(client, replies).send(route, PACKED, thread="1") == ACCEPTED
        assert door.taken == [PACKED]
        assert replies.taken.get_nowait() == (route, b"reply")
        assert source_of_reply(route) == Source("http", url)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "media_type", "body"),
    [(200, "text/html", b"<html>"), (200, ENCRYPTED, b""), (500, ENCRYPTED, b"{}"), (200, "application/json", b"{}")],
)
def test_what_is_no_message_in_a_response_is_not_taken_in(status: int, media_type: str, body: bytes) -> None:
    async def main() -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=status, body=body, content_type=media_type)

        replies = Replies()
        async with serving(handler) as url, outside() as client:
            await HttpCarrier(client, replies).send(Route("http", url, AGENT), PACKED, thread="1")
        assert replies.taken.empty()

    asyncio.run(main())


def test_where_nobody_listens_is_an_error_of_the_net() -> None:
    async def main() -> None:
        async with outside() as client:
            route = Route("http", "http://127.0.0.1:9/didcomm", AGENT)
            with pytest.raises(HostUnreachable):
                await HttpCarrier(client, Replies()).send(route, PACKED, thread="1")
        assert issubclass(HostUnreachable, NetError)

    asyncio.run(main())


def test_a_defect_in_taking_a_reply_stays_there(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(route: Route, packed: bytes) -> None:
        raise ValueError("secret")

    asyncio.run(contained(fails)(Route("http", "https://agent.example/path", AGENT), PACKED))  # type: ignore[arg-type]
    assert "https://agent.example" in caplog.text
    assert PACKED.decode() not in caplog.text


# WebSocket


class Sockets:
    """A server of WebSockets: what came, and the sockets themselves."""

    def __init__(self) -> None:
        self.opened: list[web.WebSocketResponse] = []
        self.frames: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.closed: asyncio.Queue[int | None] = asyncio.Queue()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.opened.append(socket)
        async for frame in socket:
            self.frames.put_nowait(frame.data)
        self.closed.put_nowait(socket.close_code)
        return socket


@contextlib.asynccontextmanager
async def socket_carrier(
    replies: Replies, *, idle_s: float = 60
) -> AsyncIterator[tuple[WebSocketCarrier, Sockets, Callable[[str], Route]]]:
    sockets = Sockets()
    async with serving(sockets.serve) as url, outside() as client:
        carrier = WebSocketCarrier(client, replies, idle_s=idle_s)
        async with running(carrier.run()):
            await asyncio.sleep(0)
            yield carrier, sockets, lambda name: Route("websocket", f"{url}?{name}".replace("http", "ws"), AGENT)


async def none_open(carrier: WebSocketCarrier) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while carrier.open_sockets:  # noqa: ASYNC110 - the carrier tells nobody
            await asyncio.sleep(0)


def test_one_socket_carries_many_messages_and_brings_replies() -> None:
    async def main() -> None:
        replies = Replies()
        async with socket_carrier(replies) as (carrier, sockets, to):
            route = to("")
            await carrier.open(route)
            assert await carrier.send(route, PACKED, thread="1") == ACCEPTED
            assert await carrier.send(route, PACKED, thread="2") == ACCEPTED
            assert [await soon(sockets.frames.get()) for _ in range(2)] == [PACKED.decode()] * 2
            assert len(sockets.opened) == carrier.open_sockets == 1
            await sockets.opened[0].send_str("text")
            await sockets.opened[0].send_bytes(b"bytes")
            assert [await soon(replies.taken.get()) for _ in range(2)] == [(route, b"text"), (route, b"bytes")]
            assert source_of_reply(route).transport == "websocket"

    asyncio.run(main())


def test_a_socket_that_the_other_side_closed_is_opened_again() -> None:
    async def main() -> None:
        async with socket_carrier(Replies()) as (carrier, sockets, to):
            route = to("")
            await carrier.send(route, PACKED, thread="1")
            await soon(sockets.frames.get())
            await sockets.opened[0].close()
            await none_open(carrier)
            await carrier.send(route, PACKED, thread="1")
            await soon(sockets.frames.get())
            assert len(sockets.opened) == 2

    asyncio.run(main())


def test_a_socket_that_is_idle_is_closed() -> None:
    async def main() -> None:
        async with socket_carrier(Replies(), idle_s=0.05) as (carrier, sockets, to):
            await carrier.send(to(""), PACKED, thread="1")
            await soon(sockets.closed.get())
            await none_open(carrier)

    asyncio.run(main())


def test_only_so_many_sockets_are_kept_and_the_one_used_longest_ago_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_SOCKETS_OUT", 2)

    async def main() -> None:
        async with socket_carrier(Replies()) as (carrier, sockets, to):
            for name in ("a", "b", "a", "c"):
                await carrier.send(to(name), PACKED, thread="1")
                await soon(sockets.frames.get())
            await soon(sockets.closed.get())
            assert carrier.open_sockets == 2
            still = [socket.closed for socket in sockets.opened]
            assert still == [False, True, False]

    asyncio.run(main())


def test_a_frame_over_the_bound_closes_the_socket() -> None:
    async def main() -> None:
        replies = Replies()
        async with socket_carrier(replies) as (carrier, sockets, to):
            await carrier.send(to(""), PACKED, thread="1")
            await soon(sockets.frames.get())
            with contextlib.suppress(ConnectionError):
                await sockets.opened[0].send_bytes(bytes(limits.MAX_DIDCOMM_BYTES + 1))
            await soon(sockets.closed.get())
            assert replies.taken.empty()

    asyncio.run(main())


def test_where_no_socket_opens_is_an_error_of_the_net_and_leaves_nothing() -> None:
    async def main() -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=404)

        async with serving(handler) as url, outside() as client:
            carrier = WebSocketCarrier(client, Replies())
            with pytest.raises(NetworkDown):
                await carrier.open(Route("websocket", "ws://127.0.0.1:9/", AGENT))
            async with running(carrier.run()):
                await asyncio.sleep(0)
                for address in ("ws://127.0.0.1:9/", url):
                    with pytest.raises(NetError):
                        await carrier.open(Route("websocket", address, AGENT))
                    with pytest.raises(NetError):
                        await carrier.send(Route("websocket", address, AGENT), PACKED, thread="1")
                assert carrier.open_sockets == 0

    asyncio.run(main())


def test_a_twins_public_door_takes_frames_and_answers() -> None:
    async def main() -> None:
        replies, door = Replies(), Door(b"reply")
        async with listen(make_public_app(door), "127.0.0.1", 0) as url, outside() as client:
            carrier = WebSocketCarrier(client, replies)
            async with running(carrier.run()):
                await asyncio.sleep(0)
                route = Route("websocket", f"{url}/didcomm".replace("http", "ws"), AGENT)
                await carrier.send(route, PACKED, thread="1")
                assert await soon(replies.taken.get()) == (route, b"reply")
        assert door.taken == [PACKED]

    asyncio.run(main())


# libp2p


def test_over_libp2p_the_peer_is_dialled_and_answers_itself() -> None:
    async def main() -> None:
        taken: list[bytes] = []
        keys = new_keys()

        async def accept(peer: PeerId, packed: bytes) -> bytes:
            taken.append(packed)
            return TRY_LATER

        async with support.real() as ours, support.real(keys) as theirs:
            await theirs.serve(PROTOCOL, accept, max_request_bytes=1000, max_in_flight_per_peer=4)
            carrier, did = Libp2pCarrier(ours), did_key(keys.public)
            with pytest.raises(RemoteUnavailable):
                await carrier.send(Route("libp2p", "", did), PACKED, thread="1")
            route = Route("libp2p", theirs.addresses()[0], did, (Hop(did),))
            await carrier.open(route)
            await carrier.open(route)
            assert await carrier.send(route, PACKED, thread="1") == TRY_LATER
        assert taken == [PACKED]

    asyncio.run(main())


# The way back


class Back:
    """A connection that the other side opened."""

    name = "test"

    def __init__(self) -> None:
        self.closed = False
        self.sent: list[bytes] = []

    def keep(self) -> None: ...

    async def send(self, packed: bytes) -> None:
        self.sent.append(packed)


def test_the_way_back_takes_the_threads_that_it_was_opened_for() -> None:
    async def main() -> None:
        live, back = LiveRoutes(), Back()
        carrier, route = BackCarrier(live), Route("return", "", AGENT)
        with pytest.raises(RemoteUnavailable):
            await carrier.send(route, PACKED, thread="1")
        live.open(AGENT, back, thread="1")
        await carrier.open(route)
        assert await carrier.send(route, PACKED, thread="1") == ACCEPTED
        with pytest.raises(RemoteUnavailable):
            await carrier.send(route, PACKED, thread="2")
        back.closed = True
        with pytest.raises(RemoteUnavailable):
            await carrier.send(route, PACKED, thread="1")
        assert back.sent == [PACKED]

    asyncio.run(main())
