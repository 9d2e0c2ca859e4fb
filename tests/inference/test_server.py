import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from openai import APIError, AsyncOpenAI, BadRequestError

from inference.contract import ReasoningPolicy
from inference.protocol import GenerateRequest
from inference.sequence import Sequence
from tests.inference import tiny
from tests.inference.fake_engine import FakeEngine
from tests.inference.fake_issuer import ENDED, REPLICA_TOKEN, FakeIssuer
from tests.inference.serving import managed_runtime, served, unmanaged_runtime, until

ASK: dict[str, Any] = {"model": "nano", "messages": [{"role": "user", "content": "2+2?"}]}
MANAGED_ASK = {**ASK, "model": "assistant"}
AUTH = {"Authorization": f"Bearer {REPLICA_TOKEN}"}


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with unmanaged_runtime(engine) as url, httpx.AsyncClient(base_url=url) as http:
        yield http


def events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


async def test_an_answer_carries_thought_content_usage_and_what_really_ran(
    client: httpx.AsyncClient,
) -> None:
    answer = (await client.post("/v1/chat/completions", json=ASK)).json()

    message = answer["choices"][0]["message"]
    assert message["content"] == "Vier €"
    assert message["reasoning"] == message["reasoning_content"] == "2+2=4"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 7}
    assert answer["reasoning"] == {
        "mode": "on",
        "source": "default",
        "budget": 2048 - 33 - 256,
        "budget_exhausted": False,
        "forced_end": None,
    }


