"""Qwen3 and Llama through our blocks, against transformers' own."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from inference.engine import NativeEngine
from inference.loader import CheckpointUnusable, load_model
from inference.models.nemotron_h import NemotronH
from inference.protocol import GenerateRequest, SamplingParams
from registry.artifact.memory_plan import cost_of
from registry.artifact.model_shape import shape_of
from tests.inference.seats import Seats

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    # A head size that is not hidden / heads, as Qwen3's small models have it.
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 24, "rope_theta": 1_000_000.0}),
    "qwen3 tied": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16, "tie_word_embeddings": True}),
    "llama": (LlamaConfig, LlamaForCausalLM, {"num_key_value_heads": 4}),
    "llama 3.1": (LlamaConfig, LlamaForCausalLM, {"rope_parameters": LLAMA3}),
}
CLOSE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that transformers wrote, its weights large enough that each one matters."""
    config_class, model_class, changes = MODELS[request.param]
    torch.manual_seed(0)
    model = model_class(config_class(**{**SIZES, **changes}))
    for weight in model.parameters():
        scale = weight.shape[-1] ** -0.5 if weight.dim() == 2 else 0.2
        weight.data = torch.randn_like(weight) * scale + (weight.dim() == 1)
    folder = tmp_path_factory.mktemp("dense")
    # Loading checks shards and index on the way.
    model.save_pretrained(folder, max_shard_size="100KB")
    return folder


@pytest.fixture(scope="module")
def ours(folder: Path) -> NemotronH:
    return load_model(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    raw = json.loads((folder / "config.json").read_text())
    classes = {"qwen3": Qwen3ForCausalLM, "llama": LlamaForCausalLM}
    return classes[raw["model_type"]].from_pretrained(folder, dtype=torch.float32).eval()


def random_ids(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 300, shape, generator=torch.Generator().manual_seed(seed))


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@torch.no_grad()
def test_whole_sequences_give_the_logits_transformers_gives(ours: NemotronH, theirs: Any) -> None:
    ids = random_ids(3, 150)
    expected = theirs(ids).logits

    assert expected.abs().max() > 1
    assert worst(ours(ids), expected) < CLOSE


@torch.no_grad()
def test_two_hundred_greedy_tokens_are_those_of_transformers(ours: NemotronH, theirs: Any) -> None:
    ids = random_ids(1, 21)
    expected = theirs.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=200,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )[0, 21:].tolist()
    seats, seat = Seats(ours, 1, 224), torch.tensor([0])
    got = [int(seats.prefill(ids[0], 0, 0).argmax())]
    for position in range(21, 220):
        logits = seats.decode(torch.tensor(got[-1:]), seat, torch.tensor([position]))
        got.append(int(logits.argmax()))

    assert len(set(expected)) > 3
    assert got == expected


