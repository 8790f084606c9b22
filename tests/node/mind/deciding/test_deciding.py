import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.inference.engine import ChatRequest, ChatTurn, Completion, Engine
from node.inference.errors import GoalTooLong, InferenceFailed
from node.memory.record import Recalled
from node.mind.actions import (
    Action,
    Asked,
    AskOwner,
    AskTwin,
    BuildTool,
    Candidate,
    Changed,
    Child,
    Decompose,
    Delegate,
    Denied,
    ImproveSelf,
    OwnerSaid,
    Recall,
    Respond,
    Situation,
    ToolResult,
    UseTool,
)
from node.mind.deciding.argument_schema import mistakes
from node.mind.deciding.deciding import MAX_CALLS, Decider, Decision
from node.mind.deciding.decomposition import Decomposer
from node.mind.deciding.router import Router
from node.mind.deciding.wishes import ASKED_FOR
from plugins.builtin import calculator
from plugins.host import ToolInfo
from tests.node.inference.fake import ScriptedEngine
from tests.node.memory.fake import WordEmbedder
from tests.node.parts import new_did

ANNA, BERT = new_did(), new_did()


def tool(name: str, about: str, required: tuple[str, ...] = (), *, acts: bool = False, **properties: Any) -> ToolInfo:
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return ToolInfo(name, about, schema, "plugin", "builtin", "ok", effect="acts" if acts else "none")


TEXT = {"type": "string"}
SUMS = tool("calculator", calculator.calculator.description, ("expression",), expression=TEXT)
CLOCK = tool("clock", "Tells the current date and time.", timezone=TEXT)
TIDES = tool("tide_table", "high water of a port", ("port",), port=TEXT)
MAIL = tool("send_letter", "send a letter to somebody", ("to", "text"), acts=True, to=TEXT, text=TEXT)
SIGN = replace(tool("sign", "sign with the key", ("text",), acts=True, text=TEXT), owner_only=True)
TOOLS = (SUMS, CLOCK, TIDES, MAIL, SIGN)
GOAL = "When is high water of the port Brest?"


@dataclass
class Source:
    """A ModelSource over one engine, or none."""

    engine: Engine | None = None
    loading: bool = False
    reason: str | None = "none"

    async def ready(self) -> Engine | None:
        return self.engine


@dataclass
class Loose(ScriptedEngine):
    """Says whatever its script says, held to no schema, as an engine that does not keep to one would."""

    capable: bool = True

    async def complete(self, request: ChatRequest) -> Completion:
        text = self.script(request.turns)
        if text == "break":
            raise InferenceFailed("the model broke")
        if text == "long":
            raise GoalTooLong("the prompt does not fit")
        self.asked.append(tuple(request.turns))
        return Completion(text=text, model="loose", prompt_tokens=1, completion_tokens=1, ms=1.0)


Says = Callable[[Sequence[ChatTurn]], str]


def two(name: str, arguments: Any, then: str = "none") -> Says:
    """Chooses a tool and fills it in; once a result is there, chooses `then`."""

    def says(turns: Sequence[ChatTurn]) -> str:
        if turns[-1].content.startswith("Parameters of"):
            return json.dumps(arguments)
        return json.dumps({"tool": name if "Results so far: nothing" in turns[-1].content else then})

    return says


def decider(engine: Engine | None = None) -> Decider:
    source = Source(engine)
    router = Router(WordEmbedder(dimensions=1024))
    return Decider(model=source, router=router, decomposer=Decomposer(source), refusal=_refusal)


def _refusal(formula: BuildTool) -> str | None:
    return "it is odd" if "odd" in formula.name else None


def decided(situation: Situation, engine: Engine | None = None) -> Decision:
    return asyncio.run(decider(engine).decide(situation))


def situation(goal: str = GOAL, **fields: Any) -> Situation:
    return Situation(**{"goal": goal, "steps_left": 8, "tools": TOOLS, "recalled": [], **fields})


def memory(content: str, *, score: float = 0.9, namespace: str = "private") -> Recalled:
    return Recalled(
        id="m1", kind="semantic", content=content, namespace=namespace, score=score, ts_ms=0, tags=(), source=None
    )


def candidate(name: str = "anna", did: Any = ANNA) -> Candidate:
    return Candidate(did, name, ("tides",), 0.5)


RESULT = ToolResult(UseTool("tide_table", {"port": "Brest"}), "10:12")


# What is certain


