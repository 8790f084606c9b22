"""An Engine over a model that a provider serves: what both wire formats have in common.

Every answer is streamed, also where the whole of it is wanted: so a provider that stalls is noticed, and one that is no
longer wanted is left at once. What comes is hostile until it is read: bytes, events, depth, text, counts and time have
bounds. Errors never repeat the key, nor words of the prompt.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import jsonschema_rs
import orjson

from node.http.errors import HostSilent
from node.http.outside import Outside
from node.inference.engine import ChatRequest, Completion, Finish, ToolCall
from node.inference.errors import BadInferenceRequest, GatewayError, GoalTooLong, InferenceError, InferenceUnavailable
from node.inference.providers.errors import ProviderFailed, ProviderSilent
from node.inference.providers.refusing import Refusal, error_of, fit_to_show, read_refusal, retry_after_s
from node.inference.providers.sse import EventReader
from node.inference.usage import prompt_guess, tokens_guess
from node.net.errors import NetError
from protocols.errors import RemoteProtocolError
from protocols.jsonguard import parse_json
from protocols.limits import (
    MAX_PROVIDER_CHARS_PER_TOKEN,
    MAX_PROVIDER_DEPTH,
    MAX_PROVIDER_ERROR_BYTES,
    MAX_PROVIDER_EVENT_BYTES,
)

CONNECT_S: Final = 10.0
"""To connect, TLS included: any provider that is up does within a second."""

LINGER_S: Final = 0.1
"""For the end of an answer that is known to be whole; a provider that is slower gets a new connection next time."""

SPARE_CHARS: Final = 4096
"""Text beyond what the tokens asked for would hold, before a provider is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which model, where, with what key. Its representation never shows the key."""

    name: str
    base_url: str
    model: str
    key: str | None
    capable: bool
    context_tokens: int

    def __repr__(self) -> str:
        return f"Place({self.name}, {self.model})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long is waited for the first piece of an answer, for each further one, and for the whole."""

    first_piece_s: float
    stall_s: float
    answer_s: float


class Reader(Protocol):
    """Reads the events of one answer. Raises ProviderFailed for what no answer holds. `begun` is whether a part of it
    has come."""

    begun: bool
    finish: Finish | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int

    def take(self, event: Mapping[str, Any]) -> tuple[str, bool]:
        """The text that an event adds, and whether it brings the answer on."""
        ...

    def over(self, data: bytes) -> bool:
        """Whether this data is the end of the stream; some is no event, some is known for it once it was taken."""
        ...

    def tool_calls(self) -> tuple[ToolCall, ...]: ...


class Dialect(Protocol):
    """A wire format."""

    @property
    def path(self) -> str:
        """Below the base URL."""
        ...

    def headers(self, key: str | None) -> Mapping[str, str]: ...

    def body(self, request: ChatRequest, model: str, without: Collection[str]) -> dict[str, Any]:
        """The request, less the parameters that this model does not take. Raises BadInferenceRequest."""
        ...

    def reader(self, request: ChatRequest) -> Reader: ...

    def unsupported(self, refusal: Refusal, sent: Collection[str]) -> str | None:
        """The parameter that the model does not take, where that is why it refused."""
        ...


class _Unsupported(Exception):
    """The model does not take a parameter. Never leaves the engine."""

    def __init__(self, param: str) -> None:
        super().__init__(param)
        self.param = param


