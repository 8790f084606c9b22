"""Fetching from a real hub, on loopback, that has bad days: what comes is right and whole, or it is not there."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from node.inference.downloading import SPARE_BYTES, Progress, Wanted, bring, halves
from node.inference.errors import HubRefused, HubUnreachable, ModelDamaged, ModelNotNamed, ModelTooLarge
from node.inference.hub import Hub, HubFile, is_hub_name
from tests.node.inference.hub_server import REPO, HubServer, serving

DATA = os.urandom(300_000)
FILE = "tiny-Q4_K_M.gguf"
NAME = f"{REPO}:{FILE}"


def run(test: Callable[[HubServer, Hub], Awaitable[None]], **server: Any) -> None:
    async def main() -> None:
        async with serving(HubServer(**{"files": {FILE: DATA}, **server})) as hub:
            await asyncio.wait_for(test(hub, Hub(hub.hub, stall_s=0.2)), 30)

    asyncio.run(main())


async def fetch(hub: Hub, target: Path, seen: list[Progress] | None = None) -> str:
    file = await hub.find(NAME)
    wanted = Wanted(source=file.source, size_bytes=file.size_bytes, sha256=file.sha256)
    report = seen.append if seen is not None else lambda _: None
    return await bring(lambda start: hub.pieces(file, start), wanted, target, report, pause_s=0.001)


def test_a_file_comes_whole_with_what_the_hub_says_of_it(tmp_path: Path) -> None:
    seen: list[Progress] = []

    async def test(server: HubServer, hub: Hub) -> None:
        file = await hub.find(NAME)
        assert (file.size_bytes, file.sha256, file.licence) == (len(DATA), hashlib.sha256(DATA).hexdigest(), "mit")
        assert await fetch(hub, tmp_path / "a.gguf", seen) == file.sha256

    run(test)
    assert (tmp_path / "a.gguf").read_bytes() == DATA
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.gguf"]
    assert seen[-1] == Progress("fetching", len(DATA), len(DATA))


def test_a_broken_connection_goes_on_where_it_was(tmp_path: Path) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        await fetch(hub, tmp_path / "a.gguf")
        assert server.asked[0] is None
        assert all(asked is not None and int(asked[6:-1]) > 0 for asked in server.asked[1:])
        assert server.connections == 4

    run(test, cuts=[70_000, 60_000, 50_000])
    assert (tmp_path / "a.gguf").read_bytes() == DATA


def test_a_server_that_knows_no_ranges_sends_it_all_again(tmp_path: Path) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        await fetch(hub, tmp_path / "a.gguf")

    run(test, cuts=[70_000], ranges=False)
    assert (tmp_path / "a.gguf").read_bytes() == DATA


def test_a_hub_that_always_breaks_is_given_up_and_the_half_stays(tmp_path: Path) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(HubUnreachable):
            await fetch(hub, tmp_path / "a.gguf")
        (half,) = halves(tmp_path)
        assert (half.name, half.wanted.source, half.size_bytes) == ("a", NAME, 50_000)
        await fetch(hub, tmp_path / "a.gguf")
        assert server.asked[-1] == "bytes=50000-"
        assert halves(tmp_path) == []

    run(test, cuts=[50_000, 0, 0, 0, 0, 0])
    assert (tmp_path / "a.gguf").read_bytes() == DATA


@pytest.mark.slow
def test_a_stalled_connection_is_noticed(tmp_path: Path) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        server.stall = asyncio.Event()
        with pytest.raises(HubUnreachable, match="in time"):
            await fetch(hub, tmp_path / "a.gguf")
        server.stall.set()
        server.stall = None
        await fetch(hub, tmp_path / "a.gguf")

    run(test, cuts=[10, 0, 0, 0, 0, 0])
    assert (tmp_path / "a.gguf").read_bytes() == DATA


def test_a_busy_hub_is_asked_again(tmp_path: Path) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        await fetch(hub, tmp_path / "a.gguf")

    run(test, statuses=[429, 503, 500])
    assert (tmp_path / "a.gguf").read_bytes() == DATA


def test_cancelling_keeps_what_has_come(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def test(server: HubServer, hub: Hub) -> None:
        server.stall = asyncio.Event()
        file = await hub.find(NAME)
        wanted = Wanted(source=file.source, size_bytes=file.size_bytes, sha256=file.sha256)

        async def pieces(start: int) -> AsyncGenerator[bytes, None]:
            async with aclosing(Hub(server.hub).pieces(file, start)) as coming:
                async for piece in coming:
                    yield piece
                    arrived.set()

        task = asyncio.create_task(bring(pieces, wanted, tmp_path / "a.gguf", lambda _: None))
        server.cuts.append(100_000)
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.stall.set()
        size_bytes = halves(tmp_path)[0].size_bytes
        assert 0 < size_bytes <= 100_000
        await fetch(hub, tmp_path / "a.gguf")
        assert server.asked[-1] == f"bytes={size_bytes}-"

    run(test)


_CHILD = """
import asyncio, sys
from pathlib import Path
from node.inference.downloading import Wanted, bring
from node.inference.hub import Hub

