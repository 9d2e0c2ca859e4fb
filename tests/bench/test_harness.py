"""Processes, checkpoints and the two commands, as far as they can be run in seconds."""

import json
import os
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from bench.cpu import parser
from bench.engines import Setting, vllm_env
from bench.models import HYBRID_CONFIG, ROOT, weight_shapes, wide_tokenizer
from bench.processes import QUIET_SHARE, EngineFailed, Tree
from registry.artifact.model_shape import shape_of

SPIN = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"


def tree(code: str, tmp_path: Path) -> Tree:
    return Tree([sys.executable, "-c", code], env={}, cwd=tmp_path, log=tmp_path / "log")


def test_a_paused_tree_is_quiet_though_its_child_spins(tmp_path: Path) -> None:
    one = tree(SPIN, tmp_path)
    try:
        assert one.settle(at_most=0.0)[1] > QUIET_SHARE
        one.pause()
        assert one.settle(at_most=0.0)[1] < QUIET_SHARE
    finally:
        one.stop()


def test_stopping_a_paused_tree_ends_its_children_too(tmp_path: Path) -> None:
    one = tree(SPIN, tmp_path)
    one.settle(at_most=0.0)
    children = [pid for pid in one.pids() if pid != one.child.pid]
    one.pause()
    one.stop()
    assert children
    assert not one.pids()


def test_an_engine_that_ended_shows_the_end_of_its_log(tmp_path: Path) -> None:
    one = tree("raise SystemExit('no such model')", tmp_path)
    one.child.wait()
    with pytest.raises(EngineFailed, match="no such model"):
        one.check()


def test_the_hybrid_has_the_parameters_that_its_config_promises() -> None:
    sizes = dict(weight_shapes(HYBRID_CONFIG))
    total = 0
    for shape in sizes.values():
        count = 1
        for size in shape:
            count *= size
        total += count
    assert total == shape_of(HYBRID_CONFIG).parameters


def test_the_hybrids_tokenizer_reads_bytes_and_writes_every_id() -> None:
    tokenizer = Tokenizer.from_str(json.dumps(wide_tokenizer()))
    assert tokenizer.encode("<think>eft").ids == [262, 101, 102, 116]
    texts = {tokenizer.decode([token_id]) for token_id in range(264, 4096)}
    assert len(texts) == 4096 - 264
    assert "" not in texts


def test_quick_is_smaller_and_asks_the_same_of_all_engines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BENCH_QUICK", "1")
    quick = parser().parse_args([])
    monkeypatch.setenv("BENCH_QUICK", "0")
    whole = parser().parse_args([])
    assert quick.quick
    assert set(quick.batches) < set(whole.batches)
    assert quick.engines == whole.engines == ["ours", "vllm", "transformers"]


def test_vllm_is_given_every_core_unless_told_otherwise() -> None:
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    setting = Setting(threads=len(os.sched_getaffinity(0)))
    assert vllm_env(setting)["VLLM_CPU_OMP_THREADS_BIND"] == cores
    assert "VLLM_CPU_OMP_THREADS_BIND" not in vllm_env(Setting(threads=1, vllm_bind="auto"))
    assert Path(vllm_env(setting)["VLLM_CACHE_ROOT"]).is_relative_to(ROOT / "var")
