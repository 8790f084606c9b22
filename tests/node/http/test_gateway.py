"""The trustless gateway over real HTTP, before blocks in memory; tests/interop/test_gateway_kubo.py asks a Kubo too."""

import asyncio
import hashlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_PB, CODEC_RAW
from node.http import gateway_dag
from node.http.gateway import Gateway, Handler
from node.http.listening import listen
from node.http.public import make_public_app
from protocols import dag_cbor, limits
from protocols.ipld import dag_pb
from protocols.ipld.car import CarReader
from protocols.ipld.dag_pb import PbLink
from protocols.ipld.protobuf import bytes_field, varint_field
from protocols.unixfs.folders import PathWalk
from protocols.unixfs.layout import build_file
from storage.errors import StorageFailed
from tests.node.http.test_public import FakeDoor
from tests.protocols.unixfs.corpus import build_tree, content_of

TREE = {"a": {"b": {"file": 3000}, "other": 700}, "top": 5}
CAR = "application/vnd.ipld.car"


class Here:
    """The blocks of a node, and how often each was looked for. `gate` holds every look back until it is set."""

    def __init__(self, blocks: dict[Cid, bytes]) -> None:
        self.blocks = blocks
        self.looks: list[Cid] = []
        self.gate: asyncio.Event | None = None

    async def get(self, cid: Cid) -> bytes | None:
        self.looks.append(cid)
        if self.gate is not None:
            await self.gate.wait()
        return self.blocks.get(cid)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Any
    body: bytes


@dataclass(frozen=True, slots=True)
class Client:
    session: aiohttp.ClientSession
    url: str
    gateway: Gateway

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + path, headers=named) as response:
            return Answer(response.status, response.headers, await response.read())


@asynccontextmanager
async def gateway_over(blocks: dict[Cid, bytes] | Here, **options: Any) -> AsyncIterator[Client]:
    here = blocks if isinstance(blocks, Here) else Here(blocks)
    gateway = Gateway(here.get, **options)
    async with (
        listen(make_public_app(FakeDoor(), extra=gateway.routes()), "127.0.0.1", 0) as url,
        aiohttp.ClientSession(skip_auto_headers=["Accept"], auto_decompress=False) as session,
    ):
        yield Client(session, url, gateway)


def in_car(body: bytes) -> tuple[tuple[Cid, ...], list[Cid]]:
    """The roots of a CAR file and the blocks in it, checked, in their order."""
    reader = CarReader()
    blocks = reader.feed(body)
    reader.finish()
    return reader.roots, [cid for cid, _ in blocks]


def way_to(root: Cid, names: list[str], blocks: dict[Cid, bytes]) -> list[Cid]:
    """The blocks on a path, its end the last."""
    walk, passed = PathWalk(root, names), []
    while (wanted := walk.wanted) is not None:
        passed.append(wanted)
        walk.give(blocks[wanted])
    return [*passed, walk.cid]


def depth_first(cid: Cid, blocks: dict[Cid, bytes]) -> list[Cid]:
    if cid.codec != CODEC_DAG_PB:
        return [cid]
    links = dag_pb.decode(blocks[cid]).links
    return [cid, *(below for link in links for below in depth_first(link.cid, blocks))]


def test_a_block_is_its_bytes_and_may_be_kept_for_ever() -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE)
        async with gateway_over(blocks) as client:
            for cid in blocks:
                answer = await client.get(f"/ipfs/{cid}?format=raw")
                assert answer.status == 200
                assert cid.matches(answer.body)
            headers = answer.headers
            assert headers["Content-Type"] == "application/vnd.ipld.raw"
            assert headers["Content-Disposition"] == f'attachment; filename="{cid}.bin"'
            assert headers["Cache-Control"] == "public, max-age=29030400, immutable"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert headers["ETag"] == f'"{cid}.raw"'
            assert "Content-Location" not in headers
            assert client.gateway.counters["gateway_blocks_served"] == len(blocks)
        assert root.cid in blocks

    asyncio.run(main())


def test_the_accept_header_does_as_well_and_the_answer_says_where_else_it_stands() -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE)
        async with gateway_over(blocks) as client:
            answer = await client.get(f"/ipfs/{root.cid}", Accept="application/vnd.ipld.raw")
            assert root.cid.matches(answer.body)
            assert answer.headers["Content-Location"] == f"/ipfs/{root.cid}?format=raw"
            answer = await client.get(f"/ipfs/{root.cid}/a?dag-scope=block", Accept=f"{CAR};dups=y")
            location = answer.headers["Content-Location"]
            assert location == f"/ipfs/{root.cid}/a?format=car&dag-scope=block&car-dups=y"
            assert (await client.get(location)).body == answer.body

    asyncio.run(main())