async def main():
    hub = Hub(sys.argv[1])
    file = await hub.find(sys.argv[2])
    wanted = Wanted(source=file.source, size_bytes=file.size_bytes, sha256=file.sha256)
    await bring(lambda start: hub.pieces(file, start), wanted, Path(sys.argv[3]), lambda _: None)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_what_the_next_one_goes_on_with(tmp_path: Path) -> None:
    big = os.urandom(10_000_000)

    async def test(server: HubServer, hub: Hub) -> None:
        server.stall = asyncio.Event()
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _CHILD, server.hub, NAME, str(tmp_path / "a.gguf")), cwd=Path(__file__).parents[3]
        )
        while not (begun := halves(tmp_path)) or not begun[0].size_bytes:  # noqa: ASYNC110 - bounded by the test's time
            await asyncio.sleep(0.01)
        child.kill()
        await child.wait()
        server.stall.set()
        server.stall = None
        size_bytes = halves(tmp_path)[0].size_bytes
        await fetch(hub, tmp_path / "a.gguf")
        assert server.asked[-1] == f"bytes={size_bytes}-"

    run(test, files={FILE: big}, cuts=[8_000_000])
    assert (tmp_path / "a.gguf").read_bytes() == big


def test_a_half_of_another_file_is_thrown_away(tmp_path: Path) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(HubUnreachable):
            await fetch(hub, tmp_path / "a.gguf")
        server.files[FILE] = DATA[::-1]
        await fetch(hub, tmp_path / "a.gguf")
        assert server.asked[-1] is None

    run(test, cuts=[50_000, 0, 0, 0, 0])
    assert (tmp_path / "a.gguf").read_bytes() == DATA[::-1]


@pytest.mark.parametrize(
    "lie",
    [
        {"altered": DATA[:-1] + b"x"},
        {"altered": DATA[:-1]},
        {"altered": DATA + b"x"},
        {"linked": lambda headers: {**headers, "X-Linked-Size": "5"}},
        {"linked": lambda headers: {**headers, "X-Linked-Etag": f'"{"0" * 64}"'}},
        {"cuts": [1000], "wrong_range": True},
    ],
    ids=["changed", "shorter", "longer", "linked-size", "linked-etag", "range"],
)
def test_a_hub_that_lies_leaves_nothing_behind(tmp_path: Path, lie: dict[str, Any]) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(ModelDamaged):
            await fetch(hub, tmp_path / "a.gguf")

    run(test, **lie)
    assert not (tmp_path / "a.gguf").exists()


def test_a_damaged_download_is_not_gone_on_with(tmp_path: Path) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(ModelDamaged):
            await fetch(hub, tmp_path / "a.gguf")
        assert halves(tmp_path) == []
        server.altered = None
        await fetch(hub, tmp_path / "a.gguf")

    run(test, altered=DATA[:-1] + b"x")
    assert (tmp_path / "a.gguf").read_bytes() == DATA


