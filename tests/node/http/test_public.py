"""The public listener over real sockets, before a door whose answers the test writes."""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import WSMsgType, web

from node.errors import PortInUse
from node.http.listening import Bounds, host_key, listen
from node.http.public import make_public_app
from node.messaging.source import ACCEPTED, REFUSED, TRY_LATER, Source
from node.net.errors import RemoteUnavailable
from protocols import limits
from protocols.didcomm.envelope import ENCRYPTED

HEADERS = {"Content-Type": ENCRYPTED}


class FakeDoor:
    """Gives the answers of its script, then ACCEPTED. `keep` holds each way back open, `reply` answers at once."""

    def __init__(self, *script: bytes, keep: bool = False, reply: bytes | None = None) -> None:
        self.script = list(script)
        self.keep = keep
        self.reply = reply
        self.taken: list[tuple[Source, bytes]] = []
        self.arrived: asyncio.Queue[Source] = asyncio.Queue()
        self.document: Mapping[str, Any] | None = None

    async def accept(self, source: Source, packed: bytes) -> bytes:
        self.taken.append((source, packed))
        self.arrived.put_nowait(source)
        assert source.back is not None
        if self.keep:
            source.back.keep()
        if self.reply is not None:
            await source.back.send(self.reply)
        return self.script.pop(0) if self.script else ACCEPTED

    def did_document(self) -> Mapping[str, Any] | None:
        return self.document


@asynccontextmanager
async def serving(door: FakeDoor, *, bounds: Bounds | None = None, **options: Any) -> AsyncIterator[str]:
    async with listen(make_public_app(door, **options), "127.0.0.1", 0, bounds=bounds or Bounds()) as url:
        yield url


