"""What a call costs: prices, the guess before it is made, and the count after it.

Pure. Money is in millionths of the owner's currency: a price per million tokens times tokens.
"""

import math
from dataclasses import dataclass
from typing import Final

from node.inference.engine import ChatRequest, Completion

CHARS_PER_TOKEN: Final = 3
"""A guess that is rather too high: English has four and more, source code and other languages two to three."""

TURN_TOKENS: Final = 8
"""What a chat template adds to each turn."""


@dataclass(frozen=True, slots=True)
class Price:
    """Per million tokens of the prompt and of the answer."""

    prompt: float = 0.0
    answer: float = 0.0

    @property
    def free(self) -> bool:
        return not self.prompt and not self.answer

    def micros(self, prompt_tokens: int, completion_tokens: int) -> int:
        """What so many tokens cost, rounded up."""
        return math.ceil(prompt_tokens * self.prompt + completion_tokens * self.answer)


FREE: Final = Price()


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What one call used."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    ms: int = 0
    failed: bool = False

    @classmethod
    def of(cls, completion: Completion) -> "Used":
        return cls(
            prompt_tokens=completion.prompt_tokens,
            cached_tokens=completion.cached_tokens,
            completion_tokens=completion.completion_tokens,
            ms=math.ceil(completion.ms),
        )


def prompt_guess(request: ChatRequest) -> int:
    """Tokens of the prompt, before anybody has counted them."""
    chars = sum(
        len(turn.content) + sum(len(call.name) + len(call.arguments) for call in turn.tool_calls)
        for turn in request.turns
    )
    chars += sum(len(tool.name) + len(tool.description) + len(str(tool.parameters)) for tool in request.tools)
    return tokens_guess(chars) + TURN_TOKENS * len(request.turns)


def tokens_guess(chars: int) -> int:
    """Tokens of a text of so many characters."""
    return math.ceil(chars / CHARS_PER_TOKEN)