def test_a_half_is_gone_on_with_whether_or_not_its_hash_is_given_again(tmp_path: Path) -> None:
    asked: list[int] = []

    async def pieces(start: int) -> AsyncGenerator[bytes, None]:
        asked.append(start)
        yield DATA[start : start + 1000]
        raise HubRefused("it is gone")

    for sha256 in (hashlib.sha256(DATA).hexdigest(), None, hashlib.sha256(DATA).hexdigest(), "0" * 64):
        wanted = Wanted(source="ipfs:bafy", size_bytes=len(DATA), sha256=sha256)
        with pytest.raises(HubRefused):
            asyncio.run(bring(pieces, wanted, tmp_path / "a.gguf", lambda _: None))
    assert asked == [0, 1000, 2000, 0]


def test_more_than_was_promised_is_not_kept(tmp_path: Path) -> None:
    async def pieces(start: int) -> AsyncGenerator[bytes, None]:
        yield DATA[start:]
        yield b"and more"

    wanted = Wanted(source=NAME, size_bytes=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
    with pytest.raises(ModelDamaged):
        asyncio.run(bring(pieces, wanted, tmp_path / "a.gguf", lambda _: None))
    assert list(tmp_path.iterdir()) == []


def test_a_slow_connection_is_told_of_piece_by_piece(tmp_path: Path) -> None:
    async def test() -> None:
        arrived, go_on = asyncio.Event(), asyncio.Event()
        seen: list[Progress] = []

        async def pieces(start: int) -> AsyncGenerator[bytes, None]:
            yield DATA[:1000]
            arrived.set()
            await go_on.wait()
            yield DATA[1000:]

        wanted = Wanted(source=NAME, size_bytes=len(DATA), sha256=None)
        task = asyncio.create_task(bring(pieces, wanted, tmp_path / "a.gguf", seen.append))
        await arrived.wait()
        assert seen == [Progress("fetching", 1000, len(DATA))]
        go_on.set()
        await task

    asyncio.run(test())


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (lambda path, entry: {**entry, "size": -1}, "how long"),
        (lambda path, entry: {**entry, "size": "9"}, "how long"),
        (lambda path, entry: {**entry, "size": 10**15}, "how long"),
        (lambda path, entry: {**entry, "lfs": None}, "SHA-256"),
        (lambda path, entry: {**entry, "lfs": {"oid": "abc"}}, "SHA-256"),
        (lambda path, entry: {"type": "directory", "path": path}, "no file"),
    ],
)
def test_a_list_that_cannot_be_checked_is_refused(listed: Any, why: str) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(HubRefused, match=why):
            await hub.find(NAME)

    run(test, listed=listed)


@pytest.mark.parametrize("odd", ["/{}", "../{}", "a/../../{}", "\x1b[2J{}", "\ud800{}", "a\n{}"])
def test_a_path_that_leads_elsewhere_or_spoils_a_terminal_is_no_file(tmp_path: Path, odd: str) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(HubRefused, match="no GGUF file"):
            await hub.find(REPO)

    run(test, listed=lambda path, entry: {**entry, "path": odd.format(path)})


def test_a_long_list_is_read_page_by_page() -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        assert (await hub.find(f"{REPO}:m5-Q4_0.gguf")).path == "m5-Q4_0.gguf"

    run(test, files={f"m{n}-Q4_0.gguf": b"x" for n in range(9)}, page_size=3)


MANY = {name: name.encode() for name in ("a-Q4_K_M.gguf", "a-Q8_0.gguf", "sub/a-Q5_K_M.gguf", "a-IQ4_XS.gguf")}


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("", "a-Q4_K_M.gguf"),
        (":Q8_0", "a-Q8_0.gguf"),
        (":q5_k_m", "sub/a-Q5_K_M.gguf"),
        (":sub/a-Q5_K_M.gguf", "sub/a-Q5_K_M.gguf"),
    ],
)
def test_a_file_is_named_or_chosen(wanted: str, path: str) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        file = await hub.find(f"{REPO}{wanted}")
        assert file.path == path
        assert b"".join([piece async for piece in hub.pieces(file, 2)]) == path.encode()[2:]

    run(test, files=MANY)