class RemoteEngine:
    """An Engine. Used from one asyncio loop."""

    def __init__(self, place: Place, dialect: Dialect, *, outside: Outside, times: Times) -> None:
        self.name: Final = place.model
        self.capable: Final = place.capable
        self.context_tokens: Final = place.context_tokens
        self._place = place
        self._dialect = dialect
        self._outside = outside
        self._times = times
        self._without: set[str] = set()
        self._open: set[aiohttp.ClientResponse] = set()
        self._closed = False

    async def complete(self, request: ChatRequest) -> Completion:
        """See Engine."""
        async with aclosing(self.stream(request)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    return item
        raise AssertionError("a stream ends with its completion")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
        """See Engine. Raises ProviderFailed, ProviderSilent, ProviderRefused or ProviderLimited as well."""
        _check(request, self.context_tokens)
        began = time.perf_counter()
        reader, pieces = self._dialect.reader(request), []
        left_chars = request.max_tokens * MAX_PROVIDER_CHARS_PER_TOKEN + SPARE_CHARS
        try:
            async with aclosing(self._pieces(request, reader)) as texts:
                async for text in texts:
                    left_chars -= len(text)
                    if left_chars < 0:
                        raise ProviderFailed("it sends more text than was asked for")
                    pieces.append(text)
                    yield text
            if reader.finish is None:
                raise ProviderFailed("its answer was cut off")
        except GatewayError as error:
            error.begun = reader.begun
            raise
        answer = "".join(pieces)
        if request.json_schema is not None and reader.finish == "stop":
            _check_schema(answer, request.json_schema)
        calls, asked, answered = reader.tool_calls(), reader.prompt_tokens, reader.completion_tokens
        yield Completion(
            text=answer,
            model=self.name,
            prompt_tokens=prompt_guess(request) if asked is None else asked,
            completion_tokens=tokens_guess(len(answer) + _chars_of(calls)) if answered is None else answered,
            ms=(time.perf_counter() - began) * 1000,
            finish="tool_calls" if calls and reader.finish != "length" else reader.finish,
            tool_calls=calls,
            cached_tokens=min(reader.cached_tokens, asked or 0),
        )

    async def aclose(self) -> None:
        """See Engine. What runs ends with InferenceUnavailable."""
        self._closed = True
        for reply in self._open:
            reply.close()

    async def _pieces(self, request: ChatRequest, reader: Reader) -> AsyncGenerator[str, None]:
        """The text of the answer. A parameter that the model turns out not to take is left out from then on."""
        while True:
            if self._closed:
                raise InferenceUnavailable("the model is closed")
            body = self._dialect.body(request, self._place.model, self._without)
            try:
                async with aclosing(self._exchange(body, request, reader)) as texts:
                    async for text in texts:
                        yield text
                return
            except _Unsupported as error:
                self._without.add(error.param)

    async def _exchange(
        self, body: Mapping[str, Any], request: ChatRequest, reader: Reader
    ) -> AsyncGenerator[str, None]:
        times, loop = self._times, asyncio.get_running_loop()
        began = loop.time()
        until, end = began + times.first_piece_s, began + times.answer_s
        reply: aiohttp.ClientResponse | None = None
        try:
            async with self._outside.post_open(
                self._place.base_url + self._dialect.path,
                _encoded(body),
                headers={"Content-Type": "application/json", "Accept": "text/event-stream", **self._headers()},
                connect_s=CONNECT_S,
                timeout_s=times.first_piece_s,
            ) as reply:
                self._open.add(reply)
                if reply.status != 200:
                    raise await self._refused(reply, body, request)
                events = EventReader()
                while chunk := await _chunk(reply, min(until, end)):
                    for data in events.feed(chunk):
                        text, moved = ("", False) if reader.over(data) else reader.take(_object(data))
                        if text:
                            yield text
                            if self._closed:
                                raise InferenceUnavailable("the model was closed while it answered")
                        if moved:  # counted from here: how long the reader took is not the provider's doing
                            reader.begun, until = True, loop.time() + times.stall_s
                        if reader.over(data):
                            await _drained(reply)
                            return
        except NetError as error:
            if reader.finish is None:  # else the answer is whole, and only the end of the stream is missing
                raise self._fault(error, begun=reader.begun, over=loop.time() >= end) from error
        finally:
            if reply is not None:
                self._open.discard(reply)

    def _fault(self, error: NetError, *, begun: bool, over: bool) -> InferenceError:
        """What a fault of the connection is to whoever waits for the answer; `over`: the time for the whole is."""
        if isinstance(error, HostSilent):
            return ProviderSilent(_silence(self._times, begun=begun, over=over))
        if self._closed:
            return InferenceUnavailable("the model was closed while it answered")
        return ProviderFailed("its connection broke in the middle of its answer" if begun else str(error))

    def _headers(self) -> Mapping[str, str]:
        return self._dialect.headers(self._place.key)

    async def _refused(
        self, reply: aiohttp.ClientResponse, body: Mapping[str, Any], request: ChatRequest
    ) -> InferenceError | _Unsupported:
        """The error that a status other than 200 stands for."""
        data = bytearray()
        try:
            async with asyncio.timeout(CONNECT_S):
                while len(data) < MAX_PROVIDER_ERROR_BYTES and (chunk := await reply.content.readany()):
                    data += chunk
        except TimeoutError:
            pass  # the status says enough
        refusal = read_refusal(bytes(data[:MAX_PROVIDER_ERROR_BYTES]))
        status = reply.status
        param = self._dialect.unsupported(refusal, body.keys()) if status in (400, 422) else None
        if param is not None and param not in self._without:
            return _Unsupported(param)
        prompt = [
            text for turn in request.turns for text in (turn.content, *(call.arguments for call in turn.tool_calls))
        ]
        said = fit_to_show(refusal, key=self._place.key, prompt=prompt)
        return error_of(status, refusal.kind, f"it answered {status}{said}", retry_after_s(reply.headers))


def _chars_of(calls: Iterable[ToolCall]) -> int:
    return sum(len(call.name) + len(call.arguments) for call in calls)


def _check(request: ChatRequest, context_tokens: int) -> None:
    """What needs no provider to be refused. Raises BadInferenceRequest or GoalTooLong."""
    if not request.turns:
        raise BadInferenceRequest("there is no turn to answer")
    if request.max_tokens < 1 or not 0 <= request.temperature <= 2:
        raise BadInferenceRequest("max_tokens is at least 1, temperature from 0 to 2")
    if "" in request.stop:
        raise BadInferenceRequest("a stop text is not empty")
    chars = sum(len(turn.content) for turn in request.turns)
    if chars // MAX_PROVIDER_CHARS_PER_TOKEN + request.max_tokens > context_tokens:
        raise GoalTooLong(f"a prompt of {chars} characters and an answer of {request.max_tokens} tokens do not fit")


def _check_schema(answer: str, schema: Mapping[str, Any]) -> None:
    """Raises ProviderFailed if the answer is not what the schema wants, BadInferenceRequest if that is no schema."""
    try:
        validator = jsonschema_rs.validator_for(dict(schema), offline=True)
    except ValueError as error:
        raise BadInferenceRequest("the JSON Schema cannot be used") from error
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ProviderFailed("its answer is not JSON, which was asked for") from error
    if not validator.is_valid(document):
        raise ProviderFailed("its answer does not fit the JSON Schema that was asked for")


async def _chunk(reply: aiohttp.ClientResponse, until: float) -> bytes:
    """The next bytes; none at the end. Raises TimeoutError."""
    async with asyncio.timeout_at(until):
        return await reply.content.readany()


def _silence(times: Times, *, begun: bool, over: bool) -> str:
    if over:
        return f"its answer was not whole within {times.answer_s:g} s"
    if begun:
        return f"it said nothing more for {times.stall_s:g} s in the middle of its answer"
    return f"it gave no answer within {times.first_piece_s:g} s"


async def _drained(reply: aiohttp.ClientResponse) -> None:
    """Take the end of the answer, which follows at once, so that the connection can serve the next call."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            await reply.content.readany()


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a lone surrogate, which UTF-8 cannot hold, or an integer beyond 64 bits
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        event = parse_json(data, max_bytes=MAX_PROVIDER_EVENT_BYTES, max_depth=MAX_PROVIDER_DEPTH)
    except RemoteProtocolError as error:
        raise ProviderFailed("its answer is not in its wire format") from error
    if not isinstance(event, dict):
        raise ProviderFailed("its answer is not in its wire format")
    return event