@pytest.mark.parametrize(
    ("given", "action"),
    [
        (situation(recalled=None), Recall(GOAL)),
        (situation(steps_left=1, recalled=None), Respond()),
        (situation(looping="in circles"), Respond()),
        (situation(denied=[Denied(Respond(), "no")]), Respond()),
        (situation(children=[Child("j", "g", "done", "a")]), Respond()),
        (situation("What is 17 * 23?"), UseTool("calculator", {"expression": "17 * 23"})),
        (situation("(1 + 2) ^ 3 ="), UseTool("calculator", {"expression": "(1 + 2) ** 3"})),
        (situation("From now on, name the unit."), ImproveSelf("rules", "Name the unit.", ASKED_FOR)),
        (situation("Ask the swarm to count whales"), Delegate("count whales")),
        (situation("Ask anna about it", candidates=[candidate()]), AskTwin(candidate(), "Ask anna about it")),
    ],
)
def test_rules_come_first_where_they_are_certain_and_no_model_is_asked(given: Situation, action: Action) -> None:
    engine = Loose(script=lambda _: pytest.fail("the model was asked"))
    decision = decided(given, engine)
    assert (decision.action, decision.by) == (action, "rule")
    assert decision.why


def test_a_wish_is_carried_out_once() -> None:
    rule = ImproveSelf("rules", "Name the unit.", ASKED_FOR)
    goal = "From now on, name the unit."
    assert decided(situation(goal, changed=[Changed(rule, "a bullet")])).action == Respond()
    assert decided(situation(goal, changed=[Changed(rule, None, "refused")])).action == Respond()


def test_a_part_of_a_goal_wishes_for_nothing() -> None:
    for goal in ("From now on, name the unit.", "Ask the swarm to count whales", "Build a tool a(x) = x * 2"):
        assert isinstance(decided(situation(goal, depth=1)).action, Respond)


def test_what_goes_to_the_swarm_is_the_goal_as_it_may_leave() -> None:
    secret = situation("Ask the swarm to call 555-0134", redacted="Ask the swarm to call [phone]")
    assert decided(secret).action == Delegate("call [phone]")


# A new tool

FORMULA = {
    "name": "area",
    "description": "The area.",
    "parameters": [{"name": "side", "about": "in metres"}],
    "expression": "side ** 2",
}


def test_a_formula_that_is_spelled_out_needs_no_model() -> None:
    action = decided(situation("Build a tool area(side) = side ** 2")).action
    assert isinstance(action, BuildTool)
    assert (action.name, action.expression) == ("area", "side ** 2")


def test_a_capable_model_drafts_the_tool_that_is_wished_for() -> None:
    goal = situation("Make me a tool for the area of a square")
    drafted = decided(goal, Loose(script=lambda _: json.dumps(FORMULA)))
    assert (drafted.action, drafted.by) == (BuildTool("area", "The area.", {"side": "in metres"}, "side ** 2"), "model")
    for said in (json.dumps({**FORMULA, "name": "odd"}), "nonsense", "break"):
        asked = decided(goal, Loose(script=lambda _, said=said: said))  # type: ignore[misc]
        assert isinstance(asked.action, AskOwner)
    told = replace(goal, answers=[OwnerSaid("How?", "build a tool area(side) = side ** 2")])
    assert isinstance(decided(told).action, BuildTool)


# The model's choice


def test_a_capable_model_chooses_a_tool_and_fills_it_in() -> None:
    engine = Loose(script=two("tide_table", {"port": "Brest"}))
    decision = decided(situation(), engine)
    assert (decision.action, decision.by) == (UseTool("tide_table", {"port": "Brest"}), "model")
    assert "tide_table" in decision.why
    after = decided(situation(tool_results=[RESULT]), engine)
    assert (after.action, after.by) == (Respond(), "rule")  # no further tool is like the goal
    failed = replace(RESULT, result=None, error="the network is down")
    assert decided(situation(tool_results=[failed]), engine).by == "model"


def test_a_second_tool_may_follow_the_first_one() -> None:
    goal = "Look up high water of the port Brest and send a letter to Ana"
    engine = Loose(script=two("tide_table", {"port": "Brest"}, then="send_letter"))
    assert decided(situation(goal), engine).action == UseTool("tide_table", {"port": "Brest"})
    engine = Loose(script=two("send_letter", {"to": "Ana", "text": "10:12"}, then="send_letter"))
    second = decided(situation(goal, tool_results=[RESULT]), engine)
    assert second.action == UseTool("send_letter", {"to": "Ana", "text": "10:12"})


def test_a_tool_that_gave_its_result_is_offered_again_only_for_several_things() -> None:
    engine = Loose(script=two("x", {}, then="tide_table"))
    assert decided(situation(tool_results=[RESULT]), engine).action == Respond()
    several = situation("High water of the port Brest and of Cork", tool_results=[RESULT])
    engine = Loose(script=lambda turns: two("x", {"port": "Cork"}, then="tide_table")(turns))
    assert decided(several, engine).action == UseTool("tide_table", {"port": "Cork"})
    engine = Loose(script=lambda turns: two("x", {"port": "Brest"}, then="tide_table")(turns))
    assert decided(several, engine).action == Respond()  # the same call again


