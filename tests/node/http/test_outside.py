"""The HTTP client for what others name, against a real server on loopback: where it goes, and how much it takes."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from node.http.addresses import may_connect
from node.http.errors import AddressForbidden, AnswerTooLarge, HostRefused, HostSilent, HostUnreachable
from node.http.outside import Outside
from node.net.errors import NetError

PATIENCE_S = 20.0
SECRET = "a-secret-path"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A server whose pages are functions; `asked` has the path of each request that came."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.pages: dict[str, Handler] = {}
        self.headers: list[dict[str, str]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self, path: str, body: bytes = b"{}", *, status: int = 200, **headers: str) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

        self.pages[path] = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.headers.append(dict(request.headers))
        return await self.pages[request.path](request)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application(client_max_size=1024)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


def with_server(test: Callable[[Server, Outside], Coroutine[Any, Any, None]], *, allow_private: bool = True) -> None:
    async def run() -> None:
        outside = Outside(allow_private=allow_private)
        try:
            async with asyncio.timeout(PATIENCE_S), serving() as server:
                try:
                    await test(server, outside)
                finally:
                    await outside.close()
        finally:
            await outside.close()

    asyncio.run(run())


async def got(outside: Outside, url: str, *, max_bytes: int = 1000, timeout_s: float = 10) -> bytes:
    return await outside.get(url, max_bytes=max_bytes, timeout_s=timeout_s)


def resolving(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Names that the system's resolver knows, with their addresses."""

    def lookup(host: str, port: int | None, *args: Any, **more: Any) -> list[Any]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port or 0, 0, 0) if ":" in address else (address, port or 0),
            )
            for address in names[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def test_a_body_and_what_is_asked_for() -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/a", b'{"a":1}')
        assert await outside.get(server.url + "/a?x=1#f", max_bytes=7, timeout_s=10, accept="text/x") == b'{"a":1}'
        (headers,) = server.headers
        assert headers["Accept"] == "text/x"
        assert headers["Accept-Encoding"] == "identity"
        assert {"Cookie", "Authorization", "Referer"}.isdisjoint(headers)

    with_server(test)


def test_cookies_are_not_kept() -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/a", Set_Cookie="who=you; Path=/")
        await got(outside, f"http://localhost:{server.port}/a")
        await got(outside, f"http://localhost:{server.port}/a")
        assert "Cookie" not in server.headers[1]

    with_server(test)


@pytest.mark.parametrize("status", [204, 304, 400, 404, 500])
def test_only_success_is_a_body(status: int) -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/a", b"", status=status)
        if status == 204:
            assert await got(outside, server.url + "/a") == b""
            return
        with pytest.raises(HostRefused) as caught:
            await got(outside, server.url + "/a")
        assert caught.value.status == status

    with_server(test)


def test_a_body_has_its_bound_with_and_without_a_length() -> None:
    async def test(server: Server, outside: Outside) -> None:
        sent = 0

        async def endless(request: web.Request) -> web.StreamResponse:
            nonlocal sent
            response = web.StreamResponse()
            await response.prepare(request)
            while sent < 100_000_000:
                await response.write(b"x" * 65536)
                sent += 65536
            return response

        server.page("/large", b"x" * 10_000_000)
        server.pages["/endless"] = endless
        server.page("/fits", b"x" * 1000)
        assert len(await got(outside, server.url + "/fits", max_bytes=1000)) == 1000
        for path in ("/large", "/endless", "/fits"):
            with pytest.raises(AnswerTooLarge):
                await got(outside, server.url + path, max_bytes=999)
        assert sent < 50_000_000

    with_server(test)


def test_a_body_that_drips_ends_in_time() -> None:
    async def test(server: Server, outside: Outside) -> None:
        gone = asyncio.Event()

        async def drip(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b" ")
                    await asyncio.sleep(0.01)
            finally:
                gone.set()

        server.pages["/drip"] = drip
        with pytest.raises(HostSilent):
            await got(outside, server.url + "/drip", max_bytes=10**9, timeout_s=0.2)
        await gone.wait()  # the connection was closed, and the server heard of it

    with_server(test)


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    async def test(server: Server, outside: Outside) -> None:
        async def never(request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        server.pages["/never"] = never
        with pytest.raises(HostSilent):
            await got(outside, server.url + "/never", timeout_s=0.1)
        with pytest.raises(HostSilent):
            await outside.post(server.url + "/never", b"x", content_type="text/plain", max_reply_bytes=9, timeout_s=0.1)
        with pytest.raises(HostSilent):
            async with outside.websocket(server.url + "/never", max_bytes=9, timeout_s=0.1):
                raise AssertionError

    with_server(test)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZip, gzip"])
def test_a_compressed_body_is_refused_before_it_is_read(coding: str) -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/bomb", gzip.compress(bytes(5_000_000)), Content_Encoding=coding)
        with pytest.raises(AnswerTooLarge):
            await got(outside, server.url + "/bomb", max_bytes=100_000)
        with pytest.raises(AnswerTooLarge):
            await outside.post(
                server.url + "/bomb", b"", content_type="text/plain", max_reply_bytes=100_000, timeout_s=10
            )

    with_server(test)


def test_redirects_are_followed_three_times() -> None:
    async def test(server: Server, outside: Outside) -> None:
        for n in range(1, 5):
            server.page(f"/{n}", status=(301, 302, 307, 308)[n - 1], Location=f"/{n - 1}")
        server.page("/0", b"here")
        assert await got(outside, server.url + "/3") == b"here"
        with pytest.raises(HostRefused):
            await got(outside, server.url + "/4")
        server.page("/loop", status=302, Location="/loop")
        server.asked.clear()
        with pytest.raises(HostRefused):
            await got(outside, server.url + "/loop")
        assert len(server.asked) == 4

    with_server(test)


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("", HostRefused),
        ("file:///etc/passwd", AddressForbidden),
        ("ftp://example.org/", AddressForbidden),
        ("http://user:secret@127.0.0.1/", AddressForbidden),
        ("http://[::1", AddressForbidden),
        ("http://169.254.169.254/latest/meta-data/", AddressForbidden),
        ("http://[::ffff:169.254.169.254]/", AddressForbidden),
        ("http://0.0.0.0/", AddressForbidden),
    ],
)
def test_redirects_to_where_nobody_should_go(location: str, error: type[NetError]) -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/a", status=302, Location=location)
        with pytest.raises(error):
            await got(outside, server.url + "/a")
        assert server.asked == ["/a"]

    with_server(test)


