"""The two checkpoints that the CPU benchmark serves; the larger one is made on the fly.

Both have a tokenizer of bytes: a prompt of n ASCII characters is n tokens, whatever the engine.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
NANO: Final = ROOT / "demo" / "checkpoints" / "nano-base"
HYBRID_SEED: Final = 20260801
HYBRID_VOCAB: Final = 4096
_PATTERN: Final = "M-M-M*-M-M-M*-"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"

HYBRID_CONFIG: Final[dict[str, Any]] = {
    "architectures": ["NemotronHForCausalLM"],
    "model_type": "nemotron_h",
    "vocab_size": HYBRID_VOCAB,
    "hidden_size": 512,
    "hybrid_override_pattern": _PATTERN,
    "num_hidden_layers": len(_PATTERN),
    "intermediate_size": 1536,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "mamba_num_heads": 16,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "n_groups": 2,
    "conv_kernel": 4,
    "chunk_size": 128,
    "mlp_hidden_act": "relu2",
    "layer_norm_epsilon": 1e-05,
    "tie_word_embeddings": False,
    "max_position_embeddings": 2048,
    "bos_token_id": 257,
    "eos_token_id": 261,
    "pad_token_id": 256,
    "torch_dtype": "bfloat16",
}


@dataclass(frozen=True, slots=True)
class BenchModel:
    """One checkpoint, how much each stream asks of it, and the dtypes it is served in."""

    name: str
    folder: Callable[[], Path]
    new_tokens: int
    dtypes: tuple[str, ...]
    trained: bool


def hybrid_folder(target: Path | None = None) -> Path:
    """Return the folder of the random hybrid, made if it is not there; the same on every machine.

    Weights: normal, deviation 0.02, from a fixed seed, stored in bf16; recurrence as Mamba-2
    begins it. Embedding and head are wide (deviation 1 and 0.2), so that greedy choices vary.
    """
    folder = target or ROOT / "var" / "bench" / "hybrid-25m"
    if (folder / "tokenizer.json").is_file():
        return folder
    # Here, not above: the controller of a benchmark has no use for torch.
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(HYBRID_SEED)
    tensors = {
        name: _initial(name, shape, generator) for name, shape in weight_shapes(HYBRID_CONFIG)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(HYBRID_CONFIG, indent=2), encoding="utf-8")
    for name in ("tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((NANO / name).read_bytes())
    # Last: its presence says that the folder is whole.
    (folder / "tokenizer.json").write_text(json.dumps(wide_tokenizer()), encoding="utf-8")
    return folder


def weight_shapes(config: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """List names and shapes of every tensor of a NemotronH checkpoint, in order."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    shapes: list[tuple[str, tuple[int, ...]]] = [("backbone.embeddings.weight", (vocab, hidden))]
    for index, letter in enumerate(config["hybrid_override_pattern"]):
        prefix = f"backbone.layers.{index}."
        shapes.append((prefix + "norm.weight", (hidden,)))
        parts = {"M": _mamba_shapes, "*": _attention_shapes, "-": _mlp_shapes}[letter](config)
        shapes += [(f"{prefix}mixer.{name}", shape) for name, shape in parts.items()]
    return [*shapes, ("backbone.norm_f.weight", (hidden,)), ("lm_head.weight", (vocab, hidden))]


def _mamba_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    heads, hidden = config["mamba_num_heads"], config["hidden_size"]
    inner = heads * config["mamba_head_dim"]
    channels = inner + 2 * config["n_groups"] * config["ssm_state_size"]
    return {
        "A_log": (heads,),
        "D": (heads,),
        "dt_bias": (heads,),
        "conv1d.weight": (channels, 1, config["conv_kernel"]),
        "conv1d.bias": (channels,),
        "in_proj.weight": (inner + channels + heads, hidden),
        "norm.weight": (inner,),
        "out_proj.weight": (hidden, inner),
    }


def _attention_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden = config["hidden_size"]
    query = config["num_attention_heads"] * config["head_dim"]
    shared = config["num_key_value_heads"] * config["head_dim"]
    return {
        "q_proj.weight": (query, hidden),
        "k_proj.weight": (shared, hidden),
        "v_proj.weight": (shared, hidden),
        "o_proj.weight": (hidden, query),
    }


def _mlp_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return {"up_proj.weight": (inner, hidden), "down_proj.weight": (hidden, inner)}


def _initial(name: str, shape: tuple[int, ...], generator: Any) -> Any:
    """Return a tensor's first values: Mamba-2's own for the recurrence, else normal."""
    import torch

    if name.endswith("A_log"):
        return torch.linspace(1.0, 16.0, shape[0]).log()
    if name.endswith("dt_bias"):
        # softplus of it lies between 0.001 and 0.1, where Mamba-2 begins.
        steps = torch.logspace(-3, -1, shape[0])
        return steps + torch.log(-torch.expm1(-steps))
    if name.endswith((".D", "norm.weight", "norm_f.weight")):
        return torch.ones(shape, dtype=torch.float32 if name.endswith(".D") else torch.bfloat16)
    deviation = {"backbone.embeddings.weight": 1.0, "lm_head.weight": 0.2}.get(name, 0.02)
    return (torch.randn(shape, generator=generator) * deviation).to(torch.bfloat16)


def wide_tokenizer() -> dict[str, Any]:
    """Widen nano-base's byte tokenizer to the hybrid's vocabulary.

    Text never encodes to the new ids (no merge makes them), but each has a text of its own, so
    that an engine has something to detokenise and to send for every token.
    """
    data: dict[str, Any] = json.loads((NANO / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = data["model"]["vocab"]
    # In the vocabulary too: without, they would be numbered anew after its end.
    vocab |= {token["content"]: token["id"] for token in data["added_tokens"]}
    taken = len(vocab)
    for token_id in range(taken, HYBRID_VOCAB):
        high, low = divmod(token_id, len(_LETTERS))
        first, second = divmod(high, len(_LETTERS))
        vocab[_LETTERS[first] + _LETTERS[second] + _LETTERS[low]] = token_id
    return data


MODELS: Final = {
    "nano-base": BenchModel("nano-base", lambda: NANO, 256, ("fp32",), trained=True),
    "hybrid-25m": BenchModel("hybrid-25m", hybrid_folder, 128, ("fp32", "bf16"), trained=False),
}
