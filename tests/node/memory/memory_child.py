"""Adds memories, forgets some of them and writes snapshots, until it is killed; says what was acknowledged.

Usage: memory_child.py HOME
"""

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
from storage.vectors.index import VectorIndex
from tests.node.memory.parts import MANY, add_many, memory_in


async def main(home: Path) -> None:
    async with memory_in(home) as memory:
        await memory.upkeep.recover()
        if not (await memory.list(limit=1)).items:
            await add_many(memory, MANY)
        await memory.index.ready()
        assert isinstance(memory.index.space.index, VectorIndex)
        tell("ready", "-")
        for number in range(1_000_000):
            await memory.upkeep._write_snapshot(least_changes=1)
            tell("written", str(number))
            kept = await memory.add(kind="semantic", content=f"extra{os.getpid()}x{number} is to be forgotten")
            await memory.add(kind="semantic", content=f"stays{os.getpid()}x{number} for good")
            await memory.upkeep._write_snapshot(least_changes=1)
            await memory.forget(kept)
            tell("forgotten", f"extra{os.getpid()}x{number}")


def tell(what: str, name: str) -> None:
    """In one write that a kill cannot cut in two."""
    os.write(1, f"{what} {name}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
