"""Events: published, read back, and followed as a stream."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from fake_twin import NOW, TOKEN, FakeTwin
from serving import AUTH, Client, with_server

from node.api import routes_events
from node.api.app import make_app, serve


async def next_event(stream: aiohttp.StreamReader) -> dict[str, str]:
    """The next block of a stream of server-sent events, comments under the key ''."""
    lines = (await stream.readuntil(b"\n\n")).decode().strip().split("\n")
    return {name: value.removeprefix(" ") for name, _, value in (line.partition(":") for line in lines)}


def test_publish_and_read_back() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        body = {"event_type": "note_taken", "subject": "garden", "payload": {"plants": 3}}
        status, event, _ = await client("POST", "/v1/events", json=body)
        assert status == 200
        assert event == {
            "id": event["id"],
            "event_type": "note_taken",
            "ts": NOW,
            "twin_id": twin.did,
            "subject": "garden",
            "source": "api",
            "trace_id": event["trace_id"],
            "payload": {"type": "note_taken", "data": {"plants": 3}},
        }
        await twin.events.publish("peer_connected", "x", {})
        _, log, _ = await client("GET", "/v1/events/log?source=api")
        assert log == {"items": [event], "next": None}
        _, log, _ = await client("GET", "/v1/events/log?event_type=peer_connected")
        assert [row["source"] for row in log["items"]] == ["node"]
        _, first, _ = await client("GET", "/v1/events/log?limit=1")
        _, second, _ = await client("GET", f"/v1/events/log?limit=1&after={first['next']}")
        assert [row["event_type"] for row in first["items"] + second["items"]] == ["note_taken", "peer_connected"]
        assert (await client("POST", "/v1/events", json={"event_type": "Not A Type"}))[0] == 400

    with_server(test)


def test_a_stream_gives_what_was_asked_for_and_says_what_was_missed() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        url = f"{client.url}/v1/events?event_type=task_bid&source=node"
        async with client.session.get(url, headers=AUTH) as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            assert (await next_event(response.content)) == {"": "connected"}
            await twin.events.publish("task_bid", "not from the node", {}, source="api")
            await twin.events.publish("peer_connected", "another type", {})
            wanted = await twin.events.publish("task_bid", "one\ntwo", {"price": 3})
            event = await next_event(response.content)
            assert (event["id"], event["event"]) == (wanted.id, "task_bid")
            assert json.loads(event["data"])["subject"] == "one\ntwo"
            twin.events.lag(4)
            lagged = await next_event(response.content)
            assert (lagged["event"], json.loads(lagged["data"])) == ("lagged", {"missed": 4})

    with_server(test)


def test_an_idle_stream_has_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_events, "HEARTBEAT_S", 0.001)

    async def test(client: Client, _: FakeTwin) -> None:
        async with client.session.get(f"{client.url}/v1/events", headers=AUTH) as response:
            await next_event(response.content)
            assert (await next_event(response.content)) == {"": "heartbeat"}

    with_server(test)


def test_a_reader_that_goes_frees_its_subscription(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_events, "HEARTBEAT_S", 0.001)

    async def test(client: Client, twin: FakeTwin) -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{client.url}/v1/events", headers=AUTH) as response:
            await next_event(response.content)
            assert len(twin.events.streams) == 1
            assert b"pagi_http_streams 1.0" in (await client("GET", "/metrics"))[1]
        async with asyncio.timeout(10):
            await twin.events.left.wait()
        assert twin.events.streams == []
        assert b"pagi_http_streams 0.0" in (await client("GET", "/metrics"))[1]

    with_server(test)


def test_stopping_ends_open_streams() -> None:
    async def main() -> None:
        twin = FakeTwin()
        rest: list[Any] = []

        async def read(url: str, session: aiohttp.ClientSession) -> None:
            async with session.get(f"{url}/v1/events", headers=AUTH) as response:
                rest.append(await response.content.read())

        async with aiohttp.ClientSession() as session:
            async with serve(make_app(twin, TOKEN), "127.0.0.1", 0) as url:
                reader = asyncio.create_task(read(url, session))
                await twin.events.subscribed.wait()
            async with asyncio.timeout(2):  # less than the server waits for requests under way
                await reader
        assert rest[0].startswith(b": connected\n\n")

    asyncio.run(main())


def test_a_filter_that_does_not_fit_is_refused_before_the_stream_begins() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        status, problem, _ = await client("GET", "/v1/events?event_type=Bad")
        assert (status, problem["code"]) == (400, 40010)

    with_server(test)
