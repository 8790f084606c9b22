"""A step, as a person sees it."""

import pytest

from node.cli.watching import say_step


def test_of_what_was_found_a_person_sees_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"id": "m1", "score": 0.5}, {"id": "m2", "score": 0.4}]
    say_step(
        {"n": 1, "action": "recall", "input": {"query": "clay"}, "output": {"found": found}, "ms": 1.2}, indent="  "
    )
    assert capsys.readouterr().out == "  1. recall  query: clay  (1 ms)\n     → found: 2\n"


def test_other_results_stand_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say_step({"n": 2, "action": "use_tool", "input": {"tool": "area"}, "output": {"result": [1, 2]}, "ms": 0.0})
    assert "→ result: [1, 2]" in capsys.readouterr().out
