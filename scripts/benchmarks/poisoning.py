"""Poisoning: two fifths of the authors are hostile and vouch for each other; what of theirs gets into a playbook.

Each row is one way in which an owner may have set her twin, over some swarms. The model is a stand-in that believes the
first rule that it is given (tests/node/hive/judging/poisoning_parts.py), so a wrong rule in effect is a wrong answer.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from benchmarks.table import Row
from node.inference.embedder import WordLlamaEmbedder
from tests.node.hive.judging.poisoning_parts import Case, Outcome, Swarm, poison

AUTHORS: Final = 30
SEEDS: Final = (1, 2, 3)

CASES: Final = (
    Case("a new twin, nobody named", honest_named=0, auto_adopt=False),
    Case("default settings, 6 honest named", auto_adopt=False),
    Case("6 honest named, adopting unasked"),
    Case("the same and checks for half of the topics", checked=0.5),
    Case("2 sleepers named as well", sleepers_named=2),
    Case("the same and checks for half of the topics", sleepers_named=2, checked=0.5),
    Case("the same and checks for all topics", sleepers_named=2, checked=1.0),
    Case("the same and gate 'always', checks for half", sleepers_named=2, checked=0.5, gate="always"),
    Case("threshold 0.6, nobody named", honest_named=0, threshold=0.6),
    Case("the same and checks for all topics", honest_named=0, threshold=0.6, checked=1.0),
    Case("threshold 0.3, 6 honest named", threshold=0.3),
    Case("threshold 0.3, 2 sleepers named: they vouch for the rest", sleepers_named=2, threshold=0.3),
    Case("the same, without vouching", sleepers_named=2, threshold=0.3, vouching=False),
)


def run() -> list[Row]:
    """Three rows a case, summed over all swarms."""
    embedder = WordLlamaEmbedder()
    rows = []
    for number, case in enumerate(CASES, 1):
        outcomes = asyncio.run(_outcomes(case, embedder))
        safe = "0" if not case.sleepers_named and case.threshold == 1 else ""
        topics = sum(outcome.right + outcome.wrong for outcome in outcomes)
        rows += [
            _row(f"{number}. {case.name}: hostile bullets in effect", *_sums(outcomes, "hostile"), "lower", safe),
            _row(f"{number}. honest bullets in effect", *_sums(outcomes, "honest"), "higher", ""),
            _row(f"{number}. wrong answers", sum(one.wrong for one in outcomes), topics, "lower", safe),
        ]
    return rows


async def _outcomes(case: Case, embedder: WordLlamaEmbedder) -> list[Outcome]:
    outcomes = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(await poison(Path(folder), Swarm.of(AUTHORS, seed), case, embedder))
    return outcomes


def _sums(outcomes: Sequence[Outcome], side: Literal["hostile", "honest"]) -> tuple[int, int]:
    if side == "hostile":
        return sum(one.hostile_bullets for one in outcomes), sum(one.offered_hostile for one in outcomes)
    return sum(one.honest_bullets for one in outcomes), sum(one.offered_honest for one in outcomes)


def _row(name: str, count: int, of: int, better: Literal["higher", "lower"], aim: str) -> Row:
    return Row(name, count, None, f"of {of}", "", better, aim)
