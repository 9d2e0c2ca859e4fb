"""The CUDA path of a Mamba layer: its adapters over mamba-ssm's own functions, run on a CPU."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from inference.kernels import mamba
from inference.kernels.mamba import MambaKernels
from inference.layers.mamba2 import Mamba2, MambaState, causal_conv
from inference.models.config import NemotronHConfig
from tests.inference.tiny_model import CONFIG

PYTHON = Path(".venv-oracles/bin/python").absolute()
ROOT = Path(__file__).parents[2]
ADAPTED = {"mamba_num_heads": 4, "mamba_head_dim": 16, "ssm_state_size": 16, "n_groups": 2}


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer_for(limit: tuple[float, float] | None) -> tuple[Mamba2, dict[str, object]]:
    """A layer in which every weight matters, and its config.json."""
    raw: dict[str, object] = {**CONFIG, **ADAPTED, "chunk_size": 16}
    if limit is not None:
        raw["time_step_limit"] = list(limit)
    made = Mamba2(NemotronHConfig.from_dict(raw))
    for seed, (name, weight) in enumerate(made.named_parameters()):
        wide = name in ("in_proj.weight", "out_proj.weight")
        weight.data = random(*weight.shape, seed=seed) * (weight.shape[-1] ** -0.5 if wide else 0.5)
    return made.requires_grad_(requires_grad=False), raw


def mixed_given(layer: Mamba2) -> dict[str, Tensor]:
    """Ragged pieces, twice, and three tokens, over slots full of something."""
    return {
        "piece0": random(3, 21, 32, seed=20),
        "piece1": random(3, 6, 32, seed=21),
        "tokens": random(3, 3, 32, seed=22),
        "first": torch.tensor([21, 4, 17]),
        "second": torch.tensor([1, 6, 2]),
        "slots": torch.tensor([4, 1, 2]),
        "fresh": torch.tensor([1, 0, 1]),
        "conv": random(5, layer.config.conv_channels, 3, seed=23),
        "ssm": random(5, 4, 16, 16, seed=24),
    }


def in_torch(layer: Mamba2, given: dict[str, Tensor]) -> list[Tensor]:
    state = MambaState(given["conv"].clone(), given["ssm"].clone())
    slots, none = given["slots"], torch.zeros(3, dtype=torch.bool)
    fresh = given["fresh"].bool()
    found = [
        layer.prefill(given["piece0"], state, slots, fresh, given["first"]),
        layer.prefill(given["piece1"], state, slots, none, given["second"]),
        *(layer.decode(token, state, slots) for token in given["tokens"]),
    ]
    return [*found, state.conv, state.ssm]


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="no mamba-ssm: sh scripts/oracles.sh")
@pytest.mark.parametrize("limit", [None, (0.2, 0.9)])
def test_a_layer_on_mamba_ssms_functions_is_the_layer_in_torch(
    limit: tuple[float, float] | None, tmp_path: Path
) -> None:
    layer, raw = layer_for(limit)
    given = mixed_given(layer)
    weights = {f"layer.{name}": tensor for name, tensor in layer.state_dict().items()}
    save_file({**given, **weights}, tmp_path / "given.safetensors")
    script = Path(__file__).with_name("adapter_oracle.py")
    subprocess.run(
        [PYTHON, script, "given.safetensors", "found.safetensors", json.dumps(raw)],
        cwd=tmp_path,
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=300,
    )
    theirs = load_file(tmp_path / "found.safetensors")
    for n, ours in enumerate(in_torch(layer, given)):
        assert ours.abs().max() > 0.1
        for kind in ("kernels", "reference"):
            off = (ours - theirs[f"{kind} {n}"]).abs()
            if n < 2:
                # What stands at padding is nobody's.
                lengths = given[("first", "second")[n]]
                off = off[torch.arange(ours.shape[1]) < lengths[:, None]]
            assert off.max() < 1e-4, (kind, n)


class Conv:
    """causal-conv1d's two functions as its documentation has them, in torch; strict in layout."""

    def update(self, x, conv_state, weight, bias=None, activation=None, *, conv_state_indices):
        assert (x.dim(), activation, conv_state_indices.dtype) == (2, "silu", torch.int32)
        assert weight.is_contiguous()
        window = torch.cat([conv_state[conv_state_indices.long()], x[..., None]], -1)
        conv_state[conv_state_indices.long()] = window[..., 1:]
        return functional.silu((window * weight).sum(-1) + (0 if bias is None else bias))

    def whole(self, x, weight, bias=None, *, initial_states, activation):
        assert activation == "silu"
        assert x.stride(1) == initial_states.stride(1) == 1
        assert x.shape[1] % 8 == x.stride(2) % 8 == 0
        padded = torch.cat([initial_states, x], -1)
        mixed = functional.conv1d(padded, weight[:, None], bias, groups=len(weight))
        return functional.silu(mixed)


def unused(*_given: object, **_more: object) -> Tensor:
    raise AssertionError("not the convolution's business")


@pytest.mark.parametrize("biased", [True, False])
def test_the_convolution_hands_over_what_causal_conv1d_asks_for(biased: bool) -> None:
    layer, _ = layer_for(None)
    given, conv = mixed_given(layer), Conv()
    kernels = MambaKernels(unused, unused, conv.update, conv.whole)
    taps, bias = layer._taps(), layer.conv1d.bias if biased else None
    layer.conv1d.bias = bias
    # A slice, as the projection gives it: its rows lie further apart than they are wide.
    xbc = random(3, 9, layer.config.conv_channels + 13, seed=30)[..., 5:-8]
    history, slots = given["conv"][:3].transpose(1, 2), given["slots"]
    expected = functional.silu(causal_conv(xbc, taps, bias, history, None))
    assert torch.allclose(kernels.convolve(xbc, taps, bias, history), expected, atol=1e-5)

    plain, held = (MambaState(given["conv"].clone(), given["ssm"]) for _ in range(2))
    expected = functional.silu(layer._hear(xbc[:, 0], plain, slots))
    found = kernels.convolve_step(xbc[:, 0], taps, bias, held.conv, slots)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(plain.conv, held.conv)
    assert not torch.equal(held.conv, given["conv"])


def test_causal_conv1d_is_not_asked_for_what_it_does_not_take() -> None:
    conv = Conv()
    whole = MambaKernels(unused, unused, conv.update, conv.whole)
    x, held = torch.zeros(2, 16), torch.zeros(3, 16, 3)
    assert whole.convolves(x, torch.zeros(16, 4), held)
    assert not whole.convolves(x, torch.zeros(16, 5), held)
    assert not whole.convolves(x, torch.zeros(12, 4), held)
    assert not whole.convolves(x.bfloat16(), torch.zeros(16, 4), held)
    assert not MambaKernels(unused, unused).convolves(x, torch.zeros(16, 4), held)
    with pytest.raises(TypeError, match="causal-conv1d is not there"):
        MambaKernels(unused, unused).convolve_step(x, torch.zeros(16, 4), None, held, held[:2])


def test_on_a_cpu_the_kernels_are_not_asked() -> None:
    layer, _ = layer_for(None)
    given = mixed_given(layer)
    expected = in_torch(layer, given)
    layer.kernels = MambaKernels(unused, unused)
    for one, other in zip(expected, in_torch(layer, given), strict=True):
        assert torch.equal(one, other)


def test_without_mamba_ssm_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    with caplog.at_level(logging.WARNING):
        assert mamba.load() is None
    assert "without mamba-ssm's kernels" in caplog.text
