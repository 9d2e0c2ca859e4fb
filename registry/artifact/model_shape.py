"""Read a model's config and count its parameters exactly, part by part.

Knows NemotronH in every spelling of its keys, and the dense Llama, Mistral, Qwen2 and Qwen3
families. Any other architecture is refused: a guessed count could pass a model that does not fit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from registry.errors import BadInput

DENSE_TYPES: Final = frozenset({"llama", "mistral", "qwen2", "qwen3"})
_LAYER_CODES: Final = {
    "M": "mamba",
    "*": "attention",
    "-": "mlp",
    "mamba": "mamba",
    "mamba2": "mamba",
    "linear_attention": "mamba",
    "attention": "attention",
    "full_attention": "attention",
    "mlp": "mlp",
}
_MAX_SIZE: Final = 10**9


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Count parameters by part, and the numbers of elements that a cache holds.

    `kv_elements_per_token` is over all layers; `ssm_elements` and `conv_elements` are per
    sequence over all layers; `embedding_parameters` are looked up, not streamed, in decoding.
    `linear_parameters` are those of the linear layers that an int8 model quantises, and
    `linear_channels` their outputs, one scale each; `recurrence_parameters` are the Mamba layers'
    A_log, D and dt_bias.
    """

    model_type: str
    parts: dict[str, int]
    layers: dict[str, int]
    embedding_parameters: int
    linear_parameters: int
    linear_channels: int
    recurrence_parameters: int
    kv_elements_per_token: int
    ssm_elements: int
    conv_elements: int
    max_context: int
    assumptions: tuple[str, ...]

    @property
    def parameters(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class _Linears:
    """Tally linear layers: their weights, and their outputs."""

    parameters: int = 0
    channels: int = 0

    @classmethod
    def of(cls, *sizes: tuple[int, int]) -> "_Linears":
        """Tally layers given as (inputs, outputs)."""
        return cls(sum(size * out for size, out in sizes), sum(out for _, out in sizes))

    @classmethod
    def total(cls, counted: "Iterable[tuple[int, _Linears]]") -> "_Linears":
        """Add up tallies, each taken so many times."""
        pairs = list(counted)
        return cls(sum(n * t.parameters for n, t in pairs), sum(n * t.channels for n, t in pairs))


@dataclass(frozen=True, slots=True)
class _Attention:
    """Hold one attention layer's sizes; `others` are its biases and the norms of its heads."""

    kv_heads: int
    head_dim: int
    linears: _Linears
    others: int

    @property
    def parameters(self) -> int:
        return self.linears.parameters + self.others


class _Reader:
    """Take whole numbers and switches from a config under any of their names."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.assumptions: list[str] = []

    def size(self, *names: str, default: int | None = None, lowest: int = 1) -> int:
        """Return the first named size; a default is noted as an assumption.

        Raises: BadInput when absent without a default, or not a sensible whole number.
        """
        for name in names:
            value = self.config.get(name)
            if value is None:
                continue
            if type(value) is not int or not lowest <= value <= _MAX_SIZE:
                raise _invalid(name, f"{name} must be a whole number from {lowest}, not {value!r}.")
            return value
        if default is None:
            raise _invalid(names[0], f"the config does not give {' or '.join(names)}.")
        self.assumptions.append(f"{names[0]} is not given; taken as {default}.")
        return default

    def switch(self, *names: str, default: bool) -> bool:
        """Return the first named switch, or the architecture's default."""
        for name in names:
            value = self.config.get(name)
            if value is not None:
                if not isinstance(value, bool):
                    raise _invalid(name, f"{name} must be true or false, not {value!r}.")
                return value
        return default


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """Read a config.json document.

    Raises: BadInput (code config_unsupported) for an architecture or layer that is not known, or
    a size that is absent or makes no sense.
    """
    model_type = config.get("model_type")
    if model_type == "nemotron_h":
        return _nemotron_h(_Reader(config))
    if model_type in DENSE_TYPES:
        return _dense(_Reader(config), str(model_type))
    known = ", ".join(sorted(DENSE_TYPES | {"nemotron_h"}))
    raise _invalid("model_type", f"model_type {model_type!r} cannot be planned; known: {known}.")


def layer_kinds(config: Mapping[str, Any]) -> list[str]:
    """List a hybrid's layers as mamba, attention or mlp, from any spelling of the pattern.

    Raises: BadInput for no pattern, an unknown kind of layer, or a wrong number of layers.
    """
    pattern = config.get("hybrid_override_pattern") or config.get("layers_block_type")
    if not isinstance(pattern, str | list) or not pattern:
        raise _invalid(
            "hybrid_override_pattern",
            "the config gives neither hybrid_override_pattern nor layers_block_type.",
        )
    unknown = sorted({str(code) for code in pattern if str(code) not in _LAYER_CODES})
    if unknown:
        raise _invalid("layers_block_type", f"layers of kind {', '.join(unknown)} are not known.")
    count = config.get("num_hidden_layers")
    if count is not None and count != len(pattern):
        raise _invalid(
            "num_hidden_layers", f"is {count!r}, but the pattern has {len(pattern)} layers."
        )
    return [_LAYER_CODES[str(code)] for code in pattern]


def _nemotron_h(read: _Reader) -> ModelShape:
    kinds = layer_kinds(read.config)
    counts = {kind: kinds.count(kind) for kind in ("mamba", "attention", "mlp")}
    hidden = read.size("hidden_size")
    attention = _attention(read, hidden)
    heads, mamba_head_dim = read.size("mamba_num_heads"), read.size("mamba_head_dim")
    state = read.size("ssm_state_size", "mamba_state_dim", "state_size")
    groups = read.size("n_groups", "mamba_num_groups", "mamba_n_groups")
    kernel = read.size("conv_kernel", "mamba_d_conv", default=4)
    inner = heads * mamba_head_dim
    channels = inner + 2 * groups * state
    projected = inner + channels + heads
    mixers = _Linears.of((hidden, projected), (inner, hidden))
    mamba = (
        mixers.parameters
        + (projected + hidden) * read.switch("use_bias", "mamba_proj_bias", default=False)
        + channels * (kernel + read.switch("use_conv_bias", "mamba_conv_bias", default=True))
        + 3 * heads  # A_log, D, dt_bias
        + inner  # gated norm
    )
    ffn = read.size("intermediate_size")
    mlp = _Linears.of((hidden, ffn), (ffn, hidden))
    biases = (hidden + ffn) * read.switch("mlp_bias", default=False)
    embedding, head = _embeddings(read, hidden)
    linears = _Linears.total(
        [
            (counts["mamba"], mixers),
            (counts["attention"], attention.linears),
            (counts["mlp"], mlp),
            (1, head),
        ]
    )
    return ModelShape(
        model_type="nemotron_h",
        parts={
            "mamba": counts["mamba"] * (hidden + mamba),
            "attention": counts["attention"] * (hidden + attention.parameters),
            "mlp": counts["mlp"] * (hidden + mlp.parameters + biases),
            "embedding": embedding,
            "lm_head": head.parameters,
            "final_norm": hidden,
        },
        layers=counts,
        embedding_parameters=embedding if head.parameters else 0,
        linear_parameters=linears.parameters,
        linear_channels=linears.channels,
        recurrence_parameters=counts["mamba"] * 3 * heads,
        kv_elements_per_token=counts["attention"] * 2 * attention.kv_heads * attention.head_dim,
        ssm_elements=counts["mamba"] * inner * state,
        conv_elements=counts["mamba"] * channels * (kernel - 1),
        max_context=read.size("max_position_embeddings"),
        assumptions=tuple(read.assumptions),
    )


def _dense(read: _Reader, model_type: str) -> ModelShape:
    layers, hidden = read.size("num_hidden_layers"), read.size("hidden_size")
    attention = _attention(read, hidden)
    others = attention.others
    if model_type == "qwen2":
        query = read.size("num_attention_heads") * attention.head_dim
        others += query + 2 * attention.kv_heads * attention.head_dim
    if model_type == "qwen3":
        others += 2 * attention.head_dim  # norms of query and key
    ffn = read.size("intermediate_size")
    mlp = _Linears.of((hidden, ffn), (hidden, ffn), (ffn, hidden))
    biases = (2 * ffn + hidden) * read.switch("mlp_bias", default=False)
    embedding, head = _embeddings(read, hidden)
    linears = _Linears.total([(layers, attention.linears), (layers, mlp), (1, head)])
    return ModelShape(
        model_type=model_type,
        parts={
            "attention": layers * (hidden + attention.linears.parameters + others),
            "mlp": layers * (hidden + mlp.parameters + biases),
            "embedding": embedding,
            "lm_head": head.parameters,
            "final_norm": hidden,
        },
        layers={"attention": layers, "mlp": layers},
        embedding_parameters=embedding if head.parameters else 0,
        linear_parameters=linears.parameters,
        linear_channels=linears.channels,
        recurrence_parameters=0,
        kv_elements_per_token=layers * 2 * attention.kv_heads * attention.head_dim,
        ssm_elements=0,
        conv_elements=0,
        max_context=read.size("max_position_embeddings"),
        assumptions=tuple(read.assumptions),
    )


def _attention(read: _Reader, hidden: int) -> _Attention:
    heads = read.size("num_attention_heads")
    kv_heads = read.size("num_key_value_heads", default=heads)
    head_dim = read.size("head_dim", "attention_head_dim", default=max(1, hidden // heads))
    query, key = heads * head_dim, kv_heads * head_dim
    linears = _Linears.of((hidden, query), (hidden, key), (hidden, key), (query, hidden))
    bias = read.switch("attention_bias", default=False)
    return _Attention(kv_heads, head_dim, linears, bias * linears.channels)


def _embeddings(read: _Reader, hidden: int) -> tuple[int, _Linears]:
    """Return the table's parameters, and the head that is not the table again."""
    vocab = read.size("vocab_size")
    tied = read.switch("tie_word_embeddings", default=False)
    return vocab * hidden, _Linears() if tied else _Linears.of((hidden, vocab))


def _invalid(place: str, message: str) -> BadInput:
    return BadInput(
        message,
        code="config_unsupported",
        place=place,
        remedy="Give the config.json that lies beside the weights.",
    )
