"""What holds for every route: the token, the Host header, errors as problem documents, bounds, trace ids."""

import asyncio
import gzip
import io
import json
import logging
import socket

import pytest
from fake_twin import TOKEN, FakeTwin
from serving import AUTH, Client, with_server

from node.api.app import make_app, serve
from node.api.errors import CannotServe
from node.api.middleware import host_name
from node.api.router import MAX_BODY_DEPTH
from node.errors import PortInUse
from protocols.limits import MAX_API_BODY_BYTES

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "hint", "trace_id"}


def check_problem(answer: tuple[int, dict[str, object], dict[str, str]], status: int, code: int) -> dict[str, object]:
    got, document, headers = answer
    assert (got, document["status"], document["code"]) == (status, status, code), document
    assert headers["Content-Type"].startswith("application/problem+json")
    assert set(document) == PROBLEM_MEMBERS
    assert document["trace_id"] == headers["X-Trace-Id"]
    assert document["hint"]
    assert document["detail"]
    return document


@pytest.mark.parametrize("path", ["/v1/id", "/v1/openapi.json", "/metrics", "/v1/events", "/v1/nothing", "/else"])
@pytest.mark.parametrize("given", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"])
def test_without_the_token_there_is_nothing(path: str, given: str | None) -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        headers = {} if given is None else {"Authorization": given}
        async with client.session.get(client.url + path, headers=headers) as response:
            answer = (response.status, await response.json(content_type=None), dict(response.headers))
            check_problem(answer, 401, 40180)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")

    with_server(test)


def test_metrics_may_be_public() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        async with client.session.get(client.url + "/metrics") as response:
            assert response.status == 200

    with_server(test, metrics_public=True)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8888", "10.0.0.1", "", "127.0.0.1.evil.example"])
def test_another_host_is_refused(host: str) -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        check_problem(await client("GET", "/v1/id", headers={"Host": host}), 403, 40380)
        check_problem(await client("GET", "/live", headers={"Host": host}), 403, 40380)

    with_server(test)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8888", "twin.lan:1"])
def test_loopback_and_configured_hosts_are_taken(host: str) -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        assert (await client("GET", "/v1/id", headers={"Host": host}))[0] == 200

    with_server(test, hosts=["Twin.lan"])


@pytest.mark.parametrize(
    ("authority", "host"),
    [("a:1", "a"), ("A.", "a"), ("a.:1", "a"), ("[::1]:1", "::1"), ("[::1]", "::1"), ("", ""), (":1", "")],
)
def test_host_name(authority: str, host: str) -> None:
    assert host_name(authority) == host


def test_unknown_routes_and_methods() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        check_problem(await client("GET", "/v1/nothing"), 404, 40480)
        check_problem(await client("GET", "/"), 404, 40480)
        answer = await client("DELETE", "/v1/trust")
        check_problem(answer, 405, 40580)
        assert answer[2]["Allow"] == "GET,PUT"
        answer = await client("DELETE", "/v1/credentials/verify")
        assert answer[2]["Allow"] == "POST", "what {id} takes is not what this path takes"

    with_server(test)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b'{"goal": "\xff"}', "body"),
        (b'{"goal": "a"} {}', "body"),
        (b"[]", "body: /: should be a JSON object"),
        (b"null", "body: /:"),
        (b"{}", "body: /goal:"),
        (b'{"goal": 7}', "body: /goal:"),
        (b'{"goal": "  "}', "body: /goal:"),
        (b'{"goal": "a", "max_steps": "2"}', "body: /max_steps:"),
        (b'{"goal": "a", "max_steps": 1.5}', "body: /max_steps:"),
        (b'{"goal": "a", "max_steps": 0}', "body: /max_steps:"),
        (b'{"goal": "a", "max_steps": true}', "body: /max_steps:"),
        (b'{"goal": "a", "other": 1}', "body: /other:"),
        (b"[" * (MAX_BODY_DEPTH + 1) + b"]" * (MAX_BODY_DEPTH + 1), "body"),
        (b"[" * 10_000, "body"),
    ],
)
def test_a_body_that_does_not_fit_is_pointed_at(body: bytes, where: str) -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        problem = check_problem(await client("POST", "/v1/interact", data=body), 400, 40010)
        assert str(problem["detail"]).startswith(where)
        assert twin.jobs.jobs == []

    with_server(test)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=", "other=1", "limit=1&limit=2", "after=" + "x" * 513]
)
def test_a_query_that_does_not_fit_is_pointed_at(query: str) -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        problem = check_problem(await client("GET", f"/v1/jobs?{query}"), 400, 40010)
        assert str(problem["detail"]).startswith(f"query: /{query.partition('=')[0]}:")

    with_server(test)


