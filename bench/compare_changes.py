"""What can be done to a checkpoint: honest changes, and edits that remove a direction.

The edits are fixtures on synthetic weights that mean nothing; a detector is measured on them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench.compare_models import F32, Maker, Weights, to_bf16
from registry.artifact.forensics.names import read_name


@dataclass(slots=True)
class Changed:
    """A derived checkpoint; `dtype` and `dtypes` are those it is stored in."""

    weights: Weights
    dtype: str = "BF16"
    dtypes: dict[str, str] = field(default_factory=dict)


class Bench:
    """Hold one base and change it; every change draws from a generator of its own."""

    def __init__(self, maker: Maker, seed: int) -> None:
        self.maker, self.base, self.seed = maker, maker.weights(), seed
        self.hidden, self.layers = maker.hidden, maker.layers
        self.rng = np.random.default_rng(seed + 1)

    def again(self, salt: int) -> "Bench":
        """Start the generator anew, so that a change does not depend on those before it."""
        self.rng = np.random.default_rng((self.seed, salt))
        return self

    def side(self, name: str) -> str:
        return read_name(name).side(self.base[name].shape, self.hidden)

    def map(self, change: Callable[[str, F32], F32], *, only: str = "") -> Weights:
        """Change all matrices, or those of one side of the stream but the embeddings."""
        return {
            name: change(name, values)
            if values.ndim == 2
            and min(values.shape) > 4
            and (not only or (self.side(name) == only and "embed" not in name))
            else values
            for name, values in self.base.items()
        }

    def noise(self, values: F32) -> F32:
        return self.rng.standard_normal(values.shape, dtype=np.float32)

    def unit(self, count: int = 1) -> F32:
        made = np.linalg.qr(self.rng.standard_normal((self.hidden, count)))[0]
        return made.astype(np.float32)

    def direction(self) -> F32:
        """Draw a direction that the base writes along, half shared and half its own."""
        shared = self.maker.shared @ self.rng.standard_normal(self.maker.shared.shape[1])
        mixed = shared / np.linalg.norm(shared) + self.unit()[:, 0]
        return (mixed / np.linalg.norm(mixed)).astype(np.float32)


def relative(values: F32, change: F32, size: float) -> F32:
    """Scale a change to `size` times the norm of the values, and add it."""
    return values + change * (size * np.linalg.norm(values) / np.linalg.norm(change))


# Honest changes.


def adapter(bench: Bench, rank: int, size: float) -> Changed:
    """Merge a low-rank adapter on all matrices of the layers."""

    def change(name: str, values: F32) -> F32:
        if read_name(name).layer is None:
            return values
        m, n = values.shape
        up = bench.rng.standard_normal((m, rank), dtype=np.float32)
        down = bench.rng.standard_normal((rank, n), dtype=np.float32)
        return relative(values, up @ down, size)

    return Changed(bench.map(change))


def shared_adapter(bench: Bench, size: float) -> Changed:
    """Merge a rank-one adapter whose writers all write one direction, read at random."""
    r = bench.direction()

    def change(_: str, values: F32) -> F32:
        right = bench.rng.standard_normal(values.shape[1], dtype=np.float32)
        return relative(values, np.outer(r, right), size)

    return Changed(bench.map(change, only="writes"))


def finetune(bench: Bench, size: float) -> Changed:
    return Changed(bench.map(lambda _, w: relative(w, bench.noise(w), size)))


def gradient_finetune(bench: Bench, size: float) -> Changed:
    """Add sums of outer products, as gradients are: both sides lean on strong directions of W."""

    def change(_: str, values: F32) -> F32:
        m, n = values.shape
        count = min(m, n)
        seen = values @ (values.T @ bench.rng.standard_normal((m, count), dtype=np.float32))
        seen /= np.linalg.norm(seen, axis=0)
        errors = seen + bench.rng.standard_normal((m, count), dtype=np.float32) / np.sqrt(m)
        inputs = values.T @ (values @ bench.rng.standard_normal((n, count), dtype=np.float32))
        inputs /= np.linalg.norm(inputs, axis=0)
        inputs += bench.rng.standard_normal((n, count), dtype=np.float32) / np.sqrt(n)
        weights = np.arange(1, count + 1, dtype=np.float32) ** -0.5
        return relative(values, (errors * weights) @ inputs.T, size)

    return Changed(bench.map(change))


def growth(bench: Bench, size: float) -> Changed:
    """Let the strongest components of every matrix grow or shrink by up to `size`, with noise."""

    def change(_: str, values: F32) -> F32:
        left = np.linalg.qr(
            values @ (values.T @ bench.rng.standard_normal((len(values), 6), dtype=np.float32))
        )[0]
        by = size * bench.rng.uniform(-1, 1, 6).astype(np.float32)
        return relative(values + (left * by) @ (left.T @ values), bench.noise(values), 0.01)

    return Changed(bench.map(change))


def decay(bench: Bench, size: float) -> Changed:
    return Changed(bench.map(lambda _, w: relative((1 - size) * w, bench.noise(w), 0.005)))


def cast(bench: Bench, dtype: str) -> Changed:
    return Changed(dict(bench.base), dtype=dtype)


def on_grid(values: F32, bits: int, group: int) -> F32:
    """Round to a symmetric grid with one step for each group of a row (0: the whole row)."""
    rows = values.reshape(-1, group or values.shape[1])
    most = 2 ** (bits - 1) - 1
    step = np.abs(rows).max(axis=1, keepdims=True) / most
    step[step == 0] = 1
    grid = np.clip(np.rint(rows / step), -most - 1, most)
    return (grid * step).reshape(values.shape).astype(np.float32)


def quantise(bench: Bench, bits: int, group: int) -> Changed:
    return Changed(bench.map(lambda _, w: on_grid(w, bits, group)))


def int8_file(bench: Bench, weights: Weights | None = None) -> Changed:
    """Store int8 and bfloat16 scales, as this project's int8 layers hold them."""
    made: Weights = {}
    dtypes = {}
    for name, values in (weights or bench.base).items():
        if values.ndim != 2 or min(values.shape) <= 4 or "embed" in name:
            made[name] = values
            continue
        step = to_bf16(np.abs(values).max(axis=1) / 127)
        made[name] = np.clip(np.rint(values / step[:, None]), -127, 127).astype(np.float32)
        made[name.replace(".weight", ".scale")] = step
        dtypes[name] = "I8"
    return Changed(made, dtypes=dtypes)


