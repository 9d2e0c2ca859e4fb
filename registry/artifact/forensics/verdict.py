"""Judge the features of a change: one class, how sure, and one sentence why. Pure.

The order matters: what cannot be judged comes first, then equal weights, then no relation, then
the projection of the residual stream, which outranks whatever came on top of it, then the rest.
Each constant names the measurement that it comes from; they are in docs/safety-evidence.md.
"""

import math
from dataclasses import dataclass, field
from typing import Final, Literal

from registry.artifact.forensics.features import Features

Classification = Literal[
    "identical",
    "recast",
    "quantized",
    "adapter_merge",
    "dense_finetune",
    "directional_ablation",
    "merge",
    "pruned",
    "resized_vocabulary",
    "unrelated",
    "inconclusive",
]

# Two unrelated matrices have a cosine near 0; half of one model in a merge leaves 0.7.
UNRELATED_COSINE: Final = 0.2
WEAK_COSINE: Final = 0.5
# A permuted or rotated model keeps every norm though its cosine is 0.
SAME_NORMS: Final = 0.8
# Least parameters that must have been compared for any word about all of them.
LEAST_COVERAGE: Final = 0.98
# A projection of the stream is a matter of several writers: at least two, and one in twelve.
LEAST_TOUCHED: Final = 2
TOUCHED_WRITERS: Final = 1 / 12
TOUCHED_READERS: Final = 0.25
LEAST_TOUCHED_READERS: Final = 3
# The pooled direction lost this much more than random ones did, and against what was there.
POOLED_LOSS: Final = 0.10
POOLED_SPREADS: Final = 6.0
POOLED_OPPOSITION: Final = 0.5
MOST: Final = 0.6
# Plain rounding leaves 1, error-compensating quantisers up to about 2.
GRID_EXCESS: Final = 3.0
RANK_SPREAD: Final = 0.35
RANK_CLIFF: Final = 1.4
# Where nearly all matrices show the same rank, a cliff that rounding has worn down will do.
AGREEING_SPREAD: Final = 0.02
AGREEING_CLIFF: Final = 1.1
SPARSE_UNCHANGED: Final = 0.2
SPARSE_BIAS: Final = (0.85, 1.18)


@dataclass(slots=True)
class Verdict:
    """Say what was done to the weights; `also` lists what else was seen."""

    classification: Classification
    confidence: float
    explains: str
    rank: int | None = None
    also: list[str] = field(default_factory=list)


def classify(found: Features) -> Verdict:
    """Judge a change; the first rule that has an opinion decides."""
    rules = (
        _unreadable,
        _equal,
        _uncovered,
        _unrelated,
        _ablation,
        _known_merge,
        _structure,
        _change,
    )
    for rule in rules:
        if verdict := rule(found):
            verdict.also = [one for one in _also(found) if one != verdict.classification]
            verdict.confidence = round(verdict.confidence, 3)
            return verdict
    return Verdict("inconclusive", 0.0, "No rule knows this change; let a person look at it.")


def margin(value: float, threshold: float, sure: float) -> float:
    """Turn a distance into a confidence: 0.5 at the threshold, 0.99 from `sure` on."""
    part = (value - threshold) / (sure - threshold)
    return 0.5 + 0.49 * min(1.0, max(0.0, part))


def _unreadable(found: Features) -> Verdict | None:
    if found.not_finite:
        return _inconclusive(
            f"{_names(found.not_finite)} holds values that are not numbers, infinite, or too large "
            "to compare."
        )
    return None


def _equal(found: Features) -> Verdict | None:
    if found.changed or found.small or found.scaled or found.opaque or not found.tensors:
        return None
    whole = not (found.missing or found.extra or found.reshaped or found.resized)
    if not whole or found.dropped_layers or found.repeated_layers or found.added_layers:
        return None
    if found.recast:
        pairs = ", ".join(f"{left} to {right}" for left, right in found.dtypes)
        return Verdict("recast", 1.0, f"Every value is the base's, rounded: {pairs}.")
    return Verdict("identical", 1.0, "Every tensor is the base's, byte for byte.")