def test_bodies_are_bounded() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        goal = json.dumps({"goal": "a" * (MAX_API_BODY_BYTES - 16)}).encode()
        assert len(goal) < MAX_API_BODY_BYTES
        assert (await client("POST", "/v1/interact", data=io.BytesIO(goal)))[0] == 200
        large = io.BytesIO(b" " * MAX_API_BODY_BYTES + goal)
        check_problem(await client("POST", "/v1/interact", data=large), 413, 41380)
        assert len(twin.jobs.jobs) == 1

    with_server(test)


@pytest.mark.parametrize("path", ["/v1/interact", "/v1/ipfs/add"])
def test_a_body_that_is_not_in_its_encoding_is_the_senders_fault(path: str) -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        check_problem(await client("POST", path, data=b"this is no gzip", headers=headers), 400, 40010)

    with_server(test)


def test_what_a_compressed_body_unpacks_to_is_bounded() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        twin.blocks.quota_bytes = 2 * MAX_API_BODY_BYTES
        bomb = gzip.compress(b" " * (twin.blocks.quota_bytes + 1), 1)
        headers = {"Content-Encoding": "gzip"}
        check_problem(await client("POST", "/v1/interact", data=bomb, headers=headers), 413, 41380)
        check_problem(await client("POST", "/v1/ipfs/add", data=bomb, headers=headers), 507, 50771)
        assert twin.blocks.kept == {}

    with_server(test)


def test_content_is_refused_by_its_announced_length() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Length": str(twin.blocks.quota_bytes + 1)}
        reader, writer = await asyncio.open_connection("127.0.0.1", int(client.url.rpartition(":")[2]))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"POST /v1/ipfs/add HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n".encode())
        assert b" 507 " in await reader.readline()
        writer.close()
        await writer.wait_closed()

    with_server(test)


def test_an_unexpected_error_is_logged_once_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        problem = check_problem(await client("POST", "/v1/interact", json={"goal": "break"}), 500, 50082)
        assert "secret" not in json.dumps(problem)
        (record,) = [record for record in caplog.records if record.exc_info]
        assert str(problem["trace_id"]) in record.getMessage()

    with caplog.at_level(logging.WARNING):
        with_server(test)


@pytest.mark.slow
def test_whoever_goes_in_the_middle_of_a_transfer_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        data = io.BytesIO(bytes(48_000_000))  # more than both sides' sockets hold
        added = (await client("POST", "/v1/ipfs/add", data=data, headers={"Content-Type": "application/octet-stream"}))[
            1
        ]
        async with client.session.get(f"{client.url}/v1/ipfs/cat/{added['cid']}", headers=AUTH) as response:
            await response.content.readexactly(1000)
            response.close()
        async with asyncio.timeout(30):
            while 'status="499"' not in (await client("GET", "/metrics"))[1].decode():  # it is counted when noticed
                pass

    with caplog.at_level(logging.WARNING):
        with_server(test)
    assert [record.getMessage() for record in caplog.records] == []


def test_a_valid_traceparent_is_taken_over() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        for header, taken in (
            (f"00-{trace}-00f067aa0ba902b7-01", True),
            (f"cc-{trace}-00f067aa0ba902b7-01-later", True),
            (f"ff-{trace}-00f067aa0ba902b7-01", False),
            (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
            (f"00-{trace}-{'0' * 16}-01", False),
            (f"00-{trace.upper()}-00f067aa0ba902b7-01", False),
            ("nonsense", False),
        ):
            _, _, headers = await client("GET", "/v1/id", headers={"traceparent": header})
            assert (headers["X-Trace-Id"] == trace) is taken, header
            assert len(headers["X-Trace-Id"]) == 32
        _, event, headers = await client("POST", "/v1/events", json={"event_type": "mine"})
        assert event["trace_id"] == headers["X-Trace-Id"] == twin.events.happened[-1].trace_id

    with_server(test)


def test_a_path_part_is_bounded() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        check_problem(await client("GET", f"/v1/jobs/{'x' * 257}"), 400, 40010)

    with_server(test)


def test_metrics_count_requests_by_template() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        for path in ("/v1/jobs/a", "/v1/jobs/b", "/v1/unheard-of", "/v1/id"):
            await client("GET", path)
        await client("BREW", "/v1/id")
        status, data, headers = await client("GET", "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain")
        lines = data.decode().splitlines()
        assert 'pagi_http_requests_total{method="GET",route="/v1/jobs/{id}",status="404"} 2.0' in lines
        assert 'pagi_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in lines
        assert 'pagi_counts_total{kind="gossip_received"} 7.0' in lines
        assert 'pagi_build{version="0.0.1"} 1.0' in lines
        assert not [line for line in lines if "BREW" in line or "unheard-of" in line]

    with_server(test)


def test_a_busy_port_and_a_foreign_address_are_named() -> None:
    async def main() -> None:
        app = make_app(FakeTwin(), TOKEN)
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(PortInUse, match=f"127.0.0.1:{port}"):
                async with serve(app, "127.0.0.1", port):
                    pass
        with pytest.raises(CannotServe):
            async with serve(make_app(FakeTwin(), TOKEN), "192.0.2.1", 0):
                pass

    asyncio.run(main())
