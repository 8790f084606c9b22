"""Working memory: whole turns within a budget, for a time, across restarts."""

import asyncio
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.inference.engine import ChatTurn
from node.memory.working import TURN_TOKENS, WorkingMemory, tokens_of
from tests.node.memory.test_memory import memory_at


def test_turns_come_back_in_order_and_survive_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with memory_at(tmp_path) as memory:
            working = WorkingMemory(memory, ttl_s=60)
            for n in range(3):
                await working.append("s1", "user", f"question {n}", mood="calm", activation=0.3)
                await working.append("s1", "assistant", f"answer {n}")
            await working.append("s2", "user", "elsewhere")
            await working.append(None, "user", "outside of any session")
        async with memory_at(tmp_path) as memory:
            working = WorkingMemory(memory, ttl_s=60)
            turns = await working.turns("s1", 10_000)
            assert [turn.content for turn in turns] == [
                text for n in range(3) for text in (f"question {n}", f"answer {n}")
            ]
            assert turns[0] == ChatTurn("user", "question 0")
            assert [turn.content for turn in await working.turns(None, 100)] == ["outside of any session"]
            sessions = (await working.sessions()).items
            assert [(row.session_id, row.turns) for row in sessions] == [("s2", 1), ("s1", 6)]
            assert (await working.sessions(limit=1)).next is not None

    asyncio.run(main())


def test_a_turn_over_its_time_is_not_given(tmp_path: Path) -> None:
    async def main() -> None:
        now = 1_000_000
        async with memory_at(tmp_path) as memory:
            working = WorkingMemory(memory, ttl_s=60, now=lambda: now)
            await working.append("s1", "user", "old")
            now += 30_000
            await working.append("s1", "user", "new")
            assert len(await working.turns("s1", 1000)) == 2
            now += 30_000
            assert [turn.content for turn in await working.turns("s1", 1000)] == ["new"]

    asyncio.run(main())


_SAID = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.integers(1, 60)), max_size=12)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.integers(1, 60)), max_size=12), st.integers(0, 200)
)
def test_a_budget_is_kept_with_the_newest_whole_turns(said: list[tuple[str, int]], tokens: int) -> None:
    async def main(folder: Path) -> None:
        async with memory_at(folder) as memory:
            working = WorkingMemory(memory, ttl_s=1e6)
            texts = [f"{n}".ljust(length, "x") for n, (_, length) in enumerate(said)]
            for (role, _), text in zip(said, texts, strict=True):
                await working.append("s", role, text)  # type: ignore[arg-type]
            turns = await working.turns("s", tokens)
            assert sum(tokens_of(turn.content) for turn in turns) <= tokens
            assert [turn.content for turn in turns] == texts[len(texts) - len(turns) :]
            assert not turns or turns[0].role == "user"
            # Nothing that would still fit was left out, unless it would begin with an answer.
            if len(turns) < len(texts):
                following = texts[len(texts) - len(turns) - 1]
                used = sum(tokens_of(turn.content) for turn in turns)
                role = said[len(texts) - len(turns) - 1][0]
                assert role == "assistant" or used + tokens_of(following) > tokens

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))


def test_a_token_is_never_more_than_three_bytes() -> None:
    assert tokens_of("") == TURN_TOKENS + 1
    assert tokens_of("日本語") == 3 + 1 + TURN_TOKENS
