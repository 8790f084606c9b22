"""The engine over xllamacpp: cancelling, bounds, what it shows to the machine, and the memory it gives back.

A stand-in for the library's server covers what a real model cannot be made to do.
"""

import asyncio
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from node.inference.engine import ChatRequest, ChatTurn, Completion, ToolCall, ToolSpec
from node.inference.errors import (
    BadInferenceRequest,
    GoalTooLong,
    InferenceFailed,
    InferenceUnavailable,
    ModelMissing,
    ModelUnloadable,
)
from node.inference.llama import MAX_WAITING, LlamaEngine, open_engine
from node.inference.machine import Fit
from tests.node.inference.gguf_files import gguf

HELLO = [ChatTurn("user", "Hello")]
REPO = Path(__file__).parents[3]


def text_chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}


class StubServer:
    """Sends the given chunks; then, if it has a gate, holds its thread until the gate opens or it is cancelled."""

    def __init__(self, *chunks: Mapping[str, Any], error: Exception | None = None, endless: bool = False) -> None:
        self.chunks, self.error, self.endless = chunks, error, endless
        self.started = threading.Semaphore(0)
        self.stopped = threading.Semaphore(0)

    def handle_chat_completions(self, request: Any, callback: Callable[[Mapping[str, Any]], bool]) -> None:
        if self.error:
            raise self.error
        self.started.release()
        for chunk in self.chunks:
            if callback(chunk):
                break
        while self.endless and not callback(text_chunk("more ")):
            threading.Event().wait(0.001)
        self.stopped.release()


def engine_over(server: Any, parallel: int = 2) -> LlamaEngine:
    chosen = Fit(threads=1, context_tokens=100, parallel=parallel, gpu_layers=0, why=())
    return LlamaEngine(server, "stub", capable=False, lists_tools=True, chosen=chosen)


def test_pieces_and_usage_become_a_completion() -> None:
    async def main() -> None:
        engine = engine_over(StubServer(text_chunk("a "), text_chunk("b"), USAGE))
        answer = await engine.complete(ChatRequest(turns=HELLO, max_tokens=5))
        assert (answer.text, answer.model, answer.prompt_tokens, answer.completion_tokens) == ("a b", "stub", 7, 2)
        await engine.aclose()

    asyncio.run(main())


def tool_chunk(**part: Any) -> dict[str, Any]:
    return {"choices": [{"delta": {"tool_calls": [part]}}]}


LOOK = ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})


def answered(request: ChatRequest, *chunks: Mapping[str, Any]) -> tuple[list[str], Completion]:
    """The pieces and the completion of a request that the library answers with these chunks."""
    seen: list[str | Completion] = []

    async def main() -> None:
        engine = engine_over(StubServer(*chunks, *(() if "usage" in chunks[-1] else (USAGE,))))
        seen.extend([item async for item in engine.stream(request)])
        await engine.aclose()

    asyncio.run(main())
    *pieces, last = seen
    assert isinstance(last, Completion)
    return [str(piece) for piece in pieces], last


def test_calls_that_the_library_read_are_put_together() -> None:
    pieces, answer = answered(
        ChatRequest(turns=HELLO, max_tokens=5, tools=[LOOK]),
        text_chunk("I look. "),
        tool_chunk(index=0, id="c1", type="function", function={"name": "look", "arguments": ""}),
        tool_chunk(index=0, function={"arguments": '{"at": '}),
        tool_chunk(index=1, function={"name": "look", "arguments": "{}"}),
        tool_chunk(index=0, function={"arguments": '"sea"}'}),
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    )
    assert (pieces, answer.text, answer.finish) == (["I look. "], "I look. ", "tool_calls")
    one, other = answer.tool_calls
    assert one == ToolCall("c1", "look", '{"at": "sea"}')
    assert (other.name, other.arguments, bool(other.id)) == ("look", "{}", True)


