"""How a training step changes a model: all weights, or a low-rank addition to the linear ones."""

from typing import Protocol

import torch
from torch import Tensor, nn

from inference.models.nemotron_h import NemotronH


class Update(Protocol):
    """One way of applying the gradients that a backward pass left on the model."""

    def apply(self, rate: float) -> None:
        """Change the weights by one step at learning rate `rate`, and clear the gradients."""


def _adamw(parameters: list[Tensor], decay: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.98), weight_decay=decay)


def _step(optimizer: torch.optim.Optimizer, parameters: list[Tensor], rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


class FullUpdate:
    """AdamW on every parameter."""

    def __init__(self, model: NemotronH) -> None:
        self._model = model
        self._parameters: list[Tensor] = list(model.parameters())
        self._optimizer = _adamw(self._parameters, decay=0.05)

    def apply(self, rate: float) -> None:
        _step(self._optimizer, self._parameters, rate)
        self._model.zero_grad(set_to_none=True)


class LowRankUpdate:
    """LoRA: W = W0 + scale * up @ down on the layers' linear maps; all else stays as it was.

    The model always holds the merged W, so its forward pass needs no change: the gradients of
    the two factors follow from that of W by the chain rule.
    """

    def __init__(self, model: NemotronH, rank: int, scale: float, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        self._model = model
        self._scale = scale
        self._weights = [
            layer.weight
            for layer in model.backbone.layers.modules()
            if isinstance(layer, nn.Linear)
        ]
        self._before = [weight.detach().clone() for weight in self._weights]
        self._down = [
            (torch.randn(rank, w.shape[1], generator=rng) * w.shape[1] ** -0.5).requires_grad_()
            for w in self._weights
        ]
        self._up = [torch.zeros(w.shape[0], rank).requires_grad_() for w in self._weights]
        self._factors: list[Tensor] = [*self._down, *self._up]
        self._optimizer = _adamw(self._factors, decay=0.0)

    @torch.no_grad()
    def apply(self, rate: float) -> None:
        for weight, down, up in zip(self._weights, self._down, self._up, strict=True):
            if weight.grad is None:
                raise RuntimeError("No gradient on a linear map; run backward before apply.")
            down.grad = self._scale * up.T @ weight.grad
            up.grad = self._scale * weight.grad @ down.T
        _step(self._optimizer, self._factors, rate)
        rows = zip(self._weights, self._before, self._down, self._up, strict=True)
        for weight, before, down, up in rows:
            weight.copy_(before + self._scale * up @ down)
        self._model.zero_grad(set_to_none=True)
