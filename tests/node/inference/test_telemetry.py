"""Telemetry as a real receiver of OTLP over HTTP gets it: the conventions' names, and no word that was said."""

import asyncio
import gzip
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from node.config import TelemetryConfig
from node.inference.engine import ChatRequest, ChatTurn
from node.inference.errors import InferenceError
from node.inference.gateway import Gateway
from node.inference.telemetry import OFF, Telemetry, open_telemetry
from tests.node.inference.fake import ScriptedEngine
from tests.node.inference.providers.engines import local_model, open_openai, provider
from tests.node.inference.providers.provider_server import KEY, provider_server, refuses

SECRET = "the vault opens with quetzal"
ASKED = ChatRequest(turns=(ChatTurn("user", SECRET),), stop=("capybara",), session_id="s1", temperature=0.5, seed=7)

pytestmark = pytest.mark.slow


@dataclass
class Receiver:
    """Takes what exporters send."""

    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""

    async def traces(self, request: web.Request) -> web.Response:
        batch = ExportTraceServiceRequest.FromString(await self._body(request))
        for one in batch.resource_spans:
            self.resource = {item.key: item.value.string_value for item in one.resource.attributes}
            self.spans += [span for scope in one.scope_spans for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def measures(self, request: web.Request) -> web.Response:
        batch = ExportMetricsServiceRequest.FromString(await self._body(request))
        for one in batch.resource_metrics:
            self.metrics.update({metric.name: metric for scope in one.scope_metrics for metric in scope.metrics})
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def _body(self, request: web.Request) -> bytes:
        body = await request.read()
        body = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
        self.raw += body
        return body


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, str]]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/v1/traces", receiver.traces)
    app.router.add_post("/v1/metrics", receiver.measures)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield receiver, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def exported(test: Callable[[Telemetry], Awaitable[None]]) -> Receiver:
    """What a receiver has when the twin has stopped."""

    async def main() -> Receiver:
        async with receiving() as (receiver, url):
            async with open_telemetry(TelemetryConfig(otlp_endpoint=url), service="ada") as telemetry:
                await test(telemetry)
            return receiver

    return asyncio.run(asyncio.wait_for(main(), 60))


def attributes(items: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in items}


def test_a_call_is_a_span_and_counts_in_the_metrics() -> None:
    async def test(telemetry: Telemetry) -> None:
        async with provider_server() as server, open_openai(server) as engine:
            slot = provider("far", engine, address=("127.0.0.1", 9))
            gateway = Gateway(local_model(), remotes=lambda: [slot], telemetry=telemetry)
            await gateway.complete(ASKED)

    receiver = exported(test)
    (span,) = receiver.spans
    assert span.name == "chat test-model"
    assert span.kind == Span.SPAN_KIND_CLIENT
    found = attributes(span.attributes)
    assert found.pop("gen_ai.response.time_to_first_chunk") > 0
    reasons = found.pop("gen_ai.response.finish_reasons")
    assert [value.string_value for value in reasons.values] == ["stop"]
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "gen_ai.request.max_tokens": 256,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "text",
        "gen_ai.conversation.id": "s1",
        "gen_ai.response.model": "test-model",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "server.address": "127.0.0.1",
        "server.port": 9,
    }
    assert receiver.resource["service.name"] == "ada"
    tokens = {
        attributes(point.attributes)["gen_ai.token.type"]: point.sum
        for point in receiver.metrics["gen_ai.client.token.usage"].histogram.data_points
    }
    assert tokens == {"input": 5, "output": 5}
    (duration,) = receiver.metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert duration.count == 1
    assert attributes(duration.attributes)["gen_ai.provider.name"] == "openai"


def test_nothing_that_was_said_is_exported_not_even_by_an_error() -> None:
    async def test(telemetry: Telemetry) -> None:
        fault = refuses(400, message=f"cannot take: {SECRET}")
        async with provider_server(behaviours=[fault]) as server, open_openai(server) as engine:
            slot = provider("far", engine)
            gateway = Gateway(local_model(ScriptedEngine()), remotes=lambda: [slot], telemetry=telemetry)
            await gateway.complete(ASKED)

    receiver = exported(test)
    failed, answered = receiver.spans
    assert attributes(failed.attributes)["error.type"] == "BadInferenceRequest"
    assert (failed.status.code, failed.status.message, len(failed.events)) == (2, "", 0)
    assert attributes(answered.attributes)["gen_ai.provider.name"] == "llama.cpp"
    assert answered.kind == Span.SPAN_KIND_INTERNAL
    for word in ("quetzal", "capybara", "vault", KEY):
        assert word.encode() not in receiver.raw


def test_a_receiver_that_is_not_there_hurts_nobody() -> None:
    async def main() -> None:
        async with receiving() as (_, url):
            pass
        async with open_telemetry(TelemetryConfig(otlp_endpoint=url), service="ada") as telemetry:
            gateway = Gateway(local_model(ScriptedEngine()), telemetry=telemetry)
            assert (await gateway.complete(ASKED)).text == SECRET

    asyncio.run(asyncio.wait_for(main(), 60))


def test_without_an_endpoint_nothing_is_loaded() -> None:
    program = (
        "import asyncio, sys\n"
        "from node.config import TelemetryConfig\n"
        "from node.inference.gateway import Gateway\n"
        "from node.inference.telemetry import OFF, open_telemetry\n"
        "async def main():\n"
        "    async with open_telemetry(TelemetryConfig(), service='ada') as telemetry:\n"
        "        assert telemetry is OFF\n"
        "asyncio.run(main())\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_off_takes_everything() -> None:
    call = OFF.begin(provider("far", ScriptedEngine()), "m", ASKED)
    call.first_piece()
    call.end(None, InferenceError("x"))
