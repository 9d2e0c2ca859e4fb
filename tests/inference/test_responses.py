"""/v1/responses, as the openai client speaks it: to a runtime, and through the gateway."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from openai import APIError, APIStatusError, AsyncOpenAI, BadRequestError
from pydantic import BaseModel

from inference.contract import RequestRefused
from inference.server.responses import chat_body
from tests.inference import tiny
from tests.inference.fake_engine import FakeEngine
from tests.inference.fake_issuer import ENDED, FakeIssuer
from tests.inference.serving import gateway, managed_runtime, served, unmanaged_runtime
from tests.inference.test_server import AS_PAIR, CALL, PAIR, speaking

ASK: dict[str, Any] = {"model": "nano", "input": "2+2?"}
NOW: dict[str, Any] = {"type": "function", "name": "now", "strict": False, "parameters": None}
OFF: dict[str, Any] = {"effort": "none"}


class Pair(BaseModel):
    n: int


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def ai(engine: FakeEngine) -> AsyncIterator[AsyncOpenAI]:
    async with (
        unmanaged_runtime(engine) as url,
        AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


async def test_a_response_has_the_thought_the_answer_and_what_really_ran(ai: AsyncOpenAI) -> None:
    answer = await ai.responses.create(**ASK, metadata={"run": "7"})

    thought, message = answer.output
    assert thought.type == "reasoning"
    assert [part.text for part in thought.content or []] == ["2+2=4"]
    assert (message.type, answer.output_text, answer.status) == ("message", "Vier €", "completed")
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens == 7
    assert (answer.store, answer.metadata) == (False, {"run": "7"})
    assert answer.reasoning.model_extra["source"] == "default"  # type: ignore[index,union-attr]


async def test_every_event_of_a_stream_is_known_to_the_client_and_in_order(
    ai: AsyncOpenAI,
) -> None:
    stream = await ai.responses.create(**ASK, stream=True)
    events = [event async for event in stream]

    kinds = [event.type.removeprefix("response.") for event in events]
    assert list(dict.fromkeys(kinds)) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_text.delta",
        "output_text.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert {event.__class__.__name__ for event in events} > {"ResponseReasoningTextDeltaEvent"}


async def test_deltas_join_to_what_the_last_event_holds(ai: AsyncOpenAI) -> None:
    async with ai.responses.stream(**ASK) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()

    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    thoughts = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert "".join(texts) == final.output_text == "Vier €"
    assert "".join(thoughts) == "2+2=4"
    assert final.usage is not None
    assert final.usage.output_tokens == 19
    done = [event.item.id for event in events if event.type == "response.output_item.done"]
    assert done == [item.id for item in final.output]


async def test_a_whole_response_holds_the_same_items_as_a_streamed_one(ai: AsyncOpenAI) -> None:
    whole = (await ai.responses.create(**ASK)).to_dict()
    stream = await ai.responses.create(**ASK, stream=True)
    streamed = [event async for event in stream][-1].to_dict()["response"]

    def bare(response: Any) -> str:
        token = response["id"].removeprefix("resp_")
        return json.dumps({**response, "created_at": 0}).replace(token, "")

    assert bare(whole) == bare(streamed)


async def test_an_answer_cut_by_its_length_is_incomplete(ai: AsyncOpenAI) -> None:
    cut = {**ASK, "reasoning": OFF, "max_output_tokens": 3}
    whole = await ai.responses.create(**cut)
    stream = await ai.responses.create(**cut, stream=True)
    last = [event async for event in stream][-1]

    assert (whole.status, whole.output_text) == ("incomplete", "Vie")
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert last.type == "response.incomplete"
    assert last.response.output[0].status == "incomplete"  # type: ignore[union-attr]


async def test_reasoning_off_gives_one_message_and_says_so(
    ai: AsyncOpenAI, engine: FakeEngine
) -> None:
    answer = await ai.responses.create(**ASK, reasoning={"effort": "none", "summary": "auto"})

    assert [item.type for item in answer.output] == ["message"]
    assert answer.reasoning is not None
    assert answer.reasoning.effort == "none"
    assert engine.requests[0].prompt_ids[-2:] == (tiny.IDS["<think>"], tiny.IDS["</think>"])


async def test_an_excluded_thought_is_counted_but_not_an_item(ai: AsyncOpenAI) -> None:
    hidden = {**ASK, "extra_body": {"reasoning": {"exclude": True}}}
    whole = await ai.responses.create(**hidden)
    stream = await ai.responses.create(**hidden, stream=True)
    events = [event async for event in stream]

    assert [item.type for item in whole.output] == ["message"]
    assert whole.usage is not None
    assert whole.usage.output_tokens_details.reasoning_tokens == 7
    assert not any("reasoning" in event.type for event in events)


@pytest.mark.parametrize("way", ["whole", "streamed"])
async def test_a_call_of_a_tool_is_an_item_of_its_own(way: str) -> None:
    async with speaking(f"Let me look.\n{CALL}") as (ai, _):
        asked: dict[str, Any] = {**ASK, "tools": [NOW], "reasoning": OFF}
        if way == "whole":
            answer: Any = await ai.responses.create(**asked)
        else:
            async with ai.responses.stream(**asked) as stream:
                answer = await stream.get_final_response()

    message, call = answer.output
    assert (message.type, answer.output_text) == ("message", "Let me look.")
    assert (call.type, call.name, call.arguments, call.status) == (
        "function_call",
        "now",
        "{}",
        "completed",
    )
    assert call.call_id.startswith("call_")


async def test_two_calls_of_one_answer_are_two_items_of_a_stream() -> None:
    two = CALL.replace("}]", '}, {"name": "now", "arguments": {"a": 1}}]')
    async with speaking(two) as (ai, _):
        stream = await ai.responses.create(**ASK, tools=[NOW], reasoning=OFF, stream=True)  # type: ignore[call-overload]
        events = [event async for event in stream]

    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert [(e.output_index, e.name, e.arguments) for e in done] == [
        (0, "now", "{}"),
        (1, "now", '{"a": 1}'),
    ]
    assert [item.type for item in events[-1].response.output] == ["function_call"] * 2


async def test_the_items_of_an_answer_can_be_sent_back_with_a_tools_output() -> None:
    async with speaking(f"hm</think>Let me look.\n{CALL}") as (ai, engine):
        first = await ai.responses.create(**ASK, tools=[NOW])
        call_id = first.output[-1].call_id  # type: ignore[union-attr]
        told = {"type": "function_call_output", "call_id": call_id, "output": "noon"}
        talk: Any = [{"role": "user", "content": "2+2?"}, *first.output, told]
        await ai.responses.create(model="nano", input=talk, tools=[NOW], reasoning=OFF)  # type: ignore[arg-type]

    read = bytes(i for i in engine.requests[1].prompt_ids if i < 256)
    assert b"<TOOL_RESPONSE>[noon]" in read
    assert b"Let me look." in read
    assert b"hm" not in read


async def test_json_of_a_schema_is_parsed_by_the_client() -> None:
    async with speaking("Sure: 7") as (ai, engine):
        answer = await ai.responses.parse(**ASK, text_format=Pair, reasoning=OFF)  # type: ignore[arg-type]

    assert isinstance(answer.output_parsed, Pair)
    assert engine.requests[0].constraint is not None


def test_a_request_becomes_the_chat_request_that_asks_the_same() -> None:
    schema = AS_PAIR["json_schema"]["schema"]
    body = {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": "In French."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
        ],
        "text": {"format": {"type": "json_schema", "name": "pair", "strict": True, "schema": PAIR}},
        "tool_choice": {"type": "function", "name": "f"},
        "store": False,
    }
    made = chat_body(body)

    roles = [message["role"] for message in made["messages"]]
    assert roles == ["system", "developer", "user", "assistant", "tool"]
    assert [call["id"] for call in made["messages"][3]["tool_calls"]] == ["a", "b"]
    assert made["response_format"]["json_schema"] == {
        "name": "pair",
        "strict": True,
        "schema": schema,
    }
    assert made["tool_choice"] == {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"messages": []}, "messages"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"type": []}]}, "input[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].type",
        ),
        ({"input": [{"role": "user", "content": "x", "name": "n"}]}, "input[0].name"),
        ({"instructions": 1}, "instructions"),
        ({"metadata": {"n": 1}}, "metadata"),
        ({"metadata": [1]}, "metadata"),
        ({"user": 7}, "user"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 100_000}, "max_output_tokens"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_the_callers_name_for_it(
    ai: AsyncOpenAI, engine: FakeEngine, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as refusal:
        await ai.post("/responses", body={**ASK, **change}, cast_to=httpx.Response)

    assert refusal.value.response.json()["param"] == param
    assert engine.requests == []


def test_the_refusal_of_kept_state_says_what_to_do_instead() -> None:
    with pytest.raises(RequestRefused, match="send the whole conversation as input"):
        chat_body({**ASK, "previous_response_id": "resp_1"})


@asynccontextmanager
async def governed(engine: FakeEngine) -> AsyncIterator[tuple[AsyncOpenAI, FakeIssuer]]:
    """Stand up issuer, runtime and gateway; the client is the gateway's."""
    issuer = FakeIssuer()
    async with AsyncExitStack() as stack:
        issuer_url = await stack.enter_async_context(served(issuer.app()))
        runtime_url = await stack.enter_async_context(managed_runtime(engine, issuer_url))
        issuer.add_endpoint("assistant", "key-a", url=runtime_url)
        issuer.add_endpoint("other", "key-o")
        url = await stack.enter_async_context(gateway(issuer_url))
        made = AsyncOpenAI(base_url=url + "/v1", api_key="key-a", max_retries=0)
        yield await stack.enter_async_context(made), issuer


async def test_responses_stream_through_the_gateway_for_keys_of_the_endpoint() -> None:
    async with governed(FakeEngine()) as (ai, _):
        async with ai.responses.stream(model="assistant", input="2+2?") as stream:
            final = await stream.get_final_response()
        stranger = ai.with_options(api_key="key-o")
        with pytest.raises(APIStatusError) as refusal:
            await stranger.responses.create(model="assistant", input="2+2?")

    assert final.output_text == "Vier €"
    assert refusal.value.status_code == 403


async def test_a_licence_that_ends_cuts_a_response_and_refuses_the_next() -> None:
    async with governed(FakeEngine(endless=True, pause_seconds=0.02)) as (ai, issuer):
        stream = await ai.responses.create(model="assistant", input="2+2?", stream=True)
        await anext(stream)
        issuer.ended["assistant"] = ENDED
        with pytest.raises(APIError) as cut:
            async for _ in stream:
                pass
        with pytest.raises(APIStatusError) as refusal:
            await ai.responses.create(model="assistant", input="2+2?")

    assert cut.value.body["section"] == ENDED["section"]  # type: ignore[index]
    assert refusal.value.status_code == 451
