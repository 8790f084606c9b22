"""Working memory: the turns of sessions, as they were said, for a time.

Turns are ordinary memories of the kind `working`, so they survive a restart and can be searched. Those that are
over their time are taken away by consolidation (node/memory/consolidation.py), after they became an episode.
"""

from typing import Final, cast

from node.clock import NowMs, now_ms
from node.inference.engine import ChatTurn
from node.memory.memory import Also, Memory
from node.memory.record import NewMemory, Role
from storage import memories
from storage.page import Page
from storage.working import SessionRow, list_sessions

BYTES_PER_TOKEN: Final = 3
"""Of UTF-8, fewer than text has in most languages, so that a budget in tokens is kept."""

TURN_TOKENS: Final = 8
"""What a chat template puts around a turn."""

MAX_TURNS: Final = 200
"""A prompt never holds more turns than this, however small they are."""


class WorkingMemory:
    """The sessions of one twin."""

    def __init__(self, memory: Memory, *, ttl_s: float, now: NowMs = now_ms) -> None:
        self._memory = memory
        self._ttl_ms = int(ttl_s * 1000)
        self._now = now

    def expires_ms(self) -> int:
        """When a turn of now will be over its time."""
        return self._now() + self._ttl_ms

    async def append(
        self,
        session_id: str | None,
        role: Role,
        content: str,
        *,
        mood: str | None = None,
        activation: float | None = None,
        also: Also | None = None,
    ) -> str:
        """Keep a turn; its id, once it is on disk. None is what was said outside of any session.

        `also` writes in the transaction that keeps it.

        Raises BadMemory, MemoryTooLarge or a StorageError.
        """
        turn = NewMemory(
            kind="working",
            content=content,
            role=role,
            session_id=session_id,
            mood=mood,
            activation=activation,
            source="conversation",
            expires_ms=self.expires_ms(),
        )
        return (await self._memory.add_many([turn], also=also))[0]

    async def turns(self, session_id: str | None, tokens: int) -> tuple[ChatTurn, ...]:
        """The newest turns of a session that fit into so many tokens, oldest first, each of them whole.

        A session begins with what the owner said: an answer without its question is left out.
        """
        now = self._now()
        rows = await self._memory.database.read(
            lambda conn: memories.newest_turns(conn, session_id, now_ms=now, limit=MAX_TURNS)
        )
        kept: list[ChatTurn] = []
        for row in rows:
            tokens -= tokens_of(row.content)
            if tokens < 0:
                break
            kept.append(ChatTurn(cast(Role, row.role), row.content))
        kept.reverse()
        while kept and kept[0].role == "assistant":
            del kept[0]
        return tuple(kept)

    async def sessions(self, *, limit: int = 50, after: str | None = None) -> Page[SessionRow]:
        """Sessions that have turns or episodes, the one that was last used first."""
        return await self._memory.database.read(lambda conn: list_sessions(conn, limit=limit, after=after))


def tokens_of(text: str) -> int:
    """At most how many tokens a turn takes."""
    return len(text.encode()) // BYTES_PER_TOKEN + 1 + TURN_TOKENS
