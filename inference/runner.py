"""Run the model on sequences: numbers in, logits out. Owns the cache's tensors.

Knows which tensor a sequence's tokens and blocks go into; knows nothing about who runs next, about
choosing tokens or about callers.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor

from inference.cache import CacheSize, blocks_for
from inference.graphs import CudaRecorder, Decode, GraphedDecode, Recorder, Shapes, close
from inference.layers.mamba2 import MambaState
from inference.models.nemotron_h import NemotronH, Pieces
from inference.scheduler import Piece
from inference.sequence import Sequence

# A graph that has seen two columns serves any number of them; one column would get its own.
_MIN_COLUMNS: Final = 2
log = logging.getLogger(__name__)


class Runner:
    """One model and its cache."""

    def __init__(
        self, model: NemotronH, size: CacheSize, *, context_tokens: int, dtype: torch.dtype
    ) -> None:
        self.model = model
        self.device = model.device
        self.cache = model.make_cache(
            slots=size.slots, blocks=size.blocks, block_tokens=size.block_tokens, dtype=dtype
        )
        columns = max(_MIN_COLUMNS, blocks_for(context_tokens, size.block_tokens))
        self._tables = np.zeros((size.slots + 1, columns), dtype=np.int64)
        self._tabled: dict[int, tuple[list[int], int]] = {}
        self._decode: Decode = self._decode_eagerly

    def decode(self, sequences: tuple[Sequence, ...]) -> Tensor:
        """Advance each by its newest token; return float32 logits (rows, vocab) on the CPU.

        Raises: ArithmeticError for logits that are not finite.
        """
        slots = [one.slot for one in sequences]
        logits = self._decode(
            torch.tensor([one.output_ids[-1] for one in sequences]),
            torch.tensor(slots),
            torch.tensor([one.num_tokens - 1 for one in sequences]),
            self._table(sequences),
        )
        return _finite(logits.cpu())

    def prefill(self, pieces: tuple[Piece, ...]) -> Tensor:
        """Read pieces; return float32 logits (rows, vocab) after each one's last token.

        Raises: ArithmeticError for logits that are not finite.
        """
        width = max(piece.end - piece.start for piece in pieces)
        ids = np.zeros((len(pieces), width), dtype=np.int64)
        for row, piece in zip(ids, pieces, strict=True):
            row[: piece.end - piece.start] = piece.sequence.token_ids(piece.start, piece.end)
        batch = Pieces(
            ids=self._here(torch.from_numpy(ids)),
            lengths=self._here(torch.tensor([piece.end - piece.start for piece in pieces])),
            starts=self._here(torch.tensor([piece.start for piece in pieces])),
            slots=self._here(torch.tensor([piece.sequence.slot for piece in pieces])),
            tables=self._here(self._table(tuple(piece.sequence for piece in pieces))),
        )
        return _finite(self.model.prefill(batch, self.cache).cpu())

    def use(self, decode: Decode) -> None:
        """Decode with this from now on: ids, slots, positions, tables -> logits."""
        self._decode = decode

    def record(self, recorder: Recorder) -> int:
        """Decode by recordings from now on; return how many shapes were recorded.

        To be called before anything runs. Shapes that fail, or all, are computed as before.
        """
        slots, columns = self._tables.shape
        graphed = GraphedDecode(
            self._decode_eagerly,
            self.cache,
            Shapes.up_to(slots - 1, columns),
            self.device,
            precise=self.model.dtype == torch.float32,
        )
        recorded = graphed.record(recorder)
        if recorded:
            self.use(graphed)
        return recorded

    def _decode_eagerly(
        self, ids: Tensor, slots: Tensor, positions: Tensor, tables: Tensor
    ) -> Tensor:
        here = (self._here(ids), self._here(slots), self._here(positions), self._here(tables))
        return self.model.decode(*here, self.cache)

    def _here(self, tensor: Tensor) -> Tensor:
        return tensor if self.device.type == "cpu" else tensor.to(self.device, non_blocking=True)

    def _table(self, sequences: tuple[Sequence, ...]) -> Tensor:
        """Return (rows, columns) block numbers, as many columns as the longest needs."""
        columns = _MIN_COLUMNS
        for one in sequences:
            count = len(one.blocks)
            columns = max(columns, count)
            known, written = self._tabled.get(one.slot, (None, 0))
            if known is not one.blocks or written != count:
                self._tables[one.slot, :count] = one.blocks
                self._tabled[one.slot] = (one.blocks, count)
        return torch.from_numpy(self._tables[[one.slot for one in sequences], :columns])


@dataclass(frozen=True)
class _Graph:
    """A compiled function and its inputs: those that stay, and where the others go.

    `tensors` are the places of ids, slots, positions and tables; `rows` and `columns` those of
    the numbers that say how large they are.
    """

    run: Callable[..., Any]
    inputs: list[Any]
    tensors: tuple[int | None, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def __call__(self, *given: Tensor) -> Tensor:
        inputs = self.inputs.copy()
        for at, tensor in zip(self.tensors, given, strict=True):
            if at is not None:
                inputs[at] = tensor
        for at in self.rows:
            inputs[at] = given[3].shape[0]
        for at in self.columns:
            inputs[at] = given[3].shape[1]
        logits: Tensor = self.run(*inputs)[0]
        return logits


class CompiledDecode:
    """Compile a runner's decode step on the CPU; one graph for a single row, one for more.

    Not one for each batch size: a graph over any number of rows and columns is as fast here, and
    compiling takes seconds of a core for each. Graphs are called directly, past the checks by
    which torch.compile chooses among graphs on every call: which one fits is known, the weights
    and the cache stay where they are, and the checks cost as much as a small model's step.
    """

    def __init__(self, runner: Runner) -> None:
        self._cache = cache = runner.cache
        self._fixed = {cache.slots, cache.blocks, cache.block_tokens}
        # Neither equals the other nor a size of the cache, so no size is taken for another.
        self._rows, self._columns = [n for n in (3, 5, 7, 11, 13) if n not in self._fixed][:2]
        self._model = runner.model
        self._graphs: dict[bool, _Graph] = {}
        self._called: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        for state in runner.cache.layers:
            for tensor in vars(state).values() if state is not None else ():
                torch._dynamo.mark_static(tensor)
        # What was compiled before in this process (for another model) counts towards a limit, past
        # which nothing is compiled any more. It stays valid for whoever holds it.
        torch.compiler.reset()
        self._trace = torch.compile(
            type(runner.model).decode, dynamic=True, fullgraph=True, backend=self._backend
        )

    def __call__(self, ids: Tensor, slots: Tensor, positions: Tensor, tables: Tensor) -> Tensor:
        return self._graphs[len(ids) == 1](ids, slots, positions, tables)

    def warm_up(self) -> None:
        """Compile both graphs, on slot 0 and block 0, which belong to nobody. Takes a minute.

        Raises: RuntimeError if a graph does not take what it should.
        """
        for rows in (1, self._rows):
            # Three tensors, not one thrice: the graph would insist that they be the same.
            ids, slots, positions = (torch.zeros(rows, dtype=torch.long) for _ in range(3))
            tables = torch.zeros(rows, self._columns, dtype=torch.long)
            given = (ids, slots, positions, tables)
            self._trace(self._model, *given, self._cache)
            self._graphs[rows == 1] = graph = self._graph_of(given)
            # Other values than it was traced with, so that none can have been taken for fixed.
            other = (torch.full_like(ids, 7), slots, torch.full_like(positions, 9), tables)
            got, wanted = (self._from_silence(one, other) for one in (graph, self._eagerly))
            precise = self._model.dtype == torch.float32
            if not close(got, wanted, precise=precise):
                raise RuntimeError("the compiled step does not compute what the model does")

    def _from_silence(self, decode: Decode, given: tuple[Tensor, ...]) -> Tensor:
        for state in self._cache.layers:
            if isinstance(state, MambaState):
                state.conv[0].zero_()
                state.ssm[0].zero_()
        return decode(*given)

    def _eagerly(self, ids: Tensor, slots: Tensor, positions: Tensor, tables: Tensor) -> Tensor:
        return self._model.decode(ids, slots, positions, tables, self._cache)

    def _backend(self, module: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        # Here, not above: the compiler is large, and not every process compiles.
        from torch._inductor.compile_fx import compile_fx

        # One call into C++, without the GIL, instead of one from Python for each kernel.
        options = {"cpp_wrapper": True}
        compiled = cast("Callable[..., Any]", compile_fx(module, inputs, config_patches=options))

        def run(*given: Any) -> Any:
            self._called = (compiled, given)
            return compiled(*given)

        return run

    def _graph_of(self, given: tuple[Tensor, ...]) -> _Graph:
        if self._called is None:
            raise RuntimeError("nothing was compiled")
        (run, inputs), self._called = self._called, None
        places = [[at for at, one in enumerate(inputs) if one is tensor] for tensor in given]
        # A model without recurrent state has no use for slots.
        if any(len(found) > 1 for found in places):
            raise RuntimeError("the compiled step does not take its tensors as they are")
        sizes = [(at, one) for at, one in enumerate(inputs) if isinstance(one, int)]
        rows = tuple(at for at, one in sizes if one == self._rows)
        columns = tuple(at for at, one in sizes if one == self._columns)
        if any(one not in {self._rows, self._columns, *self._fixed} for _, one in sizes):
            raise RuntimeError("the compiled step takes a size that is not known")
        return _Graph(
            run, list(inputs), tuple(found[0] if found else None for found in places), rows, columns
        )


def compile_beside(runner: Runner, *, threads: int | None) -> threading.Thread:
    """Compile in a thread while the runner serves as it is; switch when ready.

    Where it fails (no C++ compiler) the runner goes on uncompiled, and the log says why. On CUDA
    this records graphs instead, and returns when that is done: nothing may run beside it.
    """
    if runner.device.type == "cuda":
        thread = threading.Thread(target=_record_graphs, args=(runner,), name="record", daemon=True)
        thread.start()
        thread.join()
        return thread

    def work() -> None:
        if threads:
            torch.set_num_threads(threads)
        began = time.monotonic()
        compiled = CompiledDecode(runner)
        try:
            with torch.inference_mode():
                compiled.warm_up()
        except Exception as error:  # noqa: BLE001  whatever a compiler may raise
            said = [line for line in str(error).splitlines() if line.strip()][:3]
            log.warning("serving uncompiled: %s", " ".join(said) or repr(error))
            return
        runner.use(compiled)
        log.info("compiled the decode step in %.0f s", time.monotonic() - began)

    thread = threading.Thread(target=work, name="compile", daemon=True)
    thread.start()
    return thread


def _record_graphs(runner: Runner) -> None:
    began = time.monotonic()
    try:
        with torch.inference_mode():
            recorded = runner.record(CudaRecorder())
    except Exception as error:  # noqa: BLE001  whatever a driver may raise
        log.warning("serving without CUDA graphs: %s", error)
        return
    log.info("recorded %d CUDA graphs in %.0f s", recorded, time.monotonic() - began)


def _finite(logits: Tensor) -> Tensor:
    """Stop rather than serve what a NaN would choose; it may also stay in the cache.

    Raises: ArithmeticError.
    """
    # One pass where all is well: a sum of finite logits is finite, or an overflow to look into.
    if not bool(logits.sum().isfinite()) and not bool(torch.isfinite(logits).all()):
        raise ArithmeticError("the model computed logits that are not finite")
    return logits
