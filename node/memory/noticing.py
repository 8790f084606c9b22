"""Keeping what the owner tells of themselves in passing (node/memory/told.py).

What is noticed becomes a private semantic memory, made from the turn that it was said in: it is forgotten with it.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from identity.errors import PagiError
from node.memory.memory import Memory
from node.memory.record import NewMemory
from node.memory.told import Fact, noticed, speaks_of_another
from storage import memories

logger = logging.getLogger(__name__)

TOLD: Final = "told"
"""The source of what the owner said themselves."""

OWNERS_NAME: Final = f"{TOLD}, the owner's name"
"""The source of what the owner is called."""

_LOOKED_BACK: Final = 50
"""Facts in which whom `she` or `he` means is looked for."""

ASKED_IMPORTANCE: Final = 0.8
"""Of what the owner asked to remember."""


class Noticing:
    """Keeps what is noticed in what the owner says."""

    def __init__(
        self, memory: Memory, *, compare: Callable[[], Awaitable[None]] | None = None, enabled: bool = True
    ) -> None:
        """`compare` finds what the newest facts contradict: what was corrected must not be said again."""
        self._memory = memory
        self._compare = compare
        self._enabled = enabled

    async def heard(
        self, said: str, *, turn_id: str | None = None, session_id: str | None = None
    ) -> list[tuple[str, Fact]]:
        """Keep what the owner tells of themselves in a turn; that, with the ids. That it cannot be kept is no error of
        the turn.

        `turn_id` is the memory that holds the turn: what is noticed is forgotten with it.
        """
        if not self._enabled:
            return []
        before = await self._told_before(session_id) if speaks_of_another(said) else ()
        if not (facts := noticed(said, before)):
            return []
        sources = []
        if turn_id is not None:
            turn = await self._memory.get(turn_id)
            if turn is None:
                return []
            sources = [turn.seq]
        kept = []
        for fact in facts:
            item = NewMemory(
                kind="semantic",
                content=fact.text,
                source=OWNERS_NAME if fact.name else TOLD,
                session_id=session_id,
                importance=ASKED_IMPORTANCE if fact.asked or fact.name else memories.DEFAULT_IMPORTANCE,
            )
            try:
                ids = await self._memory.add_made_from([item], sources)
            except PagiError as error:
                logger.warning("what was told in passing was not kept: %s", error)
                break
            kept += [(memory_id, fact) for memory_id in ids]
        if kept and self._compare is not None:
            await self._compare()
        return kept

    async def _told_before(self, session_id: str | None) -> Sequence[str]:
        """The facts that were told in a session, newest first."""
        page = await self._memory.list(limit=_LOOKED_BACK, kind="semantic", session_id=session_id, source=TOLD)
        return [row.content for row in page.items]
