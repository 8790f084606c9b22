"""OpenAI's interface, asked by the official client where it can ask, and by hand where it would not."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import openai
import pytest
from fake_twin import TOKEN, FakeTwin
from serving import AUTH, Client, with_server

from node.config import BudgetConfig, BudgetLimits
from node.inference.engine import ChatRequest, Completion, Engine, ToolCall
from node.inference.errors import BudgetExhausted, GoalTooLong, InferenceError
from node.inference.gateway import Gateway
from node.inference.governor import Governor
from node.inference.local import LocalModel
from node.inference.providers.errors import ProviderFailed
from storage.database import Database
from tests.node.inference.providers.engines import provider

MODEL = "small.gguf"
HELLO: Any = [{"role": "user", "content": "one two three"}]
TOOLS: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


@dataclass
class Saying:
    """A model that says the pieces and ends as told; it remembers what it was asked."""

    pieces: tuple[str, ...] = ("Hel", "lo")
    calls: tuple[ToolCall, ...] = ()
    failure: InferenceError | None = None
    name: str = "saying"
    capable: bool = True
    context_tokens: int = 300
    gate: asyncio.Event | None = None
    asked: ChatRequest | None = None
    left: bool = False

    async def complete(self, request: ChatRequest) -> Completion:
        raise AssertionError("the gateway streams")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
        self.asked = request
        try:
            if self.gate is not None:
                await self.gate.wait()
            for piece in self.pieces:
                await asyncio.sleep(0)
                yield piece
            if self.failure is not None:
                raise self.failure
        except (GeneratorExit, asyncio.CancelledError):
            self.left = True
            raise
        yield Completion(
            text="".join(self.pieces),
            model=self.name,
            prompt_tokens=7,
            completion_tokens=2,
            ms=1.0,
            finish="tool_calls" if self.calls else "stop",
            tool_calls=self.calls,
            cached_tokens=3,
        )

    async def aclose(self) -> None:
        pass


Test = Callable[[openai.AsyncOpenAI, FakeTwin, Client], Awaitable[None]]


def with_client(test: Test, *engines: Saying) -> None:
    """Run `test` with the official client against a twin whose providers are `engines`."""

    async def serve(client: Client, twin: FakeTwin) -> None:
        slots = [provider(f"p{number}", engine, sees_private=False) for number, engine in enumerate(engines)]
        twin.inference.gateway = Gateway(
            twin.inference.local, remotes=lambda: slots, pause=lambda seconds: asyncio.sleep(0)
        )
        async with openai.AsyncOpenAI(base_url=f"{client.url}/v1", api_key=TOKEN, max_retries=0) as official:
            await asyncio.wait_for(test(official, twin, client), 60)

    with_server(serve)


def test_a_completion_is_whole_or_in_pieces() -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        whole = await official.chat.completions.create(model=MODEL, messages=HELLO)
        assert whole.choices[0].message.content == "one two three"
        assert (whole.model, whole.choices[0].finish_reason) == (MODEL, "stop")
        assert whole.usage is not None
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens) == (3, 3, 6)
        stream = await official.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "one two three"
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks[:-1] if chunk.choices[0].finish_reason] == ["stop"]
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage
        assert len({chunk.id for chunk in chunks}) == 1
        plain = await official.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert all(chunk.usage is None for chunk in [chunk async for chunk in plain])
        short = await official.chat.completions.create(model=MODEL, messages=HELLO, max_completion_tokens=2)
        assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("one two", "length")

    with_client(test)


def test_every_member_reaches_the_model() -> None:
    engine = Saying()
    turns: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "1+1?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]

    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        await official.chat.completions.create(
            model="p0/saying",
            messages=turns,
            max_tokens=9,
            temperature=0.5,
            top_p=0.9,
            seed=4,
            stop=["END"],
            tools=TOOLS,
            tool_choice={"type": "function", "function": {"name": "add"}},
            user="session 1",
            metadata={"known": "to nobody"},
        )
        asked = engine.asked
        assert asked is not None
        assert [turn.role for turn in asked.turns] == ["system", "user", "assistant", "tool"]
        assert asked.turns[1].content == "What is 1+1?"
        assert asked.turns[2].tool_calls == (ToolCall("c1", "add", '{"a":1}'),)
        assert asked.turns[3].tool_call_id == "c1"
        assert (asked.max_tokens, asked.temperature, asked.top_p, asked.seed) == (9, 0.5, 0.9, 4)
        assert (asked.stop, asked.tool_choice, asked.session_id) == (("END",), "add", "session 1")
        assert (asked.tools[0].name, asked.tools[0].parameters) == ("add", {"type": "object"})
        assert not asked.private, "who names a model says with it who sees the prompt"
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        for wanted, expected in (
            ({"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}, schema),
            ({"type": "json_object"}, {"type": "object"}),
            ({"type": "text"}, None),
        ):
            await official.chat.completions.create(model="p0/saying", messages=HELLO, response_format=wanted)  # type: ignore[call-overload]
            assert engine.asked is not None
            assert engine.asked.json_schema == expected
        assert engine.asked is not None
        assert engine.asked.max_tokens == 150, "half of the context, where the client does not say"

    with_client(test, engine)


class Loading(LocalModel):
    """A local model that says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = asyncio.Event()

    async def ready(self) -> Engine | None:
        self.awaited.set()
        return await super().ready()


