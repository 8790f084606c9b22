"""Consolidation: episodes, merged facts, contradictions and expiry; bounded, restartable, and never before a goal."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from node.inference.engine import ChatRequest, Completion, Engine
from node.inference.errors import InferenceFailed
from node.inference.local import LocalModel
from node.memory.body import Body
from node.memory.consolidation import MAX_EPISODES, MAX_TURNS, Consolidation
from node.memory.memory import Memory
from node.memory.privacy import Namespaces
from node.memory.record import NewMemory
from node.memory.working import WorkingMemory
from storage.errors import StorageFull
from tests.node.inference.fake import ScriptedEngine
from tests.node.memory.test_memory import memory_at

IDLE_S = 100.0


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000_000

    def __call__(self) -> int:
        return self.ms


async def nothing_to_do() -> bool:
    return False


def consolidation(
    memory: Memory,
    *,
    clock: Callable[[], int] = lambda: 10**12,
    engine: Engine | None = None,
    busy: Callable[[], Awaitable[bool]] = nothing_to_do,
    body: Callable[[], list[str]] = list,
    every_s: float = 60,
) -> Consolidation:
    model = LocalModel(None if engine else "none was chosen")
    if engine is not None:
        model.settle(engine, None)
    return Consolidation(
        memory, model=model, body=Body(memory, body), busy=busy, idle_s=IDLE_S, every_s=every_s, now=clock
    )


async def talk(memory: Memory, clock: Clock, *said: str, session: str | None = "s1", every_s: float = 1) -> list[str]:
    """The owner and the twin in turn."""
    working = WorkingMemory(memory, ttl_s=1000, now=clock)
    ids = []
    for n, text in enumerate(said):
        memory._now = clock
        ids.append(await working.append(session, "assistant" if n % 2 else "user", text))
        clock.ms += int(every_s * 1000)
    return ids


def run(path: Path, test: Callable[[Memory, Clock], Awaitable[None]]) -> None:
    async def main() -> None:
        async with memory_at(path) as memory:
            await test(memory, Clock())

    asyncio.run(main())


async def episodes(memory: Memory) -> list[Any]:
    return list((await memory.list(kind="episodic")).items)


def test_a_conversation_that_is_over_becomes_an_episode(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        began = clock.ms
        ids = await talk(memory, clock, "The boiler in the Linden house broke on 14 May.", "I noted that.", "Thanks.")
        await talk(memory, clock, "no session, either", session=None)
        work = consolidation(memory, clock=clock)
        assert (await work.consolidate()).episodes == 0  # it may go on
        clock.ms += int(IDLE_S * 1000)
        assert (await work.consolidate()).episodes == 2
        loose, episode = await episodes(memory)
        assert "The boiler in the Linden house broke on 14 May." in episode.content
        assert (episode.namespace, episode.session_id, episode.happened_ms) == ("heart", "s1", began)
        assert episode.source == "conversation, extractive"
        assert loose.session_id is None
        assert (await memory.ties(episode)).made_from == tuple(ids)
        assert (await work.consolidate()).episodes == 0
        await talk(memory, clock, "And another thing about the Linden house.")
        clock.ms += int(IDLE_S * 1000)
        assert (await work.consolidate()).episodes == 1  # the turns that are new, and no others
        assert "boiler" not in (await episodes(memory))[0].content

    run(tmp_path, test)


def test_a_pause_divides_and_so_does_a_great_number_of_turns(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        await talk(memory, clock, "In the morning about apples.", every_s=IDLE_S)
        await talk(memory, clock, *(f"In the evening thing {n}." for n in range(MAX_TURNS + 1)))
        work = consolidation(memory, clock=clock)
        assert (await work.consolidate()).episodes == 2  # the last turn is of a conversation that may go on
        clock.ms += int(IDLE_S * 1000)
        assert (await work.consolidate()).episodes == 1
        last, evening, morning = await episodes(memory)
        assert "apples" in morning.content
        assert "apples" not in evening.content
        assert len((await memory.ties(evening)).made_from) == MAX_TURNS
        assert f"thing {MAX_TURNS}" in last.content

    run(tmp_path, test)


def test_turns_expire_only_after_they_became_an_episode(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        await talk(memory, clock, "The boiler broke.", "I see.")
        clock.ms += 10_000_000
        busy = True

        async def goal() -> bool:
            return busy

        work = consolidation(memory, clock=clock, busy=goal)
        assert (await work.consolidate()).expired == 0
        assert len((await memory.list(kind="working")).items) == 2
        busy = False
        done = await work.consolidate()
        assert (done.episodes, done.expired) == (1, 2)
        assert (await memory.list(kind="working")).items == ()
        assert len(await episodes(memory)) == 1
        assert len(await memory.search("boiler", kinds=("working",))) == 0

    run(tmp_path, test)


def test_the_owners_goal_stops_it_and_the_model(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        goal, stopped = asyncio.Event(), asyncio.Event()

        class Slow(ScriptedEngine):
            async def complete(self, request: ChatRequest) -> Completion:
                goal.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()
                raise AssertionError

        async def busy() -> bool:
            return goal.is_set()

        await talk(memory, clock, "The boiler broke.")
        clock.ms += int(IDLE_S * 1000)
        done = await consolidation(memory, clock=clock, engine=Slow(capable=True), busy=busy).consolidate()
        assert (done.episodes, done.interrupted) == (0, True)
        assert stopped.is_set()
        assert await episodes(memory) == []
        assert (await consolidation(memory, clock=clock).consolidate()).episodes == 1

    run(tmp_path, test)


def capable(answer: dict[str, Any] | str) -> ScriptedEngine:
    text = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
    return ScriptedEngine(script=lambda turns: text, capable=True)


def test_a_capable_model_sums_up_and_notices(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        ids = await talk(memory, clock, "You know that my brother Tom plays the cello in Ghent.", "Nice.")
        clock.ms += int(IDLE_S * 1000)
        engine = capable(
            {
                "summary": "The owner's brother Tom plays the cello in Ghent.",
                "facts": ["My brother Tom plays the cello in Ghent", "My brother Tom earns 90000 euros"],
            }
        )
        done = await consolidation(memory, clock=clock, engine=engine).consolidate()
        assert (done.episodes, done.facts) == (1, 1)  # what nobody said is not kept
        episode = (await episodes(memory))[0]
        assert episode.content == "The owner's brother Tom plays the cello in Ghent."
        assert episode.source.startswith("conversation, ")
        assert "extractive" not in episode.source
        told = (await memory.list(kind="semantic")).items[0]
        assert told.content == "My brother Tom plays the cello in Ghent"
        assert told.namespace == "private"
        assert (await memory.ties(told)).made_from == tuple(ids)

    run(tmp_path, test)


@pytest.mark.parametrize(
    "answer",
    ["nonsense", "[]", '{"summary": 5}', '{"summary": "", "facts": []}', {"summary": "Aliens landed.", "facts": []}],
)
def test_a_model_that_says_nonsense_is_not_believed(tmp_path: Path, answer: dict[str, Any] | str) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        await talk(memory, clock, "The boiler broke in the Linden house.")
        clock.ms += int(IDLE_S * 1000)
        assert (await consolidation(memory, clock=clock, engine=capable(answer)).consolidate()).episodes == 1
        episode = (await episodes(memory))[0]
        assert episode.content == "The boiler broke in the Linden house."
        assert episode.source == "conversation, extractive"

    run(tmp_path, test)


def test_an_episode_is_no_more_open_than_what_was_said(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        await Namespaces(memory.database).set("heart", "shared")
        await talk(memory, clock, "My salary is a secret.")
        clock.ms += int(IDLE_S * 1000)
        await consolidation(memory, clock=clock).consolidate()
        assert [row.namespace for row in await episodes(memory)] == ["private"]

    run(tmp_path, test)


def test_what_is_forgotten_meanwhile_becomes_no_episode(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        ids = await talk(memory, clock, "The boiler broke.", "I see.")
        clock.ms += int(IDLE_S * 1000)

        class Forgetful(ScriptedEngine):
            async def complete(self, request: ChatRequest) -> Completion:
                await memory.forget(ids[0])
                return await super().complete(request)

        said = orjson.dumps({"summary": "The boiler broke.", "facts": []}).decode()
        engine = Forgetful(script=lambda turns: said, capable=True)
        await consolidation(memory, clock=clock, engine=engine).consolidate()
        assert all("boiler" not in row.content for row in await episodes(memory))

    run(tmp_path, test)


def test_a_crash_between_two_steps_loses_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        for n in range(3):
            await talk(memory, clock, f"Conversation {n} about matters.", session=f"s{n}")
        clock.ms += int(IDLE_S * 1000)
        kept = 0

        def fails_at_the_second(conn: sqlite3.Connection, **row: Any) -> int:
            nonlocal kept
            kept += 1
            if kept == 2:
                raise StorageFull("no space")
            return real(conn, **row)

        from storage import memories

        real = memories.add_memory
        with monkeypatch.context() as patch:
            patch.setattr("storage.memories.add_memory", fails_at_the_second)
            with pytest.raises(StorageFull):
                await consolidation(memory, clock=clock).consolidate()
        assert len(await episodes(memory)) == 1
        assert (await consolidation(memory, clock=clock).consolidate()).episodes == 2  # a new process would do the same
        assert sorted(row.session_id for row in await episodes(memory)) == ["s0", "s1", "s2"]

    run(tmp_path, test)


def test_a_pass_is_bounded_and_says_that_there_is_more(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        for n in range(MAX_EPISODES + 2):
            await talk(memory, clock, f"Conversation {n} about matters.", session=f"s{n}")
        clock.ms += int(IDLE_S * 1000)
        work = consolidation(memory, clock=clock)
        first = await work.consolidate()
        assert (first.episodes, first.more) == (MAX_EPISODES, True)
        second = await work.consolidate()
        assert (second.episodes, second.more) == (2, False)

    run(tmp_path, test)


def test_facts_are_merged_only_within_their_namespace(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        ids = await memory.add_many(
            [
                NewMemory(kind="semantic", content="The mill closes at 5", namespace="shared"),
                NewMemory(kind="semantic", content="the mill closes at 5.", namespace="private"),
                NewMemory(kind="semantic", content="The mill closes at 5.", namespace="shared", importance=0.9),
                NewMemory(kind="semantic", content="The mill closes at 6", namespace="private"),
            ]
        )
        done = await consolidation(memory).consolidate()
        assert (done.merged, done.contradictions) == (1, 1)
        rows = {row.id: row for row in (await memory.list()).items}
        assert rows[ids[0]].merged_into == rows[ids[2]].seq
        assert rows[ids[2]].importance == 0.9
        assert rows[ids[1]].merged_into is rows[ids[3]].merged_into is None
        assert (await memory.ties(rows[ids[3]])).contradicts == (ids[1],)
        assert (await memory.ties(rows[ids[2]])).said_before == (ids[0],)
        again = await consolidation(memory).consolidate()
        assert (again.merged, again.contradictions) == (0, 0)

    run(tmp_path, test)


def test_a_fact_that_was_said_three_times_is_one(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        work = consolidation(memory)
        ids = []
        for _ in range(3):
            ids.append(await memory.add(kind="semantic", content="My sister is Ana"))
            await work.consolidate()
        found = await memory.search("sister", k=5)
        assert [one.id for one in found] == [ids[2]]
        last = await memory.get(ids[2])
        assert last is not None
        assert set((await memory.ties(last)).said_before) == set(ids[:2])

    run(tmp_path, test)


def test_the_body_is_kept_current_and_the_owners_words_stay(tmp_path: Path) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        own = await memory.add(kind="semantic", content="I stand in the cellar", namespace="body", by="owner")
        tools = ["I have the tool clock", "I have the tool calculator"]
        work = consolidation(memory, body=lambda: tools)
        await work.consolidate()
        tools[:] = ["I have the tool clock", "I have the tool compass"]
        await work.consolidate()
        rows = (await memory.list(namespace="body")).items
        assert {row.content for row in rows} == {*tools, "I stand in the cellar"}
        assert next(row for row in rows if row.id == own).source is None

    run(tmp_path, test)


def test_the_loop_outlives_an_embedder_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(memory: Memory, clock: Clock) -> None:
        tries, twice = 0, asyncio.Event()

        def body() -> list[str]:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise InferenceFailed("the embedder is gone")
            twice.set()
            return []

        loop = asyncio.create_task(consolidation(memory, body=body, every_s=0.001).run())
        async with asyncio.timeout(10):
            await twice.wait()
        loop.cancel()
        await asyncio.wait({loop})
        assert "the memory was not consolidated: the embedder is gone" in caplog.text

    run(tmp_path, test)


def test_a_crash_in_the_middle_of_an_episode_loses_none_of_its_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(Exception):
        """The process would have ended here."""

    async def test(memory: Memory, clock: Clock) -> None:
        said = "My sister Ana repairs violins in Cremona."
        await talk(memory, clock, said)
        clock.ms += int(IDLE_S * 1000)
        engine = ScriptedEngine(lambda turns: orjson.dumps({"summary": said, "facts": [said]}).decode(), capable=True)
        kept = 0

        async def dies(items: Any, **more: Any) -> list[str]:
            nonlocal kept
            if kept == 1:
                raise Died
            kept += 1
            return await Memory.add_many(memory, items, **more)

        with monkeypatch.context() as patch:
            patch.setattr(memory, "add_many", dies)
            with suppress(Died):
                await consolidation(memory, clock=clock, engine=engine).consolidate()
        await consolidation(memory, clock=clock, engine=engine).consolidate()
        assert len(await episodes(memory)) == 1
        assert [row.content for row in (await memory.list(kind="semantic")).items] == [said]

    run(tmp_path, test)
