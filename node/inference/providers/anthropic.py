"""Anthropic's messages API.

The system's words stand apart from the turns, results of tools are turns of the user, and an answer under a JSON Schema
is the input of a tool that the model is made to use.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from node.inference.engine import ChatRequest, ChatTurn, Finish, ToolCall
from node.inference.errors import BadInferenceRequest
from node.inference.providers.errors import ProviderFailed
from node.inference.providers.refusing import Refusal, error_of, refusal_in, unsupported_in
from node.inference.providers.values import count_of, name_of
from protocols.limits import MAX_PROVIDER_TOOL_CALLS

VERSION: Final = "2023-06-01"
ANSWER: Final = "answer"
"""The tool whose input is the answer under a JSON Schema."""

_FINISHES: Final[Mapping[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "refusal": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}
_STATUSES: Final = {"overloaded_error": 529, "rate_limit_error": 429, "invalid_request_error": 400}
"""The status that an error in the middle of a stream would have had; any other kind is a fault of the provider."""

_OPTIONAL: Final = ("temperature", "top_p")


class AnthropicDialect:
    """See Dialect."""

    path: Final = "/v1/messages"

    def headers(self, key: str | None) -> Mapping[str, str]:
        return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}

    def body(self, request: ChatRequest, model: str, without: Collection[str]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "messages": _messages(request),
            "max_tokens": request.max_tokens,
            "temperature": min(request.temperature, 1.0),
            "stream": True,
        }
        if system := "\n\n".join(turn.content for turn in request.turns if turn.role == "system" and turn.content):
            body["system"] = system
        if request.top_p != 1.0:
            body["top_p"] = request.top_p
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        body.update(_tools(request))
        return {name: value for name, value in body.items() if name not in without}

    def reader(self, request: ChatRequest) -> "AnthropicReader":
        return AnthropicReader(as_answer=request.json_schema is not None)

    def unsupported(self, refusal: Refusal, sent: Collection[str]) -> str | None:
        return unsupported_in(refusal, _OPTIONAL, sent)


class AnthropicReader:
    """Reads the events of one answer. With `as_answer` the input of a tool is the answer's text. See Reader."""

    def __init__(self, *, as_answer: bool) -> None:
        self.begun = False
        self.finish: Finish | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_tokens = 0
        self._as_answer = as_answer
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self._over = False

    def over(self, data: bytes) -> bool:
        return self._over

    def take(self, event: Mapping[str, Any]) -> tuple[str, bool]:
        match event.get("type"):
            case "message_start":
                message = event.get("message")
                self._take_usage(message.get("usage") if isinstance(message, dict) else None)
            case "content_block_start":
                return self._begin(event)
            case "content_block_delta":
                return self._delta(event)
            case "message_delta":
                delta = event.get("delta")
                reason = delta.get("stop_reason") if isinstance(delta, dict) else None
                if isinstance(reason, str):
                    self.finish = self._finish(reason)
                self._take_usage(event.get("usage"))
            case "message_stop":
                self._over = True
            case "error":
                refusal = refusal_in(event)
                status = _STATUSES.get(refusal.kind, 500)
                raise error_of(status, refusal.kind, "it gave an error in the middle of its answer")
        return "", False

    def tool_calls(self) -> tuple[ToolCall, ...]:
        if self._as_answer:
            return ()
        return tuple(
            ToolCall(call_id or f"call_{index}", name, "".join(arguments) or "{}")
            for index, (call_id, name, arguments) in sorted(self._calls.items())
        )

    def _begin(self, event: Mapping[str, Any]) -> tuple[str, bool]:
        block, index = event.get("content_block"), event.get("index")
        if not isinstance(block, dict) or not isinstance(index, int):
            raise ProviderFailed("a block of its answer is none")
        if block.get("type") == "tool_use":
            if len(self._calls) >= MAX_PROVIDER_TOOL_CALLS:
                raise ProviderFailed(f"its answer has more than {MAX_PROVIDER_TOOL_CALLS} tool calls")
            self._calls[index] = (name_of(block.get("id")), name_of(block.get("name")), [])
            return "", True
        text = block.get("text") or ""
        return (text if isinstance(text, str) and not self._as_answer else ""), bool(text)

    def _delta(self, event: Mapping[str, Any]) -> tuple[str, bool]:
        delta, index = event.get("delta"), event.get("index")
        if not isinstance(delta, dict) or not isinstance(index, int):
            raise ProviderFailed("a piece of its answer is none")
        match delta.get("type"):
            case "text_delta":
                text = delta.get("text")
            case "input_json_delta":
                text = delta.get("partial_json")
            case _:
                return "", True  # thinking, signatures, citations: on its way, but not the answer
        if not isinstance(text, str):
            raise ProviderFailed("a piece of its answer is no text")
        if delta.get("type") == "text_delta":
            return ("" if self._as_answer else text), bool(text)
        if index not in self._calls:
            raise ProviderFailed("a piece of its answer belongs to no tool call")
        if self._as_answer:
            return text, bool(text)
        self._calls[index][2].append(text)
        return "", bool(text)

    def _finish(self, reason: str) -> Finish:
        finish = _FINISHES.get(reason, "stop")
        return "stop" if self._as_answer and finish == "tool_calls" else finish

    def _take_usage(self, usage: object) -> None:
        """The prompt's tokens come first and in three parts, the answer's at the end."""
        if not isinstance(usage, dict):
            return
        if (fresh := count_of(usage.get("input_tokens"))) is not None:
            self.cached_tokens = count_of(usage.get("cache_read_input_tokens")) or 0
            written = count_of(usage.get("cache_creation_input_tokens")) or 0
            self.prompt_tokens = fresh + self.cached_tokens + written
        if (answered := count_of(usage.get("output_tokens"))) is not None:
            self.completion_tokens = answered


