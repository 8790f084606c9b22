"""Memory: durable before acknowledged, found by meaning, filtered inside, forgotten for good."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from node.memory.errors import BadMemory, MemoryTooLarge
from node.memory.memory import Memory
from node.memory.record import MAX_AT_ONCE, MAX_CONTENT_BYTES, MAX_TAGS, NewMemory
from storage.database import Database
from storage.errors import StorageFull
from tests.node.memory.fake import WordEmbedder

FACTS = {
    "bridge": "The harbour bridge was painted green in 1931",
    "cheese": "Aunt Vera eats Gouda cheese on Sundays",
    "train": "The last train to the coast leaves at nine",
}


@asynccontextmanager
async def memory_at(path: Path, embedder: WordEmbedder | None = None) -> AsyncIterator[Memory]:
    clock = count(1000)
    async with (
        Database.open(path / "node.db") as database,
        Memory.open(database, embedder or WordEmbedder(), now=lambda: next(clock)) as memory,
    ):
        yield memory


def run(path: Path, *tests: Callable[[Memory], Awaitable[None]]) -> None:
    """Each test gets the memory of the same home, opened anew."""

    async def main() -> None:
        for test in tests:
            async with memory_at(path) as memory:
                await test(memory)

    asyncio.run(main())


async def add_facts(memory: Memory) -> dict[str, str]:
    return {name: await memory.add(kind="semantic", content=text) for name, text in FACTS.items()}


def test_what_was_added_is_found_with_everything_it_came_with(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        await add_facts(memory)
        memory_id = await memory.add(
            kind="episodic",
            content="We crossed the green bridge together",
            namespace="shared",
            role="user",
            session_id="s1",
            tags=("walks", "bridges"),
            source="diary.txt",
        )
        first, second = (await memory.search("green bridge", k=4))[:2]
        assert (first.id, first.kind, first.namespace) == (memory_id, "episodic", "shared")
        assert (first.tags, first.source) == (("walks", "bridges"), "diary.txt")
        assert first.content == "We crossed the green bridge together"
        assert second.content == FACTS["bridge"]
        assert 1 >= first.score > second.score > 0
        row = await memory.get(memory_id)
        assert row is not None
        assert (row.role, row.session_id) == ("user", "s1")
        assert (await memory.search(FACTS["train"], k=1))[0].score == pytest.approx(1)

    run(tmp_path, test)


def test_it_outlives_the_process_and_forgetting_does_too(tmp_path: Path) -> None:
    ids: dict[str, str] = {}

    async def write(memory: Memory) -> None:
        ids.update(await add_facts(memory))
        assert await memory.forget(ids["cheese"])

    async def read(memory: Memory) -> None:
        assert [found.id for found in await memory.search("harbour bridge", k=1)] == [ids["bridge"]]
        assert {row.id for row in (await memory.list()).items} == {ids["bridge"], ids["train"]}
        assert ids["cheese"] not in {found.id for found in await memory.search(FACTS["cheese"], k=10)}
        assert not await memory.forget(ids["cheese"])
        assert await memory.get(ids["cheese"]) is None

    run(tmp_path, write, read)


def test_a_memory_that_was_forgotten_leaves_the_index(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        ids = await add_facts(memory)
        for name in FACTS:
            assert await memory.forget(ids[name])
        assert await memory.search("bridge") == []
        assert len(memory.index) == 0

    run(tmp_path, test)


def test_filters_hold_inside_the_search(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        for n in range(60):  # all of them likelier than the one that is asked for
            await memory.add(kind="working", content=f"green bridge {n}")
        wanted = await memory.add(kind="semantic", content="a bridge of stone and moss and years", namespace="shared")
        assert [found.id for found in await memory.search("green bridge", k=1, namespaces=("shared",))] == [wanted]
        assert [found.id for found in await memory.search("green bridge", k=5, kinds=("semantic",))] == [wanted]
        assert await memory.search("green bridge", kinds=("episodic",)) == []
        assert await memory.search("green bridge", namespaces=()) == []
        both = await memory.search("green bridge", k=100, kinds=("working",), namespaces=("private", "shared"))
        assert len(both) == 60

    run(tmp_path, test)


def test_among_equals_the_newer_comes_first(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        ids = [await memory.add(kind="working", content="the same words") for _ in range(40)]
        await memory.add(kind="working", content="other words")
        found = [item.id for item in await memory.search("the same words", k=3)]
        assert found == ids[:-4:-1]
        found = [item.id for item in await memory.search("the same words", k=3, namespaces=("private",))]
        assert found == ids[:-4:-1]

    run(tmp_path, test)


def test_a_query_without_meaning_and_an_empty_memory_find_nothing(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        assert await memory.search("anything") == []
        await add_facts(memory)
        assert await memory.search("  ") == []

    run(tmp_path, test)


def test_lists_are_newest_first_and_paged(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        ids = [
            await memory.add(kind="working", content=f"note {n}", session_id="ab"[n % 2], namespace="ask")
            for n in range(7)
        ]
        first = await memory.list(limit=3)
        second = await memory.list(limit=10, after=first.next)
        assert [row.id for row in (*first.items, *second.items)] == ids[::-1]
        assert second.next is None
        assert [row.id for row in (await memory.list(session_id="b")).items] == ids[5::-2]
        assert (await memory.list(namespace="private")).items == ()
        assert (await memory.list(kind="episodic")).items == ()

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"kind": "nonsense"}, BadMemory),
        ({"content": " \n"}, BadMemory),
        ({"content": "\ud800"}, BadMemory),
        ({"content": "x" * (MAX_CONTENT_BYTES + 1)}, MemoryTooLarge),
        ({"content": "é" * (MAX_CONTENT_BYTES // 2 + 1)}, MemoryTooLarge),
        ({"namespace": ""}, BadMemory),
        ({"namespace": "Shared"}, BadMemory),
        ({"namespace": "shared "}, BadMemory),
        ({"namespace": "x" * 65}, BadMemory),
        ({"role": "stranger"}, BadMemory),
        ({"tags": ["t"] * (MAX_TAGS + 1)}, MemoryTooLarge),
        ({"tags": ["t" * 65]}, MemoryTooLarge),
        ({"tags": [""]}, BadMemory),
        ({"tags": ["\ud800"]}, BadMemory),
        ({"source": "s" * 2000}, BadMemory),
        ({"session_id": ""}, BadMemory),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_stored(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception]
) -> None:
    async def test(memory: Memory) -> None:
        with pytest.raises(error) as caught:
            await memory.add(**{"kind": "semantic", "content": "text", **arguments})
        assert getattr(caught.value, "code", 0) // 100 in (400, 413)
        assert (await memory.list()).items == ()

    run(tmp_path, test)


def test_what_is_just_small_enough_is_kept(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        text = "x" * MAX_CONTENT_BYTES
        memory_id = await memory.add(kind="semantic", content=text, tags=["t" * 64] * MAX_TAGS)
        row = await memory.get(memory_id)
        assert row is not None
        assert row.content == text
        assert row.namespace == "private"  # what does not say is private

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"k": 0}, BadMemory),
        ({"k": 101}, BadMemory),
        ({"query": "x" * (MAX_CONTENT_BYTES + 1)}, MemoryTooLarge),
        ({"query": "\ud800"}, BadMemory),
        ({"namespaces": ["No such!"]}, BadMemory),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception]
) -> None:
    async def test(memory: Memory) -> None:
        with pytest.raises(error):
            await memory.search(**{"query": "text", **arguments})

    run(tmp_path, test)


def test_many_are_one_transaction(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        before = memory.database.counters()["commits"]
        ids = await memory.add_many([NewMemory(kind="semantic", content=f"fact {n}") for n in range(MAX_AT_ONCE)])
        assert memory.database.counters()["commits"] == before + 1
        assert len(set(ids)) == MAX_AT_ONCE
        assert await memory.add_many([]) == []
        with pytest.raises(MemoryTooLarge):
            await memory.add_many([NewMemory(kind="semantic", content="x")] * (MAX_AT_ONCE + 1))
        await memory.index.ready()
        assert len(memory.index) == MAX_AT_ONCE

    run(tmp_path, test)


def test_a_write_that_fails_leaves_neither_row_nor_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(memory: Memory) -> None:
        await add_facts(memory)

        def full(conn: sqlite3.Connection, **row: Any) -> int:
            raise StorageFull("no space")

        with monkeypatch.context() as patch:
            patch.setattr("storage.memories.add_memory", full)
            with pytest.raises(StorageFull):
                await memory.add(kind="semantic", content="one more bridge")
        await memory.index.ready()
        assert len((await memory.list()).items) == len(memory.index) == len(FACTS)

    run(tmp_path, test)


def test_a_caller_that_goes_away_leaves_index_and_rows_in_step(tmp_path: Path) -> None:
    async def test(memory: Memory) -> None:
        for steps in range(12):
            task = asyncio.create_task(memory.add(kind="semantic", content=f"note {steps}"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        kept = await memory.add(kind="semantic", content="the last one")
        assert await memory.forget(kept)
        while memory._unfinished:
            await asyncio.wait(memory._unfinished)
        rows = (await memory.list()).items
        await memory.index.ready()
        assert len(memory.index) == len(rows)
        for row in rows:
            assert row.id in {found.id for found in await memory.search(row.content, k=1)}

    run(tmp_path, test)


def test_what_is_forgotten_while_it_is_being_added_leaves_no_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(memory: Memory) -> None:
        await add_facts(memory)
        await memory.index.ready()
        take_in, on_disk, go_on = memory.index.add, asyncio.Event(), asyncio.Event()

        async def slowly(*arguments: Any) -> None:
            on_disk.set()
            await go_on.wait()
            await take_in(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(memory.index, "add", slowly)
            adding = asyncio.create_task(memory.add(kind="semantic", content="A secret of heliotrope"))
            await on_disk.wait()
            assert await memory.forget((await memory.list(limit=1)).items[0].id)
            go_on.set()
            await adding
        assert len(memory.index) == len(FACTS)
        await memory.add(kind="semantic", content="Another secret of heliotrope")
        assert len(memory.index) == len(FACTS) + 1

    run(tmp_path, test)


def test_another_embedding_model_embeds_everything_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with memory_at(tmp_path, WordEmbedder("old-32", 32)) as memory:
            ids = await add_facts(memory)
        new = WordEmbedder("new-128", 128)
        async with memory_at(tmp_path, new) as memory:
            assert new.embedded == 0
            await memory.upkeep.embed_again()
            assert new.embedded == len(FACTS)
            assert (await memory.search("harbour bridge", k=1))[0].id == ids["bridge"]
        again = WordEmbedder("new-128", 128)
        async with memory_at(tmp_path, again) as memory:
            assert again.embedded == 0  # the index comes from SQLite, not from the texts
            assert (await memory.search("Gouda cheese", k=1))[0].id == ids["cheese"]

    asyncio.run(main())


def test_a_damaged_vector_hides_one_memory_and_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with memory_at(tmp_path) as memory:
            ids = await add_facts(memory)
        conn = sqlite3.connect(tmp_path / "node.db")
        with conn:
            conn.execute("UPDATE memories SET vector = x'00000000' WHERE id = ?", (ids["cheese"],))
        conn.close()
        async with memory_at(tmp_path) as memory:
            assert {found.id for found in await memory.search("the", k=9)} <= {ids["bridge"], ids["train"]}
            assert len((await memory.list()).items) == 3
        assert "1 memories have a damaged vector" in caplog.text

    asyncio.run(main())


def test_topics_follow_each_change(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database, Memory.open(database, WordEmbedder()) as memory:
            assert await memory.topics() == ()
            kept = await memory.add(kind="semantic", content="bridge", namespace="shared", tags=["bridges"])
            assert "bridges" in await memory.topics()
            await memory.add(kind="semantic", content="a secret harbour", tags=["harbours"])
            assert "harbours" not in await memory.topics()
            await memory.forget(kept)
            assert await memory.topics() == ()

    asyncio.run(main())