@asynccontextmanager
async def calling(door: FakeDoor, **options: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    async with serving(door, **options) as url, aiohttp.ClientSession(headers=HEADERS) as session:
        yield session, f"{url}/didcomm"


@pytest.mark.parametrize("media_type", [ENCRYPTED, "application/didcomm-signed+json", f"{ENCRYPTED}; charset=utf-8"])
def test_a_posted_message_is_taken(media_type: str) -> None:
    async def main() -> None:
        door = FakeDoor()
        headers = {"Content-Type": media_type}
        async with calling(door) as (session, url), session.post(url, data=b"packed", headers=headers) as response:
            assert (response.status, await response.read()) == (202, b"")
        [(source, packed)] = door.taken
        assert (source.transport, source.key, source.peer, packed) == ("http", "127.0.0.1", None, b"packed")

    asyncio.run(main())


@pytest.mark.parametrize(("verdict", "status"), [(REFUSED, 400), (TRY_LATER, 503), (b"", 503)])
def test_one_that_is_not_taken_is_not_told_why(verdict: bytes, status: int) -> None:
    async def main() -> None:
        async with calling(FakeDoor(verdict)) as (session, url), session.post(url, data=b"packed") as response:
            assert response.status == status
            assert response.content_type == "application/problem+json"
            assert ("Retry-After" in response.headers) is (status == 503)
            assert (await response.json()).keys() == {"type", "title", "status"}

    asyncio.run(main())


def test_a_reply_comes_in_the_response_if_the_sender_takes_it_there() -> None:
    async def main() -> None:
        door = FakeDoor(keep=True)
        async with calling(door) as (session, url):
            posted = asyncio.create_task(session.post(url, data=b"packed"))
            back = (await door.arrived.get()).back
            assert back is not None
            assert not back.closed
            await back.send(b"the reply")
            assert back.closed
            with pytest.raises(RemoteUnavailable):
                await back.send(b"a second one")
            async with await posted as response:
                assert (response.status, response.content_type) == (200, ENCRYPTED)
                assert await response.read() == b"the reply"

    asyncio.run(main())


def test_an_answer_that_is_there_at_once_needs_no_waiting() -> None:
    async def main() -> None:
        async with calling(FakeDoor(reply=b"pong")) as (session, url), session.post(url, data=b"ping") as response:
            assert (response.status, await response.read()) == (200, b"pong")

    asyncio.run(main())


def test_a_reply_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async def main() -> None:
        door = FakeDoor(keep=True)
        async with calling(door, reply_s=0.01) as (session, url):
            async with session.post(url, data=b"packed") as response:
                assert response.status == 202
            back = door.taken[0][0].back
            assert back is not None
            assert back.closed
            with pytest.raises(RemoteUnavailable):
                await back.send(b"too late")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "application/didcomm-plain+json"}, 415),
        ({"Content-Type": ENCRYPTED, "Content-Encoding": "gzip"}, 415),
    ],
)
def test_what_is_no_packed_message_is_not_read(headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        door = FakeDoor()
        async with calling(door) as (session, url), session.post(url, data=b"{}", headers=headers) as response:
            assert response.status == status
            assert door.taken == []

    asyncio.run(main())


def test_a_body_over_the_bound_is_not_taken() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with calling(door) as (session, url):
            async with session.post(url, data=bytes(limits.MAX_DIDCOMM_BYTES)) as response:
                assert response.status == 202
            async with session.post(url, data=io.BytesIO(bytes(limits.MAX_DIDCOMM_BYTES + 1))) as response:
                assert response.status == 413
            assert len(door.taken) == 1

    asyncio.run(main())


def test_a_body_that_trickles_is_given_up_on() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with serving(door, body_s=0.05) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(f"POST /didcomm HTTP/1.1\r\nHost: a\r\nContent-Type: {ENCRYPTED}\r\n".encode())
            writer.write(b"Content-Length: 100\r\n\r\nonly this")
            assert b" 408 " in await reader.readline()
            await reader.read()  # the connection ends
            writer.close()
            assert door.taken == []

    asyncio.run(main())


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", b"POST /didcomm HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_connection_that_sends_no_whole_head_is_ended(sent: bytes) -> None:
    async def main() -> None:
        async with serving(FakeDoor(), bounds=Bounds(head_s=0.05)) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(sent)
            with pytest.raises((ConnectionResetError, EOFError)):
                await reader.readexactly(1)
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_request_that_has_begun_is_not_ended_by_the_bound_on_its_head(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        door = FakeDoor(keep=True)
        async with calling(door, bounds=Bounds(head_s=0.05)) as (session, url):
            posted = asyncio.create_task(session.post(url, data=b"packed"))
            back = (await door.arrived.get()).back
            assert back is not None
            passed = asyncio.Event()
            asyncio.get_running_loop().call_later(0.1, passed.set)
            await passed.wait()
            await back.send(b"the reply")
            async with await posted as response:
                assert response.status == 200

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("garbage", [b"\x00" * 4096, b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000])
def test_garbage_is_answered_and_the_listener_goes_on(garbage: bytes) -> None:
    async def main() -> None:
        door = FakeDoor()
        async with calling(door) as (session, url):
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))
            writer.write(garbage)
            async with session.post(url, data=b"packed") as response:
                assert response.status == 202
            writer.close()

    asyncio.run(main())


def test_so_many_connections_come_from_one_host_and_their_places_become_free() -> None:
    async def main() -> None:
        async with serving(FakeDoor(), bounds=Bounds(per_host=3)) as url:
            port = int(url.rpartition(":")[2])
            inside = [await answered(port) for _ in range(3)]
            assert all(inside)
            assert await answered(port) is None
            await ended(inside.pop())
            while (again := await answered(port)) is None:  # noqa: ASYNC110 - the listener hears of it when it does
                await asyncio.sleep(0.005)
            for writer in (*inside, again):
                await ended(writer)

    asyncio.run(main())


def test_so_many_connections_are_open_in_all() -> None:
    async def main() -> None:
        async with serving(FakeDoor(), bounds=Bounds(connections=2, per_host=None)) as url:
            port = int(url.rpartition(":")[2])
            inside = [await answered(port), await answered(port)]
            assert await answered(port) is None
            for writer in inside:
                await ended(writer)

    asyncio.run(main())


