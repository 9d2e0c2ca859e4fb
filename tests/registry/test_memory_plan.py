import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from registry.artifact.gpus import GIB, GPUS, gpu_named
from registry.artifact.memory_plan import plan
from registry.artifact.model_shape import layer_kinds, shape_of
from registry.cli import lictor
from registry.errors import BadInput

NANO9: dict[str, Any] = json.loads(
    Path("demo/metadata/nvidia-nemotron-nano-9b-v2/config.json").read_text()
)
QWEN3_8B: dict[str, Any] = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "vocab_size": 151936,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": False,
}
LLAMA_31_8B: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
QWEN25_05B: dict[str, Any] = {
    "model_type": "qwen2",
    "num_hidden_layers": 24,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
A10G = gpu_named("a10g")


def test_the_nano_9b_is_counted_exactly() -> None:
    made = plan(NANO9, A10G)

    assert made.parameters == 8_888_227_328
    assert made.weights_bytes == 17_776_454_656
    assert made.kv_bytes_per_token == 16_384
    assert made.state_bytes_per_sequence == 143_548_416
    assert made.streamed_bytes_per_step == 16_602_049_536


def test_the_nano_9b_is_counted_part_by_part() -> None:
    assert shape_of(NANO9).parts == {
        "mamba": 3_981_166_848,
        "attention": 220_218_880,
        "mlp": 3_512_432_000,
        "embedding": 587_202_560,
        "lm_head": 587_202_560,
        "final_norm": 4_480,
    }


@pytest.mark.parametrize(
    ("context", "at_95", "at_90"),
    [(1024, 24, 16), (4096, 18, 12), (8192, 13, 9), (24576, 7, 4), (131072, 1, 1)],
)
def test_the_concurrency_on_an_a10g_is_as_measured_by_hand(
    context: int, at_95: int, at_90: int
) -> None:
    assert plan(NANO9, A10G, context=context).max_batch_at_context == at_95
    assert plan(NANO9, A10G, context=context, utilisation=0.9).max_batch_at_context == at_90


def test_one_sequence_of_128k_fits_an_a10g_and_two_do_not() -> None:
    assert plan(NANO9, A10G, batch=1).fits
    assert not plan(NANO9, A10G, batch=2).fits
    assert plan(NANO9, A10G).max_context_at_batch_1 == 131_072


def test_the_decode_bound_is_the_bandwidth() -> None:
    made = plan(NANO9, A10G, context=16384, batch=8)

    assert made.decode_seconds_per_step == pytest.approx(35.1e-3, rel=2e-3)


@pytest.mark.parametrize(
    ("config", "parameters", "kv_bytes_per_token"),
    [
        (QWEN3_8B, 8_190_735_360, 147_456),
        (LLAMA_31_8B, 8_030_261_248, 131_072),
        (QWEN25_05B, 494_032_768, 12_288),
    ],
    ids=["Qwen3-8B", "Llama-3.1-8B", "Qwen2.5-0.5B"],
)
def test_dense_models_have_their_published_number_of_parameters(
    config: dict[str, Any], parameters: int, kv_bytes_per_token: int
) -> None:
    made = plan(config, A10G)

    assert made.parameters == parameters
    assert made.kv_bytes_per_token == kv_bytes_per_token
    assert made.state_bytes_per_sequence == 0


RESPELT = {
    "mamba_num_groups": "n_groups",
    "mamba_state_dim": "ssm_state_size",
    "attention_head_dim": "head_dim",
    "mamba_d_conv": "conv_kernel",
}


def test_every_spelling_gives_the_same_plan() -> None:
    names = {"M": "linear_attention", "*": "full_attention", "-": "mlp"}
    respelt = {key: value for key, value in NANO9.items() if key not in RESPELT.values()}
    respelt |= {new: NANO9[old] for new, old in RESPELT.items()}
    respelt["layers_block_type"] = [names[code] for code in respelt.pop("hybrid_override_pattern")]

    assert plan(respelt, A10G) == plan(NANO9, A10G)


def test_the_layers_of_the_nano_9b() -> None:
    kinds = layer_kinds(NANO9)

    assert [kinds.count(kind) for kind in ("mamba", "mlp", "attention")] == [27, 25, 4]


def test_dtypes_change_the_weights_and_what_follows_the_activations() -> None:
    wide, narrow = plan(NANO9, A10G, dtype="fp32"), plan(NANO9, A10G, dtype="int8")

    assert wide.weights_bytes == 4 * 8_888_227_328
    assert wide.kv_bytes_per_token == 32_768
    assert not wide.fits
    assert wide.max_batch_at_context == wide.max_context_at_batch_1 == 0
    assert narrow.state_bytes_per_sequence == 143_548_416


def test_a_context_beyond_the_model_does_not_fit_any_gpu() -> None:
    made = plan(NANO9, gpu_named("H200"), context=131_073)

    assert not made.fits
    assert made.max_batch_at_context == 0


def test_a_hybrid_without_attention_is_limited_by_its_own_context() -> None:
    config = {**NANO9, "hybrid_override_pattern": "M-" * 2, "num_hidden_layers": 4}

    assert plan(config, A10G).max_context_at_batch_1 == 131_072


@given(st.integers(1, 131_072), st.integers(1, 64), st.sampled_from(sorted(GPUS)))
def test_fitting_agrees_with_the_largest_batch(context: int, batch: int, gpu: str) -> None:
    made = plan(NANO9, gpu_named(gpu), context=context, batch=batch)

    assert made.fits == (batch <= made.max_batch_at_context)
    assert made.fits == (made.needed_bytes <= made.budget_bytes)


@given(st.integers(1, 131_072), st.sampled_from(sorted(GPUS)))
def test_fitting_one_sequence_agrees_with_the_longest_context(context: int, gpu: str) -> None:
    made = plan(NANO9, gpu_named(gpu), context=context)

    assert made.fits == (context <= made.max_context_at_batch_1)


def test_what_is_assumed_is_said() -> None:
    config = {key: value for key, value in NANO9.items() if key != "conv_kernel"}

    made = plan(config, A10G)

    assert "conv_kernel is not given; taken as 4." in made.assumptions
    assert "0.80 GiB is set aside for activations and workspace." in made.assumptions


def test_the_json_has_the_promised_members() -> None:
    document = json.loads(json.dumps(plan(NANO9, A10G).to_json()))

    assert document["fits"] is True
    assert document["max_batch_at_context"] == 1
    assert document["gpu"]["name"] == "a10g"
    assert document["gpu"]["usable_bytes"] == int(22.06 * 2**30)
    assert document["gpu"]["total_bytes"] > document["gpu"]["usable_bytes"]


def test_no_gpu_offers_more_than_it_has() -> None:
    assert [gpu.name for gpu in GPUS.values() if gpu.usable_bytes >= gpu.total_bytes] == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"model_type": "unheard_of"}, "model_type"),
        ({"model_type": None}, "model_type"),
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "4480"}, "hidden_size"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"hidden_size": 10**12}, "hidden_size"),
        ({"num_hidden_layers": 55}, "num_hidden_layers"),
        ({"hybrid_override_pattern": "MEM"}, "layers_block_type"),
        ({"hybrid_override_pattern": None}, "hybrid_override_pattern"),
        ({"hybrid_override_pattern": 5}, "hybrid_override_pattern"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings"),
    ],
)
def test_a_config_that_cannot_be_counted_is_refused(change: dict[str, Any], place: str) -> None:
    with pytest.raises(BadInput) as refused:
        plan({**NANO9, **change}, A10G)

    assert refused.value.code == "config_unsupported"
    assert refused.value.faults[0].place == place


