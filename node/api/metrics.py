"""Prometheus metrics of one twin, in a registry of its own.

Label values are bounded: route templates, known methods, statuses and our own counter names; never text from a remote.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""From a lookup in memory to an answer of a model."""


class _Counts:
    """Reads the counts of the twin's parts at the moment of the scrape."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily("pagi_counts", "Counts of the parts of the twin since its start.", labels=["kind"])
        for kind, value in sorted(self._read().items()):
            family.add_metric([kind], value)
        yield family


class Metrics:
    """Counts of the HTTP interface beside those that the other parts keep themselves."""

    def __init__(self, counters: Callable[[], Mapping[str, int]], *, version: str) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "pagi_http_requests", "Answered requests.", ["method", "route", "status"], registry=self._registry
        )
        self._latency = Histogram(
            "pagi_http_request_seconds", "Time to answer.", ["route"], buckets=_BUCKETS_S, registry=self._registry
        )
        self.streams = Gauge("pagi_http_streams", "Event streams that are open.", registry=self._registry)
        Gauge("pagi_build", "The running version.", ["version"], registry=self._registry).labels(version).set(1)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Counts(counters))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is a template such as `/v1/jobs/{id}`, or `unmatched`."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)
