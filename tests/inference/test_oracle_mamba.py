"""Our Mamba-2 against its authors' own: reference functions, Triton kernels and whole layer."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.layers.mamba2 import Mamba2, MambaState, scan_chunked
from inference.models.config import NemotronHConfig
from tests.inference.tiny_model import CONFIG

PYTHON = Path(".venv-oracles/bin/python").absolute()
CLOSE = 1e-5
# The kernels' tiles are 16 wide at least; two groups and a length that fills no whole chunk.
SIZES = {"mamba_num_heads": 4, "mamba_head_dim": 16, "ssm_state_size": 16, "n_groups": 2}
LENGTH, CHUNK = 40, 16
THEIRS = {"d_model": 32, "d_state": 16, "headdim": 16, "ngroups": 2, "chunk_size": CHUNK}
Tensors = dict[str, Tensor]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="no mamba-ssm: sh scripts/oracles.sh"),
]


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def layer() -> Mamba2:
    """A layer in which every weight matters to the output."""
    made = Mamba2(NemotronHConfig.from_dict({**CONFIG, **SIZES, "chunk_size": CHUNK}))
    for seed, (name, weight) in enumerate(made.named_parameters()):
        wide = name in ("in_proj.weight", "out_proj.weight")
        weight.data = random(*weight.shape, seed=seed) * (weight.shape[-1] ** -0.5 if wide else 0.5)
    return made.requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def scan() -> Tensors:
    """Whole chunks, as the paper's listing wants them: x, dt, a, b, c and a state to begin with."""
    return {
        "x": random(2, 48, 4, 16, seed=1),
        "dt": torch.nn.functional.softplus(random(2, 48, 4, seed=2)),
        "a": -random(4, seed=3).exp(),
        "b": random(2, 48, 2, 16, seed=4),
        "c": random(2, 48, 2, 16, seed=5),
        "initial": random(2, 4, 16, 16, seed=6),
    }


@pytest.fixture(scope="module")
def mixing(layer: Mamba2) -> Tensors:
    return {
        "sequences": random(2, LENGTH, 32, seed=7),
        "token": random(3, 32, seed=8),
        "conv": random(3, layer.config.conv_channels, 4, seed=9),
        "ssm": random(3, 4, 16, 16, seed=10),
    }


@pytest.fixture(scope="module")
def theirs(
    scan: Tensors, mixing: Tensors, layer: Mamba2, tmp_path_factory: pytest.TempPathFactory
) -> Tensors:
    folder = tmp_path_factory.mktemp("oracle")
    weights = {f"layer.{name}": tensor for name, tensor in layer.state_dict().items()}
    save_file({**scan, **mixing, **weights}, folder / "given.safetensors")
    script = Path(__file__).with_name("mamba_oracle.py")
    subprocess.run(
        [PYTHON, script, "given.safetensors", "found.safetensors", json.dumps(THEIRS)],
        cwd=folder,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        check=True,
        timeout=300,
    )
    found: Tensors = load_file(folder / "found.safetensors")
    return found


def worst(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item() / max(1.0, b.abs().max().item())


def scanned(one: Tensors, chunk: int, initial: Tensor | None) -> tuple[Tensor, Tensor]:
    x = one["x"] * one["dt"][..., None]
    return scan_chunked(x, one["a"] * one["dt"], one["b"], one["c"], chunk, initial)


@pytest.mark.parametrize("chunk", [CHUNK, 7, 48])
@pytest.mark.parametrize("kind", ["listing", "kernels"])
def test_the_scan_is_the_papers_listing_and_the_kernels(
    theirs: Tensors, scan: Tensors, kind: str, chunk: int
) -> None:
    y, last = theirs[f"{kind} 0"], theirs[f"{kind} 1"]
    our_y, our_last = scanned(scan, chunk, scan["initial"])

    assert worst(our_y, y) < CLOSE
    assert worst(our_last, last) < CLOSE


def test_the_scan_from_silence_is_the_reference_scan(theirs: Tensors, scan: Tensors) -> None:
    assert worst(scanned(scan, CHUNK, None)[0], theirs["reference 0"]) < CLOSE


def test_a_layer_over_whole_sequences_is_theirs(
    theirs: Tensors, mixing: Tensors, layer: Mamba2
) -> None:
    expected = theirs["whole 0"]

    assert expected.abs().max() > 0.1
    assert worst(layer(mixing["sequences"]), expected) < CLOSE


def test_a_layer_in_pieces_and_steps_is_theirs(
    theirs: Tensors, mixing: Tensors, layer: Mamba2
) -> None:
    sequences, expected = mixing["sequences"], theirs["whole 0"]
    state, slots = layer.new_state(3, torch.float32, torch.device("cpu")), torch.tensor([2, 1])
    for start, end in ((0, 21), (21, 30)):
        fresh, lengths = torch.full((2,), start == 0), torch.full((2,), end - start)
        got = layer.prefill(sequences[:, start:end], state, slots, fresh, lengths)
        assert worst(got, expected[:, start:end]) < CLOSE
    for at in range(30, LENGTH):
        assert worst(layer.decode(sequences[:, at], state, slots), expected[:, at]) < CLOSE


@pytest.mark.parametrize("kind", ["reference", "kernels"])
def test_a_step_on_any_state_is_theirs(
    theirs: Tensors, mixing: Tensors, layer: Mamba2, kind: str
) -> None:
    out, conv, ssm = (theirs[f"step {kind} {n}"] for n in range(3))
    # They keep the newest column twice: as the window's last, and ahead of the next step.
    state = MambaState(mixing["conv"][..., 1:].clone(), mixing["ssm"].clone())
    got = layer.decode(mixing["token"], state, torch.arange(3))

    assert worst(got, out) < CLOSE
    assert worst(state.conv, conv[..., 1:]) < CLOSE
    assert worst(state.ssm, ssm) < CLOSE
