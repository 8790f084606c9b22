"""Upkeep of the index: another embedding model, tables of codes, snapshots, and a process that is killed."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.inference.errors import BadEmbedding, InferenceFailed
from node.memory import upkeep
from node.memory.memory import Memory
from storage.vectors.snapshot import FILE_NAME
from tests.node.memory.fake import WordEmbedder
from tests.node.memory.parts import MANY, add_many, in_loop, memory_in, note, until, words

pytestmark = pytest.mark.slow  # hundreds of memories, and processes that are killed

CHILD = Path(__file__).with_name("memory_child.py")
OLD = "old-256"


def old() -> WordEmbedder:
    return WordEmbedder(OLD, 256)


def opened(spec: str) -> WordEmbedder:
    assert spec == "the old one"
    return old()


def no_longer(spec: str) -> WordEmbedder:
    raise InferenceFailed(f"{spec} cannot be opened")


async def first(memory: Memory, query: str) -> str:
    """What is found first; an empty text if nothing is."""
    return next(iter(await contents(memory, query, 1)), "")


async def contents(memory: Memory, query: str, k: int = 5) -> list[str]:
    return [one.content for one in await memory.search(query, k=k)]


async def embedded_by_the_old_one(home: Path, count: int = 600) -> None:
    async with memory_in(home, old(), spec="the old one") as memory:
        await memory.upkeep.recover()
        await add_many(memory, count)


class Interrupted(Exception):
    """The process ends here."""


def interrupted_after(memory: Memory, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the embedding stop after so many batches."""
    move, left = memory.upkeep._move, iter(range(batches))

    async def moving(rows: object) -> None:
        if next(left, None) is None:
            raise Interrupted
        await move(rows)  # type: ignore[arg-type]

    monkeypatch.setattr(memory.upkeep, "_move", moving)


@in_loop
async def test_the_old_index_serves_while_rows_are_embedded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await embedded_by_the_old_one(tmp_path)
    monkeypatch.setattr(upkeep, "BATCH", 200)
    async with memory_in(tmp_path, open_embedder=opened, close=False) as memory:
        assert (await memory.index.state()).waiting == 600
        assert await first(memory, note(599)) == note(599)
        interrupted_after(memory, 1, monkeypatch)
        with pytest.raises(Interrupted):
            await memory.upkeep.embed_again()
        await memory.add(kind="semantic", content="note9000 is new")
        state = await memory.index.state()
        assert (state.waiting, state.vectors, state.unreachable) == (400, 201, 0)
        for text in ("note9000 is new", *map(note, (0, 199, 200, 599))):  # embedded again, and not yet
            assert await first(memory, text) == text
        found = await memory.search(note(300), k=9)
        embedder = words()
        wanted = embedder.embed([note(300)])[0]
        for one in found:  # all scores are of the new model
            assert one.score == pytest.approx(float(embedder.embed([one.content])[0] @ wanted), abs=1e-6)
    # the process ended in between; the next one goes on
    again = words()
    async with memory_in(tmp_path, again, open_embedder=opened) as memory:
        assert (await memory.index.state()).waiting == 400
        assert await first(memory, note(599)) == note(599)
        before = again.embedded
        await memory.upkeep.embed_again()
        assert again.embedded - before == 400
        state = await memory.index.state()
        assert (state.waiting, state.vectors) == (0, 601)
        assert memory.index.others == []
        assert await first(memory, note(599)) == note(599)


@in_loop
async def test_a_model_that_is_gone_leaves_its_memories_unfound_until_they_are_embedded(tmp_path: Path) -> None:
    await embedded_by_the_old_one(tmp_path, 10)
    async with memory_in(tmp_path, open_embedder=no_longer) as memory:
        assert await contents(memory, note(5)) == []
        assert (await memory.index.state()).unreachable == 10
        await memory.upkeep.embed_again()
        assert (await memory.index.state()).unreachable == 0
        assert await first(memory, note(5)) == note(5)


@in_loop
async def test_a_model_that_is_another_one_by_now_is_not_used(tmp_path: Path) -> None:
    await embedded_by_the_old_one(tmp_path, 10)
    async with memory_in(tmp_path, open_embedder=lambda spec: WordEmbedder("changed", 256)) as memory:
        assert await contents(memory, note(5)) == []
        assert (await memory.index.state()).unreachable == 10


@in_loop
async def test_a_memory_that_is_forgotten_meanwhile_stays_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await embedded_by_the_old_one(tmp_path, 20)
    async with memory_in(tmp_path, open_embedder=opened) as memory:
        rows = (await memory.list(limit=20)).items
        await memory.index.ready()
        embed = memory.index.embed

        async def forgetting(texts: list[str]) -> object:
            vectors = await embed(texts)
            await memory.forget(rows[3].id)
            return vectors

        monkeypatch.setattr(memory.index, "embed", forgetting)
        await memory.upkeep.embed_again()
        monkeypatch.setattr(memory.index, "embed", embed)
        assert len(memory.index) == 19
        assert rows[3].content not in await contents(memory, rows[3].content, 20)


