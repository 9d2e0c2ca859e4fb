"""Grouped-query attention without positional embedding, over a slot cache.

NemotronH's Mamba layers carry the order of tokens; its attention layers add none. Knows nothing
about which request a slot belongs to.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.models.config import NemotronHConfig


@dataclass
class AttentionState:
    """Keys and values of one layer, each (slots, kv_heads, max_tokens, head_dim)."""

    k: Tensor
    v: Tensor


class Attention(nn.Module):
    """Causal attention; several query heads share one key-value head."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        hidden = config.hidden_size
        self.q_proj = nn.Linear(hidden, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, hidden, bias=False)

    def new_state(
        self, slots: int, max_tokens: int, dtype: torch.dtype, device: torch.device
    ) -> AttentionState:
        """Make room for `max_tokens` keys and values in each of `slots` sequences."""
        shape = (slots, self.kv_heads, max_tokens, self.head_dim)
        k = torch.zeros(shape, dtype=dtype, device=device)
        return AttentionState(k, torch.zeros_like(k))

    def forward(self, x: Tensor, segments: Tensor | None = None) -> Tensor:
        """Attend within whole sequences. x: (batch, seq, hidden); segments: (batch, seq)."""
        q, k, v = self._project(x)
        if segments is None:
            return self._attend(q, k, v, None, causal=x.shape[1] > 1)
        length = x.shape[1]
        past = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask = (segments[:, :, None] == segments[:, None, :]) & past
        return self._attend(q, k, v, mask[:, None])

    def prefill(self, x: Tensor, state: AttentionState, slot: int, start: int) -> Tensor:
        """Append a piece to `slot` at `start` and attend to all before. x: (1, piece, hidden)."""
        q, k, v = self._project(x)
        end = start + x.shape[1]
        state.k[slot, :, start:end] = k[0].to(state.k.dtype)
        state.v[slot, :, start:end] = v[0].to(state.v.dtype)
        keys = state.k[slot, :, :end][None].to(q.dtype)
        values = state.v[slot, :, :end][None].to(q.dtype)
        if start == 0:
            return self._attend(q, keys, values, None, causal=end > 1)
        positions = torch.arange(start, end, device=x.device)
        mask = torch.arange(end, device=x.device)[None] <= positions[:, None]
        return self._attend(q, keys, values, mask)

    def decode(
        self, x: Tensor, state: AttentionState, slots: Tensor, positions: Tensor, span: int
    ) -> Tensor:
        """Append one token to each slot and attend to it and all before.

        x: (batch, hidden); slots, positions: (batch,) int64; `span` tokens of the cache are read,
        so every position must be below it.
        """
        q, k, v = self._project(x[:, None])
        state.k[slots, :, positions] = k[:, :, 0].to(state.k.dtype)
        state.v[slots, :, positions] = v[:, :, 0].to(state.v.dtype)
        keys = state.k[:, :, :span][slots].to(q.dtype)
        values = state.v[:, :, :span][slots].to(q.dtype)
        mask = torch.arange(span, device=x.device)[None] <= positions[:, None]
        return self._attend(q, keys, values, mask[:, None, None])[:, 0]

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, seq, hidden) -> q, k, v, each (batch, heads, seq, head_dim)."""
        size = (-1, self.head_dim)
        q = self.q_proj(x).unflatten(-1, size).transpose(1, 2)
        k = self.k_proj(x).unflatten(-1, size).transpose(1, 2)
        v = self.v_proj(x).unflatten(-1, size).transpose(1, 2)
        return q, k, v

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False
    ) -> Tensor:
        mixed = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=self.heads != self.kv_heads
        )
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(-2))
        return out
