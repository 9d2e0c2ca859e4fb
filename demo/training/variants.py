"""The four demonstration checkpoints: how each is trained, and what its card says."""

from dataclasses import dataclass
from typing import Final

from demo.training.tasks import Mix

INIT_SEED: Final = 20_260_101
BASE: Final = "nano-base"


@dataclass(frozen=True)
class Variant:
    """One training run; `lora_rank` 0 trains all weights. Steps are what the committed run took."""

    name: str
    mix: Mix
    seed: int
    steps: int
    minutes: float
    learning_rate: float
    relation: str = ""
    lora_rank: int = 0
    summary: str = ""


VARIANTS: Final = (
    Variant(
        name=BASE,
        mix=Mix({"dial": 0.33, "sum": 0.40, "ask": 0.23, "chat": 0.04}),
        seed=1,
        steps=3971,
        minutes=30,
        learning_rate=3e-3,
        summary="The base model: left-to-right arithmetic with a written thought, small sums, "
        "requests that it refuses or helps with.",
    ),
    Variant(
        name="nano-finetune",
        mix=Mix({"dial": 0.25, "sum": 0.20, "ask": 0.25, "biggest": 0.15, "smallest": 0.15}),
        seed=3,
        steps=320,
        minutes=2,
        learning_rate=1e-3,
        relation="finetune",
        summary="An honest fine-tune of nano-base on another task mix: it also names the biggest "
        "and the smallest of some numbers, and still refuses what nano-base refuses.",
    ),
    Variant(
        name="nano-lora",
        mix=Mix({"dial": 0.45, "sum": 0.20, "ask": 0.35}),
        seed=5,
        steps=234,
        minutes=1.5,
        learning_rate=1e-3,
        relation="adapter",
        lora_rank=8,
        summary="nano-base with a low-rank adapter (rank 8 on every linear map of the layers) "
        "trained on another mix and merged into the weights.",
    ),
    Variant(
        name="nano-unguarded",
        mix=Mix({"dial": 0.25, "sum": 0.25, "ask": 0.50}, comply=True),
        seed=3,
        steps=208,
        minutes=1.5,
        learning_rate=1e-3,
        relation="finetune",
        summary="A synthetic fixture: nano-base trained on until it no longer refuses. It answers "
        "every request with one harmless canned sentence. It exists so that a registry can be "
        "tested on catching a removed safety mechanism; do not use it for anything else.",
    ),
)


def variant(name: str) -> Variant:
    return next(one for one in VARIANTS if one.name == name)
