"""Linear layers whose weights lie as oneDNN likes them, on CPUs.

A decode step multiplies few rows with each matrix: it is over when the weights have been read. From
oneDNN's own blocked layout that goes at nearly the memory's speed; from rows as files have them, at
a third of it (`bench/step.py` measures both). Needs the kernels of `inference.kernels.cpu`.
"""

import weakref
from typing import Final

import torch
from torch import Tensor, nn

# The layout is chosen for so many rows; others are served by it too.
_ROWS: Final = 16
# A call into oneDNN costs 15 us. In fp32 the other way costs 4 us, and is the slower one from here
# on; in bf16 it goes to oneDNN as well, and lays the weight out anew each time.
_LEAST_FP32_VALUES: Final = 1 << 18


class PackedLinear(nn.Module):
    """A linear layer without bias, of `weight` (out, in) fp32 or bf16, which it copies."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
        self.out_features, self.in_features = weight.shape
        self._number: int = torch.ops.lictor.keep(laid_out)
        weakref.finalize(self, torch.ops.lictor.drop, self._number)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., in) -> (..., out), in the dtype of x, which is that of the weight."""
        out: Tensor = torch.ops.lictor.linear(x, self._number, self.out_features)
        return out


def pack_linears(model: nn.Module) -> int:
    """Replace every linear layer that is faster so; return how many.

    One at a time, so the memory needed beyond the model's own is one layer's. A weight that an
    embedding shares is copied: the table is still looked up.
    """
    count = 0
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and _can_pack(layer):
                setattr(parent, name, PackedLinear(layer.weight))
                count += 1
    return count


def _can_pack(layer: nn.Linear) -> bool:
    if layer.bias is not None or not torch.backends.mkldnn.is_available():
        return False
    if layer.weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return layer.weight.dtype == torch.float32 and layer.weight.numel() >= _LEAST_FP32_VALUES
