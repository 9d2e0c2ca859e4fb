"""Find which layer of the base each layer of the derived checkpoint was.

Dropping layers renumbers those that stay, and a stacked merge repeats some. Layers are matched by
the cosine of a sample of their largest tensor, which honest training hardly moves.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from registry.artifact.forensics.dtypes import F32, READABLE
from registry.artifact.forensics.source import Reader, View

SAMPLE: Final = 1 << 14
MAX_LAYERS: Final = 400
# Layers of one model have a cosine near 0 with each other, and a fine-tuned layer one above 0.95
# with what it was (docs/safety-evidence.md).
SAME_LAYER: Final = 0.6

Layers = dict[int, dict[str, View]]


@dataclass(slots=True)
class LayerMap:
    """Map each derived layer to the base layer it was; `moved` where that is not itself."""

    origin: dict[int, int] = field(default_factory=dict)
    moved: bool = False
    dropped: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    added: list[int] = field(default_factory=list)


def align_layers(base: Reader, left: Layers, derived: Reader, right: Layers) -> LayerMap:
    """Match layers where the two do not have the same ones; else say that nothing moved."""
    if left.keys() == right.keys() or max(len(left), len(right)) > MAX_LAYERS:
        return LayerMap()
    samples = {index: _sample(base, layer) for index, layer in left.items()}
    found = LayerMap(moved=True)
    for index, layer in sorted(right.items()):
        origin = _nearest(_sample(derived, layer), samples)
        if origin is None:
            found.added.append(index)
        else:
            found.origin[index] = origin
    if 2 * len(found.origin) < len(right):
        return LayerMap()
    origins = list(found.origin.values())
    found.dropped = sorted(left.keys() - set(origins))
    found.repeated = sorted({one for one in origins if origins.count(one) > 1})
    return found


def _sample(reader: Reader, layer: dict[str, View]) -> tuple[str, F32]:
    readable = {rest: view for rest, view in layer.items() if view.dtype in READABLE}
    if not readable:
        return "", np.zeros(1, dtype=np.float32)
    rest = max(readable, key=lambda name: (readable[name].elements, name))
    view = readable[rest]
    values = reader.numbers(view, 0, min(SAMPLE, view.elements)).copy()
    length = float(np.linalg.norm(values))
    return f"{rest} {view.shape}", values / np.float32(length) if 0 < length < np.inf else values


def _nearest(sample: tuple[str, F32], others: dict[int, tuple[str, F32]]) -> int | None:
    label, values = sample
    best, found = SAME_LAYER, None
    for index, (other_label, other) in others.items():
        if label and label == other_label:
            cosine = float(np.dot(values, other))
            if cosine > best:
                best, found = cosine, index
    return found
