"""Chat completions as OpenAI defined them and many serve: OpenAI, OpenRouter, Ollama, vLLM, llama.cpp, another twin.

`base_url` is what their documentation names, usually ending in `/v1`.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from node.inference.engine import ChatRequest, ChatTurn, Finish, ToolCall, ToolSpec
from node.inference.providers.errors import ProviderFailed
from node.inference.providers.refusing import Refusal, error_of, refusal_in, unsupported_in
from node.inference.providers.strictness import is_strict
from node.inference.providers.values import count_of, name_of
from protocols.limits import MAX_PROVIDER_TOOL_CALLS

_FINISHES: Final[Mapping[str, Finish]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "stop",
}
_OPTIONAL: Final = ("max_tokens", "temperature", "top_p", "seed", "stream_options")
"""What some models refuse to be told: reasoning models take no temperature, older servers know no `stream_options`."""


class OpenAiDialect:
    """See Dialect."""

    path: Final = "/chat/completions"

    def headers(self, key: str | None) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"} if key else {}

    def body(self, request: ChatRequest, model: str, without: Collection[str]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "messages": [_message(turn) for turn in request.turns],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.top_p != 1.0:
            body["top_p"] = request.top_p
        if request.seed is not None:
            body["seed"] = request.seed
        if request.stop:
            body["stop"] = list(request.stop)
        if request.json_schema is not None:
            schema = {"name": "answer", "schema": dict(request.json_schema), "strict": is_strict(request.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
            choice = request.tool_choice
            named = {"type": "function", "function": {"name": choice}}
            body["tool_choice"] = choice if choice in ("auto", "none", "required") else named
        if "max_tokens" in without:
            body["max_completion_tokens"] = body["max_tokens"]
        return {name: value for name, value in body.items() if name not in without}

    def reader(self, request: ChatRequest) -> "OpenAiReader":
        return OpenAiReader()

    def unsupported(self, refusal: Refusal, sent: Collection[str]) -> str | None:
        return unsupported_in(refusal, _OPTIONAL, sent)


class OpenAiReader:
    """Reads the chunks of one answer. See Reader."""

    def __init__(self) -> None:
        self.begun = False
        self.finish: Finish | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_tokens = 0
        self._calls: dict[int, _Call] = {}

    def over(self, data: bytes) -> bool:
        return data.strip() == b"[DONE]"

    def take(self, event: Mapping[str, Any]) -> tuple[str, bool]:
        if event.get("error"):
            refusal = refusal_in(event)
            raise error_of(500, refusal.kind, "it gave an error in the middle of its answer")
        if isinstance(usage := event.get("usage"), dict):
            self._take_usage(usage)
        choices = event.get("choices")
        if not isinstance(choices, list) or not choices:
            return "", False
        choice = choices[0]
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(delta, dict | None):
            raise ProviderFailed("a chunk of its answer has no delta")
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            self.finish = _FINISHES.get(reason, "stop")
        delta = delta or {}
        called = self._take_calls(delta.get("tool_calls"))
        text = delta.get("content") or delta.get("refusal") or ""
        if not isinstance(text, str):
            raise ProviderFailed("a chunk of its answer has a text that is none")
        return text, bool(text or called or delta.get("reasoning_content") or delta.get("reasoning"))

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(call.id or f"call_{index}", call.name, "".join(call.arguments) or "{}")
            for index, call in sorted(self._calls.items())
        )

    def _take_usage(self, usage: Mapping[str, Any]) -> None:
        self.prompt_tokens = count_of(usage.get("prompt_tokens"))
        self.completion_tokens = count_of(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            self.cached_tokens = count_of(details.get("cached_tokens")) or 0

    def _take_calls(self, parts: object) -> bool:
        """Add parts of tool calls to what came before, each to the call of its index."""
        if parts is None:
            return False
        if not isinstance(parts, list):
            raise ProviderFailed("a chunk of its answer has tool calls that are none")
        for part in parts:
            function = part.get("function") if isinstance(part, dict) else None
            index = part.get("index", 0) if isinstance(part, dict) else None
            if not isinstance(function, dict) or not isinstance(index, int) or not 0 <= index < MAX_PROVIDER_TOOL_CALLS:
                raise ProviderFailed("a chunk of its answer has a tool call that is none")
            call = self._calls.setdefault(index, _Call())
            call.id = call.id or name_of(part.get("id"))
            call.name = call.name or name_of(function.get("name"))
            arguments = function.get("arguments") or ""
            if not isinstance(arguments, str):
                raise ProviderFailed("a tool call of its answer has arguments that are no text")
            call.arguments.append(arguments)
        return bool(parts)


class _Call:
    """A tool call that is still coming in."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


def _message(turn: ChatTurn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        message["content"] = turn.content or None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.tool_calls
        ]
    if turn.role == "tool":
        message["tool_call_id"] = turn.tool_call_id or ""
    return message


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
