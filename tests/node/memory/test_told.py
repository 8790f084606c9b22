"""What a text tells of its author, and what is no fact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.memory.told import MAX_FACT_CHARS, MAX_FACTS, asks_to_remember, noticed


@pytest.mark.parametrize(
    ("said", "facts"),
    [
        ("My sister is Ana.", ["My sister is Ana"]),
        ("I prefer tea. What is the weather?", ["I prefer tea"]),
        ("By the way, I'm allergic to peanuts! Can you book?", ["I'm allergic to peanuts"]),
        ("Remember that the boiler was serviced on 3.5.2024.", ["The boiler was serviced on 3.5.2024"]),
        ("Can you remember that I park in row 7?", ["I park in row 7"]),
        ("remember that the safe code is 1234", ["The safe code is 1234"]),
        ("Our dog is called Biscuit.", ["Our dog is called Biscuit"]),
        ("I take my coffee black, without sugar.", ["I take my coffee black, without sugar"]),
        ("On Thursdays I play chess at the club.", ["On Thursdays I play chess at the club"]),
        ("We spend August on the island of Vis.", ["We spend August on the island of Vis"]),
        ("I once broke my left wrist skiing.", ["I once broke my left wrist skiing"]),
        ("My sister Ana repairs violins.", ["My sister Ana repairs violins"]),
        ("Our dog is called Biscuit and he is old.", ["Our dog is called Biscuit", "Our dog is old"]),
        ("I paid the bill with 4111 1111 1111 1111 today.", []),
        ("I set the router to aB3dE5gH7 last week.", []),
        ("My tasks for today", []),
        ("My notes of the meeting", []),
        ("I run far, my best time is 1:41.", ["I run far, my best time is 1:41"]),
        ("I bought 3 apples for 2 euros each. How much did I pay?", []),
        ("I gave your list to my wife.", []),
        ("I think the bridge is green", []),
        ("I want to book a flight to Rome.", []),
        ("I tried that and it did not work.", []),
        ("I have to go now.", []),
        ("We should talk about the plan.", []),
        ("I wrote the following: nothing works", []),
        ("Write a letter to my wife", []),
        ("My password is hunter2.", []),
        ("If my dog is ill, what then", []),
        ("My code is broken", []),
        ("I like it", []),
        ("remember to buy milk", []),
        ("Remember this:", []),
        ("Is my sister Ana?", []),
        ("", []),
    ],
)
def test_what_is_noticed(said: str, facts: list[str]) -> None:
    assert [fact.text for fact in noticed(said)] == facts


@given(st.text(max_size=400))
def test_nothing_breaks_it_and_it_is_bounded(said: str) -> None:
    found = noticed(said)
    assert len(found) <= MAX_FACTS
    assert all(0 < len(fact.text) <= 2 * MAX_FACT_CHARS for fact in found)


def test_a_megabyte_is_looked_at_only_at_its_beginning() -> None:
    assert noticed("my cat is " * 100_000) == []


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Hello, I am Tom.", "Tom"),
        ("Hi! I'm Tom", "Tom"),
        ("Good morning, my name is tom.", "Tom"),
        ("My name is Anna Maria", "Anna Maria"),
        ("Please call me Ishmael.", "Ishmael"),
        ("This is Tom speaking.", "Tom"),
        ("I am Italian.", None),
        ("I am British", None),
        ("I am tired", None),
        ("I am Tom's brother", None),
        ("Is my name Tom?", None),
        ("Maybe I am Tom", None),
    ],
)
def test_what_the_author_is_called(said: str, name: str | None) -> None:
    names = [fact.text for fact in noticed(said) if fact.name]
    assert names == ([] if name is None else [f"My name is {name}"])


def test_a_sentence_that_tells_two_things_becomes_two_facts() -> None:
    said = "My sister is called Ana and she lives in Porto. I work as a carpenter and I prefer tea."
    assert [fact.text for fact in noticed(said)] == [
        "My sister is called Ana",
        "My sister lives in Porto",
        "I work as a carpenter",
        "I prefer tea",
    ]
    assert [fact.text for fact in noticed("I like bread and butter and jam")] == ["I like bread and butter and jam"]


@pytest.mark.parametrize(
    ("said", "before", "facts"),
    [
        (
            "No, she moved to Lisbon.",
            ["My brother is Ben", "My sister lives in Porto"],
            ["My sister lives in Lisbon now"],
        ),
        ("Sorry, he works in Rome", ["My sister is Ana", "My brother is Ben"], ["My brother works in Rome"]),
        ("She is a doctor.", ["Ana is my friend"], ["Ana is a doctor"]),
        ("She is a doctor.", ["My name is Tom"], []),
        ("She is a doctor.", [], []),
        ("I moved to Lisbon.", [], ["I live in Lisbon now"]),
        ("My brother moved to New York two years ago.", [], ["My brother lives in New York now (moved two years ago)"]),
        ("My sister is Ana. She lives in Porto.", [], ["My sister is Ana", "My sister lives in Porto"]),
    ],
)
def test_whom_a_pronoun_means(said: str, before: list[str], facts: list[str]) -> None:
    assert [fact.text for fact in noticed(said, before)] == facts


def test_what_was_asked_for_is_known() -> None:
    assert asks_to_remember("Remember that I park in row 7.")
    assert not asks_to_remember("I live in Rome.")
