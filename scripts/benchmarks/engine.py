"""The node's engine beside the bare library: tokens a second, the first token of a chat's turns, and cancelling.

Both run in this process with the same model and the same parameters (threads, context, four slots), each on a loaded
model of its own; the other one is idle meanwhile. They take turns and the median counts. Ours is `Engine.stream` on an
asyncio loop, the peer `xllamacpp.Server.handle_chat_completions` in threads. For the rates each slot of both has read
the beginning that the prompts share: what choosing a slot costs or spares is seen in the chats. A chat's turn 1 is a
system prompt that all chats share and some words of its own, about 1,100 tokens; turn 2 is that, the answer and three
words. `two chats in turn` is turn 2 of a chat after another chat had its turn. The bundled model runs unless
PAGI_BENCH_MODEL names another.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.table import Row
from node.inference.asking import in_llama_terms
from node.inference.engine import ChatRequest, ChatTurn, Completion
from node.inference.gguf import GgufFacts, read_facts
from node.inference.llama import LlamaEngine, open_engine
from node.inference.llama_library import load
from node.inference.machine import Wanted, look
from node.inference.models import SMOLLM2, cache_folder

ROUNDS = 5
TOKENS = 128
PARALLEL = 4
CONTEXT_TOKENS = 2048
RULES = 60
PEER = "bare xllamacpp"

STORY = "Tell a long story about a {}, its home and its many friends."
_names = itertools.count()


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer: seconds to its first piece and to its end, and its tokens."""

    first_s: float
    whole_s: float
    tokens: int
    text: str


def run() -> list[Row]:
    """The figures, or none where the model's file is not here (`pagi demo` fetches it)."""
    path = Path(os.environ.get("PAGI_BENCH_MODEL") or cache_folder() / SMOLLM2.file_name)
    return asyncio.run(_measure(path)) if path.exists() else []


async def _measure(path: Path) -> list[Row]:
    facts = read_facts(path)
    wanted = Wanted(context_tokens=CONTEXT_TOKENS, parallel=PARALLEL)
    bare, chosen = await asyncio.to_thread(load, path, facts, look(), wanted)
    sizes = {"context_tokens": CONTEXT_TOKENS, "parallel": PARALLEL, "threads": chosen.threads}
    with ThreadPoolExecutor(PARALLEL) as pool:
        async with open_engine(path, **sizes) as engine:
            ours, peer = _Ours(engine), _Bare(bare, facts, pool)
            rows = [*await _rates(ours, peer), *await _turns(ours, peer)]
            rows += await _cancelling(engine)
    del bare, peer
    return rows


class _Ours:
    def __init__(self, engine: LlamaEngine) -> None:
        self._engine = engine

    async def ask(self, turns: Sequence[ChatTurn], max_tokens: int) -> Heard:
        began = time.perf_counter()
        first_s = 0.0
        async with aclosing(self._engine.stream(ChatRequest(turns=turns, max_tokens=max_tokens))) as items:
            async for item in items:
                first_s = first_s or time.perf_counter() - began
                if isinstance(item, Completion):
                    return Heard(first_s, time.perf_counter() - began, item.completion_tokens, item.text)
        raise AssertionError("a stream ends with its completion")


class _Bare:
    def __init__(self, server: Any, facts: GgufFacts, pool: ThreadPoolExecutor) -> None:
        self._server, self._facts, self._pool = server, facts, pool

    async def ask(self, turns: Sequence[ChatTurn], max_tokens: int) -> Heard:
        request = in_llama_terms(
            ChatRequest(turns=turns, max_tokens=max_tokens), context_tokens=CONTEXT_TOKENS, lists_tools=True
        )
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, request)

    def _run(self, request: Mapping[str, Any]) -> Heard:
        began = time.perf_counter()
        firsts: list[float] = []
        texts: list[str] = []
        usages: list[Mapping[str, int]] = []

        def take(chunk: Mapping[str, Any]) -> bool:
            for choice in chunk["choices"]:
                if text := choice["delta"].get("content"):
                    firsts.append(time.perf_counter() - began)
                    texts.append(text)
            if usage := chunk.get("usage"):
                usages.append(usage)
            return False

        streamed = {**request, "stream": True, "stream_options": {"include_usage": True}}
        self._server.handle_chat_completions(streamed, take)
        return Heard(firsts[0], time.perf_counter() - began, usages[0]["completion_tokens"], "".join(texts))


