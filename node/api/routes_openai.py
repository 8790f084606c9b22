"""What OpenAI's clients ask for: chat completions, embeddings, models. The API token is the API key.

The model `twin` answers through the mind, with its memory; `default` is the gateway in the owner's order; every other
name is that one model, bare. A client that goes away stops the model.
"""

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, Literal

import orjson
from aiohttp import web

from identity.errors import PagiError
from node.api.errors import InvalidRequest, ModelUnknown
from node.api.openai_mind import TWIN, by_the_mind
from node.api.openai_wire import (
    ChatChoice,
    ChatCompletion,
    ChatCompletionOut,
    EmbeddingOut,
    EmbeddingRequest,
    EmbeddingsOut,
    EmbeddingUsage,
    ModelOut,
    ModelsOut,
    calls_out,
    message_out,
    usage_out,
)
from node.api.problem import openai_error, problem_of
from node.api.router import Routes
from node.inference.engine import Completion, Engine
from node.inference.gateway import LOCAL
from node.inference.usage import tokens_guess
from node.trace import TRACE_ID
from node.twin import Twin

routes = Routes("openai")

DEFAULT: Final = "default"

LOOK_EVERY_S: Final = 0.02
"""How often it is looked whether the client is still there: nothing says so by itself before something is written."""

_DONE: Final = b"data: [DONE]\n\n"


@routes.add("POST", "/v1/chat/completions", "A chat completion, as OpenAI's interface has it; streamed on request.")
async def chat(twin: Twin, request: web.Request, body: ChatCompletion) -> ChatCompletionOut | web.StreamResponse:
    chat_id, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
    async with _while_connected(request):
        items = by_the_mind(twin, body) if body.model == TWIN else _by_a_model(twin, body)
        async with aclosing(items):
            if body.stream:
                wanted = body.stream_options is not None and body.stream_options.include_usage
                include_usage = wanted and body.model != TWIN  # whose tokens nobody has counted
                head = {"id": chat_id, "object": "chat.completion.chunk", "created": created, "model": body.model}
                return await _streamed(request, items, head, include_usage=include_usage)
            completion = [item async for item in items if isinstance(item, Completion)][-1]
    return ChatCompletionOut(
        id=chat_id,
        created=created,
        model=completion.model,
        choices=[ChatChoice(message=message_out(completion), finish_reason=completion.finish)],
        usage=usage_out(completion) if body.model != TWIN else None,
        note=completion.note,
    )


@routes.add("POST", "/v1/embeddings", "Embeddings of texts, as OpenAI's interface has it.")
async def embeddings(twin: Twin, body: EmbeddingRequest) -> EmbeddingsOut:
    embedder = twin.inference.embedder
    if body.model not in (embedder.model_id, DEFAULT):
        raise ModelUnknown(f"no embedding model is called {body.model!r}; there is {embedder.model_id}")
    if body.dimensions not in (None, embedder.dimensions):
        raise InvalidRequest(f"body: /dimensions: {embedder.model_id} has {embedder.dimensions}")
    texts = [body.input] if isinstance(body.input, str) else body.input
    vectors = await asyncio.to_thread(embedder.embed, texts)
    tokens = sum(tokens_guess(len(text)) for text in texts)
    return EmbeddingsOut(
        model=embedder.model_id,
        data=[
            EmbeddingOut(
                index=index,
                embedding=base64.b64encode(row.astype("<f4").tobytes()).decode()
                if body.encoding_format == "base64"
                else row.tolist(),
            )
            for index, row in enumerate(vectors)
        ],
        usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
    )


@routes.add("GET", "/v1/models", "The models that this twin can be asked as, as OpenAI's interface has it.")
async def list_models(twin: Twin) -> ModelsOut:
    return ModelsOut(data=_models(twin))


@routes.add("GET", "/v1/models/{id}", "One of the models.")
async def get_model(twin: Twin, id: str) -> ModelOut:  # noqa: A002 - the name in the path
    for model in _models(twin):
        if model.id == id:
            return model
    raise ModelUnknown(f"no model is called {id[:100]!r}")


