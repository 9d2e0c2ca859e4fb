"""The GPU benchmark's arithmetic, and its rehearsal on whatever device is here."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bench import gpu
from bench.gpu_model import NoSuchModel, _part, build
from bench.gpu_report import ratios
from bench.gpu_shapes import CONFIGS, SCENARIOS, Scenario, mean_over
from registry.artifact.gpus import GPUS
from registry.artifact.memory_plan import plan
from registry.artifact.model_shape import shape_of


def point(kind: str, speed: float) -> dict[str, Any]:
    speeds = {"decode_tokens_per_second": speed, "whole_tokens_per_second": speed / 2}
    return {"scenario": "s", "kind": kind, "batch": 1, **speeds}


def test_the_shapes_have_the_published_numbers_of_parameters() -> None:
    counts = {name: shape_of(config).parameters for name, config in CONFIGS.items()}
    assert counts["hybrid 9B-v2"] == 8_888_227_328
    assert counts["transformer Qwen3-8B"] == 8_190_735_360


def test_both_shapes_are_built_whole() -> None:
    for config in CONFIGS.values():
        model = build(config, device="meta", dtype="bf16")
        made = sum(one.numel() for one in model.parameters())
        assert made == shape_of(config).parameters
        assert {_part(layer) for layer in model.backbone.layers} <= {"mamba", "attention", "mlp"}


def test_a_shape_the_engine_has_no_class_for_is_named() -> None:
    with pytest.raises(NoSuchModel, match="GPT2LMHeadModel"):
        build({"architectures": ["GPT2LMHeadModel"]}, device="meta", dtype="bf16")


def test_an_a10g_holds_the_hybrid_and_one_sequence_of_128k() -> None:
    found = plan(CONFIGS["hybrid 9B-v2"], GPUS["a10g"], context=SCENARIOS[2].context)
    assert found.max_batch_at_context == 1


def test_sampled_contexts_span_the_decode() -> None:
    assert Scenario("s", 100, 101).sample_contexts() == [100, 125, 150, 175, 200]


def test_a_mean_weighs_each_value_by_the_span_it_stands_for() -> None:
    assert mean_over([0, 10, 40], [1.0, 1.0, 3.0]) == (10 * 1.0 + 30 * 2.0) / 40


def test_a_ratio_needs_both_models() -> None:
    assert ratios([point("nemotron_h", 6.0)]) == []
    assert ratios([point("nemotron_h", 6.0), point("qwen3", 2.0)])[0]["decode"] == 3.0


def test_a_cards_bandwidth_is_taken_from_its_own_row() -> None:
    found = [gpu._sheet_bandwidth(n) for n in ("NVIDIA H200", "NVIDIA A10G", "Some Card")]
    assert found == [GPUS["h200"].bandwidth, GPUS["a10g"].bandwidth, None]
    assert gpu._sheet_bandwidth("NVIDIA A100-SXM4-80GB") == GPUS["a100-80gb"].bandwidth


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_gpu_nothing_is_claimed(tmp_path: Path) -> None:
    assert gpu.main(["--results", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


def test_the_rehearsal_runs_every_step_and_leaves_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--device", "cpu", "--tiny", "--memory-gib", "0.802", "--steps", "1"]
    assert gpu.main([*arguments, "--results", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "NOT a result of any GPU" in told
    assert "| tiny hybrid | 480, one sequence | 1 " in told
    assert "| tiny transformer | 480, one sequence | 1 " in told
    assert "times the transformer at batch" in told
    assert not list(tmp_path.iterdir())
