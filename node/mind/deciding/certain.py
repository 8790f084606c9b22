"""Goals whose answer needs no model: one built-in tool gives the whole of it, the owner wants something forgotten, or
nothing is known. Pure."""

import re
import shlex
from datetime import date
from typing import Final

from node.mind.actions import Situation, ToolResult, UseTool
from node.mind.deciding.asking import asks, asks_of_own_life, to_forget
from node.mind.deciding.dates import answer_from
from node.mind.deciding.patterns import whole_call
from node.mind.relevance import salient_words

MIN_NEAR: Final = 0.2
"""Cosine from which a memory that has a word of the goal may have to do with it."""

_TOLD_YOU: Final = re.compile(
    r"\bwhat (?:did i|have i|i) (?:just |already )?(?:tell|told|say|said|mention)", re.IGNORECASE
)


_SIGNS: Final = {"divided by": "/", "times": "*", "multiplied by": "*", "plus": "+", "minus": "-", "x": "*"}
_FURTHER: Final = re.compile(
    r"(?:and |then |now |ok,? |what about )*(?P<sign>divided by|times|multiplied by|plus|minus|[-+*/x]) ?"
    r"(?P<number>\d+(?:\.\d+)?)[ ?!.]*",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(r"^[^=\n]{1,300} = (-?\d+(?:\.\d+)?)$")


def certain_call(situation: Situation) -> UseTool | None:
    """The one call whose result is the whole answer, as long as it was not made."""
    call = whole_call(_in_full(situation))
    if call is None or call[0] not in situation.tool_names or situation.tool_results:
        return None
    return UseTool(*call)


def certain_result(situation: Situation) -> ToolResult | None:
    """What that call gave, once it was made and worked."""
    call = whole_call(_in_full(situation))
    if call is None or len(situation.tool_results) != 1:
        return None
    result = situation.tool_results[0]
    return result if result.call == UseTool(*call) and result.error is None else None


def _in_full(situation: Situation) -> str:
    """The goal; where it goes on with a sum that was just answered ("and divided by 3?"), that sum."""
    further = _FURTHER.fullmatch(situation.goal.strip())
    before = _VALUE.search(situation.turns[-1].content) if further and situation.turns else None
    if further is None or before is None:
        return situation.goal
    value = f"({before[1]})" if before[1].startswith("-") else before[1]
    return f"{value} {_SIGNS.get(further['sign'].lower(), further['sign'])} {further['number']}"


def tells_time(result: ToolResult) -> bool:
    """Whether it is what the clock gives."""
    given = result.result
    return result.call.name == "clock" and isinstance(given, dict) and {"date", "time", "weekday"} <= given.keys()


def in_a_sentence(result: ToolResult, goal: str = "") -> str:
    """The result of such a call, as an answer to the goal."""
    given = result.result
    if tells_time(result) and (counted := answer_from(goal, date.fromisoformat(str(given["date"])))) is not None:
        return counted
    if tells_time(result):
        day = date.fromisoformat(str(given["date"]))
        return f"It is {str(given['time'])[:5]} on {given['weekday']}, {day.day} {day:%B %Y} ({given['timezone']})."
    value = given["result"] if isinstance(given, dict) and "result" in given else given
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{result.call.parameters.get('expression', result.call.name)} = {value}"


def how_to_forget(goal: str) -> str | None:
    """What to answer to a goal that wants something forgotten: the owner does that with a command, for it is for good.

    Nothing of it is quoted: the answer is itself remembered.
    """
    what = to_forget(goal)
    if what is None:
        return None
    return (
        "I have forgotten nothing yet: that is for good, so it takes a command of yours. It shows what would go, and "
        f"asks: pagi memory forget --query {shlex.quote(what)}"
    )


def told_then(situation: Situation) -> str | None:
    """What the owner told at the time that they ask about, in their words; None where they ask for something else."""
    then = [memory for memory in situation.support if memory.asked_time and not memory.outdated]
    if not then or not asks(situation.goal) or not _TOLD_YOU.search(situation.goal):
        return None
    told = sorted(then, key=lambda memory: memory.happened_ms)
    return "You told me:\n" + "\n".join(f"- {memory.content}" for memory in told)


def is_unknown(situation: Situation) -> bool:
    """Whether it asks for a fact of the owner's own life that nothing known speaks of: a model would make one up."""
    if not asks_of_own_life(situation.goal):
        return False
    known = (situation.support, situation.taught, situation.tool_results, situation.answers, situation.before)
    if any(known) or situation.helper is not None or any(one.result for one in situation.delegated):
        return False
    wanted = salient_words(situation.goal)
    recalled = [memory for memory in situation.recalled or () if memory.score >= MIN_NEAR]
    said = [turn.content for turn in situation.turns] + [memory.content for memory in recalled]
    return wanted.isdisjoint(salient_words(" ".join(said)))