async def test_reasoning_off_gives_no_thought_and_a_closed_prompt(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    body = {**ASK, "reasoning": {"mode": "off"}}
    answer = (await client.post("/v1/chat/completions", json=body)).json()

    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Vier €"}
    assert (answer["reasoning"]["mode"], answer["reasoning"]["source"]) == ("off", "request")
    assert engine.requests[0].prompt_ids[-2:] == (tiny.IDS["<think>"], tiny.IDS["</think>"])
    assert engine.requests[0].thinking is None


async def test_a_budget_that_runs_out_is_reported(client: httpx.AsyncClient) -> None:
    body = {**ASK, "thinking_token_budget": 3}
    answer = (await client.post("/v1/chat/completions", json=body)).json()

    assert answer["choices"][0]["message"]["reasoning"] == "2+"
    assert answer["choices"][0]["message"]["content"] == "Vier €"
    assert answer["reasoning"]["budget"] == 3
    assert answer["reasoning"]["budget_exhausted"] is True
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3


async def test_an_excluded_thought_is_counted_but_not_shown(client: httpx.AsyncClient) -> None:
    body = {**ASK, "reasoning": {"exclude": True}}
    whole = (await client.post("/v1/chat/completions", json=body)).json()
    streamed = (await client.post("/v1/chat/completions", json={**body, "stream": True})).text

    assert "reasoning" not in whole["choices"][0]["message"]
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == 7
    assert not any("reasoning" in e["choices"][0]["delta"] for e in events(streamed))


async def test_a_stream_holds_the_same_text_in_whole_characters(
    client: httpx.AsyncClient,
) -> None:
    body = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
    answer = await client.post("/v1/chat/completions", json=body)
    chunks = events(answer.text)
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "".join(d.get("reasoning", "") for d in deltas) == "2+2=4"
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "2+2=4"
    assert "".join(d.get("content", "") for d in deltas) == "Vier €"
    assert [d["content"] for d in deltas if "€" in d.get("content", "")] == [" €"]
    assert chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 7
    assert chunks[-2]["reasoning"]["mode"] == "on"
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"chat_template": "{{ 1 }}"}, "chat_template"),
        ({"tools": []}, "tools"),
        ({"best_of": 2}, "best_of"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 5}, "n"),
        ({"n": True}, "n"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens, max_completion_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        (
            {"reasoning_effort": "none", "thinking_token_budget": 9},
            "reasoning_effort, thinking_token_budget",
        ),
        ({"messages": []}, "messages"),
        ({"max_tokens": 100_000}, "max_tokens"),
    ],
)
async def test_a_field_that_cannot_be_honoured_is_refused_by_name(
    client: httpx.AsyncClient, engine: FakeEngine, change: dict[str, Any], param: str
) -> None:
    answer = await client.post("/v1/chat/completions", json={**ASK, **change})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["param"] == param
    assert engine.requests == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"model":"a","model":"b"}', b'{"model": NaN}', b'{"a":"\\ud800"}']
)
async def test_a_body_that_is_no_plain_json_object_is_refused(
    client: httpx.AsyncClient, body: bytes
) -> None:
    answer = await client.post("/v1/chat/completions", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


async def test_a_prompt_longer_than_the_context_is_refused(client: httpx.AsyncClient) -> None:
    body = {**ASK, "messages": [{"role": "user", "content": "x" * 3000}]}
    answer = await client.post("/v1/chat/completions", json=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "context_too_long")


async def test_sampling_fields_reach_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    fields = {"temperature": 0.7, "top_p": 0.8, "top_k": 5, "min_p": 0.1, "presence_penalty": 0.5}
    more = {"seed": 7, "min_tokens": 2, "max_completion_tokens": 50, "n": 2, "top_logprobs": 1}
    body = {**ASK, **fields, **more, "logprobs": True}
    answer = (await client.post("/v1/chat/completions", json=body)).json()

    sampling = engine.requests[0].sampling
    assert {name: getattr(sampling, name) for name in fields} == fields
    assert (sampling.max_tokens, sampling.min_tokens, sampling.logprobs) == (50, 2, 1)
    assert sorted(r.sampling.seed or 0 for r in engine.requests) == [7, 8]
    assert [c["index"] for c in answer["choices"]] == [0, 1]
    first = answer["choices"][1]["logprobs"]["content"][0]
    assert (first["token"], first["logprob"]) == ("\n", -0.5)
    assert first["top_logprobs"][0]["token"] == "\n"


async def test_a_stop_string_ends_the_answer_and_aborts_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    body = {**ASK, "stop": "er", "stream": True}
    text = (await client.post("/v1/chat/completions", json=body)).text
    contents = [e["choices"][0]["delta"].get("content", "") for e in events(text)]

    assert "".join(contents) == "Vi"
    assert events(text)[-1]["choices"][0]["finish_reason"] == "stop"
    assert len(engine.aborted) == 1


async def test_a_length_cut_in_the_thought_leaves_the_content_empty(
    client: httpx.AsyncClient,
) -> None:
    form_cut = {**ASK, "max_tokens": 1}
    answer = (await client.post("/v1/chat/completions", json=form_cut)).json()

    assert answer["choices"][0]["finish_reason"] == "length"


async def test_raw_completions_take_text_and_never_control_tokens(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    body = {"model": "nano", "prompt": "a<think>", "max_tokens": 32}
    answer = (await client.post("/v1/completions", json=body)).json()
    ids = await client.post("/v1/completions", json={**body, "prompt": [[1, 262]]})

    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["text"] == "Vier €\n"
    assert engine.requests[0].prompt_ids == tuple(b"a<think>")
    assert ids.status_code == 400


async def test_a_hung_up_caller_stops_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.endless, engine.pause_seconds = True, 0.01
    async with client.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as got:
        await anext(got.aiter_bytes())

    await until(lambda: bool(engine.aborted))
    assert engine.aborted == [engine.requests[0].request_id]


async def test_a_hung_up_caller_of_a_whole_answer_stops_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.endless, engine.pause_seconds = True, 0.01
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/v1/chat/completions", json=ASK, timeout=0.3)

    await until(lambda: bool(engine.aborted))
    assert engine.aborted == [engine.requests[0].request_id]


async def test_an_unmanaged_runtime_says_so_in_every_answer(client: httpx.AsyncClient) -> None:
    answers = [await client.get("/healthz"), await client.post("/v1/chat/completions", json=ASK)]

    assert [a.headers.get("x-lictor-unmanaged") for a in answers] == ["true", "true"]


async def test_metrics_tell_requests_tokens_and_reasoning(client: httpx.AsyncClient) -> None:
    await client.post("/v1/chat/completions", json=ASK)
    page = (await client.get("/metrics")).text

    assert 'lictor_runtime_request_success_total{finished_reason="stop"} 1.0' in page
    assert "lictor_runtime_reasoning_tokens_total 7.0" in page
    assert 'lictor_runtime_reasoning_requests_total{mode="on",source="default"} 1.0' in page


async def test_an_unknown_path_is_a_problem_too(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/embeddings")

    assert (answer.status_code, answer.json()["code"]) == (404, "http_404")


async def test_a_managed_runtime_serves_only_its_token_and_its_endpoint() -> None:
    issuer = FakeIssuer()
    async with (
        served(issuer.app()) as issuer_url,
        managed_runtime(FakeEngine(), issuer_url) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        good = await http.post("/v1/chat/completions", json=MANAGED_ASK, headers=AUTH)
        no_token = await http.post("/v1/chat/completions", json=MANAGED_ASK)
        other = {**MANAGED_ASK, "model": "else"}
        other_name = await http.post("/v1/chat/completions", json=other, headers=AUTH)

    assert [good.status_code, no_token.status_code, other_name.status_code] == [200, 401, 404]
    assert "x-lictor-unmanaged" not in good.headers
    assert issuer.renewals[-1]["state"] in ("ready", "loading")


async def test_the_policy_in_the_permit_binds_whatever_the_caller_writes() -> None:
    issuer = FakeIssuer(policy=ReasoningPolicy("always_off"))
    async with (
        served(issuer.app()) as issuer_url,
        managed_runtime(FakeEngine(), issuer_url) as url,
        httpx.AsyncClient(base_url=url, headers=AUTH) as http,
    ):
        body = {
            "model": "assistant",
            "messages": [{"role": "user", "content": "/think now"}],
            "reasoning": {"mode": "on"},
        }
        answer = (await http.post("/v1/chat/completions", json=body)).json()

    assert (answer["reasoning"]["mode"], answer["reasoning"]["source"]) == ("off", "policy")
    assert "reasoning" not in answer["choices"][0]["message"]


async def test_no_token_leaves_before_the_first_permit() -> None:
    issuer = FakeIssuer(dead=True)
    engine = FakeEngine()
    async with (
        served(issuer.app()) as issuer_url,
        managed_runtime(engine, issuer_url) as url,
        httpx.AsyncClient(base_url=url, headers=AUTH) as http,
    ):
        answer = await http.post("/v1/chat/completions", json=MANAGED_ASK)
        ready = await http.get("/readyz")

    assert (answer.status_code, answer.json()["code"]) == (503, "permit_lapsed")
    assert ready.status_code == 503
    assert engine.requests == []


async def test_a_dead_issuer_stops_a_running_stream_when_the_permit_runs_out() -> None:
    issuer = FakeIssuer(ttl_seconds=2)
    engine = FakeEngine(endless=True, pause_seconds=0.02)
    async with (
        served(issuer.app()) as issuer_url,
        managed_runtime(engine, issuer_url) as url,
        AsyncOpenAI(base_url=url + "/v1", api_key=REPLICA_TOKEN, max_retries=0) as ai,
    ):
        stream = await ai.chat.completions.create(stream=True, **MANAGED_ASK)
        await anext(stream)
        issuer.dead = True
        started = asyncio.get_running_loop().time()
        with pytest.raises(APIError) as cut:
            async for _ in stream:
                pass
        took = asyncio.get_running_loop().time() - started

    assert cut.value.body["code"] == "permit_lapsed"  # type: ignore[index]
    assert 0.3 < took < 3.0
    assert engine.aborted == [engine.requests[0].request_id]


async def test_a_silent_engine_is_cut_too_when_standing_ends() -> None:
    issuer = FakeIssuer()
    engine = FakeEngine()
    engine.hold.clear()
    async with (
        served(issuer.app()) as issuer_url,
        managed_runtime(engine, issuer_url) as url,
        httpx.AsyncClient(base_url=url, headers=AUTH) as http,
    ):
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=MANAGED_ASK))
        await until(lambda: bool(engine.requests))
        issuer.ended["assistant"] = ENDED
        answer = await asyncio.wait_for(asking, timeout=3)

    assert answer.status_code == 451
    assert {name: answer.json()[name] for name in ENDED} == ENDED
    assert engine.aborted == [engine.requests[0].request_id]


async def test_a_replayed_serial_does_not_keep_a_runtime_alive() -> None:
    issuer = FakeIssuer(ttl_seconds=1)
    async with (
        served(issuer.app()) as issuer_url,
        managed_runtime(FakeEngine(), issuer_url) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        issuer.frozen_serial = True
        await asyncio.sleep(1.3)
        ready = await http.get("/readyz")

    assert ready.status_code == 503
    assert ready.json()["code"] == "permit_lapsed"


STOP = tiny.IDS["<SPECIAL_12>"]
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
CALL = '<TOOLCALL>[{"name": "now", "arguments": {}}]</TOOLCALL>'
OFF: dict[str, Any] = {"reasoning": {"mode": "off"}}
PAIR = {
    "type": "object",
    "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}},
    "required": ["n"],
    "additionalProperties": False,
}


def as_schema(schema: dict[str, Any]) -> dict[str, Any]:
    named = {"name": "pair", "schema": schema, "strict": True}
    return {"type": "json_schema", "json_schema": named}


AS_PAIR = as_schema(PAIR)


class ScriptedEngine(FakeEngine):
    """Says its text, but obeys constraint and budget: the lowest token where its own is barred."""

    def __init__(self, said: str) -> None:
        super().__init__()
        self.said = [*tiny.tokenizer().encode(said, add_special_tokens=False).ids, STOP]

    def _script(self, request: GenerateRequest) -> list[tuple[int, bool]]:
        following, script, wanted = Sequence(request), [], iter(self.said)
        while following.finish_reason is None:
            forced = following.forced_token()
            token_id = next(wanted, STOP) if forced is None else forced
            if forced is None and request.constraint is not None:
                allowed = request.constraint.allowed()
                if allowed is not None and not allowed[token_id]:
                    token_id = int(allowed.argmax())
            following.accept(token_id)
            script.append((token_id, forced is not None))
        return script


@asynccontextmanager
async def speaking(
    said: str, template: str = "nemotron_nano_v2"
) -> AsyncIterator[tuple[AsyncOpenAI, ScriptedEngine]]:
    engine = ScriptedEngine(said)
    form = tiny.chat_format(tiny.template(template))
    async with (
        unmanaged_runtime(engine, form) as url,
        AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as ai,
    ):
        yield ai, engine


@pytest.mark.parametrize("mode", ["on", "off"])
async def test_a_tool_call_is_answered_in_both_reasoning_modes(mode: str) -> None:
    thought = "hm</think>\n" if mode == "on" else ""
    async with speaking(f"{thought}Let me look.\n{CALL}") as (ai, engine):
        answer = await ai.chat.completions.create(
            **ASK, tools=[NOW], extra_body={"reasoning": {"mode": mode}}
        )

    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me look.")
    (call,) = choice.message.tool_calls or []
    assert (call.type, call.function.name, call.function.arguments) == ("function", "now", "{}")
    assert call.id.startswith("call_")
    assert b"<AVAILABLE_TOOLS>" in bytes(i for i in engine.requests[0].prompt_ids if i < 256)


async def test_a_second_tool_call_is_streamed_with_its_own_index() -> None:
    two = CALL.replace("}]", '}, {"name": "now", "arguments": {"a": 1}}]')
    async with speaking(two) as (ai, _):
        stream = await ai.chat.completions.create(**ASK, tools=[NOW], stream=True, extra_body=OFF)
        choices = [chunk.choices[0] async for chunk in stream]

    parts = [part for choice in choices for part in choice.delta.tool_calls or []]
    assert [(p.index, p.function.name, p.function.arguments) for p in parts if p.function] == [
        (0, "now", ""),
        (0, None, "{}"),
        (1, "now", ""),
        (1, None, '{"a": 1}'),
    ]
    assert [bool(part.id) for part in parts] == [True, False, True, False]
    assert not any(choice.delta.content for choice in choices)
    assert choices[-1].finish_reason == "tool_calls"


async def test_a_call_nobody_offered_comes_back_as_content() -> None:
    async with speaking(CALL.replace("now", "rm")) as (ai, _):
        answer = await ai.chat.completions.create(**ASK, tools=[NOW], extra_body=OFF)

    assert answer.choices[0].message.content == CALL.replace("now", "rm")
    assert answer.choices[0].finish_reason == "stop"


async def test_a_required_call_comes_whatever_the_model_would_say() -> None:
    async with speaking("thinking</think>I would rather talk.") as (ai, _):
        answer = await ai.chat.completions.create(
            **ASK, tools=[NOW], tool_choice="required", parallel_tool_calls=False
        )

    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [call.function.name for call in message.tool_calls or []] == ["now"]
    assert message.content is None
    assert message.reasoning == "thinking"  # type: ignore[attr-defined]


async def test_a_tool_result_is_read_back_by_the_model() -> None:
    called = {"id": "c", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    messages: list[Any] = [
        *ASK["messages"],
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "noon</think>"},
    ]
    async with speaking("At noon.") as (ai, engine):
        answer = await ai.chat.completions.create(
            model="nano", messages=messages, tools=[NOW], extra_body=OFF
        )

    ids = engine.requests[0].prompt_ids
    assert b"<TOOL_RESPONSE>[noon</think>]" in bytes(i for i in ids if i < 256)
    assert ids.count(tiny.IDS["</think>"]) == 1
    assert answer.choices[0].message.content == "At noon."


async def test_tools_are_refused_by_a_model_that_cannot_be_given_any(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/v1/chat/completions", json={**ASK, "tools": [NOW]})

    assert (answer.status_code, answer.json()["code"]) == (400, "tools_not_supported")


@pytest.mark.parametrize("mode", ["on", "off"])
async def test_json_of_a_schema_is_enforced_for_every_choice(mode: str) -> None:
    said = ("hm {</think>\n" if mode == "on" else "") + 'Sure: {"n": 7}'
    async with speaking(said) as (ai, engine):
        answer = await ai.chat.completions.create(
            **ASK,
            n=2,
            logprobs=True,
            response_format=AS_PAIR,  # type: ignore[arg-type]
            extra_body={"reasoning": {"mode": mode}},
        )

    for choice in answer.choices:
        assert set(json.loads(choice.message.content or "")) == {"n"}
        assert choice.finish_reason == "stop"
        assert choice.logprobs
    first, second = (request.constraint for request in engine.requests)
    assert first is not None
    assert first is not second
    assert json.loads(first.json_schema) == PAIR


async def test_json_is_streamed_as_it_comes() -> None:
    async with speaking('{"n": 7}') as (ai, _):
        stream = await ai.chat.completions.create(
            **ASK,
            stream=True,
            response_format={"type": "json_object"},
            extra_body=OFF,
        )
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert json.loads("".join(texts)) == {"n": 7}
    assert len([text for text in texts if text]) > 3


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"response_format": AS_PAIR, "stop": "}"}, "stop, response_format"),
        ({"response_format": AS_PAIR, "min_tokens": 3}, "min_tokens, response_format"),
        ({"response_format": AS_PAIR, "ignore_eos": True}, "ignore_eos, response_format"),
        (
            {"tools": [NOW], "tool_choice": "required", "ignore_eos": True},
            "ignore_eos, tool_choice",
        ),
        ({"response_format": as_schema({"not": {}})}, "response_format"),
    ],
)
async def test_what_cannot_be_promised_is_refused(change: dict[str, Any], param: str) -> None:
    async with speaking("x") as (ai, engine):
        with pytest.raises(BadRequestError) as refusal:
            await ai.chat.completions.create(**ASK, extra_body={**OFF, **change})

    assert refusal.value.response.json()["param"] == param
    assert engine.requests == []