@pytest.mark.parametrize("size", [40_000, 400_000])
def test_whoever_takes_nothing_of_an_answer_does_not_keep_its_place(size: int) -> None:
    """Also when the listener has hung up: what is unsent of a closed connection would wait for ever."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        response = web.Response(body=bytes(size))
        response.force_close()
        return response

    async def main() -> None:
        async with serving(
            FakeDoor(), bounds=Bounds(per_host=1, stall_s=0.1), extra=[("GET", "/large", answer)]
        ) as url:
            port = int(url.rpartition(":")[2])
            with socket.socket() as idle:
                idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                idle.connect(("127.0.0.1", port))
                idle.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
                async with asyncio.timeout(10):
                    while (other := await answered(port)) is None:  # noqa: ASYNC110 - the listener hears of it when it does
                        await asyncio.sleep(0.005)
                await ended(other)

    asyncio.run(main())


async def ended(writer: asyncio.StreamWriter | None) -> None:
    assert writer is not None
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def answered(port: int) -> asyncio.StreamWriter | None:
    """A connection that was answered once and stays open; None if it was not admitted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /did.json HTTP/1.1\r\nHost: a\r\n\r\n")
        if await reader.readline():
            return writer
    except ConnectionResetError:
        pass
    await ended(writer)
    return None


def test_a_flood_from_one_address_is_told_to_wait_and_others_are_served() -> None:
    async def main() -> None:
        door = FakeDoor(*[REFUSED] * (limits.PUBLIC_BURST + 1))
        async with calling(door, proxied=True, now_s=lambda: 0.0) as (session, url):

            async def status(address: str) -> int:
                async with session.post(url, data=b"packed", headers={"X-Forwarded-For": f"evil, {address}"}) as sent:
                    return sent.status

            statuses = [await status("192.0.2.7") for _ in range(limits.PUBLIC_BURST + 2)]
            assert statuses == [400] * limits.PUBLIC_BURST + [429] * 2
            assert await status("192.0.2.8") == 400
            assert {source.key for source, _ in door.taken} == {"192.0.2.7", "192.0.2.8"}

    asyncio.run(main())


def test_what_the_door_takes_is_its_own_to_count() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with calling(door, now_s=lambda: 0.0) as (session, url):
            for _ in range(limits.PUBLIC_BURST + 1):
                async with session.post(url, data=b"packed") as response:
                    assert response.status == 202

    asyncio.run(main())


def test_without_a_proxy_nobody_chooses_the_address_that_it_is_counted_by() -> None:
    async def main() -> None:
        door = FakeDoor()
        headers = {"X-Forwarded-For": "192.0.2.7"}
        async with calling(door) as (session, url), session.post(url, data=b"packed", headers=headers):
            assert door.taken[0][0].key == "127.0.0.1"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("no address", "unknown"),
    ],
)
def test_what_an_address_is_counted_by(address: str | None, key: str) -> None:
    assert host_key(address) == key


def test_a_socket_takes_one_message_in_each_frame_and_carries_others_back() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with calling(door) as (session, url), session.ws_connect(url) as socket:
            await socket.send_str("one")
            await socket.send_bytes(b"two")
            source = await door.arrived.get()
            await door.arrived.get()
            assert [packed for _, packed in door.taken] == [b"one", b"two"]
            assert (source.transport, source.key) == ("websocket", "127.0.0.1")
            back = source.back
            assert back is not None
            await back.send(b'{"back":1}')
            assert (await socket.receive()).data == '{"back":1}'
            await socket.close()
            while not back.closed:  # noqa: ASYNC110 - the listener hears of the end when it does
                await asyncio.sleep(0.005)
            with pytest.raises(RemoteUnavailable):
                await back.send(b"gone")

    asyncio.run(main())


def test_a_frame_over_the_bound_closes_the_socket() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with calling(door) as (session, url), session.ws_connect(url) as socket:
            await socket.send_bytes(bytes(limits.MAX_DIDCOMM_BYTES + 1))
            assert (await socket.receive()).type == WSMsgType.CLOSE
            assert socket.close_code == 1009
            assert door.taken == []

    asyncio.run(main())