def test_a_redirect_from_a_public_name_to_a_private_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public name is served here too: its address is let through once, as if it were global."""

    async def test(server: Server, outside: Outside) -> None:
        allowed = [True, False]
        monkeypatch.setattr("node.http.outside.may_connect", lambda address, *, allow_private: allowed.pop(0))
        resolving(monkeypatch, {"public.example": ["127.0.0.1"], "inside.example": ["127.0.0.1"]})
        server.page("/a", status=302, Location=f"http://inside.example:{server.port}/admin", Connection="close")
        server.page("/admin", b"secret")
        with pytest.raises(AddressForbidden):
            await got(outside, f"http://public.example:{server.port}/a")
        assert server.asked == ["/a"]

    with_server(test, allow_private=False)


HOSTS = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0.0.0.0",
    "[::]",
    "169.254.169.254",
]


@pytest.mark.parametrize("host", HOSTS)
def test_this_machine_is_not_connected_to(host: str) -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/a", b"secret")
        url = f"http://{host}:{server.port}/a"
        with pytest.raises((AddressForbidden, HostUnreachable)):
            await got(outside, url)
        with pytest.raises((AddressForbidden, HostUnreachable)):
            await outside.post(url, b"", content_type="text/plain", max_reply_bytes=9, timeout_s=10)
        with pytest.raises((AddressForbidden, HostUnreachable)):
            async with outside.websocket(url, max_bytes=9, timeout_s=10):
                raise AssertionError
        assert server.asked == []

    with_server(test, allow_private=False)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], ["::1"], ["::ffff:10.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "::1"]]
)
def test_a_name_of_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/a", b"secret")
        resolving(monkeypatch, {"rebound.example": addresses})
        with pytest.raises(AddressForbidden) as caught:
            await got(outside, f"http://rebound.example:{server.port}/{SECRET}")
        assert SECRET not in str(caught.value)
        assert server.asked == []

    with_server(test, allow_private=False)


def test_a_name_that_changes_between_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: what was checked is what is connected to, each time."""

    async def test(server: Server, outside: Outside) -> None:
        asked: list[str] = []
        monkeypatch.setattr(
            "node.http.outside.may_connect",
            lambda address, *, allow_private: asked.append(address) or address == "127.0.0.1",
        )
        server.page("/a", b"once", Connection="close")
        resolving(monkeypatch, {"moving.example": ["127.0.0.1"]})
        assert await got(outside, f"http://moving.example:{server.port}/a") == b"once"
        resolving(monkeypatch, {"moving.example": ["127.0.0.2"]})
        with pytest.raises(AddressForbidden):
            await got(outside, f"http://moving.example:{server.port}/a")
        assert asked == ["127.0.0.1", "127.0.0.2"]

    with_server(test, allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "unix:///run/docker.sock",
        "http://",
        "http://user@example.org",
        "http://user:secret@example.org",
        "http://exa mple.org",
        "http://example.org/\r\nX: y",
        "http://exämple.org/",
        "http://[::1/",
        "http://example.org:99999/",
        "http://example.org/" + "a" * 5000,
    ],
)
def test_no_urls(url: str) -> None:
    async def test(server: Server, outside: Outside) -> None:
        with pytest.raises(AddressForbidden):
            await got(outside, url)
        with pytest.raises(AddressForbidden):
            async with outside.websocket(url, max_bytes=9, timeout_s=10):
                raise AssertionError

    with_server(test)


