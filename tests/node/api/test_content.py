"""The routes of content, over the content service and blocks in memory."""

import io
import json
import os
from typing import Any

import pytest
from fake_twin import FakeTwin
from serving import AUTH, Client, with_server

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from protocols.unixfs.layout import build_file
from tests.node.content.content_parts import tar_of
from tests.node.content.fake_blocks import FakeBlocks

TIDE = b"the tide comes in, the tide goes out"
TREE: dict[str, bytes | str | None] = {"a.txt": TIDE, "sub/b.bin": bytes(300_000), "link": "a.txt"}
NOWHERE = Cid.of(CODEC_RAW, b"nowhere")


async def add(client: Client, data: bytes, query: str = "", kind: str = "application/octet-stream") -> dict[str, Any]:
    status, added, _ = await client(
        "POST", f"/v1/ipfs/add{query}", data=io.BytesIO(data), headers={"Content-Type": kind}
    )
    assert status == 200, added
    return dict(added)


async def add_tree(client: Client) -> str:
    return str((await add(client, tar_of(TREE), kind="application/x-tar"))["cid"])


def test_a_file_goes_in_and_comes_out() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        data = os.urandom(5_000_000)
        added = await add(client, data, "?name=tides")
        root, blocks = build_file(data)
        assert added == {"cid": str(root), "size_bytes": len(data), "total_bytes": sum(map(len, blocks.values()))}
        status, back, headers = await client("GET", f"/v1/ipfs/cat/{root}")
        assert (status, back, headers["Content-Length"]) == (200, data, str(len(data)))
        assert (headers["Etag"], headers["X-Content-Type-Options"]) == (f'"{root}"', "nosniff")
        large = await add(client, data, "?chunker=size-1048576&pin=false")
        assert large["cid"] == str(build_file(data, chunk_bytes=1024 * 1024)[0])
        assert [str(cid) for cid in twin.blocks.pinned] == [added["cid"]]

    with_server(test)


@pytest.mark.parametrize("query", ["?chunker=size-0", "?chunker=size-1048577", "?chunker=rabin", "?wrap=..", "?what=1"])
def test_what_cannot_be_meant_is_refused(query: str) -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, problem, _ = await client("POST", f"/v1/ipfs/add{query}", data=b"tide")
        assert status in (400, 422), problem
        assert twin.blocks.kept == {}

    with_server(test)


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=4-7", 206, 4, 8),
        ("bytes=4-", 206, 4, None),
        ("bytes=-4", 206, -4, None),
        ("bytes=0-999", 206, 0, None),
        ("bytes=7-4", 200, 0, None),
        ("bytes=0-1,3-4", 200, 0, None),
        ("lines=1-2", 200, 0, None),
    ],
)
def test_ranges(asked: str, status: int, start: int, stop: int | None) -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        cid = (await add(client, TIDE))["cid"]
        for method in ("GET", "HEAD"):
            got, body, headers = await client(method, f"/v1/ipfs/cat/{cid}", headers={"Range": asked})
            expected = TIDE[start:stop]
            assert (got, headers["Content-Length"]) == (status, str(len(expected)))
            assert body == (expected if method == "GET" else b"")
            if status == 206:
                first = TIDE.index(expected) if start >= 0 else len(TIDE) + start
                assert headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(TIDE)}"

    with_server(test)


def test_a_range_behind_the_end_and_one_of_another_version() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        cid = (await add(client, TIDE))["cid"]
        for asked in ("bytes=36-", "bytes=99-100", "bytes=-0"):
            status, problem, got = await client("GET", f"/v1/ipfs/cat/{cid}", headers={"Range": asked})
            assert (status, problem["code"]) == (416, 41645)
            assert got["Content-Range"] == f"bytes */{len(TIDE)}"
        headers = {"Range": "bytes=0-3", "If-Range": '"another"'}
        assert (await client("GET", f"/v1/ipfs/cat/{cid}", headers=headers))[:2] == (200, TIDE)
        headers["If-Range"] = f'"{cid}"'
        assert (await client("GET", f"/v1/ipfs/cat/{cid}", headers=headers))[:2] == (206, b"the ")

    with_server(test)


def test_folders() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        folder = await add_tree(client)
        _, listed, _ = await client("GET", f"/v1/ipfs/ls/{folder}?limit=2")
        assert [(item["name"], item["kind"]) for item in listed["items"]] == [("a.txt", "file"), ("link", "symlink")]
        _, rest, _ = await client("GET", f"/v1/ipfs/ls/{folder}?limit=2&after={listed['next']}")
        assert ([item["name"] for item in rest["items"]], rest["next"]) == (["sub"], None)
        _, below, _ = await client("GET", f"/v1/ipfs/ls/{folder}?path=sub")
        assert (below["cid"], below["items"][0]["size_bytes"]) == (rest["items"][0]["cid"], 300_000)
        assert (await client("GET", f"/v1/ipfs/cat/{folder}?path=a.txt"))[1] == TIDE
        _, stat, _ = await client("GET", f"/v1/ipfs/stat/{folder}?path=link")
        assert (stat["kind"], stat["target"], stat["codec"]) == ("symlink", "a.txt", "dag-pb")
        for path, code in (
            (f"cat/{folder}", 40047),
            (f"cat/{folder}?path=none", 40437),
            (f"ls/{folder}?path=..", 40037),
        ):
            assert (await client("GET", f"/v1/ipfs/{path}"))[1]["code"] == code
        wrapped = await add(client, TIDE, "?wrap=tide.txt")
        assert (await client("GET", f"/v1/ipfs/cat/{wrapped['cid']}?path=tide.txt"))[1] == TIDE

    with_server(test)


