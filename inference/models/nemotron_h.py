"""NemotronH: Mamba-2, attention and squared-ReLU layers in one residual stream.

Owns the layer pattern, the cache and the names of the weights. Knows nothing about files, text,
sampling or requests. Weights may be named `backbone.*` or `model.*`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.layers.attention import Attention, AttentionState
from inference.layers.mamba2 import Mamba2, MambaState
from inference.layers.norm import RMSNorm
from inference.models.config import LayerKind, NemotronHConfig

LayerState = MambaState | AttentionState | None
_SPAN_STEP = 64


class WeightsMismatch(ValueError):  # noqa: N818  the name says what happened
    """The tensors offered are not this model's: names or shapes differ."""


@dataclass
class Cache:
    """Memory of `slots` sequences of at most `max_tokens` tokens, one entry a layer."""

    layers: list[LayerState]
    slots: int
    max_tokens: int

    def reset(self, slot: int) -> None:
        """Forget the recurrent memory of `slot`; old keys are never read again by position."""
        for state in self.layers:
            if isinstance(state, MambaState):
                state.reset(slot)

    @property
    def num_bytes(self) -> int:
        """Bytes held by all tensors of the cache."""
        tensors = [t for state in self.layers if state is not None for t in vars(state).values()]
        return sum(t.numel() * t.element_size() for t in tensors)


class MLP(nn.Module):
    """Up, squared ReLU, down; no gate and no bias."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, segments: Tensor | None = None) -> Tensor:
        out: Tensor = self.down_proj(functional.relu(self.up_proj(x)).square())
        return out


class Block(nn.Module):
    """One layer: norm, then a mixer of some kind; the caller adds the residual."""

    mixer: Mamba2 | Attention | MLP

    def __init__(self, config: NemotronHConfig, kind: LayerKind) -> None:
        super().__init__()
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        kinds: dict[LayerKind, type[Mamba2] | type[Attention] | type[MLP]]
        kinds = {"mamba": Mamba2, "attention": Attention, "mlp": MLP}
        self.mixer = kinds[kind](config)

    def prefill(self, x: Tensor, state: LayerState, slot: int, start: int) -> Tensor:
        mixer, normed = self.mixer, self.norm(x)
        if isinstance(mixer, Mamba2) and isinstance(state, MambaState):
            return mixer.prefill(normed, state, slot)
        if isinstance(mixer, Attention) and isinstance(state, AttentionState):
            return mixer.prefill(normed, state, slot, start)
        out: Tensor = mixer(normed)
        return out

    def decode(
        self, x: Tensor, state: LayerState, slots: Tensor, positions: Tensor, span: int
    ) -> Tensor:
        mixer, normed = self.mixer, self.norm(x)
        if isinstance(mixer, Mamba2) and isinstance(state, MambaState):
            return mixer.decode(normed, state, slots)
        if isinstance(mixer, Attention) and isinstance(state, AttentionState):
            return mixer.decode(normed, state, slots, positions, span)
        out: Tensor = mixer(normed)
        return out


class Backbone(nn.Module):
    """Embedding, layers and final norm."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, kind) for kind in config.layers)
        self.norm_f = RMSNorm(config.hidden_size, config.norm_eps)


class NemotronH(nn.Module):
    """The whole model; logits are float32."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.backbone.embeddings.weight

    def forward(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """Compute every position. ids: (batch, seq) int64 -> (batch, seq, vocab).

        `segments` (batch, seq) packs several independent sequences into one row: tokens see only
        tokens of their own segment, as if each were computed alone.
        """
        x = self.backbone.embeddings(ids)
        for block in self.backbone.layers:
            x = x + block.mixer(block.norm(x), segments)  # type: ignore[operator]
        return self._logits(x)

    def make_cache(self, slots: int, max_tokens: int, dtype: torch.dtype) -> Cache:
        """Make memory for `slots` sequences; `dtype` is that of keys, values and conv columns."""
        device = self.lm_head.weight.device
        layers: list[LayerState] = []
        for block in self.backbone.layers:
            mixer = block.mixer
            if isinstance(mixer, Mamba2):
                layers.append(mixer.new_state(slots, dtype, device))
            elif isinstance(mixer, Attention):
                layers.append(mixer.new_state(slots, max_tokens, dtype, device))
            else:
                layers.append(None)
        return Cache(layers, slots, max_tokens)

    @torch.no_grad()
    def prefill(self, ids: Tensor, slot: int, start: int, cache: Cache) -> Tensor:
        """Read a piece of a prompt into `slot` and return the last position's logits (vocab,).

        ids: (piece,) int64, at positions start, start + 1, ... A prompt may come in several
        pieces, in order; start == 0 forgets whatever the slot held.

        Raises:
            ValueError: the piece is empty or does not fit the cache.
        """
        if not 0 < ids.numel() <= cache.max_tokens - start:
            raise ValueError(
                f"A piece of {ids.numel()} tokens at {start} does not fit {cache.max_tokens}; "
                "send at least one token and at most what is left."
            )
        if start == 0:
            cache.reset(slot)
        x = self.backbone.embeddings(ids)[None]
        for block, state in zip(self.backbone.layers, cache.layers, strict=True):
            x = x + block.prefill(x, state, slot, start)  # type: ignore[operator]
        return self._logits(x[0, -1])

    @torch.no_grad()
    def decode(
        self,
        ids: Tensor,
        slots: Tensor,
        positions: Tensor,
        cache: Cache,
        span: int | None = None,
    ) -> Tensor:
        """Advance each slot by one token. ids, slots, positions: (batch,) -> (batch, vocab).

        `span` bounds the keys read; None reads up to the highest position on a CPU run eagerly,
        and the whole cache where looking at the positions would break a compiled graph.
        """
        if span is None:
            span = self._span(positions, cache.max_tokens)
        x = self.backbone.embeddings(ids)
        for block, state in zip(self.backbone.layers, cache.layers, strict=True):
            x = x + block.decode(x, state, slots, positions, span)  # type: ignore[operator]
        return self._logits(x)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy in every weight, by name, under either prefix.

        Raises:
            WeightsMismatch: names are missing or unknown, or a shape differs.
        """
        offered = {canonical_name(name): tensor for name, tensor in tensors.items()}
        if self.config.tie_word_embeddings:
            offered.setdefault("lm_head.weight", offered["backbone.embeddings.weight"])
        own = dict(self.state_dict(keep_vars=True))
        missing, unknown = sorted(own.keys() - offered), sorted(offered.keys() - own)
        shapes = [n for n in own.keys() & offered.keys() if own[n].shape != offered[n].shape]
        if missing or unknown or shapes:
            raise WeightsMismatch(
                f"Missing {missing}, unknown {unknown}, of another shape {sorted(shapes)}; "
                "check that config.json belongs to these weights."
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(offered[name])

    def _logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.backbone.norm_f(x))
        return logits.float()

    @staticmethod
    def _span(positions: Tensor, max_tokens: int) -> int:
        if torch.compiler.is_compiling() or positions.device.type != "cpu":
            return max_tokens
        highest = int(positions.max()) + 1
        return min(max_tokens, -(-highest // _SPAN_STEP) * _SPAN_STEP)


def canonical_name(name: str) -> str:
    """Write a checkpoint's tensor name the way the original files do (`backbone.*`)."""
    return f"backbone.{name.removeprefix('model.')}" if name.startswith("model.") else name
