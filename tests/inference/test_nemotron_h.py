"""The hybrid model against transformers' NemotronH, and against itself in pieces."""

import json
from typing import Any

import pytest
import torch
from transformers import NemotronHConfig as TheirConfig
from transformers import NemotronHForCausalLM

from inference.layers.mamba2 import scan_chunked
from inference.models.config import NemotronHConfig, UnsupportedModel
from inference.models.nemotron_h import NemotronH, WeightsMismatch
from tests.inference.seats import Seats

RAW: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "hybrid_override_pattern": "M-M*-M-",
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "mamba_num_heads": 8,
    "mamba_head_dim": 16,
    "ssm_state_size": 16,
    "n_groups": 2,
    "conv_kernel": 4,
    "chunk_size": 16,
    "layer_norm_epsilon": 1e-5,
}
CLOSE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Weights large enough that every part of the model matters to the logits."""
    torch.manual_seed(0)
    made = {}
    for name, tensor in NemotronH(NemotronHConfig.from_dict(RAW)).state_dict().items():
        if "conv1d" in name:
            made[name] = torch.randn_like(tensor) * 0.3
        elif tensor.dim() == 2:
            made[name] = torch.randn_like(tensor) * tensor.shape[-1] ** -0.5
        elif name.endswith("dt_bias"):
            made[name] = torch.randn_like(tensor)
        else:
            made[name] = 1 + 0.2 * torch.randn_like(tensor)
    return made


@pytest.fixture(scope="module")
def ours(weights: dict[str, torch.Tensor]) -> NemotronH:
    model = NemotronH(NemotronHConfig.from_dict(RAW)).eval()
    model.load_tensors(weights)
    return model


@pytest.fixture(scope="module")
def theirs(weights: dict[str, torch.Tensor]) -> NemotronHForCausalLM:
    # Their reference path clamps dt at time_step_min; a tiny one leaves dt as the model says.
    model = NemotronHForCausalLM(TheirConfig(**RAW, time_step_min=1e-6)).eval().float()
    renamed = {name.replace("backbone.", "model."): t for name, t in weights.items()}
    model.load_state_dict(renamed, strict=True)
    return model


def random_ids(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 300, shape, generator=torch.Generator().manual_seed(seed))


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@torch.no_grad()
def test_whole_sequences_give_the_logits_transformers_gives(
    ours: NemotronH, theirs: NemotronHForCausalLM
) -> None:
    ids = random_ids(3, 45)
    expected = theirs(ids).logits
    assert expected.abs().max() > 1
    assert worst(ours(ids), expected) < CLOSE


def greedy(seats: Seats, prompt: torch.Tensor, count: int) -> list[int]:
    token = seats.prefill(prompt, 0, 0).argmax()
    got = [int(token)]
    for position in range(len(prompt), len(prompt) + count - 1):
        token = seats.decode(token[None], torch.tensor([0]), torch.tensor([position]))[0].argmax()
        got.append(int(token))
    return got


@torch.no_grad()
def test_two_hundred_greedy_tokens_are_those_of_transformers(
    ours: NemotronH, theirs: NemotronHForCausalLM
) -> None:
    ids = random_ids(1, 21)
    expected = theirs.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=200,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )[0, 21:].tolist()
    assert len(set(expected)) > 3
    assert greedy(Seats(ours, 1, 224), ids[0], 200) == expected


@torch.no_grad()
def test_a_ragged_prefill_gives_each_row_the_logits_transformers_gives_it_alone(
    ours: NemotronH, theirs: NemotronHForCausalLM
) -> None:
    prompts = [random_ids(length, seed=length) for length in (33, 1, 16, 2, 40, 17)]
    seats = Seats(ours, 6, 48)
    got = seats.prefill_rows(*((ids, seat, 0) for seat, ids in enumerate(prompts)))
    for row, ids in zip(got, prompts, strict=True):
        assert worst(row, theirs(ids[None]).logits[0, -1]) < CLOSE


@torch.no_grad()
def test_decoding_token_by_token_equals_the_whole_forward(ours: NemotronH) -> None:
    ids = random_ids(2, 40)
    whole = ours(ids)
    cache = Seats(ours, 2, 70)
    seats = torch.tensor([0, 1])
    for row in range(2):
        assert worst(cache.prefill(ids[row, :25], row, 0), whole[row, 24]) < CLOSE
    for position in range(25, 40):
        got = cache.decode(ids[:, position], seats, torch.full((2,), position))
        assert worst(got, whole[:, position]) < CLOSE


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(1, 2, 3), (16, 32), (5, 40), (39,), tuple(range(1, 41))])
def test_a_prompt_in_pieces_equals_the_prompt_at_once(
    ours: NemotronH, cuts: tuple[int, ...]
) -> None:
    ids = random_ids(41)
    whole, pieces = (Seats(ours, 2, 64) for _ in range(2))
    expected = whole.prefill(ids, 1, 0)
    got = expected * 0
    for start, end in zip((0, *cuts), (*cuts, 41), strict=True):
        got = pieces.prefill(ids[start:end], 1, start)
    assert worst(got, expected) < CLOSE
    for mine, other in zip(whole.contents(1), pieces.contents(1), strict=True):
        for name, tensor in mine.items():
            held = slice(0, 41) if name in "kv" else slice(None)
            assert worst(tensor[held], other[name][held]) < CLOSE, name


@torch.no_grad()
def test_pieces_of_different_sequences_at_different_places_are_read_together(
    ours: NemotronH,
) -> None:
    first, second = random_ids(40, seed=1), random_ids(23, seed=2)
    cache = Seats(ours, 2, 48)
    cache.prefill(first[:19], 0, 0)
    got = cache.prefill_rows((first[19:30], 0, 19), (second, 1, 0))
    assert worst(got[0], ours(first[None, :30])[0, -1]) < CLOSE
    assert worst(got[1], ours(second[None])[0, -1]) < CLOSE
    assert worst(cache.prefill(first[30:], 0, 30), ours(first[None])[0, -1]) < CLOSE


@torch.no_grad()
def test_who_else_is_in_the_batch_does_not_change_a_sequence(ours: NemotronH) -> None:
    prompts = {3: random_ids(30, seed=3), 0: random_ids(7, seed=4), 2: random_ids(18, seed=5)}
    fed = {seat: random_ids(6, seed=10 + seat) for seat in prompts}
    together = Seats(ours, 4, 64)
    for seat, ids in prompts.items():
        together.prefill(ids, seat, 0)
    order = list(prompts)
    for step in range(6):
        batched = together.decode(
            torch.stack([fed[seat][step] for seat in order]),
            torch.tensor(order),
            torch.tensor([len(prompts[seat]) + step for seat in order]),
        )
        for row, seat in enumerate(order):
            history = torch.cat([prompts[seat], fed[seat][: step + 1]])
            assert worst(batched[row], ours(history[None])[0, -1]) < CLOSE


@torch.no_grad()
def test_a_step_leaves_sequences_outside_the_batch_untouched(ours: NemotronH) -> None:
    cache = Seats(ours, 3, 32)
    for seat in range(3):
        cache.prefill(random_ids(9, seed=seat), seat, 0)
    before = cache.contents(1)
    cache.decode(random_ids(2), torch.tensor([2, 0]), torch.tensor([9, 9]))
    cache.prefill_rows((random_ids(7), 2, 10), (random_ids(3), 0, 0))
    for kept, held in zip(before, cache.contents(1), strict=True):
        assert all(torch.equal(held[name], tensor) for name, tensor in kept.items())


@torch.no_grad()
def test_a_reused_seat_remembers_nothing_of_its_former_tenant(ours: NemotronH) -> None:
    used, fresh = (Seats(ours, 1, 64) for _ in range(2))
    used.prefill(random_ids(50, seed=8), 0, 0)
    ids = random_ids(12, seed=9)
    assert torch.equal(used.prefill(ids, 0, 0), fresh.prefill(ids, 0, 0))
    one, seat, at = torch.tensor([7]), torch.tensor([0]), torch.tensor([12])
    assert torch.equal(used.decode(one, seat, at), fresh.decode(one, seat, at))


@torch.no_grad()
def test_a_traced_decode_step_agrees_with_the_plain_one(ours: NemotronH) -> None:
    plain, traced = (Seats(ours, 3, 32) for _ in range(2))
    step = torch.compile(ours.decode, dynamic=True, fullgraph=True, backend="eager")
    for cache in (plain, traced):
        cache.prefill_rows(*((random_ids(9, seed=seat), seat, 0) for seat in range(3)))
    for position, order in enumerate([[1, 0], [2, 1, 0], [0], [2, 0]], start=9):
        seats = torch.tensor(order)
        ids, at = random_ids(len(order), seed=position), torch.full((len(order),), position)
        expected = plain.decode(ids, seats, at)
        assert worst(traced.decode(ids, seats, at, run=step), expected) < CLOSE


@torch.no_grad()
def test_packed_rows_give_each_segment_the_logits_it_has_alone(ours: NemotronH) -> None:
    ids = random_ids(1, 50)
    segments = torch.tensor([[1] * 3 + [2] * 20 + [3] * 1 + [4] * 26])
    packed = ours(ids, segments)[0]
    for number in range(1, 5):
        own = segments[0] == number
        assert worst(packed[own], ours(ids[:, own])[0]) < CLOSE


def test_the_whole_forward_can_be_trained_through(ours: NemotronH) -> None:
    ours.zero_grad()
    ours(random_ids(2, 20)).square().mean().backward()
    dead = [n for n, p in ours.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []
    ours.zero_grad()


def scan_plainly(
    x: torch.Tensor, log_decay: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    heads, groups = x.shape[2], b.shape[2]
    b, c = (t.repeat_interleave(heads // groups, 2) for t in (b, c))
    state = torch.zeros(x.shape[0], heads, x.shape[3], b.shape[3])
    out = []
    for t in range(x.shape[1]):
        state = state * log_decay[:, t].exp()[..., None, None]
        state = state + x[:, t, :, :, None] * b[:, t, :, None]
        out.append((state * c[:, t, :, None]).sum(-1))
    return torch.stack(out, 1)


@pytest.mark.parametrize(("length", "chunk"), [(1, 8), (8, 8), (9, 8), (31, 4), (20, 64)])
def test_the_chunked_scan_is_the_recurrence_whatever_the_chunk(length: int, chunk: int) -> None:
    torch.manual_seed(length)
    x, log_decay = torch.randn(2, length, 4, 3), -torch.rand(2, length, 4)
    b, c = torch.randn(2, length, 2, 5), torch.randn(2, length, 2, 5)
    y, _ = scan_chunked(x, log_decay, b, c, chunk, None)
    assert worst(y, scan_plainly(x, log_decay, b, c)) < CLOSE


def test_weights_load_under_either_prefix(weights: dict[str, torch.Tensor]) -> None:
    model = NemotronH(NemotronHConfig.from_dict(RAW))
    model.load_tensors({name.replace("backbone.", "model."): t for name, t in weights.items()})
    assert all(torch.equal(t, weights[name]) for name, t in model.state_dict().items())


def test_a_missing_an_unknown_and_a_misshapen_tensor_are_all_named(
    weights: dict[str, torch.Tensor],
) -> None:
    offered = dict(weights)
    del offered["backbone.norm_f.weight"]
    offered["backbone.extra"] = torch.zeros(1)
    offered["lm_head.weight"] = torch.zeros(3, 3)
    with pytest.raises(WeightsMismatch) as refused:
        NemotronH(NemotronHConfig.from_dict(RAW)).load_tensors(offered)
    for name in ("backbone.norm_f.weight", "backbone.extra", "lm_head.weight"):
        assert name in str(refused.value)


def test_a_tied_head_is_filled_from_the_embedding(weights: dict[str, torch.Tensor]) -> None:
    model = NemotronH(NemotronHConfig.from_dict({**RAW, "tie_word_embeddings": True}))
    model.load_tensors({n: t for n, t in weights.items() if n != "lm_head.weight"})
    assert torch.equal(model.lm_head.weight, weights["backbone.embeddings.weight"])


def test_every_spelling_of_the_configuration_reads_the_same() -> None:
    old = {
        **RAW,
        "mamba_num_groups": RAW["n_groups"],
        "mamba_state_dim": RAW["ssm_state_size"],
        "rms_norm_eps": 1e-5,
    }
    for name in ("n_groups", "ssm_state_size", "layer_norm_epsilon"):
        del old[name]
    new = json.loads(TheirConfig(**RAW).to_json_string())
    assert "hybrid_override_pattern" not in new
    plain = NemotronHConfig.from_dict(RAW)
    assert NemotronHConfig.from_dict(old) == plain
    assert NemotronHConfig.from_dict(new).layers == plain.layers
    assert NemotronHConfig.from_dict({**RAW, "eos_token_id": [2, 11]}).eos_token_ids == (2, 11)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hybrid_override_pattern": "ME*-"}, "E"),
        ({"layers_block_type": ["moe"]}, "moe"),
        ({"mlp_hidden_act": "silu"}, "mlp_hidden_act"),
        ({"use_bias": True}, "use_bias"),
        ({"sliding_window": 128}, "sliding_window"),
        ({"vocab_size": None}, "vocab_size"),
        ({"num_key_value_heads": 3}, "3"),
        ({"n_groups": 3}, "3"),
        ({"hybrid_override_pattern": ""}, "pattern"),
    ],
)
def test_a_configuration_that_is_not_computed_is_refused_by_name(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(UnsupportedModel, match=named):
        NemotronHConfig.from_dict({**RAW, **change})


def test_the_cache_counts_its_bytes_with_a_slot_and_a_block_for_padding(ours: NemotronH) -> None:
    cache = ours.make_cache(slots=1, blocks=2, block_tokens=5, dtype=torch.bfloat16)
    mamba = 3 * 2 * (8 * 16 * 16 * 4 + (128 + 64) * 3 * 2)
    attention = 2 * 2 * 15 * 2 * 16
    assert cache.num_bytes == mamba + attention
