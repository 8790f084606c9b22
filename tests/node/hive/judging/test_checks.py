import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.hive.judging.checks import MAX_GOAL_BYTES, Checks, expectation_of
from node.hive.judging.errors import CheckUnknown, CheckUnusable, TooManyChecks
from storage.database import Database
from tests.node.memory.fake import WordEmbedder
from tests.node.parts import Clock


@asynccontextmanager
async def open_checks(path: Path) -> AsyncIterator[tuple[Checks, Clock]]:
    clock = Clock()
    async with Database.open(path / "node.db") as database:
        yield Checks(database, WordEmbedder(dimensions=1024), now=clock), clock


def test_checks_are_kept_one_for_each_goal(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_checks(tmp_path) as (checks, _):
            first = await checks.add("common", " who mills ", "Anna")
            assert (first.goal, first.origin) == ("who mills", "owner")
            second = await checks.add("common", "who mills", "Ben")
            assert second.id == first.id
            await checks.add("garden", "who mills", "Cora")
            assert [check.expected for check in (await checks.list()).items] == ["Cora", "Ben"]
            assert [check.expected for check in (await checks.list("garden")).items] == ["Cora"]
            await checks.remove(first.id)
            for call in (checks.remove(first.id), checks.get(first.id)):
                with pytest.raises(CheckUnknown):
                    await call
            for goal, expected in (("", "x"), ("x" * (MAX_GOAL_BYTES + 1), "x"), ("goal", "/(/")):
                with pytest.raises(CheckUnusable):
                    await checks.add("common", goal, expected)

    asyncio.run(main())


def test_history_gives_checks_but_never_over_the_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.hive.judging.checks.MAX_FROM_HISTORY", 3)

    async def main() -> None:
        async with open_checks(tmp_path) as (checks, clock):
            await checks.add("common", "who mills", "Anna")
            assert not await checks.add_from_history("common", "who mills", "Ben mills.")
            assert not await checks.add_from_history("common", "what now", "?")
            for n in range(5):
                clock.advance(1)
                assert await checks.add_from_history("common", f"goal {n}", f"answer {n} is this\n(from memory 1)")
            clock.advance(1)
            assert await checks.add_from_history("common", "goal 2", "another answer")  # the newest counts
            found = await checks.of("common")
            assert [(check.goal, check.origin) for check in found] == [
                *(("who mills", "owner"), ("goal 2", "history")),
                *(("goal 3", "history"), ("goal 4", "history")),
            ]
            assert found[1].expected == "another answer"
            assert expectation_of(found[2]).met_by("this: answer 3")
            assert await checks.add("common", "goal 3", "the owner's")  # her word goes over it
            assert (await checks.of("common"))[2].origin == "owner"

    asyncio.run(main())


def test_the_owner_has_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.hive.judging.checks.MAX_OWN_CHECKS", 2)

    async def main() -> None:
        async with open_checks(tmp_path) as (checks, _):
            for n in range(2):
                await checks.add("common", f"goal {n}", "x")
            with pytest.raises(TooManyChecks):
                await checks.add("common", "goal 3", "x")
            await checks.add("common", "goal 1", "y")  # in place of one
            await checks.add("garden", "goal 3", "x")

    asyncio.run(main())


def test_those_that_fit(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_checks(tmp_path) as (checks, _):
            for goal in ("the flour mill", "a flour mill of stone", "zebras"):
                await checks.add("common", goal, "x")
            fitting = await checks.fitting("common", ["ask about the flour mill"], most=5)
            assert [check.goal for check in fitting] == ["the flour mill", "a flour mill of stone"]
            assert len(await checks.fitting("common", ["the flour mill"], most=1)) == 1
            assert await checks.fitting("garden", ["the flour mill"], most=5) == ()
            assert await checks.fitting("common", [], most=5) == ()

    asyncio.run(main())


def test_an_answer_that_is_bad_after_all_is_no_check_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_checks(tmp_path) as (checks, _):
            await checks.add("common", "who mills", "Anna")
            await checks.add_from_history("common", "who bakes", "Ben bakes.")
            for goal in ("who mills", "who bakes", "who knows"):
                await checks.forget_from_history("common", goal)
            assert [check.goal for check in await checks.of("common")] == ["who mills"]  # what the owner wrote stays

    asyncio.run(main())