@torch.no_grad()
def test_a_ragged_prefill_in_pieces_gives_each_row_what_it_has_alone(
    ours: NemotronH, theirs: Any
) -> None:
    prompts = [random_ids(length, seed=length) for length in (33, 1, 16, 2, 40)]
    seats = Seats(ours, 5, 48)
    cuts = [len(ids) // 2 for ids in prompts]
    first = [(ids[:cut], n, 0) for n, (ids, cut) in enumerate(zip(prompts, cuts, strict=True))]
    seats.prefill_rows(*(row for row in first if len(row[0])))
    rest = [(ids[cut:], n, cut) for n, (ids, cut) in enumerate(zip(prompts, cuts, strict=True))]

    for row, ids in zip(seats.prefill_rows(*rest), prompts, strict=True):
        assert worst(row, theirs(ids[None]).logits[0, -1]) < CLOSE


@torch.no_grad()
def test_a_batch_at_different_positions_decodes_as_each_alone(ours: NemotronH, theirs: Any) -> None:
    prompts = [random_ids(length, seed=length) for length in (30, 7, 18)]
    seats = Seats(ours, 3, 64)
    seats.prefill_rows(*((ids[:-1], n, 0) for n, ids in enumerate(prompts)))
    at = torch.tensor([len(ids) - 1 for ids in prompts])
    got = seats.decode(torch.stack([ids[-1] for ids in prompts]), torch.arange(3), at)

    for row, ids in zip(got, prompts, strict=True):
        assert worst(row, theirs(ids[None]).logits[0, -1]) < CLOSE


@torch.no_grad()
def test_packed_rows_give_each_segment_the_logits_it_has_alone(ours: NemotronH) -> None:
    ids, segments = random_ids(1, 30), torch.tensor([[1] * 3 + [2] * 27])
    packed = ours(ids, segments)[0]
    for number in (1, 2):
        own = segments[0] == number
        assert worst(packed[own], ours(ids[:, own])[0]) < CLOSE


@torch.no_grad()
def test_a_traced_decode_step_agrees_with_the_plain_one(ours: NemotronH) -> None:
    plain, traced = (Seats(ours, 3, 32) for _ in range(2))
    step = torch.compile(ours.decode, dynamic=True, fullgraph=True, backend="eager")
    for cache in (plain, traced):
        cache.prefill_rows(*((random_ids(9, seed=seat), seat, 0) for seat in range(3)))
    for position, order in enumerate([[1, 0], [2, 1, 0]], start=9):
        seats, ids = torch.tensor(order), random_ids(len(order), seed=position)
        at = torch.full((len(order),), position)
        assert worst(traced.decode(ids, seats, at, run=step), plain.decode(ids, seats, at)) < CLOSE


async def test_an_engine_without_any_state_slots_to_pay_for_serves_them(ours: NemotronH) -> None:
    assert ours.cache_cost(torch.float32).slot_bytes == 0
    prompts = [tuple(random_ids(length, seed=length).tolist()) for length in (40, 3, 17)]
    engine = NativeEngine(ours, max_batch=2, context_tokens=64, threads=1, cache_bytes=1 << 22)
    greedy = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
    try:
        got = await asyncio.gather(*(answer(engine, prompt, greedy) for prompt in prompts))
    finally:
        engine.stop()

    for prompt, said in zip(prompts, got, strict=True):
        logits = ours(torch.tensor([[*prompt, *said]]))[0, len(prompt) - 1 : -1]
        assert logits.argmax(-1).tolist() == said


async def answer(engine: NativeEngine, prompt: tuple[int, ...], how: SamplingParams) -> list[int]:
    request = GenerateRequest(str(prompt), prompt, how)
    return [token async for chunk in engine.generate(request) for token in chunk.token_ids]


def test_int8_takes_what_the_plan_says_and_stays_near(folder: Path, ours: NemotronH) -> None:
    small = load_model(folder, dtype="int8")
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    ids = random_ids(2, 40)
    agreed = (small(ids).argmax(-1) == ours(ids).argmax(-1)).float().mean()

    assert shape.parameters == sum(p.numel() for p in ours.parameters())
    assert sum(p.nbytes for p in small.parameters()) == cost_of(shape, dtype="int8").weights_bytes
    assert agreed > 0.85


def change(folder: Path, into: Path, **changes: Any) -> Path:
    """Copy a checkpoint, with another config."""
    for path in folder.iterdir():
        (into / path.name).write_bytes(path.read_bytes())
    raw = {**json.loads((folder / "config.json").read_text()), **changes}
    (into / "config.json").write_text(json.dumps(raw))
    return into


@torch.no_grad()
def test_the_older_spelling_of_angles_means_the_same(
    folder: Path, tmp_path: Path, ours: NemotronH
) -> None:
    stated = json.loads((folder / "config.json").read_text())["rope_parameters"]
    theta = stated.pop("rope_theta")
    scaling = None if stated["rope_type"] == "default" else {**stated, "type": "llama3"}
    older = {"rope_parameters": None, "rope_theta": theta, "rope_scaling": scaling}
    again = load_model(change(folder, tmp_path, **older))

    assert torch.equal(again(random_ids(1, 50)), ours(random_ids(1, 50)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"use_sliding_window": True}, "Sliding windows"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "Sliding windows"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_type is 'yarn'"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "lacks factor"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"num_hidden_layers": 4}, "Missing"),
        ({"architectures": ["MistralForCausalLM"]}, "MistralForCausalLM"),
        ({"architectures": 5}, "architectures 5"),
    ],
    ids=str,
)
def test_what_is_not_computed_is_refused(
    folder: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(CheckpointUnusable, match=said):
        load_model(change(folder, tmp_path, **changes))
