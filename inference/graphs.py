"""Record decode steps once for each shape, and play them again: CUDA graphs.

A recorded step has fixed sizes and reads fixed memory. So a batch is padded to the smallest shape
that holds it; the padding is slot 0 and block 0, which belong to nobody. Owns the shapes, the
memory of a step's inputs, and the recordings; knows nothing about who is in a batch.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from inference.layers.mamba2 import MambaState
from inference.models.nemotron_h import Cache

_SMALL_ROWS: Final = (1, 2, 4)
_ROWS_STEP: Final = 8
# 256 tokens: below, reading what is masked costs less than another recording.
_LEAST_COLUMNS: Final = 16
# Kernels are compiled and libraries take their workspace before anything is recorded.
_WARM_UPS: Final = 3
log = logging.getLogger(__name__)

Decode = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Recorder(Protocol):
    """What turns a step into something that can be played again."""

    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Run `step` to warm up, record it, and return what plays it on the same memory.

        What playing returns may be overwritten by the next play of any recording.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shapes:
    """The numbers of rows and of table columns that steps are recorded for, each ascending."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @classmethod
    def up_to(cls, rows: int, columns: int) -> "Shapes":
        """Choose shapes for any batch of so many rows and columns at most.

        Law: every batch fits one, which has less than twice its rows, and less than twice its
        columns or the fewest.
        """
        many = range(_ROWS_STEP, rows, _ROWS_STEP)
        rows_chosen = (*(n for n in (*_SMALL_ROWS, *many) if n < rows), rows)
        wide, columns_chosen = _LEAST_COLUMNS, []
        while wide < columns:
            columns_chosen.append(wide)
            wide *= 2
        return cls(rows_chosen, (*columns_chosen, columns))

    def fit(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the smallest shape that holds a batch. Raises: ValueError if none does."""
        for wanted, offered in ((rows, self.rows), (columns, self.columns)):
            if wanted > offered[-1]:
                raise ValueError(f"a batch of {wanted} is beyond the largest shape, {offered[-1]}")
        return (
            next(n for n in self.rows if n >= rows),
            next(n for n in self.columns if n >= columns),
        )

    def largest_first(self) -> list[tuple[int, int]]:
        """List all shapes so that smaller recordings find room in what larger ones have freed."""
        return [(r, c) for r in reversed(self.rows) for c in reversed(self.columns)]


class Inputs:
    """A step's inputs in one piece of memory: one copy brings them all to the device."""

    def __init__(self, rows: int, columns: int, device: torch.device) -> None:
        sizes = [rows, rows, rows, rows * columns]
        self._held = torch.zeros(sum(sizes), dtype=torch.long, device=device)
        self._staged = torch.zeros(sum(sizes), dtype=torch.long)
        self.tensors = _as_inputs(self._held, sizes, columns)
        self._places = _as_inputs(self._staged, sizes, columns)

    def fill(self, *given: Tensor) -> None:
        """Take ids, slots, positions (n,) and tables (n, m) from the CPU; the rest is padding."""
        self._staged.zero_()
        for place, tensor in zip(self._places, given, strict=True):
            place[tuple(slice(size) for size in tensor.shape)] = tensor
        self._held.copy_(self._staged)


def _as_inputs(flat: Tensor, sizes: list[int], columns: int) -> tuple[Tensor, ...]:
    ids, slots, positions, tables = torch.split(flat, sizes)
    return ids, slots, positions, tables.view(-1, columns)


@dataclass(frozen=True)
class _Recording:
    inputs: Inputs
    play: Callable[[], Tensor]

    def __call__(self, *given: Tensor) -> Tensor:
        self.inputs.fill(*given)
        # Copied: the recording's own output is overwritten by the next play.
        return self.play()[: len(given[0])].clone()


class GraphedDecode:
    """Decode by playing recordings; what has none is computed as before.

    `decode` takes tensors on `device`; this takes them on the CPU and answers on the device.
    """

    def __init__(
        self, decode: Decode, cache: Cache, shapes: Shapes, device: torch.device, *, precise: bool
    ) -> None:
        self._decode = decode
        self._cache = cache
        self._shapes = shapes
        self._device = device
        self._precise = precise
        self._recordings: dict[tuple[int, int], _Recording] = {}

    def __call__(self, ids: Tensor, slots: Tensor, positions: Tensor, tables: Tensor) -> Tensor:
        shape = self._shapes.fit(*tables.shape)
        recording = self._recordings.get(shape)
        if recording is None:
            return self._eagerly(ids, slots, positions, tables)
        return recording(ids, slots, positions, tables)

    def record(self, recorder: Recorder) -> int:
        """Record every shape, and hold each to the step it was made of; return how many work.

        Those that fail are computed as before, and the log says why. To be called before anything
        is in the cache: steps are tried there.
        """
        shapes = self._shapes.largest_first()
        failures = []
        for shape in shapes:
            try:
                self._recordings[shape] = self._recorded(recorder, *shape)
            except (RuntimeError, ValueError, TypeError, AssertionError) as error:
                failures.append(f"{shape[0]} rows, {shape[1]} blocks: {_first_line(error)}")
        if failures:
            log.warning(
                "%d of %d step shapes run without a CUDA graph; %s",
                len(failures),
                len(shapes),
                failures[0],
            )
        return len(self._recordings)

    def _recorded(self, recorder: Recorder, rows: int, columns: int) -> _Recording:
        inputs = Inputs(rows, columns, self._device)
        play = recorder.record(lambda: self._decode(*inputs.tensors))
        recording = _Recording(inputs, play)
        given = self._trial(rows, columns)
        got, wanted = (self._from_silence(one, given) for one in (recording, self._eagerly))
        if not close(got, wanted, precise=self._precise):
            raise ValueError("the recorded step does not compute what the model does")
        return recording

    def _trial(self, rows: int, columns: int) -> tuple[Tensor, ...]:
        """Make a batch with a row less than would fit, where there can be one, and so padding."""
        count = max(1, min(rows - 1, self._cache.slots, self._cache.blocks))
        own = torch.arange(1, count + 1)
        tables = torch.zeros(count, max(1, columns - 1), dtype=torch.long)
        tables[:, 0] = own
        return own % 2, own, torch.zeros_like(own), tables

    def _from_silence(self, decode: Decode, given: tuple[Tensor, ...]) -> Tensor:
        for state in self._cache.layers:
            if isinstance(state, MambaState):
                state.conv.zero_()
                state.ssm.zero_()
        return decode(given[0], given[1], given[2], given[3])

    def _eagerly(self, *given: Tensor) -> Tensor:
        ids, slots, positions, tables = (one.to(self._device) for one in given)
        return self._decode(ids, slots, positions, tables)


class CudaRecorder:
    """Record into CUDA graphs that share one pool of memory; they are never played at once."""

    def __init__(self) -> None:
        self._pool: Any = torch.cuda.graph_pool_handle()

    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                step()
        here.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            out = step()

        def play() -> Tensor:
            graph.replay()
            return out

        return play


def close(one: Tensor, other: Tensor, *, precise: bool) -> bool:
    """Compare two orders of the same sums, in float32 or in bfloat16."""
    atol, rtol = (1e-3, 1e-3) if precise else (0.25, 0.1)
    return torch.allclose(one, other, atol=atol, rtol=rtol)


def _first_line(error: Exception) -> str:
    said = [line for line in str(error).splitlines() if line.strip()]
    return said[0] if said else repr(error)
