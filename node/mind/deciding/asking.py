"""What kind of goal it is by its words: one that asks for a fact, or one that has things forgotten. Pure, in English.

What asks for a fact is answered from what is known, and never by a tool that acts. A request in the form of a question
("Can you send …?") asks for an act.
"""

import re
from typing import Final

MAX_QUESTION_CHARS: Final = 400
"""A longer goal is more than a question."""

_OPENING: Final = r"(?:(?:and|but|so|now|ok(?:ay)?|hey|hi|hello|well|please|then|by the way)[,\s]+)*"
_ASKED_FOR: Final = (
    r"(?:(?:(?:can|could|will|would) you (?:please )?)?(?:tell me|remind me|say)(?: again)?[,:\s]+"
    r"|(?:do you (?:still )?(?:know|remember)|i (?:want|would like|'d like) to know|i wonder)[,:\s]+)?"
)
_WORD: Final = (
    r"(?:who|whom|whose|who's|what|what's|when|when's|where|where's|which|how|how's|is|are|am|was|were|does|did|has"
    r"|have|had|should|if|whether|do(?! (?:it|this|that|so)\b)"
    r"|(?:about|in|on|at|for|from|to|with|since) (?:which|what|whom))\b(?! about \w+ing\b)"
)
_LEADING_UP: Final = re.compile(_OPENING + _ASKED_FOR, re.IGNORECASE)
_QUESTION: Final = re.compile(_OPENING + _ASKED_FOR + _WORD, re.IGNORECASE)
_OF_MEMORY: Final = re.compile(
    _OPENING + r"(?:(?:do|can|could) you (?:still )?(?:know|remember)|tell me (?:what you know )?about"
    r"|remind me (?:of|about))\b",
    re.IGNORECASE,
)
_GREETING: Final = re.compile(
    r"(?:hi|hello|hey|thanks|thank you|good (?:morning|evening|afternoon))\b.{0,30}[!.,]$", re.I
)
_SENTENCE_END: Final = re.compile(r"(?<=[?.!])\s+")
_ACT_AFTER: Final = re.compile(
    r"\b(?:and|then)(?: then)? (?:please |also |just )?(?:send|tell|write|sign|issue|make|post|push|pull|print|add|put"
    r"|book|order|call|buy|pay|delete|remove|set|switch|turn|open|close|lock|start|stop|save|note|remind|message|mail"
    r"|email|publish|share|ask|give|forward|schedule|create|encode|convert|build|find|look|check|verify|plan)\b",
    re.IGNORECASE,
)
_FORGET: Final = re.compile(
    _OPENING + r"(?:(?:can|could|will|would) you )?(?:please )?forget (?:about |all about |everything about )?"
    r"(?:(?:that|what|everything|all)(?: that)? i (?:\w+ )?(?:told|said)(?: to)?(?: you)? (?:about|of|on) |that )?"
    r"(?P<what>\S.*?)[\s.!?]*$",
    re.IGNORECASE,
)
_OWN_FACT: Final = re.compile(
    r"(?:and |so |but )?(?:do you (?:know|remember) )?"
    r"(?:who|whom|what|when|where|which|how (?:old|much|many|long|tall|often))\b"
    r"[\w' -]{0,30}?\b(?:is|are|was|were|did|do|does|has|have|'s) (?:my|our|i|we)\b"
    r"(?! (?:find|get|buy|start|begin|put|need|use|make|know if|have to|best)\b)",
    re.IGNORECASE,
)
_WHO_AM_I: Final = re.compile(
    r"(?:and |so |hey,? |hello,? |hi,? )*(?:do you (?:still )?(?:know|remember) )?(?:who (?:am i|i am)|me|my name"
    r"|what(?:'s| is) my name|what i am called|what am i called)[ ?!.]*",
    re.IGNORECASE,
)
_OF_TWIN: Final = re.compile(
    r"(?:and |so |hey,? |hello,? |hi,? )*(?:(?:can you |please )?tell me )?"
    r"(?:who (?:are you|you are)|what (?:are you|you are)|what(?:'s| is) your name|what are you called"
    r"|introduce yourself|what you can do|help(?: me)?"
    r"|(?:what|how) (?:can|could|do) you (?:do|help)(?: me)?(?: for me| with)?)[ ?!.]*",
    re.IGNORECASE,
)
_NOTHING: Final = re.compile(r"(?:it|that|this|them|everything|all|me|about it)(?: (?:please|now))?", re.IGNORECASE)


def asks(goal: str) -> bool:
    """Whether a goal asks for a fact, and for nothing to be done: every sentence of it is a question."""
    if len(goal) > MAX_QUESTION_CHARS or _ACT_AFTER.search(goal):
        return False
    sentences = [one for one in _SENTENCE_END.split(goal.strip()) if one.strip(" ?.!") and not _GREETING.match(one)]
    return bool(sentences) and all(_QUESTION.match(one) or _OF_MEMORY.match(one) for one in sentences)


def looked_for(goal: str) -> str:
    """What to look for in memory for a goal: a question without the words that lead up to it ("Do you remember …"),
    which are alike to nothing."""
    rest = goal[found.end() :].strip() if (found := _LEADING_UP.match(goal)) and asks(goal) else ""
    return rest if len(rest.split()) > 1 else goal


def asks_of_own_life(goal: str) -> bool:
    """Whether a goal asks for a fact of the owner's own life, which only the owner can have told."""
    return bool(_OWN_FACT.match(goal.strip())) and asks(goal)


def asks_who_i_am(goal: str) -> bool:
    """Whether a goal asks what its author is called."""
    return bool(_WHO_AM_I.fullmatch(goal.strip()))


def asks_of_twin(goal: str) -> bool:
    """Whether a goal asks who the twin is, or what it can do, and nothing else."""
    return bool(_OF_TWIN.fullmatch(goal.strip()))


def to_forget(goal: str) -> str | None:
    """What a goal wants forgotten, in its words; None if it wants nothing forgotten, or does not say what."""
    found = _FORGET.fullmatch(goal.strip()) if len(goal) <= MAX_QUESTION_CHARS else None
    if found is None or _NOTHING.fullmatch(found["what"]):
        return None
    return found["what"]
