"""One run of the model: from the library's callbacks, in its thread, to items that the loop awaits."""

import asyncio
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.inference.errors import (
    BadInferenceRequest,
    GoalTooLong,
    InferenceError,
    InferenceFailed,
    InferenceUnavailable,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class End:
    """The last item of every generation; nothing follows it."""

    error: InferenceError | None = None


class Generation:
    """Carries one request. `run` and `_on_chunk` belong to the model's thread, all else to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context_tokens: int, max_tokens: int) -> None:
        self._loop = loop
        self._context_tokens = context_tokens
        self._max_tokens = max_tokens
        self._cancelled = threading.Event()
        self._error: InferenceError | None = None
        self._complete = False
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
        if usage := chunk.get("usage"):
            self._complete = True
            self._put(Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"])))
        for choice in chunk["choices"]:
            if text := choice["delta"].get("content"):
                self._put(text)

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
