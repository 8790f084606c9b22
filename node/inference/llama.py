"""The engine over xllamacpp, which is llama.cpp's own server as a library: a GGUF file in, an Engine out.

The library blocks, so each generation runs in a thread of a small pool and hands its pieces to the loop. It is asked
to stop by what its callback returns: between two tokens, and between two pieces of the prompt.

The library also always listens on a random loopback port. Nobody is told the key that it wants there, so the
interface serves nobody.
"""

import asyncio
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from node.inference.engine import ChatRequest, Completion
from node.inference.errors import BadInferenceRequest, InferenceUnavailable, ModelMissing, ModelUnloadable
from node.inference.generation import End, Generation, Usage, too_long

logger = logging.getLogger(__name__)

DEFAULT_CONTEXT_TOKENS: Final = 4096
"""For one request, prompt and answer together. A recall of five memories and an answer need about 1,500."""

CAPABLE_BYTES: Final = 600 * 1024**2
"""A model file below this chooses tools hardly better than chance (docs/decisions/engine.md)."""

DEFAULT_PARALLEL: Final = 2
"""An answer to another twin does not wait for the owner's. Each further one costs its own context's memory."""

MAX_WAITING: Final = 32
"""Requests that wait for a slot; further ones are told at once that the model is busy."""

MAX_CHARS_PER_TOKEN: Final = 16
"""No usable text has more on average, so a prompt over context_tokens times this needs no counting."""

MAX_STOPS: Final = 16
MAX_STOP_CHARS: Final = 64

_BATCH_TOKENS: Final = 128
"""Of a prompt at once. It is also the time until a cancellation is noticed: half a second on one slow core."""

_QUIET: Final = -1

_CONTROL: Final = re.compile(r"<(?=[|｜]|/?(?:s|bos|eos|start_of_turn|end_of_turn|think|tool_call)>)|\[(?=/?INST\])")
"""Where the control words of the usual chat templates begin."""


@asynccontextmanager
async def open_engine(
    model: Path,
    *,
    threads: int | None = None,
    context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    parallel: int = DEFAULT_PARALLEL,
) -> AsyncIterator["LlamaEngine"]:
    """Load a GGUF file and serve it until the context is left.

    `threads`: half of the cores unless given, because llama.cpp waits by spinning and starves whatever shares its
    cores. `parallel` requests run at once, each with `context_tokens` of its own.
    Raises ModelMissing or ModelUnloadable.
    """
    size_bytes = await asyncio.to_thread(lambda: model.stat().st_size if model.is_file() else 0)
    server = await asyncio.to_thread(
        _load, model, threads=threads or default_threads(), context_tokens=context_tokens, parallel=parallel
    )
    engine = LlamaEngine(
        server, model.stem, capable=size_bytes >= CAPABLE_BYTES, context_tokens=context_tokens, parallel=parallel
    )
    del server  # the engine alone holds the model, so that closing it frees the memory
    try:
        yield engine
    finally:
        await engine.aclose()


