"""The conversation that a goal belongs to: its turns, each kept once, and what the owner tells in passing."""

from dataclasses import replace

from identity.errors import PagiError
from node.events import EventBus
from node.inference.engine import ChatTurn
from node.memory.noticing import Noticing
from node.memory.record import Role
from node.memory.working import WorkingMemory
from node.mind.jobs.jobs import Job, Jobs
from node.mind.perceiving.perception import Perceived
from storage import jobs as rows
from storage.errors import StorageError

TURN_TOKENS = 1_500
"""Of the conversation, for one goal: what a small context can hold beside memories and the answer."""


class Conversing:
    """Remembers what owner and twin say to each other. The parts of a goal are said by nobody."""

    def __init__(self, *, jobs: Jobs, working: WorkingMemory, noticing: Noticing, events: EventBus) -> None:
        self._jobs = jobs
        self._working = working
        self._noticing = noticing
        self._events = events

    async def turns(self, job: Job) -> tuple[ChatTurn, ...]:
        """The conversation before this goal, as much of it as there is room for."""
        if job.session_id is None or job.depth:
            return ()
        turns = await self._working.turns(job.session_id, TURN_TOKENS)
        said_already = not job.turn_due and bool(turns) and turns[-1] == ChatTurn("user", job.goal)
        return tuple(map(_without_source, turns[:-1] if said_already else turns))

    async def heard(self, job: Job, goal: Perceived) -> tuple[str, ...]:
        """Keep the goal as a turn, and what it tells of the owner; that, in words."""
        if job.depth or not job.turn_due:
            return ()
        turn_id = await self._keep(job, "user", job.goal)
        if turn_id is None:
            return ()
        kept = await self._noticing.heard(goal.text, turn_id=turn_id, session_id=job.session_id)
        return tuple(fact.text for _, fact in kept)

    async def answered(self, job: Job) -> None:
        """Keep the answer of a job that has ended as a turn."""
        if job.turn_due and job.answer:
            await self._keep(job, "assistant", job.answer)
        elif job.turn_due:
            await self._jobs.write(lambda conn: rows.turn_kept(conn, job.id))  # there is nothing to keep

    async def _keep(self, job: Job, role: Role, content: str) -> str | None:
        """A turn, and in the same transaction that it is kept; its id, or None if it is no turn that can be kept."""
        try:
            turn_id = await self._working.append(
                job.session_id, role, content, also=lambda conn, _: rows.turn_kept(conn, job.id)
            )
        except StorageError:
            raise
        except PagiError as error:
            await self._jobs.note(job.id, "warn", f"what was said is not remembered: {error}")
            await self._jobs.write(lambda conn: rows.turn_kept(conn, job.id))
            return None
        data = {"job_id": job.id, "session_id": job.session_id, "role": role}
        await self._events.publish("working_memory_appended", turn_id, data, source="mind")
        return turn_id


def _without_source(turn: ChatTurn) -> ChatTurn:
    """An answer without the line that says what it rests on: to a model that is noise, which it would imitate."""
    text, _, last = turn.content.rpartition("\n")
    is_source = turn.role == "assistant" and text and last.startswith("(") and last.endswith(")")
    return replace(turn, content=text) if is_source else turn
