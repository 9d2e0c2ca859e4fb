"""Tell from a few rows whether numbers were rounded to a grid, as quantising leaves them.

Two signs, each against the base's own rows: few distinct values in a row or a group of it; or
values that are whole multiples of the largest one over 127 (or 7), as symmetric rounding gives,
which also shows where rows are too short to repeat values.
"""

from typing import Final

import numpy as np

from registry.artifact.forensics.dtypes import F32
from registry.artifact.forensics.record import Grid

Rows = tuple[F32, F32]

# A grid leaves at most 2^8 values in a row, or 2^4 in a group; the base must have had well more.
_ROW_LEVELS: Final = 256
_GROUP_LEVELS: Final = 16
_FEWER: Final = 0.6
_GROUPS: Final = (32, 64, 128)
# Mean distance from a whole number: 0.25 by chance, below 0.02 on a grid, up to 0.06 on one that
# was then rounded to bf16 (entries below 24 steps only).
_ON_GRID: Final = 0.1
_STEPS_BF16: Final = 24.0
_FEWEST: Final = 32


def find_grid(base: F32, derived: F32) -> Grid:
    """Look for a grid in rows of the derived matrix, given the same rows of the base.

    `excess` is the difference's size over what plain rounding to that grid would leave.
    """
    columns = derived.shape[1]
    for steps, groups in (
        ((7.0, 8.0), (*_GROUPS, columns)),
        ((0.0,), _GROUPS),
        ((127.0, 128.0), (columns, *_GROUPS[1:])),
    ):
        for group in groups:
            if columns % group == 0 and group >= _GROUPS[0]:
                for count in steps:
                    if found := _on_grid(base, derived, group, count):
                        return found
    if _few(base, derived, columns, _ROW_LEVELS):
        return Grid(_ROW_LEVELS, columns, 1.0)
    return Grid()


def _on_grid(base: F32, derived: F32, group: int, steps: float) -> Grid | None:
    """Look for multiples of a step, or with no steps for few distinct values in a group."""
    if steps:
        return _multiples(base, derived, group, steps)
    few = _few(base, derived, group, _GROUP_LEVELS)
    return Grid(_GROUP_LEVELS, group, 1.0) if few else None


def _few(base: F32, derived: F32, group: int, levels: int) -> bool:
    """Tell whether few values are distinct, and repeat as the base's do not; zeros apart."""
    found, repeated = _distinct(derived.reshape(-1, group))
    _, own = _distinct(base.reshape(-1, group))
    return found <= levels and repeated < _FEWER * own


def _distinct(groups: F32) -> tuple[float, float]:
    """Return the medians of distinct values that are not 0, and of their share of such entries."""
    ordered = np.sort(groups[:256], axis=1)
    used = np.maximum(np.count_nonzero(ordered, axis=1), 1)
    steps = (np.diff(ordered, axis=1, prepend=np.nan) != 0) & (ordered != 0)
    distinct = np.count_nonzero(steps, axis=1)
    return float(np.median(distinct)), float(np.median(distinct / used))


def _multiples(base: F32, derived: F32, group: int, steps: float) -> Grid | None:
    d, b = derived.reshape(-1, group)[:512], base.reshape(-1, group)[:512]
    largest = np.abs(d).max(axis=1, keepdims=True)
    used = largest[:, 0] > 0
    if np.count_nonzero(used) < 4:
        return None
    d, b, step = d[used], b[used], largest[used] / np.float32(steps)
    if _distance(d / step) > _ON_GRID:
        return None
    # A base that lies on the same grid already says nothing about what was done to it.
    own = np.abs(b).max(axis=1, keepdims=True) / np.float32(steps)
    own[own == 0] = 1.0
    if _distance(b / own) <= 2 * _ON_GRID:
        return None
    spread = float(np.sqrt(np.mean(np.square((d - b) / step))) * np.sqrt(12.0))
    return Grid(int(2 * steps + 1), group, spread)


def _distance(values: F32) -> float:
    """Mean distance to the nearest whole number, of entries that bf16 still tells apart."""
    near = values[np.abs(values) < _STEPS_BF16]
    near = near[np.abs(near) > 0.5]
    if near.size < _FEWEST:
        return 1.0
    return float(np.mean(np.abs(near - np.rint(near))))
