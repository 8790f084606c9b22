"""The executive, as the owner meets it: give a goal, wait for it, follow it, stop it, let it go on.

A goal becomes a job on disk before anything is done for it (jobs.py); it is worked on in its turn (running.py), step by
step (pursuing.py), and goes on after a crash. Whoever waits for a job may go away: the job does not.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Final, Literal

from node.events import EventBus
from node.inference.errors import GoalTooLong
from node.mind.acting import Acting
from node.mind.actions import Action, Recall, Respond, Situation, described
from node.mind.deciding.asking import looked_for
from node.mind.deciding.deciding import Decider
from node.mind.errors import JobOver
from node.mind.ethics.kill_switch import KillSwitch
from node.mind.ethics.while_allowed import WhileAllowed
from node.mind.jobs.afterwards import Afterwards
from node.mind.jobs.approvals import Approvals
from node.mind.jobs.following import Followers, JobEvent
from node.mind.jobs.jobs import MAX_STEPS, Job, Jobs, Step
from node.mind.jobs.record import Record, shown
from node.mind.jobs.running import Control, Halt, Halted, Running
from node.mind.perceiving.perception import perceive
from node.mind.pursuing import Pursuing
from plugins.host import PluginHost
from storage.approvals import ApprovalRow

logger = logging.getLogger(__name__)

MAX_GOAL_BYTES: Final = 16 * 1024
"""A goal travels whole in one message to another twin; documents belong into the memory."""

_TOO_LONG: Final = f"a goal has at most {MAX_GOAL_BYTES} bytes: `pagi memory ingest FILE` takes longer texts in"

STOPPED: Final = "all work was stopped"
"""What a job does that the kill switch has paused: it goes on when the work may."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a goal stands when nobody works on it any more: at its end, or waiting for the owner.

    `degraded`: no capable model took part. `waits_for` are the ids of the approvals that it waits for.
    """

    job_id: str
    status: str
    answer: str
    steps: tuple[Step, ...]
    reflection: str | None
    degraded: bool
    reason: str | None = None
    waits_for: tuple[str, ...] = ()


class Executive:
    """Works on goals, some at once."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        approvals: Approvals,
        followers: Followers,
        pursuing: Pursuing,
        afterwards: Afterwards,
        acting: Acting,
        decider: Decider,
        kill_switch: KillSwitch,
        tools: PluginHost,
        events: EventBus,
        record: Record,
        at_once: int,
    ) -> None:
        self._jobs = jobs
        self._approvals = approvals
        self._followers = followers
        self._pursuing = pursuing
        self._afterwards = afterwards
        self._remembering = WhileAllowed(afterwards, kill_switch)
        self._acting = acting
        self._decider = decider
        self._kill_switch = kill_switch
        self._tools = tools
        self._events = events
        self._record = record
        self._running = Running(
            jobs=jobs, work=self._work, on_halt=self._on_halt, on_fault=self._on_fault, at_once=at_once
        )
        self._decided: asyncio.Queue[str] = asyncio.Queue()
        approvals.on_decided(self._on_decided)
        kill_switch.on_change(self._on_stop_or_go)

    # Giving goals

    async def submit(
        self,
        goal: str,
        *,
        session_id: str | None = None,
        max_steps: int = MAX_STEPS,
        deadline_s: float | None = None,
    ) -> str:
        """Take a goal, on disk, to be worked on in its turn; the job's id.

        Raises GoalTooLong, TooManyJobs, WorkStopped.
        """
        if len(goal.encode()) > MAX_GOAL_BYTES:
            raise GoalTooLong(_TOO_LONG)
        self._kill_switch.check()
        self._running.check_room()
        job_id = await self._jobs.create(goal, session_id, max_steps=max_steps, deadline_s=deadline_s)
        await self._events.publish("goal_received", job_id, {"job_id": job_id}, source="mind")
        self._running.add(job_id)
        return job_id

    async def wait(self, job_id: str) -> JobResult:
        """The job once nobody works on it: it has ended, or it waits for the owner. Raises JobUnknown."""
        await self._running.wait(await self._jobs.root_of(job_id))
        return await self.result(job_id)

    async def interact(
        self,
        goal: str,
        *,
        session_id: str | None = None,
        max_steps: int = MAX_STEPS,
        deadline_s: float | None = None,
    ) -> JobResult:
        """`submit` and `wait`."""
        job_id = await self.submit(goal, session_id=session_id, max_steps=max_steps, deadline_s=deadline_s)
        return await self.wait(job_id)

    async def result(self, job_id: str) -> JobResult:
        """How a job stands now. Raises JobUnknown."""
        job = await self._jobs.get(job_id)
        waits_for = await self._approvals.pending_of(await self._jobs.family(job_id)) if not job.ended else ()
        return JobResult(
            job.id,
            job.status,
            job.answer or ("" if job.ended else job.doing),
            job.steps,
            job.reflection,
            job.degraded is not None,
            job.degraded,
            tuple(row.id for row in waits_for),
        )

    async def plan(self, goal: str) -> tuple[Step, ...]:
        """What would be done for a goal, as far as that can be told without doing it. Raises GoalTooLong."""
        if len(goal.encode()) > MAX_GOAL_BYTES:
            raise GoalTooLong(_TOO_LONG)
        perceived = await asyncio.to_thread(perceive, goal)
        redacted = perceived.redacted if perceived.redacted != perceived.text else None
        situation = Situation(goal=perceived.text, redacted=redacted, steps_left=MAX_STEPS, tools=self._tools.list())
        first = Recall(looked_for(perceived.text))
        situation, _ = await self._acting.recall(situation, first, job_id="", session_id=None)
        following = (await self._decider.decide(replace(situation, steps_left=MAX_STEPS - 1))).action
        planned: list[Action] = [first, following]
        if not isinstance(following, Respond):
            planned.append(Respond())
        await self._events.publish("plan_generated", "plan", {"steps": len(planned)}, source="mind")
        return tuple(Step(n, *described(action), None, 0.0) for n, action in enumerate(planned, 1))

    # Following

    async def follow(self, job_id: str) -> AsyncGenerator[JobEvent, None]:
        """What was done for a job, then what happens to it and its parts, until it has ended. Raises JobUnknown.

        Of a part, what happens to that part alone.
        """
        root_id = await self._jobs.root_of(job_id)
        with self._followers.following(root_id) as events:
            job = await self._jobs.get(job_id)
            for step in job.steps:
                yield JobEvent(job_id, "step", shown(step))
            yield JobEvent(job_id, "status", {"status": job.status})
            for row in await self._approvals.pending_of(await self._jobs.family(job_id)):
                data = {"id": row.id, "kind": row.kind, "summary": row.summary}
                yield JobEvent(row.job_id or job_id, "approval", data)
            if job.ended:
                yield self._end_of(job)
                return
            async for event in events:
                if job_id in (root_id, event.job_id) or event.kind == "lagged":
                    yield event
                if event.kind == "end" and event.job_id == job_id:
                    return

    @staticmethod
    def _end_of(job: Job) -> JobEvent:
        return JobEvent(job.id, "end", {"status": job.status, "answer": job.answer, "degraded": job.degraded})

    # Stopping, and going on

    async def cancel(self, job_id: str) -> JobResult:
        """End a job and its parts; what runs for it ends soon. Raises JobUnknown, JobOver."""
        return await self._halt(job_id, "cancel")

    async def pause(self, job_id: str) -> JobResult:
        """Stop working on a job; an act on the world that is under way is let finish. Raises JobUnknown, JobOver."""
        return await self._halt(job_id, "pause")

    async def _halt(self, job_id: str, halt: Halt) -> JobResult:
        job = await self._jobs.get(job_id)
        if job.ended:
            raise JobOver(f"the job {job_id} is {job.status}")
        root_id = await self._jobs.root_of(job_id)
        if self._running.stop(root_id, halt):
            await self._running.wait(root_id)
        await self._on_halt(root_id, halt, by_owner=True)  # what is so already stays so
        return await self.result(job_id)

    async def resume(self, job_id: str) -> JobResult:
        """Let a job go on that was paused. Raises JobUnknown, JobOver, WorkStopped, TooManyJobs."""
        self._kill_switch.check()
        self._running.check_room()
        if (await self._jobs.get(job_id)).ended:
            raise JobOver(f"the job {job_id} has ended")
        await self._let_go_on(await self._jobs.root_of(job_id))
        return await self.result(job_id)

    # Working

    async def run(self) -> None:
        """Work on what is there and what comes, until cancelled."""
        for job_id in await self._jobs.roots_with(("waiting_approval",)):
            self._decided.put_nowait(job_id)  # one whose decision came just before the stop goes on
        if not self._kill_switch.stopped:
            await self._go_on()  # if the twin stopped between the order to go on and what follows from it
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._approvals.run())
            tasks.create_task(self._running.run())
            tasks.create_task(self._remembering.run())
            tasks.create_task(self._go_on_when_decided())

    async def reflected(self, job_id: str) -> Job:
        """The job, once it has ended and was reflected on."""
        return await self._afterwards.settled(job_id)

    async def _work(self, control: Control) -> None:
        if self._kill_switch.stopped:
            control.halt = "pause"
            raise Halted
        await self._pursuing.pursue(control.root_id, control)
        self._afterwards.wake()

    async def _go_on_when_decided(self) -> None:
        while True:
            self._running.add(await self._jobs.root_of(await self._decided.get()))

    def _on_decided(self, row: ApprovalRow) -> None:
        if row.job_id is not None:
            self._decided.put_nowait(row.job_id)

    async def _on_halt(self, root_id: str, halt: Halt, *, by_owner: bool = False) -> None:
        """Write down that a job and its parts were stopped; what the owner pauses, no end of a stop lets go on."""
        if halt == "cancel":
            await self._stopped_short(root_id, "cancelled", "cancelled", "You cancelled this.")
            return
        for job_id in await self._jobs.family(root_id):
            await self._jobs.pause(job_id, STOPPED if self._kill_switch.stopped and not by_owner else "")
        self._followers.tell(root_id, JobEvent(root_id, "status", {"status": "paused"}))

    async def _on_fault(self, root_id: str) -> None:
        """The work met a defect: its job ends here, and the others go on."""
        await self._stopped_short(root_id, "failed", "broken off by a fault", "The work met a fault of this program.")

    async def _stopped_short(self, root_id: str, status: Literal["cancelled", "failed"], why: str, answer: str) -> None:
        """End a job and its parts, whatever they were at; those that have ended stay as they are."""
        family = [await self._jobs.get(job_id) for job_id in await self._jobs.family(root_id)]
        for job in reversed(family):  # the parts first: the whole would end them without a word about their steps
            if not job.ended:
                await self._record.broken_off(job, why, self._tools.list())
                await self._jobs.finish(job.id, status=status, answer=answer)
            await self._approvals.withdraw(job.id)
            self._followers.tell(root_id, JobEvent(job.id, "status", {"status": (await self._jobs.get(job.id)).status}))
            self._followers.tell(root_id, self._end_of(await self._jobs.get(job.id)))

    async def _on_stop_or_go(self, stopped: bool) -> None:
        if stopped:
            self._running.stop_all("pause")
        else:
            await self._go_on()

    async def _go_on(self) -> None:
        """Take up what the kill switch had paused; all of it, for these goals were taken long ago."""
        for job_id in await self._jobs.roots_with(("paused",)):
            if (await self._jobs.get(job_id)).doing == STOPPED:
                await self._let_go_on(job_id)

    async def _let_go_on(self, root_id: str) -> None:
        for one in await self._jobs.family(root_id):
            await self._jobs.move(one, "queued", among=("paused",))
        self._running.add(root_id)