def test_a_call_that_the_model_wrote_as_text_is_a_call() -> None:
    call = '```json\n{"name": "look", "arguments": {"at": "sea"}}\n```'
    chunks = [text_chunk(char) for char in call]
    pieces, answer = answered(ChatRequest(turns=HELLO, max_tokens=50, tools=[LOOK]), *chunks)
    assert (pieces, answer.text, answer.finish) == ([], "", "tool_calls")
    assert [(found.name, json.loads(found.arguments)) for found in answer.tool_calls] == [("look", {"at": "sea"})]
    pieces, answer = answered(ChatRequest(turns=HELLO, max_tokens=50), *chunks)
    assert (answer.text, answer.finish) == (call, "stop"), "without tools it is text"


def test_why_an_answer_ended_and_what_was_known_is_told() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}
    _, answer = answered(
        ChatRequest(turns=HELLO, max_tokens=2),
        text_chunk("a b"),
        {"choices": [{"delta": {}, "finish_reason": "length"}]},
        {"choices": [], "usage": usage},
    )
    assert (answer.finish, answer.cached_tokens) == ("length", 8)
    _, answer = answered(ChatRequest(turns=HELLO, max_tokens=2), text_chunk("a"))
    assert answer.finish == "stop", "an answer of exactly max_tokens may have come to its end"


@pytest.mark.parametrize(
    ("server", "error"),
    [
        (StubServer(text_chunk("a")), InferenceFailed),
        (StubServer({"nonsense": 1}), InferenceFailed),
        (StubServer({"error": {"code": 500, "message": "out of\nmemory"}}), InferenceFailed),
        (StubServer({"error": {"code": 400, "message": "bad grammar"}}), BadInferenceRequest),
        (StubServer({"error": {"code": 400, "type": "exceed_context_size_error"}}), GoalTooLong),
        (StubServer({"choices": [], "prompt_progress": {"total": 99}}, endless=True), GoalTooLong),
        (StubServer(error=ValueError("schema")), BadInferenceRequest),
        (StubServer(error=RuntimeError("broken")), InferenceFailed),
    ],
)
def test_what_goes_wrong_in_the_library_is_an_error_of_ours(server: StubServer, error: type[Exception]) -> None:
    async def main() -> None:
        engine = engine_over(server)
        with pytest.raises(error):
            await engine.complete(ChatRequest(turns=HELLO, max_tokens=5))
        await engine.aclose()

    asyncio.run(main())


def test_cancelling_the_caller_stops_the_model_and_frees_its_slot() -> None:
    async def main() -> None:
        server = StubServer(endless=True)
        engine = engine_over(server, parallel=1)
        for _ in range(3):
            task = asyncio.create_task(engine.complete(ChatRequest(turns=HELLO, max_tokens=50)))
            await asyncio.to_thread(server.started.acquire)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(server.stopped.acquire)
        await engine.aclose()

    asyncio.run(main())


def test_requests_wait_their_turn_and_too_many_are_told_at_once() -> None:
    async def main() -> None:
        server = StubServer(endless=True)
        engine = engine_over(server, parallel=1)
        waiting = [
            asyncio.create_task(engine.complete(ChatRequest(turns=HELLO, max_tokens=50)))
            for _ in range(MAX_WAITING + 1)
        ]
        await asyncio.to_thread(server.started.acquire)
        with pytest.raises(InferenceUnavailable, match="busy"):
            await engine.complete(ChatRequest(turns=HELLO, max_tokens=50))
        waiting[-1].cancel()  # leaves the queue
        await asyncio.wait({waiting[-1]})
        waiting.append(asyncio.create_task(engine.complete(ChatRequest(turns=HELLO, max_tokens=50))))
        await engine.aclose()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {InferenceUnavailable, asyncio.CancelledError}

    asyncio.run(main())


