"""A revision as a person reads it."""

from typing import Any

from hypothesis import given

from protocols.playbook.diff import describe
from protocols.playbook.merge import EMPTY, from_revisions
from protocols.playbook.revision import SignedRevision
from tests.protocols.playbook.test_merge import bullet, histories, revise


def lines(items: list[dict[str, Any]], *before: SignedRevision) -> list[str]:
    return describe(revise(before, items, 1).revision, from_revisions("p", before))


FIRST = revise(
    [],
    [
        {"op": "add", "section": "s", "text": "t"},
        {"op": "set", "key": "a.b", "value": 1},
        {"op": "set", "key": "instructions", "value": "Plan.\nAct."},
        {"op": "tool", "name": "t", "meta": {"endpoint": "/x"}},
        {"op": "template", "name": "team", "body": ["planner"]},
        {"op": "metric", "name": "m", "sum": 3.0, "count": 2},
    ],
)


def test_bullets() -> None:
    assert lines([{"op": "add", "section": "style", "text": "Be brief.\nBe kind.", "tags": ["tone", "x"]}]) == [
        "+ [style] Be brief.",
        "    Be kind. (tone, x)",
    ]
    assert lines([{"op": "remove", "id": bullet(0, 1, 0)}], FIRST) == ["- [s] t"]
    assert lines([{"op": "helpful", "id": bullet(0, 1, 0), "n": 3}], FIRST) == ["helpful +3: [s] t"]
    unknown = bullet(2, 1, 0)
    assert lines([{"op": "harmful", "id": unknown}], FIRST) == [f"harmful +1: {unknown}, which is not in effect here"]


def test_what_is_set_shows_old_and_new() -> None:
    items = [
        {"op": "set", "key": "a.b", "value": 1.0},
        {"op": "set", "key": "a.c", "value": [1, "ä"]},
        {"op": "set", "key": "instructions", "value": None},
        {"op": "set", "key": "new", "value": None},
        {"op": "tool", "name": "t", "meta": {"endpoint": "/y"}},
        {"op": "template", "name": "team", "body": ["planner"]},
    ]
    assert lines(items, FIRST) == [
        "setting a.b: 1 → 1.0",
        'setting a.c: [1, "ä"]',
        "setting instructions: taken out, was Plan.",
        "    Act.",
        "setting new: taken out",
        'tool t: {"endpoint": "/x"} → {"endpoint": "/y"}',
        'template team: ["planner"]',
    ]


def test_metrics() -> None:
    items: list[dict[str, Any]] = [{"op": "metric", "name": "m", "sum": 1.0, "count": 4}]
    assert lines(items, FIRST) == ["metric m: 4 more, 0.25 on average; 1.5 over 2 so far"]
    assert lines(items) == ["metric m: 4 more, 0.25 on average"]


def test_a_revision_that_changes_nothing() -> None:
    assert lines([]) == ["changes nothing"]


@given(histories())
def test_every_operation_has_its_line(history: list[SignedRevision]) -> None:
    for signed in history:
        for current in (EMPTY("p"), from_revisions("p", history)):
            described = describe(signed.revision, current)
            assert len(described) >= max(1, len(signed.revision.ops))
            assert all("\n" not in line for line in described)
