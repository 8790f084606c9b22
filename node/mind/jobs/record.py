"""One job under way and its record: every step on disk before it runs and after it, and told to whoever follows."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from node.events import EventBus
from node.mind.acting import Output
from node.mind.actions import Action, Situation
from node.mind.jobs.folding import restored
from node.mind.jobs.following import Followers, JobEvent, Kind
from node.mind.jobs.jobs import Job, Jobs, Step
from node.mind.jobs.leave import in_words, repeatable
from node.mind.jobs.running import Control
from node.mind.perceiving.emotion import EmotionState
from node.mind.perceiving.perception import Perceived
from plugins.host import ToolInfo
from storage import jobs as rows

MAX_DOING_CHARS = 200


@dataclass(slots=True, kw_only=True)
class Run:
    """One job under way. `noticed` is what was kept of what the owner told in passing; `why` is for the last step."""

    job: Job
    control: Control
    goal: Perceived
    situation: Situation
    emotion: EmotionState
    steps: list[Step]
    noticed: tuple[str, ...] = ()
    why: str = ""
    started_s: float = field(default_factory=time.monotonic)

    @property
    def progress(self) -> float:
        """How far it is, from 0 to 1: by steps, of which a job seldom takes all."""
        return round(min(0.95, max(0, len(self.steps) - 1) / max(1, self.job.max_steps)), 3)


class Record:
    """Writes what happens to jobs, and tells of it."""

    def __init__(self, jobs: Jobs, followers: Followers, events: EventBus) -> None:
        self._jobs = jobs
        self._followers = followers
        self._events = events

    async def begins(self, run: Run, step: Step, action: Action) -> None:
        """The step runs from now on: what comes of it is unknown until `ended`."""
        event = self._events.make("action_requested", run.job.id, _about(run, step), source="mind")
        doing = in_words(action)[:MAX_DOING_CHARS]

        def also(conn: sqlite3.Connection) -> None:
            self.planned(conn, run, doing)
            self._events.record(conn, event)

        await self._jobs.record(run.job.id, replace(step, begun=True), also=also)
        self._events.announce(event)
        self.tell(run.control, run.job.id, "progress", {"progress": run.progress, "doing": doing})
        self.tell_step(run, step)

    def planned(self, conn: sqlite3.Connection, run: Run, doing: str) -> None:
        """How far the job is, and why it does what it does next, in the transaction that is open."""
        rows.set_progress(conn, run.job.id, run.progress, doing)
        if run.why:
            self._jobs.store_note(conn, run.job.id, "plan", run.why)
            run.why = ""

    async def ended(self, run: Run, step: Step, output: Mapping[str, Any], *, ms: float = 0.0) -> Output:
        """What came of the step; the output, once it is on disk."""
        run.steps[-1] = done = replace(step, output=dict(output), ms=round(ms, 2), begun=True)
        event = None
        if step.action == "use_tool":
            event = self._events.make("tool_executed", str(step.input["tool"]), _about(run, step), source="mind")

        def also(conn: sqlite3.Connection) -> None:
            if event is not None:
                self._events.record(conn, event)

        await self._jobs.record(run.job.id, done, also=also)
        if event is not None:
            self._events.announce(event)
        self.tell_step(run, done)
        return dict(output)

    def ends(self, run: Run, step: Step) -> Callable[[sqlite3.Connection, Output], None]:
        """Ends a step in somebody else's transaction, so that the two are done together or not at all."""

        def ends(conn: sqlite3.Connection, output: Output) -> None:
            self._jobs.store_step(conn, run.job.id, replace(step, output=output, begun=True))

        return ends

    async def broken_off(self, job: Job, why: str, tools: Sequence[ToolInfo]) -> None:
        """Note of the step that was under way that it was broken off, and whether it may have happened."""
        if not job.steps or job.steps[-1].output is not None:
            return
        last = job.steps[-1]
        unknown = last.begun and not repeatable(restored(last.action, last.input), tools)
        error = f"{why}; whether it happened is not known" if unknown else why
        await self._jobs.record(job.id, replace(last, output={"error": error}))

    def tell_step(self, run: Run, step: Step) -> None:
        """Tell whoever follows of a step."""
        self.tell(run.control, run.job.id, "step", shown(step))

    def tell(self, control: Control, job_id: str, kind: Kind, data: Mapping[str, Any]) -> None:
        """Tell whoever follows the job that the owner gave."""
        self._followers.tell(control.root_id, JobEvent(job_id, kind, data))


def _about(run: Run, step: Step) -> dict[str, Any]:
    about = {"job_id": run.job.id, "n": step.n, "action": step.action}
    return about | ({"tool": step.input["tool"]} if step.action == "use_tool" else {})


def shown(step: Step) -> dict[str, Any]:
    """A step as it is told of."""
    return {"n": step.n, "action": step.action, "input": step.input, "output": step.output, "ms": step.ms}
