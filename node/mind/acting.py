"""Carrying out one action: what it gave, as JSON for the job's record. `folding.observed` makes sense of it.

Whether an action may be taken was decided before (executive.py). That something did not work is an outcome, told in
`error`; only what keeps this twin from recording outcomes is raised.
"""

import sqlite3
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import orjson

from identity.errors import PagiError
from node.config import MindConfig
from node.hive.hive import Hive
from node.memory.recall import Recall as Recalling
from node.memory.when import asks_what_happened
from node.mind.actions import (
    Asked,
    AskTwin,
    BuildTool,
    Delegate,
    ImproveSelf,
    Recall,
    Situation,
    UseTool,
)
from node.mind.colleagues import Colleagues
from node.mind.learning.learning import Learning
from node.mind.relevance import answers
from node.tasks.requester import Requester
from plugins.host import PluginHost

_IDS: Final = uuid.UUID("7a6f3f0e-8c0c-5c52-9a51-5f9f6a1d4c39")
"""The namespace (RFC 9562, version 5) of ids that follow from a job and a step."""

MAX_OF_A_TIME: Final = 20
"""Memories for a goal that asks what happened at some time: it wants all, not the likest."""

Output = dict[str, Any]
Ends = Callable[[sqlite3.Connection, Output], None]
"""Writes the output of the step under way, in the transaction that is open."""


class Builder(Protocol):
    """What this needs of building.py."""

    async def build(self, wanted: BuildTool) -> str:
        """Make the tool, durably; its name. The same again changes nothing. Raises PagiError."""
        ...


class AnsweredBefore(Protocol):
    """What this needs of answered.py."""

    async def lookup(self, action: AskTwin) -> Asked | None:
        """What the swarm answered lately to this question."""
        ...

    async def keep(self, asked: Asked, question: str) -> None:
        """Keep an answer that helped."""
        ...


def derived_id(job_id: str, n: int, part: int = 0) -> str:
    """The id of what step `n` of a job makes: after a crash it is the same again."""
    return str(uuid.uuid5(_IDS, f"{job_id}/{n}/{part}"))


class Acting:
    """Takes the actions of jobs."""

    def __init__(
        self,
        *,
        config: MindConfig,
        recall: Recalling,
        tools: PluginHost,
        colleagues: Colleagues,
        learning: Learning,
        hive: Hive,
        requester: Requester,
        builder: Builder,
        answered: AnsweredBefore,
    ) -> None:
        self._config = config
        self._recall = recall
        self._tools = tools
        self._colleagues = colleagues
        self._learning = learning
        self._hive = hive
        self._requester = requester
        self._builder = builder
        self._answered = answered

    async def recall(
        self, situation: Situation, action: Recall, *, job_id: str, session_id: str | None, mood: str | None = None
    ) -> tuple[Situation, Output]:
        """What is remembered; if that answers nothing, what the playbook teaches; and if that does not either, the
        twins that could be asked. Only looks, so that a resumed job does it again."""
        recalled = await self._recall.recall(
            action.query, k=self._how_many(action.query), session_id=session_id, mood=mood
        )
        situation = replace(situation, recalled=(*(situation.recalled or ()), *recalled))
        guidance = await self._learning.guidance(job_id, situation.goal)
        situation = replace(situation, rules=(*guidance.own_texts, *guidance.texts))
        found = [{"id": one.id, "score": round(one.score, 4), "source": one.source} for one in recalled]
        output: Output = {"found": found, "support": len(situation.support)}
        if situation.support:
            return situation, output
        taught = tuple(one for one in guidance.given if answers(situation.goal, one.bullet.text, one.likeness))
        if taught:
            return replace(situation, taught=taught), {**output, "taught": [one.bullet.id for one in taught]}
        bullets = (await self._hive.view(self._config.playbook)).bullets
        assigned = {one.did for one in situation.candidates}
        others = await self._colleagues.candidates(situation.goal, bullets)
        candidates = (*situation.candidates, *(one for one in others if one.did not in assigned))
        return replace(situation, candidates=candidates[: self._config.max_asked]), output

    def _how_many(self, query: str) -> int:
        most = self._config.recall_items
        return max(most, MAX_OF_A_TIME) if asks_what_happened(query) else most

    async def use_tool(self, action: UseTool) -> Output:
        """Call a tool."""
        try:
            return {"result": await self._tools.execute(action.name, action.parameters)}
        except PagiError as error:
            return {"error": str(error)}

    async def ask_twin(self, action: AskTwin, *, job_id: str, n: int, afresh: bool = False) -> Output:
        """Ask, unless the swarm answered this lately, or it shall be asked `afresh`. After a crash it is the same
        message; its reply may be here."""
        before = None if afresh else await self._answered.lookup(action)
        if before is not None:
            return {**_told(before), "reused": True, "by": before.candidate.did}
        timeout_s = self._config.ask_timeout_s
        asked = await self._colleagues.ask(
            action.candidate, action.question, timeout_s, message_id=derived_id(job_id, n)
        )
        if asked.helped:
            await self._answered.keep(asked, action.question)
        return _told(asked)

    async def delegate(self, action: Delegate, *, job_id: str, n: int) -> Output:
        """Give the task to the swarm, and wait for its result or its deadline. Again after a crash: it is one task."""
        task_id = derived_id(job_id, n)
        try:
            await self._requester.post(action.task, action.requirements, action.deadline_s, task_id=task_id)
        except PagiError as error:
            return {"task_id": task_id, "error": str(error)}
        row = await self._requester.wait(task_id)
        output: Output = {"task_id": task_id, "worker": row.worker}
        if row.status != "done" or row.result is None:
            return {**output, "error": row.note or f"the task is {row.status}"}
        return {**output, "result": str(orjson.loads(row.result)["answer"])}

    async def build_tool(self, action: BuildTool) -> Output:
        """Make a tool of a formula."""
        try:
            return {"made": await self._builder.build(action)}
        except PagiError as error:
            return {"error": str(error)}

    async def improve_self(self, action: ImproveSelf, *, job_id: str, ends: Ends) -> Output:
        """Write a bullet; `ends` ends the step in the transaction that keeps the revision, so that there is one."""
        made = f"a bullet in {action.section}"
        output: Output = {"made": made}
        op: Mapping[str, Any] = {"op": "add", "section": action.section, "text": action.text}
        try:
            cid = await self._hive.propose(
                self._config.playbook, action.why, [op], [f"job:{job_id}"], also=lambda conn: ends(conn, output)
            )
        except PagiError as error:
            return {"error": str(error)}
        return {"made": made, "revision": str(cid)}


def _told(asked: Asked) -> Output:
    told: Output = {"thread": asked.thread}
    if asked.answer is not None:
        told["answer"] = asked.answer.to_body()
    if asked.error is not None:
        told["error"] = asked.error
    return told
