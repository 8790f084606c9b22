"""What was told in passing is kept, and goes with the turn it was said in."""

import asyncio
from pathlib import Path

from node.config import MemoryConfig
from node.inference.local import LocalModel
from node.memory.assembly import assemble_memory
from node.memory.noticing import OWNERS_NAME, Noticing
from node.memory.working import WorkingMemory
from tests.node.memory.test_memory import memory_at


def test_what_is_told_is_kept_privately_and_goes_with_its_turn(tmp_path: Path) -> None:
    async def main() -> None:
        async with memory_at(tmp_path) as memory:
            turn_id = await WorkingMemory(memory, ttl_s=60).append("s1", "user", "Hello! My sister is Ana.")
            [(fact_id, _)] = await Noticing(memory).heard("Hello! My sister is Ana.", turn_id=turn_id, session_id="s1")
            row = await memory.get(fact_id)
            assert row is not None
            assert (row.content, row.kind, row.namespace, row.source) == (
                "My sister is Ana",
                "semantic",
                "private",
                "told",
            )
            ties = await memory.ties(row)
            assert ties.made_from == (turn_id,)
            await memory.forget(turn_id)
            assert await Noticing(memory).heard("My sister is Ana.", turn_id=turn_id) == []  # the turn is gone
            assert await Noticing(memory, enabled=False).heard("My sister is Ana.") == []

    asyncio.run(main())


def test_a_correction_is_about_the_one_who_was_spoken_of_in_this_conversation(tmp_path: Path) -> None:
    async def main() -> None:
        async with memory_at(tmp_path) as memory:
            noticing = Noticing(memory)
            await noticing.heard("My sister is called Ana and she lives in Porto.", session_id="s1")
            await noticing.heard("My brother is Ben.", session_id="s1")
            kept = await noticing.heard("No, she moved to Lisbon.", session_id="s1")
            assert [fact.text for _, fact in kept] == ["My sister lives in Lisbon now"]
            assert await noticing.heard("No, she moved to Lisbon.", session_id="s2") == []

    asyncio.run(main())


def test_the_owners_name_is_found_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with memory_at(tmp_path) as memory:
            await Noticing(memory).heard("Hello, I am Tom.")
            rows = (await memory.list(source=OWNERS_NAME)).items
            assert [row.content for row in rows] == ["My name is Tom"]

    asyncio.run(main())


def test_a_corrected_fact_comes_first_and_the_old_one_is_marked(tmp_path: Path) -> None:
    async def main() -> None:
        async with memory_at(tmp_path) as memory:
            parts = assemble_memory(memory, MemoryConfig(), model=LocalModel("none"))
            for said in ("My sister is called Ana and she lives in Porto.", "No, she moved to Lisbon."):
                await parts.noticing.heard(said, session_id="s1")
            found = await parts.recall.recall("Where does my sister live?", k=5)
            where = [(one.content, one.outdated) for one in found if "lives" in one.content]
            assert where == [("My sister lives in Lisbon now", False), ("My sister lives in Porto", True)]

    asyncio.run(main())
