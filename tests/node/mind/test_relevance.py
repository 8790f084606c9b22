from dataclasses import replace

import pytest

from node.inference.embedder import WordLlamaEmbedder
from node.memory.memory import Recalled
from node.mind.relevance import (
    MIN_LIKENESS,
    MIN_TOPIC_LIKENESS,
    salient_words,
    supports,
    topic_likeness,
)
from tests.node.memory.fake import WordEmbedder

GOAL = "How much flour does the mill grind?"
MEMORY = Recalled(
    id="m1",
    kind="semantic",
    content="The mill can grind two tonnes of flour.",
    namespace="private",
    score=0.9,
    ts_ms=0,
    tags=(),
    source=None,
)


def test_a_memory_that_is_alike_and_has_the_words_supports_a_goal() -> None:
    assert supports(GOAL, MEMORY)
    assert not supports(GOAL, replace(MEMORY, score=MIN_LIKENESS - 0.01))
    assert supports("what is that?", MEMORY)  # no word of its own: likeness decides


@pytest.mark.parametrize(
    ("content", "enough"),
    [
        ("The kiln burns bricks.", False),  # alike in form, about something else
        ("The mill was built of flint.", False),
        ("The mill gives flour.", True),  # two of its three words
    ],
)
def test_how_many_words_of_the_goal_a_memory_must_have(content: str, enough: bool) -> None:
    assert supports(GOAL, replace(MEMORY, content=content)) is enough


@pytest.mark.parametrize(
    ("one", "other"),
    [("mills", "mill"), ("flashes", "flash"), ("conducts", "conductor"), ("Tide", "tides"), ("repaired", "repairs")],
)
def test_words_count_by_their_stems(one: str, other: str) -> None:
    assert salient_words(one) == salient_words(other)


def test_common_and_short_words_do_not_count() -> None:
    assert salient_words("What is the one of it, which GRINDS?") == salient_words("one grind")


def test_a_twin_is_as_likely_as_its_best_topic() -> None:
    embedder = WordEmbedder(dimensions=256)
    scores = topic_likeness(embedder, "flour mill", [("flour mill", "owls"), ("kiln",), ("flour", "mill")])
    assert scores == pytest.approx([1.0, 0.0, 0.7071], abs=0.001)
    assert topic_likeness(embedder, "flour mill", []) == []


@pytest.mark.slow
def test_the_thresholds_fit_the_embedder_that_we_ship() -> None:
    embedder = WordLlamaEmbedder()
    right, wrong = topic_likeness(embedder, GOAL, [("flour", "millstones"), ("telescopes", "comets")])
    assert right > MIN_TOPIC_LIKENESS > wrong