class Choosy(WordEmbedder):
    """Gives something that is no vector for texts about one subject."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = super().embed(texts)
        vectors[["subject3 " in text for text in texts]] = np.nan
        return vectors


@in_loop
async def test_a_text_that_cannot_be_embedded_stays_with_the_model_it_has(tmp_path: Path) -> None:
    await embedded_by_the_old_one(tmp_path, 20)
    async with memory_in(tmp_path, Choosy("choosy-512", 512), open_embedder=opened) as memory:
        await memory.upkeep.embed_again()
        assert await first(memory, note(4)) == note(4)
        assert note(3) not in await contents(memory, note(4), 20)  # it has no score that compares
        state = await memory.index.state()
        assert (state.waiting, state.vectors) == (1, 19)
        with pytest.raises(BadEmbedding):  # nor is anything like it kept
            await memory.add(kind="semantic", content=note(53))
        assert (await memory.index.state()).memories == 20


@in_loop
async def test_a_large_change_of_the_model_ends_with_a_snapshot_of_the_new_one(tmp_path: Path) -> None:
    await embedded_by_the_old_one(tmp_path, MANY)
    path = tmp_path / "index" / FILE_NAME
    assert OLD.encode() not in path.read_bytes() if path.exists() else True  # nothing asked, so nothing was built
    async with memory_in(tmp_path, old(), spec="the old one") as memory:
        await memory.index.ready()
    assert OLD.encode() in path.read_bytes()
    async with memory_in(tmp_path, open_embedder=opened) as memory:
        assert await first(memory, note(1499)) == note(1499)
        await memory.upkeep.embed_again()
        await memory.upkeep.build()
        assert await first(memory, note(1499)) == note(1499)
    assert OLD.encode() not in path.read_bytes()
    async with memory_in(tmp_path) as memory:
        assert await first(memory, note(1499)) == note(1499)


@in_loop
async def test_it_runs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a twin: what waited is embedded, the index is built as it grows, and a snapshot is written."""
    monkeypatch.setattr(upkeep, "_SETTLE_S", 0.0)
    await embedded_by_the_old_one(tmp_path, 300)
    async with memory_in(tmp_path, open_embedder=opened) as memory:
        running = asyncio.create_task(memory.upkeep.run())
        await until(lambda: memory.index._others == {})
        assert (await memory.index.state()).waiting == 0
        await contents(memory, "note1")
        await add_many(memory, MANY)
        await until(lambda: not memory.index.space.index.exact)
        assert len(await contents(memory, note(1499), 9)) == 9
        running.cancel()
        await asyncio.wait({running})
    assert (tmp_path / "index" / FILE_NAME).exists()


@in_loop
async def test_a_full_disk_costs_the_snapshot_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    async with memory_in(tmp_path) as memory:
        await add_many(memory)
        await memory.index.ready()
        monkeypatch.setattr("storage.vectors.snapshot.os.fsync", full)
    assert "no snapshot of the vector index" in caplog.text
    assert [*(tmp_path / "index").iterdir()] == []


@in_loop
async def test_a_snapshot_that_was_cut_off_by_the_end_is_written_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with memory_in(tmp_path) as memory:
        await add_many(memory)
        await memory.index.ready()
        begun = threading.Event()
        monkeypatch.setattr("storage.vectors.snapshot.os.fsync", lambda fd: begun.set())
        writing = asyncio.create_task(memory.upkeep._write_snapshot(least_changes=1))
        await asyncio.to_thread(begun.wait, 30)
        writing.cancel()
        await asyncio.wait({writing})
    async with memory_in(tmp_path) as memory:
        await memory.index.ready()
        assert (tmp_path / "index" / FILE_NAME).exists()  # it counts, or it had been removed
        assert len(memory.index) == MANY


def test_a_process_that_is_killed_at_any_moment_leaves_index_and_rows_in_step(tmp_path: Path) -> None:
    """It adds, forgets and writes snapshots; what is found afterwards is what the database holds, and no more."""
    forgotten: set[str] = set()
    for number in range(5):
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert child.stdout is not None
            for _ in range(4 + 3 * number):
                what, name = child.stdout.readline().split()
                if what == b"forgotten":
                    forgotten.add(name.decode())
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.communicate()
        asyncio.run(check(tmp_path, forgotten))
    assert forgotten


async def check(home: Path, forgotten: set[str]) -> None:
    async with memory_in(home, close=False) as memory:
        await memory.upkeep.recover()
        await memory.index.ready()
        with sqlite3.connect(home / "node.db") as conn:
            rows = dict(conn.execute("SELECT seq, content FROM memories").fetchall())
        conn.close()
        assert len(memory.index) == len(rows)
        names = {content.split()[0] for content in rows.values()}
        assert not names & forgotten
        for content in [*rows.values()][-5:]:
            assert content in await contents(memory, content)
        for name in forgotten:
            assert not [text for text in await contents(memory, f"{name} is to be forgotten") if name in text]
        for path in (home / "index").iterdir():
            assert path.name == FILE_NAME
