"""What the twin knows of its own body: its tools and its machine, kept current by itself in the namespace `body`."""

import logging
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from node.memory.memory import Memory
from node.memory.record import BODY, NewMemory

logger = logging.getLogger(__name__)

SELF: Final = "self"
"""The source of what the twin found out about itself. What the owner wrote into `body` stays as it is."""

IMPORTANCE: Final = 0.2
"""It is there to be asked for, and is seldom the answer to anything else."""

_MOST: Final = 1000


class Tool(Protocol):
    """What is told of a tool."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...


def sentences(tools: Iterable[Tool]) -> list[str]:
    """What the twin says of its tools and of the machine that it runs on."""
    machine = f"I run on {platform.system()} ({platform.machine()}) with {os.cpu_count() or 1} processors."
    return [machine, *(f"I have the tool {tool.name}: {tool.description}" for tool in tools)]


class Body:
    """Keeps `body` in step with what `facts` says, a sentence for each thing."""

    def __init__(self, memory: Memory, facts: Callable[[], Sequence[str]]) -> None:
        self._memory = memory
        self._facts = facts

    async def refresh(self) -> int:
        """Write what is new and take away what is no longer so; how many changed. Raises StorageError."""
        held: dict[str, str] = {}
        after: str | None = None
        while True:
            page = await self._memory.list(limit=_MOST, after=after, namespace=BODY, source=SELF)
            held |= {row.content: row.id for row in page.items}
            after = page.next
            if after is None:
                break
        now = dict.fromkeys(self._facts())
        new = [
            NewMemory(kind="semantic", content=fact, namespace=BODY, source=SELF, importance=IMPORTANCE)
            for fact in list(now)[:_MOST]
            if fact not in held
        ]
        gone = [memory_id for fact, memory_id in held.items() if fact not in now]
        await self._memory.add_many(new)
        await self._memory.forget_many(gone)
        return len(new) + len(gone)
