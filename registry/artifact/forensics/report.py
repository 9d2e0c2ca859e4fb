"""Write a comparison as the plain form that `lictor compare --json` prints."""

from typing import Any, Final

import numpy as np

from registry.artifact.forensics.features import (
    TOUCHED_CONSISTENCY,
    TOUCHED_STRENGTH,
    is_touched,
)
from registry.artifact.forensics.record import Record
from registry.artifact.forensics.scan import Comparison

SCHEMA: Final = "lictor.compare/1"
LIMITS: Final = (
    "Weights that are not identical to the base's never show that a safety mechanism survived; "
    "only measured behaviour does.",
    "A projection of the residual stream is found, not what it was for.",
)


def report(
    found: Comparison,
    *,
    base_digest: str | None,
    derived_digest: str | None,
    files: list[dict[str, Any]],
) -> dict[str, Any]:
    """Give the plain form; same comparison, same value."""
    verdict, features = found.verdict, found.features
    return {
        "schema": SCHEMA,
        "classification": verdict.classification,
        "confidence": verdict.confidence,
        "explains": verdict.explains,
        "rank": verdict.rank,
        "also": verdict.also,
        "base": base_digest,
        "derived": derived_digest,
        "coverage": _number(features.coverage),
        "tensors": {
            status: getattr(features, status)
            for status in ("identical", "recast", "scaled", "changed", "small")
        }
        | {"not_finite": len(features.not_finite), "opaque": len(features.opaque)},
        "missing": features.missing,
        "extra": features.extra,
        "reshaped": features.reshaped,
        "resized": {name: list(rows) for name, rows in sorted(features.resized.items())},
        "layers": _layers(found),
        "ablation": _ablation(found),
        "other_parents": {
            "weights": [_number(one) for one in features.parents.weights],
            "explained": _number(features.parents.explained),
            "share": _number(features.parents.share),
            "matrices": features.parents.matrices,
        },
        "heat": heat(found.records),
        "matrices": [_matrix(record) for record in found.records],
        "files": files,
        "notes": found.pairing.notes,
        "limits": list(LIMITS),
    }


def heat(records: list[Record]) -> dict[str, Any]:
    """Lay the matrices out as layers by kinds, for a picture; no layer is row null.

    A cell is the largest relative change (norm of the difference over the base's) of its
    matrices, and the largest consistency among those touched by a projection.
    """
    shown = [one for one in records if one.status not in ("small", "opaque") and _is_wide(one)]
    layers = sorted({one.layer for one in shown}, key=lambda layer: (layer is not None, layer or 0))
    kinds = sorted({one.kind for one in shown})
    change: dict[int | None, list[float | None]] = {layer: [None] * len(kinds) for layer in layers}
    touched = {layer: [0.0] * len(kinds) for layer in layers}
    for one in shown:
        row, column = change[one.layer], kinds.index(one.kind)
        row[column] = max(row[column] or 0.0, _number(float(np.sqrt(one.energy))))
        if is_touched(one):
            touched[one.layer][column] = max(touched[one.layer][column], _number(one.consistency))
    return {
        "layers": layers,
        "kinds": kinds,
        "change": [change[layer] for layer in layers],
        "projection": [touched[layer] for layer in layers],
    }


def _is_wide(record: Record) -> bool:
    return len(record.shape) == 2 and min(record.shape) > 1


def _layers(found: Comparison) -> dict[str, Any]:
    features = found.features
    return {
        "dropped": features.dropped_layers,
        "repeated": features.repeated_layers,
        "added": features.added_layers,
        "touched": sorted(
            {one.layer for one in found.records if is_touched(one) and one.layer is not None}
        ),
    }


def _ablation(found: Comparison) -> dict[str, Any]:
    features, pooled = found.features, found.pooled
    return {
        "writers": features.writers,
        "touched_writers": features.touched_writers,
        "readers": features.readers,
        "touched_readers": features.touched_readers,
        "strength": _number(features.touched_strength),
        "consistency": _number(features.touched_consistency),
        "thresholds": {"consistency": TOUCHED_CONSISTENCY, "strength": TOUCHED_STRENGTH},
        "shared_direction": {
            "writers": pooled.writers,
            "share": _number(pooled.share),
            "power": _number(pooled.power),
            "opposition": _number(pooled.opposition),
            "control_power": _number(pooled.control_power),
            "control_spread": _number(pooled.control_spread),
        },
    }


def _matrix(record: Record) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": record.name,
        "kind": record.kind,
        "layer": record.layer,
        "shape": list(record.shape),
        "status": record.status,
        "energy": _number(record.energy),
    }
    if record.status == "changed":
        plain |= {
            "effective_rank": _number(record.effective_rank),
            "rank": record.rank,
            "cosine": _number(record.cosine),
            "singular": [_number(value) for value in record.singular],
        }
        if record.side:
            plain |= {
                "side": record.side,
                "alignment": _number(record.alignment),
                "consistency": _number(record.consistency),
                "strength": _number(record.strength),
                "touched": is_touched(record),
            }
    return plain


def _number(value: float) -> float:
    """Round to six digits; what is not a number becomes 0, as JSON has none."""
    return float(f"{value:.6g}") if np.isfinite(value) else 0.0
