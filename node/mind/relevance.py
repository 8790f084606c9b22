"""What has to do with a goal: memories that can answer it, and topics of other twins.

Every threshold was measured with the embedded embedder, by `scripts/bench recall`; what they can and cannot tell apart
is in docs/decisions/recall.md.
"""

import re
from collections.abc import Sequence
from typing import Final

from node.inference.embedder import Embedder
from node.memory.memory import Recalled
from node.memory.noticing import TOLD

MIN_LIKENESS: Final = 0.40
"""Cosine from which a memory may answer a goal. It decides little alone: paraphrases score as low as lookalikes."""

MIN_TOLD_LIKENESS: Final = 0.2
"""The same for what the owner told, where it has every word of the goal: "Where do I work?", "I work as a nurse"."""

MIN_COVERAGE: Final = 2 / 3
"""Share of the goal's own words that a memory must hold to answer it: likeness alone takes one kiln for another."""

MIN_TOPIC_LIKENESS: Final = 0.25
"""Cosine of a goal and a twin's topics from which the twin may be asked: below it, it would only learn the goal."""

_WORD: Final = re.compile(r"[^\W_]{3,}")
_STEM_CHARS: Final = 6
"""Words that begin alike count as one: conductor and conducts, in any language that adds endings."""

_SAME: Final = {"called": "name", "named": "name", "names": "name"}
"""Words for the same thing in nearly every question of it: "What is her name?", "She is called Ana"."""

_COMMON: Final = frozenset(
    """
    about all and any anybody anyone anything are but can could did does find for from get give had has have her him his
    how its know list may might much must not our out please remember she should show some somebody someone
    something tell than that the their them then there these they this those was were what when where which who whom
    whose why will with would you your
    """.split()  # noqa: SIM905 - sixty quoted words are harder to read
)


def supports(goal: str, memory: Recalled) -> bool:
    """Whether a memory is close enough to answer the goal, in meaning and in words.

    One that has every rare word of the goal need not be close in meaning, nor need what the owner told in a short
    sentence that has every word of the goal; one that happened at the very time that the goal asks about answers it as
    it is.
    """
    if memory.asked_time:
        return True
    if (memory.source or "").startswith(TOLD) and memory.score >= MIN_TOLD_LIKENESS:
        wanted = salient_words(goal) - {"many"}  # "How many cats do I have?", "I have three cats"
        if wanted and wanted <= salient_words(memory.content):
            return True
    return answers(goal, memory.content, max(memory.score, MIN_LIKENESS) if memory.all_words else memory.score)


def answers(goal: str, text: str, likeness: float) -> bool:
    """Whether a text that is so alike to the goal (cosine) may answer it: its words decide as well."""
    if likeness < MIN_LIKENESS:
        return False
    wanted = salient_words(goal)
    return not wanted or len(wanted & salient_words(text)) / len(wanted) >= MIN_COVERAGE


def salient_words(text: str) -> frozenset[str]:
    """The stems of the words that carry the meaning: three letters or more, not common."""
    words = (word.lower() for word in _WORD.findall(text))
    said = (_SAME.get(word, word) for word in words if word not in _COMMON)
    return frozenset(word.removesuffix("s").removesuffix("e")[:_STEM_CHARS] for word in said)


def topic_likeness(embedder: Embedder, goal: str, twins: Sequence[Sequence[str]]) -> list[float]:
    """For the topics of each twin the best cosine of the goal to one of them, or to all of them together."""
    texts = [goal]
    spans = []
    for topics in twins:
        spans.append((len(texts), len(texts) + len(topics) + 1))
        texts += [*topics, ", ".join(topics)]
    vectors = embedder.embed(texts)
    return [float((vectors[start:end] @ vectors[0]).max()) for start, end in spans]
