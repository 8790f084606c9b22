import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.inference.embedder import WordLlamaEmbedder
from node.mind.actions import BuildTool, Delegate, ImproveSelf
from node.mind.deciding.wishes import ASKED_FOR, LEARNED, formula_of, rule_of, task_of, wants_tool
from node.red_lines.red_lines import DEFAULTS, RedLines


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        ("From now on, always name the unit.", "Always name the unit."),
        ("Add a rule to your playbook: never guess a date", "Never guess a date"),
        ("Please in future answer in metres", "Answer in metres"),
    ],
)
def test_a_rule_is_read(goal: str, text: str) -> None:
    assert rule_of(goal) == ImproveSelf(LEARNED, text, ASKED_FOR)


@pytest.mark.parametrize("goal", ["Always name the unit?", "What happens from now on", "from now on", "x" * 3000])
def test_what_is_no_rule(goal: str) -> None:
    assert rule_of(goal) is None


def test_a_task_for_the_swarm_is_read() -> None:
    assert task_of("Ask the swarm to count whales") == Delegate("count whales")
    assert task_of("delegate: count whales") == Delegate("count whales")
    assert task_of("Give a task to the swarm: count whales") == Delegate("count whales")
    assert task_of("What is a swarm?") is None


def test_a_formula_is_read() -> None:
    assert formula_of("Build me a tool called bmi(weight, height) = weight / height^2.") == BuildTool(
        "bmi",
        "Works out bmi by the formula weight / height**2.",
        {"weight": "weight", "height": "height"},
        "weight / height**2",
    )
    assert formula_of("Build a tool for my garden") is None
    assert wants_tool("Make a tool that converts cups to litres")
    assert not wants_tool("What is a good tool for wood?")


@given(st.text(max_size=300))
def test_any_text_is_read_quickly(goal: str) -> None:
    for wish in (rule_of(goal), task_of(goal), formula_of(goal)):
        assert wish is None or isinstance(wish, ImproveSelf | Delegate | BuildTool)


@pytest.mark.parametrize("goal", ["please " * 2000, "build a tool a(" + "b," * 900, "from now on" + " ," * 900])
def test_no_pattern_runs_away(goal: str) -> None:
    assert (rule_of(goal), task_of(goal), formula_of(goal)) == (None, None, None) or len(goal) < 2000


def test_why_such_a_rule_is_written_is_like_no_red_line() -> None:
    nothing: Any = None
    lines = RedLines(nothing, WordLlamaEmbedder())
    lines._use([lines._line(kind, text) for kind, text in DEFAULTS])
    assert not asyncio.run(lines.crossed([("the critique", ASKED_FOR)])).hits
