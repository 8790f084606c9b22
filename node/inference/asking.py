"""A request in llama.cpp's terms: checked and bounded before any work, with nothing in it that speaks as the system.

Everything in a turn or in a tool's description may come from a stranger. Pure; knows no library.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from node.inference.engine import ChatRequest, ChatTurn, ToolCall, ToolSpec
from node.inference.errors import BadInferenceRequest
from node.inference.generation import too_long
from node.inference.tool_calls import forced_schema, in_prompt

MAX_CHARS_PER_TOKEN: Final = 16
"""No usable text has more on average, so a prompt over context_tokens times this needs no counting."""

MAX_STOPS: Final = 16
MAX_STOP_CHARS: Final = 64
MAX_TOOLS: Final = 128
"""As many as hosted models take; the mind itself offers a handful."""

MAX_SCHEMA_CHARS: Final = 64 * 1024
MAX_SCHEMA_CHOICES: Final = 1000
"""Alternatives and properties in a schema: each is tried at each token, and with 3,000 of them a token takes seconds,
in which nobody else's answer goes on either."""

MAX_PATTERN_CHARS: Final = 512
MAX_REPEATS: Final = 4096
"""How often a part of a pattern may come, counts in counts: the library hangs over `(a|b{0,1000}){0,1000}`."""

SEEDS: Final = 2**32 - 1
"""llama.cpp's seeds lie below this; this itself asks it for a random one."""

_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")

_PATTERN_SIGN: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\{(\d{1,9})(?:,(\d{0,9}))?\}|.", re.DOTALL)

_CONTROL: Final = re.compile(
    r"<(?=[|｜]|/?(?:s|bos|eos|start_of_turn|end_of_turn|think|tool_call|tool_response|tools)>)|\[(?=/?INST\])"
)
"""Where the control words of the usual chat templates begin."""


def as_plain_text(content: str) -> str:
    """The text with its control words broken up by a space.

    llama.cpp reads `<|im_end|>` inside a turn as the end of that turn, so a remembered or received text could
    otherwise speak as the system. Lone surrogates, which UTF-8 cannot hold, become '?'. JSON stays JSON.
    """
    return _CONTROL.sub(r"\g<0> ", content).encode("utf-8", "replace").decode("utf-8")


def forces_a_call(asked: ChatRequest) -> bool:
    """Whether the answer must be the call of a tool."""
    return bool(asked.tools) and asked.tool_choice not in ("auto", "none")


def may_call(asked: ChatRequest) -> bool:
    """Whether the answer may be the call of a tool."""
    return forces_a_call(asked) or (bool(asked.tools) and asked.tool_choice == "auto" and asked.json_schema is None)


