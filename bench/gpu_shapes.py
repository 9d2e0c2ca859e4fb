"""The two 8 to 9 billion parameter shapes, and what is asked of them; pure.

Sources: NVIDIA-Nemotron-Nano-9B-v2's published layer pattern and sizes (8,888,227,328 parameters);
Qwen3-8B's published config. Weights are random: time and memory do not depend on their values.
"""

from dataclasses import dataclass
from typing import Any, Final

A10G_USABLE_GIB: Final = 22.06
_PATTERN: Final = "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"


def hybrid_config(pattern: str = _PATTERN, **sizes: Any) -> dict[str, Any]:
    """Return the config.json of Nemotron-Nano-9B-v2's shape, or of a smaller one like it."""
    return {
        "architectures": ["NemotronHForCausalLM"],
        "model_type": "nemotron_h",
        "vocab_size": 131072,
        "hidden_size": 4480,
        "hybrid_override_pattern": pattern,
        "num_hidden_layers": len(pattern),
        "intermediate_size": 15680,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "mamba_num_heads": 128,
        "mamba_head_dim": 80,
        "ssm_state_size": 128,
        "n_groups": 8,
        "conv_kernel": 4,
        "chunk_size": 128,
        "mlp_hidden_act": "relu2",
        "layer_norm_epsilon": 1e-05,
        "tie_word_embeddings": False,
        "max_position_embeddings": 131072,
        **sizes,
    }


def transformer_config(**sizes: Any) -> dict[str, Any]:
    """Return the config.json of Qwen3-8B's shape, or of a smaller one like it."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 4096,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 12288,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "max_position_embeddings": 131072,
        **sizes,
    }


@dataclass(frozen=True, slots=True)
class Scenario:
    """So many tokens in and out of each sequence; `batch` None: as many as fit."""

    name: str
    tokens_in: int
    tokens_out: int
    batch: int | None = None

    @property
    def context(self) -> int:
        return self.tokens_in + self.tokens_out

    def sample_contexts(self, count: int = 5) -> list[int]:
        """Spread `count` context lengths evenly over the decode, its ends among them."""
        step = (self.tokens_out - 1) / (count - 1)
        return [self.tokens_in + round(step * index) for index in range(count)]


SCENARIOS: Final = (
    Scenario("8k in, 16k out", 8192, 16384),
    Scenario("1k in, 1k out", 1024, 1024),
    Scenario("128k, one sequence", 130048, 1024, batch=1),
)
CONFIGS: Final = {"hybrid 9B-v2": hybrid_config(), "transformer Qwen3-8B": transformer_config()}

# The same code on shapes that any machine holds: rehearses the run, says nothing about a GPU.
TINY_SCENARIOS: Final = (
    Scenario("32 in, 64 out", 32, 64),
    Scenario("480, one sequence", 448, 32, batch=1),
)
_TINY: Final[dict[str, Any]] = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
TINY_CONFIGS: Final = {
    "tiny hybrid": hybrid_config(
        "M-M*-M-",
        **_TINY,
        mamba_num_heads=4,
        mamba_head_dim=16,
        ssm_state_size=16,
        n_groups=2,
        chunk_size=16,
    ),
    "tiny transformer": transformer_config(**_TINY, num_hidden_layers=3),
}


def mean_over(contexts: list[int], values: list[float]) -> float:
    """Average a quantity over a decode, straight between the sampled context lengths."""
    if len(contexts) == 1:
        return values[0]
    pairs = zip(contexts, contexts[1:], values, values[1:], strict=False)
    area = sum((b - a) * (x + y) / 2 for a, b, x, y in pairs)
    return area / (contexts[-1] - contexts[0])
