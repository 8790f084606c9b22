"""The end of a job: its answer, and in one transaction with it all that is true from then on."""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from node.config import MindConfig
from node.events import EventBus
from node.inference.engine import ModelSource
from node.mind.actions import Asked
from node.mind.answering.conversing import Conversing
from node.mind.answering.responding import Answer, Question, Responding
from node.mind.jobs.approvals import Approvals
from node.mind.jobs.jobs import Job, Jobs, Status, Step
from node.mind.jobs.record import Record, Run
from node.mind.jobs.running import Control
from node.mind.learning.learning import Learning
from node.mind.perceiving.emotion import Emotions
from node.reputation.reputation import Reputation
from storage.learning import Outcome

ANSWER_WEIGHT: Final = 0.5
"""What an answer that served says about the twin that gave it: half a finished task."""

GOVERNOR: Final = "governor"
"""The model's name where the budget answered in its place (node/inference/governor.py)."""


class Ending:
    """Ends jobs, each once."""

    def __init__(
        self,
        *,
        config: MindConfig,
        jobs: Jobs,
        record: Record,
        responding: Responding,
        conversing: Conversing,
        approvals: Approvals,
        learning: Learning,
        reputation: Reputation,
        emotions: Emotions,
        model: ModelSource,
        events: EventBus,
    ) -> None:
        self._config = config
        self._jobs = jobs
        self._record = record
        self._responding = responding
        self._conversing = conversing
        self._approvals = approvals
        self._learning = learning
        self._reputation = reputation
        self._emotions = emotions
        self._model = model
        self._events = events

    async def answer(self, run: Run, step: Step) -> None:
        """Write the answer of the job's last step, and end the job with it."""
        job, started = run.job, time.monotonic()
        question = Question(
            job_id=job.id,
            session_id=job.session_id,
            goal=run.goal,
            situation=run.situation,
            emotion=run.emotion,
            noticed=run.noticed,
        )

        def tell(piece: str) -> None:
            if not job.depth:
                self._record.tell(run.control, job.id, "text", {"text": piece})

        answer = await self._responding.respond(question, tell)
        if "context" in answer.output:
            data = {"job_id": job.id, "division": answer.output["context"]}
            await self._events.publish("context_built", job.id, data, source="mind")
        self._record.tell(run.control, job.id, "text", {"text": answer.text, "whole": True})
        ms = round((time.monotonic() - started) * 1000, 2)
        run.steps[-1] = step = replace(step, output=dict(answer.output), ms=ms, begun=True)
        self._record.tell_step(run, step)
        status: Literal["throttled", "done"] = "throttled" if answer.output.get("model") == GOVERNOR else "done"
        degraded = answer.reason if answer.quoted else None if answer.certain else await self._incapable()
        good = status == "done" and answer.found and not answer.quoted
        await self._finish(
            job,
            run.control,
            status,
            answer.text,
            degraded=degraded,
            outcome="good" if good else "unknown",
            step=step,
            given=answer,
            asked=run.situation.asked,
        )
        await self._emotions.outcome(good=answer.found)

    async def without_answer(
        self, job: Job, control: Control, status: Literal["failed", "refused", "throttled"], text: str
    ) -> None:
        """End a job that came to no answer."""
        await self._finish(job, control, status, text, outcome="bad" if status == "failed" else "unknown")
        if status == "failed":
            await self._emotions.outcome(good=False)

    async def _finish(
        self,
        job: Job,
        control: Control,
        status: Status,
        text: str,
        *,
        outcome: Outcome,
        degraded: str | None = None,
        step: Step | None = None,
        given: Answer | None = None,
        asked: Sequence[Asked] = (),
    ) -> None:
        """One transaction: the last step, how the job ended, and how it went with what the playbook and others gave."""
        notes = [
            self._reputation.noting(one.candidate.did, "answer", job.id, good=ANSWER_WEIGHT, bad=0.0)
            for one in asked
            if one.helped and not one.reused
        ]

        def also(conn: sqlite3.Connection) -> None:
            if step is not None:
                self._jobs.store_step(conn, job.id, step)
            if given is not None and given.guidance is not None:
                self._learning.note(conn, job.id, given.guidance, outcome)
            for note in notes:
                note(conn)

        ended = await self._jobs.finish(
            job.id,
            status=status,
            answer=text,
            degraded=degraded,
            to_reflect=self._config.reflect and status == "done",
            turn_due=not job.depth and status in ("done", "refused", "throttled"),
            also=also,
        )
        if not ended:
            return
        self._learning.noted()
        for one in await self._jobs.family(job.id):
            await self._approvals.withdraw(one)
        await self._conversing.answered(await self._jobs.get(job.id))
        self._record.tell(control, job.id, "end", {"status": status, "answer": text, "degraded": degraded})

    async def _incapable(self) -> str | None:
        """Why steps were chosen by fixed rules, where they were."""
        engine = await self._model.ready()
        if engine is None:
            return self._model.reason or "there is no model"
        return None if engine.capable else f"{engine.name} is too small to choose steps: fixed rules did"
