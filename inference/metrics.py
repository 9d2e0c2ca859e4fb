"""Prometheus metrics of the runtime and of the gateway, each in a registry of its own.

Where the meaning is that of a metric of vLLM, the name is vLLM's behind our prefix. Labels take
their values from short fixed lists (reasons, codes, modes), and from endpoints that exist.
"""

from collections.abc import Callable, Iterator

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response

from inference.histogram import LoopHistogram
from inference.protocol import EngineStats

REQUEST_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 240, 480)
FIRST_TOKEN_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TOKEN_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5)


class _Metrics:
    prefix = ""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def page(self) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when the page is asked for."""
        Gauge(self.prefix + name, text, registry=self.registry).set_function(read)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(self.prefix + name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> LoopHistogram:
        return LoopHistogram(self.prefix + name, text, bounds=bounds, registry=self.registry)


class RuntimeMetrics(_Metrics):
    """What one replica counts. Law: generation tokens = reasoning tokens + answer tokens."""

    prefix = "lictor_runtime_"

    def __init__(self) -> None:
        super().__init__()
        self.ended = self._counter(
            "request_success",
            "Choices ended, by reason; abort: the caller left, or the right to serve ended",
            "finished_reason",
        )
        self.refused = self._counter("refused", "Requests refused, by code", "code")
        self.prompt_tokens = self._counter("prompt_tokens", "Tokens of accepted prompts")
        self.generation_tokens = self._counter("generation_tokens", "Tokens generated")
        self.reasoning_tokens = self._counter("reasoning_tokens", "Tokens of thoughts")
        self.answer_tokens = self._counter(
            "answer_tokens", "Tokens of answers and tool calls, with all markers"
        )
        self.reasoning = self._counter(
            "reasoning_requests", "Requests by reasoning mode and who decided it", "mode", "source"
        )
        self.permit_renewals = self._counter(
            "permit_renewals", "Permit renewals, by outcome", "outcome"
        )
        self.first_token_seconds = self._histogram(
            "time_to_first_token_seconds", "From request to first token", FIRST_TOKEN_BOUNDS
        )
        self.inter_token_seconds = self._histogram(
            "inter_token_latency_seconds", "Between two tokens of one choice", TOKEN_BOUNDS
        )
        self.request_seconds = self._histogram(
            "e2e_request_latency_seconds", "From request to its last token", REQUEST_BOUNDS
        )

    def watch_engine(self, read: Callable[[], EngineStats]) -> None:
        """Add what the engine counts; `read` is called once a page."""
        self.registry.register(_EngineCollector(self.prefix, read))


class GatewayMetrics(_Metrics):
    prefix = "lictor_gateway_"

    def __init__(self) -> None:
        super().__init__()
        self.requests = self._counter(
            "requests", "Requests, by endpoint and status", "endpoint", "status"
        )
        self.cut_streams = self._counter(
            "cut_streams", "Streams cut while running, by reason", "endpoint", "reason"
        )
        self.refreshes = self._counter("route_refreshes", "Route refreshes, by outcome", "outcome")
        self.withheld = self._counter(
            "guard_withheld", "Texts the guard withheld, by side", "endpoint", "side"
        )
        self.guard_failures = self._counter(
            "guard_failures", "Requests and streams ended because the guard failed", "endpoint"
        )


class _EngineCollector(Collector):
    def __init__(self, prefix: str, read: Callable[[], EngineStats]) -> None:
        self._prefix = prefix
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        stats = self._read()
        for name, text, value in _engine_gauges(stats):
            yield GaugeMetricFamily(self._prefix + name, text, value=value)
        yield CounterMetricFamily(
            self._prefix + "num_preemptions",
            "Choices put back into the queue for want of room",
            value=stats.preemptions_total,
        )


def _engine_gauges(stats: EngineStats) -> list[tuple[str, str, float]]:
    share = stats.kv_blocks_used / stats.kv_blocks_total if stats.kv_blocks_total else 0.0
    return [
        ("num_requests_running", "Choices that generate", stats.running),
        ("num_requests_waiting", "Choices that wait for a slot", stats.queued),
        ("kv_cache_usage_perc", "Share of the KV blocks in use; 1 is all", share),
        ("kv_blocks_total", "KV blocks", stats.kv_blocks_total),
        ("kv_blocks_used", "KV blocks in use", stats.kv_blocks_used),
        ("state_slots_total", "Slots for the state of a choice", stats.slots_total),
        ("state_slots_used", "Slots in use", stats.slots_used),
    ]
