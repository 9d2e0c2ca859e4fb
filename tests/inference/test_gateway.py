import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from openai import (
    APIError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inference.contract import ReasoningPolicy
from inference.gateway.routes import RouteTable
from inference.permit import read_keys
from tests.inference.fake_engine import FakeEngine
from tests.inference.fake_issuer import ENDED, FakeIssuer
from tests.inference.serving import gateway, managed_runtime, served, until

MESSAGES: Any = [{"role": "user", "content": "2+2?"}]
ASK: dict[str, Any] = {"model": "assistant", "messages": MESSAGES}


@dataclass
class Stage:
    """Issuer, one runtime and a gateway, all real servers of this machine."""

    issuer: FakeIssuer
    engine: FakeEngine
    url: str
    stack: AsyncExitStack
    clients: list[AsyncOpenAI] = field(default_factory=list)

    async def client(self, key: str = "key-a") -> AsyncOpenAI:
        made = AsyncOpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0)
        return await self.stack.enter_async_context(made)

    async def metrics(self) -> str:
        async with httpx.AsyncClient() as http:
            return (await http.get(self.url + "/metrics")).text


@pytest.fixture
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Stand up everything; a `ttl_seconds` or `max_running` may be given as the parameter."""
    wanted = dict(getattr(request, "param", {}))
    issuer, engine = FakeIssuer(ttl_seconds=wanted.pop("ttl_seconds", 5)), FakeEngine()
    async with AsyncExitStack() as stack:
        issuer_url = await stack.enter_async_context(served(issuer.app()))
        runtime_url = await stack.enter_async_context(managed_runtime(engine, issuer_url))
        issuer.add_endpoint("assistant", "key-a", "key-both", url=runtime_url)
        issuer.add_endpoint("other", "key-o", "key-both")
        url = await stack.enter_async_context(gateway(issuer_url, **wanted))
        yield Stage(issuer, engine, url, stack)


async def test_the_openai_client_gets_thought_and_answer(stage: Stage) -> None:
    ai = await stage.client()
    answer = await ai.chat.completions.create(**ASK)

    message = answer.choices[0].message
    assert (message.content, message.reasoning_content) == ("Vier €", "2+2=4")  # type: ignore[attr-defined]
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 7
    assert answer.reasoning["source"] == "default"  # type: ignore[attr-defined]


async def test_the_blocking_openai_client_works_as_well(stage: Stage) -> None:
    def ask() -> str | None:
        with OpenAI(base_url=stage.url + "/v1", api_key="key-a", max_retries=0) as ai:
            answer = ai.chat.completions.create(**ASK, reasoning_effort="none")
            return answer.choices[0].message.content

    assert await asyncio.to_thread(ask) == "Vier €"


async def test_the_openai_client_streams_through_the_gateway(stage: Stage) -> None:
    ai = await stage.client()
    stream = await ai.chat.completions.create(
        **ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(d.content or "" for d in deltas) == "Vier €"
    assert "".join(getattr(d, "reasoning", None) or "" for d in deltas) == "2+2=4"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 19


async def test_a_gateway_passes_every_event_on_as_it_was(stage: Stage) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            stage.url + "/v1/chat/completions",
            json={**ASK, "stream": True},
            headers={"Authorization": "Bearer key-a"},
        )

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("data: ") == answer.text.count("\n\n")
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_a_runtimes_refusal_reaches_the_caller_with_its_field(stage: Stage) -> None:
    ai = await stage.client()
    with pytest.raises(APIStatusError) as refusal:
        await ai.chat.completions.create(**ASK, extra_body={"chat_template": "x"})

    assert refusal.value.status_code == 400
    assert refusal.value.param == "chat_template"


async def test_an_unknown_or_missing_key_is_401(stage: Stage) -> None:
    ai = await stage.client("key-x")
    with pytest.raises(AuthenticationError):
        await ai.chat.completions.create(**ASK)
    async with httpx.AsyncClient() as http:
        bare = await http.post(stage.url + "/v1/chat/completions", json=ASK)

    assert (bare.status_code, bare.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_key_of_another_endpoint_is_403(stage: Stage) -> None:
    ai = await stage.client("key-o")

    with pytest.raises(PermissionDeniedError):
        await ai.chat.completions.create(**ASK)


async def test_an_unknown_endpoint_is_404(stage: Stage) -> None:
    ai = await stage.client()

    with pytest.raises(NotFoundError):
        await ai.chat.completions.create(model="nobody", messages=MESSAGES)


async def test_an_expired_key_is_401(stage: Stage) -> None:
    stage.issuer.add_endpoint("late", "key-late", expires_at="2020-01-01T00:00:00+00:00")
    await asyncio.sleep(0.3)
    ai = await stage.client("key-late")

    with pytest.raises(AuthenticationError):
        await ai.chat.completions.create(model="late", messages=MESSAGES)


async def test_an_endpoint_without_a_ready_replica_is_503_with_retry_after(stage: Stage) -> None:
    ai = await stage.client("key-o")
    with pytest.raises(APIStatusError) as refusal:
        await ai.chat.completions.create(model="other", messages=MESSAGES)

    assert refusal.value.status_code == 503
    assert int(refusal.value.response.headers["retry-after"]) > 0


async def test_a_key_sees_only_its_own_endpoints_and_none_that_ended(stage: Stage) -> None:
    both, own = await stage.client("key-both"), await stage.client("key-a")
    before = [model.id async for model in both.models.list()]
    mine = [model.id async for model in own.models.list()]
    stage.issuer.ended["assistant"] = ENDED
    await asyncio.sleep(0.3)

    assert (before, mine) == (["assistant", "other"], ["assistant"])
    assert [model.id async for model in both.models.list()] == ["other"]


@pytest.mark.parametrize("stage", [{"max_running": 1}], indirect=True)
async def test_too_many_requests_at_once_are_429_with_retry_after(stage: Stage) -> None:
    ai = await stage.client()
    stage.engine.hold.clear()
    first = asyncio.create_task(ai.chat.completions.create(**ASK))
    await until(lambda: bool(stage.engine.requests))
    with pytest.raises(RateLimitError) as refusal:
        await ai.chat.completions.create(**ASK)
    stage.engine.hold.set()
    await first
    again = await ai.chat.completions.create(**ASK)

    assert refusal.value.response.headers["retry-after"] == "1"
    assert again.choices[0].message.content == "Vier €"


async def test_an_ended_licence_is_451_and_names_the_clause(stage: Stage) -> None:
    stage.issuer.ended["assistant"] = ENDED
    await asyncio.sleep(0.3)
    ai = await stage.client()
    with pytest.raises(APIStatusError) as refusal:
        await ai.chat.completions.create(**ASK)

    body = refusal.value.response.json()
    assert refusal.value.status_code == 451
    assert refusal.value.response.headers["content-type"] == "application/problem+json"
    assert {name: body[name] for name in ENDED} == ENDED


async def test_standing_that_ends_cuts_a_running_stream_with_the_clause(stage: Stage) -> None:
    stage.engine.endless, stage.engine.pause_seconds = True, 0.01
    ai = await stage.client()
    stream = await ai.chat.completions.create(**ASK, stream=True)
    await anext(stream)
    stage.issuer.ended["assistant"] = ENDED
    started = time.monotonic()
    with pytest.raises(APIError) as cut:
        async for _ in stream:
            pass

    body: Any = cut.value.body
    assert {name: body[name] for name in ENDED} == ENDED
    assert time.monotonic() - started < 2
    await until(lambda: bool(stage.engine.aborted))
    assert stage.engine.aborted == [stage.engine.requests[0].request_id]


async def test_a_cut_stream_has_no_done_and_no_broken_event(stage: Stage) -> None:
    stage.engine.endless, stage.engine.pause_seconds = True, 0.002
    async with (
        httpx.AsyncClient(headers={"Authorization": "Bearer key-a"}) as http,
        http.stream(
            "POST", stage.url + "/v1/chat/completions", json={**ASK, "stream": True}
        ) as answer,
    ):
        parts = answer.aiter_text()
        text = await anext(parts)
        stage.issuer.ended["assistant"] = ENDED
        text += "".join([part async for part in parts])

    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith('data: {"') and line.endswith("}") for line in lines)
    assert lines[-1].startswith('data: {"error": ')
    assert "[DONE]" not in text


@pytest.mark.parametrize("stage", [{"ttl_seconds": 1}], indirect=True)
async def test_a_dead_issuer_cuts_streams_and_then_refuses_everything(stage: Stage) -> None:
    stage.engine.endless, stage.engine.pause_seconds = True, 0.01
    ai = await stage.client()
    stream = await ai.chat.completions.create(**ASK, stream=True)
    await anext(stream)
    stage.issuer.dead = True
    started = time.monotonic()
    with pytest.raises(APIError) as cut:
        async for _ in stream:
            pass
    with pytest.raises(APIStatusError) as refusal:
        await ai.chat.completions.create(**ASK)

    body: Any = cut.value.body
    assert body["code"] == "permit_lapsed"
    assert time.monotonic() - started < 2.5
    assert refusal.value.status_code == 503
    assert int(refusal.value.response.headers["retry-after"]) > 0


async def test_a_withdrawn_key_cuts_its_streams(stage: Stage) -> None:
    stage.engine.endless, stage.engine.pause_seconds = True, 0.01
    ai = await stage.client()
    stream = await ai.chat.completions.create(**ASK, stream=True)
    await anext(stream)
    stage.issuer.endpoints["assistant"]["keys"].clear()
    with pytest.raises(APIError) as cut:
        async for _ in stream:
            pass

    assert cut.value.body["code"] == "key_refused"  # type: ignore[index]


async def test_a_caller_that_hangs_up_stops_the_engine_and_frees_its_place(stage: Stage) -> None:
    stage.engine.endless, stage.engine.pause_seconds = True, 0.01
    ai = await stage.client()
    stream = await ai.chat.completions.create(**ASK, stream=True)
    await anext(stream)
    await stream.close()

    await until(lambda: bool(stage.engine.aborted))
    await asyncio.sleep(0.1)
    assert "lictor_gateway_running_requests 0.0" in await stage.metrics()


async def test_a_replica_that_cannot_be_reached_is_503(stage: Stage) -> None:
    stage.issuer.add_endpoint("gone", "key-g", url="http://127.0.0.1:9")
    await asyncio.sleep(0.3)
    ai = await stage.client("key-g")
    with pytest.raises(APIStatusError) as refusal:
        await ai.chat.completions.create(model="gone", messages=MESSAGES)

    assert refusal.value.status_code == 503


async def test_a_replica_that_is_not_ready_hands_over_to_one_that_is(stage: Stage) -> None:
    async def busy(_request: Request) -> Response:
        return JSONResponse({}, status_code=503)

    loading = Starlette(routes=[Route("/v1/chat/completions", busy, methods=["POST"])])
    loading_url = await stage.stack.enter_async_context(served(loading))
    stage.issuer.spare_urls["assistant"] = loading_url
    await asyncio.sleep(0.3)
    ai = await stage.client()
    answers = [await ai.chat.completions.create(**ASK) for _ in range(2)]

    assert [a.choices[0].message.content for a in answers] == ["Vier €", "Vier €"]


async def test_a_caller_cannot_widen_the_endpoints_policy(stage: Stage) -> None:
    stage.issuer.policy = ReasoningPolicy("always_off")
    await asyncio.sleep(0.4)
    ai = await stage.client()
    answer = await ai.chat.completions.create(
        **ASK, extra_body={"reasoning": {"mode": "on", "max_tokens": 500}}
    )

    assert answer.reasoning["mode"] == "off"  # type: ignore[attr-defined]
    assert answer.reasoning["source"] == "policy"  # type: ignore[attr-defined]


async def test_metrics_count_requests_cuts_and_the_age_of_routes(stage: Stage) -> None:
    ai = await stage.client()
    await ai.chat.completions.create(**ASK)
    page = await stage.metrics()

    assert 'lictor_gateway_requests_total{endpoint="assistant",status="200"} 1.0' in page
    assert "lictor_gateway_route_age_seconds 0." in page
    assert "lictor_gateway_ready_replicas 1.0" in page


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


async def loaded(clock: Clock, issuer: FakeIssuer, **more: Any) -> RouteTable:
    """Load a table from the issuer's real answers."""
    table = RouteTable(clock=clock)
    transport = httpx.ASGITransport(issuer.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://issuer") as http:
        keys = read_keys((await http.get("/keys")).json())
        headers = {"Authorization": "Bearer gateway-token"}
        body = (await http.get("/routes", headers=headers)).json()
    body |= more
    table.load(body, clock.now, keys=keys)
    return table


async def test_routes_are_believed_for_one_ttl_and_not_a_moment_longer() -> None:
    clock, issuer = Clock(), FakeIssuer()
    issuer.add_endpoint("assistant", "key-a", url="http://r")
    table = await loaded(clock, issuer)

    clock.now = 54.9
    assert table.visible_to(table.identify("key-a"))[0].name == "assistant"
    clock.now = 55.0
    assert not table.is_fresh


async def test_one_bad_endpoint_does_not_keep_another_from_ending() -> None:
    issuer = FakeIssuer()
    issuer.add_endpoint("assistant", "key-a", url="http://r")
    issuer.ended["assistant"] = ENDED
    good = issuer._route("assistant")
    table = await loaded(Clock(), issuer, endpoints=[{"id": "x"}, {**good, "ended": "soon"}, good])

    (seen,) = table.visible_to(table.identify("key-a"))
    assert seen.ended == ENDED


async def test_a_permit_of_another_endpoint_makes_no_replica_ready() -> None:
    issuer = FakeIssuer()
    issuer.add_endpoint("assistant", "key-a", url="http://r")
    route = issuer._route("assistant")
    table = await loaded(Clock(), issuer, endpoints=[{**route, "id": "stolen"}])

    assert dict(table.counts()) == {"assistant": 0}


async def test_replicas_take_turns() -> None:
    issuer = FakeIssuer()
    issuer.add_endpoint("a", "key-a", url="http://r")
    route = issuer._route("a")
    issuer.add_endpoint("b", "key-a", url="http://s")
    table = await loaded(Clock(), issuer)
    endpoint = table.endpoint("a", table.identify("key-a"))
    twin = type(endpoint)(**{f: getattr(endpoint, f) for f in endpoint.__slots__})
    both = (*endpoint.replicas, *table.endpoint("b", table.identify("key-a")).replicas)
    object.__setattr__(twin, "replicas", both)

    first = [table.ready_replicas(twin)[0].url for _ in range(4)]

    assert route["replicas"][0]["url"] == "http://r"
    assert first in (["http://r", "http://s"] * 2, ["http://s", "http://r"] * 2)
