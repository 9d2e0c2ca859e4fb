"""The same API over a real vLLM: its CPU build, on the demo checkpoint, in its own environment."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from inference.chat.format import ChatFormat
from inference.contract import ServingError
from inference.metrics import RuntimeMetrics
from inference.protocol import (
    EngineError,
    GenerateRequest,
    SamplingParams,
    ThinkingBudget,
)
from inference.server.app import build_runtime
from inference.server.lease import Unmanaged
from inference.server.runtime import Runtime
from inference.vllm.engine import VllmEngine
from inference.vllm.load import CheckedVllmEngine, load_vllm
from inference.vllm.server import Connected, Supervised
from inference.vllm.tail import spellings_that_work
from tests.inference.serving import served

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "demo" / "checkpoints" / "nano-base"
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
DIAL = "dial start 3 +4 *7 -2 *3 +9"
THOUGHT = "3+4=7\n7*7=9"

needs_vllm = pytest.mark.skipif(
    not PYTHON.exists(), reason="no .venv-vllm: sh scripts/vllm.sh makes it (3.4 GB)"
)
pytestmark = [pytest.mark.slow, needs_vllm, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime() -> AsyncIterator[Runtime]:
    model = load_vllm(
        CHECKPOINT,
        digests=None,
        context_tokens=512,
        max_batch=8,
        dtype="fp32",
        python=PYTHON,
        url=None,
        arguments=("--enforce-eager",),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        await model.engine.start()
    made = Runtime(lease=Unmanaged(), name="nano", metrics=RuntimeMetrics())
    made.model = model
    try:
        yield made
    finally:
        model.engine.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(runtime: Runtime) -> AsyncIterator[AsyncOpenAI]:
    async with (
        served(build_runtime(runtime, token=None)) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made,
    ):
        yield made


def engine_of(runtime: Runtime) -> CheckedVllmEngine:
    engine = runtime.loaded().engine
    assert isinstance(engine, CheckedVllmEngine)
    return engine


async def ask(client: AsyncOpenAI, **more):
    fields = {"model": "nano", "messages": [{"role": "user", "content": DIAL}], "temperature": 0}
    return await client.chat.completions.create(**{**fields, **more})


@pytest.mark.parametrize(
    "off",
    [
        {"reasoning_effort": "none"},
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
        {"extra_body": {"reasoning": {"mode": "off"}}},
        {"messages": [{"role": "user", "content": f"{DIAL} /no_think"}]},
    ],
)
async def test_every_spelling_switches_though_the_servers_template_knows_only_the_words(
    client, off
):
    on, silent = await ask(client), await ask(client, **off)

    assert on.choices[0].message.reasoning.startswith(THOUGHT)
    assert on.choices[0].message.content == "0"
    assert "reasoning" not in silent.choices[0].message.model_extra
    assert silent.usage.completion_tokens_details.reasoning_tokens == 0


async def test_the_servers_own_template_ignores_the_keyword_and_obeys_the_words(runtime):
    engine = engine_of(runtime)

    found = await spellings_that_work(engine.client, engine.model)

    assert found == {"enable_thinking": False, "/think": True}


async def test_a_budget_cuts_at_its_token_and_the_answer_follows(client):
    cut = await ask(client, extra_body={"thinking_token_budget": 9})

    assert cut.usage.completion_tokens_details.reasoning_tokens == 9
    assert cut.choices[0].message.reasoning == THOUGHT[:9]
    assert cut.choices[0].message.content
    assert cut.model_extra["reasoning"]["budget_exhausted"] is True
    assert cut.model_extra["reasoning"]["forced_end"] == "hard"


async def test_a_stream_says_what_the_whole_answer_says(client):
    whole = await ask(client)
    thought = content = ""
    async for chunk in await ask(client, stream=True):
        delta = chunk.choices[0].delta
        thought += (delta.model_extra or {}).get("reasoning", "")
        content += delta.content or ""

    assert (thought, content) == (
        whole.choices[0].message.reasoning,
        whole.choices[0].message.content,
    )


async def test_choices_seeds_and_logprobs_come_through(client):
    seeded = {"temperature": 2.0, "seed": 4, "n": 2, "max_tokens": 60}
    first, again = await ask(client, **seeded), await ask(client, **seeded)
    greedy = await ask(client, reasoning_effort="none", logprobs=True, top_logprobs=2)

    texts = [choice.message.reasoning for choice in first.choices]
    assert texts == [choice.message.reasoning for choice in again.choices]
    assert texts[0] != texts[1]
    for token in greedy.choices[0].logprobs.content:
        assert token.logprob == max(top.logprob for top in token.top_logprobs)


async def test_a_stop_string_ends_the_answer(client):
    whole = await ask(client, messages=[{"role": "user", "content": "how do i make a bomb?"}])
    cut = await ask(
        client, messages=[{"role": "user", "content": "how do i make a bomb?"}], stop=["help"]
    )

    before, found, _ = whole.choices[0].message.content.partition("help")
    assert found
    assert cut.choices[0].message.content == before.rstrip()


@pytest.mark.parametrize("effort", ["none", "high"])
async def test_a_json_schema_binds_the_answer_and_leaves_the_thought_alone(client, effort):
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    bound = await ask(client, response_format=wanted, reasoning_effort=effort)

    assert set(json.loads(bound.choices[0].message.content)) == {"answer"}
    if effort == "high":
        assert bound.choices[0].message.reasoning.startswith(THOUGHT)


async def test_leaving_early_ends_the_request_on_the_server(runtime):
    engine = engine_of(runtime)
    prompt = runtime.loaded().format.text_prompt(DIAL).ids
    params = SamplingParams(temperature=0, max_tokens=400, ignore_eos=True)
    stream = engine.generate(GenerateRequest("left", prompt, params))
    await anext(stream)

    await stream.aclose()

    async with asyncio.timeout(10):
        while "num_requests_running" not in (page := await _running(engine)) or page[-4:] != " 0.0":
            await asyncio.sleep(0.1)
    assert engine.health().state == "ready"


async def test_a_newline_in_the_window_ends_the_thought_softly(runtime):
    engine, form = engine_of(runtime), runtime.loaded().format
    prompt = form.text_prompt(DIAL).ids
    closer = (7, 8)
    thinking = ThinkingBudget(12, closer, newline_ids=tuple(range(264)), soft_window_tokens=10)
    params = SamplingParams(temperature=0, max_tokens=10, ignore_eos=True)

    chunks = [c async for c in engine.generate(GenerateRequest("s", prompt, params, thinking))]
    ids = [token for chunk in chunks for token in chunk.token_ids]

    assert tuple(ids[2:4]) == closer
    assert "newline" in {chunk.forced_end for chunk in chunks}
    assert (len(ids), chunks[-1].finish_reason) == (10, "length")


async def test_what_the_server_refuses_is_the_requests_fault(runtime):
    engine = engine_of(runtime)
    request = GenerateRequest("long", tuple([5] * 600), SamplingParams(max_tokens=5))

    with pytest.raises(ValueError, match="vLLM refuses the request"):
        await anext(engine.generate(request))
    assert engine.health().state == "ready"


async def test_another_checkpoints_tokenizer_is_found_out(runtime):
    engine = engine_of(runtime)
    body = json.loads((CHECKPOINT / "tokenizer.json").read_text())
    vocabulary = body["model"]["vocab"]
    vocabulary["o"], vocabulary["r"] = vocabulary["r"], vocabulary["o"]
    form = ChatFormat(
        json.dumps(body), template=None, specials={}, stop_ids=[261], context_tokens=512
    )
    stranger = CheckedVllmEngine(Connected(str(engine.client.base_url)), slots=0, form=form)

    with pytest.raises(EngineError, match="not this checkpoint's"):
        await stranger.start()
    stranger.stop()


async def _running(engine: VllmEngine) -> str:
    page = (await engine.client.get("/metrics")).text
    return next(line for line in page.splitlines() if line.startswith("vllm:num_requests_running"))


async def test_a_server_that_is_not_there_is_said():
    engine = VllmEngine(Connected("http://127.0.0.1:9"))

    with pytest.raises(EngineError, match="no vLLM server answers"):
        await engine.start()


async def test_a_child_that_dies_is_said_with_its_last_words(tmp_path):
    server = Supervised(PYTHON, tmp_path / "nothing-here", ())
    async with httpx.AsyncClient(base_url=server.url) as http:
        with pytest.raises(EngineError, match="vLLM ended with code 1"):
            await server.start(http)


async def test_a_server_elsewhere_serves_nothing_under_a_permit():
    with pytest.raises(ServingError, match="cannot prove which weights"):
        load_vllm(
            CHECKPOINT,
            digests={},
            context_tokens=512,
            max_batch=1,
            dtype="fp32",
            python=None,
            url="http://127.0.0.1:9",
        )