def test_a_car_file_holds_the_whole_dag_depth_first() -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE, 500)
        async with gateway_over(blocks) as client:
            answer = await client.get(f"/ipfs/{root.cid}?format=car")
            assert answer.status == 200
            assert answer.headers["Content-Type"] == f"{CAR}; version=1; order=dfs; dups=n"
            assert answer.headers["Content-Disposition"] == f'attachment; filename="{root.cid}.car"'
            assert answer.headers["ETag"].startswith(f'W/"{root.cid}.car.all.')
            assert answer.headers["Accept-Ranges"] == "none"
            roots, cids = in_car(answer.body)
            assert roots == (root.cid,)
            assert cids == depth_first(root.cid, blocks)
            assert set(cids) == set(blocks)

    asyncio.run(main())


@pytest.mark.parametrize("scope", ["block", "entity", "all"])
def test_along_a_path_come_the_folders_on_the_way_and_then_the_scope(scope: str) -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE, 500)
        way = way_to(root.cid, ["a", "b", "file"], blocks)
        async with gateway_over(blocks) as client:
            answer = await client.get(f"/ipfs/{root.cid}/a/b/file?format=car&dag-scope={scope}")
            roots, cids = in_car(answer.body)
            assert roots == (root.cid,)
            below = [] if scope == "block" else depth_first(way[-1], blocks)[1:]
            assert cids == [*way, *below]
            assert f".{scope}." in answer.headers["ETag"]
            folder = in_car((await client.get(f"/ipfs/{root.cid}/a?format=car&dag-scope={scope}")).body)[1]
            whole = depth_first(way[1], blocks)[1:] if scope == "all" else []
            assert folder == [*way[:2], *whole]

    asyncio.run(main())


