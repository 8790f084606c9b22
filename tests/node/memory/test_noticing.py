"""What is noticed in passing, what is not, and that it goes with the turn it was said in."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.memory.noticing import MAX_FACT_CHARS, MAX_FACTS, Noticing, noticed
from node.memory.working import WorkingMemory
from tests.node.memory.test_memory import memory_at


@pytest.mark.parametrize(
    ("said", "facts"),
    [
        ("My sister is Ana.", [("My sister is Ana", False)]),
        ("I prefer tea. What is the weather?", [("I prefer tea", False)]),
        ("By the way, I'm allergic to peanuts! Can you book?", [("I'm allergic to peanuts", False)]),
        ("Remember that the boiler was serviced on 3.5.2024.", [("The boiler was serviced on 3.5.2024", True)]),
        ("Can you remember that I park in row 7?", [("I park in row 7", True)]),
        ("remember that the safe code is 1234", [("The safe code is 1234", True)]),
        ("My password is hunter2.", []),
        ("If my dog is ill, what then", []),
        ("My code is broken", []),
        ("I like it", []),
        ("remember to buy milk", []),
        ("Remember this:", []),
        ("Is my sister Ana?", []),
        ("", []),
    ],
)
def test_what_is_noticed(said: str, facts: list[tuple[str, bool]]) -> None:
    assert noticed(said) == facts


@given(st.text(max_size=400))
def test_nothing_breaks_it_and_it_is_bounded(said: str) -> None:
    found = noticed(said)
    assert len(found) <= MAX_FACTS
    assert all(0 < len(fact) <= MAX_FACT_CHARS + 1 for fact, _ in found)


def test_a_megabyte_is_looked_at_only_at_its_beginning() -> None:
    assert noticed("my cat is " * 100_000) == []


def test_what_is_told_is_kept_privately_and_goes_with_its_turn(tmp_path: Path) -> None:
    async def main() -> None:
        async with memory_at(tmp_path) as memory:
            turn_id = await WorkingMemory(memory, ttl_s=60).append("s1", "user", "Hello! My sister is Ana.")
            ids = await Noticing(memory).heard("Hello! My sister is Ana.", turn_id=turn_id, session_id="s1")
            row = await memory.get(ids[0])
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