def _models(twin: Twin) -> list[ModelOut]:
    """`twin` and `default`, each provider's model as `provider/model`, the local model, the embedder."""
    owners = {TWIN: twin.name, DEFAULT: twin.name}
    for provider in twin.gateway.providers:
        if (engine := provider.engine()) is not None:
            owners[_id_of(provider.name, engine)] = provider.name
    owners[twin.inference.embedder.model_id] = LOCAL
    return [ModelOut(id=name, created=0, owned_by=owner) for name, owner in owners.items()]


def _id_of(provider: str, engine: Engine) -> str:
    return engine.name if provider == LOCAL else f"{provider}/{engine.name}"


async def _by_a_model(twin: Twin, body: ChatCompletion) -> AsyncGenerator[str | Completion, None]:
    """The items of the model that is named. Whoever names one says with it who is to see the prompt; `default` does
    not, and goes only to those that may see private memories. Raises ModelUnknown."""
    only: str | None = None
    engine: Engine = twin.gateway
    if body.model != DEFAULT:
        only, engine = _named(twin, body.model)
    else:
        await twin.gateway.ready()  # a model that is still being loaded has no context yet
    request = body.request(private=only is None, context_tokens=engine.context_tokens)
    if body.stream:
        async with aclosing(twin.gateway.stream(request, only=only)) as items:
            async for item in items:
                yield item
    else:
        yield await twin.gateway.complete(request, only=only)


def _named(twin: Twin, name: str) -> tuple[str, Engine]:
    """The provider whose model has the name, and its engine."""
    for provider in twin.gateway.providers:
        engine = provider.engine()
        if engine is not None and name == _id_of(provider.name, engine):
            return provider.name, engine
    if twin.model.loading:
        raise ModelUnknown(f"no model is called {name[:100]!r} yet: the local one is being loaded")
    raise ModelUnknown(f"no model is called {name[:100]!r}")


@asynccontextmanager
async def _while_connected(request: web.Request) -> AsyncIterator[None]:
    """Cancel the block when the client goes; ConnectionResetError comes out of it then."""
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(LOOK_EVERY_S)
        gone = True
        task.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ConnectionResetError("the client has gone") from None
        raise
    finally:
        watching.cancel()


async def _streamed(
    request: web.Request,
    items: AsyncGenerator[str | Completion, None],
    head: dict[str, Any],
    *,
    include_usage: bool,
) -> web.StreamResponse:
    """Send the items as chunks. What fails before the first one is an error like any other, what fails later the last
    thing that is sent."""
    item = await anext(items)
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Trace-Id": TRACE_ID.get() or ""})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    await response.write(_chunk(head, {"role": "assistant", "content": ""}))
    # The same for every piece but its text, so it is encoded once.
    before, after = _chunk(head, {"content": "\0"}).split(b'"\\u0000"')
    try:
        while isinstance(item, str):
            await response.write(before + orjson.dumps(item) + after)
            item = await anext(items)
        await response.write(_ending(head, item, include_usage=include_usage) + _DONE)
    except PagiError as error:
        problem = problem_of(error, TRACE_ID.get() or "")
        await response.write(b"data: " + orjson.dumps({"error": openai_error(problem).model_dump()}) + b"\n\n")
    await response.write_eof()
    return response


def _ending(head: dict[str, Any], completion: Completion, *, include_usage: bool) -> bytes:
    """The chunks after the text: tool calls, the reason of the end, what was used."""
    chunks = b""
    if completion.tool_calls:
        calls = [{"index": index, **call.model_dump()} for index, call in enumerate(calls_out(completion.tool_calls))]
        chunks += _chunk(head, {"tool_calls": calls})
    noted = {**head, "note": completion.note} if completion.note else head
    chunks += _chunk(noted, {}, finish=completion.finish)
    if include_usage:
        usage = usage_out(completion).model_dump()
        chunks += b"data: " + orjson.dumps({**head, "choices": [], "usage": usage}) + b"\n\n"
    return chunks


def _chunk(
    head: dict[str, Any], delta: dict[str, Any], *, finish: Literal["stop", "length", "tool_calls"] | None = None
) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"
