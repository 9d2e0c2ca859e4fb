"""The CPU's own kernels, held to the same layers without them."""

import gc
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.cache import BLOCK_TOKENS, CacheSize
from inference.kernels import cpu
from inference.layers.mamba2 import Mamba2, MambaState
from inference.layers.packed import PackedLinear, pack_linears
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import Cache, NemotronH, Pieces
from inference.runner import CompiledDecode, Runner
from tests.inference.tiny_model import CONFIG

ROWS = 3
SLOTS = torch.tensor([3, 1, 2])
TABLES = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0]])
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 0.06}

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler"
)


def make(*, fused: bool, dtype: torch.dtype = torch.float32, **sizes: object) -> NemotronH:
    torch.manual_seed(0)
    shape = {"ssm_state_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = NemotronH(NemotronHConfig.from_dict({**CONFIG, **shape, **sizes})).eval().to(dtype)
    model.requires_grad_(requires_grad=False)
    if fused:
        assert model.fuse()
    return model


def make_cache(model: NemotronH, dtype: torch.dtype = torch.float32) -> Cache:
    return model.make_cache(slots=3, blocks=16, block_tokens=BLOCK_TOKENS, dtype=dtype)


def read_and_speak(model: NemotronH, dtype: torch.dtype) -> list[Tensor]:
    """Two ragged pieces of three sequences, then some steps."""
    cache = make_cache(model, dtype)
    torch.manual_seed(1)
    ids = torch.randint(0, 64, (ROWS, 40))
    first, second = torch.tensor([40, 33, 5]), torch.tensor([7, 2, 1])
    start = torch.zeros(ROWS, dtype=torch.long)
    found = [
        model.prefill(Pieces(ids, first, start, SLOTS, TABLES), cache),
        model.prefill(Pieces(ids[:, :7], second, first, SLOTS, TABLES), cache),
    ]
    positions = first + second
    for step in range(9):
        found.append(model.decode(ids[:, step], SLOTS, positions + step, TABLES, cache))
    return found


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("width", [16, 32, 64, 128])
def test_fused_layers_compute_what_the_others_do(dtype: torch.dtype, width: int) -> None:
    sizes = {"ssm_state_size": width, "n_groups": 2, "mamba_head_dim": 17}
    plain = read_and_speak(make(fused=False, dtype=dtype, **sizes), dtype)
    fused = read_and_speak(make(fused=True, dtype=dtype, **sizes), dtype)
    for one, other in zip(plain, fused, strict=True):
        assert torch.allclose(one, other, atol=CLOSE[dtype], rtol=0)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("rows", [1, 2, 16, 33])
def test_a_packed_layer_multiplies_what_the_plain_one_does(dtype: torch.dtype, rows: int) -> None:
    torch.manual_seed(2)
    plain = torch.nn.Linear(96, 131, bias=False, dtype=dtype)
    x = torch.randn(rows, 96).to(dtype)
    assert cpu.load()
    with torch.no_grad():
        assert torch.allclose(PackedLinear(plain.weight)(x), plain(x), atol=CLOSE[dtype], rtol=0)
        several = PackedLinear(plain.weight)(x[None].expand(2, rows, 96))
        assert torch.allclose(several, plain(x).expand(2, rows, 131), atol=CLOSE[dtype], rtol=0)


def test_large_layers_are_packed_and_small_ones_are_not() -> None:
    assert cpu.load()
    model = torch.nn.ModuleDict(
        {
            "large": torch.nn.Linear(512, 512, bias=False),
            "small": torch.nn.Linear(512, 256, bias=False),
            "coarse": torch.nn.Linear(64, 64, bias=False, dtype=torch.bfloat16),
            "biased": torch.nn.Linear(512, 512),
        }
    )
    assert pack_linears(model) == 1 + torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert isinstance(model["large"], PackedLinear)
    assert isinstance(model["small"], torch.nn.Linear)
    assert isinstance(model["biased"], torch.nn.Linear)


def test_a_packed_weight_goes_with_its_layer() -> None:
    assert cpu.load()
    layer = PackedLinear(torch.randn(8, 8))
    number = layer._number
    del layer
    gc.collect()
    with pytest.raises(RuntimeError, match="no such weight"):
        torch.ops.lictor.linear(torch.randn(1, 8), number, 8)


def test_a_tied_head_is_packed_and_its_table_stays() -> None:
    model = make(fused=False, tie_word_embeddings=True, vocab_size=4096, hidden_size=64)
    ids = torch.arange(6)[None]
    wanted = model(ids)
    assert model.fuse()
    assert isinstance(model.lm_head, PackedLinear)
    assert torch.allclose(model(ids), wanted, atol=1e-4, rtol=0)


def test_a_state_of_another_width_is_left_to_torch() -> None:
    model = make(fused=True, ssm_state_size=24)
    assert not model.backbone.layers[0].mixer.fused
    plain = read_and_speak(make(fused=False, ssm_state_size=24), torch.float32)
    for one, other in zip(plain, read_and_speak(model, torch.float32), strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=0)


def test_the_company_a_row_has_changes_no_bit_of_its_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # torch's own softplus rounds by a value's place in the tensor.
    monkeypatch.setattr(Mamba2, "_step_size", lambda _layer, dt: dt.abs())
    states = []
    for rows in (1, ROWS):
        model = make(fused=True)
        layer = model.backbone.layers[0].mixer
        state = layer.new_state(4, torch.float32, torch.device("cpu"))
        torch.manual_seed(2)
        x = torch.randn(ROWS, 5, model.config.conv_channels)[:rows]
        dt = torch.randn(ROWS, 5, model.config.mamba_num_heads)[:rows]
        lengths, fresh = torch.full((rows,), 5), torch.ones(rows, dtype=torch.bool)
        y = layer._fused(x, dt, state, SLOTS[:rows], lengths, fresh)
        states.append((y[0], state.ssm[3], state.conv[3]))
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


def test_slot_0_is_silent_and_stays_so() -> None:
    model = make(fused=True)
    cache = make_cache(model)
    zero = torch.zeros(2, dtype=torch.long)
    args = (torch.tensor([5, 5]), zero, zero, torch.zeros(2, 2, dtype=torch.long))
    said = [model.decode(*args, cache) for _ in range(3)]
    assert all(torch.equal(one, other) for one, other in pairwise(said))
    assert torch.equal(said[0][0], said[0][1])
    assert not cache.layers[0].ssm[0].any()  # type: ignore[union-attr]


def test_a_number_that_is_none_comes_through() -> None:
    model = make(fused=True)
    cache = make_cache(model)
    cache.layers[0].ssm[3].fill_(float("nan"))  # type: ignore[union-attr]
    positions = torch.tensor([4, 4, 4])
    logits = model.decode(positions, SLOTS, positions, TABLES, cache)
    assert logits[0].isnan().all()
    assert logits[1:].isfinite().all()


def test_without_a_compiler_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu, "_loaded", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert not cpu.load()
    assert "no C++ compiler is here" in caplog.text


def test_a_compiler_that_fails_is_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "cxx"
    broken.write_text("#!/bin/sh\necho no such flag >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(cpu, "_loaded", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(subprocess.CalledProcessError):
        cpu._built()
    assert not cpu.load()
    assert "no such flag" in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
def test_a_compiled_step_calls_the_kernels_and_leaves_the_same_states() -> None:
    model = make(fused=True)
    runner = Runner(model, CacheSize(3, 16), context_tokens=64, dtype=torch.float32)
    compiled = CompiledDecode(runner)
    states = [one for one in runner.cache.layers if isinstance(one, MambaState)]
    positions = torch.tensor([20, 3, 0])
    said, left = [], []
    with torch.inference_mode():
        # Compares both graphs with the step uncompiled.
        compiled.warm_up()
        for decode in (runner._decode_eagerly, compiled):
            for state in states:
                state.conv.zero_()
                state.ssm.zero_()
            said.append(decode(SLOTS, SLOTS, positions, TABLES))
            left.append(states[0].ssm.clone())
    assert torch.allclose(*said, atol=1e-4, rtol=0)
    assert torch.allclose(*left, atol=1e-5, rtol=0)
    assert all(slot.any() for slot in left[1][1:])
