"""Rotary position embedding: turn pairs of channels by an angle that grows with the position.

Pairs are channel i and i + head_dim / 2. Knows nothing about projections or caches.
Source: Su et al., "RoFormer" (arXiv 2104.09864), section 3.4; the scaling is Llama 3.1's.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.models.config import Rope


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines at some positions, each (..., 1, head_dim / 2) float32."""

    cos: Tensor
    sin: Tensor

    def turn(self, x: Tensor) -> Tensor:
        """Turn each head by its token's angles. x: (..., heads, head_dim), in any dtype."""
        first, second = x.float().chunk(2, -1)
        turned = [first * self.cos - second * self.sin, second * self.cos + first * self.sin]
        return torch.cat(turned, -1).to(x.dtype)


def rotation(rope: Rope, head_dim: int, positions: Tensor) -> Rotation:
    """Return how tokens at `positions` (...,) int64 are turned."""
    steps = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device)
    angles = positions[..., None, None].float() * _scaled(rope, rope.theta ** -(steps / head_dim))
    return Rotation(angles.cos(), angles.sin())


def _scaled(rope: Rope, speeds: Tensor) -> Tensor:
    """Slow the pairs that turn seldom; between the two bounds, blend."""
    scaling = rope.scaling
    if scaling is None:
        return speeds
    turns = speeds * (scaling.original_context / (2 * math.pi))
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return speeds * (kept + (1 - kept) / scaling.factor)
