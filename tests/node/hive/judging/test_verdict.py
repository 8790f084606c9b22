"""What becomes of a revision, as a table; and that the verdict asks for nothing but the stages."""

import itertools

import pytest

from node.hive.judging.author import BLOCKED, author_stage
from node.hive.judging.canaries import LEAST_OUTCOMES, canary_stage, compared
from node.hive.judging.verdict import DECIDING, verdict_of
from storage.judging import Outcome, Stage, StageName
from storage.trust import Trust
from tests.node.parts import new_did

OWN, AUTHOR = new_did(), new_did()


def stages(**outcomes: Outcome) -> list[Stage]:
    """All stages passed but for these; `canary` and `owner` are there only if they are named."""
    names: list[StageName] = [*DECIDING, *(name for name in ("canary", "owner") if name in outcomes)]  # type: ignore[list-item]
    return [Stage(name, outcomes.get(name, "passed"), f"{name} says so") for name in names]


@pytest.mark.parametrize(
    ("outcomes", "status", "speaks"),
    [
        ({}, "adopted", "author"),
        ({"duplicates": "noted", "gate": "noted"}, "adopted", "author"),
        ({"author": "quarantined"}, "quarantined", "author"),
        ({"red_lines": "rejected", "author": "quarantined"}, "rejected", "red_lines"),
        ({"red_lines": "quarantined", "gate": "pending"}, "quarantined", "red_lines"),
        ({"gate": "pending"}, "quarantined", "gate"),
        ({"gate": "quarantined"}, "quarantined", "gate"),
        ({"canary": "pending"}, "canary", "canary"),
        ({"canary": "pending", "gate": "pending"}, "quarantined", "gate"),
        ({"canary": "pending", "author": "quarantined"}, "quarantined", "author"),
        ({"canary": "passed"}, "adopted", "author"),
        ({"canary": "quarantined"}, "quarantined", "canary"),
        ({"owner": "passed", "red_lines": "rejected", "gate": "pending"}, "adopted", "owner"),
        ({"owner": "passed", "canary": "pending", "author": "quarantined"}, "canary", "canary"),
        ({"owner": "passed", "canary": "quarantined"}, "quarantined", "canary"),
        ({"owner": "rejected"}, "rejected", "owner"),
        ({"owner": "rejected", "canary": "pending"}, "rejected", "owner"),
        ({"owner": "passed", "author": "rejected"}, "rejected", "author"),
    ],
)
def test_the_stages_decide(outcomes: dict[str, Outcome], status: str, speaks: str) -> None:
    verdict = verdict_of(stages(**outcomes))
    assert (verdict.status, verdict.reason) == (status, f"{speaks} says so")


def test_no_stage_is_passed_over() -> None:
    for name, outcome in itertools.product(DECIDING, ("rejected", "quarantined", "pending")):
        verdict = verdict_of(stages(**{name: outcome}))  # type: ignore[arg-type]
        expected = "rejected" if outcome == "rejected" else "quarantined"
        assert (verdict.status, verdict.reason) == (expected, f"{name} says so")


def test_the_author() -> None:
    allowed = Trust(frozenset({AUTHOR}), frozenset(), 1.0, auto_adopt=True)
    blocked = Trust(frozenset({AUTHOR}), frozenset({AUTHOR}), 0.0, auto_adopt=True)
    waiting = Trust(frozenset({AUTHOR}), frozenset(), 1.0, auto_adopt=False)
    open_to_all = Trust(frozenset(), frozenset(), 0.5, auto_adopt=True)
    for trust, standing, outcome in (
        (allowed, 0.0, "passed"),
        (blocked, 0.9, "rejected"),
        (waiting, 0.9, "quarantined"),
        (open_to_all, 0.49, "quarantined"),
        (open_to_all, 0.5, "passed"),
    ):
        assert author_stage(AUTHOR, own=OWN, trust=trust, standing=standing).outcome == outcome
    assert author_stage(AUTHOR, own=OWN, trust=blocked, standing=0).reason == BLOCKED
    assert author_stage(OWN, own=OWN, trust=blocked, standing=0).outcome == "passed"


def test_a_canary_is_compared_once_both_sides_have_enough() -> None:
    n = LEAST_OUTCOMES
    assert compared({"canary": (n, 0), "usual": (n - 1, 0)}) is None
    assert compared({"canary": (n - 1, 0), "usual": (n, 0)}) is None
    kept = compared({"canary": (8, 2), "usual": (9, 1)})  # no worse than chance has it
    assert kept is not None
    assert (kept.outcome, kept.reason) == (
        "passed",
        "kept: 8 of 10 goals went well with it, 9 of 10 without",
    )
    back = compared({"canary": (4, 6), "usual": (9, 1)})
    assert back is not None
    assert (back.outcome, back.reason.partition(":")[0]) == ("quarantined", "taken back")
    for same in ((n, 0), (0, n)):
        found = compared({"canary": same, "usual": same})
        assert found is not None
        assert found.outcome == "passed"
    assert "20%" in canary_stage(0.2).reason
