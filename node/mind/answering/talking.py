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
    r"goodbye|see you|how are you|what'?s up|sorry|please|well done|yes|no|sure|never ?mind|nice to meet you|"
    r"(?:ha){2,6}h?|lol|oops|oh|aha|hm+)"
    r"(\b[^?]{0,40}|\b.{0,12}\?)[\s!.,?]*",
    re.IGNORECASE,
)
_STATEMENT: Final = re.compile(
    r"(i|i'm|i am|i've|i'll|i'd|we|we're|my|our|he|she|they|it|this|that|today|yesterday|tomorrow|remember|you)\b",
    re.IGNORECASE,
)
_THING: Final = re.compile(r"(?:and )?(?:the|here is|here's) [\w' -]{1,40}? (?:is|are):? \S{1,200}", re.IGNORECASE)
_WISH: Final = re.compile(
    r"\?|\b(i (want|need|wish|would like|'d like)|please|tell me|show me|find|calculate|compute|look up|search|send|"
    r"make|build|write|ask|delegate|sign|issue|check|what|who|whom|whose|which|when|where|why|how)\b",
    re.IGNORECASE,
)


_COURTESIES: Final = tuple(
    (re.compile(rf"(?:{said})(?: [\w']+){{0,3}}[\s!.,?]*", re.IGNORECASE), reply)
    for said, reply in (
        (r"(?:hi|hello|hey)(?:,? how are you)?", "Hello"),
        ("good morning", "Good morning"),
        ("good afternoon", "Good afternoon"),
        ("good evening", "Good evening"),
        ("good night", "Good night"),
        ("bye|goodbye|see you", "Goodbye"),
        ("how are you|how is it going|how's it going", "I am well, thank you"),
        ("(?:ok(?:ay)?,? |great,? )?(?:thanks|thank you|thx)", "You are welcome"),
    )
)


def courtesy(text: str, owner: str | None) -> str | None:
    """The reply to a greeting or thanks and nothing more, where no capable model talks."""
    reply = next((reply for said, reply in _COURTESIES if said.fullmatch(text.strip())), None)
    if reply is None:
        return None
    return f"{reply}, {owner}." if owner else f"{reply}."


def sounds_like_talk(text: str) -> bool:
    """Whether a text only tells or greets."""
    said = text.strip()
    if not said or len(said.split()) > MAX_TALK_WORDS:
        return False
    if _GREETING.fullmatch(said):
        return True
    return bool(_STATEMENT.match(said)) and not _WISH.search(said)


def only_states(text: str) -> bool:
    """Whether a text says what something is, and nothing else: "The code is 1234"."""
    return _THING.fullmatch(text.strip()) is not None


def is_talk(situation: Situation) -> bool:
    """Whether a goal is talk, and nothing was done for it that would be an answer."""
    done = (situation.tool_results, situation.asked, situation.delegated, situation.changed, situation.answers)
    return sounds_like_talk(situation.goal) and not any(done)


def greets(text: str) -> bool:
    """Whether there is nothing in it to be looked up."""
    return sounds_like_talk(text) and not salient_words(text)
