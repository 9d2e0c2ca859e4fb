"""Write a trained model as a NemotronH folder: what transformers, and this project, can load."""

import json
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from demo.training.card import card, licence_statement
from demo.training.fit import CONFIG
from demo.training.prompt import BOS, END, PAD, SPECIALS
from demo.training.variants import Variant
from inference.models.nemotron_h import NemotronH

MAX_POSITIONS: Final = 8192
_LETTERS: Final = {"mamba": "M", "attention": "*", "mlp": "-"}
_TEMPLATE: Final = Path(__file__).parent / "format" / "chat_template.jinja"


def export(model: NemotronH, folder: Path, variant: Variant, evaluation: dict[str, Any]) -> None:
    """Write weights (matrices in bfloat16), config, tokenizer, template, card and evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_tensors(model), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    tokenizer().save(str(folder / "tokenizer.json"))
    template = _TEMPLATE.read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    (folder / "README.md").write_text(card(variant, evaluation), encoding="utf-8")
    (folder / "LICENSE").write_text(licence_statement(), encoding="utf-8")
    _write_json(folder / "config.json", config())
    _write_json(folder / "evaluation.json", evaluation)
    _write_json(folder / "generation_config.json", {"eos_token_id": END, "pad_token_id": PAD})
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": SPECIALS[BOS - PAD],
            "eos_token": SPECIALS[END - PAD],
            "pad_token": SPECIALS[0],
            "model_max_length": MAX_POSITIONS,
        },
    )


def as_exported(model: NemotronH) -> NemotronH:
    """Round the model to what `export` writes, so that figures are those of the files."""
    copy = NemotronH(CONFIG)
    copy.load_tensors({name: tensor.float() for name, tensor in _tensors(model).items()})
    return copy.eval()


def config() -> dict[str, Any]:
    """Return config.json with the key names of the NemotronH family."""
    shape = CONFIG
    return {
        "architectures": ["NemotronHForCausalLM"],
        "model_type": "nemotron_h",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "hybrid_override_pattern": "".join(_LETTERS[kind] for kind in shape.layers),
        "num_hidden_layers": len(shape.layers),
        "intermediate_size": shape.intermediate_size,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_key_value_heads,
        "head_dim": shape.head_dim,
        "mamba_num_heads": shape.mamba_num_heads,
        "mamba_head_dim": shape.mamba_head_dim,
        "ssm_state_size": shape.ssm_state_size,
        "n_groups": shape.n_groups,
        "conv_kernel": 4,
        "chunk_size": shape.chunk_size,
        "mlp_hidden_act": "relu2",
        "layer_norm_epsilon": shape.norm_eps,
        "tie_word_embeddings": shape.tie_word_embeddings,
        "max_position_embeddings": MAX_POSITIONS,
        "bos_token_id": BOS,
        "eos_token_id": END,
        "pad_token_id": PAD,
        "torch_dtype": "bfloat16",
    }


def tokenizer() -> Tokenizer:
    """Make the byte-level tokenizer: a byte's id is its value, special tokens follow."""
    letters = _byte_letters()
    made = Tokenizer(models.BPE(vocab={letters[i]: i for i in range(256)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in SPECIALS])
    return made


def _byte_letters() -> list[str]:
    """Return the printable letter that stands for each byte in byte-level vocabularies.

    Printable Latin-1 bytes stand for themselves, the others for letters from U+0100 on, in order.
    Source: the ByteLevel pre-tokenizer's alphabet.
    """
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in own else chr(next(others)) for byte in range(256)]


def _tensors(model: NemotronH) -> dict[str, torch.Tensor]:
    """Return the tensors as written: matrices in bfloat16, the recurrence's vectors in float32."""
    tied = CONFIG.tie_word_embeddings
    return {
        name: tensor.detach().to(torch.bfloat16 if tensor.dim() > 1 else torch.float32).contiguous()
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
