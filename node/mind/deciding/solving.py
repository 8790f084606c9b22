"""Working a question out: a capable model writes the arithmetic, the calculator does it.

A model of this size knows formulas and cannot multiply. Rules that the twin was taught stand before what the model
knows. A question that needs no arithmetic is none of this module's: it says so by giving None.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from identity.errors import PagiError
from node.inference.engine import ChatRequest, ChatTurn, Engine
from node.mind.learning.generalising import is_about
from plugins.host import PluginHost

logger = logging.getLogger(__name__)

CALCULATOR: Final = "calculator"

MAX_EXPRESSION_CHARS: Final = 200
"""Less than the calculator takes; a model that writes more is lost in repetition."""

_MAX_TOKENS: Final = 120

_INSTRUCTIONS: Final = (
    "You turn a question into one arithmetic expression whose value is the answer. Use numbers, + - * / ** ( ) and "
    "round, floor, ceil, sqrt, min, max. Where a rule fits the question follow it exactly, even if you know another "
    "way. If nothing is to be worked out, leave the expression empty."
)

_EXAMPLES: Final = (
    ("Rules:\n- A dozen is 12 pieces.\n\nQuestion: How many eggs are 7 dozen?", "7 * 12"),
    ("Rules:\n(none)\n\nQuestion: What is 15 percent of 240 guests?", "240 * 15 / 100"),
    ("Rules:\n(none)\n\nQuestion: Who wrote the report?", ""),
)

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"expression": {"type": "string", "maxLength": MAX_EXPRESSION_CHARS}},
    "required": ["expression"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Solved:
    """A value, as text, and the expression that it is the value of."""

    expression: str
    value: str


async def solve(question: str, rules: Sequence[str], *, engine: Engine, tools: PluginHost) -> Solved | None:
    """The worked-out answer; None if there is nothing to work out, or what the model wrote has no value.

    Raises InferenceError.
    """
    expression = await expression_for(question, rules, engine=engine)
    if not expression:
        return None
    try:
        result = await tools.execute(CALCULATOR, {"expression": expression})
    except PagiError as error:
        logger.info("what the model wrote has no value: %s", error)
        return None
    return Solved(expression, str(result))


async def expression_for(question: str, rules: Sequence[str], *, engine: Engine, session_id: str | None = None) -> str:
    """The arithmetic whose value answers a question, as the model writes it; empty if there is none.

    Raises InferenceError.
    """
    turns = [ChatTurn("system", _INSTRUCTIONS)]
    for asked, expression in _EXAMPLES:
        turns += [ChatTurn("user", asked), ChatTurn("assistant", orjson.dumps({"expression": expression}).decode())]
    about = [" ".join(rule.split()) for rule in rules if is_about(rule, question)]
    listed = "\n".join(f"- {rule}" for rule in about) or "(none)"
    turns.append(ChatTurn("user", f"Rules:\n{listed}\n\nQuestion: {' '.join(question.split())}"))
    request = ChatRequest(turns=turns, max_tokens=_MAX_TOKENS, json_schema=_SCHEMA, session_id=session_id)
    return _expression((await engine.complete(request)).text)


def _expression(text: str) -> str:
    """What the model wrote, in the calculator's signs."""
    try:
        written = orjson.loads(text)
    except orjson.JSONDecodeError:  # cut short
        return ""
    expression = written.get("expression") if isinstance(written, dict) else None
    if not isinstance(expression, str):
        return ""
    return expression.strip().rstrip("}=").strip().replace("^", "**").replace("×", "*").replace("÷", "/")
