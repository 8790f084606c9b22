"""A memory whose index is small enough to grow out of being exact within a test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from node.inference.embedder import Embedder
from node.memory.indexing import MemoryIndex, OpenEmbedder
from node.memory.memory import Memory
from node.memory.record import NewMemory
from storage.database import Database
from tests.node.memory.fake import WordEmbedder

P = ParamSpec("P")

EXACT_MOST = 1200
MANY = 1500


def words() -> WordEmbedder:
    """With so many directions that hardly two words share one."""
    return WordEmbedder("words-512", 512)


def note(number: int) -> str:
    """A text of which no other has all words."""
    return f"note{number} about subject{number % 50} by writer{number % 7}"


@asynccontextmanager
async def memory_in(
    home: Path,
    embedder: Embedder | None = None,
    *,
    spec: str | None = None,
    open_embedder: OpenEmbedder | None = None,
    close: bool = True,
) -> AsyncIterator[Memory]:
    """Without `close` it ends as if the process had been killed: no snapshot is written."""
    (home / "index").mkdir(exist_ok=True)
    async with Database.open(home / "node.db") as database:
        index = MemoryIndex(
            database,
            embedder or words(),
            folder=home / "index",
            open_embedder=open_embedder,
            exact_most=EXACT_MOST,
        )
        memory = Memory(index, spec=spec)
        yield memory
        if close:
            await memory.upkeep.close()


async def add_many(memory: Memory, count: int = MANY) -> None:
    """Notes 0 to count - 1; every tenth is shared."""
    for start in range(0, count, 500):
        notes = [
            NewMemory(
                kind="semantic",
                content=note(n),
                namespace="shared" if n % 10 == 0 else "private",
            )
            for n in range(start, min(start + 500, count))
        ]
        await memory.add_many(notes)


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that is a coroutine, in a loop of its own."""

    @wraps(test)
    def run(*arguments: P.args, **fixtures: P.kwargs) -> None:
        asyncio.run(test(*arguments, **fixtures))

    return run


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition, for half a minute at most."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - the parts that it is about tell nobody
            await asyncio.sleep(0.001)