def default_threads() -> int:
    """Half of the cores that this process may use, and at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


class LlamaEngine:
    """An Engine over one loaded model. Used from one asyncio loop."""

    def __init__(self, server: Any, name: str, *, capable: bool, context_tokens: int, parallel: int) -> None:
        self.name: Final = name
        self.capable: Final = capable
        self.context_tokens: Final = context_tokens
        self._server = server
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="model")
        self._slots = asyncio.Semaphore(parallel)
        self._waiting = 0
        self._running: dict[asyncio.Future[None], Generation] = {}
        self._closed = False

    async def complete(self, request: ChatRequest) -> Completion:
        """See Engine."""
        async with aclosing(self.stream(request)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    return item
        raise AssertionError("a stream ends with its completion")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
        """See Engine."""
        began = time.perf_counter()
        pieces: list[str] = []
        usage = Usage(0, 0)
        async with aclosing(self._generate(self._in_its_terms(request), request.max_tokens)) as items:
            async for item in items:
                if isinstance(item, Usage):
                    usage = item
                else:
                    pieces.append(item)
                    yield item
        yield Completion(
            text="".join(pieces),
            model=self.name,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            ms=(time.perf_counter() - began) * 1000,
            finish="length" if usage.completion_tokens >= request.max_tokens else "stop",
        )

    async def aclose(self) -> None:
        """See Engine. What runs ends with InferenceUnavailable."""
        self._closed = True
        for generation in self._running.values():
            generation.cancel()
        await asyncio.gather(*self._running)
        await asyncio.to_thread(self._free)

    def _free(self) -> None:
        self._pool.shutdown()
        self._server = None

    async def _generate(self, request: dict[str, Any], max_tokens: int) -> AsyncGenerator[str | Usage, None]:
        """Run one request: pieces of text, then the usage."""
        await self._take_slot()
        loop = asyncio.get_running_loop()
        generation = Generation(loop, self.context_tokens, max_tokens)
        future = loop.run_in_executor(self._pool, generation.run, self._server, request)
        self._running[future] = generation
        future.add_done_callback(self._give_slot_back)
        try:
            while not isinstance(item := await generation.next(), End):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            generation.cancel()

    async def _take_slot(self) -> None:
        if not self._closed and self._waiting >= MAX_WAITING:
            raise InferenceUnavailable(f"the model is busy: {MAX_WAITING} requests wait for it")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        if self._closed:
            self._slots.release()
            raise InferenceUnavailable("the model is closed")

    def _give_slot_back(self, future: asyncio.Future[None]) -> None:
        # Not when the caller leaves but when the thread has: only then does the library have a free slot.
        del self._running[future]
        self._slots.release()

    def _in_its_terms(self, asked: ChatRequest) -> dict[str, Any]:
        """The request as llama.cpp takes it. Raises BadInferenceRequest, or GoalTooLong for what is far too long."""
        turns, max_tokens, temperature, stop = asked.turns, asked.max_tokens, asked.temperature, asked.stop
        if not turns:
            raise BadInferenceRequest("there is no turn to answer")
        if max_tokens < 1 or not 0 <= temperature <= 2:
            raise BadInferenceRequest("max_tokens is at least 1, temperature from 0 to 2")
        if len(stop) > MAX_STOPS or any(not 0 < len(text) <= MAX_STOP_CHARS for text in stop):
            raise BadInferenceRequest(f"stop is at most {MAX_STOPS} texts of 1 to {MAX_STOP_CHARS} characters")
        chars = sum(len(turn.content) for turn in turns)
        if error := too_long(chars // MAX_CHARS_PER_TOKEN, max_tokens, self.context_tokens):
            raise error
        request: dict[str, Any] = {
            "messages": [{"role": turn.role, "content": as_plain_text(turn.content)} for turn in turns],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stop": list(stop),
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
        }
        if asked.json_schema is not None:
            request["response_format"] = {"type": "json_schema", "json_schema": {"schema": dict(asked.json_schema)}}
        return request


def as_plain_text(content: str) -> str:
    """The text with its control words broken up by a space.

    llama.cpp reads `<|im_end|>` inside a turn as the end of that turn, so a remembered or received text could
    otherwise speak as the system. Lone surrogates, which UTF-8 cannot hold, become '?'.
    """
    return _CONTROL.sub(r"\g<0> ", content).encode("utf-8", "replace").decode("utf-8")


_loading = threading.Lock()


def _load(model: Path, *, threads: int, context_tokens: int, parallel: int) -> Any:
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelMissing(f"cannot read the model {model}: {error.strerror}") from error
    if magic != b"GGUF":
        raise ModelUnloadable(f"{model} is not a GGUF file")
    with _loading:
        import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx = context_tokens * parallel  # the library divides it among its slots
    params.n_parallel = parallel
    params.n_batch = params.n_ubatch = _BATCH_TOKENS
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = threads
        cpu.poll = 0
    params.cache_ram_mib = 0  # its default keeps up to 8 GiB of old prompts
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = False
    params.offline = True
    params.verbosity = _QUIET
    params.warmup = False
    try:
        server = xllamacpp.Server(params)
        # Warms the model up and proves that it works; and a server that is closed before its loop has begun, which
        # the constructor does not wait for, never ends (xllamacpp 2026.10.11549).
        answer = server.handle_completions({"prompt": "1, 2,", "n_predict": 1})
    except (RuntimeError, ValueError) as error:
        raise ModelUnloadable(f"llama.cpp cannot load {model}: {error}") from error
    if "error" in answer:
        raise ModelUnloadable(f"llama.cpp cannot run {model}: {answer['error']}")
    return server