def test_a_sharded_folder_as_an_entity_is_all_of_its_shards_and_nothing_of_its_entries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("protocols.unixfs.directory.MAX_PLAIN_BYTES", 400)
    root, blocks = build_tree({"*": ["{}", 900], "sub": {"file": 9}})

    async def main() -> None:
        async with gateway_over(blocks) as client:
            _, cids = in_car((await client.get(f"/ipfs/{root.cid}?format=car&dag-scope=entity")).body)
            assert len(cids) > 10
            assert set(cids) == {cid for cid in blocks if cid.codec == CODEC_DAG_PB} - {way[-1] for way in [sub]}
            _, cids = in_car((await client.get(f"/ipfs/{root.cid}/sub/file?format=car")).body)
            assert cids == [*sub, Cid.of(CODEC_RAW, content_of("file", 9))]

    sub = way_to(root.cid, ["sub"], blocks)
    asyncio.run(main())


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0:*", 0, 3000),
        ("0:0", 0, 1),
        ("499:500", 499, 501),
        ("1234:1777", 1234, 1778),
        ("-1:*", 2999, 3000),
        ("-600:-500", 2400, 2501),
        ("2999:99999", 2999, 3000),
        ("-99999:9", 0, 10),
        ("600:-2000", 600, 1001),
        ("2000:-2000", 2000, 2000),
    ],
)
def test_a_range_is_the_fewest_blocks_that_prove_it(asked: str, start: int, stop: int) -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE, 500)
        way = way_to(root.cid, ["a", "b", "file"], blocks)
        leaves = [link.cid for link in dag_pb.decode(blocks[way[-1]]).links]
        needed = leaves[start // 500 : -(-stop // 500)] if stop > start else []
        kept = {cid: block for cid, block in blocks.items() if cid in (*way, *needed)}
        async with gateway_over(kept) as client:
            answer = await client.get(f"/ipfs/{root.cid}/a/b/file?format=car&entity-bytes={asked}")
            assert in_car(answer.body)[1] == [*way, *needed]

    asyncio.run(main())


def test_ranges_of_what_is_no_file_are_not_looked_at_and_those_behind_the_end_refused() -> None:
    async def main() -> None:
        root, blocks = build_tree({"a": {"x": 9}, "empty": 0})
        async with gateway_over(blocks) as client:
            assert in_car((await client.get(f"/ipfs/{root.cid}?format=car&entity-bytes=5:9")).body)[1] == [root.cid]
            path = f"/ipfs/{root.cid}/a/x?format=car&entity-bytes="
            assert (await client.get(path + "9:*")).status == 400
            assert len(in_car((await client.get(path + "8:*")).body)[1]) == 3
            empty = await client.get(f"/ipfs/{root.cid}/empty?format=car&entity-bytes=0:*")
            assert len(in_car(empty.body)[1]) == 2
            tags = [(await client.get(path + asked)).headers["ETag"] for asked in ("0:*", "0:1", "0:2")]
            assert len(set(tags)) == 3

    asyncio.run(main())


def test_duplicates_come_as_often_as_they_are_named_if_that_is_asked_for() -> None:
    async def main() -> None:
        root, blocks = build_file(bytes(1000), chunk_bytes=1)
        assert len(blocks) == 4
        everything = depth_first(root, blocks)
        assert len(everything) > 1000
        async with gateway_over(blocks) as client:
            for scope in ("all", "entity"):
                path = f"/ipfs/{root}?format=car&dag-scope={scope}"
                assert in_car((await client.get(path + "&car-dups=y")).body)[1] == everything
                assert in_car((await client.get(path)).body)[1] == list(dict.fromkeys(everything))
            answer = await client.get(f"/ipfs/{root}?format=car", Accept=f"{CAR};order=dfs;dups=y")
            assert answer.headers["Content-Type"].endswith("dups=y")

    asyncio.run(main())


def test_another_dag_than_files() -> None:
    async def main() -> None:
        leaf = Cid.of(CODEC_RAW, b"tide")
        block = dag_cbor.encode({"b": bytes(leaf), "a": 1})
        root = Cid.of(CODEC_DAG_CBOR, block)
        async with gateway_over({leaf: b"tide", root: block}) as client:
            for scope, cids in (("all", [root, leaf]), ("entity", [root]), ("block", [root])):
                assert in_car((await client.get(f"/ipfs/{root}?format=car&dag-scope={scope}")).body)[1] == cids
            assert in_car((await client.get(f"/ipfs/{root}?format=car&entity-bytes=0:3")).body)[1] == [root]
            assert (await client.get(f"/ipfs/{root}/b?format=car")).status == 400

    asyncio.run(main())


def test_head_says_what_get_would() -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE)
        async with gateway_over(blocks) as client:
            for path in (f"/ipfs/{root.cid}?format=raw", f"/ipfs/{root.cid}/a?format=car", "/ipfs/bafkqaaa?format=raw"):
                head, got = await client.get(path, method="HEAD"), await client.get(path)
                assert (head.status, head.body) == (200, b"")
                for name in ("Content-Type", "ETag", "Cache-Control", "Content-Disposition"):
                    assert head.headers[name] == got.headers[name]
            assert (await client.get(f"/ipfs/{root.cid}?format=raw", method="HEAD")).headers["Content-Length"] == str(
                len(blocks[root.cid])
            )
            missing = Cid.of(CODEC_RAW, b"not here")
            for form in ("raw", "car"):
                assert (await client.get(f"/ipfs/{missing}?format={form}", method="HEAD")).status == 404

    asyncio.run(main())


def test_what_the_client_has_is_not_sent_again() -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE)
        async with gateway_over(blocks) as client:
            for path in (f"/ipfs/{root.cid}?format=raw", f"/ipfs/{root.cid}/a?format=car"):
                tag = (await client.get(path)).headers["ETag"]
                for known in (tag, f'"x", {tag}', tag.removeprefix("W/"), f"W/{tag.removeprefix('W/')}", "*"):
                    answer = await client.get(path, If_None_Match=known)
                    assert (answer.status, answer.body) == (304, b"")
                    assert answer.headers["ETag"] == tag
                assert (await client.get(path, If_None_Match='"another"')).status == 200

    asyncio.run(main())


