"""Recorded decode steps: shapes, padding and bookkeeping, on whatever device is here.

A recorder that plays by computing again stands where CUDA graphs do; like theirs, its output is
one piece of memory that every play overwrites, and its inputs are read where they lie.
"""

import logging
import time
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.gpu_measure import Bench, _decode_seconds
from bench.gpu_model import Seats, build
from bench.gpu_shapes import TINY_CONFIGS
from inference.cache import CacheSize, device_budget_bytes
from inference.graphs import CudaRecorder, GraphedDecode, Inputs, Shapes
from inference.loader import find_device
from inference.models.nemotron_h import NemotronH
from inference.runner import Runner, compile_beside
from tests.inference import test_schedules
from tests.inference.test_schedules import ARRIVALS, Desk, alone, desk, sequence_of

model = test_schedules.model


class Again:
    """Plays by computing again, into the memory that was there at the recording."""

    def __init__(self) -> None:
        self.outputs: dict[int, Tensor] = {}
        self.plays = 0

    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        # One pool: the largest is recorded first, and all outputs lie at its beginning.
        example = step()
        pool = self.outputs.setdefault(0, torch.empty_like(example).flatten())

        def play() -> Tensor:
            self.plays += 1
            out = step()
            pool.fill_(torch.nan)
            pool[: out.numel()] = out.flatten()
            return pool[: out.numel()].view(out.shape)

        return play