def _uncovered(found: Features) -> Verdict | None:
    if found.opaque:
        return _inconclusive(
            f"{_names(found.opaque)} changed and is stored in a form that is not read here, such "
            "as packed integers; compare the weights before packing."
        )
    if found.coverage >= LEAST_COVERAGE:
        return None
    if not found.tensors:
        return _inconclusive("No tensor of one side has a counterpart on the other.")
    if found.reshaped:
        return _inconclusive(
            f"{_names(found.reshaped)} has another shape than in the base; a narrowed model and an "
            "unrelated one look alike from here."
        )
    if found.dropped_layers or found.added_layers:
        return None
    return _inconclusive(f"Only {found.coverage:.0%} of the parameters have a counterpart.")


def _unrelated(found: Features) -> Verdict | None:
    if not found.changed or found.cosine >= UNRELATED_COSINE:
        return None
    if found.same_norm >= SAME_NORMS:
        return _inconclusive(
            "Hardly any value is near its counterpart, yet every matrix keeps its norm: the base, "
            "permuted or rotated, looks like this, and what else was done cannot be seen."
        )
    sure = margin(UNRELATED_COSINE - found.cosine, 0.0, 0.15)
    return Verdict(
        "unrelated",
        sure,
        f"The matrices have a median cosine of {found.cosine:.2f} with the base's; training "
        "from it would have left far more.",
    )


def _ablation(found: Features) -> Verdict | None:
    writers, readers = len(found.touched_writers), len(found.touched_readers)
    enough = max(LEAST_TOUCHED, math.ceil(TOUCHED_WRITERS * found.writers))
    enough_readers = max(LEAST_TOUCHED_READERS, math.ceil(TOUCHED_READERS * found.readers))
    if writers >= enough:
        return Verdict(
            "directional_ablation",
            max(margin(found.touched_consistency, 0.5, 0.9), margin(writers, enough, 3 * enough)),
            f"In {writers} of the {found.writers} matrices that write to the residual stream, "
            f"what changed is {found.touched_strength:.2f} of what they wrote along one direction "
            f"before (consistency {found.touched_consistency:.2f}, by chance 0): a projection of "
            "the stream, which training does not make.",
        )
    if lost := _pooled_loss(found):
        return Verdict(
            "directional_ablation",
            margin(lost, POOLED_LOSS, 0.4),
            f"The matrices that write to the residual stream write {found.pooled.power:.2f} times "
            "what they did along one shared direction, random directions "
            f"{found.pooled.control_power:.2f} times, and the change opposes what was there.",
        )
    if readers >= enough_readers:
        return Verdict(
            "directional_ablation",
            margin(found.touched_consistency, 0.5, 0.9),
            f"In {readers} of the {found.readers} matrices that read the residual stream, one "
            f"direction of it lost {found.touched_strength:.2f} of its effect "
            f"(consistency {found.touched_consistency:.2f}).",
        )
    return None


def _pooled_loss(found: Features) -> float:
    """Return how much more the shared direction lost than random ones; 0 if not proven."""
    pooled = found.pooled
    lost = pooled.control_power - pooled.power
    bar = max(POOLED_LOSS, POOLED_SPREADS * pooled.control_spread)
    proven = pooled.writers >= LEAST_TOUCHED and pooled.opposition > POOLED_OPPOSITION
    return lost if proven and lost > bar else 0.0


def _known_merge(found: Features) -> Verdict | None:
    parents = found.parents
    if not parents.matrices or parents.share < MOST:
        return None
    weights = ", ".join(f"{one:.2f}" for one in parents.weights)
    return Verdict(
        "merge",
        margin(parents.share, MOST, 0.95),
        f"A weighted sum of the base and the other parent explains {parents.explained:.0%} of the "
        f"change, up to rounding (weight of the other: {weights}).",
    )


