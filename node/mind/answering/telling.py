"""What another twin is told: written from what it may be told and nothing else, and looked at before it leaves."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from identity.did import Did
from node.inference.engine import ModelSource
from node.memory.privacy import OtherTwin
from node.memory.record import Recalled
from node.mind.answering.answering import Writer, Written
from node.mind.answering.context import ContextBuilder
from node.mind.answering.voice import Identity
from node.mind.ethics.gate import Ethics
from node.mind.perceiving.perception import perceive

BUDGET_TOKENS: Final = 4096
"""Of a context that no model will read."""


class Telling:
    """Answers to other twins, in words. `check` raises WorkStopped while an owner has stopped the work."""

    def __init__(
        self,
        name: str,
        *,
        contexts: ContextBuilder,
        writer: Writer,
        model: ModelSource,
        ethics: Ethics,
        check: Callable[[], None],
    ) -> None:
        self._identity = Identity(name)
        self._contexts = contexts
        self._writer = writer
        self._model = model
        self._ethics = ethics
        self.check = check

    async def may_leave(self, notes: Sequence[Recalled]) -> list[Recalled]:
        """Those of the notes that hold no secret and cross no red line: whoever shared them may not have seen it."""
        return [note for note in notes if not (await self._ethics.may_leave(note.content)).refused]

    async def tell(self, question: str, asker: Did, notes: Sequence[Recalled], *, approved: bool) -> Written | None:
        """The answer from notes, best first; None if it may not leave. Raises WorkStopped."""
        self.check()
        engine = await self._model.ready()
        context = await self._contexts.build(
            goal=await asyncio.to_thread(perceive, question),
            identity=self._identity,
            budget_tokens=engine.context_tokens if engine is not None else BUDGET_TOKENS,
            recalled=notes,
            audience=OtherTwin(asker),
            approved=approved,
            capable=engine is not None and engine.capable,
        )
        written = await self._writer.write(context, shown=False)
        return None if (await self._ethics.may_leave(written.text)).refused else written
