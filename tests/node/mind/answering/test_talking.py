"""What is talk, and what needs no model to be replied to."""

import pytest

from node.mind.answering.talking import courtesy, only_states, sounds_like_talk


@pytest.mark.parametrize(
    "text",
    [
        "haha you're funny",
        "You are wrong, I have three cats now.",
        "Thanks a lot!",
    ],
)
def test_what_only_tells_is_talk(text: str) -> None:
    assert sounds_like_talk(text)


@pytest.mark.parametrize(
    "text", ["The light is on, turn it off", "The report is late; write to Anna", "You should send it", "Is it late?"]
)
def test_what_wants_something_is_not(text: str) -> None:
    assert not sounds_like_talk(text)


def test_what_only_says_what_something_is() -> None:
    assert only_states("The wifi password is hunter2-Xy99!")
    assert not only_states("The light is on, turn it off")
    assert not only_states("What is the code?")


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ("Hi again", "Hello, Clara."),
        ("good night mia!", "Good night, Clara."),
        ("How are you today?", "I am well, thank you, Clara."),
        ("ok, thanks", "You are welcome, Clara."),
        ("thank you for telling me about the boiler", None),
        ("Hello, what is in the cellar?", None),
    ],
)
def test_a_greeting_is_returned(said: str, reply: str | None) -> None:
    assert courtesy(said, "Clara") == reply


def test_whose_name_is_not_known_is_greeted_without() -> None:
    assert courtesy("Hello", None) == "Hello."
