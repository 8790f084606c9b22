"""Reflection: what a finished goal teaches, as a playbook revision's critique and operations. Pure.

A revision is public. So a lesson names only what is public already: twins, and the topics that they advertise
themselves; never the goal, the answer or a memory, and nothing else that the asked twin wrote, for it knows the goal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.hive.routing import ASK_TAG, ROUTING, asked_by
from node.mind.actions import Asked, Situation
from protocols.playbook.merge import Bullet


@dataclass(frozen=True, slots=True)
class Lesson:
    """What to propose: `ops` in the form of API.md; `evidence` are ids of the job and of message threads."""

    critique: str
    ops: tuple[dict[str, Any], ...]
    evidence: tuple[str, ...]


def reflect(situation: Situation, *, job_id: str, seconds: float, bullets: Sequence[Bullet]) -> Lesson | None:
    """The lesson of a goal for which other twins were asked; None if nobody was: then nothing new was learned."""
    if not situation.asked:
        return None
    ops: list[dict[str, Any]] = []
    remarks: list[str] = []
    for asked in situation.asked:
        known = next((bullet for bullet in bullets if asked_by(bullet) == asked.candidate.did), None)
        if asked.helped:
            remarks.append(f"Own memory had nothing; {asked.candidate.did} answered from its memory.")
            ops.append({"op": "helpful", "id": known.id} if known else _new_bullet(asked))
        else:
            reason = "no answer came" if asked.answer is None else "it knew none"
            remarks.append(f"{asked.candidate.did} could not help: {reason}.")
            if known is not None:
                ops.append({"op": "harmful", "id": known.id})
    ops.append({"op": "metric", "name": "success_rate", "sum": 1.0 if situation.helper else 0.0, "count": 1})
    ops.append({"op": "metric", "name": "average_response_time", "sum": round(seconds, 3), "count": 1})
    threads = tuple(f"thread:{asked.thread}" for asked in situation.asked if asked.thread)
    return Lesson(" ".join(remarks), tuple(ops), (f"job:{job_id}", *threads))


def _new_bullet(asked: Asked) -> dict[str, Any]:
    topics = asked.candidate.topics
    return {
        "op": "add",
        "section": ROUTING,
        "text": f"Questions about {', '.join(topics[:8])}: ask {asked.candidate.did}.",
        "tags": [f"{ASK_TAG}{asked.candidate.did}"],
    }