def in_llama_terms(asked: ChatRequest, *, context_tokens: int, lists_tools: bool) -> dict[str, Any]:
    """The request as llama.cpp's chat completions take it; `lists_tools` as in GgufFacts.

    Raises BadInferenceRequest, or GoalTooLong for what is far too long to count.
    """
    _check(asked)
    chars = sum(len(turn.content) + sum(len(call.arguments) for call in turn.tool_calls) for turn in asked.turns)
    tools = [_plain_tool(tool) for tool in asked.tools] if asked.tool_choice != "none" else []
    chars += sum(len(tool.description) + len(_plain_json(tool.parameters)) for tool in tools)
    if error := too_long(chars // MAX_CHARS_PER_TOKEN, asked.max_tokens, context_tokens):
        raise error
    speaks_of_tools = bool(tools) or any(turn.role == "tool" or turn.tool_calls for turn in asked.turns)
    request: dict[str, Any] = {
        "messages": _messages(asked.turns) if lists_tools or not speaks_of_tools else _spoken(asked.turns, tools),
        "max_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stop": list(asked.stop),
    }
    if asked.seed is not None:
        request["seed"] = asked.seed % SEEDS
    if tools and lists_tools:
        request["tools"] = [{"type": "function", "function": _function(tool)} for tool in tools]
    schema = forced_schema(asked.tools, asked.tool_choice) if forces_a_call(asked) else asked.json_schema
    for one in (schema or {}, *(tool.parameters for tool in tools)):
        _check_schema(one)
    if schema is not None:
        request["response_format"] = {"type": "json_schema", "json_schema": {"schema": dict(schema)}}
    return request


def _check(asked: ChatRequest) -> None:
    if not asked.turns:
        raise BadInferenceRequest("there is no turn to answer")
    if asked.max_tokens < 1 or not 0 <= asked.temperature <= 2 or not 0 <= asked.top_p <= 1:
        raise BadInferenceRequest("max_tokens is at least 1, temperature from 0 to 2, top_p from 0 to 1")
    if len(asked.stop) > MAX_STOPS or any(not 0 < len(text) <= MAX_STOP_CHARS for text in asked.stop):
        raise BadInferenceRequest(f"stop is at most {MAX_STOPS} texts of 1 to {MAX_STOP_CHARS} characters")
    names = [tool.name for tool in asked.tools]
    if len(names) > MAX_TOOLS or len(set(names)) < len(names):
        raise BadInferenceRequest(f"tools are at most {MAX_TOOLS}, each with its own name")
    if any(_TOOL_NAME.fullmatch(name) is None for name in names):
        raise BadInferenceRequest("a tool's name has letters, digits and any of _ . : / - only")
    if asked.tool_choice == "required" and not asked.tools:
        raise BadInferenceRequest("tool_choice wants a call, but there are no tools")
    if asked.json_schema is not None and forces_a_call(asked):
        raise BadInferenceRequest("an answer is either JSON for a schema or the call of a tool")


def _check_schema(schema: Mapping[str, Any]) -> None:
    """That a grammar can be made of it which takes no longer than the model. Raises BadInferenceRequest."""
    chars = len(_plain_json(schema))
    choices, waiting = 0, list[object]([schema])
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            listed = [part.get(key) for key in ("enum", "anyOf", "oneOf", "properties")]
            choices += sum(len(one) for one in listed if isinstance(one, (Mapping, Sequence)))
            pattern = part.get("pattern")
            if isinstance(pattern, str) and (len(pattern) > MAX_PATTERN_CHARS or _repeats(pattern) > MAX_REPEATS):
                raise BadInferenceRequest(f"the pattern {pattern[:60]!r} is too long, or repeats too often")
            waiting += part.values()
        elif isinstance(part, (list, tuple)):
            waiting += part
    if chars > MAX_SCHEMA_CHARS or choices > MAX_SCHEMA_CHOICES:
        raise BadInferenceRequest(
            f"the JSON Schema has {chars} characters and {choices} alternatives and properties:"
            f" {MAX_SCHEMA_CHARS} and {MAX_SCHEMA_CHOICES} are served"
        )


def _repeats(pattern: str) -> int:
    """How often one part of a pattern may come at most, by the counts in braces after it and after the groups that
    it is in."""
    most, last = [1], 1
    for sign in _PATTERN_SIGN.finditer(pattern):
        if sign[1] is not None:
            last *= max(1, int(sign[1]), int(sign[2] or 0))
        elif sign[0] == "(":
            most.append(1)
        elif sign[0] == ")" and len(most) > 1:
            last = most.pop()
        elif sign[0] not in "?*+":
            last = 1
        most[-1] = max(most[-1], last)
    return max(most)


def _plain_tool(tool: ToolSpec) -> ToolSpec:
    return ToolSpec(tool.name, as_plain_text(tool.description), json.loads(_plain_json(tool.parameters)))


def _plain_json(value: object) -> str:
    try:
        return as_plain_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInferenceRequest("a tool's parameters or arguments are no JSON") from error


def _function(tool: ToolSpec) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}


def _arguments(call: ToolCall) -> str:
    """JSON text in which no escape hides a control word; what is no JSON becomes a text of it."""
    try:
        said = json.loads(call.arguments)
    except (ValueError, RecursionError):
        said = {"text": call.arguments}
    return _plain_json(said)


def _messages(turns: Sequence[ChatTurn]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        message: dict[str, Any] = {"role": turn.role, "content": as_plain_text(turn.content)}
        if turn.tool_calls:
            message["tool_calls"] = [
                {
                    "id": as_plain_text(call.id),
                    "type": "function",
                    "function": {"name": as_plain_text(call.name), "arguments": _arguments(call)},
                }
                for call in turn.tool_calls
            ]
        if turn.role == "tool" and turn.tool_call_id is not None:
            message["tool_call_id"] = as_plain_text(turn.tool_call_id)
        messages.append(message)
    return messages


def _spoken(turns: Sequence[ChatTurn], tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The same for a template that knows neither tools nor their results. Turns of one role are one: such templates
    often want user and assistant to take turns."""
    called = {call.id: call.name for turn in turns for call in turn.tool_calls}
    spoken = [("system", in_prompt(tools))] if tools else []
    for turn in turns:
        content = as_plain_text(turn.content)
        if turn.role == "tool":
            spoken.append(
                ("user", f"Result of {as_plain_text(called.get(turn.tool_call_id or '', 'the tool'))}:\n{content}")
            )
            continue
        calls = [f'{{"name": {_plain_json(call.name)}, "arguments": {_arguments(call)}}}' for call in turn.tool_calls]
        spoken.append((turn.role, "\n".join([content, *calls] if content else calls) if calls else content))
    messages: list[dict[str, Any]] = []
    for role, content in spoken:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n\n{content}"
        else:
            messages.append({"role": role, "content": content})
    return messages
