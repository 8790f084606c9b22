"""One run of the model: from the library's callbacks, in its thread, to items that the loop awaits."""

import asyncio
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.inference.engine import ToolCall
from node.inference.errors import (
    BadInferenceRequest,
    GoalTooLong,
    InferenceError,
    InferenceFailed,
    InferenceUnavailable,
)
from node.inference.tool_calls import new_id

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request, how it ended, and the calls of tools that the library itself read in it."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cut: bool = False
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """The last item of every generation; nothing follows it."""

    error: InferenceError | None = None


@dataclass(slots=True)
class _Call:
    """A call of a tool, as it comes in pieces."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def take(self, part: Mapping[str, Any]) -> None:
        function = part.get("function") or {}
        self.id = self.id or str(part.get("id") or "")
        self.name += str(function.get("name") or "")
        self.arguments += str(function.get("arguments") or "")

    def whole(self) -> ToolCall:
        return ToolCall(self.id or new_id(), self.name, self.arguments or "{}")


class Generation:
    """Carries one request. `run` and `_on_chunk` belong to the model's thread, all else to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context_tokens: int, max_tokens: int) -> None:
        self._loop = loop
        self._context_tokens = context_tokens
        self._max_tokens = max_tokens
        self._cancelled = threading.Event()
        self._error: InferenceError | None = None
        self._complete = False
        self._cut = False
        self._calls: dict[int, _Call] = {}
        # Bounded by max_tokens: there is an item for each token at most.
        self._items: asyncio.Queue[str | Usage | End] = asyncio.Queue()

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop before its end."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Make the model stop at its next token or piece of the prompt."""
        self._cancelled.set()

    async def next(self) -> str | Usage | End:
        """The next piece of text, the usage, or the end."""
        return await self._items.get()

    def run(self, server: Any, request: Mapping[str, Any]) -> None:
        """Generate until the end, an error or the cancellation. Blocks; raises nothing: errors travel in the End."""
        try:
            if not self.cancelled:
                server.handle_chat_completions(request, self._on_chunk)
        except (ValueError, TypeError) as error:
            self._error = BadInferenceRequest(f"the model cannot serve this request: {_first_line(error)}")
        except RuntimeError as error:
            self._error = InferenceFailed(f"the model broke: {_first_line(error)}")
        finally:
            if self._error is None and not self._complete:
                self._error = _unfinished(self.cancelled)
            self._put(End(self._error))

    def _on_chunk(self, chunk: Mapping[str, Any]) -> bool:
        """Take one chunk of the stream; whether the model is to stop. The library swallows what is raised here."""
        try:
            self._take(chunk)
        except (KeyError, TypeError, IndexError) as error:
            self._error = InferenceFailed(f"the model library sent what it should not: {error!r}")
        return self._error is not None or self.cancelled

    def _take(self, chunk: Mapping[str, Any]) -> None:
        if failure := chunk.get("error"):
            self._error = _as_error(failure, self._context_tokens)
            return
        if progress := chunk.get("prompt_progress"):
            # The first of these comes before any work, and is where the tokens of the prompt are first known.
            # Not raised: a traceback would hold this thread's frames, and they the model, beyond its closing.
            self._error = too_long(int(progress["total"]), self._max_tokens, self._context_tokens)
        for choice in chunk["choices"]:
            delta = choice["delta"]
            self._cut = self._cut or choice.get("finish_reason") == "length"
            for part in delta.get("tool_calls") or ():
                self._calls.setdefault(int(part.get("index", 0)), _Call()).take(part)
            if text := delta.get("content"):
                self._put(text)
        if usage := chunk.get("usage"):
            self._complete = True
            self._put(self._usage(usage))

    def _usage(self, usage: Mapping[str, Any]) -> Usage:
        details = usage.get("prompt_tokens_details") or {}
        return Usage(
            int(usage["prompt_tokens"]),
            int(usage["completion_tokens"]),
            int(details.get("cached_tokens", 0)),
            self._cut,
            tuple(call.whole() for call in self._calls.values()),
        )

    def _put(self, item: str | Usage | End) -> None:
        self._loop.call_soon_threadsafe(self._items.put_nowait, item)


def too_long(prompt_tokens: int, max_tokens: int, context_tokens: int) -> GoalTooLong | None:
    """The error for a prompt of at least so many tokens that leaves no room for the answer, or None if both fit."""
    if prompt_tokens + max_tokens <= context_tokens:
        return None
    return GoalTooLong(
        f"a prompt of {prompt_tokens} tokens or more and an answer of {max_tokens} do not fit into"
        f" {context_tokens} tokens"
    )


def _unfinished(cancelled: bool) -> InferenceError:
    if cancelled:
        return InferenceUnavailable("the model was closed while it answered")
    return InferenceFailed("the model stopped without an end")


def _as_error(failure: Mapping[str, Any], context_tokens: int) -> InferenceError:
    if failure.get("type") == "exceed_context_size_error":
        tokens = failure.get("n_prompt_tokens", "too many")
        return GoalTooLong(f"the prompt has {tokens} tokens; the model's context holds {context_tokens}")
    message = _first_line(failure.get("message", "no reason given"))
    if failure.get("code") == 400:
        return BadInferenceRequest(f"the model cannot serve this request: {message}")
    return InferenceFailed(f"the model broke: {message}")


def _first_line(reason: object) -> str:
    return str(reason).partition("\n")[0][:200]