@pytest.mark.parametrize(
    ("name", "files", "error", "why"),
    [
        (f"{REPO}:Q2_K", MANY, ModelNotNamed, "a-Q4_K_M.gguf"),
        (REPO, {"x-Q8_0.gguf": b"x", "y-Q8_0.gguf": b"x"}, ModelNotNamed, "several"),
        (REPO, {}, HubRefused, "no GGUF file"),
        (REPO, {"big-Q4_K_M-00001-of-00002.gguf": b"x"}, HubRefused, "in one piece"),
        (f"{REPO}:big-00001-of-00002.gguf", {"big-00001-of-00002.gguf": b"x"}, HubRefused, "pieces"),
        ("owner/other", MANY, HubRefused, "no such"),
        ("no name", MANY, ModelNotNamed, "OWNER/REPO"),
    ],
)
def test_what_names_no_file_is_refused(name: str, files: dict[str, bytes], error: type[Exception], why: str) -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(error, match=why):
            await hub.find(name)

    run(test, files=files)


def test_a_token_goes_to_the_hub_alone(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")

    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(HubRefused, match="conditions"):
            await hub.find(NAME)
        server.tokens.clear()
        await fetch(Hub(server.hub, token_file=tmp_path / "token"), tmp_path / "a.gguf")
        assert set(server.tokens[:3]) == {"Bearer secret"}
        assert server.tokens[-1] is None
        with pytest.raises(HubRefused, match="cannot be read"):
            await Hub(server.hub, token_file=tmp_path / "absent").find(NAME)

    run(test, token="secret")


def test_a_hub_far_away_leads_to_no_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)

    async def test(server: HubServer, hub: Hub) -> None:
        far = Hub("http://hub.example")
        file = HubFile(repo=REPO, commit="0" * 40, path=FILE, size_bytes=1, sha256="0" * 64)
        far._base = hub._base
        with pytest.raises(HubUnreachable, match="private network"):
            [piece async for piece in far.pieces(file, 0)]

    run(test)


def test_a_redirect_that_leads_round_and_round_ends() -> None:
    async def test(server: HubServer, hub: Hub) -> None:
        file = await hub.find(NAME)
        server.redirect = str(server.hub) + f"/{REPO}/resolve/{file.commit}/{FILE}"
        with pytest.raises(HubRefused, match="more than"):
            [piece async for piece in hub.pieces(file, 0)]
        server.redirect = "ftp://127.0.0.1/file"
        with pytest.raises(HubRefused, match="redirects"):
            [piece async for piece in hub.pieces(file, 0)]

    run(test)


def test_a_hub_that_is_not_there_is_unreachable() -> None:
    async def main() -> None:
        with pytest.raises(HubUnreachable):
            await Hub("http://127.0.0.1:9").find(NAME)

    asyncio.run(main())


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Usage:
        free = SPARE_BYTES + 1000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)

    async def test(server: HubServer, hub: Hub) -> None:
        with pytest.raises(ModelTooLarge, match="1000 are free"):
            await fetch(hub, tmp_path / "a.gguf")
        assert server.connections == 0

    run(test)


def test_a_disk_that_fills_up_keeps_the_half(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def test(server: HubServer, hub: Hub) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("node.inference.downloading._write", full)
            with pytest.raises(ModelTooLarge):
                await fetch(hub, tmp_path / "a.gguf")
        await fetch(hub, tmp_path / "a.gguf")

    run(test)
    assert (tmp_path / "a.gguf").read_bytes() == DATA


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("owner/repo", True),
        ("owner/repo:file.gguf", True),
        ("owner/repo:sub/file.gguf", True),
        ("/abs/path.gguf", False),
        ("./file.gguf", False),
        ("file.gguf", False),
        ("a/b/c", False),
        ("../repo", False),
        ("owner/..", False),
        ("ipfs:bafy", False),
        ("bundled", False),
    ],
)
def test_what_a_hub_name_is(text: str, is_one: bool) -> None:
    assert is_hub_name(text) == is_one
