"""What is done next for a goal: by rule where that is certain, by the model where it is capable, else by rule as well.

The rules end the work, recall first, and read what the owner asks for in so many words. The model only chooses one of a
few tools and fills in its arguments; whatever it returns, the action is one that the situation offers, and nothing that
it says makes this twin ask somebody, learn a rule or build a tool. An action is only decided here: what acts waits for
the owner's leave elsewhere.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from node.inference.engine import Engine, ModelSource
from node.inference.errors import InferenceError
from node.mind.actions import Action, AskOwner, AskTwin, BuildTool, Respond, Situation, UseTool, decide
from node.mind.deciding.asking import asks, asks_of_twin, asks_who_i_am, to_forget
from node.mind.deciding.building import draft
from node.mind.deciding.certain import certain_call, certain_result
from node.mind.deciding.choosing import NONE, Question, choose, fill
from node.mind.deciding.decomposition import Decomposer
from node.mind.deciding.filling import fill_by_rule
from node.mind.deciding.knowing import question_of
from node.mind.deciding.patterns import hinted
from node.mind.deciding.router import Router, clauses_of
from node.mind.deciding.solving import CALCULATOR, expression_for
from node.mind.deciding.wishes import formula_of, rule_of, task_of, wants_tool
from node.mind.learning.generalising import is_about
from plugins.host import ToolInfo

MIN_FIT: Final = 0.35
"""How well a tool must fit a goal to be called by rule: of the goals that reached it three quarters had a right tool
(docs/decisions/choosing.md)."""

MIN_LEAD: Final = 0.05
"""How much better than the next one, too: two tools that fit alike cannot be told apart by likeness."""

MIN_OFFERED: Final = 0.12
MIN_OFFERED_TO_QUESTION: Final = 0.20
"""How well a tool must fit a goal to be offered at all, and one that looks to fit a question: on the 28 goals that
were tuned on, no tool that was right and among the first three lies below."""

MIN_FURTHER: Final = 0.22
"""How well a tool must fit a goal to be offered after another one gave its result."""

MAX_CALLS: Final = 4
"""Calls for one goal that a model may choose, whatever steps there are: one that lies to it cannot keep it busy."""

_SEVERAL: Final = re.compile(r",|\b(?:and|both|each|every|all)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Decision:
    """The next action, who decided on it, and why, in words for the owner."""

    action: Action
    by: Literal["rule", "model"]
    why: str


class Decider:
    """Decides, one step at a time. `refusal` says why a tool cannot be built, None if it can."""

    def __init__(
        self,
        *,
        model: ModelSource,
        router: Router,
        decomposer: Decomposer,
        refusal: Callable[[BuildTool], str | None],
    ) -> None:
        self._model = model
        self._router = router
        self._decomposer = decomposer
        self._refusal = refusal

    async def decide(self, situation: Situation, *, session_id: str | None = None) -> Decision:
        """The next action. It always comes: where a model fails, the rules decide."""
        certain = self._certain(situation)
        if certain is not None:
            return certain
        if await self._is_remembered(situation):
            return Decision(Respond(), "rule", "what is remembered answers it")
        engine = await self._model.ready()
        question = question_of(situation, session_id)
        capable = engine is not None and engine.capable
        if _untouched(situation):
            parts = await self._decomposer.split(situation.goal, situation.depth, question=question)
            if parts is not None:
                by: Literal["rule", "model"] = "model" if parts.by_model else "rule"
                return Decision(parts.action, by, f"the goal has {len(parts.action.goals)} parts")
            if capable and engine is not None and wants_tool(situation.goal) and not situation.depth:
                return await self._draft(engine, question)
        if capable and engine is not None:
            return await self._by_model(situation, engine, question)
        return await self._by_rule(situation, "no capable model is here")

    def _certain(self, situation: Situation) -> Decision | None:
        """What needs no model: the end, the first recall, and what the owner asks for in so many words."""
        if situation.steps_left <= 1:
            return Decision(Respond(), "rule", "it is the last step")
        if situation.looping:
            return Decision(Respond(), "rule", situation.looping)
        if situation.denied:
            return Decision(Respond(), "rule", "the owner did not allow the last action")
        if situation.children:
            return Decision(Respond(), "rule", "the parts of the goal are done")
        if situation.recalled is None:
            return Decision(decide(situation), "rule", "own memory first")
        if certain_result(situation) is not None:
            return Decision(Respond(), "rule", "the tool gave the whole answer")
        if to_forget(situation.goal) is not None:
            return Decision(Respond(), "rule", "forgetting is for the owner to do")
        if asks_who_i_am(situation.goal):
            return Decision(Respond(), "rule", "the owner's name needs no tool")
        if asks_of_twin(situation.goal):
            return Decision(Respond(), "rule", "what it is and can do needs no tool")
        if (call := certain_call(situation)) is not None:
            return Decision(call, "rule", f"the goal is for {call.name} and nothing else")
        return _wish(situation) or _named_twin(situation)

    async def _is_remembered(self, situation: Situation) -> bool:
        """Whether a question is answered by memory, and neither a pattern nor a tool that fits well speaks for more."""
        if not situation.support or not asks(situation.goal) or situation.tool_results or situation.answers:
            return False
        if any(memory.asked_time for memory in situation.support):
            return True
        if hinted(situation.goal, [memory.content for memory in situation.support]) & situation.tool_names:
            return False
        looking = [info for info in situation.tools if info.effect == "none"]
        routed = await self._router.route(situation.goal, looking, top=1)
        return not routed or routed[0].score < MIN_FIT

    async def _draft(self, engine: Engine, question: Question) -> Decision:
        """The tool that the owner wants, as the model drafts it."""
        formula = await draft(engine, question)
        if isinstance(formula, str) or (wrong := self._refusal(formula)) is not None:
            reason = formula if isinstance(formula, str) else wrong
            asked = AskOwner(
                "How is it worked out? Say it as a formula, such as: build a tool area(width, height) = width * height."
            )
            return Decision(asked, "rule", f"the model's formula cannot be used: {reason}")
        return Decision(formula, "model", "the owner wants a new tool")

    async def _by_model(self, situation: Situation, engine: Engine, question: Question) -> Decision:
        if len(situation.tool_results) >= MAX_CALLS:
            return Decision(Respond(), "rule", f"{MAX_CALLS} calls are enough for one goal")
        worked_out = await _by_what_was_taught(situation, engine, question)
        if worked_out is not None:
            return worked_out
        offered = await self._offered(situation, question)
        if not offered:
            return _without_tool(situation, "rule", "no tool, or no further one, fits the goal")
        chosen = await choose(engine, question, offered)
        names = ", ".join(info.name for info in offered)
        if chosen.name is None:
            return await self._by_rule(situation, chosen.reason)
        tool = next((info for info in offered if info.name == chosen.name), None)
        if tool is None or chosen.name == NONE:
            return _without_tool(situation, "model", f"none of {names} helps further")
        filled = await fill(engine, question, tool, offered)
        if filled.arguments is None:
            return await self._by_rule(situation, filled.reason)
        call = UseTool(tool.name, filled.arguments)
        if any(result.call == call for result in situation.tool_results):
            return _without_tool(situation, "rule", f"{tool.name} was called with the same arguments before")
        why = f"of {names} the model chose {tool.name}"
        if filled.guessed:
            guessed = ", ".join(filled.guessed)
            if set(filled.guessed) >= set(tool.parameters.get("required", ())):
                return _without_tool(situation, "rule", f"nothing that {tool.name} needs stands in the goal")
            if tool.effect == "acts" and not situation.answers:
                asked = AskOwner(f"{tool.name} needs {guessed}, which you have not said. What should it be?")
                return Decision(asked, "model", why)
            why += f"; what it put for {guessed} does not stand in the goal"
        return Decision(call, "model", why)

    async def _offered(self, situation: Situation, question: Question) -> tuple[ToolInfo, ...]:
        """The tools that are like the goal, and those that a pattern speaks for, which no likeness finds. To a question
        none is offered that acts.

        After a result only those that are well alike: a small model that is shown another tool tends to call it. One
        that gave its result is offered again only for a goal that names several things.
        """
        goal = situation.goal
        used = {result.call.name for result in situation.tool_results if result.error is None}
        again = _SEVERAL.search(goal) is not None
        acted = any(info.name in used and info.effect != "none" for info in situation.tools)
        if acted and not again and len(clauses_of(goal)) == 1:
            return ()  # one thing was to be done, and it is done
        tools, least = situation.tools, MIN_OFFERED
        if asks(goal):
            tools, least = [info for info in tools if info.effect == "none"], MIN_OFFERED_TO_QUESTION
        if used:
            least = max(least, MIN_FURTHER)
        routed = [one.info for one in await self._router.route(goal, tools) if one.score >= _least_of(one.info, least)]
        hints = hinted(goal, question.known)
        offered = {info.name: info for info in (*routed, *(info for info in situation.tools if info.name in hints))}
        return tuple(info for info in offered.values() if again or info.name not in used)

    async def _by_rule(self, situation: Situation, because: str) -> Decision:
        """The rules alone: a pattern that fits, then a tool that only looks, fits well and whose arguments are said."""
        ruled = decide(situation)
        if isinstance(ruled, UseTool):
            return Decision(ruled, "rule", f"a pattern of {ruled.name} stands in the goal; {because}")
        if not (situation.tool_results or situation.support or situation.taught or situation.asked):
            call = await self._call_by_rule(situation)
            if call is not None:
                return Decision(call, "rule", f"{call.name} fits the goal; {because}")
        return Decision(ruled, "rule", because)

    async def _call_by_rule(self, situation: Situation) -> UseTool | None:
        looking = [info for info in situation.tools if info.effect == "none" and not info.owner_only]
        routed = await self._router.route(situation.goal, looking, top=2)
        if not routed or routed[0].score < MIN_FIT:
            return None
        if len(routed) > 1 and routed[0].score - routed[1].score < MIN_LEAD:
            return None
        arguments = fill_by_rule(routed[0].info, situation.goal)
        return None if arguments is None else UseTool(routed[0].info.name, arguments)


def _wish(situation: Situation) -> Decision | None:
    """What the owner asks of the twin itself, once. What goes to the swarm, or into the playbook, which others read, is
    the goal as it may leave this machine.

    A part of a goal may be in the words of a model, and those wish for nothing.
    """
    if situation.depth:
        return None
    if not situation.changed:
        told = [said.answer for said in situation.answers] if wants_tool(situation.goal) else []
        own = rule_of(situation.outward) or next(filter(None, map(formula_of, [situation.goal, *told])), None)
        if own is not None:
            return Decision(own, "rule", "the owner asks for it")
    elif all(change.error is None for change in situation.changed):
        return Decision(Respond(), "rule", "what the owner asked for is there")
    task = task_of(situation.outward)
    if task is not None and not situation.delegated:
        return Decision(task, "rule", "the owner gives it to the swarm")
    return None


def _named_twin(situation: Situation) -> Decision | None:
    """A twin that the goal tells to ask, by its name: `ask anna how …`."""
    asked = {entry.candidate.did for entry in situation.asked}
    for candidate in situation.candidates:
        called = rf"\s*(?:please\s+)?ask\s+{re.escape(candidate.name)}\b[\s,:]*(?:(?:about|whether|if)\b\s*)?"
        named = re.match(called, situation.outward, re.IGNORECASE)
        if named and candidate.name and candidate.did not in asked:
            question = situation.outward[named.end() :]  # whom it is for is no part of it, and stands in no memory
            several = len(question.split()) > 1
            asking = AskTwin(candidate, question if several else situation.outward)
            return Decision(asking, "rule", "the owner names whom to ask")
    return None


async def _by_what_was_taught(situation: Situation, engine: Engine, question: Question) -> Decision | None:
    """A sum that what the twin was taught says how to do: the model writes it, the calculator does it."""
    has_number = any(char.isdigit() for char in situation.goal)
    taught = any(is_about(rule, situation.goal) for rule in situation.rules)
    if not (taught and has_number and CALCULATOR in situation.tool_names) or situation.tool_results:
        return None
    try:
        expression = await expression_for(
            situation.goal, situation.rules, engine=engine, session_id=question.session_id
        )
    except InferenceError:
        return None  # whoever decides next asks the model again, and says what failed
    if not expression:
        return None
    return Decision(UseTool(CALCULATOR, {"expression": expression}), "model", "it was taught how this is worked out")


def _without_tool(situation: Situation, by: Literal["rule", "model"], why: str) -> Decision:
    """Where no tool helps: other twins, as the rules have it, or the answer."""
    following = decide(replace(situation, tools=()))
    return Decision(following, by if isinstance(following, Respond) else "rule", why)


def _least_of(info: ToolInfo, least: float) -> float:
    """A tool that acts and takes no arguments must fit well: nothing that it needs could be missing in the goal."""
    bare = info.effect != "none" and not info.parameters.get("properties")
    return max(least, MIN_FIT) if bare else least


def _untouched(situation: Situation) -> bool:
    """Whether nothing was done for the goal yet but to recall."""
    done = (situation.tool_results, situation.asked, situation.delegated, situation.answers, situation.changed)
    return not any(done) and not situation.support
