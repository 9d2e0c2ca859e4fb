"""Measure one model in one scenario on one device, within a cap of memory and of time."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Final

import torch

from bench.gpu_model import PREFILL_TOKENS, Seats, parts_timed, seconds_of
from bench.gpu_shapes import Scenario, mean_over
from bench.machine import say
from inference.graphs import Recorder
from registry.artifact.gpus import GPUS, Gpu
from registry.artifact.memory_plan import MemoryPlan, plan

_MORE_TRIES: Final = 4
_COPY_BYTES: Final = 2**30
_A10G: Final = GPUS["a10g"]


class OutOfTime(TimeoutError):  # noqa: N818  the name says what happened
    """The time of the whole benchmark is used up."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how to measure: `gpu.usable_bytes` is the cap, not what the card has."""

    device: torch.device
    gpu: Gpu
    dtype: str
    deadline: float
    steps: int = 5
    # One for each context length, so that what it holds is free before the next.
    new_recorder: Callable[[], Recorder] | None = None

    def check(self) -> None:
        """Raises: OutOfTime."""
        if time.monotonic() > self.deadline:
            raise OutOfTime("the time of this benchmark is used up")


def measured_bandwidth(device: torch.device) -> float:
    """Return bytes per second of a large copy, read and written: what memory really gives."""
    size = _COPY_BYTES if device.type == "cuda" else _COPY_BYTES // 16
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = [seconds_of(lambda: target.copy_(source), device) for _ in range(5)]
    return 2 * size / min(times)


def measure(bench: Bench, model: Any, config: dict[str, Any], scenario: Scenario) -> dict[str, Any]:
    """Find the largest batch that runs, then time its decode and one prompt.

    Raises: OutOfTime; MemoryError if not even one sequence fits.
    """
    planned = _plan(bench, config, scenario, 1)
    seats, tried = _largest(bench, model, scenario, planned.max_batch_at_context)
    contexts = scenario.sample_contexts()
    steps, graphed = _decode_seconds(bench, seats, contexts)
    ideal = [
        _plan(bench, config, scenario, seats.batch, at=context).decode_seconds_per_step
        for context in contexts
    ]
    mean_step, mean_ideal = mean_over(contexts, steps), mean_over(contexts, ideal)
    prefill = _prefill_seconds(bench, seats, scenario.tokens_in)
    decode_seconds = mean_step * scenario.tokens_out
    whole = decode_seconds + prefill * seats.batch
    middle = contexts[len(contexts) // 2]
    return {
        "scenario": scenario.name,
        "tokens_in": scenario.tokens_in,
        "tokens_out": scenario.tokens_out,
        "batch": seats.batch,
        "batch_planned": planned.max_batch_at_context,
        "batches_tried": tried,
        "contexts": contexts,
        "step_ms": [1e3 * one for one in steps],
        "graphed": graphed,
        "decode_tokens_per_second": seats.batch / mean_step,
        "prefill_seconds_each": prefill,
        "whole_tokens_per_second": seats.batch * scenario.tokens_out / whole,
        "roofline_share": mean_ideal / mean_step,
        "parts_ms_at": middle,
        "parts_ms": _parts(seats, middle),
        "peak_bytes": _peak_bytes(bench.device),
        "a10g_derived": _a10g(config, scenario, seats.batch, middle, bench.dtype),
    }


def _plan(
    bench: Bench, config: dict[str, Any], scenario: Scenario, batch: int, at: int | None = None
) -> MemoryPlan:
    context = scenario.context if at is None else at
    return plan(config, bench.gpu, context=context, batch=batch, dtype=bench.dtype)


def _largest(
    bench: Bench, model: Any, scenario: Scenario, planned: int
) -> tuple[Seats, dict[int, bool]]:
    """Allocate and run a full step and a piece: fewer than planned if that fails, else more."""
    batch, tried = scenario.batch or max(1, planned), dict[int, bool]()
    best: int | None = None
    while batch >= 1 and batch not in tried:
        bench.check()
        tried[batch] = _runs(bench, model, scenario, batch)
        if tried[batch]:
            best = batch
        if scenario.batch is not None or (len(tried) > _MORE_TRIES and best is not None):
            break
        batch += 1 if tried[batch] else -1
    if best is None:
        raise MemoryError(f"not even {min(tried)} sequence of {scenario.context} tokens ran")
    return Seats(model, best, scenario.context, bench.dtype), tried


def _runs(bench: Bench, model: Any, scenario: Scenario, batch: int) -> bool:
    try:
        seats = Seats(model, batch, scenario.context, bench.dtype)
        seats.decode_step(scenario.context - 1)
        length = min(PREFILL_TOKENS, scenario.tokens_in)
        seconds_of(
            lambda: seats.prefill_piece(start=scenario.tokens_in - length, length=length),
            bench.device,
        )
    except torch.OutOfMemoryError:
        return False
    finally:
        seats = None  # type: ignore[assignment]
        free_memory(bench.device)
    return True


def _decode_seconds(
    bench: Bench, seats: Seats, contexts: list[int]
) -> tuple[list[float], list[bool]]:
    """Time a step at each context length, by a CUDA graph where one can be recorded."""
    seconds, graphed = [], []
    for context in contexts:
        bench.check()
        recorded = _recorded(bench, seats, context)
        graphed.append(recorded is not None)
        eager = partial(seats.decode_step, context)
        seconds.append(_step_seconds(bench, recorded or eager))
        recorded = None
        free_memory(bench.device)
    return seconds, graphed


def _recorded(bench: Bench, seats: Seats, context: int) -> Callable[[], Any] | None:
    if bench.new_recorder is None:
        return None
    try:
        return seats.recorded_step(context, bench.new_recorder())
    except RuntimeError as error:
        say(f"  at {context} tokens without a CUDA graph: {str(error).splitlines()[0]}")
        return None


def _step_seconds(bench: Bench, step: Callable[[], Any]) -> float:
    """Median of some steps, after one that warms up."""
    step()
    return median(seconds_of(step, bench.device) for _ in range(bench.steps))


def _prefill_seconds(bench: Bench, seats: Seats, tokens: int) -> float:
    """Read one whole prompt of the first sequence, piece by piece."""
    total = 0.0
    for start in range(0, tokens, PREFILL_TOKENS):
        bench.check()
        length = min(PREFILL_TOKENS, tokens - start)
        total += seconds_of(
            lambda start=start, length=length: seats.prefill_piece(start=start, length=length),
            bench.device,
        )
    return total


def _parts(seats: Seats, context: int) -> dict[str, float]:
    """Split one step by kind of layer; `rest` is what no layer accounts for."""
    seats.decode_step(context)
    whole = 0.0
    with parts_timed(seats.model) as parts:
        whole = 1e3 * seconds_of(lambda: seats.decode_step(context), seats.device)
    return {**parts, "rest": max(0.0, whole - sum(parts.values()))}


def _a10g(
    config: dict[str, Any], scenario: Scenario, batch: int, at: int, dtype: str
) -> dict[str, Any]:
    """Derive the bound of an A10G from bytes alone; nothing of it was measured."""
    bound = plan(config, _A10G, context=at, batch=batch, dtype=dtype)
    fits = plan(config, _A10G, context=scenario.context, batch=batch, dtype=dtype).fits
    return {
        "label": "derived: memory-bandwidth bound at 600 GB/s, not measured",
        "context": at,
        "batch": batch,
        "fits": fits,
        "tokens_per_second_at_most": batch / bound.decode_seconds_per_step,
    }


def free_memory(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _peak_bytes(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
