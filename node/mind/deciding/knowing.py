"""What is known while a goal is worked on, as lines of data for a model, and whether they are private. Pure."""

import json
from collections.abc import Iterator

from node.memory.record import SHARED
from node.mind.actions import Situation
from node.mind.deciding.choosing import Question


def question_of(situation: Situation, session_id: str | None) -> Question:
    """The goal with all that is known of it.

    It is private as soon as anything of this machine stands in it: a memory that is not shared, what a tool gave or the
    owner said, or a goal in which perception has marked something. A bare goal may go to any model that the owner set.
    """
    own = situation.tool_results or situation.answers or situation.before
    unshared = any(memory.namespace != SHARED for memory in situation.support)
    marked = situation.outward != situation.goal
    private = bool(own) or unshared or marked
    return Question(situation.goal, tuple(_known(situation)), private=private, session_id=session_id)


def _known(situation: Situation) -> Iterator[str]:
    """What is known, a line each, the tools' results last: the newest count most."""
    for memory in situation.support:
        yield f"remembered: {memory.content}"
    for part in situation.before:
        yield f"{part.goal} gave {part.answer}"
    for asked in situation.asked:
        if asked.helped and asked.answer is not None:
            yield f"{asked.candidate.name} answered: {asked.answer.answer}"
    for given in situation.delegated:
        yield f"the swarm gave: {given.result if given.error is None else given.error}"
    for said in situation.answers:
        yield f"the owner said, asked {_as_text(said.question)}: {said.answer}"
    for result in situation.tool_results:
        gave = f"an error: {result.error}" if result.error is not None else _as_text(result.result)
        yield f"{result.call.name} {_as_text(dict(result.call.parameters))} gave {gave}"


def _as_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
