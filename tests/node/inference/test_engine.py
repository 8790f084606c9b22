"""What every Engine keeps to: the fake that other tests use, the real model, remote models over both wire formats,
another twin's model, and the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.inference.engine import ChatRequest, ChatTurn, Completion, Engine
from node.inference.errors import BadInferenceRequest, GoalTooLong, InferenceUnavailable
from node.inference.llama import open_engine
from node.inference.llama_cpp_python import open_engine as open_second
from node.inference.providers.openai import OpenAiDialect
from tests.node.inference.fake import ScriptedEngine
from tests.node.inference.providers.engines import open_anthropic, open_gateway, open_openai, open_remote
from tests.node.inference.providers.provider_server import provider_server
from tests.node.processes import Machine, Process, wait_until

CONTEXT_TOKENS = 512

Opener = Callable[[], AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def scripted() -> AsyncIterator[Engine]:
    engine = ScriptedEngine(context_tokens=CONTEXT_TOKENS)
    try:
        yield engine
    finally:
        await engine.aclose()


@asynccontextmanager
async def remote(kind: str) -> AsyncIterator[Engine]:
    """A remote engine over a scripted provider."""
    open_kind = open_openai if kind == "openai" else open_anthropic
    async with (
        provider_server(ScriptedEngine(context_tokens=CONTEXT_TOKENS)) as server,
        open_kind(server, context_tokens=CONTEXT_TOKENS) as engine,
    ):
        yield engine


@asynccontextmanager
async def gateway() -> AsyncIterator[Engine]:
    async with remote("openai") as engine, open_gateway(engine) as opened:
        yield opened


@pytest.fixture(scope="module")
def twin_with_model(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path) -> Iterator[Process]:
    """A real twin whose model has the context that these tests want."""
    machine = Machine(tmp_path_factory.mktemp("twins"))
    config = f"[inference]\ncontext_tokens = {CONTEXT_TOKENS}\n"
    twin = machine.twin("ada", "--model", str(bundled_model), config=config)
    twin.start()
    ready = {"ready": True}
    wait_until(lambda: ready.get(twin.client.get("providers")["items"][-1]["state"]), "the model")
    yield twin
    machine.discard_all()


def another_twins(twin: Process) -> AbstractAsyncContextManager[Engine]:
    """Its model, by its own interface."""
    return open_remote(
        OpenAiDialect(),
        f"{twin.first_line['api']}/v1",
        model=str(twin.client.get("providers")["items"][-1]["model"]),
        key=(twin.home / "api-token").read_text().strip(),
        context_tokens=CONTEXT_TOKENS,
    )


@pytest.fixture(
    params=[
        "fake",
        "openai",
        "anthropic",
        "gateway",
        pytest.param("twin", marks=[pytest.mark.model, pytest.mark.slow]),
        pytest.param("model", marks=[pytest.mark.model, pytest.mark.slow]),
        pytest.param("second", marks=[pytest.mark.model, pytest.mark.slow]),
    ]
)
def opener(request: pytest.FixtureRequest) -> Opener:
    if request.param == "fake":
        return scripted
    if request.param == "gateway":
        return gateway
    if request.param == "twin":
        twin = request.getfixturevalue("twin_with_model")
        return lambda: another_twins(twin)
    if request.param not in ("model", "second"):
        return lambda: remote(request.param)
    if request.param == "second":
        pytest.importorskip("llama_cpp", reason="the extra llama-cpp is not installed")
    path = request.getfixturevalue("bundled_model")
    open_ = open_engine if request.param == "model" else open_second
    return lambda: open_(path, context_tokens=CONTEXT_TOKENS)


def use(opener: Opener, test: Callable[[Engine], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opener() as engine:
            await asyncio.wait_for(test(engine), 60)

    asyncio.run(main())


def user(text: str) -> list[ChatTurn]:
    return [ChatTurn("user", text)]


STORY = user("Tell a long story about the sea and the many ships that sail on it, from the first to the last.")


def test_an_answer_and_its_pieces_are_the_same(opener: Opener) -> None:
    async def test(engine: Engine) -> None:
        whole = await engine.complete(ChatRequest(turns=STORY, max_tokens=12))
        assert whole.text
        assert whole.model == engine.name
        assert 1 <= whole.completion_tokens <= 12
        assert whole.prompt_tokens >= 10
        assert whole.ms > 0
        *pieces, last = [piece async for piece in engine.stream(ChatRequest(turns=STORY, max_tokens=12))]
        assert isinstance(last, Completion)
        assert "".join(str(piece) for piece in pieces) == whole.text == last.text
        assert (last.finish, last.completion_tokens) == (whole.finish, whole.completion_tokens) == ("length", 12)
        assert len(pieces) > 1

    use(opener, test)


def test_an_answer_ends_before_a_stop_text(opener: Opener) -> None:
    async def test(engine: Engine) -> None:
        whole = (await engine.complete(ChatRequest(turns=STORY, max_tokens=12))).text
        stop = whole.split()[3]
        stopped = await engine.complete(ChatRequest(turns=STORY, max_tokens=12, stop=[stop]))
        assert stopped.text == whole[: whole.index(stop)]

    use(opener, test)


def test_an_answer_under_a_schema_is_json_that_fits(opener: Opener) -> None:
    schema = {
        "type": "object",
        "properties": {"tool": {"enum": ["calculator", "clock"]}},
        "required": ["tool"],
        "additionalProperties": False,
    }

    async def test(engine: Engine) -> None:
        request = ChatRequest(turns=user("Which tool tells the time?"), max_tokens=100, json_schema=schema)
        answer = await engine.complete(request)
        assert json.loads(answer.text)["tool"] in ("calculator", "clock")

    use(opener, test)


@pytest.mark.parametrize(
    "arguments",
    [
        {"turns": []},
        {"max_tokens": 0},
        {"temperature": -1.0},
        {"temperature": 3.0},
        {"stop": [""]},
        {"json_schema": {"type": "nonsense"}},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_a_request_that_cannot_be_used_is_refused(opener: Opener, arguments: dict[str, Any]) -> None:
    async def test(engine: Engine) -> None:
        with pytest.raises(BadInferenceRequest):
            await engine.complete(ChatRequest(**{"turns": user("Hello"), **arguments}))
        assert (await engine.complete(ChatRequest(turns=user("Hello"), max_tokens=2))).text

    use(opener, test)


@pytest.mark.parametrize(
    ("words", "max_tokens"), [(100_000, 1), (600, 1), (400, 200), (1, CONTEXT_TOKENS)], ids=lambda value: str(value)
)
def test_a_goal_that_does_not_fit_is_refused_with_a_hint(opener: Opener, words: int, max_tokens: int) -> None:
    async def test(engine: Engine) -> None:
        with pytest.raises(GoalTooLong) as caught:
            await engine.complete(ChatRequest(turns=user("word " * words), max_tokens=max_tokens))
        assert str(caught.value.code).startswith("413")
        assert "horten" in caught.value.hint

    use(opener, test)


def test_leaving_a_stream_early_leaves_room_for_others(opener: Opener) -> None:
    async def test(engine: Engine) -> None:
        for _ in range(6):
            async with aclosing(engine.stream(ChatRequest(turns=STORY, max_tokens=300))) as pieces:  # type: ignore[type-var]
                assert await anext(pieces)
        assert (await engine.complete(ChatRequest(turns=STORY, max_tokens=4))).text

    use(opener, test)


def test_many_callers_are_served(opener: Opener) -> None:
    async def test(engine: Engine) -> None:
        requests = [ChatRequest(turns=user(f"Say the number {n}."), max_tokens=4) for n in range(6)]
        answers = await asyncio.gather(*(engine.complete(request) for request in requests))
        assert all(answer.text for answer in answers)

    use(opener, test)


def test_a_closed_engine_says_so(opener: Opener) -> None:
    async def test(engine: Engine) -> None:
        await engine.aclose()
        await engine.aclose()
        with pytest.raises(InferenceUnavailable):
            await engine.complete(ChatRequest(turns=user("Hello")))
        with pytest.raises(InferenceUnavailable):
            await anext(engine.stream(ChatRequest(turns=user("Hello"))))

    use(opener, test)


def test_closing_ends_what_runs(opener: Opener) -> None:
    async def test(engine: Engine) -> None:
        pieces = engine.stream(ChatRequest(turns=STORY, max_tokens=300))
        await anext(pieces)
        await engine.aclose()
        with pytest.raises(InferenceUnavailable):
            [piece async for piece in pieces]

    use(opener, test)
