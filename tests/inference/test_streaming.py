"""How tokens become events: one event for what comes together, and nothing kept or lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.chat.output import CallPart, Delta
from inference.metrics import RuntimeMetrics
from inference.protocol import GenerateRequest, TokenChunk
from inference.server import answer
from inference.server.answer import TokenLogprob
from inference.server.events import ChatEvents, TextEvents, joined
from inference.server.generate import Step
from inference.server.lease import Unmanaged
from inference.server.runtime import Job, Model, Runtime
from tests.inference import tiny
from tests.inference.fake_engine import FakeEngine
from tests.inference.serving import unmanaged_runtime, until

ASK: dict[str, Any] = {"model": "nano", "messages": [{"role": "user", "content": "2+2?"}]}
OFF: dict[str, Any] = {"reasoning": {"mode": "off"}}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
STOP = tiny.IDS["<SPECIAL_12>"]


class BurstEngine(FakeEngine):
    """Gives its tokens in the portions it was told, as an engine does whose reader was late."""

    def __init__(self, *portions: list[int]) -> None:
        super().__init__()
        self.portions = portions

    async def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]:
        self.requests.append(request)
        for portion in self.portions:
            yield TokenChunk(tuple(portion))
        yield TokenChunk((), finish_reason="stop")


def job(**more: Any) -> Job:
    runtime = Runtime(lease=Unmanaged(), name="nano", metrics=RuntimeMetrics())
    runtime.model = Model(FakeEngine(), tiny.chat_format(), 2048)
    if "prompt" in more:
        return runtime.completion_job({"model": "nano", **more})
    return runtime.chat_job({**ASK, **more})


def events(data: bytes) -> list[Any]:
    parts = data.decode().split("\n\n")
    return [json.loads(part.removeprefix("data: ")) for part in parts if part]


async def streamed(engine: FakeEngine, **more: Any) -> list[Any]:
    body = {**ASK, **OFF, **more, "stream": True}
    async with unmanaged_runtime(engine) as url, httpx.AsyncClient(base_url=url) as http:
        got = await http.post("/v1/chat/completions", json=body)
    return events(got.content.removesuffix(b"data: [DONE]\n\n"))


@given(TEXTS, st.sampled_from(["content", "reasoning"]), st.integers(0, 1))
def test_an_event_made_of_bytes_reads_as_the_one_made_of_objects(
    text: str, kind: Any, index: int
) -> None:
    made = job(n=2)
    delta = Delta(kind, text)
    data = ChatEvents(made).step(Step(made.runs[index].choice, (delta,), (), last=False))

    wanted = made.envelope.chat_chunk([answer.chat_delta(index, answer.delta_json(delta))])
    assert data.count(b"\n\n") == 1
    assert events(data) == [wanted]


@given(TEXTS.filter(bool))
def test_a_raw_completions_event_reads_as_the_one_made_of_objects(text: str) -> None:
    made = job(prompt="a")
    step = Step(made.runs[0].choice, (Delta("content", text),), (), last=False)

    wanted = made.envelope.text_chunk([answer.text_delta(0, text)])
    assert events(TextEvents(made).step(step)) == [wanted]


def test_a_call_and_a_log_probability_take_the_long_way_unchanged() -> None:
    made = job()
    call = Delta("tool_call", "", CallPart(0, "call_1", "now"))
    logprob = TokenLogprob(65, "A", -0.5)
    step = Step(made.runs[0].choice, (call, Delta("content", "A")), (logprob,), last=False)
    called, said = [e["choices"][0] for e in events(ChatEvents(made).step(step))]

    assert called["delta"]["tool_calls"][0]["function"]["name"] == "now"
    assert called["logprobs"] is None
    assert said["logprobs"]["content"][0]["token"] == "A"


def test_neighbours_of_one_kind_become_one_and_calls_stay_apart() -> None:
    call = CallPart(0)
    parts = [("reasoning", "a"), ("reasoning", "b"), ("content", "c"), ("content", "d")]
    deltas = (*(Delta(kind, text) for kind, text in parts), Delta("tool_call", "e", call))  # type: ignore[arg-type]

    assert [(d.kind, d.text) for d in joined((*deltas, Delta("tool_call", "f", call)))] == [
        ("reasoning", "ab"),
        ("content", "cd"),
        ("tool_call", "e"),
        ("tool_call", "f"),
    ]


async def test_tokens_that_come_together_go_out_as_one_event() -> None:
    got = await streamed(BurstEngine([*b"one two"], [*b" three four"]))

    assert [e["choices"][0]["delta"].get("content") for e in got] == [
        "",
        "one two",
        " three four",
        None,
    ]


async def test_a_thought_and_its_answer_in_one_portion_are_two_events() -> None:
    portion = [*b"hm hm", tiny.IDS["</think>"], *b"yes no"]
    got = await streamed(BurstEngine(portion), reasoning={"mode": "on"})

    deltas = [e["choices"][0]["delta"] for e in got][1:-1]
    assert [d.get("reasoning") or d.get("content") for d in deltas] == ["hm hm", "yes no"]


async def test_a_stop_string_cuts_within_a_portion() -> None:
    got = await streamed(BurstEngine([*b"one two three"]), stop="two")

    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in got)
    assert (text, got[-1]["choices"][0]["finish_reason"]) == ("one", "stop")


async def test_all_choices_of_a_stream_come_to_their_end() -> None:
    got = await streamed(BurstEngine([*b"ab"], [*b"cd"]), n=3)

    for index in range(3):
        mine = [e["choices"][0] for e in got if e["choices"][0]["index"] == index]
        assert "".join(c["delta"].get("content") or "" for c in mine) == "abcd"
        assert mine[-1]["finish_reason"] == "stop"


async def test_a_caller_that_leaves_before_the_first_token_stops_the_engine() -> None:
    engine = FakeEngine()
    engine.hold.clear()
    async with unmanaged_runtime(engine) as url, httpx.AsyncClient(base_url=url) as http:
        body = {**ASK, "stream": True}
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=body))
        await until(lambda: bool(engine.requests))
        asking.cancel()
        await until(lambda: bool(engine.aborted), seconds=1)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_breaks_at_once_is_a_503_streamed_or_not(stream: bool) -> None:
    class Broken(FakeEngine):
        async def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]:
            raise RuntimeError("out of order")
            yield

    async with unmanaged_runtime(Broken()) as url, httpx.AsyncClient(base_url=url) as http:
        got = await http.post("/v1/chat/completions", json={**ASK, "stream": stream})

    assert (got.status_code, got.json()["code"]) == (503, "not_serving")
    assert "out of order" not in got.text
