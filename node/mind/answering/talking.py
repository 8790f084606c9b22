"""Talk: what the owner says without asking for a fact or an act. "Hello", "my sister is called Ana", "thank you".

By rule and in English: what is not surely talk is a goal, and is worked on. Pure.
"""

import re
from typing import Final

from node.mind.actions import Situation
from node.mind.relevance import salient_words

MAX_TALK_WORDS: Final = 40
"""What is longer may have a wish in it, and a wish is worked on."""

_GREETING: Final = re.compile(
    r"(hi|hello|hey|good (morning|afternoon|evening|night)|thanks|thank you|thx|ok|okay|great|nice|cool|wow|bye|"
    r"goodbye|see you|how are you|what'?s up|sorry|please|well done|yes|no|sure|never ?mind|nice to meet you)"
    r"(\b[^?]{0,40}|\b.{0,12}\?)[\s!.,?]*",
    re.IGNORECASE,
)
_STATEMENT: Final = re.compile(
    r"(i|i'm|i am|i've|i'll|i'd|we|we're|my|our|he|she|they|it|this|that|today|yesterday|tomorrow|remember)\b",
    re.IGNORECASE,
)
_WISH: Final = re.compile(
    r"\?|\b(i (want|need|wish|would like|'d like)|please|tell me|show me|find|calculate|compute|look up|search|send|"
    r"make|build|write|ask|delegate|sign|issue|check|what|who|whom|whose|which|when|where|why|how)\b",
    re.IGNORECASE,
)


def sounds_like_talk(text: str) -> bool:
    """Whether a text only tells or greets."""
    said = text.strip()
    if not said or len(said.split()) > MAX_TALK_WORDS:
        return False
    if _GREETING.fullmatch(said):
        return True
    return bool(_STATEMENT.match(said)) and not _WISH.search(said)


def is_talk(situation: Situation) -> bool:
    """Whether a goal is talk, and nothing was done for it that would be an answer."""
    done = (situation.tool_results, situation.asked, situation.delegated, situation.changed, situation.answers)
    return sounds_like_talk(situation.goal) and not any(done)


def greets(text: str) -> bool:
    """Whether there is nothing in it to be looked up."""
    return sounds_like_talk(text) and not salient_words(text)
