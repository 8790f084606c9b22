"""Spans and metrics of the model calls, by OpenTelemetry's semantic conventions for generative AI, over OTLP/HTTP.

Only where the owner named an endpoint; the libraries are loaded then, not before. What was asked and answered is never
part of it: names, numbers and classes of errors alone. The exporting runs in threads of its own, and what it cannot
send is dropped.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from node import __version__
from node.config import TelemetryConfig
from node.inference.engine import ChatRequest, Completion
from node.inference.providers.provider import Provider

CLOSE_MS: Final = 3000
"""How long is tried to send what is left when the twin stops."""

EXPORT_TIMEOUT_S: Final = 5.0

_DURATIONS_S: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = tuple(4**power for power in range(14))
"""The boundaries of the two histograms, as the conventions give them."""


class Call(Protocol):
    """One call under way."""

    def first_piece(self) -> None:
        """The first piece of the answer has come."""

    def end(self, completion: Completion | None, failure: BaseException | None) -> None:
        """The call is over. Without either it was left by its caller."""


class Telemetry(Protocol):
    """Follows calls. Never raises for what goes wrong with the exporting."""

    def begin(self, provider: Provider, model: str, request: ChatRequest) -> Call: ...


class _Off:
    def begin(self, provider: Provider, model: str, request: ChatRequest) -> Call:
        return self

    def first_piece(self) -> None:
        pass

    def end(self, completion: Completion | None, failure: BaseException | None) -> None:
        pass


OFF: Final[Telemetry] = _Off()
"""Exports nothing."""


@asynccontextmanager
async def open_telemetry(config: TelemetryConfig, *, service: str) -> AsyncIterator[Telemetry]:
    """Export to the owner's endpoint until the context is left; nothing where there is none."""
    if config.otlp_endpoint is None:
        yield OFF
        return
    exporting = await asyncio.to_thread(_Exporting, config.otlp_endpoint.rstrip("/"), service)
    try:
        yield exporting
    finally:
        await asyncio.to_thread(exporting.close)


class _Exporting:
    """Telemetry with an exporter. It has providers of its own, and leaves the libraries' global ones alone."""

    def __init__(self, endpoint: str, service: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # Not Resource.create: that reads the environment and names the process with its arguments.
        resource = Resource({"service.name": service, "service.version": __version__})
        self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
        spans = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        self._tracing.add_span_processor(BatchSpanProcessor(spans))
        numbers = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", timeout=EXPORT_TIMEOUT_S)
        reader = PeriodicExportingMetricReader(numbers)
        self._measuring = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
        self._tracer = self._tracing.get_tracer("pagi.inference", __version__)
        meter = self._measuring.get_meter("pagi.inference", __version__)
        self._duration = _histogram(meter, "gen_ai.client.operation.duration", "s", _DURATIONS_S)
        self._tokens = _histogram(meter, "gen_ai.client.token.usage", "{token}", _TOKENS)
        self._first = _histogram(meter, "gen_ai.client.operation.time_to_first_chunk", "s", _DURATIONS_S)

    def begin(self, provider: Provider, model: str, request: ChatRequest) -> Call:
        from opentelemetry.trace import SpanKind

        shared: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider.kind,
            "gen_ai.request.model": model,
        }
        if provider.address is not None:
            shared["server.address"], shared["server.port"] = provider.address
        kind = SpanKind.INTERNAL if provider.address is None else SpanKind.CLIENT
        span = self._tracer.start_span(f"chat {model}", kind=kind, attributes={**shared, **_of_request(request)})
        return _Call(self, span, shared)

    def note(self, shared: dict[str, Any], *, seconds: float, first_s: float | None, done: Completion | None) -> None:
        """Add one call to the metrics."""
        self._duration.record(seconds, shared)
        if first_s is not None:
            self._first.record(first_s, shared)
        if done is not None:
            self._tokens.record(done.prompt_tokens, {**shared, "gen_ai.token.type": "input"})
            self._tokens.record(done.completion_tokens, {**shared, "gen_ai.token.type": "output"})

    def close(self) -> None:
        """Send what is left, for a few seconds at most. Blocks."""
        self._tracing.force_flush(CLOSE_MS)
        self._measuring.shutdown(timeout_millis=CLOSE_MS)
        self._tracing.shutdown()


class _Call:
    """A span that is open."""

    def __init__(self, owner: _Exporting, span: Any, shared: dict[str, Any]) -> None:
        self._owner = owner
        self._span = span
        self._shared = shared
        self._began = time.perf_counter()
        self._first_s: float | None = None

    def first_piece(self) -> None:
        self._first_s = time.perf_counter() - self._began

    def end(self, completion: Completion | None, failure: BaseException | None) -> None:
        from opentelemetry.trace import StatusCode

        if completion is not None:
            self._span.set_attributes(_of_answer(completion))
        if self._first_s is not None:
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", self._first_s)
        if isinstance(failure, Exception):  # by its class alone: what it says may quote a provider
            self._shared["error.type"] = type(failure).__name__
            self._span.set_attribute("error.type", type(failure).__name__)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
        seconds = time.perf_counter() - self._began
        self._owner.note(self._shared, seconds=seconds, first_s=self._first_s, done=completion)


def _histogram(meter: Any, name: str, unit: str, boundaries: tuple[float, ...]) -> Any:
    return meter.create_histogram(name, unit=unit, explicit_bucket_boundaries_advisory=boundaries)


def _of_request(request: ChatRequest) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.top_p": request.top_p,
        "gen_ai.output.type": "text" if request.json_schema is None else "json",
    }
    if request.seed is not None:
        attributes["gen_ai.request.seed"] = request.seed
    if request.session_id is not None:
        attributes["gen_ai.conversation.id"] = request.session_id
    return attributes


def _of_answer(completion: Completion) -> dict[str, Any]:
    return {
        "gen_ai.response.model": completion.model,
        "gen_ai.response.finish_reasons": (completion.finish,),
        "gen_ai.usage.input_tokens": completion.prompt_tokens,
        "gen_ai.usage.output_tokens": completion.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": completion.cached_tokens,
    }
