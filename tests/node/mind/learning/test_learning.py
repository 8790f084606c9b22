"""What jobs are given of a playbook, and how that comes back as counts: over a real database and a real hive."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from node.errors import JobNotRated, JobUnknown, RevisionRefused
from node.hive.canary import is_tried_on
from node.hive.judging.errors import CheckUnusable
from node.mind.ethics.while_allowed import WhileAllowed
from node.mind.executive import JobResult
from node.mind.jobs.jobs import Step
from node.mind.learning import own_lessons
from node.mind.learning.learning import COUNT_AFTER, OWNERS_WEIGHT
from node.mind.learning.own_lessons import OwnLessons
from node.mind.learning.weighing import STEP, Weighing
from node.tasks.requester import UNRATED
from protocols.conversations.receipt import Receipt
from protocols.playbook.merge import Bullet
from storage import feedback, tasks
from storage.tasks import TaskRow
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_did, running, watching

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


def test_a_job_that_no_bullet_fits_is_not_noted_and_its_rating_counts_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            await mind.remember(FACT)
            bullet = await teach(mind, "kilns burn bricks")
            result = await job(mind)
            assert await mind.learning.of(result.job_id) is None
            rated = await mind.learning.rate(result.job_id, good=True)
            assert (rated.outcome.outcome, rated.outcome.source, rated.uses) == ("good", "owner", ())
            assert await mind.learning.count("common") is None
            assert await counted(mind, bullet) == (0, 0)

    asyncio.run(main())


def test_only_what_has_ended_can_be_rated(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", works=False) as mind:
            with pytest.raises(JobUnknown):
                await mind.learning.rate("nothing", good=True)
            running_job = await mind.jobs.create(GOAL, None)
            with pytest.raises(JobNotRated, match="queued"):
                await mind.learning.rate(running_job, good=True)
            await mind.jobs.finish(running_job, status="done", answer="two")
            with pytest.raises(CheckUnusable):
                await mind.learning.rate(running_job, good=False, expected="?!")
            assert await mind.learning.of(running_job) is None

    asyncio.run(main())


def test_a_refusal_teaches_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", works=False) as mind:
            refused = await mind.jobs.create(GOAL, None)
            await mind.jobs.finish(refused, status="refused", answer="I will not do that.")
            await mind.learning.rate(refused, good=False, expected="two", share=True)
            told = await mind.node.database.read(lambda conn: feedback.get(conn, refused))
            assert told is not None
            assert (told.good, told.expected, told.state) == (False, None, "told")
            assert await mind.learning.count("common") is None

    asyncio.run(main())


def test_the_results_of_checks_are_counted_once_and_name_no_check(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            bullet = await teach(mind)
            checks = [await mind.hive.checks.add("common", f"{GOAL} {n}", "two") for n in range(3)]
            other = await mind.hive.checks.add("common", "zebra", "at night")
            await mind.learning.note_checks("common", [(check, n > 0) for n, check in enumerate(checks)])
            await mind.learning.note_checks("common", [(other, False)])
            cid = await mind.learning.count("common")
            assert cid is not None
            assert await counted(mind, bullet) == (2, 1)
            evidence = (await mind.hive.stored("common", cid)).revision.evidence
            assert all(str(one).startswith("check-run:") for one in evidence)
            assert not any(check.id in str(one) for one in evidence for check in checks)
            assert await mind.learning.count("common") is None

    asyncio.run(main())


@pytest.mark.parametrize(("quality", "outcome"), [(0.9, "good"), (0.1, "bad"), (UNRATED, "unknown")])
def test_the_receipt_of_a_task_counts_for_the_job_that_gave_it(tmp_path: Path, quality: float, outcome: str) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", works=False) as mind:
            job_id = await delegated(mind, quality)
            assert await mind.learning.note_receipts() == (outcome != "unknown")
            used = await mind.learning.of(job_id)
            assert used is not None
            assert (used.outcome.outcome, used.outcome.counted) == (outcome, outcome == "unknown")
            assert await mind.learning.note_receipts() == 0
            await mind.learning.rate(job_id, good=True)
            assert await mind.learning.note_receipts() == 0  # the owner has the last word

    asyncio.run(main())


def test_a_job_that_gave_several_tasks_went_as_the_worst_of_them_and_is_counted_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", works=False) as mind:
            job_id = await delegated(mind, 0.9, 0.1, 0.8, UNRATED)
            assert await mind.learning.note_receipts() == 1
            used = await mind.learning.of(job_id)
            assert used is not None
            assert used.outcome.outcome == "bad"
            assert await mind.learning.count("common") is not None
            assert await mind.learning.note_receipts() == 0
            assert await mind.learning.count("common") is None

    asyncio.run(main())


async def delegated(mind: Mind, *qualities: float) -> str:
    """A job that gave tasks to the swarm, whose receipts say so."""
    bullet = await teach(mind)
    job_id = await mind.jobs.create(GOAL, None)
    given = {"task": GOAL, "requirements": [], "deadline_s": 60}
    for number in range(len(qualities)):
        output = {"task_id": f"t{number}", "result": "two"}
        await mind.jobs.record(job_id, Step(number + 1, "delegate", given, output, 5.0))
    guidance = await mind.learning.guidance(job_id, GOAL)
    assert [fitting.bullet.id for fitting in guidance.given] == [bullet]
    await mind.jobs.finish(
        job_id,
        status="done",
        answer="two",
        also=lambda conn: mind.learning.note(conn, job_id, guidance, "unknown"),
    )
    for number, quality in enumerate(qualities):
        await receipted(mind, f"t{number}", quality)
    return job_id


async def receipted(mind: Mind, task_id: str, quality: float) -> None:
    """A task of ours that is done, with its receipt."""
    node = mind.node
    receipt = Receipt.sign(
        task_id=task_id,
        requester=node.did,
        worker=new_did(),
        outcome="result",
        quality=quality,
        finished=1,
        sign=node.keys.sign,
    )
    row = TaskRow(
        id=task_id,
        requester=node.did,
        task=GOAL,
        requirements=(),
        created_ms=1,
        deadline_ms=2,
        status="done",
        due_ms=None,
        receipt=receipt.block,
    )
    await node.database.write(lambda conn: tasks.put_task(conn, row))


def test_memories_are_weighed_by_what_the_owner_says_of_the_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine()) as mind:
            memory_id = await mind.remember(FACT)
            other = await mind.remember("kilns burn bricks")
            result = await job(mind)
            weighing = Weighing(mind.node.database)

            async def importance() -> list[float]:
                rows = [await mind.memory.get(one) for one in (memory_id, other)]
                return [round(row.importance, 3) for row in rows if row is not None]

            assert await weighing.weigh() == 0  # what the job says of itself changes nothing
            for good, now in ((True, 0.5 + STEP), (True, 0.5 + STEP), (False, 0.5 - STEP)):
                mind.node.clock.advance(1)
                await mind.learning.rate(result.job_id, good=good)
                await weighing.weigh()
                assert await importance() == [round(now, 3), 0.5]

    asyncio.run(main())


def test_lessons_of_this_twin_alone_are_given_apart(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a") as mind:
            await teach(mind)
            lessons = OwnLessons(mind.memory, mind.node.did)
            await lessons.keep("flour mill tonnes are of 900 kg", also=lambda conn: None)
            await mind.memory.add(kind="semantic", content="flour mill tonnes of no lesson", namespace="mind")
            guidance = await mind.learning.guidance("job", GOAL)
            assert guidance.texts == [RULE]
            assert guidance.own_texts == ["flour mill tonnes are of 900 kg"]
            assert [use.bullet for use in guidance.uses] == [guidance.given[0].bullet.id]

    asyncio.run(main())


def test_what_else_is_kept_beside_the_lessons_drives_none_of_them_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_lessons, "MAX_LESSONS", 1)

    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a") as mind:
            lessons = OwnLessons(mind.memory, mind.node.did)
            await lessons.keep("flour mill tonnes are of 900 kg", also=lambda conn: None)
            await mind.memory.add(kind="semantic", content="a page of a book on mills", namespace="mind")
            assert [bullet.text for bullet in await lessons.bullets()] == ["flour mill tonnes are of 900 kg"]

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
            told = (await mind.hive.view("common")).metrics["success_rate"]
            assert (told.sum, told.count) == (3.0, 3)
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


def test_the_owner_can_have_nothing_learnt_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        for reflect in (True, False):
            async with open_mind(FakeSwarm(), tmp_path / f"{reflect}", works=False, reflect=reflect) as mind:
                services = [part.service for part in mind.parts.running if isinstance(part, WhileAllowed)]
                assert (mind.parts.learning in services) == (mind.parts.proposing in services) == reflect
                assert mind.parts.meta.learner in services  # which has a setting of its own

    asyncio.run(main())
