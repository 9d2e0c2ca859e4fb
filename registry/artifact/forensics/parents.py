"""Ask whether a change is a weighted sum of the base and of other parents that are at hand.

A linear merge looks like a fine-tune as long as only one parent is known: D - B is then t (O - B),
and O is anything. With O at hand it is a question of least squares. A multiple of B is fitted too,
so that a spherical merge, whose weights do not add up to one, is explained as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.artifact.forensics.dtypes import rounding_energy
from registry.artifact.forensics.pairing import Pair, pair_up
from registry.artifact.forensics.record import Record
from registry.artifact.forensics.source import BLOCK_ELEMENTS, Reader, Source, View, spans

MAX_PARENTS: Final = 4
MAX_MATRICES: Final = 64
_EVERY: Final = 4  # blocks looked at, of each matrix
_LEAST_EXPLAINED: Final = 0.9
_ROUNDING_EXPLAINS: Final = 3.0


@dataclass(slots=True)
class ParentFit:
    """Hold medians over the changed matrices: each other parent's weight, and what is explained.

    `matrices` counts those asked; `share` is the part of them that the parents explain, up to
    rounding to the derived dtype.
    """

    weights: list[float] = field(default_factory=list)
    explained: float = 0.0
    share: float = 0.0
    matrices: int = 0


def fit_parents(
    base: Source,
    derived: Source,
    others: Sequence[Source],
    pairs: Sequence[Pair],
    records: Sequence[Record],
) -> ParentFit:
    """Fit the changed matrices of `pairs` (base, derived) to the other parents.

    A matrix that some parent lacks is not asked. Reads one block in four, of at most 64 matrices.
    Raises: BadInput as `pair_up` does.
    """
    if not others:
        return ParentFit()
    counterparts = [
        {one.name.canonical: one.derived for one in pair_up(base, other).pairs} for other in others
    ]
    changed = [
        pair
        for pair, record in zip(pairs, records, strict=True)
        if record.status == "changed"
        and all(pair.name.canonical in found for found in counterparts)
    ]
    chosen = changed[:: max(1, -(-len(changed) // MAX_MATRICES))]
    readers = (Reader(base), Reader(derived), [Reader(other) for other in others])
    with np.errstate(all="ignore"):
        fits = [
            _fit(pair, [found[pair.name.canonical] for found in counterparts], *readers)
            for pair in chosen
        ]
    fits = [one for one in fits if np.isfinite(one[0]).all() and np.isfinite(one[1])]
    if not fits:
        return ParentFit()
    return ParentFit(
        weights=[float(one) for one in np.median([weights for weights, _, _ in fits], axis=0)],
        explained=float(np.median([explained for _, explained, _ in fits])),
        share=sum(is_explained for _, _, is_explained in fits) / len(fits),
        matrices=len(fits),
    )


def _fit(
    pair: Pair, views: Sequence[View], base: Reader, derived: Reader, others: Sequence[Reader]
) -> tuple[NDArray[np.floating], float, bool]:
    """Return (weights of the others, explained part, whether at most rounding is left)."""
    m, n = pair.base.shape
    size = 1 + len(views)
    gram, moment = np.zeros((size, size)), np.zeros(size)
    total = rounding = 0.0
    step = max(1, BLOCK_ELEMENTS // n)
    for first, count in spans(m, step * _EVERY):
        rows = min(count, step)
        b = base.rows(pair.base, first, rows).astype(np.float64).ravel()
        d = derived.rows(pair.derived, first, rows)
        x = d.astype(np.float64).ravel() - b
        terms = np.stack(
            [b]
            + [
                reader.rows(view, first, rows).astype(np.float64).ravel() - b
                for reader, view in zip(others, views, strict=True)
            ]
        )
        gram += terms @ terms.T
        moment += terms @ x
        total += float(x @ x)
        rounding += rounding_energy(d, pair.derived.dtype)
    ridge = 1e-12 * float(np.trace(gram)) + 1e-300
    weights = np.linalg.solve(gram + ridge * np.eye(size), moment)
    rest = max(total - float(2 * weights @ moment - weights @ gram @ weights), 0.0)
    explained = 1.0 - rest / max(total, 1e-300)
    is_explained = explained >= _LEAST_EXPLAINED or rest <= _ROUNDING_EXPLAINS * rounding
    return weights[1:], explained, is_explained and explained > 0.5
