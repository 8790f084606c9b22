"""What the mind needs of a language model: chat turns in, text or tool calls out.

An engine belongs to one model and serves several callers at once. It knows no memory, no tools and no
twins. Both calls end soon after the task that awaits them is cancelled: no model runs for nobody.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for. `arguments` is JSON text as the model wrote it: checked by nobody yet."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may ask for. `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One turn of a conversation. A turn of the role `tool` answers the call `tool_call_id` of the turn before it."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a model is asked.

    `max_tokens` bounds the answer; `stop` ends it before any of the given texts; `json_schema` makes the answer valid
    JSON for that schema, unless `max_tokens` cuts it short. `temperature` 0 always takes the likeliest token.
    `tool_choice` is `auto`, `none`, `required` or the name of a tool. `private`: something in here may only go to a
    model that the owner lets see private memories. `session_id` is whose budget it counts against. `shown`: the answer
    goes to a person as it is, so where the budget is throttled a text that says so may stand in its place; else such a
    request is refused.
    """

    turns: Sequence[ChatTurn]
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: Sequence[str] = ()
    json_schema: Mapping[str, Any] | None = None
    tools: Sequence[ToolSpec] = ()
    tool_choice: str = "auto"
    private: bool = True
    session_id: str | None = None
    shown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What the model said. `model` is the engine's name; `ms` counts from the call, waiting included.

    `cached_tokens` of the prompt were known from before and not computed again. `note` is what the owner should be
    told of how it came about: that a budget is throttled, or that another provider than the first answered.
    """

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    ms: float
    finish: Finish = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    cached_tokens: int = 0
    note: str | None = None


class Engine(Protocol):
    """A model that answers.

    Raises GoalTooLong before any work if turns and answer do not fit into the context, BadInferenceRequest for
    arguments that cannot be used, InferenceUnavailable after `aclose`, InferenceFailed if the model breaks.
    """

    @property
    def name(self) -> str:
        """The model's name, as answers show it."""
        ...

    @property
    def capable(self) -> bool:
        """Whether it is large enough to choose tools and to plan. A smaller one only words what was found."""
        ...

    @property
    def context_tokens(self) -> int:
        """For one request, prompt and answer together."""
        ...

    async def complete(self, request: ChatRequest) -> Completion:
        """The whole answer."""
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Completion]:
        """The answer's text in pieces, as they come, then the whole as the last item.

        Leaving the loop early (`aclose` on the iterator) stops the model.
        """
        ...

    async def aclose(self) -> None:
        """Stop what runs and free the model. A second call does nothing."""
        ...


class ModelSource(Protocol):
    """A model that may not be there, or not yet."""

    @property
    def loading(self) -> bool:
        """Whether it is being loaded now."""
        ...

    @property
    def reason(self) -> str | None:
        """Why there is no model, where there is none."""
        ...

    @property
    def may_see_private(self) -> bool:
        """Whether a model of it may be asked with private memories."""
        ...

    async def ready(self) -> Engine | None:
        """The engine, once loading has ended; None if there is none."""
        ...
