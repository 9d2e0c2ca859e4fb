"""Files that lie or hold nonsense cost a clear error, not memory and not a traceback."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.compare_models import Maker, save
from registry.artifact.forensics.scan import compare_weights
from registry.errors import BadInput

MOST_MEMORY = 300 << 20


def write(folder: Path, header: dict[str, Any], data: bytes = b"") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    raw = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return folder


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return save(tmp_path / "good", Maker(0, hidden=64, layers=4, vocab=96).weights())


LIES = {
    "a header longer than the file": b"\xff\xff\xff\x00\x00\x00\x00\x00{}",
    "a header of half the address space": b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    "no header at all": b"abc",
}


@pytest.mark.parametrize("raw", LIES.values(), ids=LIES.keys())
def test_a_header_that_lies_about_its_length_is_refused(
    raw: bytes, good: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.safetensors").write_bytes(raw)

    with pytest.raises(BadInput, match=r"model\.safetensors"):
        compare_weights(good, tmp_path / "bad")


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry([2], 0, 8), "b": entry([2], 4, 12)},
        {"a": entry([2], 0, 8), "b": entry([1], 12, 16)},
        {"a": entry([2**40, 2**40], 0, 8)},
        {"a": entry([2**62, 8], 0, 16)},
        {"a": entry([4], 0, 8)},
        {"a": entry([-2], 0, 8)},
    ],
    ids=["overlap", "hole", "overflow", "wraps to 0", "wrong size", "negative"],
)
def test_tensors_that_do_not_fit_their_bytes_are_refused(
    header: dict[str, Any], good: Path, tmp_path: Path
) -> None:
    bad = write(tmp_path / "bad", header, bytes(16))

    with pytest.raises(BadInput):
        compare_weights(good, bad)


def test_a_million_tensors_are_refused_without_being_kept(good: Path, tmp_path: Path) -> None:
    one = '"t%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    raw = ("{" + ",".join(one % index for index in range(1_000_000)) + "}").encode()
    (tmp_path / "bad").mkdir()
    path = tmp_path / "bad" / "model.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)

    with pytest.raises(BadInput, match="header"):
        compare_weights(good, tmp_path / "bad")


@pytest.mark.parametrize("shape", [[1, 3_000_000], [3_000_000, 1], [3_000_000], [1, 1, 3_000_000]])
def test_an_odd_shape_does_not_ask_for_large_buffers(shape: list[int], tmp_path: Path) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    data = np.ones(3_000_000, dtype=np.float32)
    left = write(tmp_path / "a", {name: entry(shape, 0, data.nbytes)}, data.tobytes())
    data[7] = 2
    right = write(tmp_path / "b", {name: entry(shape, 0, data.nbytes)}, data.tobytes())
    tracemalloc.start()
    try:
        found = compare_weights(left, right)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert [one.status for one in found.records] == ["small"]
    assert peak < 60 << 20


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38], ids=["nan", "inf", "huge"])
@pytest.mark.parametrize("part", ["layers.1.mixer.down_proj.weight", "norm_f.weight"])
def test_values_that_cannot_be_compared_are_named(value: float, part: str, tmp_path: Path) -> None:
    weights = Maker(0, hidden=64, layers=4, vocab=96).weights()
    name = f"backbone.{part}"
    left = save(tmp_path / "a", weights, dtype="F32")
    weights[name] = weights[name].copy()
    weights[name].reshape(-1)[:3] = value
    verdict = compare_weights(left, save(tmp_path / "b", weights, dtype="F32")).verdict

    if value == pytest.approx(3e38) and "norm" in part:
        assert verdict.classification == "dense_finetune"
    else:
        assert verdict.classification == "inconclusive"
        assert part.replace("norm_f", "norm") in verdict.explains


def test_a_folder_without_safetensors_says_what_to_do(good: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "pytorch_model.bin").write_bytes(b"\x80\x02.")

    with pytest.raises(BadInput, match="no safetensors weights"):
        compare_weights(good, tmp_path / "empty")
    with pytest.raises(BadInput, match="not a folder"):
        compare_weights(good, tmp_path / "missing")


def test_packed_weights_are_not_guessed_at(tmp_path: Path) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    for folder, byte in (("a", b"\x01"), ("b", b"\x02")):
        write(tmp_path / folder, {name: entry([64, 64], 0, 4096, "U8")}, byte * 4096)

    verdict = compare_weights(tmp_path / "a", tmp_path / "b").verdict

    assert verdict.classification == "inconclusive"
    assert "packed" in verdict.explains


def test_other_shapes_are_inconclusive(good: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other", Maker(0, hidden=80, layers=4, vocab=96).weights())

    assert compare_weights(good, other).verdict.classification == "inconclusive"


def test_a_permuted_model_is_not_called_unrelated(tmp_path: Path) -> None:
    weights = Maker(0, hidden=64, layers=4, vocab=96).weights()
    order = np.random.default_rng(0).permutation(64)
    turned = {
        name: w[:, order] if w.ndim == 2 and w.shape[1] == 64 else w[order] if len(w) == 64 else w
        for name, w in weights.items()
    }
    left = save(tmp_path / "a", weights)

    verdict = compare_weights(left, save(tmp_path / "b", turned)).verdict

    assert verdict.classification == "inconclusive"
    assert "permuted" in verdict.explains
