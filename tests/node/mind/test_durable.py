"""A job goes on after `kill -9`, wherever that comes: each test kills a real process and opens its home again."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from identity.did import did_key
from identity.keys import KeyPair
from node.mind.actions import Action, AskTwin, Candidate, Decompose, Delegate, UseTool, described
from node.mind.executive import JobResult
from protocols.conversations.contract_net import Result
from protocols.task import ASK
from storage import tasks
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.scripted import FACT, befriend, file_tools, lines, other_keys, script
from tests.node.net.fake import FakeSwarm
from tests.node.parts import running, soon

ROOT = Path(__file__).parents[3]
SEED = os.urandom(32)
OTHER = did_key(other_keys(SEED).public)
GOAL = "Do what is listed"
STRIKE, SIGN, LOOK = (
    UseTool("strike", {"at": "iron"}),
    UseTool("sign", {"what": "deed"}),
    UseTool("look", {"at": "sky"}),
)

pytestmark = pytest.mark.slow


def crash(home: Path, point: str, *actions: Action, goal: str = GOAL) -> None:
    """Have a process work until it is at the point, and kill it there."""
    home.mkdir(exist_ok=True)
    steps = [json.dumps(described(action)) for action in actions]
    command = [sys.executable, str(Path(__file__).with_name("crash_child.py")), str(home), SEED.hex(), goal, point]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with subprocess.Popen([*command, *steps], stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == f"at {point}\n"
        finally:
            child.kill()


@asynccontextmanager
async def reopened(
    home: Path, *actions: Action, swarm: FakeSwarm | None = None, beside: Mind | None = None
) -> AsyncIterator[tuple[Mind, JobResult]]:
    """The mind after its restart, once it has come as far as it can by itself."""
    async with open_mind(swarm or FakeSwarm(), home, keys=KeyPair(SEED), tools=file_tools(home), works=False) as mind:
        script(mind, *actions)
        if beside is not None:
            await befriend(mind, beside)
        (job,) = (await mind.jobs.list(9)).items
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(mind.executive.run())
            async for event in mind.executive.follow(job.id):
                if event.kind == "end" or (event.kind == "status" and event.data["status"] == "waiting_approval"):
                    break
            yield mind, await soon(mind.executive.wait(job.id))
            working.cancel()


async def only_approval(mind: Mind) -> str:
    (row,) = (await mind.approvals.list(9, status="pending")).items
    return row.id


def outputs(result: JobResult) -> list[object]:
    return [(step.output or {}).get("result", (step.output or {}).get("error")) for step in result.steps[1:-1]]


def test_before_a_step_nothing_is_lost(tmp_path: Path) -> None:
    home = tmp_path / "home"
    crash(home, "deciding 1", STRIKE)

    async def main() -> None:
        async with reopened(home, STRIKE) as (_, result):
            assert (result.status, outputs(result)) == ("done", ["struck iron"])
            assert lines(home, "strike") == ["iron"]

    asyncio.run(main())


@pytest.mark.parametrize(("point", "done"), [("before strike", []), ("after strike", ["iron"])])
@pytest.mark.parametrize("happened", [True, False])
def test_what_acts_is_never_repeated_and_the_owner_says_what_became_of_it(
    tmp_path: Path, point: str, done: list[str], happened: bool
) -> None:
    home = tmp_path / "home"
    crash(home, point, STRIKE)

    async def main() -> None:
        async with reopened(home, STRIKE) as (mind, result):
            assert (result.status, len(result.waits_for)) == ("waiting_approval", 1)
            (row,) = (await mind.approvals.list(9, status="pending")).items
            assert row.kind == "outcome"
            await mind.approvals.decide(row.id, approve=happened)
            async for event in mind.executive.follow(result.job_id):
                if event.kind == "end":
                    break
            result = await soon(mind.executive.wait(result.job_id))
            said = "it happened, says the owner" if happened else "it did not happen, says the owner"
            assert (result.status, outputs(result)) == ("done", [said])
            assert lines(home, "strike") == done

    asyncio.run(main())


def test_what_only_looks_is_done_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    crash(home, "after look", LOOK, STRIKE)

    async def main() -> None:
        async with reopened(home, LOOK, STRIKE) as (mind, result):
            assert result.status == "waiting_approval"  # a tool's words have come in: to strike now needs leave
            assert lines(home, "look") == ["sky", "sky"]
            await mind.approvals.decide(await only_approval(mind), approve=True)
            async for event in mind.executive.follow(result.job_id):
                if event.kind == "end":
                    break
            result = await mind.executive.wait(result.job_id)
            assert outputs(result) == ["saw sky", "struck iron"]
            assert lines(home, "strike") == ["iron"]

    asyncio.run(main())


def test_what_is_finished_is_taken_from_the_record(tmp_path: Path) -> None:
    home = tmp_path / "home"
    crash(home, "deciding 2", STRIKE)

    async def main() -> None:
        async with reopened(home, STRIKE) as (_, result):
            assert (result.status, outputs(result)) == ("done", ["struck iron"])
            assert lines(home, "strike") == ["iron"]
            assert [step.n for step in result.steps] == [1, 2, 3]

    asyncio.run(main())


@pytest.mark.parametrize("approve", [True, False])
def test_an_approval_waits_through_a_crash(tmp_path: Path, approve: bool) -> None:
    home = tmp_path / "home"
    crash(home, "waiting_approval", SIGN)
    assert lines(home, "sign") == []

    async def main() -> None:
        async with reopened(home, SIGN) as (mind, result):
            assert result.status == "waiting_approval"
            await mind.approvals.decide(await only_approval(mind), approve=approve, note=None)
            async for event in mind.executive.follow(result.job_id):
                if event.kind == "end":
                    break
            result = await mind.executive.wait(result.job_id)
            assert result.status == "done"
            assert lines(home, "sign") == (["deed"] if approve else [])
            assert ("did not" in result.answer) is not approve

    asyncio.run(main())


@pytest.mark.parametrize(("point", "done"), [("before sign", []), ("after sign", ["deed"])])
def test_leave_that_was_spent_is_spent_and_the_owner_says_what_became_of_it(
    tmp_path: Path, point: str, done: list[str]
) -> None:
    home = tmp_path / "home"
    crash(home, point, SIGN)
    assert lines(home, "sign") == done

    async def main() -> None:
        async with reopened(home, SIGN) as (mind, result):
            assert result.status == "waiting_approval"
            rows = (await mind.approvals.list(9)).items
            assert [(row.kind, row.status) for row in rows] == [("outcome", "pending"), ("action", "used")]
            await mind.approvals.decide(rows[0].id, approve=False)
            async for event in mind.executive.follow(result.job_id):
                if event.kind == "end":
                    break
            assert lines(home, "sign") == done

    asyncio.run(main())


@pytest.mark.parametrize("point", ["asked", "replied"])
def test_a_question_to_another_twin_goes_out_once(tmp_path: Path, point: str) -> None:
    """After `asked` the other twin was killed while it answered; after `replied` its reply is here, and it is away."""
    home = tmp_path / "home"
    ask = AskTwin(Candidate(OTHER, "B", ("flour mill",), 1.0), "flour mill tonnes")
    crash(home, point, ask, goal="flour mill tonnes")

    async def asks(mind: Mind) -> int:
        boxes = (await mind.mail.office.outbox(99)).items, (await mind.mail.office.inbox(99)).items
        return sum(row.type == ASK for box in boxes for row in box)

    async def main() -> None:
        swarm = FakeSwarm()
        async with AsyncExitStack() as stack:
            beside = None
            if point == "asked":
                beside = await stack.enter_async_context(open_mind(swarm, home / "other", keys=other_keys(SEED)))
            async with reopened(home, ask, swarm=swarm, beside=beside) as (mind, result):
                assert result.status == "done"
                assert FACT in result.answer
                assert await asks(mind) == 1
                assert beside is None or await asks(beside) == 1

    asyncio.run(main())


def test_a_task_is_given_to_the_swarm_once_and_allowed_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    task = Delegate("count the sacks", deadline_s=600)
    crash(home, "posted", task)

    async def main() -> None:
        async with open_mind(FakeSwarm(), home, keys=KeyPair(SEED), tools=file_tools(home), works=False) as mind:
            script(mind, task)
            (job,) = (await mind.jobs.list(9)).items
            (given,) = await mind.node.database.read(lambda conn: tasks.tasks_with(conn, ("open",)))
            async with running(mind.executive.run()):
                body = orjson.dumps(Result(given.id, "seven sacks").to_body())
                ended = replace(given, status="done", worker=OTHER, result=body, due_ms=None)
                await mind.requester._write(ended)
                async for event in mind.executive.follow(job.id):
                    if event.kind == "end":
                        break
            result = await mind.executive.result(job.id)
            assert "seven sacks" in result.answer
            assert len(await mind.node.database.read(lambda conn: tasks.tasks_with(conn, ("open", "done")))) == 1
            assert [row.status for row in (await mind.approvals.list(9)).items] == ["used"]

    asyncio.run(main())


def test_parts_that_half_ended_are_not_begun_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    split = Decompose(("clock hours here", "clock hours there"), parallel=False)
    crash(home, "answering 2", split)

    async def main() -> None:
        async with reopened(home, split) as (mind, result):
            assert result.status == "done"
            parts = (await mind.jobs.list(9, parent_id=result.job_id)).items
            assert [part.status for part in parts] == ["done", "done"]
            assert [len((await mind.jobs.get(part.id)).steps) for part in parts] == [1, 1]

    asyncio.run(main())


def test_turns_and_lessons_are_kept_once(tmp_path: Path) -> None:
    for point in ("answering", "reflecting"):
        home = tmp_path / point
        crash(home, point, LOOK)

        async def main(home: Path) -> None:
            async with reopened(home, LOOK) as (mind, result):
                assert result.status == "done"
                job = await soon(mind.executive.reflected(result.job_id))
                assert not job.turn_due
                turns = (await mind.memory.list(kind="working")).items
                assert [row.role for row in turns] == ["assistant", "user"]
                assert len(lines(home, "look")) == 1

        asyncio.run(main(home))


def test_parts_of_a_goal_are_the_same_parts_after_a_crash(tmp_path: Path) -> None:
    home = tmp_path / "home"
    split = Decompose(("first part", "second part"), parallel=False)
    crash(home, "answering", split)

    async def main() -> None:
        async with reopened(home, split) as (mind, result):
            assert result.status == "done"
            parts = (await mind.jobs.list(9, parent_id=result.job_id)).items
            assert [(part.goal, part.status) for part in reversed(parts)] == [
                ("first part", "done"),
                ("second part", "done"),
            ]

    asyncio.run(main())
