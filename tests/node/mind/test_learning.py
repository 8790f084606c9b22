"""What jobs are given of a playbook, and how that comes back as counts: over a real database and a real hive."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from node.errors import JobNotRated, RevisionRefused
from node.hive.canary import is_tried_on
from node.mind.executive import JobResult
from node.mind.learning import COUNT_AFTER, OWNERS_WEIGHT
from protocols.playbook.merge import Bullet
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm
from tests.node.parts import running, watching

GOAL = "flour mill tonnes"
FACT = "flour mill tonnes two"
RULE = "flour mill tonnes are metric"


def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda turns: "Two tonnes.")


async def teach(mind: Mind, text: str = RULE) -> str:
    """Add a bullet; its id."""
    await mind.hive.propose("common", "why", [{"op": "add", "section": "rules", "text": text}])
    return next(bullet.id for bullet in await bullets(mind) if bullet.text == text)


async def bullets(mind: Mind) -> Sequence[Bullet]:
    return (await mind.hive.view("common")).bullets


async def counted(mind: Mind, bullet_id: str) -> tuple[int, int]:
    (bullet,) = (bullet for bullet in await bullets(mind) if bullet.id == bullet_id)
    return bullet.helpful, bullet.harmful


async def job(mind: Mind) -> JobResult:
    return await mind.executive.interact(GOAL)


def test_a_job_is_noted_with_the_bullets_that_it_was_given(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            bullet = await teach(mind)
            await teach(mind, "kilns burn bricks")
            result = await job(mind)
            assert (result.steps[-1].output or {})["bullets"] == [bullet]
            used = await mind.learning.of(result.job_id)
            assert used is not None
            assert [(use.bullet, use.use) for use in used.uses] == [(bullet, "adopted")]
            assert (used.outcome.outcome, used.outcome.source) == ("good", "job")

    asyncio.run(main())


def test_a_job_that_no_bullet_fits_is_not_noted_and_cannot_be_rated(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            await teach(mind, "kilns burn bricks")
            result = await job(mind)
            assert await mind.learning.of(result.job_id) is None
            with pytest.raises(JobNotRated):
                await mind.learning.rate(result.job_id, good=True)

    asyncio.run(main())


def test_without_a_model_nothing_is_held_for_a_bullet(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a") as mind:
            await mind.remember(FACT)
            bullet = await teach(mind)
            result = await job(mind)
            used = await mind.learning.of(result.job_id)
            assert used is not None
            assert used.outcome.outcome == "unknown"
            assert await mind.learning.count("common") is None
            assert await counted(mind, bullet) == (0, 0)

    asyncio.run(main())


def test_outcomes_become_counts_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            bullet = await teach(mind)
            for _ in range(3):
                await job(mind)
            assert await mind.learning.count("common", at_least=4) is None
            assert await mind.learning.count("common") is not None
            assert await counted(mind, bullet) == (3, 0)
            assert await mind.learning.count("common") is None
            assert await counted(mind, bullet) == (3, 0)

    asyncio.run(main())


def test_what_the_owner_says_counts_more_and_sets_right_what_the_job_said(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            bullet = await teach(mind)
            result = await job(mind)
            await mind.learning.count("common")
            for _ in range(2):  # the second time is no news
                mind.node.clock.advance(1)
                rated = await mind.learning.rate(result.job_id, good=False)
                assert (rated.outcome.outcome, rated.outcome.source) == ("bad", "owner")
                await mind.learning.count("common")
            assert await counted(mind, bullet) == (1, OWNERS_WEIGHT)

    asyncio.run(main())


def test_enough_outcomes_are_counted_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            bullet = await teach(mind)
            async with watching(mind.node) as events, running(mind.learning.run()):
                for _ in range(COUNT_AFTER):
                    await job(mind)
                await events.until("playbook_updated")
                assert await counted(mind, bullet) == (COUNT_AFTER, 0)

    asyncio.run(main())


def test_what_cannot_be_proposed_is_counted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            bullet = await teach(mind)
            await job(mind)
            propose = mind.hive.propose

            async def refuse(*_: object, **__: object) -> Cid:
                raise RevisionRefused("not now")

            monkeypatch.setattr(mind.hive, "propose", refuse)
            with pytest.raises(RevisionRefused):
                await mind.learning.count("common")
            monkeypatch.setattr(mind.hive, "propose", propose)
            await mind.learning.count("common")
            assert await counted(mind, bullet) == (1, 0)

    asyncio.run(main())


def test_what_is_tried_is_given_to_a_share_of_the_jobs_and_kept_back_from_the_rest(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            bullet = await teach(mind)
            (revision,) = (one.revision for one in await bullets(mind))
            await mind.hive.approve("common", revision, canary=True, share=0.5)
            assert await bullets(mind) == ()
            seen = set()
            for number in range(20):
                guidance = await mind.learning.guidance(f"job {number}", GOAL)
                (use,) = guidance.uses
                is_tried = is_tried_on(f"job {number}", revision, 0.5)
                assert (use.bullet, use.use) == (bullet, "tried" if is_tried else "kept_back")
                assert guidance.texts == ([RULE] if is_tried else [])
                seen.add(use.use)
            assert seen == {"tried", "kept_back"}

    asyncio.run(main())


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_stop_between_two_writes_loses_no_count_and_counts_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            bullet = await teach(mind)
            await job(mind)
            propose = mind.hive.propose

            async def stop(*arguments: Any, **options: Any) -> Cid:
                if is_kept:
                    await propose(*arguments, **options)
                raise asyncio.CancelledError

            monkeypatch.setattr(mind.hive, "propose", stop)
            with pytest.raises(asyncio.CancelledError):
                await mind.learning.count("common")
            monkeypatch.setattr(mind.hive, "propose", propose)
            assert (await mind.learning.count("common") is None) == is_kept
            assert await counted(mind, bullet) == (1, 0)

    asyncio.run(main())


def test_a_goal_is_given_the_bullets_of_the_playbook_that_fits_it_best(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            await teach(mind, "flour of rye")
            assert (await mind.learning.guidance("job", GOAL)).playbook == "common"
            await mind.hive.propose("milling", "why", [{"op": "add", "section": "rules", "text": RULE}])
            result = await job(mind)
            used = await mind.learning.of(result.job_id)
            assert used is not None
            assert used.outcome.playbook == "milling"
            assert (await mind.learning.guidance("job", "kilns")).playbook == "common"
            assert await mind.learning.count("milling") is not None
            (bullet,) = (await mind.hive.view("milling")).bullets
            assert (bullet.helpful, bullet.harmful) == (1, 0)

    asyncio.run(main())
