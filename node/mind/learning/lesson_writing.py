"""What a model is asked for when it is to make a rule of corrections, and what is made of its answer."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from node.inference.engine import ChatRequest, ChatTurn
from storage.feedback import Feedback

MAX_RULE_CHARS: Final = 300
"""Two sentences with a formula. It stands in every prompt that it fits."""

MIN_RULE_CHARS: Final = 12

MAX_SHOWN_CHARS: Final = 500
"""Of a goal, and of what was right: what is longer is a document."""

_MAX_TOKENS: Final = 140

_INSTRUCTIONS: Final = (
    "You read questions that were answered wrongly, with what is right and why. Write the one rule that makes all "
    "questions of this kind answered rightly. The rule is general: it begins with what it is about, in the words of "
    "the questions; it says how the answer comes about; it holds the constants that stay the same in all of them; and "
    "it has names in place of what differs from question to question."
)

_EXAMPLE: Final = (
    "Question: What does our taxi cost for 12 km?\nRight: 34 (4 + 12 * 2.5)\n\n"
    "Question: What is the fare of our taxi for 7 km?\nRight: 21.5 (4 + 7 * 2.5)",
    "The fare of our taxi is 4 + 2.5 * the kilometres.",
)

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"rule": {"type": "string", "minLength": 1, "maxLength": MAX_RULE_CHARS}},
    "required": ["rule"],
    "additionalProperties": False,
}


def asking(failures: Sequence[Feedback], *, attempt: int) -> ChatRequest:
    """The request for a rule. The first attempt is the likeliest rule, each further one another."""
    told = "\n\n".join(_told(failure) for failure in failures)
    turns = (
        ChatTurn("system", _INSTRUCTIONS),
        ChatTurn("user", _EXAMPLE[0]),
        ChatTurn("assistant", orjson.dumps({"rule": _EXAMPLE[1]}).decode()),
        ChatTurn("user", told),
    )
    return ChatRequest(
        turns=turns,
        max_tokens=_MAX_TOKENS,
        temperature=0.8 if attempt else 0.0,
        seed=attempt,
        json_schema=_SCHEMA,
        private=True,
    )


def rule_in(text: str) -> str | None:
    """The rule that a model wrote, on one line; None if it is none."""
    try:
        written = orjson.loads(text)
    except orjson.JSONDecodeError:  # cut short
        return None
    rule = written.get("rule") if isinstance(written, dict) else None
    if not isinstance(rule, str):
        return None
    rule = " ".join(rule.split())
    return rule if MIN_RULE_CHARS <= len(rule) <= MAX_RULE_CHARS else None


def _told(failure: Feedback) -> str:
    """A failure for the model: what a right answer may be off by is no part of it."""
    right = _one_line((failure.expected or "").partition("±")[0])
    why = f" ({_one_line(failure.because)})" if failure.because else ""
    return f"Question: {_one_line(failure.goal)}\nRight: {right}{why}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_SHOWN_CHARS]
