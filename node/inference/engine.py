"""What the mind needs of a language model: chat turns in, text out.

An engine belongs to one model and serves several callers at once. It knows no memory, no tools and no
twins. Both calls end soon after the task that awaits them is cancelled: no model runs for nobody.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What the model said. `model` is the engine's name; `ms` counts from the call, waiting included."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    ms: float


class Engine(Protocol):
    """A model that answers.

    `max_tokens` bounds the answer; `stop` ends it before any of the given texts; `json_schema` makes the
    answer valid JSON for that schema, unless `max_tokens` cuts it short. `temperature` 0 always takes the
    likeliest token.

    Raises GoalTooLong before any work if turns and answer do not fit into the context, BadInferenceRequest for
    arguments that cannot be used, InferenceUnavailable after `aclose`, InferenceFailed if the model breaks.
    """

    @property
    def name(self) -> str:
        """The model's name, as answers show it."""
        ...

    async def complete(
        self,
        turns: Sequence[ChatTurn],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        json_schema: Mapping[str, Any] | None = None,
    ) -> Completion:
        """The whole answer."""
        ...

    def stream(
        self,
        turns: Sequence[ChatTurn],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        json_schema: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[str]:
        """The answer in pieces, as they come. Leaving the loop early (`aclose` on the iterator) stops the model."""
        ...

    async def aclose(self) -> None:
        """Stop what runs and free the model. A second call does nothing."""
        ...