def test_hosts_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, outside: Outside) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # and does not listen
            with pytest.raises(HostUnreachable) as caught:
                await got(outside, f"http://127.0.0.1:{closed.getsockname()[1]}/{SECRET}")
            assert SECRET not in str(caught.value)
        resolving(monkeypatch, {})
        with pytest.raises(HostUnreachable):
            await got(outside, "https://nobody.example/")
        with pytest.raises(HostUnreachable):  # TLS with one that speaks none
            await got(outside, f"https://127.0.0.1:{server.port}/")

    with_server(test)


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    async def test(server: Server, outside: Outside) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self_signed(tmp_path))
        runner = web.AppRunner(web.Application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        with pytest.raises(HostUnreachable, match="certificate"):
            await got(outside, f"https://localhost:{runner.addresses[0][1]}/")
        await runner.cleanup()

    with_server(test)


def self_signed(folder: Path) -> Path:
    """A certificate of `localhost` and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    file = folder / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    return file


def test_posts() -> None:
    async def test(server: Server, outside: Outside) -> None:
        async def echo(request: web.Request) -> web.StreamResponse:
            return web.Response(body=await request.read(), status=202, content_type=request.content_type)

        async def post(path: str, most: int = 100) -> tuple[int, str, bytes]:
            reply = await outside.post(
                server.url + path, b"hello", content_type="application/x-y", max_reply_bytes=most, timeout_s=10
            )
            return reply.status, reply.content_type, reply.body

        server.pages["/echo"] = echo
        assert await post("/echo") == (202, "application/x-y", b"hello")
        with pytest.raises(AnswerTooLarge):
            await post("/echo", 4)
        server.page("/moved", b"", status=307, Location="/echo")
        assert (await post("/moved"))[0] == 307
        server.page("/broken", b"no", status=500)
        assert (await post("/broken"))[::2] == (500, b"no")
        assert server.asked == ["/echo", "/echo", "/moved", "/broken"]

    with_server(test)


def test_a_websocket() -> None:
    async def test(server: Server, outside: Outside) -> None:
        async def echo(request: web.Request) -> web.StreamResponse:
            peer = web.WebSocketResponse()
            await peer.prepare(request)
            async for message in peer:
                await peer.send_bytes(message.data * 2)
            return peer

        server.pages["/ws"] = echo
        for url in (server.url, server.url.replace("http", "ws")):
            async with outside.websocket(url + "/ws", max_bytes=10, timeout_s=10) as socket_:
                await socket_.send_bytes(b"hello")
                assert (await socket_.receive()).data == b"hellohello"
                await socket_.send_bytes(b"longer")
                assert (await socket_.receive()).type == WSMsgType.ERROR
        assert "permessage-deflate" not in str(server.headers)

    with_server(test)


def test_a_websocket_that_is_none() -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/page", b"hello")
        server.page("/gone", b"", status=404)
        server.page("/moved", b"", status=302, Location="/page")
        for path in ("/page", "/gone", "/moved"):
            with pytest.raises(HostRefused):
                async with outside.websocket(server.url + path, max_bytes=10, timeout_s=10):
                    raise AssertionError
        assert server.asked == ["/page", "/gone", "/moved"]

    with_server(test)


def test_closing_twice_and_before_anything() -> None:
    async def test(server: Server, outside: Outside) -> None:
        server.page("/a")
        await outside.close()
        await got(outside, server.url + "/a")
        await outside.close()
        await outside.close()

    with_server(test)


def test_each_error_of_the_library_is_one_of_ours() -> None:
    """What a server does wrong comes as a NetError, for callers that try several ways."""

    async def raw(answer: bytes) -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()
            await writer.wait_closed()

        outside = Outside(allow_private=True)
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            with pytest.raises(NetError) as caught:
                await got(outside, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{SECRET}")
            assert SECRET not in str(caught.value)
        await outside.close()

    for answer in (
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
    ):
        asyncio.run(raw(answer))


@pytest.mark.parametrize(
    ("address", "private", "never"),
    [
        ("93.184.216.34", False, False),
        ("2606:2800:220:1:248:1893:25c8:1946", False, False),
        ("64:ff9b::5db8:d822", False, False),
        ("127.0.0.1", True, False),
        ("127.8.9.10", True, False),
        ("::1", True, False),
        ("10.1.2.3", True, False),
        ("172.16.0.1", True, False),
        ("192.168.1.1", True, False),
        ("100.64.0.1", True, False),
        ("fd12:3456::1", True, False),
        ("::ffff:192.168.1.1", True, False),
        ("64:ff9b::a00:1", True, False),
        ("2002:a00:1::", True, False),
        ("0.0.0.0", True, True),
        ("::", True, True),
        ("169.254.169.254", True, True),
        ("::ffff:169.254.169.254", True, True),
        ("64:ff9b::a9fe:a9fe", True, True),
        ("fe80::1", True, True),
        ("fe80::1%eth0", True, True),
        ("fd00:ec2::254", True, True),
        ("168.63.129.16", True, True),
        ("100.100.100.200", True, True),
        ("224.0.0.1", True, True),
        ("ff02::1", True, True),
        ("255.255.255.255", True, True),
        ("240.0.0.1", True, True),
        ("fec0::1", True, True),
        ("not an address", True, True),
        ("", True, True),
    ],
)
def test_where_connections_may_lead(address: str, private: bool, never: bool) -> None:
    assert may_connect(address, allow_private=False) is not private
    assert may_connect(address, allow_private=True) is not never


def test_the_library_asks_for_each_socket() -> None:
    """The whole protection stands on aiohttp's `socket_factory`: with another connector this must fail."""

    async def test(server: Server, outside: Outside) -> None:
        server.page("/a")
        asked: list[Any] = []

        def factory(info: Any) -> socket.socket:
            asked.append(info[4][0])
            raise OSError(None, "no")

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=factory)) as session:
            for host in ("127.0.0.1", "localhost"):
                with pytest.raises(aiohttp.ClientConnectorError):
                    await session.get(f"http://{host}:{server.port}/a")
        assert asked[0] == "127.0.0.1"
        assert len(asked) >= 2

    with_server(test)
