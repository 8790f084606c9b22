"""The index of a memory: a large one with codes, its snapshots, and what is left of what was forgotten."""

import asyncio
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from node.memory.memory import Memory
from storage import embedded
from storage.vectors.snapshot import FILE_NAME
from tests.node.memory.fake import WordEmbedder
from tests.node.memory.parts import MANY, add_many, in_loop, memory_in, note, until, words

pytestmark = pytest.mark.slow  # a large index takes some thousand memories


async def large(home: Path) -> None:
    """A home with many memories and a snapshot of their index."""
    async with memory_in(home) as memory:
        await add_many(memory)
        await memory.index.ready()
        assert not memory.index.space.index.exact


async def first(memory: Memory, query: str, **limits: object) -> str:
    found = await memory.search(query, k=1, **limits)  # type: ignore[arg-type]
    return found[0].content if found else ""


@in_loop
async def test_scores_are_exact_behind_codes(tmp_path: Path) -> None:
    await large(tmp_path)
    async with memory_in(tmp_path) as memory:
        found = await memory.search(note(77), k=5)
        embedder = words()
        likeness = embedder.embed([note(77)])[0]
        for one in found:
            assert one.score == pytest.approx(float(embedder.embed([one.content])[0] @ likeness), abs=1e-6)
        assert found[0].content == note(77)
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@in_loop
async def test_filters_hold_behind_codes(tmp_path: Path) -> None:
    await large(tmp_path)
    async with memory_in(tmp_path) as memory:
        assert await first(memory, note(30), namespaces=["shared"]) == note(30)
        assert await first(memory, note(31)) == note(31)
        for one in await memory.search(note(31), k=20, namespaces=["shared"]):
            assert one.namespace == "shared"
        assert await memory.search(note(31), kinds=["episodic"]) == []
        assert await memory.search(note(31), namespaces=["nowhere"]) == []
        assert len(await memory.search("about", k=100, namespaces=["shared"])) == 100


@in_loop
async def test_a_start_reads_the_snapshot_and_only_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await large(tmp_path)
    async with memory_in(tmp_path, close=False) as memory:
        await memory.add(kind="semantic", content="note9000 came later")
    read: list[int] = []
    vectors = embedded.vectors

    def noted(conn: sqlite3.Connection, model_id: str, seqs: list[int]) -> dict[int, bytes]:
        read.extend(seqs)
        return vectors(conn, model_id, seqs)

    monkeypatch.setattr("storage.embedded.vectors", noted)
    async with memory_in(tmp_path) as memory:
        await memory.index.ready()
        assert read == [MANY + 1]
        assert len(memory.index) == MANY + 1
        assert await first(memory, "note9000 came later") == "note9000 came later"
        assert await first(memory, note(1499)) == note(1499)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-1] + b"?", lambda data: b""]
)
@in_loop
async def test_a_damaged_snapshot_is_made_good_from_the_database(tmp_path: Path, damage: object) -> None:
    await large(tmp_path)
    path = tmp_path / "index" / FILE_NAME
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    async with memory_in(tmp_path) as memory:
        assert await first(memory, note(1499)) == note(1499)
        assert len(memory.index) == MANY
    assert path.exists()  # a sound one, from closing


@in_loop
async def test_a_database_from_a_backup_is_older_than_the_snapshot(tmp_path: Path) -> None:
    await large(tmp_path)
    with sqlite3.connect(tmp_path / "node.db") as conn:
        conn.execute("DELETE FROM memories WHERE seq > ?", (MANY - 100,))
        conn.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'memories'", (MANY - 100,))
    conn.close()
    async with memory_in(tmp_path) as memory:
        await memory.index.ready()
        assert len(memory.index) == MANY - 100
        assert await first(memory, note(1499)) != note(1499)