class StubLibrary(ModuleType):
    """Stands in for xllamacpp; its server answers the first request with `answer`."""

    def __init__(self, answer: Mapping[str, Any], *, gpu: bool = False) -> None:
        super().__init__("xllamacpp")
        self.gpu = gpu
        self.params = SimpleNamespace(
            model=SimpleNamespace(), cpuparams=SimpleNamespace(), cpuparams_batch=SimpleNamespace()
        )
        self.requests: list[Mapping[str, Any]] = []
        self.answer = answer

    def CommonParams(self) -> SimpleNamespace:
        return self.params

    def get_device_info(self) -> list[dict[str, Any]]:
        kinds = ("CPU", "GPU") if self.gpu else ("CPU",)
        return [
            {
                "type": SimpleNamespace(name=f"GGML_BACKEND_DEVICE_TYPE_{kind}"),
                "description": kind,
                "memory_free": 10**9,
            }
            for kind in kinds
        ]

    def Server(self, params: SimpleNamespace) -> "StubLibrary":
        return self

    def handle_completions(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.requests.append(request)
        return self.answer


def open_over(library: StubLibrary, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    async def main() -> None:
        path = folder / "stub.gguf"
        async with open_engine(path, threads=3, context_tokens=100, parallel=2, engines=folder) as engine:
            assert engine.name == "stub"
            # A real server that is freed before its loop has begun never ends: it must have answered something.
            assert len(library.requests) == 1

    (folder / "stub.gguf").write_bytes(gguf())
    monkeypatch.setitem(sys.modules, "xllamacpp", library)
    asyncio.run(main())


def test_the_library_is_told_to_be_quiet_closed_and_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, other = StubLibrary({"content": "3"}), StubLibrary({"content": "3"})
    open_over(one, monkeypatch, tmp_path)
    open_over(other, monkeypatch, tmp_path)
    params = one.params
    assert params.hostnames == ["127.0.0.1"]
    assert len(params.api_keys[0]) >= 32
    assert params.api_keys != other.params.api_keys
    assert (params.verbosity, params.cache_ram_mib, params.offline, params.ui) == (-1, 0, True, False)
    assert (params.n_ctx, params.n_parallel) == (200, 2)
    assert params.cpuparams.n_threads == params.cpuparams_batch.n_threads == 3


def test_layers_go_to_the_gpu_that_the_library_sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpu, gpu = StubLibrary({"content": "3"}), StubLibrary({"content": "3"}, gpu=True)
    open_over(cpu, monkeypatch, tmp_path)
    open_over(gpu, monkeypatch, tmp_path)
    assert (cpu.params.n_gpu_layers, cpu.params.n_batch) == (0, 128)
    assert (gpu.params.n_gpu_layers, gpu.params.n_batch) == (-1, 512)


def test_a_model_that_loads_but_does_not_run_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelUnloadable, match="no tensor"):
        open_over(StubLibrary({"error": {"code": 500, "message": "no tensor"}}), monkeypatch, tmp_path)


@pytest.mark.slow
def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ModelMissing, match=r"missing\.gguf"):
            async with open_engine(tmp_path / "missing.gguf"):
                pass
        (tmp_path / "text.gguf").write_text("not a model")
        with pytest.raises(ModelUnloadable):
            async with open_engine(tmp_path / "text.gguf"):
                pass
        (tmp_path / "cut.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 8)
        with pytest.raises(ModelUnloadable):
            async with open_engine(tmp_path / "cut.gguf"):
                pass

    asyncio.run(main())


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_answers_stops_and_gives_its_memory_back(bundled_model: Path) -> None:
    story = [ChatTurn("user", "Tell a very long story about the sea.")]
    long_prompt = [ChatTurn("user", "alpha beta gamma " * 400)]

    async def main() -> None:
        async with open_engine(bundled_model, context_tokens=2048) as engine:
            answer = await engine.complete(
                ChatRequest(turns=[ChatTurn("user", "Name the capital of France.")], max_tokens=20)
            )
            assert "Paris" in answer.text
            loaded_bytes = psutil.Process().memory_info().rss

            # While it writes, and while it reads the prompt: alone, each would go on for several seconds.
            async with aclosing(engine.stream(ChatRequest(turns=story, max_tokens=400))) as pieces:  # type: ignore[type-var]
                await anext(pieces)
                running = [*engine._running]
            await asyncio.wait_for(asyncio.gather(*running), 5)
            task = asyncio.create_task(engine.complete(ChatRequest(turns=long_prompt, max_tokens=400)))
            while not engine._running:  # noqa: ASYNC110 - the library has no event of ours
                await asyncio.sleep(0)
            running = [*engine._running]
            task.cancel()
            await asyncio.wait_for(asyncio.gather(*running), 5)
            with pytest.raises(asyncio.CancelledError):
                await task
        assert psutil.Process().memory_info().rss < loaded_bytes - 150_000_000

    asyncio.run(main())


def chat_of(name: str) -> list[ChatTurn]:
    system = "You are a kind twin. " + " ".join(f"Rule {n}: be kind to number {n}." for n in range(12))
    return [ChatTurn("system", system), ChatTurn("user", f"My name is {name}. " + f"I like {name}'s boat. " * 12)]


@pytest.mark.model
@pytest.mark.slow
def test_chats_in_turn_and_at_once_are_not_read_again(bundled_model: Path) -> None:
    async def main() -> None:
        async with open_engine(bundled_model, context_tokens=1024, parallel=4) as engine:
            chats = [chat_of(name) for name in ("Ana", "Bob", "Cleo", "Dan")]
            for turn in range(3):
                if turn == 1:  # one after the other, then all at once
                    answers = [await engine.complete(ChatRequest(turns=chat, max_tokens=6)) for chat in chats]
                else:
                    answers = await asyncio.gather(
                        *(engine.complete(ChatRequest(turns=chat, max_tokens=6)) for chat in chats)
                    )
                for chat, answer in zip(chats, answers, strict=True):
                    if turn:
                        assert answer.prompt_tokens - answer.cached_tokens < 30
                    chat += [ChatTurn("assistant", answer.text), ChatTurn("user", "And then?")]

    asyncio.run(main())


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_calls_a_tool_when_it_must(bundled_model: Path) -> None:
    tools = [LOOK, ToolSpec("wait", "Waits.", {"type": "object", "properties": {"s": {"type": "integer"}}})]

    async def main() -> None:
        async with open_engine(bundled_model, context_tokens=1024) as engine:
            for choice in ("required", "look", "wait"):
                request = ChatRequest(turns=HELLO, max_tokens=200, tools=tools, tool_choice=choice)
                answer = await engine.complete(request)
                assert (answer.finish, answer.text) == ("tool_calls", "")
                (call,) = answer.tool_calls
                assert choice in ("required", call.name)
                assert isinstance(json.loads(call.arguments), dict)
            turns = [*HELLO, ChatTurn("assistant", "", (call,)), ChatTurn("tool", "done", tool_call_id=call.id)]
            assert (await engine.complete(ChatRequest(turns=turns, max_tokens=5, tools=tools))).prompt_tokens > 50

    asyncio.run(main())


@pytest.mark.model
@pytest.mark.slow
def test_a_seed_gives_the_same_again(bundled_model: Path) -> None:
    async def main() -> None:
        async with open_engine(bundled_model, context_tokens=512, parallel=1) as engine:
            texts = [
                (await engine.complete(ChatRequest(turns=HELLO, max_tokens=12, temperature=1.5, seed=seed))).text
                for seed in (7, 7, 8, 9)
            ]
            assert texts[0] == texts[1]
            assert len(set(texts)) > 1

    asyncio.run(main())


_CHILD = """
import asyncio, json, sys
from pathlib import Path
from node.inference.engine import ChatRequest, ChatTurn
from node.inference.llama import open_engine

async def main():
    async with open_engine(Path(sys.argv[1]), context_tokens=512) as engine:
        await engine.complete(ChatRequest(turns=[ChatTurn("user", "Hello")], max_tokens=3))
        print(engine._server.listening_address, file=sys.stderr, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@pytest.mark.model
@pytest.mark.slow
def test_the_library_is_silent_and_its_listener_serves_nobody(bundled_model: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(bundled_model)],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stderr is not None
        address = child.stderr.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        for path, body in (("/v1/chat/completions", b"{}"), ("/tokenize", b"{}"), ("/props", None), ("/slots", None)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(address + path, body), timeout=10)
            assert caught.value.code in (401, 404)
            caught.value.close()
        listening = {c.laddr for c in psutil.Process(child.pid).net_connections("inet") if c.status == "LISTEN"}
        assert {address.ip for address in listening} == {"127.0.0.1"}
        out, err = child.communicate("\n", timeout=60)
    assert (out, err, child.returncode) == ("", "", 0)


@pytest.mark.slow
def test_the_node_does_not_load_the_library_before_it_needs_it() -> None:
    modules = "node.inference.llama, node.inference.embedder, node.memory.memory"
    code = f"import sys, json, {modules}; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert not {"xllamacpp", "wordllama", "faiss", "torch"} & set(json.loads(done.stdout))
