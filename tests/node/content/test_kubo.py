import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from identity.cid import Cid
from node.content import kubo_api, kubo_pins, kubo_serving
from node.content.content import Content
from node.content.errors import BackendRefused, BackendUnavailable
from node.content.kubo import KuboBlocks
from node.content.kubo_api import KuboApi
from node.content.kubo_mirror import KuboMirror
from node.content.kubo_serving import StoreThenKubo
from node.errors import ContentUnavailable
from protocols.ipld.errors import UnknownCodec
from storage.blocks import BlockStore
from storage.database import Database
from storage.errors import StorageFull
from tests.interop.kubo import Kubo, kubo_for_tests
from tests.node.content.content_parts import keep, naming, no_roots, raw
from tests.node.parts import soon

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    with kubo_for_tests(tmp_path_factory.mktemp("kubo") / "repository") as kubo:
        yield kubo


@asynccontextmanager
async def over(
    url: str,
    folder: Path,
    *,
    secret: str | None = None,
    local: BlockStore | None = None,
    elsewhere: Callable[[Sequence[Cid]], Awaitable[dict[Cid, bytes]]] | None = None,
) -> AsyncIterator[KuboBlocks]:
    api = KuboApi(url, secret=secret)
    async with Database.open(folder / "node.db") as database:
        try:
            yield KuboBlocks(api, database=database, local=local, elsewhere=elsewhere)
        finally:
            await api.close()


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def a_server(answer: Answer) -> AsyncIterator[str]:
    """Something that listens where a Kubo should."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def test_a_kubo_that_is_down_is_said_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with over(NOWHERE, tmp_path) as blocks:
            cid, block = raw()
            for call in (blocks.get(cid), blocks.fetch([cid]), keep(blocks, (cid, block)), blocks.check()):
                with pytest.raises(BackendUnavailable, match="does not answer") as caught:
                    await call
                assert "ipfs daemon" in caught.value.hint
            assert not await blocks.unpin(cid)
            assert (await blocks.pins(limit=9)).items == ()

    asyncio.run(main())


def test_nothing_that_does_not_speak_as_kubo_does_is_taken_for_it(tmp_path: Path) -> None:
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>welcome</html>", content_type="text/html")

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=403, text="403 - Access Denied")

    async def endless(_: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(kubo_api.MAX_LINE_BYTES + 2))

    async def large(_: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(kubo_api.MAX_BLOCK_BYTES + 1))

    async def main() -> None:
        for answer, match in (
            (redirect, "status 302"),
            (page, "does not answer as Kubo"),
            (refuse, "status 403"),
            (endless, "endless lines"),
        ):
            async with a_server(answer) as url, over(url, tmp_path) as blocks:
                with pytest.raises(BackendRefused, match=match):
                    await blocks.check()
        async with a_server(large) as url, over(url, tmp_path) as blocks:
            with pytest.raises(BackendRefused, match="a block of more than"):
                await blocks.get(raw()[0])
        assert asked == ["/api/v0/version"]

    asyncio.run(main())


def test_what_is_not_the_block_is_not_given(tmp_path: Path) -> None:
    async def lie(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"something else")

    async def main() -> None:
        async with a_server(lie) as url, over(url, tmp_path) as blocks:
            cid, _ = raw()
            assert await blocks.get(cid) is None
            assert await blocks.fetch([cid]) == {}

    asyncio.run(main())


def test_a_full_disk_and_other_words_of_kubo(tmp_path: Path) -> None:
    async def full(request: web.Request) -> web.StreamResponse:
        missing = "block was not found locally (offline): ipld: could not find it"
        text = missing if "stat" in request.path else "write: no space left on device"
        return web.json_response({"Message": text, "Code": 0, "Type": "error"}, status=500)

    async def main() -> None:
        async with a_server(full) as url, over(url, tmp_path) as blocks:
            with pytest.raises(StorageFull):
                await keep(blocks, raw())

    asyncio.run(main())


def test_an_answer_that_says_nothing_is_none_of_kubos(tmp_path: Path) -> None:
    """Least of all may it end a part of the node: the mirror runs for as long as the twin does."""

    async def main() -> None:
        store = BlockStore(tmp_path / "blocks", 1 << 20)
        cid, block = raw()
        store.put(cid, block)
        for text in (b"{}\n", b'{"Name": "pagi: playbook common", "Cid": "no CID", "Key": 1, "RepoSize": "1"}\n'):

            async def answer(_: web.Request, text: bytes = text) -> web.StreamResponse:
                return web.Response(body=text, content_type="application/json")

            async with a_server(answer) as url, over(url, tmp_path) as blocks:
                for call in (blocks.usage(), blocks.collect(), blocks.has(cid), keep(blocks, (cid, block))):
                    with pytest.raises(BackendRefused, match=r"does not answer as Kubo|as a CID"):
                        await call
                mirror = KuboMirror(blocks, store=store, heads=lambda: {"common": [cid]})
                await mirror.mirror()
                assert mirror._mirrored == {}
        store.close()

    asyncio.run(main())


def test_what_comes_to_no_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(request: web.Request, *, status: int, piece: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(piece)

    async def errors(request: web.Request) -> web.StreamResponse:
        return await endless(request, status=500, piece=bytes(64 * 1024))

    async def documents(request: web.Request) -> web.StreamResponse:
        return await endless(request, status=200, piece=b'{"Version": "1"}\n' * 100)

    async def main() -> None:
        async with a_server(errors) as url, over(url, tmp_path) as blocks:
            with pytest.raises(BackendRefused):
                await soon(blocks.check())
        monkeypatch.setattr(kubo_api, "CALL_S", 0.05)
        async with a_server(documents) as url, over(url, tmp_path) as blocks:
            with pytest.raises(BackendUnavailable, match="comes to no end"):
                await soon(blocks.check())

    asyncio.run(main())


def test_an_error_that_comes_in_pieces_is_read_whole(tmp_path: Path) -> None:
    sent = asyncio.Event()

    async def missing(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"Message": "ipld: ')
        sent.set()
        for _ in range(20):
            await asyncio.sleep(0)  # the client reads what has come
        await response.write(b'could not find it", "Code": 0, "Type": "error"}')
        return response

    async def main() -> None:
        async with a_server(missing) as url, over(url, tmp_path) as blocks:
            assert await blocks.get(raw()[0]) is None
            assert sent.is_set()

    asyncio.run(main())


def test_a_kubo_that_goes_down_in_the_middle_of_an_add_acknowledges_nothing(tmp_path: Path) -> None:
    stored: list[str] = []
    removed: list[str] = []

    async def half(request: web.Request) -> web.StreamResponse:
        match request.path.removeprefix("/api/v0/"):
            case "repo/stat":
                return web.json_response({"RepoSize": 0, "StorageMax": 1 << 40})
            case "block/put" if not stored:
                parts = (await request.post()).getall("data")
                stored.extend(str(raw(part.file.read())[0]) for part in parts if isinstance(part, web.FileField))
                return web.Response(text="".join(f'{{"Key": "{cid}"}}\n' for cid in stored))
            case "block/put":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "block/rm":
                removed.extend(request.query.getall("arg"))
                return web.Response()
        return web.json_response({"Message": "ipld: could not find it", "Type": "error"}, status=500)

    async def main() -> None:
        async with a_server(half) as url, over(url, tmp_path) as blocks:
            content = Content(blocks=blocks, roots=no_roots)
            with pytest.raises(BackendUnavailable):
                await content.add(os.urandom(20_000_000))
            assert stored
            assert sorted(removed) == sorted(stored)
            assert (await content.pins(limit=9)).items == ()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("secret", "sent"), [("bearer:T", "Bearer T"), ("basic:u:p", "Basic dTpw"), ("T", "Bearer T"), (None, None)]
)
def test_the_secret_goes_with_every_call(tmp_path: Path, secret: str | None, sent: str | None) -> None:
    seen: list[str | None] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({"RepoSize": 1, "StorageMax": 2})

    async def main() -> None:
        async with a_server(note) as url, over(url, tmp_path, secret=secret) as blocks:
            await blocks.usage()
        assert seen == [sent]

    asyncio.run(main())


def test_a_codec_that_kubo_is_not_given(tmp_path: Path) -> None:
    async def main() -> None:
        async with over(NOWHERE, tmp_path) as blocks:
            with pytest.raises(UnknownCodec, match="0x1234"):
                await keep(blocks, (Cid.of(0x1234, b"what"), b"what"))

    asyncio.run(main())


def test_what_is_here_or_at_the_twins_is_not_asked_of_kubos_network(tmp_path: Path) -> None:
    async def main() -> None:
        own, theirs = raw(), raw()
        store = BlockStore(tmp_path / "blocks", 1 << 20)
        store.put(*own)

        async def elsewhere(cids: Sequence[Cid]) -> dict[Cid, bytes]:
            assert cids == [theirs[0]]
            return dict([theirs])

        async with over(NOWHERE, tmp_path, local=store, elsewhere=elsewhere) as blocks:
            assert await blocks.fetch([own[0], theirs[0]]) == dict([own, theirs])
        store.close()

    asyncio.run(main())


def test_bitswap_serves_what_the_store_has_and_rests_from_a_kubo_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async def main() -> None:
        nonlocal calls
        api = KuboApi(NOWHERE)
        ask = api.block

        async def count(cid: str, **options: float | None) -> bytes:
            nonlocal calls
            calls += 1
            return await ask(cid)

        monkeypatch.setattr(api, "block", count)
        store = BlockStore(tmp_path, 1 << 20)
        cid, block = raw()
        store.put(cid, block)
        source = StoreThenKubo(store, api, loop=asyncio.get_running_loop())
        assert await asyncio.to_thread(source.get, cid) == block
        assert await asyncio.to_thread(source.has, cid)
        for _ in range(3):
            assert await asyncio.to_thread(source.get, raw()[0]) is None
        assert not await asyncio.to_thread(source.has, raw()[0])
        await api.close()
        store.close()

    asyncio.run(main())
    assert calls == 1


def test_bitswap_does_not_wait_for_a_kubo_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubo_serving, "ASK_S", 0.01)
    let_go = threading.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.to_thread(let_go.wait, 10)
        return web.Response(body=b"too late")

    async def main() -> None:
        async with a_server(hang) as url:
            api, store = KuboApi(url), BlockStore(tmp_path, 1 << 20)
            source = StoreThenKubo(store, api, loop=asyncio.get_running_loop())
            assert await asyncio.to_thread(source.get, raw()[0]) is None
            let_go.set()
            await api.close()
            store.close()

    asyncio.run(main())


# With a real Kubo


@pytest.mark.kubo
@pytest.mark.slow
def test_a_kubo_that_comes_back_works_again(tmp_path: Path) -> None:
    async def main() -> None:
        cid, block = raw()
        repository = tmp_path / "repository"
        first = ExitStack()
        url = first.enter_context(kubo_for_tests(repository)).rpc_url()
        async with over(url, tmp_path) as blocks:
            await keep(blocks, (cid, block))
            await blocks.pin(cid, "direct")
            first.close()
            for call in (blocks.get(cid), blocks.unpin(cid)):
                with pytest.raises(BackendUnavailable):
                    await call
            address = "/ip4/{}/tcp/{}".format(*url.removeprefix("http://").split(":"))
            with kubo_for_tests(repository, {"Addresses.API": address}):
                assert await blocks.get(cid) == block
                assert await blocks.unpin(cid)

    asyncio.run(main())


@pytest.mark.kubo
@pytest.mark.slow
def test_a_dag_of_which_a_part_is_missing_is_not_pinned(
    kubo: Kubo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubo_pins, "STALL_S", 1.0)

    async def main() -> None:
        root = naming(raw()[0])
        async with over(kubo.rpc_url(), tmp_path) as blocks:
            await keep(blocks, root)
            with pytest.raises(ContentUnavailable, match="not all of"):
                await blocks.pin(root[0], "recursive")
            assert (await blocks.pins(limit=9)).items == ()

    asyncio.run(main())


@pytest.mark.kubo
@pytest.mark.slow
def test_the_owners_own_pins_are_neither_listed_nor_touched(kubo: Kubo, tmp_path: Path) -> None:
    async def main() -> None:
        own = Cid.parse(kubo.ipfs("add", "--quieter", "--cid-version=1", stdin=os.urandom(50)).decode().strip())
        async with over(kubo.rpc_url(), tmp_path) as blocks:
            assert own not in [pin.cid for pin in (await blocks.pins(limit=99)).items]
            await blocks.pin(own, "recursive", "also mine")
            assert await blocks.unpin(own)
            await blocks.collect()
            assert await blocks.has(own)
        assert str(own) in kubo.ipfs("pin", "ls", "--type=recursive").decode()

    asyncio.run(main())


@pytest.mark.kubo
@pytest.mark.slow
def test_content_over_a_kubo_is_kubos_own(kubo: Kubo, tmp_path: Path) -> None:
    async def main() -> None:
        data = os.urandom(700_000)
        async with over(kubo.rpc_url(), tmp_path) as blocks:
            content = Content(blocks=blocks, roots=no_roots)
            cid, _ = await content.add(data)
            assert await asyncio.to_thread(kubo.ipfs, "cat", str(cid)) == data
            theirs = kubo.ipfs("add", "--quieter", "--cid-version=1", stdin=data[::-1]).decode().strip()
            assert await content.read(Cid.parse(theirs)) == data[::-1]
            await content.unpin(cid)
            await content.collect()
            assert not await blocks.has(cid)

    asyncio.run(main())


@pytest.mark.kubo
@pytest.mark.slow
def test_playbooks_are_pinned_in_kubo_as_they_grow(kubo: Kubo, tmp_path: Path) -> None:
    async def main() -> None:
        store = BlockStore(tmp_path / "blocks", 1 << 20)
        leaf = raw()
        first = naming(leaf[0])
        second, third = naming(first[0]), naming(first[0])
        store.put_many([leaf, first, second, third])
        heads: dict[str, Sequence[Cid]] = {"common": [first[0]], "empty": []}
        async with over(kubo.rpc_url(), tmp_path) as blocks:
            await KuboMirror(blocks, store=store, heads=lambda: heads).mirror()
            assert await blocks.pins_there.named("pagi: playbook common") == {first[0]}
            heads["common"] = [second[0], third[0]]
            mirror = KuboMirror(blocks, store=store, heads=lambda: heads)
            await mirror.mirror()
            await mirror.mirror()
            assert await blocks.pins_there.named("pagi: playbook common") == {second[0], third[0]}
            refs = await asyncio.to_thread(kubo.lines, "refs", "--recursive", "--offline", str(third[0]))
            assert set(refs) == {str(first[0]), str(leaf[0])}
        store.close()

    asyncio.run(main())


def test_a_mirror_waits_for_a_kubo_that_is_down(tmp_path: Path) -> None:
    async def main() -> None:
        store = BlockStore(tmp_path / "blocks", 1 << 20)
        cid, block = raw()
        store.put(cid, block)
        async with over(NOWHERE, tmp_path) as blocks:
            mirror = KuboMirror(blocks, store=store, heads=lambda: {"common": [cid]})
            await mirror.mirror()
            await mirror.mirror()
            assert mirror._mirrored == {}
        store.close()

    asyncio.run(main())
