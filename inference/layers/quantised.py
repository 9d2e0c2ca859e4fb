"""Linear layers with int8 weights and activations as they are: half of bf16's memory and traffic.

Each output channel has its own symmetric scale. Owns how weights are rounded and which kernel
multiplies them; knows nothing about models or files.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

_STEPS: Final = 127
_BLOCK_VALUES: Final = 1 << 20


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round (out, in) to int8 with a bf16 scale for each output.

    Law: `values * scale` differs from `weight` by at most half a scale anywhere. The scale is
    rounded to bf16 first and the weights to whole steps of that, so its rounding costs nothing.
    """
    values = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    scale = torch.empty(weight.shape[0], dtype=torch.bfloat16, device=weight.device)
    # In blocks, so that no float copy of a large weight is ever whole in memory.
    height = max(1, _BLOCK_VALUES // weight.shape[1])
    for start in range(0, weight.shape[0], height):
        rows = slice(start, start + height)
        block = weight[rows].float()
        step = (block.abs().amax(1) / _STEPS).to(torch.bfloat16)
        step = torch.where(step == 0, torch.ones_like(step), step)
        values[rows] = (block / step.float()[:, None]).round().to(torch.int8)
        scale[rows] = step
    return values, scale


class QuantisedLinear(nn.Module):
    """A linear layer without bias; `weight` int8 (out, in), `scale` bf16 (out,)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        values = torch.zeros(out_features, in_features, dtype=torch.int8)
        scale = torch.ones(out_features, dtype=torch.bfloat16)
        self.weight = nn.Parameter(values, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)

    def fill(self, weight: Tensor) -> None:
        """Quantise `weight` (out, in) and hold it, where it is."""
        values, scale = quantise(weight)
        self.weight = nn.Parameter(values, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., in) -> (..., out), in the dtype of x."""
        if x.dim() == 2 and x.device.type == "cpu" and x.dtype == self.scale.dtype:
            # A decode step has few rows, and the kernel that reads int8 wins up to about 16 of
            # them; beyond, as in a prompt, widening the weight once and multiplying is faster.
            # By the rank, not the number of rows: a compiled step must not depend on that.
            packed: Tensor = torch.ops.aten._weight_int8pack_mm(x, self.weight, self.scale)
            return packed
        return functional.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype)


def quantise_linears(model: nn.Module) -> None:
    """Replace every linear layer of `model` by a quantised one, still empty.

    A head that is tied to the embedding stays, as the embedding is looked up in full precision.

    Raises: ValueError for a layer with a bias.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if not isinstance(layer, nn.Linear) or id(layer.weight) in tables:
                continue
            if layer.bias is not None:
                raise ValueError(f"{name} has a bias; only linear layers without are quantised")
            with layer.weight.device:
                setattr(parent, name, QuantisedLinear(layer.in_features, layer.out_features))