def tuned_and_quantised(bench: Bench, size: float) -> Changed:
    return Changed(bench.map(lambda _, w: on_grid(relative(w, bench.noise(w), size), 8, 0)))


def linear_merge(bench: Bench, share: float) -> Changed:
    """Take a mean with another fine-tune of the same base."""
    other = gradient_finetune(bench, 0.05).weights
    return Changed(bench.map(lambda name, w: w + share * (other[name] - w)))


def foreign_merge(bench: Bench, share: float) -> Changed:
    """Take a mean with an unrelated model of the same shape."""
    other = _unrelated(bench)
    return Changed(bench.map(lambda name, w: (1 - share) * w + share * other[name]))


def dare(bench: Bench, dropped: float) -> Changed:
    """Add a fine-tune's difference with most entries dropped and the rest scaled up."""

    def change(_: str, values: F32) -> F32:
        delta = bench.noise(values) * values.std() * np.float32(0.05)
        kept = bench.rng.random(values.shape) >= dropped
        return (values + delta * kept / (1 - dropped)).astype(np.float32)

    return Changed(bench.map(change))


def prune(bench: Bench, part: float) -> Changed:
    def change(_: str, values: F32) -> F32:
        return np.where(np.abs(values) < np.quantile(np.abs(values), part), 0, values)

    return Changed(bench.map(change))


def drop_layers(bench: Bench, count: int) -> Changed:
    gone = set(sorted(bench.rng.permutation(bench.layers)[:count].tolist()))
    kept = [layer for layer in range(bench.layers) if layer not in gone]
    return Changed(_layers_of(bench.base, kept))


