"""The executive: a goal in, an answer out, each step recorded before it is taken.

goal → recall → (tool | other twins) → answer → reflect. What happens next is decided by `actions.decide`; this module
carries it out, and never holds an answer back for the reflection's sake: a lesson that cannot be shared is logged.
"""

import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, assert_never

from identity.errors import PagiError
from node.config import MindConfig
from node.events import EventBus
from node.hive.hive import Hive
from node.inference.errors import GoalTooLong
from node.memory.memory import Memory
from node.mind.actions import Action, Asked, AskTwin, Recall, Respond, Situation, UseTool, decide, described
from node.mind.answering import Writer, cited
from node.mind.colleagues import Colleagues
from node.mind.jobs import Jobs, Step
from node.mind.learning import Guidance, Learning
from node.mind.reflection import reflect
from node.mind.relevance import answers
from node.reputation.reputation import Reputation
from plugins.host import PluginHost
from protocols.playbook.merge import Bullet
from storage.learning import Outcome

logger = logging.getLogger(__name__)

MAX_GOAL_BYTES: Final = 16 * 1024
"""A goal travels whole in one message to another twin; documents belong into the memory."""

MAX_STEPS: Final = 8
"""A recall, a tool, the answer, and more twins asked than anybody waits for."""

ANSWER_WEIGHT: Final = 0.5
"""What an answer that served says about the twin that gave it: half a finished task."""

RECALLED_KINDS: Final = ("semantic", "episodic")
"""What answers a goal. Working memory holds the conversation itself: it would find the goal."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a goal ended. `degraded`: a model should have written the answer, and memories are quoted for want of one."""

    job_id: str
    status: str
    answer: str
    steps: tuple[Step, ...]
    reflection: str | None
    degraded: bool