def test_what_is_not_here_is_not_looked_for_elsewhere() -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE)
        missing = Cid.of(CODEC_RAW, b"not here")
        async with gateway_over(blocks) as client:
            for path, status in (
                (f"/ipfs/{missing}?format=raw", 404),
                (f"/ipfs/{missing}?format=car", 404),
                (f"/ipfs/{root.cid}/nowhere?format=car", 404),
                (f"/ipfs/{root.cid}/top/below?format=car", 404),
                (f"/ipfs/{missing}/a?format=car", 404),
            ):
                answer = await client.get(path)
                assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
                assert b"detail" in answer.body
            cached = await client.get(f"/ipfs/{missing}?format=raw", Cache_Control="only-if-cached")
            assert cached.status == 412
            assert (await client.get(f"/ipfs/{root.cid}?format=raw", Cache_Control="only-if-cached")).status == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ipfs/{root}", {}, 400),
        ("/ipfs/{root}", {"Accept": "text/html"}, 406),
        ("/ipfs/{root}?format=tar", {}, 406),
        ("/ipfs/{root}/a?format=raw", {}, 400),
        ("/ipfs/tide?format=raw", {}, 400),
        ("/ipfs/{root}/..%2f..%2fetc%2fpasswd?format=car", {}, 400),
        ("/ipfs/{root}?format=raw", {"Service-Worker": "script"}, 400),
        ("/ipfs/?format=raw", {}, 400),
        ("/ipns/example.com?format=ipns-record", {}, 400),
        ("/ipns/k51abc?format=car", {}, 406),
    ],
)
def test_what_is_refused(path: str, headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE)
        here = Here(blocks)
        async with gateway_over(here) as client:
            named = {name.replace("-", "_"): value for name, value in headers.items()}
            answer = await client.get(path.format(root=root.cid), **named)
            assert answer.status == status
            assert here.looks == []
            assert client.gateway.counters["gateway_refused"] == 1

    asyncio.run(main())


def test_the_probe_is_answered_without_a_look_at_the_disk() -> None:
    async def main() -> None:
        here = Here({})
        async with gateway_over(here) as client:
            raw = await client.get("/ipfs/bafkqaaa?format=raw")
            assert (raw.status, raw.body) == (200, b"")
            car = await client.get("/ipfs/bafkqaaa", Accept=CAR)
            assert car.status == 200
            header = dag_cbor.parse(car.body[1:], max_depth=3)
            assert header == {"roots": [bytes.fromhex("01550000")], "version": 1}
            assert car.body[0] == len(car.body) - 1
            assert here.looks == []

    asyncio.run(main())


def test_web_pages_may_ask() -> None:
    async def main() -> None:
        async with gateway_over({}) as client:
            answer = await client.get("/ipfs/bafkqaaa", method="OPTIONS")
            assert answer.status == 204
            assert "GET" in answer.headers["Access-Control-Allow-Methods"]
            assert (await client.get("/ipfs/bafkqaaa?format=raw", method="POST")).status == 405

    asyncio.run(main())


def test_a_name_to_save_it_by() -> None:
    async def main() -> None:
        _, blocks = build_tree({})
        (cid,) = blocks
        async with gateway_over(blocks) as client:
            for name, said in (
                ("tide.bin", 'attachment; filename="tide.bin"'),
                ("%22%0d%0aX-Evil:%20/..%5C", 'attachment; filename="X-Evil: .."'),
                ("te%D1%82.pdf", "attachment; filename=\"te_.pdf\"; filename*=UTF-8''te%D1%82.pdf"),
            ):
                answer = await client.get(f"/ipfs/{cid}?format=raw&filename={name}")
                assert answer.headers["Content-Disposition"] == said

    asyncio.run(main())


async def broken_off(client: Client, path: str) -> int:
    """Ask for a CAR file that cannot be sent whole; how many bytes came before the connection ended."""
    came = 0
    async with client.session.get(client.url + path) as response:
        assert response.status == 200
        try:
            async for chunk in response.content.iter_any():
                came += len(chunk)
        except (aiohttp.ClientPayloadError, aiohttp.ClientOSError):
            return came
    raise AssertionError("the file came to its end")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition. Fails if it is not met in time."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the gateway counts it, and signals nothing
            await asyncio.sleep(0)


def lying_file() -> tuple[Cid, dict[Cid, bytes]]:
    """A file whose second part is longer than it says."""
    parts = [(Cid.of(CODEC_RAW, b"tide"), 4), (Cid.of(CODEC_RAW, b"ebb!"), 3)]
    data = varint_field(1, 2) + varint_field(3, 7) + b"".join(varint_field(4, size) for _, size in parts)
    block = dag_pb.encode([PbLink(cid, "", 0) for cid, _ in parts], data)
    root = Cid.of(CODEC_DAG_PB, block)
    return root, {root: block, parts[0][0]: b"tide", parts[1][0]: b"ebb!"}