async def test_a_budget_ends_the_thought_between_lines_and_is_told() -> None:
    lines = "first line\nsecond line\nthird line\n"
    async with speaking(f"{lines}</think>7") as (ai, engine):
        answer = await ai.chat.completions.create(**ASK, extra_body={"thinking_token_budget": 24})

    thinking = engine.requests[0].thinking
    assert thinking is not None
    assert (thinking.soft_window_tokens, thinking.newline_ids) == (2, (10,))
    assert answer.choices[0].message.reasoning == "first line\nsecond line"  # type: ignore[attr-defined]
    ran = answer.model_extra["reasoning"]  # type: ignore[index]
    assert (ran["budget_exhausted"], ran["budget"]) == (True, 24)


async def test_a_budget_holds_a_model_that_opens_its_own_thought() -> None:
    async with speaking("<think>" + "hm " * 50 + "</think>7", "qwen3") as (ai, engine):
        answer = await ai.chat.completions.create(
            **ASK, extra_body={"thinking_token_budget": 9, "max_tokens": 40}
        )

    thinking = engine.requests[0].thinking
    assert thinking is not None
    assert (thinking.in_thought, thinking.start_ids) == (False, (tiny.IDS["<think>"],))
    assert answer.choices[0].message.reasoning == "hm hm hm"  # type: ignore[attr-defined]
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 9
