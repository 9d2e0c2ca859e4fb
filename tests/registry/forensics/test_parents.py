"""A merge, with the other parent at hand."""

from pathlib import Path

import numpy as np
import pytest

from bench.compare_changes import Bench, ablate, gradient_finetune, relative
from bench.compare_models import Maker, Weights, save
from registry.artifact.forensics.scan import compare_weights


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Maker(21, hidden=96, layers=8, vocab=128), 21)


@pytest.fixture(scope="module")
def base(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("base"), bench.base)


def mixed(bench: Bench, other: Weights, share: float) -> Weights:
    return bench.map(lambda name, values: values + share * (other[name] - values))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_linear_merge_is_one_when_its_other_parent_is_at_hand(
    share: float, bench: Bench, base: Path, tmp_path: Path
) -> None:
    other = gradient_finetune(bench.again(1), 0.05).weights
    merged = save(tmp_path / "merged", mixed(bench, other, share))
    parent = save(tmp_path / "other", other)

    alone = compare_weights(base, merged).verdict
    found = compare_weights(base, merged, other_parents=[parent])

    assert alone.classification == "dense_finetune"
    assert found.verdict.classification == "merge", found.verdict.explains
    assert found.features.parents.weights == [pytest.approx(share, abs=0.02)]


def test_a_spherical_merge_with_a_stranger_is_one_too(
    bench: Bench, base: Path, tmp_path: Path
) -> None:
    stranger = Maker(77, hidden=96, layers=8, vocab=128).weights()
    angle = np.float32(np.sin(np.pi / 4) / np.sin(np.pi / 2))
    merged = save(tmp_path / "m", bench.map(lambda name, values: angle * (values + stranger[name])))

    found = compare_weights(base, merged, other_parents=[save(tmp_path / "s", stranger)])

    assert found.verdict.classification == "merge", found.verdict.explains


def test_a_fine_tune_is_no_merge_with_a_parent_that_it_does_not_come_from(
    bench: Bench, base: Path, tmp_path: Path
) -> None:
    other = save(tmp_path / "o", gradient_finetune(bench.again(1), 0.05).weights)
    tuned = bench.again(2).map(lambda _, values: relative(values, bench.noise(values), 0.05))

    found = compare_weights(base, save(tmp_path / "t", tuned), other_parents=[other])

    assert found.verdict.classification == "dense_finetune"


def test_a_merge_with_an_ablated_parent_is_an_ablation(
    bench: Bench, base: Path, tmp_path: Path
) -> None:
    other = ablate(bench.again(3), 1.0).weights
    merged = save(tmp_path / "m", mixed(bench, other, 0.6))

    found = compare_weights(base, merged, other_parents=[save(tmp_path / "o", other)])

    assert found.verdict.classification == "directional_ablation"
