"""Grouped-query attention over keys and values in blocks, with rotary embedding or none.

NemotronH's Mamba layers carry the order of tokens; its attention layers add none. Dense decoders
turn queries and keys by their positions, and may norm them first. Knows nothing about which
request owns which block: callers say where each token of a sequence lies.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.layers.norm import RMSNorm
from inference.layers.rotary import Rotation, rotation
from inference.models.config import NemotronHConfig


@dataclass
class AttentionState:
    """Keys and values of one layer, each (places, kv_heads, head_dim): one place a token."""

    k: Tensor
    v: Tensor

    def write(self, places: Tensor, k: Tensor, v: Tensor) -> None:
        """Store at `places` (...,) what has shape (..., kv_heads, head_dim)."""
        self.k[places] = k.to(self.k.dtype)
        self.v[places] = v.to(self.v.dtype)


class Attention(nn.Module):
    """Causal attention; several query heads share one key-value head."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        self.rope = config.rope
        self.fused = False
        hidden = config.hidden_size
        self.q_proj = nn.Linear(hidden, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, hidden, bias=False)
        self.q_norm = RMSNorm(self.head_dim, config.norm_eps) if config.head_norms else None
        self.k_norm = RMSNorm(self.head_dim, config.norm_eps) if config.head_norms else None

    def new_state(self, places: int, dtype: torch.dtype, device: torch.device) -> AttentionState:
        """Make memory for `places` tokens, whichever sequences they will belong to."""
        shape = (places, self.kv_heads, self.head_dim)
        k = torch.zeros(shape, dtype=dtype, device=device)
        return AttentionState(k, torch.zeros_like(k))

    def fuse(self) -> None:
        """Decode in the CPU's own kernel from now on; it must be loaded."""
        self.fused = True

    def forward(self, x: Tensor, segments: Tensor | None = None) -> Tensor:
        """Attend within whole sequences. x: (batch, seq, hidden); segments: (batch, seq)."""
        turned = None
        if self.rope is not None:
            # Only distances matter, so segments need no counting of their own.
            turned = rotation(self.rope, self.head_dim, torch.arange(x.shape[1], device=x.device))
        q, k, v = self._project(x, turned)
        if segments is None:
            return self._attend(q, k, v, None, causal=x.shape[1] > 1)
        length = x.shape[1]
        past = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask = (segments[:, :, None] == segments[:, None, :]) & past
        return self._attend(q, k, v, mask[:, None])

    def prefill(
        self,
        x: Tensor,
        state: AttentionState,
        written: Tensor,
        places: Tensor,
        mask: Tensor | None,
        turned: Rotation | None = None,
    ) -> Tensor:
        """Store pieces of several sequences and attend to all before them.

        x: (rows, piece, hidden); written: (rows, piece) int64, where each token goes; places:
        (rows, span), where the tokens of each sequence lie, in order; mask: (rows, 1, piece,
        span) bool, or None where the pieces are whole sequences of `piece` tokens; turned: the
        rotation at the tokens' positions, where the model has one.
        """
        q, k, v = self._project(x, turned)
        state.write(written, k, v)
        if mask is None:
            return self._attend(q, k, v, None, causal=True)
        return self._attend(q, state.k[places].to(q.dtype), state.v[places].to(q.dtype), mask)

    def decode_in_place(
        self,
        x: Tensor,
        state: AttentionState,
        written: Tensor,
        tables: Tensor,
        positions: Tensor,
        block_tokens: int,
        turned: Rotation | None = None,
    ) -> Tensor:
        """Do what `decode` does, reading keys and values where they lie: nothing is gathered.

        tables: (batch, blocks) int64; positions: (batch,), those of the new tokens.
        """
        q, k, v = self._project(x, turned)
        state.write(written, k, v)
        q = q.to(state.k.dtype).contiguous()
        mixed = torch.empty_like(q)
        torch.ops.lictor.attend(q, state.k, state.v, tables, positions, block_tokens, mixed)
        out: Tensor = self.o_proj(mixed.to(x.dtype).flatten(1))
        return out

    def decode(
        self,
        x: Tensor,
        state: AttentionState,
        written: Tensor,
        places: Tensor,
        mask: Tensor,
        turned: Rotation | None = None,
    ) -> Tensor:
        """Append one token to each sequence and attend to it and all before.

        x: (batch, hidden); written: (batch,) int64; places: (batch, span); mask: (batch, 1, 1,
        span) bool.
        """
        q, k, v = self._project(x, turned)
        state.write(written, k, v)
        keys = state.k[places].transpose(1, 2).to(x.dtype)
        values = state.v[places].transpose(1, 2).to(x.dtype)
        # The query heads of one group stand where tokens would: no key is copied for them.
        groups = q.unflatten(1, (self.kv_heads, -1))
        mixed = functional.scaled_dot_product_attention(groups, keys, values, attn_mask=mask)
        out: Tensor = self.o_proj(mixed.flatten(1))
        return out

    def _project(self, x: Tensor, turned: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """(..., hidden) -> q, k, v, each (..., heads, head_dim), normed and turned."""
        size = (-1, self.head_dim)
        q = self.q_proj(x).unflatten(-1, size)
        k = self.k_proj(x).unflatten(-1, size)
        v = self.v_proj(x).unflatten(-1, size)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if turned is not None:
            q, k = turned.turn(q), turned.turn(k)
        return q, k, v

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False
    ) -> Tensor:
        """q: (batch, seq, heads, head_dim); k, v: (batch, span, kv_heads, head_dim)."""
        mixed = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=mask,
            is_causal=causal,
            enable_gqa=self.heads != self.kv_heads,
        )
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(-2))
        return out