Side = _Ours | _Bare


async def _rates(ours: Side, peer: Side) -> list[Row]:
    for side in (ours, peer):
        things = [f"dog called {next(_names)}" for _ in range(PARALLEL)]
        await asyncio.gather(*(side.ask([ChatTurn("user", STORY.format(thing))], 1) for thing in things))
    rows = []
    for count, name in ((1, "one answer"), (PARALLEL, f"{PARALLEL} answers at once")):
        rates: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(ROUNDS):
            things = [f"dog called {next(_names)}" for _ in range(count)]
            for key, side in (("ours", ours), ("peer", peer)):
                began = time.perf_counter()
                told = await asyncio.gather(
                    *(side.ask([ChatTurn("user", STORY.format(thing))], TOKENS) for thing in things)
                )
                rates[key].append(sum(one.tokens for one in told) / (time.perf_counter() - began))
        rows.append(
            Row(name, median(rates["ours"]), median(rates["peer"]), "tokens/s", PEER, "higher", "0.97 of the library")
        )
    return rows


async def _turns(ours: Side, peer: Side) -> list[Row]:
    firsts: dict[str, dict[str, list[float]]] = {
        key: {"turn 1": [], "turn 2": [], "two chats in turn": []} for key in ("ours", "peer")
    }
    for _ in range(max(2, ROUNDS // 2)):
        names = [f"N{next(_names)}" for _ in range(3)]
        for key, side in (("ours", ours), ("peer", peer)):
            one, two, three = (_chat(name) for name in names)
            firsts[key]["turn 1"].append(await _turn(side, one))
            firsts[key]["turn 2"].append(await _turn(side, one))
            await _turn(side, two)
            await _turn(side, three)
            firsts[key]["two chats in turn"].append(await _turn(side, two))
            firsts[key]["two chats in turn"].append(await _turn(side, three))
    aims = {"turn 1": "", "turn 2": "a tenth of turn 1", "two chats in turn": "as turn 2"}
    return [
        Row(f"first token, {name}", median(firsts["ours"][name]), median(firsts["peer"][name]), "s", PEER, "lower", aim)
        for name, aim in aims.items()
    ]


def _chat(name: str) -> list[ChatTurn]:
    system = "You are a kind twin. " + " ".join(
        f"Rule {number}: be kind to number {number}." for number in range(RULES)
    )
    return [ChatTurn("system", system), ChatTurn("user", " ".join(f"{name} has {n} boats." for n in range(40)))]


async def _turn(side: Side, chat: list[ChatTurn]) -> float:
    """The next turn of a chat: seconds to its first token. The chat is longer afterwards."""
    heard = await side.ask(chat, 16)
    chat += [ChatTurn("assistant", heard.text), ChatTurn("user", "And then, please?")]
    return heard.first_s


async def _cancelling(engine: LlamaEngine) -> list[Row]:
    """From the moment at which the caller leaves to the moment at which the model's thread is free."""
    writing, reading = [], []
    for _ in range(ROUNDS):
        story = ChatRequest(turns=[ChatTurn("user", STORY.format("cat"))], max_tokens=999)
        async with aclosing(engine.stream(story)) as items:
            await anext(items)
        writing.append(await _idle_s(engine))
        task = asyncio.create_task(engine.complete(ChatRequest(turns=_chat(f"N{next(_names)}"), max_tokens=99)))
        await asyncio.sleep(0.3)  # well into the prompt
        task.cancel()
        await asyncio.wait({task})
        reading.append(await _idle_s(engine))
    return [
        Row("cancel to idle, while it writes", median(writing), None, "s", "", "lower", ""),
        Row("cancel to idle, while it reads the prompt", median(reading), None, "s", "", "lower", ""),
    ]


async def _idle_s(engine: LlamaEngine) -> float:
    began = time.perf_counter()
    await asyncio.gather(*engine._running)
    return time.perf_counter() - began
