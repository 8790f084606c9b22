"""What works by itself stops with everything else."""

import asyncio
from pathlib import Path

import pytest

from node.mind.errors import WorkStopped
from node.mind.ethics.kill_switch import KillSwitch
from node.mind.ethics.while_allowed import WhileAllowed
from node.mind.executive import STOPPED
from node.mind.jobs.running import MAX_QUEUED
from node.mind.meta.meta_learner import MetaLearner
from tests.node.mind.assembly import open_mind
from tests.node.net.fake import FakeSwarm
from tests.node.parts import running, soon


class Counted:
    """A service that tells how often it began and was broken off."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[int] = asyncio.Queue()
        self.ended: asyncio.Queue[int] = asyncio.Queue()
        self.fault: Exception | None = None

    async def run(self) -> None:
        self.began.put_nowait(1)
        try:
            if self.fault is not None:
                raise self.fault
            await asyncio.Event().wait()
        finally:
            self.ended.put_nowait(1)


def test_a_service_runs_while_nobody_has_stopped_the_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            switch, service = mind.parts.kill_switch, Counted()
            await switch.order(stops=True)
            async with running(WhileAllowed(service, switch).run()):
                await asyncio.sleep(0)
                assert service.began.empty()
                await switch.order(stops=False)
                await soon(service.began.get())
                await switch.order(stops=True)
                await soon(service.ended.get())
                await switch.order(stops=False)
                await soon(service.began.get())
            service.fault = RuntimeError("a defect")
            with pytest.raises(RuntimeError, match="a defect"):
                await soon(WhileAllowed(service, switch).run())

    asyncio.run(main())


def test_all_that_learns_by_itself_stops(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            parts = mind.parts
            held = [part.service for part in parts.running if isinstance(part, WhileAllowed)]
            assert held == [parts.learning, parts.proposing, parts.meta.learner]
            assert mind.executive._remembering.service is mind.executive._afterwards
            assert {type(part) for part in parts.running} - {WhileAllowed} == {type(mind.executive), KillSwitch}
            assert isinstance(parts.meta.learner, MetaLearner)

    asyncio.run(main())


def test_nothing_is_given_to_the_swarm_and_no_tool_called_while_stopped(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await mind.parts.kill_switch.order(stops=True)
            with pytest.raises(WorkStopped):
                await mind.requester.post("do it")
            with pytest.raises(WorkStopped):
                await mind.tools.execute("calculator", {"expression": "1 + 1"})
            with pytest.raises(WorkStopped):
                await mind.colleagues.answer("how?", mind.node.did)
            await mind.parts.kill_switch.order(stops=False)
            assert (await mind.requester.post("do it")).status == "open"

    asyncio.run(main())


def test_all_that_was_paused_goes_on_however_much_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            ids = [await mind.jobs.create("What is 2 + 2?", None) for _ in range(MAX_QUEUED + 3)]
            for job_id in ids:
                await mind.jobs.pause(job_id, STOPPED)
            await mind.executive._on_stop_or_go(False)
            assert await mind.jobs.roots_with(("paused",)) == []
            assert list(mind.executive._running._queue) == ids

    asyncio.run(main())


def test_what_the_owner_pauses_while_stopped_stays_paused(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            job_id = await mind.jobs.create("What is 2 + 2?", None)
            await mind.parts.kill_switch.order(stops=True)
            await mind.jobs.pause(job_id, STOPPED)
            await mind.executive.pause(job_id)
            await mind.parts.kill_switch.order(stops=False)
            assert (await mind.jobs.get(job_id)).status == "paused"
            assert (await mind.executive.resume(job_id)).status == "queued"

    asyncio.run(main())


def test_what_was_paused_goes_on_after_a_crash_too(tmp_path: Path) -> None:
    """The order to go on is on disk before the jobs are let go on."""

    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            stopped = await mind.jobs.create("What is 2 + 2?", None)
            await mind.jobs.pause(stopped, STOPPED)
            by_hand = await mind.jobs.create("What is 3 + 3?", None)
            await mind.jobs.pause(by_hand, "")
            async with running(mind.executive.run()):
                async for event in mind.executive.follow(stopped):
                    if event.kind == "end":
                        break
            assert (await mind.jobs.get(stopped)).status == "done"
            assert (await mind.jobs.get(by_hand)).status == "paused"

    asyncio.run(main())