@pytest.mark.parametrize(
    "wish",
    [
        {"context": 0},
        {"batch": 0},
        {"utilisation": 0},
        {"utilisation": 1.1},
        {"utilisation": float("nan")},
        {"dtype": "fp5"},
        {"reserve_bytes": -1},
    ],
)
def test_a_senseless_wish_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        plan(NANO9, A10G, **wish)


def test_an_unknown_gpu_is_refused_with_the_known_names() -> None:
    with pytest.raises(BadInput) as refused:
        gpu_named("tpu")

    assert "a10g" in refused.value.faults[0].remedy


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run `lictor plan` on a config.json and read what it prints."""

    def run(config: dict[str, Any], *options: str, gpu: str = "a10g") -> dict[str, Any]:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        done = CliRunner().invoke(lictor, ["plan", str(path), "--gpu", gpu, "--json", *options])
        assert done.stderr == ""
        made: dict[str, Any] = json.loads(done.stdout)
        assert done.exit_code == (0 if made["fits"] else 1)
        return made

    return run


Planned = Callable[..., dict[str, Any]]


def test_the_command_counts_the_nano_9b_as_published(planned: Planned) -> None:
    made = planned(NANO9)

    assert made["parameters"] == 8_888_227_328
    assert round(made["weights_bytes"] / GIB, 3) == 16.556
    assert made["kv_bytes_per_token"] == 16_384
    assert made["state_bytes_per_sequence"] == 143_548_416


def test_one_sequence_of_128k_takes_18_69_gib_before_any_reserve(planned: Planned) -> None:
    made = planned(NANO9, "--context", "131072", "--reserve", "0")

    assert round(made["needed_bytes"] / GIB, 2) == 18.69


@pytest.mark.parametrize(
    ("options", "row"),
    [
        (["--util", "0.95"], [24, 18, 13, 7, 1]),
        (["--util", "0.9"], [16, 12, 9, 4, 1]),
        (["--util", "0.95", "--dtype", "int8"], [75, 57, 43, 22, 5]),
    ],
    ids=["bf16", "bf16 at 0.90", "int8"],
)
def test_the_command_prints_the_concurrency_row_of_an_a10g(
    planned: Planned, options: list[str], row: list[int]
) -> None:
    contexts = ("1024", "4096", "8192", "24576", "131072")
    plans = [planned(NANO9, "--reserve", "0.8", "--context", one, *options) for one in contexts]

    assert [made["max_batch_at_context"] for made in plans] == row


def test_qwen3_8b_is_planned_from_its_config_alone(planned: Planned) -> None:
    made = planned(QWEN3_8B)

    assert made["kv_bytes_per_token"] == 147_456
    assert made["state_bytes_per_sequence"] == 0
    assert round(made["weights_bytes"] / GIB, 2) == 15.26


# By hand: linear weights, two bytes a channel for scales, the recurrence in fp32, the rest in bf16.
@pytest.mark.parametrize(
    ("config", "linear", "channels", "recurrence"),
    [
        (NANO9, 8_298_823_680, 1_414_336, 10_368),
        (QWEN3_8B, 36 * 192_937_984 + 151936 * 4096, 36 * 38_912 + 151936, 0),
        ({**QWEN3_8B, "tie_word_embeddings": True}, 36 * 192_937_984, 36 * 38_912, 0),
    ],
    ids=["Nano-9B-v2", "Qwen3-8B", "tied"],
)
def test_int8_is_counted_as_it_is_allocated(
    planned: Planned, config: dict[str, Any], linear: int, channels: int, recurrence: int
) -> None:
    made = planned(config, "--dtype", "int8")
    plain = made["parameters"] - linear - recurrence

    assert made["weights_bytes"] == linear + 2 * channels + 4 * recurrence + 2 * plain
    if not config["tie_word_embeddings"]:
        looked_up = 2 * config["vocab_size"] * config["hidden_size"]
        assert made["streamed_bytes_per_step"] == made["weights_bytes"] - looked_up


@pytest.mark.parametrize("gpu", ["a10g", "l4", "a100-40", "a100-80", "h100", "H200"])
@pytest.mark.parametrize("dtype", ["bf16", "int8"])
@pytest.mark.parametrize("config", [NANO9, QWEN3_8B], ids=["Nano-9B-v2", "Qwen3-8B"])
def test_both_models_fit_every_card_for_one_short_sequence(
    planned: Planned, config: dict[str, Any], dtype: str, gpu: str
) -> None:
    made = planned(config, "--dtype", dtype, "--context", "1024", gpu=gpu)

    assert made["fits"]
    assert made["gpu"]["name"].startswith(gpu.lower())


def test_what_the_engine_keeps_wider_than_the_files_is_said() -> None:
    made = plan(NANO9, A10G)

    assert any("20,736 B more" in said for said in made.assumptions)


@pytest.mark.parametrize("reserve", ["-1", "nan", "inf"])
def test_a_reserve_that_is_no_amount_of_memory_is_refused(reserve: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(NANO9))
    done = CliRunner().invoke(lictor, ["plan", str(path), "--gpu", "l4", "--reserve", reserve])

    assert done.exit_code == 2
    assert "Invalid value for '--reserve'" in done.stderr
