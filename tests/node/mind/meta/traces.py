"""What a twin would have kept after a while: jobs, questions to others, outcomes; written as the mind writes them."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

from identity.did import Did
from node.mind.jobs.jobs import Step
from protocols.task import Answer
from storage import learning
from storage.learning import JobOutcome, Outcome, Source
from tests.node.mind.assembly import Mind

Status = Literal["done", "failed", "refused"]


async def ended(
    mind: Mind,
    goal: str = "a goal",
    *,
    answer: str = "an answer",
    status: Status = "done",
    outcome: Outcome | None = None,
    source: Source = "owner",
    steps: Sequence[Step] = (),
    parent: str | None = None,
    degraded: str | None = None,
) -> str:
    """A job that has ended; its id."""
    above = await mind.jobs.get(parent) if parent is not None else None
    job_id = await mind.jobs.create(goal, None, parent=above)
    for step in steps:
        await mind.jobs.record(job_id, step)

    def note(conn: Any) -> None:
        if outcome is not None:
            learning.put(conn, JobOutcome(job_id, "common", outcome, source, True, mind.node.clock()), ())

    assert await mind.jobs.finish(job_id, status=status, answer=answer, degraded=degraded, also=note)
    return job_id


def asking(
    did: Did, question: str = "a question", *, ms: float = 100, n: int = 1, helped: bool = True, **more: Any
) -> Step:
    """A question to another twin, as it is recorded."""
    given = {"did": did, "name": "", "question": question, "advice": None, "topics": more.pop("topics", [])}
    answer = Answer(answer="so", sources=(), confidence=1.0, model="none", degraded=False).to_body()
    output = {"thread": str(uuid.uuid4()), **({"answer": answer} if helped else {"error": "none"}), **more}
    return Step(n, "ask_twin", given, output, ms)


async def asked(mind: Mind, did: Did, *, times: int = 1, **options: Any) -> None:
    """So many jobs, each with one question to a twin."""
    for _ in range(times):
        await ended(mind, steps=[asking(did, **options)])
