"""The mind's own time: for a goal and for each of its steps, beside the bare call of an engine that answers at once.

A twin's mind over a real database, real memories and the real embedder, in this process; its model is one that says a
fixed sentence without any work, so that what is left is the twin's own: perceiving, the gate, recalling, deciding,
recording each step on the disk before and after it, the answer and its turn. *A question from memory* has two steps and
one call of the engine, *talk* as well, *a sum* three steps and none. The peer is that engine's call alone.

PAGI_BENCH_GOALS makes it smaller or larger.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks.table import Row
from node.inference.embedders import open_embedder
from node.inference.engine import ChatRequest, ChatTurn
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm

GOALS: Final = int(os.environ.get("PAGI_BENCH_GOALS", "60"))
WARM_UP: Final = 5
MEMORIES: Final = 500
AIM_MS: Final = 20.0
KINDS: Final = {
    "a question from memory": lambda n: f"Who has the key of shed {n % MEMORIES}?",
    "talk": lambda n: f"I had a good day number {n}.",
    "a sum": lambda n: f"What is {n} * 23?",
}


def run() -> list[Row]:
    """The figures of each kind of goal."""
    with tempfile.TemporaryDirectory(prefix="pagi-mind-") as name:
        return asyncio.run(_measured(Path(name)))


async def _measured(home: Path) -> list[Row]:
    engine = ScriptedEngine(lambda turns: "Ines has it.", capable=True, context_tokens=8192)
    async with open_mind(FakeSwarm(), home / "twin", engine=engine, embedder=open_embedder("wordllama")) as mind:
        for number in range(MEMORIES):
            await mind.remember(f"The key of shed {number} is with neighbour {number % 40}.", "private")
        rows: list[Row] = []
        for kind, goal in KINDS.items():
            goals = [goal(number) for number in range(GOALS + WARM_UP)]
            rows += _rows(kind, *await _timed(mind, goals), await _bare(engine))
        return rows


async def _timed(mind: Mind, goals: Sequence[str]) -> tuple[list[float], list[float]]:
    """Milliseconds of each goal, from giving it to its end, and of each of its steps."""
    whole, steps = [], []
    for number, goal in enumerate(goals):
        began = time.perf_counter()
        result = await mind.executive.interact(goal, session_id=f"bench {number // 8}")
        took_ms = (time.perf_counter() - began) * 1000
        assert result.status == "done", result
        await mind.executive.reflected(result.job_id)
        if number >= WARM_UP:
            whole.append(took_ms)
            steps.append(took_ms / len(result.steps))
    return whole, steps


async def _bare(engine: ScriptedEngine) -> list[float]:
    """Milliseconds of the engine's call alone."""
    request = ChatRequest(turns=[ChatTurn("user", "Who has the key?")])
    took = []
    for _ in range(GOALS):
        began = time.perf_counter()
        await engine.complete(request)
        took.append((time.perf_counter() - began) * 1000)
    return took


def _rows(kind: str, whole: Sequence[float], steps: Sequence[float], bare: Sequence[float]) -> list[Row]:
    peer, aim = "the engine's call alone", f"under {AIM_MS:g} ms"
    figures = (
        ("a goal, median", median(whole), median(bare), ""),
        ("a goal, p99", _p99(whole), _p99(bare), ""),
        ("a step, median", median(steps), None, aim),
        ("a step, p99", _p99(steps), None, aim),
    )
    return [
        Row(f"{kind}: {what}", ours, theirs, "ms", peer if theirs is not None else "", "lower", to_reach)
        for what, ours, theirs, to_reach in figures
    ]


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]