def endless_file() -> tuple[Cid, dict[Cid, bytes]]:
    """A file of 200^7 chunks in nine blocks."""
    cid, size = Cid.of(CODEC_RAW, b"tide"), 4
    blocks = {cid: b"tide"}
    for _ in range(7):
        data = varint_field(1, 2) + varint_field(3, 200 * size) + 200 * varint_field(4, size)
        block = dag_pb.encode([PbLink(cid, "", 0)] * 200, data)
        cid, size = Cid.of(CODEC_DAG_PB, block), 200 * size
        blocks[cid] = block
    return cid, blocks


def endless_shards() -> tuple[Cid, dict[Cid, bytes]]:
    """A folder of which every slot of every shard holds the same shard."""
    cid, blocks = Cid.of(CODEC_RAW, b"tide"), {Cid.of(CODEC_RAW, b"tide"): b"tide"}
    for _ in range(4):
        data = varint_field(1, 5) + bytes_field(2, b"\xff" * 32) + varint_field(5, 0x22) + varint_field(6, 256)
        block = dag_pb.encode([PbLink(cid, f"{slot:02X}", 0) for slot in range(256)], data)
        cid = Cid.of(CODEC_DAG_PB, block)
        blocks[cid] = block
    return cid, blocks


def without_a_leaf() -> tuple[Cid, dict[Cid, bytes]]:
    root, blocks = build_tree(TREE, 500)
    last = depth_first(root.cid, blocks)[-1]
    return root.cid, {cid: block for cid, block in blocks.items() if cid != last}


def of_another_codec() -> tuple[Cid, dict[Cid, bytes]]:
    root = Cid.of(0x78, b"tide")
    return root, {root: b"tide"}


@pytest.mark.parametrize(
    ("make", "query"),
    [
        (without_a_leaf, ""),
        (lying_file, "&dag-scope=entity"),
        (endless_shards, "&dag-scope=entity"),
        (endless_file, "&car-dups=y"),
        (endless_file, "&dag-scope=entity&car-dups=y"),
        (of_another_codec, ""),
    ],
)
def test_a_car_file_that_cannot_go_on_is_broken_off(
    make: Callable[[], tuple[Cid, dict[Cid, bytes]]], query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_GATEWAY_BLOCKS", 3000)

    async def main() -> None:
        root, blocks = make()
        async with gateway_over(blocks) as client:
            await broken_off(client, f"/ipfs/{root}?format=car{query}")
            assert client.gateway.counters["gateway_broken_off"] == 1
            assert (await client.get(f"/ipfs/{root}?format=raw")).status == 200

    asyncio.run(main())


@pytest.mark.slow
def test_an_endless_file_is_a_few_blocks_without_duplicates() -> None:
    async def main() -> None:
        root, blocks = endless_file()
        here = Here(blocks)
        async with gateway_over(here) as client:
            for query in ("", "&dag-scope=entity", "&entity-bytes=0:*"):
                assert set(in_car((await client.get(f"/ipfs/{root}?format=car{query}")).body)[1]) == set(blocks)
            assert len(here.looks) < 100
            one = await client.get(f"/ipfs/{root}?format=car&entity-bytes=-1:*")
            assert len(in_car(one.body)[1]) == 8

    asyncio.run(main())


def test_too_many_links_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_dag.limits, "MAX_GATEWAY_AHEAD", 150)

    async def main() -> None:
        root, blocks = endless_file()
        async with gateway_over(blocks) as client:
            await broken_off(client, f"/ipfs/{root}?format=car")
            await broken_off(client, f"/ipfs/{root}?format=car&dag-scope=entity")

    asyncio.run(main())


def test_a_response_is_bounded_in_bytes_and_time() -> None:
    async def main() -> None:
        root, blocks = build_file(hashlib.shake_128(b"x").digest(100_000), chunk_bytes=1000)
        async with gateway_over(blocks, response_bytes=50_000) as client:
            assert await broken_off(client, f"/ipfs/{root}?format=car") <= 50_000
        here = Here(blocks)
        here.gate = asyncio.Event()
        async with gateway_over(here, response_s=0.05) as client:
            assert (await client.get(f"/ipfs/{root}?format=car")).status == 504
            assert client.gateway._under_way.total() == 0

    asyncio.run(main())


