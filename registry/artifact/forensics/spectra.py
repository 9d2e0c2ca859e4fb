"""Measure the difference of two matrices in two passes over their bytes, a block of rows at a time.

With X = D - (1 + alpha) B, of m rows and n columns, and a Gaussian test matrix W (n, q):

1. Sums, energies of rows and columns, and Z = X^T X W. A block of rows adds X_b^T (X_b W), so one
   power iteration costs no pass of its own. ||Z||^2 / q estimates ||X^T X||^2, and with it the
   effective rank ||X||^4 / ||X^T X||^2 (the participation of the squared singular values).
2. P = orth(Z), Y = X P, whose singular values are those of X; and, for the matrices at the
   residual stream, what `consistency.py` needs: X^T Y and B^T Y, or B P.

No work buffer is larger than max(m, n) x q numbers.

Source: Halko, Martinsson and Tropp, "Finding structure with randomness" (2011), sections 4 and 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.artifact.forensics.consistency import best_direction
from registry.artifact.forensics.dtypes import F32, rounding_energy
from registry.artifact.forensics.grids import Rows, find_grid
from registry.artifact.forensics.pairing import Pair
from registry.artifact.forensics.record import SKETCH, Record
from registry.artifact.forensics.source import BLOCK_ELEMENTS, Reader, spans

F64 = NDArray[np.float64]

NARROWEST: Final = 16
# Directions of the base that a second look leaves out; at most one in eight.
STRONGEST: Final = 48
_COUNTED: Final = 4  # entries are counted in every fourth block
_GRID_ROWS: Final = 16
# Of the energies of rows and columns, the quantile that stands for the largest: a few extreme
# ones are structure, which is looked for, and not noise.
_EDGE_QUANTILE: Final = 0.98
_ABOVE_EDGE: Final = 1.1
_PLAIN_GAP: Final = 4.0
_NEAR_EDGE: Final = 2.0
_FLOAT_FLOOR: Final = 3e-6
_FLOAT_ENERGY: Final = 1e-11


@dataclass(slots=True)
class Sums:
    """Hold what the first pass adds up, in float64."""

    bb: float = 0.0
    dd: float = 0.0
    bd: float = 0.0
    xx: float = 0.0
    rounding: float = 0.0
    counted: int = 0
    unchanged: int = 0
    zeros: int = 0
    size_changed: float = 0.0
    size_unchanged: float = 0.0
    rows: F64 = field(default_factory=lambda: np.zeros(0))
    columns: F64 = field(default_factory=lambda: np.zeros(0))
    counted_rows: int = 0

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.bb) and np.isfinite(self.dd) and np.isfinite(self.xx))


class Matrices:
    """Walk both sides of a pair, and hand out blocks of B and of X."""

    def __init__(self, pair: Pair, base: Reader, derived: Reader) -> None:
        self.pair, self._base, self._derived = pair, base, derived
        self.m, self.n = pair.base.shape
        self._step = max(1, BLOCK_ELEMENTS // self.n)
        self._x = np.empty(BLOCK_ELEMENTS, dtype=np.float32)
        self._scaled = np.empty(BLOCK_ELEMENTS, dtype=np.float32)

    def blocks(self, alpha: float, every: int = 1) -> Iterator[tuple[int, F32, F32, F32]]:
        """Yield (first row, B, D, X) for every so many blocks, the first one always among them."""
        for first, count in spans(self.m, self._step * every):
            rows = min(count, self._step)
            b = self._base.rows(self.pair.base, first, rows)
            d = self._derived.rows(self.pair.derived, first, rows)
            x = self._x[: rows * self.n].reshape(rows, self.n)
            np.subtract(d, b, out=x)
            if alpha:
                part = self._scaled[: rows * self.n].reshape(rows, self.n)
                np.subtract(x, np.multiply(b, np.float32(alpha), out=part), out=x)
            yield first, b, d, x

    @property
    def block_count(self) -> int:
        return -(-self.m // self._step)

    def sampled_rows(self) -> Rows:
        """Read a few rows, spread over the matrix, of both sides."""
        chosen = np.unique(np.linspace(0, self.m - 1, _GRID_ROWS).astype(int))
        b = np.concatenate([self._base.rows(self.pair.base, int(i), 1).copy() for i in chosen])
        d = [self._derived.rows(self.pair.derived, int(i), 1).copy() for i in chosen]
        return b, np.concatenate(d)


def measure(
    pair: Pair,
    record: Record,
    base: Reader,
    derived: Reader,
    *,
    q: int = SKETCH,
    is_second: bool = False,
) -> None:
    """Fill the record of a changed pair of matrices; rows and columns at least NARROWEST.

    A second look takes a matrix's own strongest directions away before it asks for consistency,
    and fills `held` with the answer.
    """
    walk = Matrices(pair, base, derived)
    q = min(q, walk.m, walk.n)
    alpha = _estimate_alpha(walk)
    strongest = min(STRONGEST, walk.m // 8, walk.n // 8) if is_second else 0
    sums, z, strong = _first_pass(walk, alpha, q, strongest)
    if not sums.is_finite or not np.isfinite(z).all():
        record.status = "not_finite"
        return
    exact = (sums.bd - sums.bb) / max(sums.bb, 1e-300) if alpha else 0.0
    _describe(record, sums, exact)
    total = sums.xx
    record.effective_rank = _effective_rank(total, float(np.square(z, dtype=np.float64).sum()) / q)
    only_rounding = total <= max(2.0 * sums.rounding, _FLOAT_ENERGY * sums.bb)
    if exact and only_rounding:
        record.status = "scaled"
        return
    axis = _stream_axis(pair, record)
    p = np.linalg.qr(z.astype(np.float64))[0].astype(np.float32)
    second = _second_pass(walk, exact, p, axis, strong)
    _spectrum(record, second.y, sums)
    if axis is not None:
        found = second.consistency(axis, p)
        if is_second:
            record.held = found[0]
        else:
            record.consistency, record.strength, record.direction = found
    record.grid = find_grid(*walk.sampled_rows())


def _estimate_alpha(walk: Matrices) -> float:
    """Estimate the multiple of B in D - B from an eighth of the blocks; 0 where it is idle."""
    bb = bd = xx = 0.0
    for _, b, d, x in walk.blocks(0.0, every=8 if walk.block_count > 8 else 1):
        flat = b.ravel()
        bb += float(np.dot(flat, flat))
        bd += float(np.dot(flat, d.ravel()))
        xx += float(np.dot(x.ravel(), x.ravel()))
    alpha = (bd - bb) / max(bb, 1e-300)
    idle = not np.isfinite(alpha) or alpha * alpha * bb < 4e-4 * xx
    return 0.0 if idle else alpha


def _first_pass(walk: Matrices, alpha: float, q: int, strongest: int) -> tuple[Sums, F32, F32]:
    """Return the sums, Z, and a basis (n, strongest) of what B reads most."""
    rng = np.random.default_rng(0)
    omega = rng.standard_normal((walk.n, q), dtype=np.float32)
    z = np.zeros((walk.n, q), dtype=np.float32)
    trial = rng.standard_normal((walk.n, strongest), dtype=np.float32)
    strong = np.zeros((walk.n, strongest), dtype=np.float32)
    sums = Sums(rows=np.zeros(walk.m), columns=np.zeros(walk.n))
    for index, (first, b, d, x) in enumerate(walk.blocks(alpha)):
        flat_b, flat_d = b.ravel(), d.ravel()
        sums.bb += float(np.dot(flat_b, flat_b))
        sums.dd += float(np.dot(flat_d, flat_d))
        sums.bd += float(np.dot(flat_b, flat_d))
        energies = np.einsum("ij,ij->i", x, x)
        sums.rows[first : first + len(x)] = energies
        sums.xx += float(energies.sum(dtype=np.float64))
        if index % _COUNTED == 0:
            _count(sums, b, d, x, walk.pair.derived.dtype)
        z += x.T @ (x @ omega)
        if strongest:
            strong += b.T @ (b @ trial)
    share = walk.m * walk.n / max(1, sums.counted)
    sums.rounding *= share
    sums.columns *= walk.m / max(1, sums.counted_rows)
    if strongest and np.isfinite(strong).all():
        strong = np.linalg.qr(strong.astype(np.float64))[0].astype(np.float32)
    return sums, z, strong


def _count(sums: Sums, b: F32, d: F32, x: F32, dtype: str) -> None:
    same = b == d
    size = np.abs(b)
    unchanged = int(np.count_nonzero(same))
    of_unchanged = float(np.dot(size.ravel(), same.ravel().astype(np.float32)))
    sums.counted += b.size
    sums.counted_rows += len(b)
    sums.unchanged += unchanged
    sums.size_unchanged += of_unchanged
    sums.size_changed += float(size.sum(dtype=np.float64)) - of_unchanged
    sums.zeros += int(np.count_nonzero(d == 0)) - int(np.count_nonzero(size == 0))
    sums.rounding += rounding_energy(d, dtype)
    sums.columns += np.einsum("ij,ij->j", x, x)


def _describe(record: Record, sums: Sums, alpha: float) -> None:
    bb, dd = max(sums.bb, 1e-300), max(sums.dd, 1e-300)
    record.alpha = alpha
    record.energy = sums.xx / bb + alpha * alpha
    record.cosine = sums.bd / np.sqrt(bb * dd).item()
    record.norm_ratio = float(np.sqrt(dd / bb))
    counted = max(1, sums.counted)
    record.unchanged = sums.unchanged / counted
    record.zeros_added = sums.zeros / counted
    record.rounding = sums.rounding / max(sums.xx, 1e-300)
    changed = sums.counted - sums.unchanged
    if sums.unchanged and changed and sums.size_changed > 0:
        mean = sums.size_unchanged / sums.unchanged
        record.mask_bias = mean / (sums.size_changed / changed)


def _effective_rank(total: float, fourth: float) -> float:
    return total * total / fourth if fourth > 0 else 0.0


def _stream_axis(pair: Pair, record: Record) -> int | None:
    if not record.side:
        return None
    return pair.name.stream_axis if record.side == "writes" else 1


@dataclass(slots=True)
class Second:
    """Hold what the second pass gives: Y = X P and, by the stream's axis, the rest.

    `aside` spans, along the other axis, what is left out when consistency is asked for.
    """

    y: F32
    aside: F32
    xy: F32 | None = None
    by: F32 | None = None
    bp: F32 | None = None

    def consistency(self, axis: int, p: F32) -> tuple[float, float, F32]:
        """Find the stream direction in which the change is most a multiple of what was there."""
        left, size, right = np.linalg.svd(self.y.astype(np.float64), full_matrices=False)
        if axis == 1 and self.bp is not None:
            seen = self._without(right @ self.y.T), self._without(right @ self.bp.T)
            return best_direction(p @ right.T, *seen)
        if self.xy is None or self.by is None:
            raise ValueError("The second pass did not keep what this axis needs.")
        keep = size > 1e-5 * max(float(size[0]), 1e-300)
        turn = right[keep] / size[keep, None]
        seen = self._without(turn @ self.xy.T), self._without(turn @ self.by.T)
        return best_direction(left[:, keep], *seen)

    def _without(self, seen: F64) -> F64:
        return seen - (seen @ self.aside) @ self.aside.T if self.aside.size else seen


def _second_pass(walk: Matrices, alpha: float, p: F32, axis: int | None, strong: F32) -> Second:
    q = p.shape[1]
    found = Second(np.empty((walk.m, q), dtype=np.float32), strong)
    written = np.empty((walk.m, strong.shape[1]), dtype=np.float32)
    if axis == 0:
        found.xy = np.zeros((walk.n, q), dtype=np.float32)
        found.by = np.zeros((walk.n, q), dtype=np.float32)
    elif axis == 1:
        found.bp = np.empty((walk.m, q), dtype=np.float32)
    for first, b, _, x in walk.blocks(alpha):
        y = x @ p
        found.y[first : first + len(x)] = y
        if found.xy is not None and found.by is not None:
            found.xy += x.T @ y
            found.by += b.T @ y
        if found.bp is not None:
            found.bp[first : first + len(x)] = b @ p
            written[first : first + len(x)] = b @ strong
    if axis == 1 and strong.size:
        found.aside = np.linalg.qr(written.astype(np.float64))[0].astype(np.float32)
    return found


def _trim(size: F64, rank: int, edge: float, rounding: float) -> int:
    """Leave out the last values behind a gap, where they lie at the edge or rounding may be them.

    Noise whose variance differs between entries reaches a little beyond the edge of its mean, and
    rounding leans on what it rounds: values whose whole energy is below `rounding` prove nothing.
    """
    floor = np.maximum(size[1 : rank + 1], edge) if rank < len(size) else size[1:rank]
    gaps = size[: len(floor)] / np.maximum(floor, 1e-300)
    if not len(gaps):
        return rank
    at = int(np.argmax(gaps)) + 1
    tail = float(np.square(size[at:rank]).sum())
    is_noise = size[at] < _NEAR_EDGE * edge or tail <= rounding
    return at if gaps[at - 1] >= _PLAIN_GAP and is_noise else rank


def _spectrum(record: Record, y: F32, sums: Sums) -> None:
    """Tell the singular values of structure from those that noise alone would have.

    The largest singular value of independent noise is at most about sqrt(max row energy) +
    sqrt(max column energy); for equal variances this is the Marchenko-Pastur edge.

    Source: Bandeira and van Handel, "Sharp nonasymptotic bounds on the norm of random matrices
    with independent entries" (2016).
    """
    left, size, _ = np.linalg.svd(y.astype(np.float64), full_matrices=False)
    powers, shapes = size * size, np.square(left)
    total = max(sums.xx, float(powers.sum()), 1e-300)
    floor = _FLOAT_FLOOR * float(size[0]) + 1e-7 * float(np.sqrt(sums.bb / len(size)))
    record.rank = len(size)
    # What turns out not to be structure belongs to the noise, whose edge then lies higher.
    while True:
        rank = record.rank
        rest = max(total - float(powers[:rank].sum()), 0.0)
        rows = np.clip(sums.rows - shapes[:, :rank] @ powers[:rank], 0.0, None)
        row = float(np.quantile(rows, _EDGE_QUANTILE))
        # Columns lose the same share of their energy as the whole does.
        column = float(np.quantile(sums.columns, _EDGE_QUANTILE)) * rest / total
        edge = max(float(np.sqrt(row) + np.sqrt(column)), floor)
        record.rank = int(np.count_nonzero(size[:rank] > _ABOVE_EDGE * edge))
        if record.rank in (rank, 0):
            break
    record.rank = _trim(size, record.rank, edge, sums.rounding)
    record.share = float(powers[: record.rank].sum()) / total
    if powers.sum() > total / 2:
        # Few values hold most of the energy: they are known, and so the trace's luck is not needed.
        rest = max(total - float(powers.sum()), 0.0)
        flat = rest * rest / max(1, min(record.shape) - len(size))
        record.effective_rank = _effective_rank(total, float(np.square(powers).sum()) + flat)
    after = size[record.rank] if record.rank < len(size) else 0.0
    if record.rank:
        record.cliff = float(size[record.rank - 1] / max(after, edge / 2, 1e-300))
    # What rounding explains is asked of what is left when the structure is gone.
    record.rounding = min(1e6, record.rounding / max(1e-12, 1.0 - record.share))
    scale = float(np.sqrt(max(sums.bb, 1e-300)))
    record.edge = edge / scale
    record.singular = [float(value) / scale for value in size[:8]]
