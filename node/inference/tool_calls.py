"""Calls of tools in what a model writes, and tools in what it is asked, for all models alike.

llama.cpp reads the calls of a model that writes them as its template says. Small ones often write the same JSON bare or
in a code fence (Qwen2.5-Coder does), templates of others know no tools at all, and `required` binds no model
(https://github.com/ggml-org/llama.cpp/issues/27217). So a call that must come is had by a JSON Schema, and one that may
come is recognised here as well. Pure, but for the ids.
"""

import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from node.inference.engine import ToolCall, ToolSpec
from node.inference.errors import BadInferenceRequest

_TAG: Final = "<tool_call>"
_BEGINNINGS: Final = ("{", "[", "```", _TAG)
_TAG_END: Final = "</tool_call>"
_FENCE: Final = "```"
_FENCE_BEGINNINGS: Final = ("```", "```json", "```tool_call")


def forced_schema(tools: Sequence[ToolSpec], choice: str) -> dict[str, Any]:
    """The JSON Schema of a call of one of the tools, or of the one that is named. Raises BadInferenceRequest."""
    usable = [tool for tool in tools if choice in ("required", tool.name)]
    if not usable:
        raise BadInferenceRequest(f"tool_choice names {choice!r}, which is none of the tools")
    definitions: dict[str, Any] = {}
    calls = [_call_schema(tool, definitions) for tool in usable]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**schema, "$defs": definitions} if definitions else schema


def _call_schema(tool: ToolSpec, definitions: dict[str, Any]) -> dict[str, Any]:
    arguments = dict(tool.parameters) or {"type": "object"}
    # References count from the schema's root, and the parameters are not at the root any more.
    for name, definition in arguments.pop("$defs", {}).items():
        if definitions.setdefault(name, definition) != definition:
            raise BadInferenceRequest(f"two tools define {name!r} differently")
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def in_prompt(tools: Sequence[ToolSpec]) -> str:
    """The tools as text, for a model whose template does not list them."""
    lines = [
        json.dumps(
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}, ensure_ascii=False
        )
        for tool in tools
    ]
    return "\n".join(
        (
            "You may call a tool. To call one, answer with nothing but JSON of the form",
            '{"name": "TOOL", "arguments": {…}}',
            "The tools, each with the JSON Schema of its arguments:",
            *lines,
        )
    )


def calls_in(text: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls that the whole of a text is; none if any part of it is something else."""
    text = text.strip()
    found: list[ToolCall] = []
    for part in _tagged(text) if text.startswith(_TAG) else (_unfenced(text),):
        calls = _read(part, names)
        if not calls:
            return ()
        found += calls
    return tuple(found)


def _tagged(text: str) -> Iterator[str]:
    """What stands between the tags that a text consists of; nothing (an empty text) for words outside of them."""
    at = 0
    while at < len(text):
        if not text.startswith(_TAG, at):
            yield ""
            return
        end = text.find(_TAG_END, at)
        end = end if end >= 0 else len(text)
        yield text[at + len(_TAG) : end]
        at = len(text) - len(text[end + len(_TAG_END) :].lstrip())


def _unfenced(text: str) -> str:
    """A text without the code fence around it, where it has one."""
    first, _, rest = text.partition("\n")
    if first.strip() in _FENCE_BEGINNINGS and rest.endswith(_FENCE):
        return rest.removesuffix(_FENCE).strip()
    return text


def _read(text: str, names: Collection[str]) -> list[ToolCall]:
    """The calls that a text in JSON is. A model may write anything: no finite number, half a character, any depth."""
    try:
        return _calls(json.loads(text), names)
    except (ValueError, RecursionError):
        return []


def _calls(said: Any, names: Collection[str]) -> list[ToolCall]:
    found = []
    for item in said if isinstance(said, list) else [said]:
        name = item.get("name") if isinstance(item, Mapping) else None
        if name not in names:
            return []
        arguments = item.get("arguments", item.get("parameters", {}))
        if not isinstance(arguments, Mapping):
            return []
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        found.append(ToolCall(new_id(), str(name), written.encode("utf-8", "replace").decode("utf-8")))
    return found


def new_id() -> str:
    """An id for a call that has none."""
    return f"call_{secrets.token_hex(8)}"


class CallReader:
    """Tells text that may be shown from the beginning of what may be a call. Feed it the pieces as they come."""

    def __init__(self, names: Collection[str], *, forced: bool = False) -> None:
        self._names = names
        self._held = ""
        self._holding = forced
        self._begun = forced

    def feed(self, piece: str) -> str:
        """What of the text so far is surely no call."""
        self._held += piece
        if self._holding:
            return ""
        if not self._begun:
            start = self._held.lstrip()
            if any(start.startswith(beginning) for beginning in _BEGINNINGS):
                self._holding = True
                return ""
            if not start or any(beginning.startswith(start) for beginning in _BEGINNINGS):
                return ""
            self._begun = True
        return self._until_a_tag()

    def _until_a_tag(self) -> str:
        """The text before a tag, or before what may become one."""
        at = self._held.find(_TAG)
        if at >= 0:
            self._holding = True
        else:
            at = len(self._held) - next(
                (size for size in range(len(_TAG) - 1, 0, -1) if self._held.endswith(_TAG[:size])), 0
            )
        shown, self._held = self._held[:at], self._held[at:]
        return shown

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """The text that was held back and turns out to be none of a call, and the calls."""
        calls = calls_in(self._held, self._names) if self._holding else ()
        return ("" if calls else self._held), calls
