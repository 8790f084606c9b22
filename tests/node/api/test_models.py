"""The routes of models of a twin's own."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from fake_twin import FakeTwin
from serving import AUTH, Client, with_server

LOCAL = "/v1/models/local"


def test_what_is_here_and_what_answers() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, page, _ = await client("GET", LOCAL)
        assert status == 200
        (item,) = page["items"]
        assert (item["name"], item["in_use"], item["capable"], item["licence"]) == (
            "bundled",
            True,
            False,
            "apache-2.0",
        )
        assert page["begun"] == [
            {"name": "big", "source": "owner/big:b.gguf", "size_bytes": 10**8, "total_bytes": 10**9}
        ]
        assert page["now"]["fit"]["parallel"] == 4
        assert page["now"]["fit"]["why"]
        assert (await client("GET", f"{LOCAL}/bundled"))[1] == item

    with_server(test)


def test_a_model_is_added_used_and_removed() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, added, _ = await client("POST", LOCAL, json={"source": "/tiny.gguf", "sha256": "0" * 64})
        assert (status, added["name"], added["capable"], added["in_use"]) == (200, "tiny", True, False)
        assert (await client("POST", f"{LOCAL}/tiny/use", json={}))[0] == 200
        status, problem, _ = await client("DELETE", f"{LOCAL}/tiny")
        assert (status, problem["code"]) == (409, 40917)
        assert (await client("POST", f"{LOCAL}/none/use"))[0] == 200
        assert (await client("DELETE", f"{LOCAL}/tiny"))[1] == {"name": "tiny"}
        assert (await client("GET", f"{LOCAL}/tiny"))[0] == 404

    with_server(test)


def test_work_without_news_ends_too_when_the_client_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def stalled(*_: object, **__: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def test(client: Client, twin: FakeTwin) -> None:
        monkeypatch.setattr(twin.models.catalog, "add", stalled)
        monkeypatch.setattr("node.api.streaming.PROGRESS_EVERY_S", 0.01)
        headers = {"Accept": "application/x-ndjson", **AUTH}
        async with aiohttp.ClientSession() as session:
            response = await session.post(f"{client.url}{LOCAL}", json={"source": "o/r"}, headers=headers)
            await began.wait()
            response.close()
        async with asyncio.timeout(20):
            await ended.wait()

    with_server(test)


def test_progress_comes_line_by_line() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        headers = {"Accept": "application/x-ndjson"}
        status, body, _ = await client("POST", LOCAL, json={"source": "owner/repo"}, headers=headers)
        lines = [json.loads(line) for line in body.splitlines()] if isinstance(body, (str, bytes)) else [body]
        assert status == 200
        assert lines[-1]["result"]["name"] == "tiny"
        status, body, _ = await client("POST", LOCAL, json={"source": "owner/cut"}, headers=headers)
        lines = [json.loads(line) for line in body.splitlines()] if isinstance(body, (str, bytes)) else [body]
        assert (status, lines[-1]["problem"]["code"]) == (200, 50217)

    with_server(test)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"source": ""}, 400),
        ({"source": "x" * 5000}, 400),
        ({"source": "a\nb"}, 400),
        ({"source": "owner/repo", "name": "../evil"}, 400),
        ({"source": "owner/repo", "sha256": "short"}, 400),
        ({"source": "owner/repo", "more": 1}, 400),
        ({}, 400),
        ({"source": "/absent"}, 400),
    ],
)
def test_what_cannot_be_meant_is_refused(body: dict[str, Any], status: int) -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        assert (await client("POST", LOCAL, json=body))[0] == status

    with_server(test)


def test_a_model_that_nobody_knows() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        for method, path in (("GET", "x"), ("DELETE", "x"), ("POST", "x/use")):
            status, problem, _ = await client(method, f"{LOCAL}/{path}")
            assert (status, problem["code"]) == (404, 40417)

    with_server(test)