def test_a_model_that_is_being_loaded_gets_its_usual_room() -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        local, engine = Loading(), Saying()
        twin.inference.gateway = Gateway(local)
        asking = asyncio.create_task(official.chat.completions.create(model="default", messages=HELLO))
        await local.awaited.wait()
        local.settle(engine, None)
        await asking
        assert engine.asked is not None
        assert engine.asked.max_tokens == 150

    with_client(test)


def test_what_the_governor_says_is_streamed_too(tmp_path: Path) -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        async with Database.open(tmp_path / "node.db") as database:
            config = BudgetConfig(day=BudgetLimits(tokens=10))
            governor = await Governor.load(database, config)
            twin.inference.gateway = Gateway(twin.inference.local, governor=governor)
            stream = await official.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
            said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert said.startswith("The budget governor holds this back")

    with_client(test)


def test_tool_calls_come_back_whole_and_streamed() -> None:
    engine = Saying(pieces=(), calls=(ToolCall("c1", "add", '{"a": 1}'), ToolCall("c2", "add", "{}")))

    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        whole = await official.chat.completions.create(model="p0/saying", messages=HELLO, tools=TOOLS)
        message = whole.choices[0].message
        assert (message.content, whole.choices[0].finish_reason) == (None, "tool_calls")
        assert [(call.id, call.function.name) for call in message.tool_calls or ()] == [("c1", "add"), ("c2", "add")]  # type: ignore[union-attr]
        async with official.chat.completions.stream(model="p0/saying", messages=HELLO, tools=TOOLS) as stream:
            final = await stream.get_final_completion()
        calls = final.choices[0].message.tool_calls or []
        assert [(call.id, call.function.arguments) for call in calls] == [("c1", '{"a": 1}'), ("c2", "{}")]

    with_client(test, engine)


def test_who_could_be_asked_is_said_where_nobody_may_see_what_is_private() -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        twin.inference.local.settle(None, "no model was chosen")
        with pytest.raises(openai.InternalServerError) as caught:
            await official.chat.completions.create(model="default", messages=HELLO)
        assert "p0: may not see private memories; local: no model was chosen. " in caught.value.message
        assert "--sees private" in caught.value.message

    with_client(test, Saying())


def test_default_is_the_owners_order_for_what_may_be_private() -> None:
    stranger = Saying()

    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        answer = await official.chat.completions.create(model="default", messages=HELLO)
        assert answer.model == MODEL
        assert stranger.asked is None

    with_client(test, stranger)