class Refusing(Again):
    """Fails where a device would: for steps of more than so many rows, and for no others."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        if len(step()) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory\nand a long explanation")
        return super().record(step)


class Straying(Again):
    """Plays something else than was recorded."""

    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        play = super().record(step)
        return lambda: play() + 1.0


def runner_of(model: NemotronH, *, slots: int = 6, context: int = 2048) -> Runner:
    size = CacheSize(slots, slots * context // 16)
    return Runner(model, size, context_tokens=context, dtype=torch.float32)


@given(rows=st.integers(1, 200), columns=st.integers(2, 10_000), part=st.floats(0, 1))
def test_every_batch_fits_a_shape_that_is_not_twice_as_large(
    rows: int, columns: int, part: float
) -> None:
    shapes = Shapes.up_to(rows, columns)
    wanted = max(1, round(part * rows)), max(1, round(part * columns))
    offered = shapes.fit(*wanted)
    assert wanted <= offered
    assert offered[0] < 2 * wanted[0]
    assert offered[1] < 2 * wanted[1] or offered[1] <= 16
    assert (shapes.rows[-1], shapes.columns[-1]) == (rows, columns)
    assert list(shapes.rows) == sorted(set(shapes.rows))
    assert list(shapes.columns) == sorted(set(shapes.columns))


def test_the_shapes_are_those_that_decode_batches_come_in() -> None:
    shapes = Shapes.up_to(32, 512)
    assert shapes.rows == (1, 2, 4, 8, 16, 24, 32)
    assert shapes.columns == (16, 32, 64, 128, 256, 512)
    assert shapes.largest_first()[:2] == [(32, 512), (32, 256)]
    assert shapes.largest_first()[-1] == (1, 16)


def test_a_batch_beyond_the_largest_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 5 is beyond the largest shape, 4"):
        Shapes.up_to(4, 16).fit(5, 3)


def test_inputs_keep_nothing_of_the_batch_before() -> None:
    inputs = Inputs(3, 4, torch.device("cpu"))
    where = [one.data_ptr() for one in inputs.tensors]
    full = torch.full((3,), 9)
    inputs.fill(full, full, full, torch.full((3, 4), 9))
    inputs.fill(torch.tensor([5]), torch.tensor([2]), torch.tensor([7]), torch.tensor([[3, 8]]))

    ids, slots, positions, tables = inputs.tensors
    assert [one.tolist() for one in (ids, slots, positions)] == [[5, 0, 0], [2, 0, 0], [7, 0, 0]]
    assert tables.tolist() == [[3, 8, 0, 0], [0] * 4, [0] * 4]
    assert [one.data_ptr() for one in inputs.tensors] == where
    assert all(one.is_contiguous() for one in inputs.tensors)


def graphed_desk(model: NemotronH, slots: int, blocks: int, prefill: int) -> tuple[Desk, Again]:
    work, recorder = desk(model, slots=slots, blocks=blocks, prefill=prefill), Again()
    assert work.runner.record(recorder) > 0
    recorder.plays = 0
    # Recording tried some steps; what they left must never matter either.
    for state in work.runner.cache.layers:
        for tensor in vars(state).values() if state is not None else ():
            tensor.fill_(50.0)
    return work, recorder


@torch.inference_mode()
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    arrivals=ARRIVALS,
    slots=st.integers(1, 7),
    blocks=st.integers(12, 20),
    prefill=st.sampled_from([1, 5, 512]),
)
def test_recorded_steps_say_what_the_model_says_alone_whoever_joins_and_leaves(
    model: NemotronH, arrivals, slots: int, blocks: int, prefill: int
) -> None:
    work, recorder = graphed_desk(model, slots, blocks, prefill)
    kept, steps_run = [], 0
    for number, (prompt, count, steps, leaves) in enumerate(arrivals):
        sequence = sequence_of(number, prompt, count)
        work.scheduler.add(sequence)
        for _ in range(steps):
            work.step()
        if leaves and sequence.finish_reason is None:
            work.scheduler.end(str(number))
        else:
            kept.append(sequence)
    while work.scheduler.num_running + work.scheduler.num_waiting:
        work.step()
        steps_run += 1

    assert [one.output_ids for one in kept] == [alone(model, one) for one in kept]
    if any(len(one.output_ids) > 1 for one in kept):
        assert recorder.plays > 0


@torch.inference_mode()
def test_each_shape_gives_the_same_numbers_as_the_step_it_was_made_of(model: NemotronH) -> None:
    plain, graphed = (runner_of(model) for _ in range(2))
    recorder = Again()
    shapes = len(Shapes.up_to(6, 128).largest_first())
    assert graphed.record(recorder) == shapes == 16
    for runner in (plain, graphed):
        for state in runner.cache.layers:
            for tensor in vars(state).values() if state is not None else ():
                tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(2)))
    for rows, columns in [(1, 2), (3, 17), (6, 128), (5, 16), (2, 33)]:
        order = torch.randperm(6, generator=torch.Generator().manual_seed(rows))[:rows] + 1
        tables = (order[:, None] - 1) * 128 + torch.arange(1, columns + 1)
        positions = torch.arange(rows) * 3 % (16 * columns)
        batch = (order % 64, order, positions, tables)
        kept = graphed._decode(*batch)
        assert torch.allclose(kept, plain._decode(*batch), atol=1e-5)
        again = graphed._decode(*batch)
        assert not torch.equal(kept, again), "a later play has overwritten what was handed out"
        assert torch.allclose(again, plain._decode(*batch), atol=1e-5)
    for one, other in zip(plain.cache.layers, graphed.cache.layers, strict=True):
        for name, tensor in vars(one).items() if one is not None else ():
            mine = getattr(other, name)
            # The first slot and the first block are the padding's.
            first = 16 if name in "kv" else 1
            assert torch.allclose(tensor[first:], mine[first:], atol=1e-4)


def test_shapes_that_cannot_be_recorded_are_computed_and_the_log_says_so(
    model: NemotronH, caplog: pytest.LogCaptureFixture
) -> None:
    runner = runner_of(model, context=256)
    recorder = Refusing(rows=2)
    assert runner.record(recorder) == 2
    assert "2 of 4 step shapes run without a CUDA graph; 6 rows, 16 blocks" in caplog.text
    assert "CUDA out of memory" in caplog.text
    assert "long explanation" not in caplog.text
    recorder.plays = 0
    for rows, played in ((2, 1), (3, 1), (1, 2)):
        one = torch.arange(1, rows + 1)
        logits = runner._decode(one, one, one * 0, one[:, None].repeat(1, 2))
        assert logits.shape == (rows, 64)
        assert recorder.plays == played


def test_where_nothing_can_be_recorded_the_runner_stays_as_it_was(
    model: NemotronH, caplog: pytest.LogCaptureFixture
) -> None:
    runner = runner_of(model, context=256)
    assert runner.record(Refusing(rows=0)) == 0
    assert not isinstance(runner._decode, GraphedDecode)
    assert "4 of 4 step shapes run without" in caplog.text


def test_a_recording_that_computes_something_else_is_not_used(
    model: NemotronH, caplog: pytest.LogCaptureFixture
) -> None:
    assert runner_of(model, context=256).record(Straying()) == 0
    assert "does not compute what the model does" in caplog.text


def seats_of_benchmark() -> Seats:
    return Seats(build(TINY_CONFIGS["tiny hybrid"], device="cpu", dtype="fp32"), 3, 400, "fp32")


def test_the_benchmark_plays_the_step_that_it_would_compute() -> None:
    played, computed = seats_of_benchmark(), seats_of_benchmark()
    step = played.recorded_step(300, Again())
    for _ in range(3):
        logits, expected = step(), computed.decode_step(300)
        assert logits.shape == (3, 256)
        assert torch.allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize(("rows", "expected"), [(3, [True, True]), (2, [False, False])])
def test_the_benchmark_tells_which_steps_were_recorded(rows: int, expected: list[bool]) -> None:
    deadline = time.monotonic() + 60
    bench = Bench(torch.device("cpu"), None, "fp32", deadline, 1, lambda: Refusing(rows))
    seconds, graphed = _decode_seconds(bench, seats_of_benchmark(), [20, 300])
    assert all(one > 0 for one in seconds)
    assert graphed == expected


def test_a_cache_takes_a_share_of_what_the_weights_leave() -> None:
    gib = 2**30
    sizes = {"total": 24 * gib, "free": 6 * gib, "reserved": 17 * gib}
    assert device_budget_bytes(**sizes) == int(6 * gib * 0.8)
    assert device_budget_bytes(**sizes, fraction=0.75) == int(1 * gib * 0.8)
    assert device_budget_bytes(**sizes, fraction=0.5) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_gpu_auto_means_the_cpu_and_cuda_is_refused() -> None:
    assert find_device("auto", memory_fraction=0.5).type == find_device("cpu").type == "cpu"
    with pytest.raises(RuntimeError, match=r"--device cuda: .*use --device cpu"):
        find_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@torch.inference_mode()
def test_cuda_graphs_give_the_numbers_of_the_steps_they_were_made_of(
    model: NemotronH, caplog: pytest.LogCaptureFixture
) -> None:
    device = find_device("cuda")
    try:
        model.to(device)
        runner = runner_of(model)
        with caplog.at_level(logging.WARNING):
            compile_beside(runner, threads=None)
        assert isinstance(runner._decode, GraphedDecode)
        assert not caplog.records
        assert runner.record(CudaRecorder()) == 16
    finally:
        model.cpu()
