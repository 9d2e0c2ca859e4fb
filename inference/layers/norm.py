"""Root-mean-square norms, computed in float32 whatever the model's dtype."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """Scale each vector of the last axis to unit root mean square, then by `weight`."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (self.weight.float() * wide).to(x.dtype)


class GatedRMSNorm(nn.Module):
    """Gate with SiLU first, then norm each group of channels on its own.

    The order (gate before norm) and the groups are those of Mamba-2 as NemotronH uses it.
    """

    def __init__(self, size: int, groups: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.groups = groups
        self.eps = eps

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """x, gate: (..., size) -> float32 (..., size)."""
        wide = x.float() * functional.silu(gate.float())
        grouped: Tensor = wide.unflatten(-1, (self.groups, -1))
        grouped = grouped * torch.rsqrt(grouped.pow(2).mean(-1, keepdim=True) + self.eps)
        out: Tensor = self.weight.float() * grouped.flatten(-2)
        return out
