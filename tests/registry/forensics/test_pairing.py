"""The same weights under other names, in other shards, fused or tied, are the same weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.compare_changes import Bench, ablate
from bench.compare_models import Maker, Weights, save
from registry.artifact.forensics.names import read_name
from registry.artifact.forensics.scan import Comparison, compare_weights
from registry.errors import BadInput


def maker(family: str = "transformer") -> Maker:
    return Maker(3, family=family, hidden=128, layers=4, vocab=256)


def renamed(weights: Weights) -> Weights:
    return {
        name.replace("backbone.", "model.").replace("embeddings", "embed_tokens"): values
        for name, values in weights.items()
    }


def fused(weights: Weights) -> Weights:
    """Fuse q, k, v and gate, up, as some inference engines save them."""
    made = dict(weights)
    for name in weights:
        for first, parts, whole in (
            ("q_proj", ("q_proj", "k_proj", "v_proj"), "qkv_proj"),
            ("gate_proj", ("gate_proj", "up_proj"), "gate_up_proj"),
        ):
            if first in name:
                pieces = [made.pop(name.replace(first, part)) for part in parts]
                made[name.replace(first, whole)] = np.concatenate(pieces)
    return made


def tied(weights: Weights) -> Weights:
    return {name: w for name, w in weights.items() if name != "lm_head.weight"}


def compare(tmp_path: Path, base: Weights, derived: Weights, *, shards: int = 1) -> Comparison:
    left = save(tmp_path / "base", base)
    return compare_weights(left, save(tmp_path / "derived", derived, shards=shards))


@pytest.mark.parametrize("family", ["hybrid", "transformer"])
@pytest.mark.parametrize("change", [renamed, fused, dict], ids=["renamed", "fused", "as it is"])
def test_names_fusions_and_shards_do_not_matter(
    family: str, change: Callable[[Weights], Weights], tmp_path: Path
) -> None:
    weights = maker(family).weights()

    found = compare(tmp_path, weights, change(weights), shards=3)

    assert found.verdict.classification == "identical"
    assert (found.pairing.missing, found.pairing.extra) == ([], [])


def test_the_order_of_the_sides_does_not_matter_to_fusions(tmp_path: Path) -> None:
    weights = maker().weights()

    assert compare(tmp_path, fused(weights), weights).verdict.classification == "identical"


def test_an_ablation_is_found_through_other_names_fusions_and_shards(tmp_path: Path) -> None:
    bench = Bench(maker(), 3)
    made = renamed(fused(ablate(bench, 1.0).weights))

    found = compare(tmp_path, bench.base, made, shards=4)

    assert found.verdict.classification == "directional_ablation"


def test_a_tied_head_is_compared_with_the_embeddings(tmp_path: Path) -> None:
    weights = maker().weights()
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]

    found = compare(tmp_path, weights, tied(weights))

    assert found.verdict.classification == "identical"
    assert "ties its head" in found.pairing.notes[0]


def experts(seed: int) -> Weights:
    rng = np.random.default_rng(seed)
    return {
        f"backbone.layers.0.mixer.experts.{index}.down_proj.weight": rng.standard_normal(
            (64, 96), dtype=np.float32
        )
        for index in range(4)
    }


def test_fused_experts_are_taken_apart(tmp_path: Path) -> None:
    apart = experts(0)
    together = {"model.layers.0.mixer.experts.down_proj": np.stack(list(apart.values()))}

    found = compare(tmp_path, apart, together)

    assert found.verdict.classification == "identical"
    assert len(found.records) == 4


def test_two_names_for_one_tensor_are_refused(tmp_path: Path) -> None:
    rows = np.ones((32, 32), dtype=np.float32)
    twice = {"model.layers.0.o_proj.weight": rows, "backbone.layers.0.o_proj.weight": rows}
    save(tmp_path / "base", twice)

    with pytest.raises(BadInput, match="mean the same"):
        compare_weights(tmp_path / "base", tmp_path / "base")


@pytest.mark.parametrize(
    ("raw", "canonical", "kind"),
    [
        ("backbone.layers.7.mixer.out_proj.weight", "layers.7.mixer.out_proj.weight", "out_proj"),
        ("model.layers.7.self_attn.o_proj.weight", "layers.7.self_attn.o_proj.weight", "o_proj"),
        ("model.language_model.embed_tokens.weight", "embeddings.weight", "embeddings"),
        ("backbone.embeddings.weight", "embeddings.weight", "embeddings"),
        ("model.norm.weight", "norm.weight", "norm"),
        ("model.layers.1.mixer.experts.3.down_proj.weight",
         "layers.1.mixer.experts.3.down_proj.weight", "experts.down_proj"),
        ("model.layers.1.mixer.shared_experts.down_proj.weight",
         "layers.1.mixer.shared_experts.down_proj.weight", "shared.down_proj"),
    ],
)  # fmt: skip
def test_a_name_is_read_in_every_spelling(raw: str, canonical: str, kind: str) -> None:
    found = read_name(raw)

    assert (found.canonical, found.kind) == (canonical, kind)


@pytest.mark.parametrize(
    ("raw", "shape", "side"),
    [
        ("backbone.layers.0.mixer.out_proj.weight", (64, 128), "writes"),
        ("backbone.layers.0.mixer.o_proj.weight", (64, 64), "writes"),
        ("backbone.layers.0.mixer.down_proj.weight", (64, 256), "writes"),
        ("backbone.layers.0.mixer.fc2_latent_proj.weight", (64, 32), "writes"),
        ("backbone.layers.0.mixer.experts.1.down_proj.weight", (32, 256), ""),
        ("backbone.embeddings.weight", (1000, 64), "writes"),
        ("backbone.layers.0.mixer.in_proj.weight", (300, 64), "reads"),
        ("lm_head.weight", (1000, 64), "reads"),
        ("backbone.layers.0.norm.weight", (64,), ""),
    ],
)
def test_the_side_of_the_stream_is_told(raw: str, shape: tuple[int, ...], side: str) -> None:
    assert read_name(raw).side(shape, 64) == side
