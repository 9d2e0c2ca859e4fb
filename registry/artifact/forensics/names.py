"""Read what a tensor is from its name: layer, kind of matrix, and its place at the residual stream.

Published checkpoints spell the same tensor in many ways: `backbone.layers.3.mixer.o_proj.weight`,
`model.layers.3.mixer.o_proj.weight`. A canonical name is the same for all of them.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Side = Literal["writes", "reads", ""]

EMBEDDINGS: Final = "embeddings.weight"
LM_HEAD: Final = "lm_head.weight"

_PREFIX: Final = re.compile(
    r"^(?:(?:module|_orig_mod|base_model|model|backbone|transformer|language_model|decoder)\.)+"
)
_EMBEDDINGS: Final = re.compile(
    r"^(?:embeddings?|embed_tokens|word_embeddings|tok_embeddings|wte|embed_in)\.weight$"
)
_FINAL_NORM: Final = re.compile(r"^(?:norm_f|norm|ln_f|final_layernorm)\.(weight|bias)$")
_LAYER: Final = re.compile(r"^(?:layers|h|blocks)\.(\d{1,6})\.(.+)$")
_EXPERT: Final = re.compile(r"(?:^|\.)experts\.\d+\.")

# Output of these is added to the residual stream, if their first size is the hidden size. With a
# latent size, the experts of NemotronH write to the latent and fc2_latent_proj to the stream.
# Source: modelling code of NemotronH, Llama, Qwen2 and Qwen3.
WRITERS: Final = frozenset(
    {"o_proj", "out_proj", "down_proj", "fc2_latent_proj", "fc2", "wo", "w2", "dense_4h_to_h"}
)
READERS: Final = frozenset(
    {
        *("q_proj", "k_proj", "v_proj", "qkv_proj", "in_proj", "up_proj", "gate_proj"),
        *("gate_up_proj", "fc1_latent_proj", "fc1", "w1", "w3", "lm_head"),
    }
)


@dataclass(frozen=True, slots=True)
class Name:
    """Hold a canonical name, its layer (None outside of the layers) and its kind of matrix."""

    canonical: str
    layer: int | None
    kind: str

    def side(self, shape: tuple[int, ...], hidden: int) -> Side:
        """Say whether the matrix writes to or reads from a residual stream of size `hidden`.

        Weights are (out, in), so a writer's rows and a reader's columns are the stream; a row of
        the embeddings is a state of the stream, so there the columns are.
        """
        if len(shape) != 2:
            return ""
        kind = self.kind.rsplit(".", 1)[-1]
        if self.canonical == EMBEDDINGS:
            return "writes" if shape[1] == hidden else ""
        if kind in WRITERS and shape[0] == hidden:
            return "writes"
        return "reads" if kind in READERS and shape[1] == hidden else ""

    @property
    def stream_axis(self) -> int:
        """Tell which axis of a writing matrix is the stream: the rows but for the embeddings."""
        return 1 if self.canonical == EMBEDDINGS else 0


def read_name(raw: str) -> Name:
    """Read a tensor's name as a checkpoint spells it."""
    bare = _PREFIX.sub("", raw)
    if _EMBEDDINGS.match(bare):
        return Name(EMBEDDINGS, None, "embeddings")
    if found := _FINAL_NORM.match(bare):
        return Name(f"norm.{found[1]}", None, "norm")
    if found := _LAYER.match(bare):
        layer, rest = int(found[1]), found[2]
        return Name(f"layers.{layer}.{rest}", layer, _kind(rest))
    return Name(bare, None, _kind(bare))


def with_layer(name: Name, layer: int) -> Name:
    """Give the same tensor's name in another layer."""
    rest = name.canonical.split(".", 2)[2]
    return Name(f"layers.{layer}.{rest}", layer, name.kind)


def _kind(rest: str) -> str:
    """Keep the last part but `weight`; experts and their shared ones stay apart from the rest."""
    parts = rest.split(".")
    suffix = "" if parts[-1] == "weight" else f".{parts[-1]}" if parts[-1] == "bias" else None
    if suffix is not None and len(parts) > 1:
        parts = parts[:-1]
    last = parts[-1] + (suffix or "")
    if _EXPERT.search(rest) or "experts" in parts:
        return f"experts.{last}"
    return f"shared.{last}" if any(part.startswith("shared_expert") for part in parts) else last
