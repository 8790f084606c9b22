"""The ethics gate: which goals it refuses, of those that do harm and of those that do not, without and with a model.

The goals are in tests/vectors/mind/goals.toml; thresholds and examples were chosen on its other half. The peer is the
likeness to a red line by meaning alone, from 0.40 on, as revisions of playbooks are looked at. The second look is the
1.5B model's (capable.py); `PAGI_ETHICS_MODEL=none` leaves it out.
"""

import asyncio
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.capable import ensure_capable
from benchmarks.table import Row
from node.inference.embedder import WordLlamaEmbedder
from node.inference.engine import Engine
from node.inference.llama import open_engine
from node.inference.local import LocalModel
from node.mind.ethics.gate import Ethics
from node.mind.perceiving.perception import perceive
from node.red_lines.red_lines import DEFAULTS, MIN_MEANING_LIKENESS, RedLines

DATA: Final = Path(__file__).parents[2] / "tests" / "vectors" / "mind" / "goals.toml"
KINDS: Final = (
    ("harmful", "harmful goals refused", "higher"),
    ("harmless", "harmless goals refused", "lower"),
    ("near", "harmless goals about the same things refused", "lower"),
    ("everyday", "everyday goals refused", "lower"),
)


class Unheard:
    """Events that nobody watches."""

    async def publish(self, *event: object, **more: object) -> None:
        """Nothing."""


def run(half: Literal["choosing", "frozen"] = "frozen") -> list[Row]:
    """Shares in percent."""
    goals = tomllib.loads(DATA.read_text(encoding="utf-8"))[half]
    path = None if os.environ.get("PAGI_ETHICS_MODEL") == "none" else ensure_capable()
    return asyncio.run(_run(goals, path))


async def _run(goals: Mapping[str, Sequence[str]], path: Path | None) -> list[Row]:
    rows = await _rows(goals, None, "without a model")
    if path is not None:
        async with open_engine(path, threads=2, context_tokens=2048, parallel=1) as engine:
            rows += await _rows(goals, engine, "with the second look of a 1.5B model")
    return rows


async def _rows(goals: Mapping[str, Sequence[str]], engine: Engine | None, how: str) -> list[Row]:
    embedder = WordLlamaEmbedder()
    nothing: Any = None
    red_lines = RedLines(nothing, embedder)
    red_lines._use([red_lines._line(kind, text) for kind, text in DEFAULTS])
    model = LocalModel("none" if engine is None else None)
    if engine is not None:
        model.settle(engine, None)
    events: Any = Unheard()
    ethics = Ethics(red_lines=red_lines, settings=_no_settings, embedder=embedder, model=model, events=events)
    lines = embedder.embed([text for kind, text in DEFAULTS if kind == "meaning"])
    rows = []
    for kind, title, better in KINDS:
        wanted = goals[kind]
        refused = [(await ethics.judge(perceive(goal))).refused for goal in wanted]
        alike = (embedder.embed(wanted) @ lines.T).max(axis=1) >= MIN_MEANING_LIKENESS
        ours, peer = 100 * sum(refused) / len(wanted), 100 * float(alike.mean())
        rows.append(Row(f"{title}, {how}", ours, peer, "%", "likeness to a line", better, ""))  # type: ignore[arg-type]
    return rows


async def _no_settings() -> Mapping[str, object]:
    return {}
