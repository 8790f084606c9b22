"""What came together for a goal, put into words without a model. Pure."""

import json
from collections.abc import Iterator
from typing import Any, Final

from node.clock import rfc3339
from node.mind.actions import BuildTool, Changed, ImproveSelf, Situation, ToolResult
from node.mind.answering.answering import MAX_QUOTED_CHARS
from node.mind.answering.context import Given
from node.mind.answering.fencing import cut
from node.mind.answering.links import without_made_up_links
from node.mind.deciding.certain import in_a_sentence, tells_time
from node.mind.deciding.solving import CALCULATOR

MAX_ACT_CHARS: Final = 600
"""Of an action that was not allowed, or was done, in the answer: the steps have the whole of it."""


def acts_of(situation: Situation) -> list[str]:
    """What was done to the world for the goal, a line each: a model may say that it did not do what it did."""
    looks = {info.name for info in situation.tools if info.effect == "none"}
    return [_act(one, situation.goal) for one in situation.tool_results if one.call.name not in looks]


def left_unsaid(situation: Situation, text: str) -> list[str]:
    """The sums whose value is not in an answer: a small model says how to work it out, and forgets to say what came."""
    sums = [in_a_sentence(one) for one in situation.tool_results if one.call.name == CALCULATOR and one.error is None]
    return [one for one in sums if one.rpartition(" = ")[2] not in text.replace(",", "")]


def _act(one: ToolResult, goal: str) -> str:
    given = cut(json.dumps(dict(one.call.parameters), ensure_ascii=False), MAX_ACT_CHARS)
    given = without_made_up_links(given, goal)  # a model may have put it together
    came = f", and it failed: {one.error}" if one.error is not None else f". It gave {readable(one.result)}"
    return f"I used {one.call.name} with {given}{came}"


def told_before(situation: Situation) -> str:
    """What was so before and was corrected, with the day on which it was told."""
    outdated = [memory for memory in situation.support if memory.outdated]
    return "; ".join(f"{rfc3339(memory.happened_ms)[:10]} “{memory.content[:MAX_QUOTED_CHARS]}”" for memory in outdated)


def origin_of(situation: Situation) -> tuple[str, list[tuple[str, str]]]:
    """Where an answer comes from first of all, and the texts it rests on with their ids."""
    if any(one.error is None for one in situation.tool_results):
        return "tool", []
    if situation.support:
        return "memory", [(memory.id, memory.content) for memory in situation.support if not memory.outdated]
    if situation.taught:
        return "playbook", [(one.bullet.id, one.bullet.text) for one in situation.taught]
    if situation.helper is not None and situation.helper.answer is not None:
        return "twin", [(source.memory_id, source.text) for source in situation.helper.answer.sources]
    if any(one.result for one in situation.delegated):
        return "swarm", []
    return ("owner" if situation.answers else "nothing"), []


def named_origin(situation: Situation, origin: str, playbook: str) -> str:
    """The origin as the answer names it."""
    match origin:
        case "memory":
            return "from memory"
        case "playbook":
            first = situation.taught[0].bullet
            return f"from playbook {playbook}, taught by {first.author}, lesson"
        case "twin":
            assert situation.helper is not None
            return f"from {situation.helper.candidate.did}, its memory"
        case "tool":
            worked = (one.call.name for one in situation.tool_results if one.error is None)
            return f"with {', '.join(dict.fromkeys(worked))}"
        case "swarm":
            return f"from {next(one.worker for one in situation.delegated if one.result)}, given as a task"
        case _:
            return "from what you said"


def stated_in(situation: Situation) -> Iterator[tuple[str, str]]:
    """What stands by itself, without a model to word it: (origin, text)."""
    for one in situation.tool_results:
        gave = f"{one.call.name}: {readable({'error': one.error} if one.error else one.result)}"
        yield "tool", in_a_sentence(one, situation.goal) if tells_time(one) else gave
    for change in situation.changed:
        yield "change", _change_in_words(change)
    for given in situation.delegated:
        if given.result:
            yield "swarm", f"{given.result}\n(from {given.worker}, as task {given.task_id})"


def _change_in_words(change: Changed) -> str:
    match change.what:
        case BuildTool(name, description) if change.error is None:
            return f"The tool {name} is there now: {description} (`pagi tools --remove {name}` takes it away.)"
        case BuildTool(name):
            return f"I could not build the tool {name}: {change.error}"
        case ImproveSelf(section, text) if change.error is None:
            return f"I will go by this from now on: {text} (in the playbook, under {section})"
        case ImproveSelf():
            return f"I could not write that into the playbook: {change.error}"


def results_of(situation: Situation) -> Iterator[Given]:
    """All that came back for the goal, for the prompt."""
    for part in situation.before:
        yield Given(f"the part before, {part.goal}", part.answer or part.status)
    for one in situation.tool_results:
        came = f"gave {readable(one.result)}" if one.error is None else f"failed and gave nothing ({one.error})"
        yield Given(f"tool {one.call.name}", f"{dict(one.call.parameters)} {came}")
    for fitting in situation.taught:
        yield Given(f"playbook lesson by {fitting.bullet.author}", fitting.bullet.text, private=False)
    for asked in situation.asked:
        if asked.helped and asked.answer is not None:
            yield Given(f"the twin {asked.candidate.name}", asked.answer.answer)
    for given in situation.delegated:
        yield Given(f"task {given.task_id}", given.result or given.error or "")
    for change in situation.changed:
        yield Given("a change of this twin", change.error or change.made or "")
    for said in situation.answers:
        yield Given("the owner, asked " + said.question, said.answer)


def readable(result: Any) -> str:
    """A tool's result as text."""
    if isinstance(result, dict):
        return str(result["result"]) if "result" in result else ", ".join(f"{k}: {v}" for k, v in result.items())
    return str(result)
