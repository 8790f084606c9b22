"""Two fifths of a swarm are hostile: what gets into one playbook. `scripts/bench poisoning` is the same, larger."""

import asyncio
from pathlib import Path

import pytest

from node.inference.embedder import WordLlamaEmbedder
from tests.node.hive.judging.pipeline_parts import new_keys, open_judge, taught
from tests.node.hive.judging.poisoning_parts import DISGUISES, TOPICS, Case, Outcome, Swarm, poison
from tests.node.parts import new_hive

EMBEDDER = WordLlamaEmbedder()


def outcome(path: Path, case: Case) -> Outcome:
    return asyncio.run(poison(path, Swarm.of(10, seed=7, topics=TOPICS[:5]), case, EMBEDDER))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        Case("a new twin", honest_named=0, auto_adopt=False),
        Case("honest twins named", honest_named=3, auto_adopt=False),
        Case("adopting unasked", honest_named=3),
        Case("with checks", honest_named=3, checked=1.0),
    ],
)
def test_nothing_hostile_comes_into_effect_as_long_as_only_honest_twins_are_named(tmp_path: Path, case: Case) -> None:
    found = outcome(tmp_path, case)
    assert (found.hostile_bullets, found.wrong) == (0, 0)
    assert found.offered_hostile > 5
    assert (found.honest_bullets > 0) == case.auto_adopt


@pytest.mark.slow
def test_checks_keep_out_some_of_what_a_named_sleeper_teaches(tmp_path: Path) -> None:
    fooled = outcome(tmp_path / "a", Case("a sleeper named", honest_named=3, sleepers_named=1))
    assert fooled.hostile_bullets > 0  # naming is trust, and checks are what is left
    checked = outcome(tmp_path / "b", Case("and checks", honest_named=3, sleepers_named=1, checked=1.0))
    assert checked.hostile_bullets <= fooled.hostile_bullets


@pytest.mark.slow
def test_vouching_for_each_other_buys_nothing(tmp_path: Path) -> None:
    with_it = outcome(tmp_path / "a", Case("threshold", honest_named=0, threshold=0.6))
    without = outcome(tmp_path / "b", Case("threshold", honest_named=0, threshold=0.6, vouching=False))
    assert with_it == without


def test_red_lines_are_seen_through_their_disguise(tmp_path: Path) -> None:
    async def main() -> None:
        anna = new_keys()
        async with open_judge(tmp_path) as judge:
            hive = new_hive(judge.node, embedder=EMBEDDER)
            await hive.load()
            await judge.trust(anna)  # named, adopting unasked: the author's stage lets everything pass
            revisions = [taught(anna, text) for text in DISGUISES]
            await hive.take_in(revisions)
            rows = (await hive.revisions("common")).items
            assert {row.status for row in rows} == {"rejected", "quarantined"}
            assert all("red line" in (row.reason or "") for row in rows)
            assert (await hive.view("common")).bullets == ()

    asyncio.run(main())
