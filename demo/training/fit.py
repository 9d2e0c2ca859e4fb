"""The training loop: AdamW on packed rows, compiled, bfloat16 autocast, checkpoints on the way."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from demo.training.batches import IGNORED, Batch, Progress, stream
from demo.training.lowrank import Update
from demo.training.tasks import Mix
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH

CONFIG: Final = NemotronHConfig(
    vocab_size=264,
    hidden_size=128,
    layers=("mamba", "mlp", "mamba", "attention", "mlp") * 2,
    intermediate_size=512,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    mamba_num_heads=8,
    mamba_head_dim=32,
    ssm_state_size=32,
    n_groups=1,
    chunk_size=32,
    eos_token_ids=(261,),
)
Forward = Callable[[Tensor, Tensor], Tensor]
_SAVE_EVERY_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Plan:
    """What one run does. A run ends after `minutes` of wall clock, or after `steps` when given."""

    mix: Mix
    seed: int
    minutes: float
    learning_rate: float
    steps: int | None = None
    rows: int = 12
    length: int = 320
    warmup_steps: int = 100


@dataclass(frozen=True)
class Summary:
    """What one run did."""

    steps: int
    tokens: int
    seconds: float
    last_loss: float

    def as_dict(self) -> dict[str, float]:
        return {k: round(v, 4) for k, v in asdict(self).items()}


def new_model(seed: int) -> NemotronH:
    """Make a freshly initialised model: Mamba-2's usual dt and A ranges, scaled residual paths."""
    torch.manual_seed(seed)
    model = NemotronH(CONFIG)
    depth = math.sqrt(len(CONFIG.layers))
    for name, parameter in model.named_parameters():
        if name.endswith("dt_bias"):
            low, high = math.log(1e-3), math.log(1e-1)
            dt = torch.exp(torch.rand_like(parameter) * (high - low) + low)
            parameter.data = dt + torch.log(-torch.expm1(-dt))
        elif name.endswith("A_log"):
            parameter.data.uniform_(1, 16).log_()
        elif parameter.dim() == 2:
            table = "embeddings" in name or "lm_head" in name
            nn.init.normal_(parameter, std=0.02 if table else 0.7 * CONFIG.hidden_size**-0.5)
            if name.endswith(("out_proj.weight", "o_proj.weight", "down_proj.weight")):
                parameter.data /= depth
    return model


def rate_at(progress: float, step: int, plan: Plan) -> float:
    """Warm up, hold for the first third, then fall in a line to two hundredths."""
    held = 1.0 if progress < 0.3 else max(0.02, (1 - progress) / 0.7)
    return plan.learning_rate * min(1.0, (step + 1) / plan.warmup_steps) * held


def fit(model: NemotronH, forward: Forward, update: Update, plan: Plan, save_to: Path) -> Summary:
    """Train `model` in place; save float32 weights now and then.

    `forward` is the model or its compiled form; compiled once, it serves several runs.
    """
    progress = Progress()
    batches = stream(plan.mix, random.Random(plan.seed), plan.rows, plan.length, progress)
    model.train()
    started = saved = time.monotonic()
    step, loss = 0, math.inf
    while progress.value < 1:
        loss = _backward(forward, next(batches))
        update.apply(rate_at(progress.value, step, plan))
        step += 1
        if step == 1:  # compiling is not training: the clock starts behind it
            started = saved = time.monotonic()
        now = time.monotonic()
        spent = now - started
        progress.value = step / plan.steps if plan.steps else spent / (60 * plan.minutes)
        if step % 50 == 0:
            speed = (step - 1) * plan.rows * plan.length / spent
            print(f"{step} {spent:.0f}s loss {loss:.4f} tok/s {speed:.0f}", flush=True)
        if now - saved > _SAVE_EVERY_SECONDS:
            saved = now
            save_weights(model, save_to)
    save_weights(model, save_to)
    model.eval()
    tokens = step * plan.rows * plan.length
    return Summary(step, tokens, time.monotonic() - started, loss)


def _backward(forward: Forward, batch: Batch) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = forward(batch.ids, batch.segments)
    loss = functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED
    )
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def save_weights(model: NemotronH, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write all weights to one safetensors file, atomically."""
    tensors = {n: t.detach().to(dtype).contiguous() for n, t in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"format": "pt"})
    part.replace(path)


def load_model(path: Path) -> NemotronH:
    """Read weights written by `save_weights` into a model of the demonstration's shape."""
    model = NemotronH(CONFIG)
    model.load_tensors(load_file(path))
    return model.eval()
