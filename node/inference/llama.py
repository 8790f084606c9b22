"""The engine over xllamacpp, which is llama.cpp's own server as a library: a GGUF file in, an Engine out.

The library blocks, so each generation runs in a thread of a small pool and hands its pieces to the loop. It is asked
to stop by what its callback returns: between two tokens, and between two pieces of the prompt.

The library also always listens on a random loopback port. Nobody is told the key that it wants there, so the
interface serves nobody.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from node.inference.asking import forces_a_call, in_llama_terms, may_call
from node.inference.engine import ChatRequest, Completion
from node.inference.errors import InferenceUnavailable
from node.inference.generation import End, Generation, Usage
from node.inference.gguf import read_facts
from node.inference.llama_library import load
from node.inference.machine import Fit, Wanted, look, one_of_the_engines
from node.inference.models import cache_folder
from node.inference.slots import Slots
from node.inference.tool_calls import CallReader

MAX_WAITING: Final = 32
"""Requests that wait for a slot; further ones are told at once that the model is busy."""

_AS_A_STREAM: Final[Mapping[str, Any]] = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "return_progress": True,
}


@asynccontextmanager
async def open_engine(
    model: Path,
    *,
    threads: int | None = None,
    context_tokens: int | None = None,
    parallel: int | None = None,
    engines: Path | None = None,
) -> AsyncIterator["LlamaEngine"]:
    """Load a GGUF file and serve it until the context is left.

    What is not given follows from the machine (node/inference/machine.py); `parallel` requests run at once, each with
    `context_tokens` of its own. `engines` is the folder where running ones of this user are counted.
    Raises ModelMissing, NotAModel or ModelUnloadable.
    """
    wanted = Wanted(threads=threads, context_tokens=context_tokens, parallel=parallel)
    with ExitStack() as stack:
        facts = await asyncio.to_thread(read_facts, model)
        neighbours = stack.enter_context(one_of_the_engines(engines or cache_folder() / "running"))
        machine = await asyncio.to_thread(look, neighbours=neighbours)
        server, chosen = await asyncio.to_thread(load, model, facts, machine, wanted)
        engine = LlamaEngine(server, model.stem, capable=facts.capable, lists_tools=facts.lists_tools, chosen=chosen)
        del server  # the engine alone holds the model, so that closing it frees the memory
        try:
            yield engine
        finally:
            await engine.aclose()


class LlamaEngine:
    """An Engine over one loaded model. Used from one asyncio loop."""

    def __init__(self, server: Any, name: str, *, capable: bool, lists_tools: bool, chosen: Fit) -> None:
        self.name: Final = name
        self.capable: Final = capable
        self.context_tokens: Final = chosen.context_tokens
        self.chosen: Final = chosen
        self._lists_tools = lists_tools
        self._server = server
        self._pool = ThreadPoolExecutor(chosen.parallel, thread_name_prefix="model")
        self._free = asyncio.Semaphore(chosen.parallel)
        self._slots = Slots(chosen.parallel)
        self._waiting = 0
        self._running: dict[asyncio.Future[None], tuple[Generation, int]] = {}
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
        shown: list[str] = []
        usage = Usage(0, 0)
        names = [tool.name for tool in request.tools] if may_call(request) else []
        reader = CallReader(names, forced=forces_a_call(request)) if names else None
        async with aclosing(self._generate(request)) as items:
            async for item in items:
                if isinstance(item, Usage):
                    usage = item
                elif text := reader.feed(item) if reader is not None else item:
                    shown.append(text)
                    yield text
        rest, calls = reader.end() if reader is not None else ("", ())
        calls = usage.calls or calls
        if rest:
            shown.append(rest)
            yield rest
        yield Completion(
            text="".join(shown),
            model=self.name,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            ms=(time.perf_counter() - began) * 1000,
            finish="tool_calls" if calls else "length" if usage.cut else "stop",
            tool_calls=calls,
            cached_tokens=usage.cached_tokens,
        )

    async def aclose(self) -> None:
        """See Engine. What runs ends with InferenceUnavailable."""
        self._closed = True
        for generation, _ in self._running.values():
            generation.cancel()
        await asyncio.gather(*self._running)
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._pool.shutdown()
        self._server = None

    async def _generate(self, asked: ChatRequest) -> AsyncGenerator[str | Usage, None]:
        """Run one request: pieces of text, then the usage."""
        request = in_llama_terms(asked, context_tokens=self.context_tokens, lists_tools=self._lists_tools)
        await self._wait_for_a_slot()
        slot = self._slots.take(_prompt_of(request), asked.session_id)
        loop = asyncio.get_running_loop()
        generation = Generation(loop, self.context_tokens, asked.max_tokens)
        future = loop.run_in_executor(
            self._pool, generation.run, self._server, {**request, **_AS_A_STREAM, "id_slot": slot}
        )
        self._running[future] = generation, slot
        future.add_done_callback(self._give_slot_back)
        try:
            while not isinstance(item := await generation.next(), End):
                yield item
            # Its slot is free once the thread has ended, and the same chat may go on at once.
            await asyncio.wait({future})
            if item.error is not None:
                raise item.error
        finally:
            generation.cancel()

    async def _wait_for_a_slot(self) -> None:
        if not self._closed and self._waiting >= MAX_WAITING:
            raise InferenceUnavailable(f"the model is busy: {MAX_WAITING} requests wait for it")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        if self._closed:
            self._free.release()
            raise InferenceUnavailable("the model is closed")

    def _give_slot_back(self, future: asyncio.Future[None]) -> None:
        # Not when the caller leaves but when the thread has: only then does the library have a free slot.
        _, slot = self._running.pop(future)
        self._slots.give_back(slot)
        self._free.release()


def _prompt_of(request: Mapping[str, Any]) -> str:
    """What the model will read, near enough to compare where two requests begin to differ."""
    tools = json.dumps(request["tools"], ensure_ascii=False) if "tools" in request else ""
    return tools + "\n".join(f"{message['role']}\n{message['content']}" for message in request["messages"])