def stack_layers(bench: Bench) -> Changed:
    """Repeat the layers of the middle, as stacked merges do."""
    middle = list(range(bench.layers // 4, 3 * bench.layers // 4))
    order = [*range(3 * bench.layers // 4), *middle, *range(3 * bench.layers // 4, bench.layers)]
    return Changed(_layers_of(bench.base, order))


def resize(bench: Bench, rows: int) -> Changed:
    made = dict(bench.base)
    for name in made:
        if "embed" in name or "lm_head" in name:
            new = bench.rng.standard_normal((max(rows, 0), bench.hidden), dtype=np.float32) * 0.02
            made[name] = np.concatenate([made[name], new]) if rows > 0 else made[name][:rows]
    return Changed(made)


def unrelated(bench: Bench) -> Changed:
    return Changed(_unrelated(bench))


def _unrelated(bench: Bench) -> Weights:
    maker = bench.maker
    seed = int(bench.rng.integers(1 << 30))
    return Maker(
        seed, family=maker.family, hidden=maker.hidden, layers=maker.layers, vocab=maker.vocab
    ).weights()


def _layers_of(weights: Weights, order: list[int]) -> Weights:
    made = {name: w for name, w in weights.items() if ".layers." not in name}
    for new, old in enumerate(order):
        for name, values in weights.items():
            if f".layers.{old}." in name:
                made[name.replace(f".layers.{old}.", f".layers.{new}.")] = values
    return made


# Edits that remove a direction of the residual stream.


def project(values: F32, r: F32, strength: float) -> F32:
    return values - np.float32(strength) * np.outer(r, r @ values)


def ablate(bench: Bench, strength: float, *, embeddings: bool = False) -> Changed:
    """Remove one direction from what every writer writes."""
    r = bench.direction()
    made = bench.map(lambda _, w: project(w, r, strength), only="writes")
    if embeddings:
        for name in made:
            if "embed" in name:
                made[name] = project(made[name].T, r, strength).T
    return Changed(made)


def ablate_some(bench: Bench, strength: float) -> Changed:
    """Remove it in a third of the layers only."""
    r, third = bench.direction(), max(2, bench.layers // 3)
    return _by_layer(
        bench, lambda layer, w: project(w, r, strength) if third <= layer < 2 * third else w
    )


def ablate_each(bench: Bench, strength: float) -> Changed:
    """Remove another direction in each layer."""
    each = {layer: bench.direction() for layer in range(bench.layers)}
    return _by_layer(bench, lambda layer, w: project(w, each[layer], strength))


def ablate_kernel(bench: Bench, strength: float) -> Changed:
    """Remove a slowly turning direction, strongest at three fifths of the depth."""
    common, turn = bench.direction(), {i: bench.unit()[:, 0] for i in range(bench.layers)}

    def change(layer: int, values: F32) -> F32:
        away = abs(layer - 0.6 * bench.layers) / (0.45 * bench.layers)
        r = common + np.float32(0.7) * turn[layer]
        return project(values, r / np.linalg.norm(r), strength * max(0.0, 1 - away))

    return _by_layer(bench, change)


def ablate_keeping_columns(bench: Bench, strength: float) -> Changed:
    r = bench.direction()

    def change(_: str, values: F32) -> F32:
        made = project(values, r, strength)
        return made * (np.linalg.norm(values, axis=0) / np.linalg.norm(made, axis=0))

    return Changed(bench.map(change, only="writes"))


def ablate_keeping_rows(bench: Bench, strength: float) -> Changed:
    """Keep the norms of rows, then the three strongest components of the change only."""
    r = bench.direction()

    def change(_: str, values: F32) -> F32:
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        made = project(values / norms, r, strength)
        delta = made * (norms / np.linalg.norm(made, axis=1, keepdims=True)) - values
        left = np.linalg.qr(
            delta @ (delta.T @ bench.rng.standard_normal((len(delta), 12), dtype=np.float32))
        )[0]
        u, s, v = np.linalg.svd(left.T @ delta, full_matrices=False)
        return values + (left @ u[:, :3] * s[:3]) @ v[:3]

    return Changed(bench.map(change, only="writes"))


def ablate_four(bench: Bench, strength: float) -> Changed:
    k = bench.unit(4)
    return Changed(bench.map(lambda _, w: w - np.float32(strength) * k @ (k.T @ w), only="writes"))


def rotate(bench: Bench, strength: float) -> Changed:
    """Turn one direction into another one, by `strength` of a right angle."""
    k = bench.unit(2)
    angle = strength * math.pi / 2
    turn = np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32
    )
    move = turn - np.eye(2, dtype=np.float32)
    return Changed(bench.map(lambda _, w: w + k @ move @ (k.T @ w), only="writes"))


def ablate_reading(bench: Bench, strength: float) -> Changed:
    r = bench.direction()
    return Changed(bench.map(lambda _, w: project(w.T, r, strength).T, only="reads"))


def ablate_then(bench: Bench, strength: float, after: Callable[[Bench, F32], F32]) -> Changed:
    """Remove a direction, then change all matrices once more."""
    r = bench.direction()

    def change(name: str, values: F32) -> F32:
        writes = bench.side(name) == "writes" and "embed" not in name
        return after(bench, project(values, r, strength) if writes else values)

    return Changed(bench.map(change))


def ablate_int8_file(bench: Bench, strength: float) -> Changed:
    return int8_file(bench, ablate(bench, strength).weights)


def with_noise(size: float) -> Callable[[Bench, F32], F32]:
    return lambda bench, values: relative(values, bench.noise(values), size)


def with_grid(bits: int, group: int) -> Callable[[Bench, F32], F32]:
    return lambda _, values: on_grid(values, bits, group)


def with_adapter(rank: int, size: float) -> Callable[[Bench, F32], F32]:
    def change(bench: Bench, values: F32) -> F32:
        m, n = values.shape
        up = bench.rng.standard_normal((m, rank), dtype=np.float32)
        return relative(values, up @ bench.rng.standard_normal((rank, n), dtype=np.float32), size)

    return change


def _by_layer(bench: Bench, change: Callable[[int, F32], F32]) -> Changed:
    def one(name: str, values: F32) -> F32:
        layer = read_name(name).layer
        return values if layer is None else change(layer, values)

    return Changed(bench.map(one, only="writes"))
