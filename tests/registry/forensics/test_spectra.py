"""The numbers of one matrix against what plain linear algebra says."""

from pathlib import Path

import numpy as np
import pytest

from bench.compare_models import save, to_bf16
from registry.artifact.forensics.consistency import best_direction
from registry.artifact.forensics.dtypes import Scale, rounded, scale_for, widen
from registry.artifact.forensics.grids import find_grid
from registry.artifact.forensics.record import Record
from registry.artifact.forensics.scan import compare_weights

NAME = "model.layers.0.mlp.down_proj.weight"
ROWS, COLUMNS = 96, 320


def record_of(tmp_path: Path, base: np.ndarray, derived: np.ndarray, dtype: str = "F32") -> Record:
    norm = {"model.norm.weight": np.ones(len(base), dtype=np.float32)}
    left = save(tmp_path / "base", {NAME: base, **norm}, dtype=dtype)
    right = save(tmp_path / "derived", {NAME: derived, **norm}, dtype=dtype)
    return next(one for one in compare_weights(left, right).records if one.name in NAME)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("rank", [1, 3, 9])
def test_the_spectrum_is_that_of_the_difference(tmp_path: Path, rank: int) -> None:
    base = normal(0, ROWS, COLUMNS)
    change = normal(1, ROWS, rank) @ normal(2, rank, COLUMNS) / 10

    record = record_of(tmp_path, base, base + change)

    exact = np.linalg.svd(change, compute_uv=False) / np.linalg.norm(base)
    assert record.rank == rank
    assert record.share == pytest.approx(1.0, abs=1e-4)
    assert record.singular[: min(8, rank)] == pytest.approx(exact[: min(8, rank)], rel=1e-3)
    assert record.energy == pytest.approx(
        float(np.square(change).sum() / np.square(base).sum()), rel=1e-3
    )


def test_the_effective_rank_is_the_participation_of_the_squared_singular_values(
    tmp_path: Path,
) -> None:
    base, change = normal(0, ROWS, COLUMNS), normal(1, ROWS, COLUMNS) / 10

    record = record_of(tmp_path, base, base + change)

    powers = np.linalg.svd(change, compute_uv=False) ** 2
    exact = powers.sum() ** 2 / np.square(powers).sum()
    assert record.effective_rank == pytest.approx(exact, rel=0.15)
    assert record.rank == 0


def test_a_multiple_of_the_base_is_no_structure(tmp_path: Path) -> None:
    base = normal(0, ROWS, COLUMNS)

    record = record_of(tmp_path, base, np.float32(0.97) * base)

    assert record.status == "scaled"
    assert record.alpha == pytest.approx(-0.03, rel=1e-3)


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_a_projection_is_consistent_and_its_direction_and_strength_are_found(
    tmp_path: Path, strength: float
) -> None:
    base, r = normal(0, ROWS, COLUMNS), normal(1, ROWS)
    r /= np.linalg.norm(r)

    record = record_of(tmp_path, base, base - strength * np.outer(r, r @ base))

    assert record.consistency > 0.99
    assert record.strength == pytest.approx(strength, rel=0.02)
    assert record.direction is not None
    assert abs(float(record.direction @ r)) > 0.99


def test_a_direction_written_anew_is_not_consistent(tmp_path: Path) -> None:
    base = normal(0, ROWS, COLUMNS)

    record = record_of(tmp_path, base, base + np.outer(normal(1, ROWS), normal(2, COLUMNS)) / 5)

    assert record.rank == 1
    assert record.consistency < 0.2


def test_chance_is_taken_off_the_consistency() -> None:
    found = [
        best_direction(np.eye(64)[:, :16], normal(seed, 16, 256), normal(seed + 99, 16, 256))[0]
        for seed in range(20)
    ]

    assert max(found) < 0.35
    assert float(np.mean(found)) < 0.25


@pytest.mark.parametrize(("bits", "group"), [(8, 320), (4, 64), (4, 32)])
def test_a_grid_is_found_and_its_error_is_that_of_rounding(bits: int, group: int) -> None:
    base = to_bf16(normal(0, 16, COLUMNS))
    rows = base.reshape(-1, group)
    step = np.abs(rows).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    derived = to_bf16((np.rint(rows / step) * step).reshape(base.shape))

    found = find_grid(base, derived)

    assert found.levels > 0
    assert 0.7 < found.excess < 1.3


def test_no_grid_is_found_where_there_is_none() -> None:
    base = to_bf16(normal(0, 16, COLUMNS))

    assert find_grid(base, to_bf16(base + normal(1, 16, COLUMNS) / 100)).levels == 0


def test_bfloat16_and_float16_are_widened_exactly_and_rounded_to_the_nearest() -> None:
    values = np.concatenate([normal(0, 1000), np.float32([0.0, -0.0, 1e-30, 3e38])])
    halves = values[:1000].astype(np.float16)
    out = np.empty(1000, dtype=np.float32)

    widen(halves.view(np.uint8), "F16", out)
    near = rounded(values, "BF16")

    assert np.array_equal(out, halves.astype(np.float32))
    assert near is not None
    assert np.all(np.abs(near - values) <= np.abs(values) / 256)
    assert np.array_equal(rounded(near, "BF16"), near)


def test_eight_bit_floats_have_the_values_of_their_standard() -> None:
    out = np.empty(6, dtype=np.float32)

    widen(np.array([0x00, 0x38, 0x7E, 0x01, 0xB8, 0x7F], dtype=np.uint8), "F8_E4M3", out)
    assert out[:5].tolist() == [0.0, 1.0, 448.0, 2.0**-9, -1.0]
    assert np.isnan(out[5])
    widen(np.array([0x3C, 0x7B, 0x01, 0xBC, 0x00, 0x7C], dtype=np.uint8), "F8_E5M2", out)
    assert out.tolist() == [1.0, 57344.0, 2.0**-16, -1.0, 0.0, np.inf]


@pytest.mark.parametrize("shape", [(1,), (4,), (4, 1), (2, 3)])
def test_a_scale_is_for_all_for_rows_or_for_blocks(shape: tuple[int, ...]) -> None:
    values = np.arange(1, 1 + int(np.prod(shape)), dtype=np.float32).reshape(shape)
    scale = scale_for(values, (4, 6))

    assert isinstance(scale, Scale)
    block = np.ones((3, 6), dtype=np.float32)
    scale.apply(block, 1)

    full = {
        (1,): np.ones((4, 6)),
        (4,): np.repeat(np.arange(1, 5)[:, None], 6, 1),
        (4, 1): np.repeat(np.arange(1, 5)[:, None], 6, 1),
        (2, 3): np.kron(np.arange(1, 7).reshape(2, 3), np.ones((2, 2))),
    }[shape]
    assert np.array_equal(block, full[1:4])


def test_a_scale_that_does_not_fit_is_refused() -> None:
    assert scale_for(np.ones((3, 5), dtype=np.float32), (4, 6)) is None