def _messages(request: ChatRequest) -> list[dict[str, Any]]:
    """Turns of the user and of the assistant; results of tools that follow each other are one turn of the user."""
    messages: list[dict[str, Any]] = []
    for turn in request.turns:
        if turn.role == "system":
            continue
        if turn.role == "tool":
            result = {"type": "tool_result", "tool_use_id": turn.tool_call_id or "", "content": turn.content}
            last = messages[-1]["content"] if messages and messages[-1]["role"] == "user" else None
            if isinstance(last, list):
                last.append(result)
            else:
                messages.append({"role": "user", "content": [result]})
        elif turn.tool_calls:
            messages.append({"role": "assistant", "content": _called(turn)})
        else:
            messages.append({"role": turn.role, "content": turn.content})
    return messages


def _called(turn: ChatTurn) -> list[dict[str, Any]]:
    """Raises BadInferenceRequest for arguments that are no JSON object."""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": turn.content}] if turn.content else []
    for call in turn.tool_calls:
        try:
            given = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise BadInferenceRequest("the arguments of a tool call are not JSON") from error
        if not isinstance(given, dict):
            raise BadInferenceRequest("the arguments of a tool call are no JSON object")
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": given})
    return blocks


def _tools(request: ChatRequest) -> dict[str, Any]:
    """Raises BadInferenceRequest for a schema of anything but an object, and for a schema together with tools."""
    if request.json_schema is not None:
        if request.json_schema.get("type") != "object":
            raise BadInferenceRequest("this provider answers under JSON Schemas of type object only")
        if request.tools:
            raise BadInferenceRequest("this provider takes tools or a JSON Schema, not both")
        tool = {"name": ANSWER, "description": "Give the answer.", "input_schema": dict(request.json_schema)}
        return {"tools": [tool], "tool_choice": {"type": "tool", "name": ANSWER}}
    if not request.tools:
        return {}
    tools = [
        {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
        for tool in request.tools
    ]
    types = {"auto": "auto", "none": "none", "required": "any"}
    choice = request.tool_choice
    return {
        "tools": tools,
        "tool_choice": {"type": types[choice]} if choice in types else {"type": "tool", "name": choice},
    }
