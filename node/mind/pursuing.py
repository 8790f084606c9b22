"""Pursuing a goal: the loop of one job, from the gate to the answer.

perceive → gate → remember the turn → decide → record → (leave) → act → observe → … → answer. What comes next is decided
by deciding.py, and what of it needs the owner's leave by leave.py. A job can stop anywhere and goes on from its record:
what is finished is taken from there, what only looks is done again, and what acts on the world and may or may not have
happened is never repeated.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import assert_never

from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.inference.errors import BudgetExhausted
from node.mind.acting import Acting, Output
from node.mind.actions import (
    Action,
    AskOwner,
    AskTwin,
    BuildTool,
    Candidate,
    Child,
    Decompose,
    Delegate,
    ImproveSelf,
    Recall,
    Respond,
    Situation,
    UseTool,
    described,
)
from node.mind.answering.conversing import Conversing
from node.mind.answering.talking import is_talk
from node.mind.deciding.deciding import Decider, Decision
from node.mind.deciding.teams import Teams
from node.mind.ethics.gate import Ethics
from node.mind.ethics.kill_switch import KillSwitch
from node.mind.jobs.approvals import Approvals
from node.mind.jobs.ending import Ending
from node.mind.jobs.folding import observed, restored
from node.mind.jobs.jobs import Job, Jobs, Step
from node.mind.jobs.leave import circling, going_out, needs_leave, repeatable
from node.mind.jobs.permitting import Parked, Permitting
from node.mind.jobs.record import Record, Run
from node.mind.jobs.running import Control
from node.mind.parts import Parts
from node.mind.perceiving.emotion import Emotions
from node.mind.perceiving.perception import perceive
from plugins.host import PluginHost
from storage.errors import StorageError


class Pursuing:
    """Works on one job and its parts."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        record: Record,
        approvals: Approvals,
        permitting: Permitting,
        acting: Acting,
        decider: Decider,
        teams: Teams,
        ending: Ending,
        conversing: Conversing,
        ethics: Ethics,
        emotions: Emotions,
        kill_switch: KillSwitch,
        tools: PluginHost,
        max_depth: int,
        now: NowMs = now_ms,
    ) -> None:
        self._jobs = jobs
        self._record = record
        self._approvals = approvals
        self._permitting = permitting
        self._acting = acting
        self._decider = decider
        self._parts = Parts(jobs, teams, self.pursue)
        self._ending = ending
        self._conversing = conversing
        self._ethics = ethics
        self._emotions = emotions
        self._kill_switch = kill_switch
        self._tools = tools
        self.max_depth = max_depth
        self._now = now

    async def pursue(
        self,
        job_id: str,
        control: Control,
        before: Sequence[Child] = (),
        *,
        first: Candidate | None = None,
        within: Run | None = None,
    ) -> Job:
        """Work on a job until it has ended or waits for the owner; what it is then. Raises Halted.

        `within` is the work on the goal that this one is a part of. `first` is the twin of a team to which a part was
        assigned: if somebody has to be asked, it is first.
        """
        control.check()
        job = await self._jobs.get(job_id)
        if job.ended or job.status == "paused" or await self._still_waits(job):
            return job
        await self._jobs.move(job_id, "running", among=("queued", "running", "waiting_approval"))
        self._record.tell(control, job_id, "status", {"status": "running"})
        scope = asyncio.timeout(None if job.deadline_ms is None else max(0.0, (job.deadline_ms - self._now()) / 1000))
        try:
            async with scope:
                run = await self._begun(job, control, before, first, within)
                if run is not None:
                    await self._work(run)
        except Parked:
            await self._jobs.move(job_id, "waiting_approval", among=("running",))
            self._record.tell(control, job_id, "status", {"status": "waiting_approval"})
        except StorageError:
            raise  # the twin rests until it can be written again, and then takes the job up where it is
        except BudgetExhausted as error:
            await self._ending.without_answer(job, control, "throttled", f"{error}. {error.hint}")
        except PagiError as error:
            await self._jobs.note(job_id, "error", str(error))
            await self._ending.without_answer(job, control, "failed", str(error))
        except TimeoutError:
            if not scope.expired():
                raise
            for one in await self._jobs.family(job_id):
                await self._record.broken_off(await self._jobs.get(one), "the time was over", self._tools.list())
            await self._ending.without_answer(job, control, "failed", "The time that this goal was given is over.")
        return await self._jobs.get(job_id)

    async def _still_waits(self, job: Job) -> bool:
        """Whether the owner has yet to decide on the step that the job waits at."""
        if job.status != "waiting_approval" or not job.steps:
            return False
        row = await self._approvals.of_step(job.id, job.steps[-1].n)
        return row is not None and row.status == "pending"

    async def _work(self, run: Run) -> None:
        while True:
            run.control.check()
            step, action, is_new = await self._next(run)
            if isinstance(action, Respond):
                await self._record.begins(run, step, action)
                await self._ending.answer(run, step)
                return
            output = await self._carried_out(run, step, action, is_new=is_new)
            run.situation = observed(run.situation, action, output)

    async def _begun(
        self,
        job: Job,
        control: Control,
        before: Sequence[Child],
        first: Candidate | None,
        within: Run | None,
    ) -> Run | None:
        """The job as its record has it; None if it was refused."""
        goal = await asyncio.to_thread(perceive, job.goal)
        if within is not None:
            goal = goal.as_part_of(within.goal)
        if not goal.text.strip():
            await self._ending.without_answer(job, control, "failed", "The goal is empty.")
            return None
        if not job.steps:
            verdict = await self._ethics.judge(goal, job_id=job.id)
            if verdict.refused:
                await self._ending.without_answer(job, control, "refused", f"I do not do this: {verdict.why}.")
                return None
            await self._emotions.felt(goal)
        turns = await self._conversing.turns(job)
        noticed = await self._conversing.heard(job, goal)
        situation = Situation(
            goal=goal.text,
            redacted=goal.redacted if goal.redacted != goal.text else None,
            steps_left=job.max_steps,
            depth=job.depth,
            turns=turns,
            tools=self._tools.list(),
            before=before,
            heard_before=within is not None and within.situation.tainted,
            candidates=() if first is None else (first,),
        )
        run = Run(
            job=job,
            control=control,
            goal=goal,
            situation=situation,
            emotion=self._emotions.current(),
            steps=list(job.steps),
            noticed=noticed,
        )
        await self._refold(run)
        return run

    async def _refold(self, run: Run) -> None:
        """Bring the situation to where the record ends. What was recalled is recalled again: some may be forgotten."""
        for step in run.steps:
            if step.output is None:
                break
            action = restored(step.action, step.input)
            if isinstance(action, Recall):
                await self._recall(run, action)
            run.situation = observed(run.situation, action, step.output)

    async def _next(self, run: Run) -> tuple[Step, Action, bool]:
        """The step that a stop cut short, or a new one, which is not on disk yet (True)."""
        if run.steps and run.steps[-1].output is None:
            last = run.steps[-1]
            return last, restored(last.action, last.input), False
        decision = await self._decision(run)
        stuck = circling(decision.action, run.steps)
        if stuck is not None:
            run.situation = replace(run.situation, looping=stuck)
            decision = await self._decision(run)
        name, given = described(decision.action)
        run.why = f"{name}: {decision.why} (by {decision.by})"
        step = Step(len(run.steps) + 1, name, given, None, 0.0, begun=False)
        run.steps.append(step)
        return step, decision.action, True

    async def _decision(self, run: Run) -> Decision:
        if run.situation.recalled is not None and is_talk(run.situation):
            return Decision(Respond(), "rule", "nothing is asked for")
        return await self._decider.decide(run.situation, session_id=run.job.session_id)

    async def _carried_out(self, run: Run, step: Step, action: Action, *, is_new: bool) -> Output:
        """Take an action, once the owner's leave is there where it is needed; its output, which is on disk."""
        asked = None if is_new else await self._approvals.of_step(run.job.id, step.n)
        if step.begun:  # before a stop: nobody knows what came of it
            if not repeatable(action, run.situation.tools):
                output = await self._permitting.what_happened(run, step, action, asked)
                return await self._record.ended(run, step, output)
        elif asked is None and (crossed := await self._crossed(run, action)) is not None:
            return await self._record.ended(run, step, {"error": crossed})
        elif isinstance(action, AskOwner) or asked is not None or needs_leave(action, run.situation):
            instead = await self._permitting.begun_with_leave(run, step, action, asked)
            if instead is not None:
                return await self._record.ended(run, step, instead)
        else:
            await self._record.begins(run, step, action)
        with self._unbroken(run, action):
            started = time.monotonic()
            output = await self._act(run, step, action)
            return await self._record.ended(run, step, output, ms=(time.monotonic() - started) * 1000)

    async def _crossed(self, run: Run, action: Action) -> str | None:
        """Why what would go out to others must not: it crosses a red line, or holds a secret."""
        leaving = going_out(action, run.situation.tools)
        verdict = await self._ethics.outgoing(leaving) if leaving else None
        return verdict.why if verdict is not None and verdict.refused else None

    async def _act(self, run: Run, step: Step, action: Action) -> Output:
        job_id = run.job.id
        match action:
            case Recall():
                return await self._recall(run, action)
            case UseTool():
                self._kill_switch.check()
                return await self._acting.use_tool(action)
            case AskTwin():
                named = action.question != run.situation.outward  # "Ask anna …": she may know, or tell, more by now
                return await self._acting.ask_twin(action, job_id=job_id, n=step.n, afresh=named)
            case Delegate():
                return await self._acting.delegate(action, job_id=job_id, n=step.n)
            case BuildTool():
                output = await self._acting.build_tool(action)
                run.situation = replace(run.situation, tools=self._tools.list())
                return output
            case ImproveSelf():
                return await self._acting.improve_self(action, job_id=job_id, ends=self._record.ends(run, step))
            case Decompose():
                return await self._parts.work_on(run, step.n, action, max_depth=self.max_depth)
            case AskOwner() | Respond():
                raise AssertionError("nothing is done for these")
            case _:
                assert_never(action)

    async def _recall(self, run: Run, action: Recall) -> Output:
        run.situation, output = await self._acting.recall(
            run.situation, action, job_id=run.job.id, session_id=run.job.session_id, mood=run.emotion.mood
        )
        return output

    @contextmanager
    def _unbroken(self, run: Run, action: Action) -> Iterator[None]:
        """While this is open a pause waits: what acts on the world is let finish, and its outcome be recorded."""
        if repeatable(action, run.situation.tools):
            yield
            return
        with run.control.unbroken():
            yield