@in_loop
async def test_what_changes_while_the_index_is_filled_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await large(tmp_path)
    (tmp_path / "index" / FILE_NAME).unlink()
    async with memory_in(tmp_path) as memory:
        space = memory.index.space
        take_in = space._take_in
        changed = asyncio.Event()

        async def slowly(*arguments: object) -> None:
            await take_in(*arguments)  # type: ignore[arg-type]
            await changed.wait()

        monkeypatch.setattr(space, "_take_in", slowly)
        filling = asyncio.create_task(memory.index.ready())
        await until(lambda: space._late is not None)
        await memory.add(kind="semantic", content="note9000 came meanwhile")
        row = (await memory.list(limit=2)).items[1]
        assert await memory.forget(row.id)
        changed.set()
        await filling
        assert len(memory.index) == MANY
        assert await first(memory, "note9000 came meanwhile") == "note9000 came meanwhile"
        assert row.content not in [one.content for one in await memory.search(row.content, k=20)]


@in_loop
async def test_filling_that_is_cancelled_begins_again(tmp_path: Path) -> None:
    await large(tmp_path)
    async with memory_in(tmp_path) as memory:
        for steps in (0, 1, 5, 20):
            task = asyncio.create_task(memory.index.ready())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        await memory.index.ready()
        assert len(memory.index) == MANY


def held(home: Path, words: bytes) -> list[str]:
    """The files of a home that have these words, or a file in index/ at all."""
    files = [path for path in home.rglob("*") if path.is_file()]
    return [path.name for path in files if words in path.read_bytes() or path.parent.name == "index"]


@in_loop
async def test_nothing_of_what_was_forgotten_is_on_disk_when_that_is_said(tmp_path: Path) -> None:
    """The text in the row, its words in the full-text index, its vector in the snapshot, old pages in the log."""
    await large(tmp_path)
    async with memory_in(tmp_path) as memory:
        await memory.index.ready()
        kept = await memory.add(kind="semantic", content="the xylograph of aunt Zenobia")
        vector = words().embed(["the xylograph of aunt Zenobia"])[0].astype("<f4").tobytes()
        assert await memory.forget(kept)
        await memory.database.maintain(lambda conn: conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        for trace in (b"xylograph", b"Zenobia", b"zenobia", vector):
            assert await asyncio.to_thread(held, tmp_path, trace) == []
    assert await asyncio.to_thread(held, tmp_path, b"xylograph") == [FILE_NAME]  # written anew at the end
    assert await asyncio.to_thread(held, tmp_path, b"nobody") == [FILE_NAME]


@in_loop
async def test_a_crash_right_after_the_deletion_brings_nothing_back(tmp_path: Path) -> None:
    await large(tmp_path)
    async with memory_in(tmp_path, close=False) as memory:
        row = (await memory.list(limit=1)).items[0]
        async with memory.index.forgetting():
            await memory.database.write(
                lambda conn: conn.execute("DELETE FROM memories WHERE id = ?", (row.id,)).rowcount
            )
            # the process ends here: neither the index in memory nor the full-text index has followed
    assert not (tmp_path / "index" / FILE_NAME).exists()
    async with memory_in(tmp_path) as memory:
        await memory.upkeep.recover()
        await memory.index.ready()
        assert len(memory.index) == MANY - 1
        assert row.content not in [one.content for one in await memory.search(row.content, k=9)]
        await memory.database.maintain(lambda conn: conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    word = row.content.split()[0].encode()
    assert await asyncio.to_thread(held, tmp_path, word + b" ") == [FILE_NAME]


@in_loop
async def test_likeness_is_told_of_rows_of_another_model_too(tmp_path: Path) -> None:
    async with memory_in(tmp_path, WordEmbedder("old-32", 32)) as memory:
        await memory.add(kind="semantic", content="green bridge")
    async with memory_in(tmp_path) as memory:
        await memory.add(kind="semantic", content="blue bridge")
        vector = words().embed(["green bridge"])[0]
        scores = await memory.index.likeness(vector, [1, 2, 3])
        assert scores == {1: pytest.approx(1), 2: pytest.approx(0.5)}
        assert np.isclose(scores[2], (await memory.likeness("green bridge", [2]))[2])
        await memory.database.write(
            lambda conn: conn.execute("UPDATE memories SET vector = x'00' WHERE seq = 2").rowcount
        )
        assert list(await memory.likeness("green bridge", [1, 2])) == [1]
