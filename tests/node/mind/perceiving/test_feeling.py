import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.perceiving.feeling import MOODS, feeling


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("What is 17% of 2,430?", "neutral"),
        ("I am so happy today!", "happy"),
        ("I am not happy with this", "sad"),
        ("Thank you, I really appreciate it", "grateful"),
        ("This is RIDICULOUS and I HATE it", "angry"),
        ("I am worried and scared", "afraid"),
        ("The deadline is tomorrow and I am completely overwhelmed", "stressed"),
        ("I'm exhausted", "tired"),
        ("My grandmother died, I miss her", "sad"),
        ("I am not angry at all", "neutral"),
        ("I wonder how bees dance, it is fascinating", "curious"),
        ("Wow, amazing!!!", "excited"),
    ],
)
def test_the_mood_of_plain_sentences(text: str, mood: str) -> None:
    assert feeling(text)[0] == mood


def test_capitals_exclamation_marks_and_intensity_activate() -> None:
    calm, loud = feeling("I am angry")[1], feeling("I AM SO ANGRY!!!")[1]
    assert calm < loud <= 1
    assert feeling("I am slightly annoyed")[1] < feeling("I am extremely annoyed")[1]
    assert feeling("The NASA report")[1] == 0


@given(st.text(max_size=500))
def test_any_text_has_one_of_the_moods(text: str) -> None:
    mood, activation = feeling(text)
    assert mood in MOODS
    assert 0 <= activation <= 1
