"""What is not shared never shows: neither in searches for others nor in the topics that the swarm hears."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.memory.memory import Memory
from node.memory.record import NewMemory
from storage.database import Database
from tests.node.memory.fake import WordEmbedder

_WORDS = st.sampled_from(["bridge", "cheese", "harbour", "train", "secret", "garden", "winter", "medicine", "salary"])

_memories = st.lists(
    st.builds(
        NewMemory,
        kind=st.sampled_from(["working", "episodic", "semantic"]),
        content=st.lists(_WORDS, min_size=1, max_size=6).map(" ".join),
        namespace=st.sampled_from(["private", "ask", "shared", "shared.not", "shared2", "family", "0"]),
        tags=st.lists(_WORDS.map(lambda word: f"tag {word}"), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(_memories, st.lists(_WORDS, min_size=1, max_size=4).map(" ".join), st.integers(1, 30), st.data())
def test_only_shared_rows_leave(items: list[NewMemory], query: str, k: int, data: st.DataObject) -> None:
    async def main(folder: Path) -> None:
        async with Database.open(folder / "node.db") as database, Memory.open(database, WordEmbedder()) as memory:
            ids = await memory.add_many(items)
            gone = data.draw(st.sets(st.sampled_from(ids)))
            for memory_id in gone:
                await memory.forget(memory_id)
            left = {one: item for one, item in zip(ids, items, strict=True) if one not in gone}
            shared = {one: item for one, item in left.items() if item.namespace == "shared"}

            found = await memory.search(query, k=k, namespaces=("shared",))
            assert all(item.namespace == "shared" and item.id in shared for item in found)
            assert len(found) == min(k, len(shared))  # none is missing either, however many others are likelier
            scores = [item.score for item in found]
            assert scores == sorted(scores, reverse=True)

            topics = await memory.topics()
            may_be_told = {word for item in shared.values() for word in item.content.split()}
            may_be_told |= {tag for item in shared.values() for tag in item.tags}
            assert set(topics) <= may_be_told
            assert bool(topics) == bool(shared)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))


def test_a_memory_that_does_not_say_stays_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database, Memory.open(database, WordEmbedder()) as memory:
            await memory.add(kind="semantic", content="the safe opens with seven", tags=["safe"])
            assert await memory.search("safe", namespaces=("shared",)) == []
            assert await memory.topics() == ()
            assert len(await memory.search("safe")) == 1

    asyncio.run(main())
