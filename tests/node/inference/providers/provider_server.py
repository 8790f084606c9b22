"""A provider on 127.0.0.1 that speaks both wire formats over a scripted engine, and fails as providers do when told to.

What it sends is shaped as the documentation of the two interfaces shows it: chunks with `delta`, a usage chunk without
choices and `[DONE]` here; typed events with blocks, pings and a final `message_delta` there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from node.inference.engine import ChatRequest, ChatTurn, Completion
from node.inference.errors import BadInferenceRequest, GoalTooLong
from tests.node.inference.fake import ScriptedEngine

KEY = "sk-test-4f1c0e7b9a"
MODEL = "test-model"

Send = Callable[[bytes], Awaitable[None]]
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ProviderServer:
    """`behaviours` are taken one for each request; when they have run out it answers as it should."""

    engine: ScriptedEngine
    url: str = ""
    behaviours: list[Behaviour] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client leaves before its answer is whole."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport)
        body = await request.json()
        self.bodies.append(body)
        openai = request.path.endswith("/chat/completions")
        given = request.headers.get("Authorization" if openai else "x-api-key", "")
        if given.removeprefix("Bearer ") != KEY:
            return refusal(401, "authentication_error", f"Incorrect API key provided: {given}")
        if self.behaviours:
            return await self.behaviours.pop(0)(request)
        try:
            return await (self._openai if openai else self._anthropic)(request, body)
        except GoalTooLong:
            message = "This model's maximum context length is 512 tokens."
            return refusal(400, "invalid_request_error", message, code="context_length_exceeded")
        except BadInferenceRequest as error:
            return refusal(400, "invalid_request_error", f"Invalid request: {error}")
        except ConnectionResetError:
            self.gone.set()
            raise

    async def _openai(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        asked = ChatRequest(
            turns=[ChatTurn(turn["role"], turn["content"]) for turn in body["messages"]],
            max_tokens=body["max_tokens"],
            stop=body.get("stop", ()),
            json_schema=schema,
        )
        response: web.StreamResponse | None = None
        async for item in self.engine.stream(asked):
            if response is None:
                response = await opened(request)
                await response.write(chunk({"role": "assistant", "content": ""}))
            if isinstance(item, str):
                await response.write(chunk({"content": item}))
                continue
            await response.write(chunk({}, finish=item.finish))
            await response.write(usage_chunk(item.prompt_tokens, item.completion_tokens))
            await response.write(b"data: [DONE]\n\n")
        assert response is not None
        await response.write_eof()
        return response

    async def _anthropic(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        schema = body["tools"][0]["input_schema"] if "tools" in body else None
        turns = [ChatTurn("system", body["system"])] if "system" in body else []
        asked = ChatRequest(
            turns=[*turns, *(ChatTurn(turn["role"], turn["content"]) for turn in body["messages"])],
            max_tokens=body["max_tokens"],
            stop=body.get("stop_sequences", ()),
            json_schema=schema,
        )
        prompt_tokens = sum(len(turn.content.split()) for turn in asked.turns)
        response: web.StreamResponse | None = None
        async for item in self.engine.stream(asked):
            if response is None:
                response = await opened(request)
                await _begin_message(response.write, prompt_tokens, as_tool=schema is not None)
            if isinstance(item, str):
                await _message_piece(response.write, item, as_tool=schema is not None)
            else:
                await _end_message(response.write, item, as_tool=schema is not None)
        assert response is not None
        await response.write_eof()
        return response


async def opened(request: web.Request) -> web.StreamResponse:
    """The head of a stream of events."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    return response


def chunk(delta: Mapping[str, Any], *, finish: str | None = None) -> bytes:
    """One chunk of OpenAI's."""
    choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish}
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
    }
    return f"data: {json.dumps({**document, 'usage': None})}\n\n".encode()


def usage_chunk(prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> bytes:
    """The chunk that says what was used, which has no choices."""
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [], 'usage': usage})}\n\n".encode()


def event(kind: str, **members: Any) -> bytes:
    """One event of Anthropic's."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


async def _begin_message(write: Send, prompt_tokens: int, *, as_tool: bool) -> None:
    usage = {"input_tokens": prompt_tokens, "cache_read_input_tokens": 0, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": MODEL, "usage": usage}
    await write(event("message_start", message=message))
    block = {"type": "tool_use", "id": "toolu_1", "name": "answer", "input": {}}
    await write(event("content_block_start", index=0, content_block=block if as_tool else {"type": "text", "text": ""}))
    await write(event("ping"))


async def _message_piece(write: Send, text: str, *, as_tool: bool) -> None:
    delta = {"type": "input_json_delta", "partial_json": text} if as_tool else {"type": "text_delta", "text": text}
    await write(event("content_block_delta", index=0, delta=delta))


async def _end_message(write: Send, item: Completion, *, as_tool: bool) -> None:
    reason = "max_tokens" if item.finish == "length" else "tool_use" if as_tool else "end_turn"
    await write(event("content_block_stop", index=0))
    delta = {"stop_reason": reason, "stop_sequence": None}
    await write(event("message_delta", delta=delta, usage={"output_tokens": item.completion_tokens}))
    await write(event("message_stop"))


def refusal(
    status: int, kind: str, message: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> web.Response:
    """An error document."""
    error = {"message": message, "type": kind, "param": None, "code": None, **members}
    return web.json_response({"type": "error", "error": error}, status=status, headers=headers)


# Ways to fail


def refuses(status: int, kind: str = "server_error", message: str = "Something broke.", **members: Any) -> Behaviour:
    """Answer with an error. `headers` among the members are the answer's."""

    async def behave(request: web.Request) -> web.StreamResponse:
        return refusal(status, kind, message, **members)

    return behave


def sends(*pieces: bytes, then: str = "end") -> Behaviour:
    """Answer 200 with these bytes, and then `end`, `cut` the connection, or `stall`."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = await opened(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        elif then == "stall":
            await asyncio.Event().wait()
        else:
            await response.write_eof()
        return response

    return behave


async def hangs(request: web.Request) -> web.StreamResponse:
    """Say nothing at all."""
    await asyncio.Event().wait()
    raise AssertionError("never")


@asynccontextmanager
async def provider_server(
    engine: ScriptedEngine | None = None, behaviours: Sequence[Behaviour] = ()
) -> AsyncIterator[ProviderServer]:
    """A provider on a free port."""
    server = ProviderServer(engine or ScriptedEngine(), behaviours=list(behaviours))
    app = web.Application(client_max_size=16 * 1024**2)
    app.router.add_post("/v1/chat/completions", server.handle)
    app.router.add_post("/v1/messages", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
