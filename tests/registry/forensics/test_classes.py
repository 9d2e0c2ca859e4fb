"""Whole checkpoints, changed in a known way: is each called what it is?"""

from pathlib import Path

import pytest

from bench.compare_cases import CASES, Case
from bench.compare_changes import Bench
from bench.compare_models import Maker, save
from registry.artifact.forensics.scan import Comparison, compare_weights

DEMO = Path(__file__).parents[3] / "demo" / "checkpoints"
SHAPES = {"hybrid": ("hybrid", 192, 8, 384), "transformer": ("transformer", 192, 4, 384)}
# Where more than the class of a change hangs on the luck of one seed, the calibration counts
# (bench/compare.py); here only what must hold for every seed.
UNSURE = {"0.25"}
CERTAIN = [case for case in CASES if case.strength not in UNSURE]


@pytest.fixture(scope="module", params=[("hybrid", 11), ("transformer", 12)], ids=lambda p: p[0])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bench, Path]:
    shape, seed = request.param
    family, hidden, layers, vocab = SHAPES[shape]
    bench = Bench(Maker(seed, family=family, hidden=hidden, layers=layers, vocab=vocab), seed)
    return bench, save(tmp_path_factory.mktemp("base"), bench.base)


def compared(case: Case, built: tuple[Bench, Path], folder: Path) -> Comparison:
    bench, base = built
    made = case.make(bench.again(CASES.index(case)))
    return compare_weights(base, save(folder, made.weights, dtype=made.dtype, dtypes=made.dtypes))


@pytest.mark.parametrize("case", CERTAIN, ids=lambda case: f"{case.kind}: {case.strength}")
def test_a_change_is_called_what_it_is(
    case: Case, built: tuple[Bench, Path], tmp_path: Path
) -> None:
    found = compared(case, built, tmp_path)

    assert found.verdict.classification in case.accepted, found.verdict.explains
    assert 0.0 <= found.verdict.confidence <= 1.0


def case_of(kind: str, strength: str) -> Case:
    return next(case for case in CASES if (case.kind, case.strength) == (kind, strength))


@pytest.mark.parametrize("rank", [1, 4, 16, 64])
def test_the_rank_of_a_merged_adapter_is_told(
    rank: int, built: tuple[Bench, Path], tmp_path: Path
) -> None:
    verdict = compared(case_of("adapter", f"r{rank}, 0.1"), built, tmp_path).verdict

    assert verdict.rank == rank


def test_the_layers_that_an_ablation_touched_are_named(
    built: tuple[Bench, Path], tmp_path: Path
) -> None:
    bench, _ = built
    found = compared(case_of("ablation, third of layers", "1"), built, tmp_path)

    third = max(2, bench.layers // 3)
    touched = {
        int(name.split(".")[1]) for name in found.features.touched_writers if "layers" in name
    }
    assert touched == set(range(third, 2 * third))


@pytest.mark.parametrize(
    ("name", "wanted", "rank"),
    [
        ("nano-base", "identical", None),
        ("nano-finetune", "dense_finetune", None),
        ("nano-lora", "adapter_merge", 8),
        # Its refusals were trained away. The weights show a fine-tune and no more; that the model
        # no longer refuses is for the measured behaviour to say.
        ("nano-unguarded", "dense_finetune", None),
    ],
)
def test_the_demonstration_checkpoints_are_called_what_they_are(
    name: str, wanted: str, rank: int | None
) -> None:
    verdict = compare_weights(DEMO / "nano-base", DEMO / name).verdict

    assert (verdict.classification, verdict.rank) == (wanted, rank), verdict.explains
