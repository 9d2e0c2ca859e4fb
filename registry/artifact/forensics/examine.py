"""Examine one pair of tensors: equal, equal but for its dtype, or changed, and then how."""

import numpy as np

from registry.artifact.forensics.dtypes import F32, QUANTISED, READABLE, rounded
from registry.artifact.forensics.pairing import Pair
from registry.artifact.forensics.record import SKETCH, Record, Status
from registry.artifact.forensics.source import BLOCK_ELEMENTS, BUFFER_BYTES, Reader, View, spans
from registry.artifact.forensics.spectra import NARROWEST, measure


def examine(
    pair: Pair,
    hidden: int,
    base: Reader,
    derived: Reader,
    *,
    q: int = SKETCH,
    is_second: bool = False,
) -> Record:
    """Compare one pair; `hidden` is the size of the residual stream, `q` that of the sketch."""
    record = Record(
        name=pair.name.canonical,
        kind=pair.name.kind,
        layer=pair.name.layer,
        side=pair.name.side(pair.derived.shape, hidden),
        status="identical",
        shape=pair.derived.shape,
        dtypes=(pair.base.dtype, pair.derived.dtype),
    )
    if not pair.base.elements:
        return record
    with np.errstate(all="ignore"):
        record.status = _status(pair, base, derived)
        if record.status == "changed":
            narrow = not pair.derived.is_matrix or min(pair.derived.shape) < NARROWEST
            if narrow:
                _measure_narrow(pair, record, base, derived)
            else:
                measure(pair, record, base, derived, q=q, is_second=is_second)
    return record


def _status(pair: Pair, base: Reader, derived: Reader) -> Status:
    if pair.base.dtype == pair.derived.dtype and _same_bytes(pair, base, derived):
        return "identical" if _same_scale(pair) else "changed"
    if not (_is_readable(pair.base) and _is_readable(pair.derived)):
        return "opaque"
    unscaled = pair.base.scale is None and pair.derived.scale is None
    return "recast" if unscaled and _is_recast(pair, base, derived) else "changed"


def _is_readable(view: View) -> bool:
    return view.dtype in READABLE or (view.dtype in QUANTISED and view.scale is not None)


def _same_scale(pair: Pair) -> bool:
    left, right = pair.base.scale, pair.derived.scale
    if left is None or right is None:
        return left is right
    return np.array_equal(left.values, right.values)


def _same_bytes(pair: Pair, base: Reader, derived: Reader) -> bool:
    for first, count in spans(pair.base.size_bytes, BUFFER_BYTES):
        left, right = base.raw(pair.base, first, count), derived.raw(pair.derived, first, count)
        if not np.array_equal(left, right):
            return False
    return True


def _is_recast(pair: Pair, base: Reader, derived: Reader) -> bool:
    """Tell whether each side is the other, rounded to the nearest number of its dtype."""
    for first, count in spans(pair.base.elements, BLOCK_ELEMENTS):
        b = base.numbers(pair.base, first, count)
        d = derived.numbers(pair.derived, first, count)
        if not (_rounds_to(b, d, pair.derived.dtype) or _rounds_to(d, b, pair.base.dtype)):
            return False
    return True


def _rounds_to(values: F32, wanted: F32, dtype: str) -> bool:
    found = rounded(values, dtype)
    return found is not None and np.array_equal(found, wanted)


def _measure_narrow(pair: Pair, record: Record, base: Reader, derived: Reader) -> None:
    """Measure the energy of a vector, or of a tensor that is no matrix of a usual size."""
    record.status = "small"
    if pair.base.scale is not None or pair.derived.scale is not None:
        record.status = "opaque"
        return
    bb = dd = bd = xx = 0.0
    same = 0
    for first, count in spans(pair.base.elements, BLOCK_ELEMENTS):
        b = base.numbers(pair.base, first, count).astype(np.float64)
        d = derived.numbers(pair.derived, first, count).astype(np.float64)
        bb, dd, bd = bb + float(b @ b), dd + float(d @ d), bd + float(b @ d)
        xx += float((d - b) @ (d - b))
        same += int(np.count_nonzero(b == d))
    if not (np.isfinite(bb) and np.isfinite(dd)):
        record.status = "not_finite"
        return
    tiny = 1e-300
    record.energy = xx / max(bb, tiny)
    record.cosine = bd / max(float(np.sqrt(bb * dd)), tiny)
    record.norm_ratio = float(np.sqrt(max(dd, tiny) / max(bb, tiny)))
    record.unchanged = same / pair.base.elements