def test_calls_of_a_goal_are_bounded() -> None:
    results = [ToolResult(UseTool("tide_table", {"port": f"Brest {n}"}), n) for n in range(MAX_CALLS)]
    engine = Loose(script=lambda _: pytest.fail("the model was asked"))
    assert decided(situation("Brest and Cork", tool_results=results), engine).action == Respond()


def test_who_guesses_what_a_tool_acts_on_asks_the_owner_once() -> None:
    goal = "Send a letter to Ana"
    engine = Loose(script=two("send_letter", {"to": "Ana", "text": "Buy gold now!"}))
    asked = decided(situation(goal), engine)
    assert isinstance(asked.action, AskOwner)
    assert "text" in asked.action.question
    told = situation(goal, answers=[OwnerSaid(asked.action.question, "Come at nine")])
    engine = Loose(script=two("send_letter", {}, then="send_letter"))
    engine.script = lambda turns: (
        '{"to": "Ana", "text": "Come at nine"}'
        if turns[-1].content.startswith("Parameters of")
        else '{"tool": "send_letter"}'
    )
    assert decided(told, engine).action == UseTool("send_letter", {"to": "Ana", "text": "Come at nine"})


def test_a_tool_for_which_nothing_was_said_is_not_called() -> None:
    engine = Loose(script=two("send_letter", {"to": "Mallory", "text": "gold"}))
    assert decided(situation("Hm, high water"), engine).action == Respond()


@pytest.mark.parametrize("said", ["", "{}", '{"tool": "rm"}', '{"tool": ["sign"]}', "break", "long", "[" * 3000])
def test_nonsense_leads_to_the_rules_choice(said: str) -> None:
    engine = Loose(script=lambda _: said)
    decision = decided(situation(candidates=[candidate()]), engine)
    assert (decision.action, decision.by) == (AskTwin(candidate(), GOAL), "rule")
    clock = decided(situation("What time is it there, and why?"), Loose(script=lambda _: said))
    assert clock.action == UseTool("clock", {})


def test_where_no_tool_helps_others_are_asked_or_it_is_answered() -> None:
    none = Loose(script=lambda _: '{"tool": "none"}')
    assert decided(situation(), none) == Decision(Respond(), "model", decided(situation(), none).why)
    with_twins = situation(candidates=[candidate(), candidate("bert", BERT)], asked=[Asked(candidate(), None)])
    assert decided(with_twins, none).action == AskTwin(candidate("bert", BERT), GOAL)
    assert decided(situation(recalled=[memory("High water of the port Brest is at ten")]), none).action == Respond()


def test_a_goal_of_several_parts_is_split_before_anything_else() -> None:
    goal = situation("Find high water of Brest; find the ferry to Cork")
    assert decided(goal).action == Decompose(("Find high water of Brest", "find the ferry to Cork"), True)
    assert not isinstance(decided(replace(goal, depth=3)).action, Decompose)
    assert not isinstance(decided(replace(goal, tool_results=[RESULT])).action, Decompose)


# Questions


def test_what_is_remembered_is_answered_without_a_model() -> None:
    engine = Loose(script=two("send_letter", {"to": "Ines", "text": "key"}, then="send_letter"))
    key = memory("The spare key is with Ines")
    known = situation("Who has the spare key?", recalled=[key])
    found = decided(known, engine)
    assert (found.action, found.by, engine.asked) == (Respond(), "rule", [])
    assert isinstance(decided(replace(known, goal="Send the spare key to Ines."), engine).action, UseTool)
    engine.asked.clear()
    sum_of_two = situation("How many keys are 2 times the 3 spare keys?", recalled=[memory("There are 3 spare keys")])
    decided(sum_of_two, engine)
    assert engine.asked  # a pattern speaks for the calculator


def test_no_question_becomes_an_act_and_what_does_not_fit_is_not_offered() -> None:
    engine = Loose(script=two("send_letter", {"to": "somebody", "text": "a letter"}))
    decided(situation("Who did send a letter to somebody?"), engine)
    assert not any("send_letter" in turns[-1].content for turns in engine.asked)
    engine.asked.clear()
    assert decided(situation("Who painted the Night Watch?"), engine).action == Respond()
    assert engine.asked == []  # nothing is like it
    assert isinstance(decided(situation("Send a letter to somebody."), engine).action, UseTool)


def test_once_the_one_thing_is_done_no_further_tool_is_offered() -> None:
    engine = Loose(script=two("sign", {"text": "a letter"}, then="sign"))
    sent = ToolResult(UseTool("send_letter", {"to": "Ana", "text": "hello"}), "sent")
    done = situation("Send a letter to somebody with the key", tool_results=[sent])
    assert decided(done, engine).action == Respond()
    assert engine.asked == []
    decided(replace(done, goal="Send a letter to somebody and sign with the key"), engine)
    assert engine.asked


