"""What asks for a fact, what for an act, and what wants something forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.deciding.asking import asks, asks_of_own_life, asks_of_twin, asks_who_i_am, looked_for, to_forget


@pytest.mark.parametrize(
    "goal",
    [
        "Who has the spare key?",
        "what is my sister called",
        "Where does she live?",
        "Tell me who has the spare key.",
        "Can you tell me when the boiler was serviced?",
        "Do you remember my wife's birthday?",
        "Hello! What is my name?",
        "And how much does it cost?",
        "Is the shop open? When does it close?",
        "Which twins do I know?",
    ],
)
def test_what_asks_for_a_fact(goal: str) -> None:
    assert asks(goal)


@pytest.mark.parametrize(
    "goal",
    [
        "Send Ana a message.",
        "Can you send Ana a message?",
        "Who has the key? Tell Ana about it.",
        "What is the time, and send it to Ana",
        "Do it",
        "How about signing it?",
        "Is this right, and then sign it",
        "Sign this",
        "My sister is Ana.",
        "Hello!",
        "",
        "who " * 200,
    ],
)
def test_what_asks_for_an_act_or_for_nothing(goal: str) -> None:
    assert not asks(goal)


@pytest.mark.parametrize(
    ("goal", "what"),
    [
        ("Forget what I told you about the boiler.", "the boiler"),
        ("Please forget about my dentist", "my dentist"),
        ("Can you forget that I like tea?", "I like tea"),
        ("Forget everything I said about Ana!", "Ana"),
        ("Forget it", None),
        ("forget that", None),
        ("I forget names", None),
        ("Don't forget the milk", None),
    ],
)
def test_what_is_to_be_forgotten(goal: str, what: str | None) -> None:
    assert to_forget(goal) == what


def test_what_asks_of_the_owners_own_life() -> None:
    for goal in ("Who is my dentist?", "Where do I work?", "What did I tell you yesterday?", "What is my wife's name?"):
        assert asks_of_own_life(goal), goal
    for goal in ("Where do I find good pizza?", "What should I cook?", "Who painted it?", "Send my bill"):
        assert not asks_of_own_life(goal), goal


def test_who_asks() -> None:
    for goal in ("Who am I?", "Do you know who I am?", "What's my name?", "do you remember me?"):
        assert asks_who_i_am(goal), goal
    for goal in ("Who am I to judge?", "What is my wife's name?", "Tell me"):
        assert not asks_who_i_am(goal), goal


@given(st.text(max_size=500))
def test_nothing_breaks_them(goal: str) -> None:
    asks(goal)
    assert to_forget(goal) is None or to_forget(goal)


@pytest.mark.parametrize(
    "goal", ["Who are you?", "what can you do", "Hi, what is your name?", "Help", "tell me what you can do"]
)
def test_what_asks_about_the_twin(goal: str) -> None:
    assert asks_of_twin(goal)


@pytest.mark.parametrize("goal", ["Who are you to me and my sister?", "What can you do about the boiler?", "Help Ana"])
def test_what_does_not(goal: str) -> None:
    assert not asks_of_twin(goal)


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        ("Do you remember where I work?", "where I work?"),
        ("Can you tell me when the boiler was serviced?", "when the boiler was serviced?"),
        ("Where do I work?", "Where do I work?"),
        ("Tell me about my sister", "about my sister"),
        ("Remind me to call Ana", "Remind me to call Ana"),
    ],
)
def test_what_leads_up_to_a_question_is_not_looked_for(goal: str, wanted: str) -> None:
    assert looked_for(goal) == wanted