def test_a_socket_that_brings_nothing_but_garbage_is_closed() -> None:
    async def main() -> None:
        door = FakeDoor(*[REFUSED] * 100)
        async with calling(door) as (session, url), session.ws_connect(url) as socket:
            for _ in range(limits.MAX_PUBLIC_REFUSED_FRAMES):
                await socket.send_str("garbage")
            assert (await socket.receive()).type == WSMsgType.CLOSE
            assert socket.close_code == 1008
            assert len(door.taken) == limits.MAX_PUBLIC_REFUSED_FRAMES

    asyncio.run(main())


@pytest.mark.parametrize("script", [(), (REFUSED,)])
def test_a_socket_without_a_message_for_us_is_closed_in_time(script: tuple[bytes, ...]) -> None:
    async def main() -> None:
        door = FakeDoor(*script)
        async with calling(door, first_frame_s=0.05) as (session, url), session.ws_connect(url) as socket:
            if script:
                await socket.send_str("garbage")
            assert (await socket.receive()).type == WSMsgType.CLOSE

    asyncio.run(main())


def test_frames_that_are_none_end_the_socket_and_not_the_listener() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with calling(door) as (session, url):
            port = int(url.rpartition(":")[2].partition("/")[0])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"GET /didcomm HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert b" 101 " in await reader.readline()
            writer.write(b"\xff" * 4096)
            await reader.read()  # it ends
            writer.close()
            async with session.post(url, data=b"packed") as response:
                assert response.status == 202

    asyncio.run(main())


def test_a_get_that_is_no_upgrade_is_told_so() -> None:
    async def main() -> None:
        async with calling(FakeDoor()) as (session, url), session.get(url) as response:
            assert response.status == 426

    asyncio.run(main())


def test_the_listener_ends_although_sockets_are_open() -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            async with serving(FakeDoor()) as url:
                socket = await session.ws_connect(f"{url}/didcomm")
            assert (await socket.receive()).type == WSMsgType.CLOSE
            await socket.close()

    asyncio.run(main())


def test_the_did_document_is_shown_if_there_is_one() -> None:
    async def main() -> None:
        door = FakeDoor()
        async with serving(door) as url, aiohttp.ClientSession() as session:
            for path in ("/.well-known/did.json", "/did.json"):
                door.document = None
                async with session.get(url + path) as response:
                    assert response.status == 404
                door.document = {"id": "did:web:a.example"}
                async with session.get(url + path) as response:
                    assert (response.status, await response.json()) == (200, {"id": "did:web:a.example"})
                    assert response.headers["Access-Control-Allow-Origin"] == "*"

    asyncio.run(main())


def test_other_routes_can_be_added_and_nothing_else_is_there() -> None:
    async def status_list(request: web.Request) -> web.StreamResponse:
        return web.json_response({"list": request.match_info["n"]})

    async def main() -> None:
        async with (
            serving(FakeDoor(), extra=[("GET", "/credentials/status/{n}", status_list)]) as url,
            aiohttp.ClientSession() as session,
        ):
            async with session.get(f"{url}/credentials/status/7") as response:
                assert await response.json() == {"list": "7"}
            async with session.get(f"{url}/invitation?_oob=secret") as response:
                assert "pagi accept" in await response.text()
            for method, path, status in (("GET", "/v1/twin", 404), ("GET", "/", 404), ("PUT", "/didcomm", 405)):
                async with session.request(method, url + path) as response:
                    assert (response.status, response.content_type) == (status, "application/problem+json")

    asyncio.run(main())


def test_a_port_that_is_taken_is_said_plainly() -> None:
    async def main() -> None:
        async with serving(FakeDoor()) as url:
            with pytest.raises(PortInUse):
                async with listen(make_public_app(FakeDoor()), "127.0.0.1", int(url.rpartition(":")[2])):
                    raise AssertionError("it listens")

    asyncio.run(main())
