"""A guard in the way of real requests: issuer, runtime, gateway and guard are real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openai import APIError, APIStatusError, AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inference.contract import GUARD_HEADER
from inference.guard.proxy import build_guard_proxy
from registry.artifact.guard import read_guard
from tests.inference.fake_engine import FakeEngine
from tests.inference.fake_issuer import ENDED, REPLICA_TOKEN, FakeIssuer
from tests.inference.guards import REFUSAL, GuardServer, guard_of, model_stage, rules
from tests.inference.serving import gateway, managed_runtime, served, unmanaged_runtime, until

FORBIDDEN = "the launch code is zulu-quebec"
LONG_BEGINNING = "Once upon a time there was a small town by the sea where nothing happened. "

HALF: dict[str, Any] = {
    "id": "c",
    "choices": [{"index": 0, "delta": {"content": "half a sen"}, "finish_reason": None}],
}


def ask(text: str = "2+2?", **more: Any) -> dict[str, Any]:
    return {"model": "assistant", "messages": [{"role": "user", "content": text}], **more}


@dataclass
class Stage:
    issuer: FakeIssuer
    engine: FakeEngine
    guard: GuardServer
    runtime_url: str
    url: str
    guard_url: str
    stack: AsyncExitStack

    async def put(self, document: dict[str, Any]) -> str:
        """Put a guard in front of the endpoint and wait until the gateway knows."""
        digest = self.issuer.put_guard("assistant", document)
        async with httpx.AsyncClient() as http:
            async with asyncio.timeout(5):
                while True:
                    answer = await self.post(http, ask())
                    # The gateway may know of it a moment before the replica's own permit does.
                    if (answer.status_code, answer.headers.get(GUARD_HEADER)) == (200, digest):
                        return digest
                    if json.loads(answer.content).get("code") == "guard_failed":
                        return digest
                    await asyncio.sleep(0.05)

    async def post(
        self, http: httpx.AsyncClient, body: dict[str, Any], path: str = "/v1/chat/completions"
    ) -> httpx.Response:
        headers = {"Authorization": "Bearer key-a"}
        return await http.post(self.url + path, json=body, headers=headers)

    async def client(self) -> AsyncOpenAI:
        made = AsyncOpenAI(base_url=self.url + "/v1", api_key="key-a", max_retries=0)
        return await self.stack.enter_async_context(made)

    async def metrics(self) -> str:
        async with httpx.AsyncClient() as http:
            return (await http.get(self.url + "/metrics")).text


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    issuer, engine, guard = FakeIssuer(), FakeEngine(), GuardServer()
    async with AsyncExitStack() as stack:
        issuer_url = await stack.enter_async_context(served(issuer.app()))
        guard_url = await stack.enter_async_context(served(guard.app()))
        runtime_url = await stack.enter_async_context(managed_runtime(engine, issuer_url))
        issuer.add_endpoint("assistant", "key-a", url=runtime_url)
        url = await stack.enter_async_context(gateway(issuer_url))
        yield Stage(issuer, engine, guard, runtime_url, url, guard_url, stack)


class TestInput:
    async def test_what_the_guard_refuses_never_reaches_the_model(self, stage: Stage) -> None:
        await stage.put(guard_of(given=[rules("forbidden")]))
        stage.engine.requests.clear()
        ai = await stage.client()
        answer = await ai.chat.completions.create(**ask("a forbidden question"))

        choice = answer.choices[0]
        assert (choice.finish_reason, choice.message.content) == ("content_filter", REFUSAL)
        assert answer.usage is not None
        assert answer.usage.total_tokens == 0
        assert stage.engine.requests == []
        assert 'guard_withheld_total{endpoint="assistant",side="input"} 1.0' in (
            await stage.metrics()
        )

    async def test_a_refusal_can_be_streamed(self, stage: Stage) -> None:
        await stage.put(guard_of(given=[rules("forbidden")]))
        ai = await stage.client()
        stream = await ai.chat.completions.create(
            **ask("forbidden"), stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]

        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == REFUSAL
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "content_filter"
        assert chunks[-1].usage is not None

    async def test_a_refusal_reads_as_a_response_and_as_a_completion(self, stage: Stage) -> None:
        await stage.put(guard_of(given=[rules("forbidden")]))
        ai = await stage.client()
        response = await ai.responses.create(model="assistant", input="forbidden", store=False)
        completion = await ai.completions.create(model="assistant", prompt="forbidden")
        events = [
            event
            async for event in await ai.responses.create(
                model="assistant", input="forbidden", store=False, stream=True
            )
        ]

        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "content_filter"
        assert response.output[0].content[0].refusal == REFUSAL  # type: ignore[union-attr]
        assert completion.choices[0].text == REFUSAL
        assert events[-1].type == "response.incomplete"
        assert [event.sequence_number for event in events] == list(range(len(events)))

    async def test_earlier_turns_and_the_system_prompt_are_read_too(self, stage: Stage) -> None:
        await stage.put(guard_of(given=[rules("forbidden")]))
        ai = await stage.client()
        for role in ("system", "user", "assistant"):
            said: Any = [
                {"role": "user", "content": "Hi"},
                {"role": role, "content": "forbidden"},
                {"role": "user", "content": "go on"},
            ]
            answer = await ai.chat.completions.create(model="assistant", messages=said)
            assert answer.choices[0].finish_reason == "content_filter", role

    async def test_a_guard_model_is_asked_and_its_outage_closes_the_endpoint(
        self, stage: Stage
    ) -> None:
        await stage.put(guard_of(given=[model_stage(stage.guard_url)]))
        ai = await stage.client()
        assert (await ai.chat.completions.create(**ask())).choices[0].message.content == "Vier €"
        answer = await ai.chat.completions.create(**ask("forbidden"))
        assert answer.choices[0].finish_reason == "content_filter"

        stage.guard.status = 500
        stage.engine.requests.clear()
        for body in (ask(), ask(stream=True)):
            with pytest.raises(APIStatusError) as refusal:
                await ai.chat.completions.create(**body)
            assert (refusal.value.status_code, refusal.value.code) == (503, "guard_failed")
        assert stage.engine.requests == []
        assert 'guard_failures_total{endpoint="assistant"} 2.0' in await stage.metrics()

    @pytest.mark.parametrize("more", [{"logprobs": True}, {"n": 2, "stream": True}])
    async def test_what_no_guard_can_read_is_400(self, stage: Stage, more: dict[str, Any]) -> None:
        await stage.put(guard_of(given=[rules("forbidden")]))
        ai = await stage.client()
        with pytest.raises(APIStatusError) as refusal:
            await ai.chat.completions.create(**ask(**more))

        assert refusal.value.status_code == 400


class TestOutput:
    async def test_a_whole_answer_that_the_guard_refuses_is_replaced(self, stage: Stage) -> None:
        stage.engine.says = f"Well, {FORBIDDEN}."
        digest = await stage.put(guard_of(said=[rules("launch code")]))
        ai = await stage.client()
        answer = await ai.chat.completions.create(**ask(), n=2)

        assert [c.message.content for c in answer.choices] == [REFUSAL, REFUSAL]
        assert {c.finish_reason for c in answer.choices} == {"content_filter"}
        assert answer.guard == {  # type: ignore[attr-defined]
            "digest": digest,
            "name": "test-guard",
            "withheld": "output",
        }

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/completions"])
    @pytest.mark.parametrize("stream", [False, True])
    async def test_no_part_of_a_refused_text_goes_out_by_any_door(
        self, stage: Stage, path: str, stream: bool
    ) -> None:
        stage.engine.says = LONG_BEGINNING + FORBIDDEN + LONG_BEGINNING
        await stage.put(guard_of(said=[rules(FORBIDDEN)]))
        bodies = {
            "/v1/chat/completions": ask(),
            "/v1/responses": {"model": "assistant", "input": "2+2?"},
            "/v1/completions": {"model": "assistant", "prompt": "2+2?", "max_tokens": 400},
        }
        async with httpx.AsyncClient() as http:
            answer = await stage.post(http, {**bodies[path], "stream": stream}, path)

        assert answer.status_code == 200
        assert REFUSAL in answer.text
        said = "".join(char for char in _shown(answer.text, path, stream))
        assert "quebec" not in answer.text
        assert "launch" not in said

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/completions"])
    async def test_a_stream_that_passes_is_the_same_as_without_a_guard(
        self, stage: Stage, path: str
    ) -> None:
        stage.engine.says = LONG_BEGINNING * 3
        body = ask() if "chat" in path else {"model": "assistant", "input": "2+2?"}
        if path == "/v1/completions":
            body = {"model": "assistant", "prompt": "2+2?", "max_tokens": 400}
        async with httpx.AsyncClient() as http:
            bare = await stage.post(http, {**body, "stream": True}, path)
            await stage.put(guard_of(said=[rules(FORBIDDEN)]))
            guarded = await stage.post(http, {**body, "stream": True}, path)

        assert _shown(guarded.text, path, True) == _shown(bare.text, path, True)
        assert guarded.text.count("data: ") == bare.text.count("data: ")

    async def test_a_stream_flows_while_it_is_read(self, stage: Stage) -> None:
        stage.engine.says = LONG_BEGINNING * 3
        await stage.put(guard_of(said=[rules(FORBIDDEN)]))
        stage.engine.pause_seconds = 0.005
        ai = await stage.client()
        stream = await ai.chat.completions.create(**ask(), stream=True)
        said, early = "", ""
        async for chunk in stream:
            said += chunk.choices[0].delta.content or ""
            if said and not early:
                # From here on the engine waits: what came, came before the answer was complete.
                stage.engine.hold.clear()
                early = said
                asyncio.get_running_loop().call_later(0.3, stage.engine.hold.set)

        assert 0 < len(early) < len(said)
        assert said == stage.engine.says.rstrip()

    async def test_a_withheld_stream_stops_the_engine(self, stage: Stage) -> None:
        stage.engine.says = FORBIDDEN + "x" * 100_000
        await stage.put(guard_of(given=[rules("never")], said=[rules("launch code")]))
        stage.engine.aborted.clear()
        ai = await stage.client()
        stream = await ai.chat.completions.create(**ask(), stream=True)
        ended = [c.choices[0].finish_reason async for c in stream]

        assert ended[-1] == "content_filter"
        await until(lambda: bool(stage.engine.aborted))

    async def test_a_guard_that_fails_half_way_ends_the_stream(self, stage: Stage) -> None:
        stage.engine.says = LONG_BEGINNING * 4
        await stage.put(guard_of(said=[model_stage(stage.guard_url)]))
        stage.engine.pause_seconds = 0.005
        ai = await stage.client()
        stream = await ai.chat.completions.create(**ask(), stream=True)
        said = ""

        async def read() -> None:
            nonlocal said
            async for chunk in stream:
                said += chunk.choices[0].delta.content or ""
                if said:
                    stage.guard.status = 500

        with pytest.raises(APIError) as fault:
            await read()
        assert fault.value.code == "guard_failed"
        assert 0 < len(said) < 300

    async def test_thoughts_are_read_as_well(self, stage: Stage) -> None:
        await stage.put(guard_of(said=[rules(r"2\+2=4")]))
        ai = await stage.client()
        answer = await ai.chat.completions.create(**ask())

        assert answer.choices[0].finish_reason == "content_filter"
        assert not hasattr(answer.choices[0].message, "reasoning")


class TestBinding:
    @pytest.mark.parametrize("claimed", [None, "sha256:" + "0" * 64])
    async def test_a_replica_whose_permit_names_another_guard_serves_nothing(
        self, stage: Stage, claimed: str | None
    ) -> None:
        stage.issuer.put_guard("assistant", guard_of(given=[rules("x")]))
        stage.issuer.claimed["assistant"] = claimed
        await _until_status(stage, 503)

        assert (await _code(stage)) == "not_serving"
        assert "lictor_gateway_ready_replicas 0.0" in await stage.metrics()

    async def test_a_route_without_the_guard_of_the_permit_serves_nothing(
        self, stage: Stage
    ) -> None:
        stage.issuer.claimed["assistant"] = "sha256:" + "0" * 64

        await _until_status(stage, 503)

    @pytest.mark.parametrize("spoil", ["digest", "document"])
    async def test_a_guard_that_is_not_what_its_digest_says_serves_nothing(
        self, stage: Stage, spoil: str
    ) -> None:
        stage.issuer.put_guard("assistant", guard_of(given=[rules("x")]))
        route = stage.issuer.guards["assistant"]
        route["document" if spoil == "document" else "digest"] = (
            {**route["document"], "refusal": "changed"}
            if spoil == "document"
            else "sha256:" + "1" * 64
        )
        await _until_status(stage, 503)

        stage.issuer.ended["assistant"] = ENDED
        await _until_status(stage, 451)

    async def test_a_replica_takes_nothing_that_its_guard_did_not_read(self, stage: Stage) -> None:
        digest = await stage.put(guard_of(given=[rules("forbidden")]))
        url = stage.runtime_url + "/v1/chat/completions"
        token = {"Authorization": f"Bearer {REPLICA_TOKEN}"}
        async with httpx.AsyncClient() as http:
            bare = await http.post(url, json=ask(), headers=token)
            other = await http.post(url, json=ask(), headers={**token, GUARD_HEADER: "sha256:0"})
            right = await http.post(url, json=ask(), headers={**token, GUARD_HEADER: digest})

        assert (bare.status_code, bare.json()["code"]) == (403, "guard_bypassed")
        assert (other.status_code, right.status_code) == (403, 200)

    async def test_a_caller_cannot_name_or_switch_off_the_guard(self, stage: Stage) -> None:
        digest = await stage.put(guard_of(given=[rules("forbidden")]))
        headers = {"Authorization": "Bearer key-a", GUARD_HEADER: "sha256:0"}
        url = stage.url + "/v1/chat/completions"
        async with httpx.AsyncClient() as http:
            answer = await http.post(url, json=ask(), headers=headers)
            switched = await http.post(
                url,
                json=ask("x", guardrails={"options": {"rails": {"input": False}}}),
                headers=headers,
            )

        assert (answer.status_code, answer.headers[GUARD_HEADER]) == (200, digest)
        assert (switched.status_code, switched.json()["param"]) == (400, "guardrails")

    async def test_a_stream_ends_when_its_guard_is_changed(self, stage: Stage) -> None:
        stage.engine.endless, stage.engine.pause_seconds = True, 0.002
        stage.issuer.put_guard("assistant", guard_of(given=[rules("one")]))
        await asyncio.sleep(0.4)
        ai = await stage.client()
        stream = await ai.chat.completions.create(**ask(), stream=True)

        async def read() -> None:
            async for _ in stream:
                stage.issuer.put_guard("assistant", guard_of(given=[rules("two")]))

        with pytest.raises(APIError):
            await read()


class TestProxy:
    async def test_a_guard_can_be_tried_without_a_control_plane(self) -> None:
        guard = read_guard(guard_of(given=[rules("forbidden")], said=[rules("Vier")]))
        async with (
            unmanaged_runtime(FakeEngine()) as upstream,
            served(build_guard_proxy(guard, upstream)) as url,
            AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as ai,
        ):
            model = (await ai.models.list()).data[0].id
            given = await ai.chat.completions.with_raw_response.create(
                **{**ask("forbidden"), "model": model}
            )
            said = await ai.chat.completions.create(**{**ask("2+2?"), "model": model})

        assert given.headers["x-lictor-unmanaged"] == "true"
        assert given.parse().choices[0].message.content == REFUSAL
        assert said.choices[0].finish_reason == "content_filter"

    async def test_a_server_that_speaks_otherwise_gets_nothing_through(self) -> None:
        said = await _through_guard({"surprise": 1})

        assert "surprise" not in said
        assert "guard_failed" in said

    async def test_a_stream_that_fails_says_so_and_loses_what_is_held(self) -> None:
        said = await _through_guard(HALF, {"error": {"code": "permit_lapsed"}})

        assert "half" not in said
        assert said.count("permit_lapsed") == said.count("data: ") == 1

    async def test_a_stream_that_breaks_off_loses_what_is_held(self) -> None:
        said = await _through_guard(HALF)

        assert "half" not in said
        assert "not_serving" in said


async def _through_guard(*events: dict[str, Any]) -> str:
    """Return what comes through a guard of a server that streams these events and hangs up."""

    async def told(_request: Request) -> Response:
        said = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return Response(said.encode(), media_type="text/event-stream")

    guard = read_guard(guard_of(said=[rules("x")]))
    app = Starlette(routes=[Route("/v1/chat/completions", told, methods=["POST"])])
    async with (
        served(app) as upstream,
        served(build_guard_proxy(guard, upstream)) as url,
        httpx.AsyncClient() as http,
    ):
        return (await http.post(url + "/v1/chat/completions", json=ask(stream=True))).text


async def _code(stage: Stage) -> str:
    async with httpx.AsyncClient() as http:
        return str((await stage.post(http, ask())).json()["code"])


async def _until_status(stage: Stage, status: int) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(5):
        while (await stage.post(http, ask())).status_code != status:
            await asyncio.sleep(0.05)


def _shown(text: str, path: str, stream: bool) -> str:
    """Return the texts of an answer, thoughts and refusals among them."""
    if not stream:
        return text
    said = ""
    for line in text.split("\n"):
        if not line.startswith("data: {"):
            continue
        body = json.loads(line[6:])
        if path == "/v1/responses":
            said += body.get("delta", "")
        elif body["choices"]:
            (choice,) = body["choices"]
            delta = choice.get("delta", {})
            said += choice.get("text") or delta.get("content") or delta.get("reasoning") or ""
    return said
