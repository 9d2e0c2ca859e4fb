"""`make bench-gpu`: the exact 9B-v2 and Qwen3-8B shapes through our engine, on an A10G's memory.

Random weights; memory capped at what an A10G leaves a process (22.06 GiB), whatever the card has.
A decode of many thousand tokens is not run to its end: steps are timed at five context lengths
spread over it and averaged between them. With --tiny it rehearses on any device.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.gpu_measure import Bench, OutOfTime, free_memory, measure, measured_bandwidth
from bench.gpu_model import NoSuchModel, build
from bench.gpu_report import markdown, ratios
from bench.gpu_shapes import A10G_USABLE_GIB, CONFIGS, SCENARIOS, TINY_CONFIGS, TINY_SCENARIOS
from bench.machine import describe_machine, describe_run, result_path, say
from bench.models import ROOT
from inference.graphs import CudaRecorder
from registry.artifact.gpus import GIB, GPUS, Gpu


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    add = made.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--tiny", action="store_true", help="tiny shapes: a rehearsal, no result of a GPU")
    add("--dtype", choices=("bf16", "fp32"), default="bf16")
    add("--memory-gib", type=float, default=A10G_USABLE_GIB, help="cap, as an A10G's")
    add("--seconds", type=float, default=480.0, help="begin nothing new after so long")
    add("--no-graphs", action="store_true", help="decode without CUDA graphs")
    add("--no-kernels", action="store_true", help="Mamba layers in torch, without mamba-ssm")
    add("--steps", type=int, default=5, help="timed decode steps at each context length")
    add("--results", type=Path, default=ROOT / "bench" / "results")
    return made


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        say("bench-gpu: no CUDA device is here; nothing was measured and nothing is claimed")
        return 2
    if options.device == "cpu" and not options.tiny:
        say("bench-gpu: on a CPU only the rehearsal runs; add --tiny")
        return 2
    began = time.monotonic()
    bench = _bench(options, began)
    result: dict[str, Any] = {
        "schema": 1,
        "kind": "gpu" if options.device == "cuda" and not options.tiny else "rehearsal",
        "run": describe_run("bench.gpu", arguments),
        "machine": describe_machine() | _card(bench),
        "memory_cap_bytes": bench.gpu.usable_bytes,
        "bandwidth": bench.gpu.bandwidth,
        "dtype": options.dtype,
        "steps": options.steps,
        "points": [],
        "skipped": [],
    }
    _run_all(bench, result, tiny=options.tiny, kernels=not options.no_kernels)
    result |= {"ratios": ratios(result["points"]), "seconds": time.monotonic() - began}
    text = markdown(result)
    print(text)
    if result["kind"] == "gpu" and result["points"]:
        path = result_path(options.results, result["machine"], "gpu")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1), encoding="utf-8")
        path.with_suffix(".md").write_text(text, encoding="utf-8")
        say(f"written: {path}")
    return 0 if result["points"] else 1


def _bench(options: argparse.Namespace, began: float) -> Bench:
    """Cap the process's memory and find the bandwidth that the roofline is drawn with."""
    device = torch.device(options.device)
    cap = int(options.memory_gib * GIB)
    name = "cpu"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap / total))
        cap = min(cap, total)
    bandwidth = _sheet_bandwidth(name) or int(measured_bandwidth(device))
    free_memory(device)
    gpu = Gpu(name, cap, cap, bandwidth)
    recorder = CudaRecorder if device.type == "cuda" and not options.no_graphs else None
    return Bench(device, gpu, options.dtype, began + options.seconds, options.steps, recorder)


def _sheet_bandwidth(name: str) -> int | None:
    """Return a known card's data sheet value; None for others, whose copy speed stands in."""
    wanted = name.lower().replace(" ", "-").removeprefix("nvidia-")
    for known in sorted(GPUS, key=len, reverse=True):
        card, _, memory = known.partition("-")
        if card in wanted.split("-") and memory in wanted:
            return GPUS[known].bandwidth
    return None


def _card(bench: Bench) -> dict[str, Any]:
    if bench.device.type != "cuda":
        return {}
    properties = torch.cuda.get_device_properties(bench.device)
    return {
        "gpu": bench.gpu.name,
        "gpu_memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
        "copy_bytes_per_second": measured_bandwidth(bench.device),
    }


def _run_all(bench: Bench, result: dict[str, Any], *, tiny: bool, kernels: bool) -> None:
    configs, scenarios = (TINY_CONFIGS, TINY_SCENARIOS) if tiny else (CONFIGS, SCENARIOS)
    for name, config in configs.items():
        say(f"{name}: building with random weights")
        try:
            model = build(config, device=bench.device.type, dtype=bench.dtype)
        except (NoSuchModel, torch.OutOfMemoryError) as error:
            _skip(result, f"{name}: {error}")
            continue
        # The CPU's own kernels are another benchmark's business.
        fused = kernels and bench.device.type == "cuda" and model.fuse()
        for scenario in scenarios:
            try:
                with torch.inference_mode():
                    point = measure(bench, model, config, scenario)
            except (OutOfTime, MemoryError, torch.OutOfMemoryError) as error:
                _skip(result, f"{name}, {scenario.name}: {error}")
                continue
            finally:
                free_memory(bench.device)
            about = {"model": name, "kind": config["model_type"], "mamba_ssm": fused}
            result["points"].append({**about, **point})
            say(
                f"  {scenario.name}: batch {point['batch']}: "
                f"{point['decode_tokens_per_second']:.0f} tok/s decode"
            )
        del model
        free_memory(bench.device)


def _skip(result: dict[str, Any], reason: str) -> None:
    result["skipped"].append(reason)
    say(f"  SKIPPED: {reason}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
