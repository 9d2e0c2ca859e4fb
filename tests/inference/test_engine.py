"""The engine on a real (random, small) hybrid: batching changes nothing, nothing leaks or hangs."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference.cache import CacheCost
from inference.engine import NativeEngine
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH
from inference.protocol import EngineError, GenerateRequest, SamplingParams, ThinkingBudget
from inference.runner import CompiledDecode
from inference.scheduler import TooLong

CONFIG = {
    "architectures": ["NemotronHForCausalLM"],
    "vocab_size": 64,
    "hidden_size": 32,
    "hybrid_override_pattern": "M-M*-",
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 48,
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "ssm_state_size": 8,
    "n_groups": 1,
    "conv_kernel": 4,
    "chunk_size": 8,
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": False,
    "max_position_embeddings": 256,
}


@pytest.fixture(scope="module")
def model() -> NemotronH:
    torch.manual_seed(0)
    model = NemotronH(NemotronHConfig.from_dict(CONFIG)).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2 and "conv" not in name:
            torch.nn.init.normal_(parameter, std=0.25)
    return model.requires_grad_(requires_grad=False)


@pytest.fixture
def engine(model):
    engine = NativeEngine(model, max_batch=4, context_tokens=256, threads=1)
    yield engine
    engine.stop()


def ask(name: str, *, prompt=(1, 2, 3), thinking=None, **sampling) -> GenerateRequest:
    params = SamplingParams(**{"temperature": 0.0, "max_tokens": 12, **sampling})
    return GenerateRequest(name, tuple(prompt), params, thinking)


async def collect(engine: NativeEngine, request: GenerateRequest) -> tuple[list[int], str]:
    tokens, reason = [], ""
    async for chunk in engine.generate(request):
        tokens += chunk.token_ids
        reason = chunk.finish_reason or reason
    return tokens, reason


def prompts(count: int) -> list[tuple[int, ...]]:
    return [tuple((7 * n + 3 * i) % 64 for i in range(2 + n % 9)) for n in range(count)]


async def test_sixty_four_requests_over_four_slots_equal_their_solo_results(engine):
    asks = [ask(f"r{n}", prompt=prompt) for n, prompt in enumerate(prompts(64))]

    together = await asyncio.gather(*(collect(engine, one) for one in asks))
    alone = [await collect(engine, one) for one in asks]

    assert together == alone
    assert len({tuple(tokens) for tokens, _ in together}) > 10
    assert engine.stats().slots_used == 0


async def test_greedy_tokens_equal_the_models_own_full_forward(engine, model):
    ids = list(prompts(5)[4])

    tokens, reason = await collect(engine, ask("full", prompt=ids))

    expected = list(ids)
    for _ in range(12):
        expected.append(int(model(torch.tensor([expected]))[0, -1].argmax()))
    assert (tokens, reason) == (expected[len(ids) :], "length")


async def test_a_seed_gives_the_same_tokens_whoever_else_is_in_the_batch(engine):
    seeded = {"temperature": 1.0, "seed": 5, "top_p": 0.9}

    alone, _ = await collect(engine, ask("alone", **seeded))
    crowd = [
        ask(f"other{n}", prompt=prompt, temperature=1.0) for n, prompt in enumerate(prompts(3))
    ]
    results = await asyncio.gather(*(collect(engine, one) for one in [ask("in", **seeded), *crowd]))

    assert results[0][0] == alone


async def test_leaving_early_frees_the_slot(engine):
    stream = engine.generate(ask("left", max_tokens=200))
    await anext(stream)
    await stream.aclose()
    await collect(engine, ask("after"))

    assert engine.stats().slots_used == 0


async def test_an_aborted_request_ends_with_abort(engine):
    reasons = []
    async for chunk in engine.generate(ask("stop-me", max_tokens=240)):
        engine.abort("stop-me")
        reasons.append(chunk.finish_reason)

    assert reasons[-1] == "abort"
    assert len(reasons) < 240


async def test_a_budget_is_enforced_while_streaming(engine):
    thinking = ThinkingBudget(max_tokens=4, end_ids=(60, 61))

    tokens, _ = await collect(engine, ask("think", thinking=thinking, max_tokens=10))

    assert tokens[4:6] == [60, 61]
    assert len(tokens) == 10


async def test_logprobs_report_the_chosen_token_among_the_likeliest(engine):
    chunks = [chunk async for chunk in engine.generate(ask("logprobs", logprobs=3))]

    said = [
        token
        for chunk in chunks
        for token in zip(chunk.token_ids, chunk.logprobs, chunk.top_logprobs, strict=True)
    ]
    for token, logprob, top in said:
        assert top[token] == pytest.approx(logprob)
        assert max(top.values()) == pytest.approx(logprob)
    assert len(said) == 12


async def test_what_cannot_fit_is_refused_and_the_engine_goes_on(engine):
    with pytest.raises(TooLong, match="the context holds 256"):
        await collect(engine, ask("huge", max_tokens=300))

    assert (await collect(engine, ask("next")))[1] == "length"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": (1, 64)}, "token id 64 is not in the model's vocabulary of 64"),
        ({"prompt": (-1,)}, "token id -1"),
        ({"prompt": ()}, "at least one token"),
        ({"stop_ids": (99,)}, "token id 99"),
        ({"thinking": ThinkingBudget(max_tokens=1, end_ids=(70,))}, "token id 70"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
    ],
)
async def test_a_request_that_would_break_the_engine_is_refused(engine, change, said):
    with pytest.raises(ValueError, match=said):
        await collect(engine, ask("strange", **change))

    assert engine.health().state == "ready"
    assert (await collect(engine, ask("next")))[1] == "length"


async def test_an_id_in_use_is_refused_and_its_owner_is_left_alone(engine):
    stream = engine.generate(ask("same", max_tokens=200))
    tokens = list((await anext(stream)).token_ids)

    with pytest.raises(ValueError, match="under way already"):
        await collect(engine, ask("same"))
    async for chunk in stream:
        tokens += chunk.token_ids

    assert (len(tokens), chunk.finish_reason) == (200, "length")


async def test_an_id_may_be_used_again_at_once(engine):
    results = [await collect(engine, ask("again")) for _ in range(30)]

    assert results == [results[0]] * 30
    assert results[0][1] == "length"


async def test_a_request_aborted_in_the_queue_never_runs(engine):
    running = [asyncio.create_task(collect(engine, ask(f"r{n}", max_tokens=150))) for n in range(4)]
    waiting = asyncio.create_task(collect(engine, ask("waiting")))
    while engine.stats().queued == 0:
        await asyncio.sleep(0)

    engine.abort("waiting")

    assert await waiting == ([], "abort")
    assert [reason for _, reason in await asyncio.gather(*running)] == ["length"] * 4
    assert engine.stats().slots_used == 0


class _BreakingModel:
    """Stand in for a model whose decode fails."""

    config = SimpleNamespace(vocab_size=64)
    device, dtype = torch.device("cpu"), torch.float32

    def cache_cost(self, _dtype):
        return CacheCost(1, 1)

    def make_cache(self, **_):
        return None

    def prefill(self, pieces, _cache):
        return torch.zeros(len(pieces.ids), 8)

    def decode(self, *_):
        raise RuntimeError("out of memory")


async def test_a_broken_engine_fails_every_request_and_says_so():
    engine = NativeEngine(_BreakingModel(), max_batch=2, context_tokens=64)
    asks = [collect(engine, ask(f"r{n}")) for n in range(5)]

    results = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)

    assert all(isinstance(one, EngineError) for one in results)
    assert "out of memory" in engine.health().reason
    with pytest.raises(EngineError, match="out of memory"):
        await collect(engine, ask("late"))


class _NanModel(_BreakingModel):
    """Stand in for a model whose numbers overflow."""

    def decode(self, ids, *_):
        return torch.full((len(ids), 8), torch.nan)


async def test_logits_that_are_no_numbers_stop_the_engine():
    engine = NativeEngine(_NanModel(), max_batch=2, context_tokens=64)

    with pytest.raises(EngineError, match="not finite"):
        await asyncio.wait_for(collect(engine, ask("r")), 10)

    assert "not finite" in engine.health().reason


class _Refusing:
    """A constraint that breaks, or allows one token only."""

    json_schema = "{}"
    in_thought = False

    def __init__(self, only: int | None = None) -> None:
        self.only = only
        self.seen: list[int] = []

    def allowed(self):
        if self.only is None:
            raise RuntimeError("the grammar broke")
        mask = np.zeros(64, dtype=bool)
        mask[self.only] = True
        return mask

    def accept(self, token_id: int) -> None:
        self.seen.append(token_id)


async def test_a_constraint_decides_what_may_come_and_is_told_what_came(engine):
    only = _Refusing(only=42)

    tokens, _ = await collect(engine, replace(ask("only", temperature=1.0), constraint=only))

    assert tokens == [42] * 12 == only.seen


async def test_a_constraint_that_breaks_ends_its_own_request_only(engine):
    other = asyncio.create_task(collect(engine, ask("other", max_tokens=100)))

    with pytest.raises(RuntimeError, match="grammar broke"):
        await collect(engine, replace(ask("broken"), constraint=_Refusing()))

    assert (await other)[1] == "length"
    assert engine.stats().slots_used == 0


async def test_preempted_requests_say_what_they_would_have_said_alone(model, monkeypatch):
    monkeypatch.setattr("inference.cache.TOKENS_PER_SLOT", 16)
    cost = model.cache_cost(torch.float32)
    short = NativeEngine(
        model,
        max_batch=4,
        context_tokens=128,
        threads=1,
        cache_bytes=4 * cost.slot_bytes + 9 * cost.block_bytes,
    )
    asks = [ask(f"r{n}", prompt=p, max_tokens=70) for n, p in enumerate(prompts(6))]

    try:
        together = await asyncio.gather(*(collect(short, one) for one in asks))
        preempted = short.stats().preemptions_total
        alone = [await collect(short, one) for one in asks]
    finally:
        short.stop()

    assert preempted > 0
    assert together == alone


async def test_a_draining_engine_finishes_what_runs_and_takes_nothing_new(engine):
    running = asyncio.create_task(collect(engine, ask("running", max_tokens=60)))
    while not engine.stats().running:
        await asyncio.sleep(0)

    await engine.drain(deadline_seconds=20)

    assert (await running)[1] == "length"
    assert engine.health().state == "draining"
    with pytest.raises(EngineError, match="stopping"):
        await collect(engine, ask("late"))


async def test_a_late_reader_gets_all_tokens_in_one_chunk(engine):
    stream = engine.generate(ask("slow", max_tokens=50))
    first = await anext(stream)
    while engine.stats().running:
        await asyncio.sleep(0.01)
    rest = [chunk async for chunk in stream]

    assert len(rest) <= 2
    assert len(first.token_ids) + sum(len(chunk.token_ids) for chunk in rest) == 50


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
async def test_a_compiled_engine_says_the_same_and_compiles_no_shape_later(model):
    compiled = NativeEngine(model, max_batch=4, context_tokens=256, threads=1, compiling="first")
    eager = NativeEngine(model, max_batch=4, context_tokens=256, threads=1)
    asks = [ask(f"r{n}", prompt=p, max_tokens=5 + 20 * n) for n, p in enumerate(prompts(9))]

    try:
        await compiled.start()
        assert isinstance(compiled._runner._decode, CompiledDecode)
        torch.compiler.set_stance("fail_on_recompile")
        got = await asyncio.gather(*(collect(compiled, one) for one in asks))
        expected = [await collect(eager, one) for one in asks]
    finally:
        torch.compiler.set_stance("default")
        compiled.stop()
        eager.stop()

    assert compiled.health().reason == ""
    assert got == expected
