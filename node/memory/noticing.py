"""What the owner tells of themselves in passing: "my sister is Ana", "I prefer tea", "remember that …".

By rule, sentence by sentence, in English. What is noticed becomes a private semantic memory in the owner's own words,
made from the turn that it was said in: it is forgotten with it. Questions, guesses and what looks like a secret are not
kept, unless the owner says to remember it.
"""

import logging
import re
from typing import Final

from identity.errors import PagiError
from node.memory.memory import Memory
from node.memory.record import NewMemory
from storage import memories

logger = logging.getLogger(__name__)

TOLD: Final = "told"
"""The source of what the owner said themselves."""

MAX_LOOKED_AT_CHARS: Final = 4000
"""Of what was said. Whoever pastes more is not speaking of themselves."""

MAX_FACT_CHARS: Final = 300
MAX_FACTS: Final = 5
"""Of one turn."""

ASKED_IMPORTANCE: Final = 0.8
"""Of what the owner asked to remember."""

_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.](?=\d)[^.!?\n]*)*[.!?]*")
_REMEMBER: Final = re.compile(
    r"^(?:please |also |and |so |ok(?:ay)?,? |hey,? )*(?:(?:can|could|will) you )?(?:please )?"
    r"(?:remember|note|keep in mind|don'?t forget|do not forget)(?: down)?(?: that|:|,)? +(?!to )(?P<what>\S.+)$",
    re.IGNORECASE,
)
_ABOUT_ME: Final = re.compile(
    r"^(?:(?:by the way|btw|well|also|and|but|so|actually|yes|no|oh|fyi|hi|hello|hey|now),? )*(?P<what>(?:"
    r"my (?!(?:question|point|guess|goal|code|script|program|file|idea|understanding|problem)\b)[\w' -]{2,60}?"
    r" (?:is|are|was|were|lives?|works?|likes?|prefers?|has|have|hates?|loves?|starts?|ends?|died|drives?|plays?"
    r"|speaks?|studies|teaches|moved|changed|owns?|drinks?|eats?|cooks?|collects?|comes?|goes|went|got|became|turned)\b"
    r"|the (?:new |old )?[\w-]{2,30} of my [\w' -]{2,40}? (?:is|are|was|were|has|have)\b"
    r"|i(?: am|'m)(?: (?:called|named|allergic to|married|vegetarian|vegan|from|a|an|born|retired|living|\d{1,3})\b)"
    r"|i (?:really |usually |always |never |also |now |just )*(?:live|work|prefer|like|love|hate|own|play|study|studied"
    r"|speak|drive|moved|grew up|was born|drink|eat|collect|teach|have an? (?!question|idea|problem|doubt|look))\b"
    r"|i (?:do not|don'?t) (?:like|eat|drink|drive|want to be called)\b"
    r"|i (?:have|had) (?:two|three|four|five|six|\d{1,2}) \w+"
    r"|call me \w+|we (?:live|have an?|moved|own|are married|got married)\b"
    r").*)$",
    re.IGNORECASE,
)
_NO_FACT: Final = re.compile(
    r"[?]$|\b(?:it|this|that|them)[.!]*$"
    r"|\b(?:if|maybe|perhaps|suppose|imagine|pretend|wonder|might|would|could)\b"
    r"|\b(?:pass(?:word|phrase|code|wd)|pin(?: code)?|cvv|secret|api[- ]?key|token|private key|seed phrase|iban"
    r"|card number|social security)\b",
    re.IGNORECASE,
)
"""Questions, what points elsewhere, guesses, and what looks like a secret."""

_DANGLING: Final = re.compile(r"^(?:me|this|it|that|the following|my)[.:!?]*$", re.IGNORECASE)


def noticed(said: str) -> list[tuple[str, bool]]:
    """What a text tells of its author, in their words; True where they asked to remember it. Pure."""
    found: dict[str, bool] = {}
    for match in _SENTENCE.finditer(said[:MAX_LOOKED_AT_CHARS]):
        sentence = " ".join(match[0].split())
        if len(sentence) > MAX_FACT_CHARS:
            continue
        asked = _REMEMBER.match(sentence)
        if asked is not None:
            if not _DANGLING.match(asked["what"]):
                found.setdefault(_clean(asked["what"]), True)
        elif (told := _ABOUT_ME.match(sentence)) is not None and not _NO_FACT.search(sentence):
            found.setdefault(_clean(told["what"]), False)
    return list(found.items())[:MAX_FACTS]


def _clean(text: str) -> str:
    text = text.strip().rstrip(".!?")
    return text[:1].upper() + text[1:]


class Noticing:
    """Keeps what is noticed in what the owner says."""

    def __init__(self, memory: Memory, *, enabled: bool = True) -> None:
        self._memory = memory
        self._enabled = enabled

    async def heard(self, said: str, *, turn_id: str | None = None, session_id: str | None = None) -> list[str]:
        """Keep what the owner tells of themselves in a turn; the ids. That it cannot be kept is no error of the turn.

        `turn_id` is the memory that holds the turn: what is noticed is forgotten with it.
        """
        if not self._enabled or not (facts := noticed(said)):
            return []
        sources = []
        if turn_id is not None:
            turn = await self._memory.get(turn_id)
            if turn is None:
                return []
            sources = [turn.seq]
        kept = []
        for fact, asked in facts:
            item = NewMemory(
                kind="semantic",
                content=fact,
                source=TOLD,
                session_id=session_id,
                importance=ASKED_IMPORTANCE if asked else memories.DEFAULT_IMPORTANCE,
            )
            try:
                memory_id = await self._memory.add_made_from(item, sources)
            except PagiError as error:
                logger.warning("what was told in passing was not kept: %s", error)
                break
            if memory_id is not None:
                kept.append(memory_id)
        return kept
