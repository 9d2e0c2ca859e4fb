"""A hybrid model of a few thousand random weights, and its checkpoint on disk."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH

CONFIG: dict[str, Any] = {
    "architectures": ["NemotronHForCausalLM"],
    "model_type": "nemotron_h",
    "vocab_size": 64,
    "hidden_size": 32,
    "hybrid_override_pattern": "M-M*-",
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 48,
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "ssm_state_size": 8,
    "n_groups": 1,
    "conv_kernel": 4,
    "chunk_size": 8,
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": False,
    "max_position_embeddings": 256,
}


def write_checkpoint(
    folder: Path, config: dict[str, Any], *, shards: int = 1, dtype: torch.dtype = torch.float32
) -> Path:
    """Write random weights for `config`, the names shared out in order, and no tied head."""
    torch.manual_seed(1)
    model = NemotronH(NemotronHConfig.from_dict(config))
    tensors = {name: tensor.to(dtype).clone() for name, tensor in model.state_dict().items()}
    if config["tie_word_embeddings"]:
        del tensors["lm_head.weight"]
    names = sorted(tensors)
    each = -(-len(names) // shards)
    for shard in range(shards):
        part = {name: tensors[name] for name in names[shard * each : (shard + 1) * each]}
        save_file(part, folder / f"{'abcdefgh'[shard]}.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder
