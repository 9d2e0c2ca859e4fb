"""Call the kernels of mamba-ssm and causal-conv1d: convolution and recurrence on CUDA.

Owns the order, shapes and types of what these packages' functions take. Knows nothing about
layers. Both are optional; causal-conv1d may be missing alone.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

_UNLIMITED: Final = (0.0, float("inf"))
# What causal-conv1d takes.
_CONV_WIDTHS: Final = range(2, 5)
_CONV_ALIGNMENT: Final = 8
# What the scan's tiles take: powers of two.
_CHUNKS: Final = (16, 32, 64, 128, 256)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recurrence:
    """A layer's own numbers: decay `rate` (< 0), `skip` (D) and bias of dt, each (heads,)
    float32, and the limits of the step size."""

    rate: Tensor
    skip: Tensor
    dt_bias: Tensor
    limit: tuple[float, float]

    def step_size(self, dt: Tensor) -> Tensor:
        """Return how much time passes, float32. dt: (..., heads)."""
        step = functional.softplus(dt.float() + self.dt_bias)
        return step if self.limit == _UNLIMITED else step.clamp(*self.limit)


@dataclass(frozen=True)
class MambaKernels:
    """The packages' functions, under their own names; those of causal-conv1d may be missing."""

    selective_state_update: Callable[..., Tensor]
    mamba_chunk_scan_combined: Callable[..., Any]
    causal_conv1d_update: Callable[..., Tensor] | None = None
    causal_conv1d_fn: Callable[..., Tensor] | None = None

    def advance(
        self,
        u: Tensor,
        dt: Tensor,
        b: Tensor,
        c: Tensor,
        layer: Recurrence,
        ssm: Tensor,
        slots: Tensor,
    ) -> Tensor:
        """Move each row's state by one token where it lies, and return (rows, heads, head_dim).

        u: (rows, heads, head_dim); dt: (rows, heads), before softplus; b, c: (rows, groups,
        state); ssm: (slots, heads, head_dim, state) float32; slots: (rows,).
        """
        heads, size, width = ssm.shape[1:]
        # The kernel knows no limits; and it asks for a bias even where there is none to add.
        limited = layer.limit != _UNLIMITED
        dt = layer.step_size(dt) if limited else dt
        bias = torch.zeros_like(layer.dt_bias) if limited else layer.dt_bias
        # One number a head, seen as a matrix without a copy: the kernel has a short way for that.
        return self.selective_state_update(
            ssm,
            u,
            dt[..., None].expand(-1, heads, size),
            layer.rate[:, None, None].expand(heads, size, width),
            b,
            c,
            D=layer.skip[:, None].expand(heads, size),
            z=None,
            dt_bias=bias[:, None].expand(heads, size),
            dt_softplus=not limited,
            state_batch_indices=slots,
        )

    def scan(
        self,
        u: Tensor,
        dt: Tensor,
        b: Tensor,
        c: Tensor,
        layer: Recurrence,
        initial: Tensor,
        valid: Tensor,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        """Return y (rows, piece, heads, head_dim) and the last states (as `initial`), float32.

        u: (rows, piece, heads, head_dim); dt: (rows, piece, heads), before softplus; b, c: (rows,
        piece, groups, state); initial: (rows, heads, head_dim, state) float32; valid: (rows,
        piece) bool: no time passes where it is False.
        """
        y, last = self.mamba_chunk_scan_combined(
            u,
            layer.step_size(dt) * valid[..., None],
            layer.rate,
            b,
            c,
            next((size for size in _CHUNKS if size >= chunk), _CHUNKS[-1]),
            D=layer.skip,
            z=None,
            dt_bias=None,
            initial_states=initial,
            dt_softplus=False,
            return_final_states=True,
        )
        return y, last

    def convolves(self, xbc: Tensor, taps: Tensor, held: Tensor) -> bool:
        """Tell whether causal-conv1d is there and takes this: channels, width and types."""
        channels, width = taps.shape
        return (
            self.causal_conv1d_update is not None
            and self.causal_conv1d_fn is not None
            and width in _CONV_WIDTHS
            and channels % _CONV_ALIGNMENT == 0
            and held.dtype == xbc.dtype
        )

    def convolve_step(
        self, xbc: Tensor, taps: Tensor, bias: Tensor | None, held: Tensor, slots: Tensor
    ) -> Tensor:
        """Convolve one token a row and apply SiLU, the columns moved on where they lie.

        xbc: (rows, channels); taps: (channels, width); held: (slots, channels, width - 1).
        """
        if self.causal_conv1d_update is None:
            raise TypeError("causal-conv1d is not there; ask `convolves` first")
        return self.causal_conv1d_update(
            xbc.contiguous(),
            held,
            taps.contiguous(),
            bias,
            activation="silu",
            conv_state_indices=slots.to(torch.int32),
        )

    def convolve(self, xbc: Tensor, taps: Tensor, bias: Tensor | None, history: Tensor) -> Tensor:
        """Convolve pieces after their history and apply SiLU.

        xbc: (rows, piece, channels); history: (rows, width - 1, channels). Returns as `xbc`.
        """
        if self.causal_conv1d_fn is None:
            raise TypeError("causal-conv1d is not there; ask `convolves` first")
        # Channels come first but lie last: the only layout in which a history is taken.
        mixed = self.causal_conv1d_fn(
            xbc.contiguous().transpose(1, 2),
            taps.contiguous(),
            bias,
            initial_states=history.contiguous().transpose(1, 2),
            activation="silu",
        )
        return mixed.transpose(1, 2)


def load() -> MambaKernels | None:
    """Import what is installed; None without mamba-ssm, and the log says why."""
    try:
        from mamba_ssm.ops.triton.selective_state_update import selective_state_update
        from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined
    except (ImportError, OSError, RuntimeError) as error:
        log.warning("without mamba-ssm's kernels: %s", error)
        return None
    update, whole = _load_conv()
    return MambaKernels(selective_state_update, mamba_chunk_scan_combined, update, whole)


def _load_conv() -> tuple[Callable[..., Tensor] | None, Callable[..., Tensor] | None]:
    try:
        from causal_conv1d import (  # type: ignore[import-not-found, unused-ignore]
            causal_conv1d_fn,
            causal_conv1d_update,
        )
    except (ImportError, OSError, RuntimeError) as error:
        log.info("without causal-conv1d's kernels: %s", error)
        return None, None
    return causal_conv1d_update, causal_conv1d_fn
