"""The models of a twin: brought, listed, used, shared and removed, over a real database and a real hub on loopback."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from node.content.content import Content
from node.errors import ContentUnavailable
from node.inference.catalog import Catalog, bundled_path
from node.inference.choice import chosen_model
from node.inference.engine import Engine
from node.inference.errors import (
    HubUnreachable,
    ModelBusy,
    ModelDamaged,
    ModelInUse,
    ModelMissing,
    ModelNameTaken,
    ModelNotNamed,
    ModelUnknown,
    ModelUnloadable,
    NotAModel,
)
from node.inference.hub import Hub
from node.inference.local import LocalModel
from node.inference.sharing import Sharing
from node.inference.sources import Sources
from storage import models as records
from storage.database import Database
from tests.node.content.content_parts import content_over
from tests.node.content.fake_blocks import FakeBlocks
from tests.node.inference.fake import ScriptedEngine
from tests.node.inference.gguf_files import TINY, gguf
from tests.node.inference.hub_server import REPO, HubServer, serving

DATA = gguf(data_bytes=400_000)
OTHER = gguf({**TINY, "general.name": "Other"}, data_bytes=300_000)
FILE = "tiny-Q4_K_M.gguf"
SHA256 = hashlib.sha256(DATA).hexdigest()


GATES: dict[str, asyncio.Event] = {}
"""What holds the loading of a model back, by the name of its file."""


@asynccontextmanager
async def scripted(path: Path) -> AsyncIterator[Engine]:
    if path.stem in GATES:
        await GATES[path.stem].wait()
    if path.stem == "broken":
        raise ModelUnloadable("it is broken")
    yield ScriptedEngine(name=path.stem)


async def prove(path: Path) -> None:
    if path.stem == "deadly":
        raise ModelUnloadable("it ends the process")


class Here:
    """One twin's models: what a test needs of them."""

    def __init__(self, home: Path, database: Database, server: HubServer, blocks: FakeBlocks, *, share: bool) -> None:
        self.home, self.database, self.server, self.blocks = home, database, server, blocks
        self.content: Content = content_over(blocks)
        self.model = LocalModel("none yet", open_=scripted)
        self.configured = "bundled"
        self.sharing = Sharing(database=database, content=self.content, on=share)
        self.catalog = Catalog(
            folder=home / "models",
            database=database,
            model=self.model,
            sources=Sources(hub=Hub(server.hub), content=self.content),
            configured=lambda: self.configured,
            prove=prove,
            on_news=self.sharing.look,
            on_removal=self.sharing.end,
        )

    def file(self, name: str) -> Path:
        return self.home / "models" / f"{name}.gguf"

    async def names(self) -> list[str]:
        return [listed.row.name for listed in (await self.catalog.list(limit=50)).items]

    async def share_all(self) -> None:
        """Let the sharing run until nothing is left to share."""
        running = asyncio.create_task(self.sharing.run())
        while await self.database.read(records.to_share) is not None:  # noqa: ASYNC110 - bounded by the test's own time
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait({running})


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAGI_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("node.inference.catalog.PAUSE_S", 0.001)
    GATES.clear()


def run(home: Path, test: Callable[[Here], Awaitable[None]], *, share: bool = True, **server: Any) -> None:
    async def main() -> None:
        (home / "models").mkdir(exist_ok=True)
        async with (
            serving(HubServer(**{"files": {FILE: DATA}, **server})) as hub,
            Database.open(home / "node.db") as database,
        ):
            here = Here(home, database, hub, FakeBlocks(), share=share)
            try:
                await asyncio.wait_for(test(here), 20)
            finally:
                await here.model.aclose()

    asyncio.run(main())


def test_a_file_of_the_owner_stays_where_it_is(tmp_path: Path) -> None:
    own = tmp_path / "My Model.gguf"
    own.write_bytes(DATA)

    async def test(here: Here) -> None:
        added = await here.catalog.add(str(own))
        row = added.row
        assert (row.name, row.source, row.path, row.sha256) == ("My-Model", "file", str(own), SHA256)
        assert (row.licence, row.licence_url, row.own_file) == ("apache-2.0", "https://example.org/licence", False)
        assert await here.names() == ["bundled", "My-Model"]
        assert (await here.catalog.add(str(own))).row.name == "My-Model"
        await here.catalog.remove("My-Model")
        assert await here.names() == ["bundled"]

    run(tmp_path, test)
    assert own.read_bytes() == DATA


