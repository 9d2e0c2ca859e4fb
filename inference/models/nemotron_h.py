"""NemotronH: Mamba-2, attention and MLP layers in one residual stream; also dense decoders.

Owns the layer pattern, the cache and the names of the weights. Knows nothing about files, text,
sampling or requests. Weights may be named `backbone.*` or `model.*`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.cache import BLOCK_TOKENS, CacheCost
from inference.kernels import cpu, mamba
from inference.layers.attention import Attention, AttentionState
from inference.layers.mamba2 import Mamba2, MambaState
from inference.layers.norm import RMSNorm
from inference.layers.packed import pack_linears
from inference.layers.rotary import Rotation, rotation
from inference.models.config import LayerKind, NemotronHConfig

LayerState = MambaState | AttentionState | None


class WeightsMismatch(ValueError):  # noqa: N818  the name says what happened
    """The tensors offered are not this model's: names or shapes differ."""


@dataclass
class Cache:
    """Memory of sequences: a state slot for each, and blocks of `block_tokens` tokens to share.

    Slot 0 and block 0 belong to nobody: padding is written there.
    """

    layers: list[LayerState]
    slots: int
    blocks: int
    block_tokens: int

    @property
    def num_bytes(self) -> int:
        """Bytes held by all tensors of the cache."""
        return sum(_bytes_of(state) for state in self.layers if state is not None)

    def places(self, tables: Tensor) -> Tensor:
        """Say where tokens lie. tables: (rows, n) block numbers -> (rows, n * block_tokens)."""
        within = torch.arange(self.block_tokens, device=tables.device)
        return (tables[..., None] * self.block_tokens + within).flatten(1)


@dataclass(frozen=True)
class Pieces:
    """Pieces of several sequences, read in one go; every tensor int64.

    ids: (rows, piece), padded with anything; lengths, starts, slots: (rows,); tables: (rows,
    blocks), each sequence's blocks in order, padded with block 0. Row i holds `lengths[i]` tokens
    at positions from `starts[i]` on; a row that starts at 0 forgets what its slot held.
    """

    ids: Tensor
    lengths: Tensor
    starts: Tensor
    slots: Tensor
    tables: Tensor


@dataclass(frozen=True)
class _Reach:
    """What each attention layer needs to know of one step: where to write, what to read, and how
    the positions turn queries and keys."""

    written: Tensor
    places: Tensor
    mask: Tensor | None
    turned: Rotation | None


@dataclass(frozen=True)
class _InPlace:
    """The same for a decode step whose attention reads keys and values where they lie."""

    written: Tensor
    tables: Tensor
    positions: Tensor
    block_tokens: int
    turned: Rotation | None


class MLP(nn.Module):
    """Up, squared ReLU, down; no gate and no bias."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, segments: Tensor | None = None) -> Tensor:
        out: Tensor = self.down_proj(functional.relu(self.up_proj(x)).square())
        return out


class GatedMLP(MLP):
    """Up, times SiLU of the gate, down; no bias."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__(config)
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)

    def forward(self, x: Tensor, segments: Tensor | None = None) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """One layer: norm, then a mixer of some kind; the caller adds the residual."""

    mixer: Mamba2 | Attention | MLP

    def __init__(self, config: NemotronHConfig, kind: LayerKind) -> None:
        super().__init__()
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        kinds: dict[LayerKind, type[Mamba2] | type[Attention] | type[MLP]]
        mlp = GatedMLP if config.gated_mlp else MLP
        kinds = {"mamba": Mamba2, "attention": Attention, "mlp": mlp}
        self.mixer = kinds[kind](config)

    def prefill(
        self, x: Tensor, state: LayerState, pieces: Pieces, fresh: Tensor, reach: _Reach
    ) -> Tensor:
        mixer, normed = self.mixer, self.norm(x)
        if isinstance(mixer, Mamba2) and isinstance(state, MambaState):
            return mixer.prefill(normed, state, pieces.slots, fresh, pieces.lengths)
        if isinstance(mixer, Attention) and isinstance(state, AttentionState):
            return mixer.prefill(
                normed, state, reach.written, reach.places, reach.mask, reach.turned
            )
        out: Tensor = mixer(normed)
        return out

    def decode(
        self, x: Tensor, state: LayerState, slots: Tensor, reach: _Reach | _InPlace
    ) -> Tensor:
        mixer, normed = self.mixer, self.norm(x)
        if isinstance(mixer, Mamba2) and isinstance(state, MambaState):
            return mixer.decode(normed, state, slots)
        if isinstance(mixer, Attention) and isinstance(state, AttentionState):
            if isinstance(reach, _InPlace):
                return mixer.decode_in_place(
                    normed,
                    state,
                    reach.written,
                    reach.tables,
                    reach.positions,
                    reach.block_tokens,
                    reach.turned,
                )
            assert reach.mask is not None  # noqa: S101  decode always masks
            return mixer.decode(
                normed, state, reach.written, reach.places, reach.mask, reach.turned
            )
        out: Tensor = mixer(normed)
        return out


