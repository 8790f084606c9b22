"""Episodes: what happened, when, with whom, in which mood, and how it ended.

They are asked by time (`between`, with node/memory/when.py for how people say it) and, through recall, by likeness.
"""

from typing import Final

from identity.did import Did
from node.clock import NowMs, now_ms
from node.memory.memory import Memory
from node.memory.record import HEART, NewMemory
from storage import memories
from storage.memories import MemoryRow
from storage.page import Page

MAX_EPISODE_CHARS: Final = 2000
"""An episode is what one would tell of it, not a transcript."""


class Episodes:
    """The episodes of one twin."""

    def __init__(self, memory: Memory, *, now: NowMs = now_ms) -> None:
        self._memory = memory
        self._now = now

    async def remember(
        self,
        what: str,
        *,
        when_ms: int | None = None,
        with_did: Did | None = None,
        mood: str | None = None,
        activation: float | None = None,
        outcome: str | None = None,
        session_id: str | None = None,
        namespace: str = HEART,
        source: str = "happened",
    ) -> str:
        """Keep what happened; its id, once it is on disk. What is too long is cut. Raises BadMemory, StorageError.

        `outcome` is `good` or `bad` where that is known. Private unless another namespace is named.
        """
        episode = NewMemory(
            kind="episodic",
            content=what[:MAX_EPISODE_CHARS],
            namespace=namespace,
            session_id=session_id,
            source=source,
            mood=mood,
            activation=activation,
            outcome=outcome,
            with_did=with_did,
            happened_ms=self._now() if when_ms is None else when_ms,
        )
        return (await self._memory.add_many([episode]))[0]

    async def between(self, from_ms: int, to_ms: int, *, limit: int = 50, after: str | None = None) -> Page[MemoryRow]:
        """What happened from `from_ms` to before `to_ms`, oldest first. Raises BadCursor."""
        return await self._memory.database.read(
            lambda conn: memories.happened_between(conn, from_ms, to_ms, kind="episodic", limit=limit, after=after)
        )
