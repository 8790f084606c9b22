"""Remote engines over both wire formats: what is sent, what comes back, and every way in which a provider fails."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, aclosing
from typing import Any

import pytest
from aiohttp import web

from node.inference.engine import ChatRequest, ChatTurn, Completion, ToolCall, ToolSpec
from node.inference.errors import BadInferenceRequest, GoalTooLong, InferenceError
from node.inference.providers.errors import ProviderFailed, ProviderLimited, ProviderRefused, ProviderSilent
from node.inference.providers.remote import RemoteEngine, Times
from protocols.limits import MAX_PROVIDER_EVENT_BYTES
from tests.node.inference.fake import ScriptedEngine
from tests.node.inference.providers.engines import TIMES, open_anthropic, open_openai
from tests.node.inference.providers.provider_server import (
    KEY,
    Behaviour,
    ProviderServer,
    chunk,
    event,
    hangs,
    opened,
    provider_server,
    refusal,
    refuses,
    sends,
    usage_chunk,
)

HELLO = ChatRequest(turns=(ChatTurn("user", "one two three four"),))
KINDS = ("openai", "anthropic")
SHORT = Times(first_piece_s=0.3, stall_s=0.3, answer_s=30)

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = ToolSpec("get_weather", "The weather in a city.", CITY)
TALK = (
    ChatTurn("system", "Be brief."),
    ChatTurn("user", "Weather in Paris and Rome?"),
    ChatTurn("assistant", "", (ToolCall("c1", "get_weather", '{"city":"Paris"}'), ToolCall("c2", "get_weather", "{}"))),
    ChatTurn("tool", "rain", tool_call_id="c1"),
    ChatTurn("tool", "sun", tool_call_id="c2"),
)

Test = Callable[[RemoteEngine, ProviderServer], Awaitable[None]]


def use(kind: str, test: Test, *behaviours: Behaviour, times: Times = TIMES, key: str = KEY) -> None:
    open_engine = open_openai if kind == "openai" else open_anthropic

    async def main() -> None:
        async with (
            provider_server(behaviours=behaviours) as server,
            open_engine(server, times=times, key=key) as engine,
        ):
            await asyncio.wait_for(test(engine, server), 60)

    asyncio.run(main())


def failing(kind: str, *behaviours: Behaviour, error: type[InferenceError], times: Times = TIMES) -> list[str]:
    """Ask until each behaviour has failed with `error`; what the errors say."""
    said: list[str] = []

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        for _ in behaviours:
            with pytest.raises(error) as caught:
                await engine.complete(HELLO)
            said.append(str(caught.value))
        assert not server.behaviours
        assert (await engine.complete(HELLO)).text == "one two three four"

    use(kind, test, *behaviours, times=times)
    return said


def begun(kind: str, *more: bytes) -> tuple[bytes, ...]:
    """The beginning of an answer with one piece."""
    if kind == "openai":
        return (chunk({"role": "assistant", "content": ""}), chunk({"content": "Half"}), *more)
    start = event("message_start", message={"usage": {"input_tokens": 3, "output_tokens": 1}})
    block = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    return (start, block, event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Half"}), *more)


def test_the_key_goes_where_each_format_has_it() -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        await engine.complete(HELLO)
        headers = server.headers[0]
        assert KEY in (headers.get("x-api-key"), headers.get("Authorization", "").removeprefix("Bearer "))
        assert headers["Accept-Encoding"] == "identity"
        assert KEY not in repr(vars(engine))

    for kind in KINDS:
        use(kind, test)


def test_one_connection_serves_one_call_after_the_other() -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        for _ in range(3):
            await engine.complete(HELLO)
        assert len(server.connections) == 1

    for kind in KINDS:
        use(kind, test)


def test_what_openai_is_sent() -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        server.behaviours = [sends(chunk({"content": "ok"}, finish="stop"), b"data: [DONE]\n\n")] * 2
        await engine.complete(
            ChatRequest(turns=TALK, tools=(TOOL,), tool_choice="get_weather", stop=("x",), seed=7, top_p=0.5)
        )
        body = server.bodies[0]
        assert body["tools"] == [
            {
                "type": "function",
                "function": {"name": "get_weather", "description": TOOL.description, "parameters": CITY},
            }
        ]
        assert body["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
        assert (body["stop"], body["seed"], body["top_p"], body["stream"]) == (["x"], 7, 0.5, True)
        assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool", "tool"]
        assert body["messages"][2]["content"] is None
        assert body["messages"][2]["tool_calls"][0]["function"] == {
            "name": "get_weather",
            "arguments": '{"city":"Paris"}',
        }
        assert body["messages"][4] == {"role": "tool", "content": "sun", "tool_call_id": "c2"}
        await engine.complete(ChatRequest(turns=TALK[:2], tools=(TOOL,), tool_choice="required"))
        assert server.bodies[1]["tool_choice"] == "required"
        assert "seed" not in server.bodies[1]

    use("openai", test)


def test_a_schema_is_marked_strict_only_where_it_can_be() -> None:
    closed = {**CITY, "additionalProperties": False}

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        for schema in (CITY, closed):
            server.behaviours = [sends(chunk({"content": '{"city":"Oslo"}'}, finish="stop"))]
            await engine.complete(ChatRequest(turns=HELLO.turns, json_schema=schema))
        formats = [body["response_format"] for body in server.bodies]
        assert [one["json_schema"]["strict"] for one in formats] == [False, True]
        assert formats[1]["json_schema"]["schema"] == closed

    use("openai", test)


def test_what_anthropic_is_sent() -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        end = (event("message_delta", delta={"stop_reason": "end_turn"}, usage={}), event("message_stop"))
        server.behaviours = [sends(*begun("anthropic", *end))] * 2
        await engine.complete(ChatRequest(turns=TALK, tools=(TOOL,), tool_choice="required", temperature=1.5))
        body = server.bodies[0]
        assert (body["system"], body["temperature"]) == ("Be brief.", 1.0)
        assert body["tools"] == [{"name": "get_weather", "description": TOOL.description, "input_schema": CITY}]
        assert body["tool_choice"] == {"type": "any"}
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
        assert body["messages"][1]["content"][0] == {
            "type": "tool_use",
            "id": "c1",
            "name": "get_weather",
            "input": {"city": "Paris"},
        }
        assert [part["tool_use_id"] for part in body["messages"][2]["content"]] == ["c1", "c2"]
        assert server.headers[0]["anthropic-version"] == "2023-06-01"
        await engine.complete(ChatRequest(turns=TALK[:2], tools=(TOOL,), tool_choice="get_weather"))
        assert server.bodies[1]["tool_choice"] == {"type": "tool", "name": "get_weather"}
        for turns, schema in ((TALK, {"enum": ["a"]}), (_bad_arguments("no"), None), (_bad_arguments("[1]"), None)):
            with pytest.raises(BadInferenceRequest):
                await engine.complete(ChatRequest(turns=turns, json_schema=schema))

    use("anthropic", test)


def _bad_arguments(text: str) -> tuple[ChatTurn, ...]:
    return (ChatTurn("user", "?"), ChatTurn("assistant", "", (ToolCall("c", "t", text),)))


def test_the_arguments_of_a_tool_call_count_where_the_provider_does_not() -> None:
    called = chunk({"tool_calls": [_part(0, "c", "get_weather", json.dumps({"city": "x" * 300}))]}, finish="tool_calls")

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        assert (await engine.complete(ChatRequest(turns=HELLO.turns, tools=(TOOL,)))).completion_tokens > 100

    use("openai", test, sends(called))


def test_tool_calls_come_together_from_their_pieces() -> None:
    openai = sends(
        chunk({"role": "assistant", "content": None, "tool_calls": [_part(0, "call_a", "get_weather", "")]}),
        chunk({"tool_calls": [_part(0, None, None, '{"city":')]}),
        chunk({"tool_calls": [_part(1, "call_b", "get_weather", '{"city":"Rome"}'), _part(0, None, None, '"Paris"}')]}),
        chunk({}, finish="tool_calls"),
        usage_chunk(40, 9, cached_tokens=32),
        b"data: [DONE]\n\n",
    )
    anthropic = sends(
        event(
            "message_start", message={"usage": {"input_tokens": 8, "cache_read_input_tokens": 32, "output_tokens": 1}}
        ),
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."}),
        event("content_block_start", index=1, content_block=_block("call_a")),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"city":'}),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '"Paris"}'}),
        event("content_block_start", index=2, content_block=_block("call_b")),
        event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"city":"Rome"}'}),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 9}),
        event("message_stop"),
    )

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        answer = await engine.complete(ChatRequest(turns=HELLO.turns, tools=(TOOL,)))
        assert answer.tool_calls == (
            ToolCall("call_a", "get_weather", '{"city":"Paris"}'),
            ToolCall("call_b", "get_weather", '{"city":"Rome"}'),
        )
        assert (answer.text, answer.finish) == ("", "tool_calls")
        assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (40, 32, 9)

    use("openai", test, openai)
    use("anthropic", test, anthropic)


def _part(index: int, call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _block(call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "get_weather", "input": {}}


def test_without_a_count_the_tokens_are_guessed_and_a_count_below_nothing_is_none() -> None:
    silent = sends(chunk({"content": "word " * 30}), chunk({}, finish="stop"), b"data: [DONE]\n\n")
    negative = sends(chunk({"content": "word " * 30}, finish="stop"), usage_chunk(-5, -1_000_000))

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        for _ in range(2):
            answer = await engine.complete(HELLO)
            assert answer.prompt_tokens >= 4
            assert answer.completion_tokens == 50

    use("openai", test, silent, negative)


@pytest.mark.parametrize("kind", KINDS)
def test_each_status_is_an_error_of_its_own(kind: str) -> None:
    for error, statuses in {
        ProviderFailed: (500, 502, 503, 529, 408),
        ProviderRefused: (401, 403, 404, 402, 301),
        ProviderLimited: (429,),
        BadInferenceRequest: (400, 422),
        GoalTooLong: (413,),
    }.items():
        assert len(failing(kind, *(refuses(status) for status in statuses), error=error)) == len(statuses)
    failing(kind, refuses(429, code="insufficient_quota"), error=ProviderRefused)
    failing(kind, refuses(400, message="prompt is too long: 9 tokens > 8 maximum"), error=GoalTooLong)


@pytest.mark.parametrize(
    ("given", "seconds"), [("7", 7.0), ("1e9", 3600.0), ("-1", None), ("nan", None), ("soon", None), (None, None)]
)
def test_how_long_a_provider_wants_to_be_left_alone(given: str | None, seconds: float | None) -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        with pytest.raises(ProviderLimited) as caught:
            await engine.complete(HELLO)
        assert caught.value.retry_after_s == seconds

    use("openai", test, refuses(429, headers={"Retry-After": given} if given else {}))


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_repeats_the_key_or_the_prompt(kind: str) -> None:
    prompt = "The vault under the lighthouse opens with quetzal."

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        server.behaviours = [
            refuses(401, message=f"Incorrect API key provided: {KEY} or sk-abc***xyz"),
            refuses(500, message=f"cannot handle: {prompt}"),
            refuses(500, message="a\x1b[31m\u202etrick", type="weird\nkind"),
        ]
        said = []
        for _ in range(3):
            with pytest.raises((ProviderRefused, ProviderFailed)) as caught:
                await engine.complete(ChatRequest(turns=(ChatTurn("user", prompt),)))
            said.append(str(caught.value))
        assert said[0] == "it answered 401: Incorrect API key provided: [key] or [key]"
        assert said[1] == "it answered 500: server_error"
        assert said[2] == "it answered 500"

    use(kind, test)


def test_no_error_repeats_what_a_tool_was_called_with() -> None:
    arguments = '{"account": "DE02 1203 0000 0000 2020 51"}'
    turns = (
        *HELLO.turns,
        ChatTurn("assistant", "", (ToolCall("c1", "pay", arguments),)),
        ChatTurn("tool", "ok", (), "c1"),
    )

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        with pytest.raises(ProviderFailed) as caught:
            await engine.complete(ChatRequest(turns=turns))
        assert str(caught.value) == "it answered 500: server_error"

    use("openai", test, refuses(500, message="not run: DE02 1203 0000 0000 2020 51"))


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense_is_no_answer(kind: str) -> None:
    deep = b'data: {"choices":' + b"[" * 100 + b"]" * 100 + b"}\n\n"
    failing(
        kind,
        sends(b"<html>It works!</html>"),
        sends(b"data: {not json\n\n"),
        sends(b"data: [1,2]\n\n"),
        sends(deep),
        sends(b"data: \xff\xfe\n\n"),
        sends(b"data: " + b"x" * (MAX_PROVIDER_EVENT_BYTES + 10)),
        sends(*begun(kind)),
        sends(),
        error=ProviderFailed,
    )


def test_nonsense_in_the_right_format_is_no_answer() -> None:
    calls = [
        {"tool_calls": value} for value in (7, [7], [{"index": -1, "function": {}}], [{"index": 99, "function": {}}])
    ]
    named = [
        {"tool_calls": [_part(0, "c", "x" * 200, "")]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 1}}]},
    ]
    failing(
        "openai",
        *(sends(chunk(delta)) for delta in (*calls, *named, {"content": 7})),
        sends(b'data: {"choices":[{"delta":7}]}\n\n'),
        sends(b'data: {"choices":[7]}\n\n'),
        sends(b'data: {"error":{"message":"boom","code":502}}\n\n'),
        error=ProviderFailed,
    )
    text = {"type": "text_delta", "text": 7}
    stray = {"type": "input_json_delta", "partial_json": "{}"}
    failing(
        "anthropic",
        sends(event("content_block_delta", index=0, delta=text)),
        sends(event("content_block_delta", index=0, delta=stray)),
        sends(event("content_block_delta", index=0, delta=7)),
        sends(event("content_block_start", index="x", content_block={})),
        sends(event("error", error={"type": "overloaded_error", "message": "Overloaded"})),
        error=ProviderFailed,
    )
    failing("anthropic", sends(event("error", error={"type": "rate_limit_error"})), error=ProviderLimited)


def test_more_text_than_was_asked_for_is_not_taken() -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        with pytest.raises(ProviderFailed, match="more text"):
            await engine.complete(ChatRequest(turns=HELLO.turns, max_tokens=4))

    use("openai", test, sends(*[chunk({"content": "x" * 1000})] * 10))


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_is_cut_is_a_failure(kind: str) -> None:
    failing(kind, sends(*begun(kind), then="cut"), sends(then="cut"), error=ProviderFailed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_that_stalls_is_left(kind: str) -> None:
    comments = sends(*begun(kind), *[b": still here\n\n"] * 3, then="stall")
    silent, unbegun, *stopped = failing(
        kind, hangs, sends(then="stall"), sends(*begun(kind), then="stall"), comments, error=ProviderSilent, times=SHORT
    )
    assert (silent, unbegun) == ("it gave no answer within 0.3 s",) * 2
    assert stopped == ["it said nothing more for 0.3 s in the middle of its answer"] * 2


@pytest.mark.slow
def test_signs_of_life_without_an_answer_do_not_go_on_for_ever() -> None:
    """Pings neither bring the answer on nor keep the provider from being left."""

    async def pings(request: Any) -> Any:
        response = await opened(request)
        for piece in begun("anthropic"):
            await response.write(piece)
        while True:
            await response.write(event("ping"))
            await asyncio.sleep(0.05)

    failing("anthropic", pings, error=ProviderSilent, times=SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_over_stays_whole_however_its_connection_ends(kind: str) -> None:
    openai = (chunk({"content": "ok"}, finish="stop"), b"data: [DONE]\n\n")
    stop = (event("message_delta", delta={"stop_reason": "end_turn"}, usage={}), event("message_stop"))

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        assert (await engine.complete(HELLO)).text == ("ok" if kind == "openai" else "Half")

    whole = openai if kind == "openai" else begun(kind, *stop)
    use(kind, test, sends(*whole, then="cut"))
    use(kind, test, sends(*whole[:-1], then="cut"))
    use(kind, test, sends(*whole[:-1], then="stall"), times=SHORT)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_whether_an_answer_had_begun(kind: str) -> None:
    called = {
        "openai": (chunk({"tool_calls": [_part(0, "c", "get_weather", '{"ci')]}),),
        "anthropic": (event("content_block_start", index=0, content_block=_block("c")),),
    }

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        found = []
        for _ in range(3):
            with pytest.raises(ProviderFailed) as caught:
                await engine.complete(HELLO)
            found.append(caught.value.begun)
        assert found == [False, False, True]

    use(kind, test, refuses(500), sends(b"<html>"), sends(*called[kind]))


def test_nobody_there_is_a_failure() -> None:
    async def main() -> None:
        async with provider_server() as server:
            pass
        async with open_openai(server) as engine:
            with pytest.raises(ProviderFailed, match="cannot be reached"):
                await engine.complete(HELLO)

    asyncio.run(main())


@pytest.mark.slow
def test_a_machine_that_takes_no_connection_was_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.inference.providers.remote.CONNECT_S", 0.3)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
            for _ in range(3):  # nobody accepts, so the kernel lets no further one in
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            async with open_openai(
                ProviderServer(ScriptedEngine(), url=f"http://127.0.0.1:{full.getsockname()[1]}")
            ) as engine:
                with pytest.raises(ProviderFailed, match="cannot be reached") as caught:
                    await engine.complete(HELLO)
                assert not caught.value.begun

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_leaving_early_ends_the_connection(kind: str) -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        gate = asyncio.Event()
        server.engine = ScriptedEngine()
        async with aclosing(engine.stream(HELLO)) as items:
            assert await anext(items) == "one"
            server.engine.gate = gate
        gone = server.engine
        async with asyncio.timeout(20):
            while gone.running:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    use(kind, test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_that_the_model_does_not_take_is_left_out_from_then_on(kind: str) -> None:
    said = "Unsupported parameter: 'temperature' is not supported with this model."
    no = refuses(400, message=said, code="unsupported_parameter")

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        assert (await engine.complete(HELLO)).text == "one two three four"
        assert (await engine.complete(HELLO)).text == "one two three four"
        assert ["temperature" in body for body in server.bodies] == [True, False, False]

    use(kind, test, no)


def test_an_older_server_that_knows_no_usage_is_asked_without() -> None:
    no = refuses(422, message="Unrecognized request argument supplied: stream_options")
    answers = sends(chunk({"content": "ok"}, finish="stop"), b"data: [DONE]\n\n")

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        assert (await engine.complete(HELLO)).completion_tokens == 1
        assert "stream_options" not in server.bodies[1]

    use("openai", test, no, answers)


def test_the_older_name_of_a_bound_gives_way_to_the_newer() -> None:
    said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    answers = sends(chunk({"content": "ok"}, finish="stop"))

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        assert (await engine.complete(HELLO)).text == "ok"
        assert ("max_tokens" in server.bodies[1], server.bodies[1]["max_completion_tokens"]) == (False, 256)

    use("openai", test, refuses(400, message=said, param="max_tokens", code="unsupported_parameter"), answers)


def test_a_model_that_keeps_refusing_a_parameter_is_not_asked_for_ever() -> None:
    no = refuses(400, message="'temperature' is not supported.", code="unsupported_value", param="temperature")

    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        with pytest.raises(BadInferenceRequest):
            await engine.complete(HELLO)
        assert len(server.bodies) == 2

    use("openai", test, no, no, no)


@pytest.mark.parametrize("answer", ["no JSON", '{"city": 7}', "[" * 2000])
def test_an_answer_that_does_not_fit_its_schema_is_none(answer: str) -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        with pytest.raises(ProviderFailed, match="its answer"):
            await engine.complete(ChatRequest(turns=HELLO.turns, json_schema=CITY))

    use("openai", test, sends(chunk({"content": answer}, finish="stop")))


def test_a_refusal_that_is_no_json_still_says_its_status() -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(status=502, text="<html>" + "x" * 200_000)

    async def listed(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, text=json.dumps({"error": "model is loading"}))

    assert failing("openai", page, listed, error=ProviderFailed) == [
        "it answered 502",
        "it answered 503: model is loading",
    ]


def test_a_compressed_answer_is_not_unpacked() -> None:
    async def squeezed(request: Any) -> Any:
        response = refusal(200, "x", "y")
        response.headers["Content-Encoding"] = "gzip"
        return response

    failing("openai", squeezed, error=ProviderFailed)


def test_a_completion_is_what_was_streamed() -> None:
    async def test(engine: RemoteEngine, server: ProviderServer) -> None:
        *pieces, last = [item async for item in engine.stream(HELLO)]
        assert isinstance(last, Completion)
        assert "".join(map(str, pieces)) == last.text == "one two three four"

    for kind in KINDS:
        use(kind, test)