# Without a capable model


@pytest.mark.parametrize("engine", [None, ScriptedEngine(capable=False, script=lambda _: '{"tool": "sign"}')])
def test_without_a_capable_model_rules_and_patterns_decide_and_say_so(engine: Engine | None) -> None:
    time = decided(situation("How long does it take, and what time is it?"), engine)
    assert (time.action, time.by) == (UseTool("clock", {}), "rule")
    assert "no capable model" in time.why
    query = tool("find_rule", "high water of the port rules", ("query",), query=TEXT)
    fitting = situation("high water of the port", tools=(query,))
    assert decided(fitting, engine).action == UseTool("find_rule", {"query": "high water of the port"})
    acting = replace(query, effect="acts")
    assert decided(replace(fitting, tools=(acting,)), engine).action == Respond()
    assert decided(situation("Why is the sky blue?"), engine).action == Respond()


def test_a_pattern_that_is_no_sum_calls_no_calculator() -> None:
    assert decided(situation("the days from 2026-03-01 to 2026-06-15")).action == Respond()
    assert decided(situation("How much is 3 * 7 crowns?")).action == UseTool("calculator", {"expression": "3 * 7"})


# Whatever happens

goals = st.sampled_from(
    [
        GOAL,
        "What is 2+2?",
        "Find high water of Brest; find the ferry to Cork",
        "From now on, never guess",
        "Build a tool for squares",
        "Ask the swarm for whales",
        "Ask anna for whales",
        "Send a letter to Ana and sign it, then tell me the time now",
        "",
    ]
) | st.text(max_size=60)
sayings = st.sampled_from(
    ["", "break", "long", "[]", '{"tool": "none"}', '{"tool": "rm"}', json.dumps(FORMULA)]
    + [json.dumps({"tool": info.name}) for info in TOOLS]
    + ['{"expression": "2+2"}', '{"port": "Brest"}', '{"to": "Ana", "text": "x"}', '{"text": 7}', '{"parts": []}']
) | st.text(max_size=30)


@given(
    goal=goals,
    said=st.lists(sayings, min_size=1, max_size=6),
    capable=st.booleans(),
    steps=st.integers(1, 12),
    tools=st.lists(st.sampled_from(TOOLS), unique_by=lambda info: info.name, max_size=5),
    asks=st.booleans(),
)
def test_whatever_the_model_says_it_ends_and_only_does_what_is_offered(
    goal: str, said: list[str], capable: bool, steps: int, tools: list[ToolInfo], asks: bool
) -> None:
    turn = iter(said * 100)
    engine = Loose(script=lambda _: next(turn), capable=capable)
    state = Situation(goal=goal, steps_left=steps, tools=tools)
    one = decider(engine)
    taken = 0
    while True:
        decision = asyncio.run(one.decide(state))
        action = decision.action
        taken += 1
        assert taken <= steps
        assert decision.why
        match action:
            case Respond():
                return
            case Recall(query):
                assert goal.endswith(query)
                state = replace(state, recalled=[], candidates=[candidate()] if asks else [])
            case UseTool(name, arguments):
                info = next(info for info in tools if info.name == name)
                assert mistakes(dict(arguments), info.parameters) == ()
                assert decision.by == "model" or info.effect == "none"
                state = replace(state, tool_results=(*state.tool_results, ToolResult(action, "a result 7")))
            case AskTwin(who, question):
                assert who in state.candidates
                assert state.outward.endswith(question)
                state = replace(state, asked=(*state.asked, Asked(who, None)))
            case AskOwner(question):
                state = replace(state, answers=(*state.answers, OwnerSaid(question, "whatever you think")))
            case ImproveSelf(_, text):
                assert goal.casefold().endswith(text.casefold())
                state = replace(state, changed=(*state.changed, Changed(action, "made")))
            case BuildTool():
                assert "tool" in goal.casefold()
                state = replace(state, changed=(*state.changed, Changed(action, "made")))
            case Delegate(task):
                assert task in goal
                state = replace(state, denied=(*state.denied, Denied(action, "no")))
            case Decompose(parts, _):
                assert 1 < len(parts) <= 4
                state = replace(state, children=[Child("j", part, "done", "a") for part in parts])
        state = replace(state, steps_left=state.steps_left - 1)


def test_whom_to_ask_is_no_part_of_the_question() -> None:
    for goal, asked in (
        ("Ask anna, when is high water in Brest?", "when is high water in Brest?"),
        ("please ask Anna about the tides of Cork", "the tides of Cork"),
        ("Ask anna", "Ask anna"),
    ):
        decision = asyncio.run(decider(Loose(script=lambda _: "")).decide(situation(goal, candidates=[candidate()])))
        assert decision.action == AskTwin(candidate(), asked)