def test_a_folder_that_leads_out_is_refused_whole() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        evil = tar_of({"big": os.urandom(1_000_000), "../out": TIDE})
        status, problem, _ = await client(
            "POST", "/v1/ipfs/add", data=evil, headers={"Content-Type": "application/x-tar"}
        )
        assert (status, problem["code"]) == (400, 40045)
        assert "'..'" in problem["detail"]
        assert twin.blocks.kept == {}

    with_server(test)


def test_pins() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        there = FakeBlocks()
        root, blocks = build_file(os.urandom(1_000_000))
        there.keep_all(blocks)
        status, problem, _ = await client("PUT", f"/v1/ipfs/pins/{root}", json={})
        assert (status, problem["code"]) == (404, 40452)
        twin.blocks.elsewhere = there
        _, pinned, _ = await client("PUT", f"/v1/ipfs/pins/{root}", json={"name": "tides"})
        assert (pinned["cid"], pinned["kind"], pinned["name"]) == (str(root), "recursive", "tides")
        assert (pinned["blocks"], pinned["new_blocks"]) == (5, 5)
        await add(client, TIDE)
        _, listed, _ = await client("GET", "/v1/ipfs/pins?limit=1")
        assert listed["items"] == [{"cid": str(root), "kind": "recursive", "name": "tides"}]
        _, rest, _ = await client("GET", f"/v1/ipfs/pins?after={listed['next']}")
        assert len(rest["items"]) == 1
        for query, count in (("name=tides", 1), ("name=none", 0), ("kind=direct", 0)):
            assert len((await client("GET", f"/v1/ipfs/pins?{query}"))[1]["items"]) == count
        _, used, _ = await client("GET", "/v1/ipfs/usage")
        assert (used["backend"], used["blocks"], used["size_bytes"]) == ("embedded", 6, twin.blocks.size_bytes)
        assert (await client("DELETE", f"/v1/ipfs/pins/{root}"))[0] == 200
        assert (await client("DELETE", f"/v1/ipfs/pins/{root}"))[1]["code"] == 40447
        freed = sum(map(len, blocks.values()))
        assert (await client("POST", "/v1/ipfs/gc"))[1] == {"blocks": 5, "size_bytes": freed}

    with_server(test)


def test_a_pin_tells_how_far_it_is_if_asked() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        there = FakeBlocks()
        root, blocks = build_file(os.urandom(1_000_000))
        there.keep_all(blocks)
        twin.blocks.elsewhere = there
        headers = {"Accept": "application/x-ndjson", **AUTH}
        url = f"{client.url}/v1/ipfs/pins/"
        async with client.session.put(f"{url}{root}", json={}, headers=headers) as response:
            assert (response.status, response.content_type) == (200, "application/x-ndjson")
            lines = [json.loads(line) async for line in response.content]
        assert lines[-1]["result"]["new_blocks"] == 5
        assert all(line.keys() == {"progress"} for line in lines[:-1])
        async with client.session.put(f"{url}{NOWHERE}", json={}, headers=headers) as response:
            (line,) = [json.loads(line) async for line in response.content]
        assert line["problem"]["code"] == 40452

    with_server(test)


def test_cars() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        folder = await add_tree(client)
        status, car, headers = await client("GET", f"/v1/ipfs/car/{folder}")
        assert (status, headers["Content-Type"]) == (200, "application/vnd.ipld.car")
        kept = dict(twin.blocks.kept)
        await client("DELETE", f"/v1/ipfs/pins/{folder}")
        await client("POST", "/v1/ipfs/gc")
        assert twin.blocks.kept == {}
        assert (await client("POST", "/v1/ipfs/car", data=car[:-1]))[1]["code"] == 40021
        assert (await client("POST", "/v1/ipfs/car?name=tides", data=car))[1] == {"roots": [folder]}
        assert twin.blocks.kept == kept
        assert [pin.name for pin in twin.blocks.pinned.values()] == ["tides"]
        assert (await client("GET", f"/v1/ipfs/car/{NOWHERE}"))[1]["code"] == 40452

    with_server(test)


def test_what_is_lost_on_the_way_cuts_the_body_off() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        data = os.urandom(30_000_000)
        cid = (await add(client, data))["cid"]
        _, blocks = build_file(data)
        del twin.blocks.kept[list(blocks)[100]]
        async with client.session.get(f"{client.url}/v1/ipfs/cat/{cid}", headers=AUTH) as response:
            assert response.status == 200
            with pytest.raises(Exception, match=r"payload|Connection|reset"):
                await response.read()
        assert (await client("GET", "/v1/id"))[0] == 200

    with_server(test)
