"""Shape of a model: NemotronH's, read from `config.json`, or a dense decoder's; stdlib only.

Owns every spelling the family has used for the same number. Knows nothing about tensors.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

LayerKind = Literal["mamba", "attention", "mlp"]

_LETTERS: Final[dict[str, LayerKind]] = {"M": "mamba", "*": "attention", "-": "mlp"}
_WORDS: Final[dict[str, LayerKind]] = {
    "linear_attention": "mamba",
    "mamba": "mamba",
    "full_attention": "attention",
    "attention": "attention",
    "mlp": "mlp",
}
_BIASES: Final = ("attention_bias", "mlp_bias", "mamba_proj_bias", "use_bias")


class UnsupportedModel(ValueError):  # noqa: N818  the name says what happened
    """The configuration describes something this implementation does not compute."""


@dataclass(frozen=True, slots=True)
class Rope:
    """Say how fast rotary embeddings turn; `scaling` stretches them to a longer context."""

    @dataclass(frozen=True, slots=True)
    class Scaling:
        """Llama 3's: pairs of fewer than `low_freq_factor` turns in the original context turn
        `factor` times slower, those of more than `high_freq_factor` as before."""

        factor: float
        low_freq_factor: float
        high_freq_factor: float
        original_context: int

    theta: float
    scaling: Scaling | None = None


@dataclass(frozen=True, kw_only=True)
class NemotronHConfig:
    """Sizes of one model: hybrid, or without Mamba layers and then without their sizes.

    `layers` is the whole pattern in order. Head counts and sizes are per model, not per group;
    `time_step_limit` bounds the discretisation step in both directions. NemotronH has none of
    `rope`, `head_norms` (of queries and keys) and `gated_mlp`; dense decoders do.
    """

    vocab_size: int
    hidden_size: int
    layers: tuple[LayerKind, ...]
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    mamba_num_heads: int = 0
    mamba_head_dim: int = 0
    ssm_state_size: int = 0
    n_groups: int = 1
    conv_kernel: int = 4
    use_conv_bias: bool = True
    chunk_size: int = 128
    norm_eps: float = 1e-5
    tie_word_embeddings: bool = False
    time_step_limit: tuple[float, float] = (0.0, math.inf)
    max_position_embeddings: int = 8192
    eos_token_ids: tuple[int, ...] = ()
    rope: Rope | None = None
    head_norms: bool = False
    gated_mlp: bool = False

    def __post_init__(self) -> None:
        if not self.layers:
            raise UnsupportedModel("The layer pattern is empty; name at least one layer.")
        if self.num_attention_heads % self.num_key_value_heads:
            raise UnsupportedModel(
                f"{self.num_attention_heads} attention heads do not share "
                f"{self.num_key_value_heads} key-value heads evenly."
            )
        if "mamba" in self.layers and not self.mamba_num_heads * self.mamba_head_dim:
            raise UnsupportedModel("The pattern has Mamba layers, but their heads have no size.")
        if self.mamba_num_heads % self.n_groups:
            raise UnsupportedModel(
                f"{self.mamba_num_heads} Mamba heads do not fill {self.n_groups} groups evenly."
            )

    @property
    def mamba_inner_size(self) -> int:
        return self.mamba_num_heads * self.mamba_head_dim

    @property
    def conv_channels(self) -> int:
        """Channels of the causal convolution: x, then B, then C."""
        return self.mamba_inner_size + 2 * self.n_groups * self.ssm_state_size

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "NemotronHConfig":
        """Read a parsed `config.json`.

        Raises:
            UnsupportedModel: a needed key is missing, or the values ask for mixture-of-experts,
                biased projections or another activation.
        """
        _refuse_what_is_not_computed(raw)
        heads = int(first_of(raw, "num_attention_heads"))
        low, high = first_of(raw, "time_step_limit", "mamba_dt_limit", default=(0.0, math.inf))
        return cls(
            vocab_size=int(first_of(raw, "vocab_size")),
            hidden_size=int(first_of(raw, "hidden_size")),
            layers=_layers(raw),
            intermediate_size=int(first_of(raw, "intermediate_size")),
            num_attention_heads=heads,
            num_key_value_heads=int(raw.get("num_key_value_heads") or heads),
            head_dim=int(first_of(raw, "head_dim", "attention_head_dim")),
            mamba_num_heads=int(first_of(raw, "mamba_num_heads")),
            mamba_head_dim=int(first_of(raw, "mamba_head_dim")),
            ssm_state_size=int(first_of(raw, "ssm_state_size", "mamba_state_dim")),
            n_groups=int(first_of(raw, "n_groups", "mamba_num_groups", "mamba_n_groups")),
            conv_kernel=int(first_of(raw, "conv_kernel", "mamba_d_conv", default=4)),
            use_conv_bias=bool(first_of(raw, "use_conv_bias", "mamba_conv_bias", default=True)),
            chunk_size=int(first_of(raw, "chunk_size", "mamba_chunk_size", default=128)),
            norm_eps=float(first_of(raw, "layer_norm_epsilon", "rms_norm_eps", default=1e-5)),
            tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
            time_step_limit=(_number(low), _number(high)),
            max_position_embeddings=int(raw.get("max_position_embeddings", 8192)),
            eos_token_ids=token_ids(raw.get("eos_token_id")),
        )

    @classmethod
    def from_file(cls, path: Path) -> "NemotronHConfig":
        """Read `config.json` at `path`."""
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))


def first_of(raw: Mapping[str, Any], *names: str, default: Any = None) -> Any:
    """Return the first of `names` that is set. Raises: UnsupportedModel if none and no default."""
    for name in names:
        if raw.get(name) is not None:
            return raw[name]
    if default is None:
        raise UnsupportedModel(f"config.json lacks {' or '.join(names)}; add it.")
    return default


def _layers(raw: Mapping[str, Any]) -> tuple[LayerKind, ...]:
    words = first_of(raw, "layers_block_type", "layer_types", "hybrid_override_pattern")
    table = _LETTERS if isinstance(words, str) else _WORDS
    unknown = sorted({word for word in words if word not in table})
    if unknown:
        raise UnsupportedModel(f"The layer pattern names {unknown}; known are {sorted(table)}.")
    return tuple(table[word] for word in words)


def _number(value: float | Mapping[str, str]) -> float:
    """Read a number; JSON has no infinity, so transformers writes {"__float__": "Infinity"}."""
    return float(value["__float__"] if isinstance(value, Mapping) else value)


def token_ids(value: int | list[int] | None) -> tuple[int, ...]:
    """Read a token id, several or none."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _refuse_what_is_not_computed(raw: Mapping[str, Any]) -> None:
    biased = [name for name in _BIASES if raw.get(name)]
    if biased:
        raise UnsupportedModel(f"Biased projections ({', '.join(biased)}) are not supported.")
    if raw.get("sliding_window") is not None:
        raise UnsupportedModel("sliding_window is set; only full attention is supported.")
    for name, wanted in (("mlp_hidden_act", "relu2"), ("mamba_hidden_act", "silu")):
        if raw.get(name, wanted) != wanted:
            raise UnsupportedModel(f"{name} is {raw[name]!r}; only {wanted!r} is supported.")
