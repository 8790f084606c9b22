"""Recall: likeness first, rare words and times where they are asked for, weights that order, contradictions."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from identity.did import Did
from node.memory.consolidation import Consolidation
from node.memory.errors import BadMemory
from node.memory.memory import Memory
from node.memory.privacy import Namespaces, OtherTwin
from node.memory.recall import Recall
from node.memory.record import NewMemory
from tests.node.memory.test_memory import memory_at

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # a Friday
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000


def run(path: Path, test: Callable[[Memory, Recall], Awaitable[None]]) -> None:
    async def main() -> None:
        async with memory_at(path) as memory:
            recall = Recall(memory, Namespaces(memory.database), zone=ZoneInfo("UTC"), now=lambda: NOW_MS)
            await test(memory, recall)

    asyncio.run(main())


def fact(content: str, **more: object) -> NewMemory:
    return NewMemory(kind="semantic", content=content, **{"happened_ms": NOW_MS - 100 * DAY_MS, **more})  # type: ignore[arg-type]


def test_likeness_comes_first_and_is_the_score(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        await memory.add_many(
            [fact("the harbour bridge is green", importance=0.0), fact("aunt vera eats cheese", importance=1.0)]
        )
        found = await recall.recall("harbour bridge", k=2)
        plain = await memory.search("harbour bridge", k=2)
        assert [(one.id, one.score) for one in found] == [(one.id, one.score) for one in plain]
        assert found[0].weight != found[0].score
        assert any(why.startswith("likeness") for why in found[0].why)

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ({"happened_ms": NOW_MS}, {"happened_ms": NOW_MS - 300 * DAY_MS}, "recent"),
        ({"importance": 0.9}, {"importance": 0.1}, "importance 0.90"),
        ({"outcome": "good"}, {"outcome": "bad"}, "went well"),
        ({"mood": "calm"}, {"mood": "tense"}, "same mood: calm"),
        ({"session_id": "s1"}, {"session_id": "s2"}, "this conversation"),
    ],
)
def test_among_equally_alike_ones_what_is_known_of_them_decides(
    tmp_path: Path, better: dict[str, object], worse: dict[str, object], why: str
) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        ids = await memory.add_many([fact("green bridge", **better), fact("green bridge", **worse)])
        found = await recall.recall("green bridge", mood="calm", session_id="s1")
        assert [one.id for one in found] == ids
        assert found[0].score == found[1].score
        assert found[0].weight > found[1].weight
        assert why in found[0].why

    run(tmp_path, test)


def test_what_the_owner_told_comes_before_documents_where_they_ask_of_themselves(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        told = fact("Kate sells boats near Piran", source="told")
        papers = [fact("sells boats cheap today", namespace="domain", source="/ads.md") for _ in range(60)]
        await memory.add_many([told, *papers])
        found = await recall.recall("who sells my boats", k=3)
        assert found[0].content == told.content
        assert "yours" in found[0].why
        plain = await recall.recall("who sells such boats", k=3)
        assert all("yours" not in one.why for one in plain)
        await memory.add(kind="semantic", content="boats sink", namespace="shared")
        other = await recall.recall("who has my boats", audience=OtherTwin(Did("did:key:z6MkOther")))
        assert [(one.content, "yours" in one.why) for one in other] == [("boats sink", False)]
        assert await recall.recall("who has my boats", namespaces=("soul",)) == []

    run(tmp_path, test)


def test_a_code_a_name_or_a_phrase_is_found_however_little_alike(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        long = "a long list of things that lie in the old shed behind the house among them the spare key"
        await memory.add_many([fact(f"what paper {n} says") for n in range(30)])
        code, name, phrase = await memory.add_many(
            [fact(f"{long} KX-417"), fact(f"{long} of Okonkwo"), fact(f"{long} beside red paint tin")]
        )
        for query, wanted, words in (
            ("what is KX-417", code, "KX-417"),
            ("what is it about Okonkwo", name, "Okonkwo"),
            ('what is "red paint tin"', phrase, "red paint tin"),
        ):
            first = (await recall.recall(query, k=3))[0]
            assert first.id == wanted
            assert first.words == (words,)
            assert f"has {words}" in first.why
        assert (await memory.search("what is KX-417", k=1))[0].id != code  # likeness alone does not find it

    run(tmp_path, test)


def test_a_word_that_stands_everywhere_is_not_looked_for(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        await memory.add_many([fact(f"Okonkwo has thing number{n}") for n in range(20)])
        assert all(not one.words for one in await recall.recall("what has Okonkwo", k=20))

    run(tmp_path, test)


def test_what_happened_is_found_by_its_time(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        tuesday = int(datetime(2026, 11, 17, 10, tzinfo=UTC).timestamp() * 1000)
        ids = await memory.add_many(
            [
                NewMemory(kind="episodic", content="the boiler was mended", happened_ms=tuesday),
                NewMemory(kind="episodic", content="a walk by the sea", happened_ms=tuesday + DAY_MS),
                fact("we talk about last tuesday in the song"),
            ]
        )
        found = await recall.recall("what did we talk about last Tuesday?", k=3)
        assert found[0].id == ids[0]
        assert found[0].asked_time
        assert "happened last tuesday" in found[0].why
        assert not any(one.asked_time for one in found[1:])
        only = await recall.recall("the boiler", k=3, happened=(tuesday + DAY_MS, tuesday + 2 * DAY_MS))
        assert [one.id for one in only] == [ids[1]]

    run(tmp_path, test)


def test_turns_of_conversations_are_recalled_only_if_asked_for(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        await memory.add(kind="working", content="green bridge", role="user")
        assert await recall.recall("green bridge") == []
        assert len(await recall.recall("green bridge", kinds=("working",))) == 1

    run(tmp_path, test)


def test_contradictions_come_together_the_newest_first_and_marked(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        old, other, new = await memory.add_many(
            [
                fact("I live in Paris", happened_ms=NOW_MS - 90 * DAY_MS),
                fact("the bridge is green"),
                fact("I moved to Lyon", happened_ms=NOW_MS - DAY_MS),
            ]
        )
        consolidation = consolidation_of(memory)
        assert (await consolidation.consolidate()).contradictions == 0  # they share no words here: not alike enough
        newer = (await memory.add_many([fact("I live in Lyon", happened_ms=NOW_MS)]))[0]
        assert (await consolidation.consolidate()).contradictions == 1
        found = await recall.recall("I live in Paris", k=1)
        assert [one.id for one in found] == [newer]  # what is said now, though what is asked for is what was said
        found = await recall.recall("I live in Paris", k=2)
        assert [(one.id, one.contradicts) for one in found] == [(newer, (old,)), (old, (newer,))]
        assert "an older memory of 2026-08-22 says otherwise" in found[0].why
        assert "a newer memory of 2026-11-20 says otherwise" in found[1].why
        assert {old, other, new}  # all of them are still there
        assert len((await memory.list()).items) == 4

    run(tmp_path, test)


def test_what_was_said_again_is_found_once_and_comes_back_when_the_newer_goes(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        old, new = await memory.add_many([fact("My sister is Ana"), fact("my sister is Ana.", happened_ms=NOW_MS)])
        assert (await consolidation_of(memory).consolidate()).merged == 1
        assert [one.id for one in await recall.recall("who is my sister")] == [new]
        assert await memory.forget(new)
        assert [one.id for one in await recall.recall("who is my sister")] == [old]

    run(tmp_path, test)


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    async def test(memory: Memory, recall: Recall) -> None:
        for k in (0, 101):
            with pytest.raises(BadMemory):
                await recall.recall("text", k=k)
        assert await recall.recall("text") == []
        assert await recall.recall("  ") == []

    run(tmp_path, test)


def consolidation_of(memory: Memory) -> Consolidation:
    from tests.node.memory.test_consolidation import consolidation

    return consolidation(memory)