class Backbone(nn.Module):
    """Embedding, layers and final norm."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, kind) for kind in config.layers)
        self.norm_f = RMSNorm(config.hidden_size, config.norm_eps)


class NemotronH(nn.Module):
    """The whole model; logits are float32."""

    def __init__(self, config: NemotronHConfig) -> None:
        super().__init__()
        self.config = config
        self._attends_in_place = False
        self.backbone = Backbone(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.backbone.embeddings.weight

    @property
    def device(self) -> torch.device:
        return self.backbone.embeddings.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights of layers are in, but for quantised ones."""
        return self.backbone.embeddings.weight.dtype

    def forward(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """Compute every position. ids: (batch, seq) int64 -> (batch, seq, vocab).

        `segments` (batch, seq) packs several independent sequences into one row: tokens see only
        tokens of their own segment, as if each were computed alone.
        """
        x = self.backbone.embeddings(ids)
        for layer in self.backbone.layers:
            x = x + layer.mixer(layer.norm(x), segments)  # type: ignore[operator]
        return self._logits(x)

    def fuse(self) -> bool:
        """Use the device's kernels: the CPU's own where they can be built, mamba-ssm's on CUDA.

        Results differ by rounding only. False: everything stays as it was.
        """
        if self.device.type == "cuda":
            return self._fuse_on_cuda()
        if self.device.type != "cpu" or not cpu.load():
            return False
        for layer in self.backbone.layers:
            if isinstance(layer.mixer, Mamba2 | Attention):
                layer.mixer.fuse()
        pack_linears(self)
        self._attends_in_place = True
        return True

    def _fuse_on_cuda(self) -> bool:
        layers = [one.mixer for one in self.backbone.layers if isinstance(one.mixer, Mamba2)]
        kernels = mamba.load() if layers else None
        for layer in layers:
            layer.kernels = kernels
        return kernels is not None

    def make_cache(
        self, *, slots: int, blocks: int, block_tokens: int, dtype: torch.dtype
    ) -> Cache:
        """Make memory for `slots` sequences and `blocks` blocks, and for padding besides.

        `dtype` is that of keys, values and conv columns.
        """
        device = self.device
        layers: list[LayerState] = []
        for layer in self.backbone.layers:
            mixer = layer.mixer
            if isinstance(mixer, Mamba2):
                layers.append(mixer.new_state(slots + 1, dtype, device))
            elif isinstance(mixer, Attention):
                layers.append(mixer.new_state((blocks + 1) * block_tokens, dtype, device))
            else:
                layers.append(None)
        return Cache(layers, slots, blocks, block_tokens)

    def cache_cost(self, dtype: torch.dtype, block_tokens: int = BLOCK_TOKENS) -> CacheCost:
        """Return what a slot and a block take in `make_cache`."""
        slot = block = 0
        for layer in self.backbone.layers:
            mixer = layer.mixer
            if isinstance(mixer, Mamba2):
                slot += _bytes_of(mixer.new_state(1, dtype, torch.device("meta")))
            elif isinstance(mixer, Attention):
                block += _bytes_of(mixer.new_state(block_tokens, dtype, torch.device("meta")))
        return CacheCost(slot, block)

    @torch.no_grad()
    def prefill(self, pieces: Pieces, cache: Cache) -> Tensor:
        """Read pieces and return the logits after each one's last token: (rows, vocab).

        A prompt may come in several pieces, in order, in any company.
        """
        reach = self._reach_of_pieces(pieces, cache)
        fresh = pieces.starts == 0
        x = self.backbone.embeddings(pieces.ids)
        for layer, state in zip(self.backbone.layers, cache.layers, strict=True):
            x = x + layer.prefill(x, state, pieces, fresh, reach)  # type: ignore[operator]
        rows = torch.arange(x.shape[0], device=x.device)
        return self._logits(x[rows, pieces.lengths - 1])

    @torch.no_grad()
    def decode(
        self, ids: Tensor, slots: Tensor, positions: Tensor, tables: Tensor, cache: Cache
    ) -> Tensor:
        """Advance each sequence by one token. ids, slots, positions: (batch,) -> (batch, vocab).

        tables: (batch, blocks) as in `Pieces`; all of these blocks are read, so fewer are faster.
        """
        reach = self._reach_of_step(positions, tables, cache)
        x = self.backbone.embeddings(ids)
        for layer, state in zip(self.backbone.layers, cache.layers, strict=True):
            x = x + layer.decode(x, state, slots, reach)  # type: ignore[operator]
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

    def _reach_of_pieces(self, pieces: Pieces, cache: Cache) -> _Reach:
        rows, length = pieces.ids.shape
        offsets = torch.arange(length, device=pieces.ids.device)
        positions = pieces.starts[:, None] + offsets
        turned = self._turned(positions)
        places = cache.places(pieces.tables)
        real = offsets < pieces.lengths[:, None]
        # Padding may reach beyond the table: it is written to block 0, which nobody reads.
        written = places.gather(1, positions.clamp(max=places.shape[1] - 1)) * real
        if rows == 1 and int(pieces.starts) == 0 and int(pieces.lengths) == length:
            return _Reach(written, places, None, turned)
        span = torch.arange(places.shape[1], device=pieces.ids.device)
        mask = span <= positions[..., None]
        return _Reach(written, places, mask[:, None], turned)

    def _reach_of_step(
        self, positions: Tensor, tables: Tensor, cache: Cache
    ) -> "_Reach | _InPlace":
        turned = self._turned(positions)
        if self._attends_in_place:
            size = cache.block_tokens
            block = tables.gather(1, (positions // size)[:, None])[:, 0]
            written = block * size + positions % size
            return _InPlace(written, tables, positions, size, turned)
        places = cache.places(tables)
        written = places.gather(1, positions[:, None])[:, 0]
        seen = torch.arange(places.shape[1], device=positions.device) <= positions[:, None]
        return _Reach(written, places, seen[:, None, None], turned)

    def _turned(self, positions: Tensor) -> Rotation | None:
        config = self.config
        return rotation(config.rope, config.head_dim, positions) if config.rope else None

    def _logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.backbone.norm_f(x))
        return logits.float()


def _bytes_of(state: MambaState | AttentionState) -> int:
    return sum(t.numel() * t.element_size() for t in vars(state).values())


def canonical_name(name: str) -> str:
    """Write a checkpoint's tensor name the way the original files do (`backbone.*`)."""
    return f"backbone.{name.removeprefix('model.')}" if name.startswith("model.") else name
