"""All that the GPU benchmark knows of the engine's models; adapt here when their face changes.

Four things: a model with random weights on a device, its memory for some sequences, one piece of
a prompt, one decode step; and which part of a model each of its layers is.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from inference.cache import BLOCK_TOKENS, blocks_for
from inference.graphs import Inputs, Recorder, Shapes
from inference.loader import ARCHITECTURES, DTYPES
from inference.models.nemotron_h import NemotronH, Pieces
from inference.scheduler import PREFILL_TOKENS

__all__ = ["PREFILL_TOKENS", "NoSuchModel", "Seats", "build", "parts_timed", "seconds_of"]

PARTS = {"Mamba2": "mamba", "Attention": "attention", "MLP": "mlp", "GatedMLP": "mlp"}
_FP32_ALWAYS = ("A_log", "dt_bias", ".D")


class NoSuchModel(NotImplementedError):  # noqa: N818  the name says what happened
    """The engine has no class for this architecture yet."""


def build(config: dict[str, Any], *, device: str, dtype: str) -> nn.Module:
    """Make a model of this shape with random weights, directly on the device.

    Raises: NoSuchModel.
    """
    name = config["architectures"][0]
    if name not in ARCHITECTURES:
        raise NoSuchModel(f"the engine cannot compute {name}")
    with torch.device("meta"):
        model = NemotronH(ARCHITECTURES[name].read_config(config))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(requires_grad=False)
        keep = name.endswith(_FP32_ALWAYS)
        parameter.data = parameter.data.to(torch.float32 if keep else DTYPES[dtype])
    model.to_empty(device=device)
    if device == "meta":
        return model.eval()
    generator = torch.Generator(device=device).manual_seed(0)
    for name, parameter in model.named_parameters():
        _fill(name, parameter.data, generator)
    return model.eval()


def _fill(name: str, values: Tensor, generator: torch.Generator) -> None:
    """Random, but such that nothing overflows over any number of layers or steps."""
    if name.endswith(("norm.weight", "norm_f.weight", ".D")):
        values.fill_(1.0)
    elif name.endswith("dt_bias"):
        values.fill_(-4.0)
    elif name.endswith("A_log"):
        values.uniform_(0.0, 2.7, generator=generator)
    else:
        values.normal_(0.0, 0.02, generator=generator)


@dataclass
class Seats:
    """A model and memory for `batch` sequences of up to `context` tokens, all of it allocated."""

    model: Any
    batch: int
    context: int
    dtype: str
    cache: Any = field(init=False)
    _slots: Tensor = field(init=False)
    _tables: Tensor = field(init=False)

    def __post_init__(self) -> None:
        each = blocks_for(self.context)
        self.cache = self.model.make_cache(
            slots=self.batch,
            blocks=self.batch * each,
            block_tokens=BLOCK_TOKENS,
            dtype=DTYPES[self.dtype],
        )
        device = self.device
        self._slots = torch.arange(1, self.batch + 1, device=device)
        numbers = torch.arange(1, self.batch * each + 1, device=device)
        self._tables = numbers.reshape(self.batch, each)

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    def prefill_piece(self, *, start: int, length: int) -> Tensor:
        """Read one piece of the first sequence's prompt; logits (1, vocab)."""
        device = self.device
        pieces = Pieces(
            ids=torch.ones(1, length, dtype=torch.long, device=device),
            lengths=torch.tensor([length], device=device),
            starts=torch.tensor([start], device=device),
            slots=self._slots[:1],
            tables=self._tables[:1, : blocks_for(start + length)],
        )
        return self.model.prefill(pieces, self.cache)

    def decode_step(self, context: int) -> Tensor:
        """Advance every sequence by the token at position `context`; logits (batch, vocab).

        What keys and values hold below it does not matter to the time: they need not be computed.
        """
        ids = torch.ones(self.batch, dtype=torch.long, device=self.device)
        positions = torch.full_like(ids, context)
        tables = self._tables[:, : blocks_for(context + 1)]
        return self.model.decode(ids, self._slots, positions, tables, self.cache)

    def recorded_step(self, context: int, recorder: Recorder) -> Callable[[], Tensor]:
        """Record the same step in the shape that the engine would run it in; return its play.

        A play brings its inputs to the device first, as the engine's does.
        """
        held = blocks_for(context + 1)
        shapes = Shapes.up_to(self.batch, blocks_for(self.context))
        inputs = Inputs(*shapes.fit(self.batch, held), self.device)
        ids = torch.ones(self.batch, dtype=torch.long)
        given = (ids, self._slots.cpu(), ids * context, self._tables[:, :held].cpu())
        play = recorder.record(lambda: self.model.decode(*inputs.tensors, self.cache))

        def step() -> Tensor:
            inputs.fill(*given)
            return play()

        return step


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time one piece of work to its end on the device."""
    synchronise(device)
    began = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - began


@contextmanager
def parts_timed(model: Any) -> Iterator[dict[str, float]]:
    """Time each layer of a decode step by kind; milliseconds appear when the block ends.

    On CUDA by events within the stream, without waiting for each layer.
    """
    spans: list[tuple[str, Callable[[], float]]] = []
    found: dict[str, float] = {}
    wrapped = [(layer, "decode", _part(layer)) for layer in model.backbone.layers]
    wrapped.append((model, "_logits", "head"))
    for owner, name, part in wrapped:
        setattr(owner, name, _timed(getattr(owner, name), part, spans))
    try:
        yield found
        synchronise(next(model.parameters()).device)
        for part, milliseconds in spans:
            found[part] = found.get(part, 0.0) + milliseconds()
    finally:
        for owner, name, _ in wrapped:
            delattr(owner, name)


def _part(layer: Any) -> str:
    return PARTS[type(layer.mixer).__name__]


def _timed(
    work: Callable[..., Tensor], part: str, spans: list[tuple[str, Callable[[], float]]]
) -> Callable[..., Tensor]:
    def run(x: Tensor, *rest: Any) -> Tensor:
        if x.device.type == "cuda":
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            out = work(x, *rest)
            last.record()
            spans.append((part, lambda: first.elapsed_time(last)))
            return out
        began = time.perf_counter()
        out = work(x, *rest)
        spent = 1e3 * (time.perf_counter() - began)
        spans.append((part, lambda: spent))
        return out

    return run
