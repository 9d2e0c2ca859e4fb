"""Sum up the records of all tensors into the few numbers that the verdict rests on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from registry.artifact.forensics.directions import Pooled
from registry.artifact.forensics.dtypes import QUANTISED
from registry.artifact.forensics.pairing import Pairing
from registry.artifact.forensics.parents import ParentFit
from registry.artifact.forensics.record import SKETCH, Record

# A matrix is touched by a projection when its best direction is this consistent and this strong.
# Honest changes stay below one or the other, see the table in docs/safety-evidence.md.
TOUCHED_CONSISTENCY: Final = 0.5
TOUCHED_STRENGTH: Final = 0.15
# Structure explains a low-rank change, or structure and rounding do.
_LOW_RANK_SHARE: Final = 0.9
_LOW_RANK_VISIBLE: Final = 0.2
_ROUNDING_EXPLAINS: Final = 3.0
_LARGEST_RANK_PART: Final = 2.5


@dataclass(slots=True)
class Features:
    """Describe the whole change; medians are over the changed matrices."""

    tensors: int = 0
    identical: int = 0
    recast: int = 0
    scaled: int = 0
    changed: int = 0
    small: int = 0
    not_finite: list[str] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    resized: dict[str, tuple[int, int]] = field(default_factory=dict)
    dropped_layers: list[int] = field(default_factory=list)
    repeated_layers: list[int] = field(default_factory=list)
    added_layers: list[int] = field(default_factory=list)
    coverage: float = 0.0
    dtypes: list[tuple[str, str]] = field(default_factory=list)
    cosine: float = 1.0
    same_norm: float = 0.0
    energy: float = 0.0
    unchanged: float = 1.0
    mask_bias: float = 0.0
    pruned: float = 0.0
    zeros_added: float = 0.0
    on_grid: float = 0.0
    grid_levels: int = 0
    grid_excess: float = 0.0
    low_rank: float = 0.0
    rank: int | None = None
    rank_spread: float = 0.0
    cliff: float = 0.0
    writers: int = 0
    readers: int = 0
    touched_writers: list[str] = field(default_factory=list)
    touched_readers: list[str] = field(default_factory=list)
    touched_strength: float = 0.0
    touched_consistency: float = 0.0
    best_consistency: float = 0.0
    pooled: Pooled = field(default_factory=Pooled)
    parents: ParentFit = field(default_factory=ParentFit)


def is_touched(record: Record) -> bool:
    """Tell whether a projection explains how this matrix at the residual stream changed."""
    return (
        record.status == "changed"
        and record.consistency >= TOUCHED_CONSISTENCY
        and record.strength >= TOUCHED_STRENGTH
        and (record.held is None or record.held >= TOUCHED_CONSISTENCY)
    )


def is_saturated(record: Record) -> bool:
    """Tell whether the change may have more rank than the sketch that measured it can show."""
    return record.rank >= SKETCH - 2 or record.effective_rank > 0.75 * SKETCH


def gather(
    pairing: Pairing, records: Sequence[Record], probes: Sequence[Record], pooled: Pooled
) -> Features:
    """Make the features; `probes` are records of a wider sketch for some of the matrices."""
    found = Features(
        tensors=len(records),
        missing=pairing.missing,
        extra=pairing.extra,
        reshaped=sorted(pairing.reshaped),
        resized=pairing.resized,
        coverage=pairing.coverage,
        pooled=pooled,
    )
    if pairing.layers is not None:
        found.dropped_layers = pairing.layers.dropped
        found.repeated_layers = pairing.layers.repeated
        found.added_layers = pairing.layers.added
    for status in ("identical", "recast", "scaled", "changed", "small"):
        setattr(found, status, sum(one.status == status for one in records))
    found.not_finite = [one.name for one in records if one.status == "not_finite"]
    found.opaque = [one.name for one in records if one.status == "opaque"]
    found.dtypes = sorted({one.dtypes for one in records if one.status != "identical"})
    changed = [one for one in records if one.status == "changed"]
    if changed:
        _of_changed(found, changed)
        _ranks(found, changed, probes)
    _touched(found, records)
    return found


def _of_changed(found: Features, changed: Sequence[Record]) -> None:
    found.cosine = _median(changed, lambda one: one.cosine)
    found.same_norm = _share(changed, lambda one: abs(one.norm_ratio - 1.0) < 1e-3)
    found.energy = _median(changed, lambda one: one.energy)
    found.unchanged = _median(changed, lambda one: one.unchanged)
    found.mask_bias = _median(changed, lambda one: one.mask_bias)
    found.zeros_added = _median(changed, lambda one: one.zeros_added)
    found.pruned = _share(changed, lambda one: one.zeros_added > 0.05)
    found.on_grid = _share(changed, _is_quantised)
    on_grid = [one for one in changed if one.grid.levels]
    if on_grid:
        found.grid_levels = int(_median(on_grid, lambda one: one.grid.levels))
        found.grid_excess = _median(on_grid, lambda one: one.grid.excess)


def _is_quantised(record: Record) -> bool:
    return record.grid.levels > 0 or record.dtypes[1] in QUANTISED


def _ranks(found: Features, changed: Sequence[Record], probes: Sequence[Record]) -> None:
    """Look for one low rank in all changed matrices; wide probes stand for those that were full."""
    wide = {one.name: one for one in probes if one.status == "changed"}
    judged = [
        wide.get(one.name, one) for one in changed if one.name in wide or not is_saturated(one)
    ]
    # Without a visible rank, rounding that explains the change hid it; what it does not explain
    # speaks against a low rank.
    visible = [one for one in judged if one.rank or one.rounding * _ROUNDING_EXPLAINS < 1.0]
    if not any(one.rank for one in visible):
        return
    # A rank near the most that a matrix can have says nothing about the others'.
    telling = [one for one in visible if 2 * one.rank <= min(one.shape)] or visible
    low = [one for one in telling if _is_low_rank(one)]
    found.low_rank = len(low) / len(telling)
    if low:
        ranks = np.array([one.rank for one in low])
        found.rank = int(np.median(ranks))
        found.rank_spread = float(np.mean(np.abs(ranks - found.rank)) / max(1, found.rank))
        found.cliff = _median(low, lambda one: one.cliff)


def _is_low_rank(record: Record) -> bool:
    if not record.rank or record.rank * _LARGEST_RANK_PART > min(record.shape):
        return False
    explained = record.share >= _LOW_RANK_VISIBLE and record.rounding * _ROUNDING_EXPLAINS >= 1.0
    return record.share >= _LOW_RANK_SHARE or explained


def _touched(found: Features, records: Sequence[Record]) -> None:
    found.writers = sum(one.side == "writes" for one in records)
    found.readers = sum(one.side == "reads" for one in records)
    touched = [one for one in records if is_touched(one)]
    found.touched_writers = [one.name for one in touched if one.side == "writes"]
    found.touched_readers = [one.name for one in touched if one.side == "reads"]
    found.best_consistency = max((one.consistency for one in records if one.side), default=0.0)
    if touched:
        found.touched_strength = _median(touched, lambda one: one.strength)
        found.touched_consistency = _median(touched, lambda one: one.consistency)


def _median(records: Sequence[Record], value: Callable[[Record], float]) -> float:
    return float(np.median([value(one) for one in records]))


def _share(records: Sequence[Record], test: Callable[[Record], bool]) -> float:
    return sum(map(test, records)) / len(records)