def test_a_model_of_the_hub_is_fetched_into_the_home(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        added = await here.catalog.add(REPO, name="tiny")
        assert (added.row.source, added.row.sha256, added.state) == (f"{REPO}:{FILE}", SHA256, "here")
        assert here.file("tiny").read_bytes() == DATA
        connections = here.server.connections
        assert (await here.catalog.add(f"{REPO}:{FILE}", name="tiny")).row == added.row
        assert here.server.connections == connections
        await here.catalog.remove("tiny")
        assert not here.file("tiny").exists()
        with pytest.raises(ModelUnknown):
            await here.catalog.remove("tiny")

    run(tmp_path, test)


def test_a_half_is_listed_gone_on_with_or_removed(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        for _ in range(2):
            here.server.cuts = [100_000, 0, 0, 0, 0, 0]
            with pytest.raises(HubUnreachable):
                await asyncio.wait_for(here.catalog.add(REPO, name="tiny"), 40)
            (half,) = await here.catalog.begun()
            assert (half.name, half.wanted.source, half.size_bytes) == ("tiny", f"{REPO}:{FILE}", 100_000)
            await here.catalog.remove("tiny")
            assert await here.catalog.begun() == ()

    run(tmp_path, test)


def test_callers_at_once_fetch_once(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        one, other = await asyncio.gather(here.catalog.add(REPO), here.catalog.add(REPO))
        assert one.row == other.row
        assert here.server.connections == 1

    run(tmp_path, test)


def test_what_a_crash_left_is_found_again(tmp_path: Path) -> None:
    async def crash_before_the_record(here: Here) -> None:
        here.file("tiny").write_bytes(DATA)
        assert (await here.catalog.add(REPO, name="tiny")).state == "here"
        assert here.server.connections == 0

    async def crash_while_removing(here: Here) -> None:
        here.file("tiny").unlink()
        assert (await here.catalog.get("tiny")).state == "missing"
        with pytest.raises(ModelMissing, match="missing"):
            await here.catalog.use("tiny")
        assert (await here.catalog.add(REPO, name="tiny")).state == "here"
        here.file("tiny").write_bytes(DATA[:-1])
        assert (await here.catalog.get("tiny")).state == "changed"
        await here.catalog.add(REPO, name="tiny")
        assert here.file("tiny").read_bytes() == DATA
        here.file("tiny").unlink()
        await here.catalog.remove("tiny")

    run(tmp_path, crash_before_the_record)
    run(tmp_path, crash_while_removing)


def test_names_are_not_taken_from_others(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(OTHER)

    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        with pytest.raises(ModelNameTaken):
            await here.catalog.add(str(tmp_path / "own.gguf"), name="tiny")
        await here.catalog.add(str(tmp_path / "own.gguf"), name="own")
        with pytest.raises(ModelNameTaken):
            await here.catalog.add(REPO, name="own")
        for name in ("bundled", "none", "../evil", "", "a/b", "x" * 65):
            with pytest.raises(ModelNotNamed):
                await here.catalog.add(REPO, name=name)

    run(tmp_path, test)


def test_what_is_no_model_or_another_one_is_refused_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("not a model")
    (tmp_path / "own.gguf").write_bytes(OTHER)

    async def test(here: Here) -> None:
        with pytest.raises(NotAModel):
            await here.catalog.add(str(tmp_path / "text.gguf"))
        with pytest.raises(NotAModel):
            await here.catalog.add(REPO, name="text")
        with pytest.raises(ModelDamaged):
            await here.catalog.add(str(tmp_path / "own.gguf"), sha256=SHA256)
        with pytest.raises(ModelDamaged):
            await here.catalog.add(REPO, sha256="0" * 64)
        for source in ("relative.gguf", str(tmp_path / "absent.gguf"), str(tmp_path), ""):
            with pytest.raises(ModelNotNamed):
                await here.catalog.add(source)
        assert await here.names() == ["bundled"]
        assert not here.file("text").exists()

    run(tmp_path, test, files={FILE: b"GGUF is not enough"})


def test_the_chosen_one_answers_now_and_after_the_next_start(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        await here.catalog.use("tiny")
        assert here.model.path == here.file("tiny")
        assert [listed.in_use for listed in (await here.catalog.list(limit=9)).items] == [False, True]
        folder = tmp_path / "models"
        assert chosen_model(folder, "bundled") == str(here.file("tiny"))
        assert chosen_model(folder, "none") == "none"  # config.toml was changed since
        with pytest.raises(ModelInUse):
            await here.catalog.remove("tiny")
        await here.catalog.use("none")
        assert (here.model.path, chosen_model(folder, "bundled")) == (None, "none")
        await here.catalog.remove("tiny")
        with pytest.raises(ModelUnknown):
            await here.catalog.use("tiny")

    run(tmp_path, test)


def test_one_that_cannot_be_loaded_is_not_chosen(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        await here.catalog.add(REPO, name="broken")
        await here.catalog.use("tiny")
        with pytest.raises(ModelUnloadable):
            await here.catalog.use("broken")
        assert here.model.path == here.file("tiny")
        assert chosen_model(tmp_path / "models", "bundled") == str(here.file("tiny"))

    run(tmp_path, test)


def test_one_that_would_end_the_process_is_not_loaded(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        await here.catalog.add(REPO, name="deadly")
        await here.catalog.use("tiny")
        with pytest.raises(ModelUnloadable, match="ends the process"):
            await here.catalog.use("deadly")
        assert here.model.path == here.file("tiny")

    run(tmp_path, test)


def test_a_caller_that_leaves_while_it_is_loaded_has_chosen_it(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        gate = GATES["tiny"] = asyncio.Event()
        using = asyncio.create_task(here.catalog.use("tiny"))
        while not here.model.uses(here.file("tiny")):  # noqa: ASYNC110 - bounded by the test's own time
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait({using})
        gate.set()
        while chosen_model(tmp_path / "models", "bundled") == "bundled":  # noqa: ASYNC110 - bounded by the test's own time
            await asyncio.sleep(0.001)
        assert chosen_model(tmp_path / "models", "bundled") == str(here.model.path) == str(here.file("tiny"))

    run(tmp_path, test)


def test_the_last_one_that_was_used_is_the_chosen_one(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        for _ in range(8):
            await asyncio.gather(here.catalog.use("tiny"), here.catalog.use("none"))
            assert chosen_model(tmp_path / "models", "bundled") == str(here.model.path or "none")

    run(tmp_path, test)


def test_one_that_is_being_loaded_is_not_removed(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        gate = GATES["tiny"] = asyncio.Event()
        using = asyncio.create_task(here.catalog.use("tiny"))
        while not here.model.uses(here.file("tiny")):  # noqa: ASYNC110 - bounded by the test's own time
            await asyncio.sleep(0)
        with pytest.raises(ModelInUse):
            await here.catalog.remove("tiny")
        gate.set()
        await using
        assert here.file("tiny").exists()

    run(tmp_path, test)


def test_one_that_is_being_fetched_is_not_removed_but_said_to_be(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        here.server.stall, here.server.cuts = asyncio.Event(), [1000]
        adding = asyncio.create_task(here.catalog.add(REPO, name="tiny"))
        while not here.server.asked:  # noqa: ASYNC110 - bounded by the test's own time
            await asyncio.sleep(0.001)
        with pytest.raises(ModelBusy):
            await here.catalog.remove("tiny")
        adding.cancel()
        await asyncio.wait({adding})
        here.server.stall.set()
        await here.catalog.remove("tiny")
        assert await here.catalog.begun() == ()

    run(tmp_path, test)


def test_a_file_of_the_owner_stands_in_for_one_that_is_gone(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(DATA)

    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        assert (await here.catalog.add(str(own), name="tiny")).row.path == str(here.file("tiny"))
        here.file("tiny").unlink()
        added = await here.catalog.add(str(own), name="tiny")
        assert (added.state, added.row.path, added.row.own_file) == ("here", str(own), False)

    run(tmp_path, test)


def test_the_bundled_one_is_listed_and_not_removed(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        bundled = await here.catalog.get("bundled")
        assert (bundled.state, bundled.row.path) == ("missing", str(bundled_path()))
        with pytest.raises(ModelNotNamed):
            await here.catalog.remove("bundled")

    run(tmp_path, test)


def test_lists_come_in_pages(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        for name in ("a", "b", "c"):
            await here.catalog.add(REPO, name=name)
        first = await here.catalog.list(limit=2)
        assert [listed.row.name for listed in first.items] == ["bundled", "a", "b"]
        rest = await here.catalog.list(limit=2, after=first.next)
        assert ([listed.row.name for listed in rest.items], rest.next) == (["c"], None)

    run(tmp_path, test)


@pytest.mark.slow
def test_another_twin_has_it_from_here_by_its_cid(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        await here.share_all()
        row = (await here.catalog.get("tiny")).row
        assert row.cid is not None
        assert Cid.parse(row.cid) in here.blocks.pinned

        home = tmp_path / "other"
        (home / "models").mkdir(parents=True)
        async with Database.open(home / "node.db") as database:
            blocks = FakeBlocks(elsewhere=here.blocks)
            other = Here(home, database, here.server, blocks, share=False)
            added = await other.catalog.add(f"ipfs:{row.cid}", name="mine", sha256=SHA256)
            assert (added.row.sha256, added.row.source) == (SHA256, f"ipfs:{row.cid}")
            assert other.file("mine").read_bytes() == DATA
            with pytest.raises(ModelDamaged):
                await other.catalog.add(f"ipfs:{row.cid}", name="wrong", sha256="0" * 64)
            here.blocks.kept.clear()
            with pytest.raises(ContentUnavailable):
                await other.catalog.add(f"ipfs:{row.cid}", name="late")

    run(tmp_path, test)


def test_what_is_removed_is_shared_no_longer(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="one")
        await here.catalog.add(REPO, name="two")
        await here.share_all()
        assert len(here.blocks.pinned) == 1
        await here.catalog.remove("one")
        assert len(here.blocks.pinned) == 1
        await here.catalog.remove("two")
        assert here.blocks.pinned == {}

    run(tmp_path, test)


@pytest.mark.parametrize("before", [True, False])
def test_what_the_owner_pinned_stays_the_owners(tmp_path: Path, *, before: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield DATA

    async def test(here: Here) -> None:
        if before:
            await here.content.add_stream(pieces(), name="mine")
        await here.catalog.add(REPO, name="tiny")
        await here.share_all()
        if not before:
            await here.content.add_stream(pieces(), name="mine")
        assert (await here.catalog.get("tiny")).row.cid is not None
        await here.catalog.remove("tiny")
        assert [pin.name for pin in here.blocks.pinned.values()] == ["mine"]

    run(tmp_path, test)


def test_one_that_is_removed_while_it_is_shared_takes_no_pin_from_its_twin(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="one")
        await here.share_all()
        await here.catalog.add(REPO, name="two")
        add_stream = here.content.add_stream

        async def remove_meanwhile(*args: Any, **kwargs: Any) -> Any:
            added = await add_stream(*args, **kwargs)
            await here.catalog.remove("two")
            return added

        here.content.add_stream = remove_meanwhile  # type: ignore[method-assign]
        await here.share_all()
        assert [str(cid) for cid in here.blocks.pinned] == [(await here.catalog.get("one")).row.cid]

    run(tmp_path, test)


def test_what_cannot_be_shared_says_why_and_is_tried_again(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        here.blocks.quota_bytes = 1000
        await here.catalog.add(REPO, name="tiny")
        await here.share_all()
        row = (await here.catalog.get("tiny")).row
        assert row.cid is None
        assert "quota" in (row.share_error or "")
        here.blocks.quota_bytes = 10**9
        running = asyncio.create_task(here.sharing.run())
        while (await here.catalog.get("tiny")).row.cid is None:  # noqa: ASYNC110 - bounded by the test's own time
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait({running})

    run(tmp_path, test)


def test_nothing_is_shared_where_the_owner_says_so(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        await here.sharing.run()  # ends at once
        assert (await here.catalog.get("tiny")).row.cid is None
        assert here.blocks.pinned == {}

    run(tmp_path, test, share=False)


def test_a_new_commit_of_the_same_file_replaces_it(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        await here.catalog.add(REPO, name="tiny")
        await here.share_all()
        here.server.files[FILE] = OTHER
        added = await here.catalog.add(REPO, name="tiny")
        assert added.row.sha256 == hashlib.sha256(OTHER).hexdigest()
        assert here.file("tiny").read_bytes() == OTHER
        assert added.row.cid is None
        assert here.blocks.pinned == {}

    run(tmp_path, test)


@pytest.mark.slow
def test_progress_tells_how_far_it_is(tmp_path: Path) -> None:
    big = gguf(data_bytes=10_000_000) + os.urandom(1)

    async def test(here: Here) -> None:
        seen = []
        await here.catalog.add(REPO, report=seen.append)
        assert [progress.size_bytes for progress in seen] == sorted(progress.size_bytes for progress in seen)
        assert len(seen) >= 3
        assert {progress.total_bytes for progress in seen} == {len(big)}

    run(tmp_path, test, files={FILE: big})
