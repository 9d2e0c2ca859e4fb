"""What /metrics, /healthz and /readyz of a runtime say."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from inference.histogram import LoopHistogram
from inference.protocol import EngineStats, GenerateRequest, Health, TokenChunk
from tests.inference.fake_engine import FakeEngine
from tests.inference.serving import unmanaged_runtime, until

ASK: dict[str, Any] = {"model": "nano", "messages": [{"role": "user", "content": "2+2?"}]}
NAME = "lictor_runtime_"


class StagedEngine(FakeEngine):
    """Says of itself what it was told to say."""

    told = EngineStats()
    state = Health("ready")

    def stats(self) -> EngineStats:
        return self.told

    def health(self) -> Health:
        return self.state


@pytest.fixture
async def engine() -> StagedEngine:
    return StagedEngine()


@pytest.fixture
async def http(engine: StagedEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with unmanaged_runtime(engine) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


async def samples(http: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Return the page: (name, label values...) to value."""
    page = (await http.get("/metrics")).text
    return {
        (one.name.removeprefix(NAME), *one.labels.values()): one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
    }


async def test_what_the_engine_says_is_told_under_vllms_names(
    engine: StagedEngine, http: httpx.AsyncClient
) -> None:
    engine.told = EngineStats(
        queued=3,
        running=2,
        slots_total=4,
        slots_used=2,
        kv_blocks_total=40,
        kv_blocks_used=10,
        preemptions_total=5,
    )
    page = await samples(http)

    wanted = {
        "num_requests_waiting": 3,
        "num_requests_running": 2,
        "kv_cache_usage_perc": 0.25,
        "kv_blocks_total": 40,
        "kv_blocks_used": 10,
        "state_slots_total": 4,
        "state_slots_used": 2,
        "num_preemptions_total": 5,
        "ready": 1,
        "permit_remaining_seconds": 0,
    }
    assert {name: page[name,] for name in wanted} == wanted


async def test_tokens_and_latencies_are_counted_for_streams_and_whole_answers(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/v1/chat/completions", json=ASK)
    await http.post("/v1/chat/completions", json={**ASK, "stream": True})
    page = await samples(http)

    assert page["request_success_total", "stop"] == 2
    assert page["prompt_tokens_total",] > 0
    assert page["generation_tokens_total",] == 2 * 19
    assert page["reasoning_tokens_total",] == 2 * 7
    assert page["answer_tokens_total",] == 2 * 12
    for latency, count in (
        ("time_to_first_token_seconds", 2),
        ("inter_token_latency_seconds", 2 * 18),
        ("e2e_request_latency_seconds", 2),
    ):
        assert page[latency + "_count",] == page[latency + "_bucket", "+Inf"] == count
        assert page[latency + "_sum",] > 0


async def test_tokens_of_a_stream_are_told_while_it_runs(
    engine: StagedEngine, http: httpx.AsyncClient
) -> None:
    engine.endless, engine.pause_seconds = True, 0.05
    body = {**ASK, "stream": True}
    async with http.stream("POST", "/v1/chat/completions", json=body) as got:
        lines = got.aiter_lines()
        async with asyncio.timeout(5):
            while not (await samples(http))["generation_tokens_total",]:
                await anext(lines)


async def test_an_answer_its_caller_left_is_counted_as_aborted(
    engine: StagedEngine, http: httpx.AsyncClient
) -> None:
    engine.endless, engine.pause_seconds = True, 0.01
    body = {**ASK, "stream": True}
    async with http.stream("POST", "/v1/chat/completions", json=body) as got:
        await anext(got.aiter_bytes())
    await until(lambda: bool(engine.aborted))

    assert (await samples(http))["request_success_total", "abort"] == 1


async def test_a_refusal_is_counted_by_its_code_and_as_nothing_else(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/v1/chat/completions", json={**ASK, "model": "x" * 200})
    page = await samples(http)

    assert page["refused_total", "endpoint_unknown"] == 1
    assert not [names for names in page if names[0] == "request_success_total"]
    assert page["e2e_request_latency_seconds_count",] == 0


async def test_a_request_the_engine_refuses_ended_no_choice() -> None:
    class Refusing(FakeEngine):
        async def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]:
            raise ValueError("too long")
            yield

    async with unmanaged_runtime(Refusing()) as url, httpx.AsyncClient(base_url=url) as http:
        refused = await http.post("/v1/chat/completions", json=ASK)
        page = await samples(http)

    assert refused.status_code == 400
    assert page["refused_total", "invalid_request"] == 1
    assert not [names for names in page if names[0] == "request_success_total"]


async def test_nothing_a_caller_writes_becomes_a_label(http: httpx.AsyncClient) -> None:
    odd = {"model": "odd-name", "user": "odd-user", "reasoning_effort": "odd-effort"}
    for path in ("/v1/chat/completions", "/v1/responses", "/odd-path"):
        await http.post(path, json={**ASK, **odd})

    assert "odd" not in (await http.get("/metrics")).text


@pytest.mark.parametrize("state", ["starting", "draining", "failed"])
async def test_a_runtime_is_not_ready_while_its_engine_is_not(
    engine: StagedEngine, http: httpx.AsyncClient, state: Any
) -> None:
    engine.state = Health(state, "why")
    ready, asked = await http.get("/readyz"), await http.post("/v1/chat/completions", json=ASK)
    health = await http.get("/healthz")

    assert (ready.status_code, asked.status_code) == (503, 503)
    assert "retry-after" in ready.headers
    assert (await samples(http))["ready",] == 0
    assert health.status_code == (503 if state == "failed" else 200)


def test_a_histogram_puts_a_value_on_a_bound_below_it_and_adds_up() -> None:
    histogram = LoopHistogram("h", "text", bounds=(0.1, 1.0), registry=CollectorRegistry())
    for value, times in ((0.1, 2), (0.5, 1), (7.0, 3)):
        histogram.observe(value, times)
    (family,) = histogram.collect()
    counts = {tuple(s.labels.values()): s.value for s in family.samples}

    assert [counts["0.1",], counts["1.0",], counts["+Inf",]] == [2, 3, 6]
    assert next(s.value for s in family.samples if s.name == "h_sum") == pytest.approx(21.7)
