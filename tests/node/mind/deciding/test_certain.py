"""Goals whose answer needs no model."""

from dataclasses import replace
from typing import Any

import pytest

from node.inference.engine import ChatTurn
from node.mind.actions import Situation, ToolResult, UseTool
from node.mind.deciding.certain import certain_call, certain_result, how_to_forget, in_a_sentence, is_unknown, told_then
from tests.node.mind.deciding.test_deciding import TOOLS, memory

SUM = UseTool("calculator", {"expression": "17 * 23"})
NOW = {"date": "2026-11-20", "time": "15:48:47", "weekday": "Friday", "timezone": "CET"}


def situation(goal: str, **known: Any) -> Situation:
    return Situation(goal=goal, steps_left=8, **{"tools": TOOLS, "recalled": [], **known})


def test_one_call_is_the_whole_answer() -> None:
    asked = situation("What is 17 * 23?")
    assert certain_call(asked) == SUM
    assert certain_call(replace(asked, tools=())) is None
    done = replace(asked, tool_results=[ToolResult(SUM, {"result": 391})])
    result = certain_result(done)
    assert certain_call(done) is None
    assert result is not None
    assert in_a_sentence(result) == "17 * 23 = 391"
    assert certain_result(replace(asked, tool_results=[ToolResult(SUM, None, "it broke")])) is None
    assert certain_result(situation("What is 17 * 23 crowns?", tool_results=[ToolResult(SUM, 391)])) is None


def test_a_sum_goes_on() -> None:
    answered = [ChatTurn("user", "what is 12 * 8.5"), ChatTurn("assistant", "12 * 8.5 = 102")]
    for goal, expression in (
        ("and divided by 3?", "102 / 3"),
        ("plus 7", "102 + 7"),
        ("then times 2.5", "102 * 2.5"),
    ):
        call = certain_call(situation(goal, turns=answered))
        assert call == UseTool("calculator", {"expression": expression})
        done = situation(goal, turns=answered, tool_results=[ToolResult(call, {"result": 34})])
        assert certain_result(done) is not None
    assert certain_call(situation("and divided by 3?")) is None
    assert certain_call(situation("and divided by 3?", turns=[ChatTurn("assistant", "It is 3 o'clock")])) is None


def test_days_are_counted_from_the_clocks() -> None:
    goal = "What's the date in three weeks?"
    call = certain_call(situation(goal))
    assert call == UseTool("clock", {})
    assert in_a_sentence(ToolResult(call, NOW), goal) == "Friday, 11 December 2026."


def test_a_share_is_a_sum() -> None:
    call = certain_call(situation("How much is 15 percent of 240?"))
    assert call == UseTool("calculator", {"expression": "240 * 15 / 100"})
    assert in_a_sentence(ToolResult(call, {"result": 36.0})) == "240 * 15 / 100 = 36"
    assert certain_call(situation("15 percent of 240 guests")) is None


def test_the_time_is_said_as_people_say_it() -> None:
    call = certain_call(situation("What time is it?"))
    assert call == UseTool("clock", {})
    assert in_a_sentence(ToolResult(call, NOW)) == "It is 15:48 on Friday, 20 November 2026 (CET)."
    assert certain_call(situation("What time is it in Berlin?")) is None


def test_what_is_to_be_forgotten_is_for_the_owner_to_do() -> None:
    assert "pagi memory forget --query 'my dentist'" in (how_to_forget("Forget about my dentist.") or "")
    assert how_to_forget("Where is my dentist?") is None


def test_a_fact_of_the_owners_life_that_nobody_told_is_unknown() -> None:
    assert is_unknown(situation("Who is my dentist?"))
    assert not is_unknown(situation("Who is my dentist?", recalled=[memory("The dentist is Dr Bo", score=0.3)]))
    assert not is_unknown(situation("Who is my dentist?", turns=[ChatTurn("user", "The dentist called.")]))
    assert not is_unknown(situation("Who painted the Night Watch?"))


@pytest.mark.parametrize("outdated", [False, True])
def test_what_was_told_then_is_listed_in_the_owners_words(outdated: bool) -> None:
    memories = [
        replace(memory("I like tea", score=0.1), asked_time=True, happened_ms=2),
        replace(memory("I live in Rome", score=0.1), id="2", asked_time=True, happened_ms=1, outdated=outdated),
    ]
    told = told_then(situation("What did I tell you yesterday?", recalled=memories))
    rome = "" if outdated else "- I live in Rome\n"
    assert told == f"You told me:\n{rome}- I like tea"
    assert told_then(situation("What did we do yesterday?", recalled=memories)) is None
