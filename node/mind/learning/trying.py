"""Answering a check as a goal of the owner would be answered: recalled from memory, worked out, written by the model.

Nobody is asked and nothing is remembered of it, so that trying a playbook's bullets leaves no trace. The owner's goals
go first: while one is worked on, no check is begun, for a while.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from node.hive.judging.gate import NotTried
from node.inference.engine import ModelSource
from node.inference.errors import InferenceError
from node.memory.recall import Recall
from node.mind.answering.answering import MADE_UP, Writer
from node.mind.deciding.solving import solve
from node.mind.jobs.jobs import RUNNING
from node.mind.relevance import supports
from plugins.host import PluginHost
from storage import jobs
from storage.database import Database

PATIENCE_S: Final = 60.0
"""How long a check waits for goals that are worked on. One that waits for a person must not hold everything up."""

_LOOK_EVERY_S: Final = 0.5


class Trying:
    """The model's side of a trial. The writer takes the likeliest token each time, so an answer is always the same."""

    def __init__(
        self,
        *,
        database: Database,
        recall: Recall,
        model: ModelSource,
        writer: Writer,
        tools: PluginHost,
        recall_items: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._recall = recall
        self._model = model
        self._writer = writer
        self._tools = tools
        self._recall_items = recall_items
        self._check = check

    async def attempt(self, goal: str, bullets: Sequence[str]) -> str:
        """See `Attempt`. Raises what `check` raises too: then it is to be tried later, and says nothing."""
        engine = await self._model.ready()
        if engine is None:
            raise NotTried(f"there is no model here: {self._model.reason}")
        await self._let_goals_go_first()
        self._check()
        found = await self._recall.recall(goal, k=self._recall_items)
        notes = [memory.content for memory in found if supports(goal, memory)]
        if not notes and engine.capable:
            try:
                solved = await solve(goal, bullets, engine=engine, tools=self._tools)
            except InferenceError as error:
                raise NotTried(f"the model did not answer: {error}") from error
            if solved is not None:
                return solved.value
        # A bullet that fits is given either way; where nothing is remembered it may be the answer itself.
        rules = bullets if notes else ()
        written = await self._writer.from_notes(goal, notes or bullets, guidance=rules, shown=False)
        if written.degraded and written.reason != MADE_UP:  # for which the owner, too, would be given the best note
            raise NotTried(f"the model did not answer: {written.reason}")
        return written.text

    async def _let_goals_go_first(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if not await self._database.read(lambda conn: jobs.count(conn, RUNNING)):
                return
            await asyncio.sleep(_LOOK_EVERY_S)