@pytest.mark.parametrize("form", ["raw", "car&car-dups=y"])
def test_one_who_takes_nothing_is_cut_off(form: str) -> None:
    def small(handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            return await handler(request)

        return handle

    async def main() -> None:
        block = bytes(range(256)) * 4000
        cid = Cid.of(CODEC_RAW, block)
        gateway = Gateway(Here({cid: block}).get, stall_s=0.1)
        routes = [(method, path, small(handler)) for method, path, handler in gateway.routes()]
        async with listen(make_public_app(FakeDoor(), extra=routes), "127.0.0.1", 0) as url:
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
                client.sendall(f"GET /ipfs/{cid}?format={form} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await until(lambda: gateway._under_way.total() == 1)
                await until(lambda: gateway.counters["gateway_broken_off"] == 1)
            await until(lambda: gateway._under_way.total() == 0)

    asyncio.run(main())


def test_a_large_block_is_read_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a path is looked up in a folder of thousands of names, everybody else is answered."""
    reading, go_on = threading.Event(), threading.Event()
    give = PathWalk.give

    def slow(walk: PathWalk, block: bytes) -> None:
        reading.set()
        assert go_on.wait(20)
        give(walk, block)

    async def main() -> None:
        root, blocks = build_tree({f"name {number}": 1 for number in range(500)})
        async with gateway_over(blocks) as client:
            looking = asyncio.ensure_future(client.get(f"/ipfs/{root.cid}/name%207?format=car"))
            await until(reading.is_set)
            assert (await client.get(f"/ipfs/{root.cid}?format=raw")).status == 200
            assert not looking.done()
            go_on.set()
            assert (await looking).status == 200

    monkeypatch.setattr(PathWalk, "give", slow)
    asyncio.run(main())


def test_so_many_responses_at_once_and_no_more() -> None:
    async def main() -> None:
        _, blocks = build_tree({})
        (cid,) = blocks
        here = Here(blocks)
        here.gate = asyncio.Event()
        path = f"/ipfs/{cid}?format=raw"
        async with gateway_over(here) as client:
            waiting = [asyncio.ensure_future(client.get(path)) for _ in range(limits.MAX_GATEWAY_RESPONSES_PER_HOST)]
            await until(lambda: len(here.looks) == len(waiting))
            refused = await client.get(path)
            assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
            here.gate.set()
            assert [(await answer).status for answer in waiting] == [200] * len(waiting)
            assert (await client.get(path)).status == 200

    asyncio.run(main())


def test_what_the_owner_denies_is_gone() -> None:
    async def main() -> None:
        root, blocks = build_tree(TREE)
        folder = way_to(root.cid, ["a"], blocks)[-1]
        async with gateway_over(blocks, denied=[folder]) as client:
            for path in (f"/ipfs/{folder}?format=raw", f"/ipfs/{root.cid}/a/other?format=car"):
                assert (await client.get(path)).status == 410
            await broken_off(client, f"/ipfs/{root.cid}?format=car")
            assert (await client.get(f"/ipfs/{root.cid}/top?format=car")).status == 200

    asyncio.run(main())


def test_a_disk_that_fails_is_no_answer() -> None:
    async def fail(cid: Cid) -> bytes | None:
        raise StorageFailed("the disk is gone")

    async def main() -> None:
        here = Here({})
        here.get = fail  # type: ignore[method-assign]
        async with gateway_over(here) as client:
            assert (await client.get(f"/ipfs/{Cid.of(CODEC_RAW, b'')}?format=raw")).status == 503

    asyncio.run(main())


def test_the_record_of_a_name() -> None:
    name = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"

    async def record(asked: str) -> bytes | None:
        return b"signed" if asked == name else None

    async def main() -> None:
        async with gateway_over({}, record=record) as client:
            answer = await client.get(f"/ipns/{name}", Accept="application/vnd.ipfs.ipns-record")
            assert (answer.status, answer.body) == (200, b"signed")
            assert answer.headers["Content-Type"] == "application/vnd.ipfs.ipns-record"
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert "immutable" not in answer.headers["Cache-Control"]
            path = f"/ipns/{name}?format=ipns-record"
            assert (await client.get(path, If_None_Match=answer.headers["ETag"])).status == 304
            assert (await client.get(path, method="HEAD")).headers["Content-Length"] == "6"
            assert (await client.get("/ipns/k51another?format=ipns-record")).status == 404
        async with gateway_over({}) as client:
            assert (await client.get(path)).status == 404

    asyncio.run(main())