class Executive:
    """Works on goals, several at once if need be."""

    def __init__(
        self,
        *,
        config: MindConfig,
        memory: Memory,
        tools: PluginHost,
        colleagues: Colleagues,
        writer: Writer,
        hive: Hive,
        learning: Learning,
        jobs: Jobs,
        events: EventBus,
        reputation: Reputation,
    ) -> None:
        self._config = config
        self._memory = memory
        self._tools = tools
        self._colleagues = colleagues
        self._writer = writer
        self._hive = hive
        self._learning = learning
        self._jobs = jobs
        self._events = events
        self._reputation = reputation

    async def interact(self, goal: str, *, session_id: str | None = None, max_steps: int = MAX_STEPS) -> JobResult:
        """Work on a goal until it is answered. Raises GoalTooLong; other failures are a result with status `failed`."""
        if len(goal.encode()) > MAX_GOAL_BYTES:
            raise GoalTooLong(f"a goal has at most {MAX_GOAL_BYTES} bytes")
        job_id = await self._jobs.start(goal, session_id)
        run = _Run(job_id, Situation(goal=goal, steps_left=max_steps, tools=self._tool_names()), time.monotonic())
        try:
            return await self._run_to_its_end(run, session_id)
        except BaseException:  # cancelled, or a defect: nobody works on it any more, and the job must say so
            await self._jobs.finish(job_id, status="failed", answer="The work was interrupted.", reflection=None)
            raise

    async def _run_to_its_end(self, run: "_Run", session_id: str | None) -> JobResult:
        job_id, goal = run.job_id, run.situation.goal
        try:
            await self._events.publish("goal_received", job_id, {"job_id": job_id}, source="mind")
            await self._remember_turn("user", goal, session_id)
            answer = await self._work(run)
        except PagiError as error:
            await self._jobs.note(job_id, "error", str(error))
            await self._finish(run, status="failed", answer=str(error), reflection=None, outcome="bad")
            return JobResult(job_id, "failed", str(error), tuple(run.steps), None, degraded=False)
        reflection = await self._reflect(run) if self._config.reflect else None
        try:
            await self._remember_turn("assistant", answer.text, session_id)
            for asked in run.situation.asked:
                if asked.helped:
                    await self._reputation.note(asked.candidate.did, "answer", job_id, good=ANSWER_WEIGHT)
        except PagiError as error:
            await self._jobs.note(job_id, "warn", f"the answer was not remembered: {error}")
        outcome: Outcome = "good" if answer.found and not answer.degraded else "unknown"
        await self._finish(run, status="done", answer=answer.text, reflection=reflection, outcome=outcome)
        return JobResult(job_id, "done", answer.text, tuple(run.steps), reflection, answer.degraded)

    async def _finish(self, run: "_Run", *, status: str, answer: str, reflection: str | None, outcome: Outcome) -> None:
        """One transaction: how the job ended, and how it went with what the playbook gave it."""
        guidance = run.guidance

        def note(conn: sqlite3.Connection) -> None:
            if guidance is not None:
                self._learning.note(conn, run.job_id, guidance, outcome)

        await self._jobs.finish(run.job_id, status=status, answer=answer, reflection=reflection, also=note)
        self._learning.noted()

    async def plan(self, goal: str) -> tuple[Step, ...]:
        """What would be done for a goal, as far as that can be told without doing it."""
        situation = await self._recall(Situation(goal=goal, steps_left=MAX_STEPS, tools=self._tool_names()), "")
        following = decide(situation)
        planned: list[Action] = [Recall(goal), following]
        if not isinstance(following, Respond):
            planned.append(Respond())
        await self._events.publish("plan_generated", goal[:80], {"steps": len(planned)}, source="mind")
        return tuple(Step(n, *described(action), None, 0.0) for n, action in enumerate(planned, 1))

    async def _work(self, run: "_Run") -> "_Answer":
        """Take steps until the answer is written."""
        while True:
            action = decide(run.situation)
            answer = await self._step(run, action)
            if answer is not None:
                return answer
            run.situation = replace(run.situation, steps_left=run.situation.steps_left - 1)

    async def _step(self, run: "_Run", action: Action) -> "_Answer | None":
        """Record an action, take it, and record what came of it, be it an error; the answer if this was the last."""
        name, given = described(action)
        step = Step(len(run.steps) + 1, name, given, None, 0.0)
        await self._jobs.record(run.job_id, step)
        started = time.monotonic()
        output: Mapping[str, Any] = {"error": "it was interrupted"}
        try:
            if isinstance(action, Respond):
                answer = await self._respond(run)
                output = answer.output
                return answer
            output = await self._act(action, run)
            return None
        except PagiError as error:
            output = {"error": str(error)}
            raise
        finally:
            step = replace(step, output=output, ms=round((time.monotonic() - started) * 1000, 2))
            run.steps.append(step)
            await self._jobs.record(run.job_id, step)

    async def _act(self, action: Recall | UseTool | AskTwin, run: "_Run") -> dict[str, Any]:
        situation = run.situation
        match action:
            case Recall():
                run.situation = await self._recall(situation, run.job_id)
                recalled = run.situation.recalled or ()
                found = [{"id": item.id, "score": round(item.score, 4), "source": item.source} for item in recalled]
                told: dict[str, Any] = {"found": found, "support": len(run.situation.support)}
                if run.situation.taught:
                    told["taught"] = [fitting.bullet.id for fitting in run.situation.taught]
                return told
            case UseTool():
                result = await self._use_tool(action)
                run.situation = replace(situation, tool_results={**situation.tool_results, action.name: result})
                return {"result": result}
            case AskTwin():
                asked = await self._colleagues.ask(action.candidate, action.question, self._config.ask_timeout_s)
                run.situation = replace(situation, asked=(*situation.asked, asked))
                return _told(asked)
            case _:
                assert_never(action)

    async def _recall(self, situation: Situation, job_id: str) -> Situation:
        """The situation with what is remembered; if that answers nothing, with what the playbook teaches; and if that
        does not either, with the twins that could be asked."""
        goal = situation.goal
        recalled = await self._memory.search(goal, k=self._config.recall_items, kinds=RECALLED_KINDS)
        situation = replace(situation, recalled=recalled)
        if situation.support:
            return situation
        guidance = await self._learning.guidance(job_id, goal)
        taught = tuple(one for one in guidance.given if answers(goal, one.bullet.text, one.likeness))
        if taught:
            return replace(situation, taught=taught)
        candidates = await self._colleagues.candidates(goal, await self._bullets())
        return replace(situation, candidates=candidates[: self._config.max_asked])

    async def _use_tool(self, action: UseTool) -> Any:
        try:
            result = await self._tools.execute(action.name, action.parameters)
        except PagiError as error:
            result = {"error": str(error)}
        await self._events.publish("tool_executed", action.name, {"tool": action.name}, source="mind")
        return result

    async def _respond(self, run: "_Run") -> "_Answer":
        situation = run.situation
        if situation.tool_results:
            text = "; ".join(f"{name}: {_readable(result)}" for name, result in situation.tool_results.items())
            return _Answer(text, degraded=False, output={"from": "tool"})
        if situation.support or situation.taught:
            return await self._respond_from_own(run)
        helper = situation.helper
        if helper is not None:
            assert helper.answer is not None
            sources = [(source.memory_id, source.text) for source in helper.answer.sources]
            origin = f"from {helper.candidate.did}, its memory"
            text = cited(helper.answer.answer, origin, sources, written_by_model=not helper.answer.degraded)
            memories = [memory_id for memory_id, _ in sources]
            output = {"from": "twin", "did": helper.candidate.did, "memories": memories, "model": helper.answer.model}
            return _Answer(text, helper.answer.degraded, output)
        reasons = [f"{asked.candidate.did}: {asked.error or 'knew no answer'}" for asked in situation.asked]
        text = "I do not know: nothing that I remember answers this" + (
            f", and those I asked could not help ({'; '.join(reasons)})."
            if reasons
            else ", and no twin that you have named and that is here advertises anything like it."
        )
        return _Answer(text, degraded=False, output={"from": "nothing"}, found=False)

    async def _respond_from_own(self, run: "_Run") -> "_Answer":
        """From memory, with the bullets that fit as rules; where nothing is remembered, from those that answer."""
        goal, support, taught = run.situation.goal, run.situation.support, run.situation.taught
        run.guidance = guidance = await self._learning.guidance(run.job_id, goal)
        if support:
            sources = [(memory.id, memory.content) for memory in support]
            written = await self._writer.write(goal, [text for _, text in sources], guidance=guidance.texts)
            output: dict[str, Any] = {"from": "memory", "memories": [memory.id for memory in support]}
            origin = "from memory"
        else:
            sources = [(one.bullet.id, one.bullet.text) for one in taught]
            written = await self._writer.write(goal, [text for _, text in sources])
            output = {"from": "playbook"}
            origin = f"from playbook {guidance.playbook}, taught by {taught[0].bullet.author}, lesson"
        output["model"] = written.model
        if guidance.given:
            output["bullets"] = [fitting.bullet.id for fitting in guidance.given]
        if written.reason is not None:
            output["degraded"] = written.reason
        text = cited(written.text, origin, sources, written_by_model=not written.degraded)
        return _Answer(text, written.degraded, output)

    async def _bullets(self) -> Sequence[Bullet]:
        return (await self._hive.view(self._config.playbook)).bullets

    async def _reflect(self, run: "_Run") -> str | None:
        seconds = time.monotonic() - run.started
        lesson = reflect(run.situation, job_id=run.job_id, seconds=seconds, bullets=await self._bullets())
        if lesson is None:
            return None
        try:
            cid = await self._hive.propose(self._config.playbook, lesson.critique, lesson.ops, lesson.evidence)
        except PagiError as error:
            logger.warning("the lesson of job %s was not kept: %s", run.job_id, error)
            await self._jobs.note(run.job_id, "warn", f"the lesson was not kept: {error}")
            return None
        await self._jobs.note(run.job_id, "plan", f"lesson kept as playbook revision {cid}")
        return f"{lesson.critique} (revision {cid})"

    async def _remember_turn(self, role: Literal["user", "assistant"], content: str, session_id: str | None) -> None:
        await self._memory.add(kind="working", content=content, role=role, session_id=session_id)

    def _tool_names(self) -> frozenset[str]:
        """The tools that a goal may use; what acts in the owner's name waits for the owner's own call."""
        return frozenset(info.name for info in self._tools.list() if not info.owner_only)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer's text, and the output of the step that wrote it. `found` is False where nothing answers the goal."""

    text: str
    degraded: bool
    output: Mapping[str, Any]
    found: bool = True


@dataclass(slots=True)
class _Run:
    """One job under way. `started` is of the monotonic clock, in seconds."""

    job_id: str
    situation: Situation
    started: float
    steps: list[Step] = field(default_factory=list)
    guidance: Guidance | None = None


def _told(asked: Asked) -> dict[str, Any]:
    told: dict[str, Any] = {"thread": asked.thread}
    if asked.answer is not None:
        told["answer"] = asked.answer.to_body()
    if asked.error is not None:
        told["error"] = asked.error
    return told


def _readable(result: Any) -> str:
    return str(result["result"]) if isinstance(result, dict) and "result" in result else str(result)
