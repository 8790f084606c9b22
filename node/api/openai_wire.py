"""OpenAI's shapes of chat completions, embeddings and models, as far as this twin takes and gives them.

What changes an answer and is not supported is refused (several choices, images, log probabilities); what does not, such
as who asks or whether to store, is passed over, as every server of this interface does.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from node.api.errors import InvalidRequest
from node.api.wire import Integral, JsonObject, Wire
from node.inference.engine import ChatRequest, ChatTurn, Completion, Role, ToolCall, ToolSpec

MAX_ANSWER_TOKENS = 1024
"""What an answer may have where the client does not say: this model has no room to go on for ever."""

MAX_TURNS = 4096
MAX_TOOLS = 128
MAX_STOPS = 16

ModelName = Annotated[str, Field(min_length=1, max_length=256)]
Count = Annotated[int, Field(ge=1, le=10_000_000), Integral]


class Lenient(Wire):
    """Members that are not known here are passed over."""

    model_config = ConfigDict(extra="ignore")


class ChatPart(Lenient):
    """A piece of a turn. Only text can be taken."""

    type: str
    text: str | None = None


class ChatCalledFunction(Lenient):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    arguments: str = "{}"


class ChatCalled(Lenient):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    type: Literal["function"] = "function"
    function: ChatCalledFunction


class ChatMessage(Lenient):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ChatPart] | None = None
    tool_calls: Annotated[list[ChatCalled], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: Annotated[str, Field(max_length=128)] | None = None


class ChatFunction(Lenient):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    description: str = ""
    parameters: JsonObject = Field(default_factory=lambda: {"type": "object", "properties": {}})


class ChatTool(Lenient):
    type: Literal["function"] = "function"
    function: ChatFunction


class ChatNamedFunction(Lenient):
    name: Annotated[str, Field(min_length=1, max_length=64)]


class ChatToolChoice(Lenient):
    type: Literal["function"] = "function"
    function: ChatNamedFunction


class ChatSchema(Lenient):
    name: str = "answer"
    schema_: JsonObject = Field(alias="schema")


class ChatResponseFormat(Lenient):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: ChatSchema | None = None


class ChatStreamOptions(Lenient):
    include_usage: bool = False


Stop = Annotated[str, Field(min_length=1, max_length=256)]


class ChatCompletion(Lenient):
    """`model` is `twin` (answers from its memory, through its mind), `default` (the models in the owner's order) or one
    of GET /v1/models."""

    model: ModelName
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_TURNS)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1), Integral] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    n: Annotated[int, Field(ge=1, le=1), Integral] | None = None
    logprobs: Literal[False] | None = None
    stream: bool | None = None
    stream_options: ChatStreamOptions | None = None
    tools: Annotated[list[ChatTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ChatToolChoice | None = None
    response_format: ChatResponseFormat | None = None
    user: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    def request(self, *, private: bool, context_tokens: int) -> ChatRequest:
        """What is asked of a model. Raises InvalidRequest for what only looks right."""
        tools = tuple(
            ToolSpec(tool.function.name, tool.function.description, tool.function.parameters)
            for tool in self.tools or ()
        )
        choice = self.tool_choice.function.name if isinstance(self.tool_choice, ChatToolChoice) else self.tool_choice
        if choice not in (None, "auto", "none") and choice not in ("required", *(tool.name for tool in tools)):
            raise InvalidRequest("body: /tool_choice: names none of the tools")
        if choice == "required" and not tools:
            raise InvalidRequest("body: /tool_choice: there are no tools to choose from")
        return ChatRequest(
            turns=[_turn(message, place) for place, message in enumerate(self.messages)],
            max_tokens=self.max_completion_tokens or self.max_tokens or _usual_tokens(context_tokens),
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
            json_schema=_schema_of(self.response_format),
            tools=tools,
            tool_choice=choice or "auto",
            private=private,
            session_id=self.user,
            shown=not tools and self.response_format is None,
        )

    @property
    def goal(self) -> str:
        """The words of the last turn, which has to be the user's. Raises InvalidRequest."""
        last = self.messages[-1]
        if last.role != "user" or not (text := _text(last, len(self.messages) - 1)).strip():
            raise InvalidRequest("body: /messages: the last one should be the user's, with some text")
        return text


class ChatFunctionOut(Wire):
    name: str
    arguments: str


class ChatCalledOut(Wire):
    id: str
    type: Literal["function"] = "function"
    function: ChatFunctionOut


class ChatMessageOut(Wire):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: list[ChatCalledOut] | None = None


class ChatChoice(Wire):
    index: Literal[0] = 0
    message: ChatMessageOut
    logprobs: None = None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatPromptDetails(Wire):
    cached_tokens: int


class ChatUsage(Wire):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: ChatPromptDetails


class ChatCompletionOut(Wire):
    """`note` is what the owner should know of how the answer came about; null where nothing is unusual."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage | None
    note: str | None


class EmbeddingRequest(Lenient):
    """Tokens instead of text are not taken: they are another model's."""

    model: ModelName
    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=2048)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = None


class EmbeddingOut(Wire):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Wire):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsOut(Wire):
    object: Literal["list"] = "list"
    model: str
    data: list[EmbeddingOut]
    usage: EmbeddingUsage


class ModelOut(Wire):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelsOut(Wire):
    object: Literal["list"] = "list"
    data: list[ModelOut]


def message_out(completion: Completion) -> ChatMessageOut:
    """The answer as the assistant's turn."""
    return ChatMessageOut(
        content=completion.text if completion.text or not completion.tool_calls else None,
        tool_calls=calls_out(completion.tool_calls) or None,
    )


def calls_out(calls: Iterable[ToolCall]) -> list[ChatCalledOut]:
    return [ChatCalledOut(id=one.id, function=ChatFunctionOut(name=one.name, arguments=one.arguments)) for one in calls]


def usage_out(completion: Completion) -> ChatUsage:
    return ChatUsage(
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        total_tokens=completion.prompt_tokens + completion.completion_tokens,
        prompt_tokens_details=ChatPromptDetails(cached_tokens=completion.cached_tokens),
    )


def _turn(message: ChatMessage, place: int) -> ChatTurn:
    """Raises InvalidRequest."""
    role: Role = "system" if message.role == "developer" else message.role
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ())
    if calls and role != "assistant":
        raise InvalidRequest(f"body: /messages/{place}/tool_calls: only the assistant's turns have them")
    if (role == "tool") != (message.tool_call_id is not None):
        raise InvalidRequest(f"body: /messages/{place}/tool_call_id: every turn of a tool has one, and no other")
    if message.content is None and not calls:
        raise InvalidRequest(f"body: /messages/{place}/content: is missing")
    return ChatTurn(role, _text(message, place), calls, message.tool_call_id)


def _text(message: ChatMessage, place: int) -> str:
    """Raises InvalidRequest for what is not text."""
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    for number, part in enumerate(message.content):
        if part.type != "text" or part.text is None:
            raise InvalidRequest(f"body: /messages/{place}/content/{number}: only text can be taken")
    return "".join(part.text or "" for part in message.content)


def _schema_of(wanted: ChatResponseFormat | None) -> dict[str, Any] | None:
    """Raises InvalidRequest."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None:
        raise InvalidRequest("body: /response_format/json_schema: is missing")
    return wanted.json_schema.schema_


def _usual_tokens(context_tokens: int) -> int:
    """Room for the answer where the client does not say: half of the context at most."""
    return max(1, min(MAX_ANSWER_TOKENS, context_tokens // 2))
