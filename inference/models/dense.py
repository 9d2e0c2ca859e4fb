"""Dense decoders (Llama, Qwen3) told in the terms of our residual stream.

Each of their layers is two of ours: attention, then a gated MLP. Owns their keys and their names
of weights. Knows nothing about tensors.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from inference.models.config import NemotronHConfig, Rope, UnsupportedModel, first_of, token_ids

_LAYER: Final = re.compile(r"model\.layers\.(\d+)\.(self_attn|mlp|\w+_layernorm)\.(.+)")
_PLACES: Final = {
    "input_layernorm": (0, "norm"),
    "self_attn": (0, "mixer"),
    "post_attention_layernorm": (1, "norm"),
    "mlp": (1, "mixer"),
}
_NAMES: Final = {
    "model.embed_tokens.weight": "backbone.embeddings.weight",
    "model.norm.weight": "backbone.norm_f.weight",
}
_BIASES: Final = ("attention_bias", "mlp_bias")


def read_llama(raw: Mapping[str, Any]) -> NemotronHConfig:
    """Read a Llama's parsed `config.json`. Raises: UnsupportedModel."""
    return _config(raw, head_norms=False)


def read_qwen3(raw: Mapping[str, Any]) -> NemotronHConfig:
    """Read a Qwen3's parsed `config.json`. Raises: UnsupportedModel."""
    return _config(raw, head_norms=True)


def own_name(name: str) -> str:
    """Write a dense checkpoint's tensor name as ours; any other name is returned as it is."""
    found = _LAYER.fullmatch(name)
    if found is None or found[2] not in _PLACES:
        return _NAMES.get(name, name)
    after, part = _PLACES[found[2]]
    return f"backbone.layers.{2 * int(found[1]) + after}.{part}.{found[3]}"


def _config(raw: Mapping[str, Any], *, head_norms: bool) -> NemotronHConfig:
    _refuse_what_is_not_computed(raw)
    hidden, heads = int(first_of(raw, "hidden_size")), int(first_of(raw, "num_attention_heads"))
    return NemotronHConfig(
        vocab_size=int(first_of(raw, "vocab_size")),
        hidden_size=hidden,
        layers=("attention", "mlp") * int(first_of(raw, "num_hidden_layers")),
        intermediate_size=int(first_of(raw, "intermediate_size")),
        num_attention_heads=heads,
        num_key_value_heads=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or hidden // heads),
        norm_eps=float(first_of(raw, "rms_norm_eps", default=1e-6)),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
        max_position_embeddings=int(first_of(raw, "max_position_embeddings")),
        eos_token_ids=token_ids(raw.get("eos_token_id")),
        rope=_rope(raw),
        head_norms=head_norms,
        gated_mlp=True,
    )


def _rope(raw: Mapping[str, Any]) -> Rope:
    """Read the angles; older files name their base beside the rest, newer ones within."""
    rope = {**(raw.get("rope_scaling") or {}), **(raw.get("rope_parameters") or {})}
    theta = float(rope.get("rope_theta") or first_of(raw, "rope_theta", default=10_000.0))
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if any(float(given.get("partial_rotary_factor", 1)) != 1 for given in (raw, rope)):
        raise UnsupportedModel("partial_rotary_factor is set; only whole heads are turned.")
    if kind == "default":
        return Rope(theta)
    if kind != "llama3":
        raise UnsupportedModel(f"rope_type is {kind!r}; only 'default' and 'llama3' are supported.")
    factor, low, high, context = (
        float(first_of(rope, name))
        for name in (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        )
    )
    if not (factor > 0 and high > low):
        raise UnsupportedModel("rope scaling needs factor > 0 and high_freq_factor above the low.")
    return Rope(theta, Rope.Scaling(factor, low, high, int(context)))


def _refuse_what_is_not_computed(raw: Mapping[str, Any]) -> None:
    if biased := [name for name in _BIASES if raw.get(name)]:
        raise UnsupportedModel(f"Biased projections ({', '.join(biased)}) are not supported.")
    other = set(raw.get("layer_types") or ()) - {"full_attention"}
    if raw.get("use_sliding_window") or other:
        raise UnsupportedModel("Sliding windows are not supported; only full attention is.")
    if (act := raw.get("hidden_act", "silu")) != "silu":
        raise UnsupportedModel(f"hidden_act is {act!r}; only 'silu' is supported.")
