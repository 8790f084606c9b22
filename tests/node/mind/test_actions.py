from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.memory.memory import Recalled
from node.mind.actions import (
    Asked,
    AskTwin,
    Candidate,
    Recall,
    Respond,
    Situation,
    ToolResult,
    UseTool,
    decide,
    described,
    tool_for,
)
from plugins.host import ToolInfo
from protocols.task import Answer
from tests.node.parts import new_did

GOAL = "How much flour does the mill grind?"
ANNA, BERT, CARL = new_did(), new_did(), new_did()


def tool(name: str) -> ToolInfo:
    return ToolInfo(name, "", {"type": "object"}, "plugin", "builtin", "ok")


def result(name: str) -> ToolResult:
    return ToolResult(UseTool(name, {}), {"result": 4})


NAMES = frozenset({"calculator", "clock"})
TOOLS = tuple(tool(name) for name in sorted(NAMES))


def memory(content: str = "The mill can grind two tonnes of flour.", score: float = 0.9) -> Recalled:
    return Recalled(
        id="m1", kind="semantic", content=content, namespace="private", score=score, ts_ms=0, tags=(), source=None
    )


def candidate(did: str, score: float = 0.5) -> Candidate:
    return Candidate(did, "Anna", ("flour",), score)  # type: ignore[arg-type]


def answer(text: str = "Two tonnes.", confidence: float = 0.9) -> Answer:
    return Answer(text, (), confidence, "model", degraded=False)


def asked(did: str, reply: Answer | None) -> Asked:
    return Asked(candidate(did), reply)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(Situation(goal=GOAL, steps_left=8), Recall(GOAL), id="first recall"),
        pytest.param(Situation(goal=GOAL, steps_left=1), Respond(), id="the last step is the answer"),
        pytest.param(Situation(goal=GOAL, steps_left=8, recalled=[]), Respond(), id="nothing and nobody"),
        pytest.param(Situation(goal=GOAL, steps_left=8, recalled=[memory()]), Respond(), id="it remembers"),
        pytest.param(
            Situation(goal=GOAL, steps_left=8, recalled=[memory(score=0.1)], candidates=[candidate(ANNA)]),
            AskTwin(candidate(ANNA), GOAL),
            id="what it remembers is about something else",
        ),
        pytest.param(
            Situation(goal=GOAL, steps_left=8, recalled=[memory()], candidates=[candidate(ANNA)]),
            Respond(),
            id="nobody is asked what it knows",
        ),
        pytest.param(
            Situation(
                goal=GOAL,
                steps_left=8,
                recalled=[],
                candidates=[candidate(ANNA), candidate(BERT)],
                asked=[asked(ANNA, None)],
            ),
            AskTwin(candidate(BERT), GOAL),
            id="the next one is asked",
        ),
        pytest.param(
            Situation(
                goal=GOAL,
                steps_left=8,
                recalled=[],
                candidates=[candidate(ANNA), candidate(BERT)],
                asked=[asked(ANNA, answer())],
            ),
            Respond(),
            id="one answer is enough",
        ),
        pytest.param(
            Situation(goal="What is 2+2?", steps_left=8, tools=TOOLS, recalled=[]),
            UseTool("calculator", {"expression": "2+2"}),
            id="arithmetic",
        ),
        pytest.param(
            Situation(goal="What is 2+2?", steps_left=8, tools=TOOLS, recalled=[], tool_results=[result("calculator")]),
            Respond(),
            id="a tool is used once",
        ),
        pytest.param(
            Situation(goal="What is 2+2?", steps_left=8, recalled=[]), Respond(), id="a tool that is not there"
        ),
    ],
)
def test_what_comes_next(situation: Situation, expected: object) -> None:
    assert decide(situation) == expected


@pytest.mark.parametrize(
    ("reply", "helped"),
    [(None, False), (answer(), True), (answer(text=""), False), (answer(confidence=0.29), False)],
)
def test_which_answers_help(reply: Answer | None, helped: bool) -> None:
    assert asked(ANNA, reply).helped is helped


goals = st.one_of(
    st.sampled_from([GOAL, "What is 2+2?", "What time is it?", "", "the and of", "3^4 tonnes, what time?"]),
    st.text(max_size=40),
)
memories = st.lists(
    st.builds(memory, st.sampled_from(["flour mill grind", "something else"]), st.floats(-1, 1)), max_size=3
)
replies = st.none() | st.builds(answer, st.sampled_from(["", "Two tonnes."]), st.floats(0, 1))


@given(
    goal=goals,
    steps=st.integers(1, 12),
    tools=st.frozensets(st.sampled_from(["calculator", "clock", "other"])),
    recalled=memories,
    candidates=st.lists(st.sampled_from([ANNA, BERT, CARL]), unique=True, max_size=3),
    answers=st.lists(replies, min_size=3, max_size=3),
)
def test_it_always_ends_and_asks_only_candidates(
    goal: str,
    steps: int,
    tools: frozenset[str],
    recalled: Sequence[Recalled],
    candidates: list[str],
    answers: list[Answer | None],
) -> None:
    situation = Situation(goal=goal, steps_left=steps, tools=[tool(name) for name in tools])
    asked_dids: list[str] = []
    taken = 0
    while True:
        action = decide(situation)
        taken += 1
        assert taken <= steps
        assert described(action)[0] in {"recall", "use_tool", "ask_twin", "respond"}
        match action:
            case Recall():
                assert situation.recalled is None
                situation = replace(situation, recalled=recalled, candidates=[candidate(did) for did in candidates])
            case UseTool(name, _):
                assert name in tools
                assert all(one.call.name != name for one in situation.tool_results)
                situation = replace(situation, tool_results=(*situation.tool_results, result(name)))
            case AskTwin(Candidate(did), question):
                assert did in candidates
                assert did not in asked_dids
                assert question == goal
                asked_dids.append(did)
                situation = replace(situation, asked=(*situation.asked, asked(did, answers[len(asked_dids) - 1])))
            case Respond():
                break
        situation = replace(situation, steps_left=situation.steps_left - 1)
    assert asked_dids == candidates[: len(asked_dids)]  # the best first
    if situation.support:
        assert asked_dids == []


@pytest.mark.parametrize(
    ("goal", "expression"),
    [
        ("What is 17 * 23?", "17 * 23"),
        ("(1 + 2) / 3 please", "(1 + 2) / 3"),
        ("2^10", "2**10"),
        ("How long is 2.5-1.5 m?", "2.5-1.5"),
        ("From 2026-11-20 on, how much is 4*5?", "4*5"),
    ],
)
def test_arithmetic_is_for_the_calculator(goal: str, expression: str) -> None:
    assert tool_for(goal, NAMES) == UseTool("calculator", {"expression": expression})


@pytest.mark.parametrize(
    "goal", ["", "Room 101", "v1.2.3", "flour-mill", "a-1", "x1+1y", "What was on 2026-11-20?", "Read pages 10-12"]
)
def test_not_all_that_has_digits_is_arithmetic(goal: str) -> None:
    assert tool_for(goal, NAMES) is None


def test_the_time_is_for_the_clock() -> None:
    assert tool_for("What time is it?", NAMES) == UseTool("clock", {})
    assert tool_for("How much time does it take?", NAMES) is None
