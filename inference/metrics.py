"""Prometheus metrics of the runtime and of the gateway, each in a registry of its own.

Names follow vLLM's where the meaning is the same, with our prefix.
"""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.responses import Response

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class _Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def page(self) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when the page is asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)


class RuntimeMetrics(_Metrics):
    def __init__(self) -> None:
        super().__init__()
        name = "lictor_runtime_"
        self.requests = Counter(
            name + "requests", "Choices ended, by reason", ["reason"], registry=self.registry
        )
        self.refused = Counter(
            name + "refused", "Requests refused, by code", ["code"], registry=self.registry
        )
        self.prompt_tokens = Counter(
            name + "prompt_tokens", "Prompt tokens taken in", registry=self.registry
        )
        self.generation_tokens = Counter(
            name + "generation_tokens", "Tokens generated", registry=self.registry
        )
        self.reasoning_tokens = Counter(
            name + "reasoning_tokens", "Tokens of thoughts", registry=self.registry
        )
        self.reasoning = Counter(
            name + "reasoning_requests",
            "Requests by reasoning mode and who decided it",
            ["mode", "source"],
            registry=self.registry,
        )
        self.first_token_seconds = Histogram(
            name + "time_to_first_token_seconds",
            "Seconds from request to first token",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            name + "e2e_request_latency_seconds",
            "Seconds from request to last token",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.permit_renewals = Counter(
            name + "permit_renewals",
            "Permit renewals, by outcome",
            ["outcome"],
            registry=self.registry,
        )


class GatewayMetrics(_Metrics):
    def __init__(self) -> None:
        super().__init__()
        name = "lictor_gateway_"
        self.requests = Counter(
            name + "requests",
            "Requests, by endpoint and status",
            ["endpoint", "status"],
            registry=self.registry,
        )
        self.cut_streams = Counter(
            name + "cut_streams",
            "Streams cut while running, by reason",
            ["endpoint", "reason"],
            registry=self.registry,
        )
        self.refreshes = Counter(
            name + "route_refreshes",
            "Route refreshes, by outcome",
            ["outcome"],
            registry=self.registry,
        )