def test_the_twin_answers_as_a_model() -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        turns: Any = [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "hello"}]
        whole = await official.chat.completions.create(model="twin", messages=turns, user="s1")
        assert (whole.choices[0].message.content, whole.model, whole.usage) == ("You said: hello", "twin", None)
        assert twin.jobs.jobs[0].session_id == "s1"
        stream = await official.chat.completions.create(
            model="twin", messages=turns, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: hello"
        assert all(chunk.usage is None for chunk in chunks), "what nobody counted is not said"
        waiting = await official.chat.completions.create(model="twin", messages=[{"role": "user", "content": "wait"}])
        assert waiting.model_extra is not None
        assert waiting.model_extra["note"].endswith("waiting_approval")
        assert twin.jobs.jobs[0].status == "waiting_approval", "it is left waiting for its owner"
        for wrong in ({"messages": turns[:1]}, {"tools": TOOLS}, {"response_format": {"type": "json_object"}}):
            with pytest.raises(openai.BadRequestError):
                await official.chat.completions.create(**{"model": "twin", "messages": turns, **wrong})

    with_client(test)


def test_the_official_client_raises_its_own_errors() -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        for failure, kind, code in (
            (BudgetExhausted("used up"), openai.RateLimitError, "42928"),
            (GoalTooLong("too long"), openai.APIStatusError, "context_length_exceeded"),
            (ProviderFailed("it answered 500"), openai.InternalServerError, "50302"),
        ):
            engine.failure = failure
            with pytest.raises(kind) as caught:
                await official.chat.completions.create(model="p0/saying", messages=HELLO)
            assert caught.value.code == code
            assert str(failure) in caught.value.message
        with pytest.raises(openai.NotFoundError):
            await official.chat.completions.create(model="gpt-9", messages=HELLO)
        with pytest.raises(openai.NotFoundError):
            await official.models.retrieve("gpt-9")
        stranger = openai.AsyncOpenAI(base_url=f"{client.url}/v1", api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
        await stranger.close()

    engine = Saying(pieces=())
    with_client(test, engine)


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x", "tool_call_id": "c"}]},
        {"messages": [{"role": "user", "content": "x", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}]},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"n": 2},
        {"logprobs": True},
        {"max_tokens": 0},
        {"temperature": 3},
        {"stop": [""]},
        {"stop": ["x"] * 17},
        {"tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "xml"}},
        {"stream": "yes"},
    ],
    ids=json.dumps,
)
def test_what_cannot_be_done_is_refused(wrong: dict[str, Any]) -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        body = {"model": MODEL, "messages": HELLO, **wrong}
        status, problem, _ = await client("POST", "/v1/chat/completions", json=body)
        assert (status, problem["code"], problem["error"]["type"]) == (400, 40010, "invalid_request_error"), problem
        assert problem["error"]["message"].startswith("body: /")

    with_client(test)


def test_an_error_in_the_middle_of_a_stream_is_said_in_it() -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        stream = await official.chat.completions.create(model="p0/saying", messages=HELLO, stream=True)
        said: list[str] = []
        with pytest.raises(openai.APIError, match="p0 failed after 5 characters of its answer: it was cut"):
            await _collect(stream, said)
        assert "".join(said) == "Hello"

    with_client(test, Saying(failure=ProviderFailed("it was cut")))


async def _collect(stream: Any, said: list[str]) -> None:
    async for chunk in stream:
        said.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - those before an error count


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_goes_away_stops_the_model(*, stream: bool, begun: bool) -> None:
    engine = Saying(pieces=("word ",) * 1_000_000 if begun else ("word",), gate=None if begun else asyncio.Event())

    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        body = {"model": "p0/saying", "messages": HELLO, "stream": stream, "max_tokens": 9}
        async with aiohttp.ClientSession() as session:
            sending = asyncio.create_task(session.post(f"{client.url}/v1/chat/completions", json=body, headers=AUTH))
            async with asyncio.timeout(20):
                while engine.asked is None:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            if stream and begun:
                response = await sending
                await response.content.readany()
                response.close()
            else:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        async with asyncio.timeout(20):
            while not engine.left:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    with_client(test, engine)


def test_embeddings_are_numbers_or_bytes() -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        wanted = twin.inference.embedder.embed(["a tide", "a moon"])
        both = await official.embeddings.create(model="words-64", input=["a tide", "a moon"])
        assert np.array_equal(np.asarray([item.embedding for item in both.data], np.float32), wanted)
        one = await official.embeddings.create(model="default", input="a tide", encoding_format="float")
        assert np.array_equal(np.asarray(one.data[0].embedding, np.float32), wanted[0])
        assert (one.model, one.usage.prompt_tokens > 0) == ("words-64", True)
        with pytest.raises(openai.NotFoundError):
            await official.embeddings.create(model="text-embedding-3-small", input="x")
        for wrong in ({"input": []}, {"input": ""}, {"input": [1, 2]}, {"input": "x", "dimensions": 7}):
            with pytest.raises(openai.BadRequestError):
                await official.embeddings.create(**{"model": "default", **wrong})

    with_client(test)


def test_models_are_listed_and_found() -> None:
    async def test(official: openai.AsyncOpenAI, twin: FakeTwin, client: Client) -> None:
        listed = [model.id async for model in official.models.list()]
        assert listed == ["twin", "default", "p0/org/m:1", MODEL, "words-64"]
        for name in listed:
            assert (await official.models.retrieve(name)).id == name

    with_client(test, Saying(name="org/m:1"))
