"""Int8 weights: how far from fp32, how large, and whether a model still does what it did."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from demo.training.evaluate import accuracy, draw
from demo.training.tasks import dial
from inference.layers.quantised import QuantisedLinear, quantise, quantise_linears
from inference.loader import load_model
from registry.artifact.memory_plan import cost_of
from registry.artifact.model_shape import shape_of
from tests.inference.tiny_model import CONFIG, write_checkpoint

BASE = Path("demo/checkpoints/nano-base")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_weight(out: int, size: int) -> Tensor:
    """Channels of very different sizes, one of them silent."""
    weight = torch.randn(out, size, generator=torch.Generator().manual_seed(3))
    weight *= torch.logspace(-6, 3, out)[:, None]
    weight[out // 2] = 0
    return weight


def test_no_weight_is_off_by_more_than_half_a_step() -> None:
    weight = random_weight(50, 70)
    values, scale = quantise(weight)
    off = (values * scale.float()[:, None] - weight).abs()

    assert values.abs().max() == 127
    assert bool((off <= scale.float()[:, None] * 0.5001).all())
    assert bool((values[25] == 0).all())


def test_a_large_weight_is_quantised_in_blocks_as_it_would_be_at_once() -> None:
    weight = random_weight(600, 4096)
    whole = [quantise(row[None]) for row in weight]

    values, scale = quantise(weight)
    assert torch.equal(values, torch.cat([one[0] for one in whole]))
    assert torch.equal(scale, torch.cat([one[1] for one in whole]))


def filled(weight: Tensor) -> QuantisedLinear:
    layer = QuantisedLinear(weight.shape[1], weight.shape[0])
    layer.fill(weight)
    return layer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 256), (16, 256), (2, 40, 256)], ids=str)
def test_a_layer_is_within_a_hundredth_of_fp32(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    weight = torch.randn(128, 256, generator=torch.Generator().manual_seed(1))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    got, exact = filled(weight)(x.to(dtype)), nn.functional.linear(x, weight)

    assert got.dtype == dtype
    assert (got.float() - exact).norm() / exact.norm() < 0.01


def test_decoding_and_reading_multiply_by_the_same_weights() -> None:
    layer = filled(torch.randn(128, 256, generator=torch.Generator().manual_seed(1)))
    x = torch.randn(5, 256, generator=torch.Generator().manual_seed(2)).bfloat16()

    packed, widened = layer(x).float(), layer(x[None])[0].float()
    # Each rounds once or twice to bf16's 8 bits.
    assert torch.allclose(packed, widened, rtol=2**-6, atol=2**-4)


def test_a_compiled_layer_serves_any_number_of_rows_and_agrees() -> None:
    layer = filled(torch.randn(64, 96, generator=torch.Generator().manual_seed(1)))
    run = torch.compile(layer, dynamic=True, fullgraph=True, backend="eager")
    for rows in (2, 1, 16, 40):
        x = torch.randn(rows, 96).bfloat16()
        assert torch.equal(run(x), layer(x))


def test_a_layer_with_a_bias_is_refused_rather_than_losing_it() -> None:
    with pytest.raises(ValueError, match="0 has a bias"):
        quantise_linears(nn.Sequential(nn.Linear(2, 2)))


def bytes_of(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16], ids=str)
def test_an_int8_model_takes_exactly_what_the_plan_says(
    tmp_path: Path, tied: bool, stored: torch.dtype
) -> None:
    folder = write_checkpoint(tmp_path, {**CONFIG, "tie_word_embeddings": tied}, dtype=stored)
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    model = load_model(folder, dtype="int8")

    assert bytes_of(model) == cost_of(shape, dtype="int8").weights_bytes


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_another_model_takes_what_the_plan_says_and_its_wide_recurrence(
    tmp_path: Path, dtype: str
) -> None:
    folder = write_checkpoint(tmp_path, CONFIG, dtype=torch.bfloat16)
    shape = shape_of(json.loads((folder / "config.json").read_text()))
    wider = 2 * shape.recurrence_parameters if dtype == "bf16" else 0

    assert bytes_of(load_model(folder, dtype=dtype)) == (
        cost_of(shape, dtype=dtype).weights_bytes + wider
    )


def test_what_is_small_or_looked_up_stays_as_it_was(tmp_path: Path) -> None:
    model = load_model(write_checkpoint(tmp_path, CONFIG, dtype=torch.float32), dtype="int8")
    kinds: dict[torch.dtype, set[str]] = {}
    for name, parameter in model.named_parameters():
        kinds.setdefault(parameter.dtype, set()).add(name.removesuffix(".weight").split(".")[-1])

    assert kinds[torch.int8] == {
        *("in_proj", "out_proj", "q_proj", "k_proj", "v_proj", "o_proj"),
        *("up_proj", "down_proj", "lm_head"),
    }
    assert kinds[torch.float32] == {"A_log", "dt_bias", "D"}
    assert kinds[torch.bfloat16] == {"embeddings", "norm", "norm_f", "conv1d", "bias", "scale"}


@pytest.mark.slow
def test_the_demonstration_model_still_turns_the_dial_in_the_planned_memory() -> None:
    model = load_model(BASE, dtype="int8")
    shape = shape_of(json.loads((BASE / "config.json").read_text()))
    examples = draw(lambda rng: dial(rng, True), 60, 4711)

    assert bytes_of(model) == cost_of(shape, dtype="int8").weights_bytes
    assert bytes_of(model) < 0.3 * bytes_of(load_model(BASE))
    assert accuracy(model, examples, True) >= 0.95