def _structure(found: Features) -> Verdict | None:
    if found.repeated_layers:
        return Verdict(
            "merge",
            0.95,
            f"Layers {_numbers(found.repeated_layers)} of the base occur more than once: a stacked "
            "(passthrough) merge.",
        )
    if found.dropped_layers:
        return Verdict(
            "pruned",
            0.95 if found.cosine > WEAK_COSINE else 0.6,
            f"Layers {_numbers(found.dropped_layers)} of the base are gone.",
        )
    if found.added_layers:
        return _inconclusive(f"Layers {_numbers(found.added_layers)} are not from the base.")
    if found.changed or found.small or found.scaled:
        return None
    if found.resized:
        sizes = "; ".join(f"{name}: {a} to {b}" for name, (a, b) in sorted(found.resized.items()))
        return Verdict(
            "resized_vocabulary", 0.99, f"Nothing but the number of tokens changed ({sizes} rows)."
        )
    if found.extra or found.missing or found.reshaped:
        what = _names([*found.extra, *found.missing, *found.reshaped])
        return _inconclusive(f"What is in both is equal, but {what} is only in one or reshaped.")
    return None


def _change(found: Features) -> Verdict | None:
    if found.on_grid >= MOST and found.grid_excess <= GRID_EXCESS:
        return Verdict(
            "quantized",
            margin(found.on_grid, MOST, 0.95),
            f"{found.on_grid:.0%} of the changed matrices lie on a grid of few levels, no further "
            "from the base than rounding to it.",
        )
    if found.pruned >= MOST:
        return Verdict(
            "pruned",
            margin(found.zeros_added, 0.05, 0.2),
            f"{found.zeros_added:.0%} of the values in the changed matrices became zero.",
        )
    return _adapter(found) or _sparse(found) or _dense(found)


def _adapter(found: Features) -> Verdict | None:
    if found.rank is None or found.low_rank < MOST or found.on_grid >= MOST:
        return None
    cliff = AGREEING_CLIFF if found.rank_spread <= AGREEING_SPREAD else RANK_CLIFF
    if found.rank_spread > RANK_SPREAD or found.cliff < cliff:
        return None
    return Verdict(
        "adapter_merge",
        min(margin(found.low_rank, MOST, 0.95), margin(found.cliff, 1.0, 3.0)),
        f"The change of the matrices has rank {found.rank} (a low-rank adapter, merged); what is "
        "left is rounding.",
        rank=found.rank,
    )


def _sparse(found: Features) -> Verdict | None:
    low, high = SPARSE_BIAS
    if found.unchanged < SPARSE_UNCHANGED or not low <= found.mask_bias <= high:
        return None
    return Verdict(
        "merge",
        0.6,
        f"{found.unchanged:.0%} of the values are untouched, chosen without regard to their size: "
        "as sparse merges (DARE, TIES) leave them.",
    )


def _dense(found: Features) -> Verdict | None:
    if not (found.changed or found.small or found.scaled):
        return None
    if not found.changed:
        return Verdict(
            "dense_finetune", 0.6, "Only vectors (norms, biases) or scales of matrices changed."
        )
    return Verdict(
        "dense_finetune",
        margin(found.cosine, WEAK_COSINE, 0.95),
        f"The matrices changed throughout (median relative energy {found.energy:.2g}, cosine "
        f"{found.cosine:.3f}) and in no simpler form; a linear merge with another fine-tune looks "
        "the same.",
    )


def _also(found: Features) -> list[str]:
    seen = []
    if any(left != right for left, right in found.dtypes):
        seen.append("recast")
    if found.on_grid >= MOST:
        seen.append("quantized")
    if found.pruned >= MOST or found.dropped_layers:
        seen.append("pruned")
    if found.repeated_layers:
        seen.append("merge")
    if found.resized:
        seen.append("resized_vocabulary")
    return seen


def _inconclusive(why: str) -> Verdict:
    return Verdict("inconclusive", 0.0, why)


def _names(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0][:120]}{more}"


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(str(one) for one in numbers[:12])
    return shown + (" ..." if len(numbers) > 12 else "")
