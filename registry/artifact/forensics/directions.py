"""Find the direction that the changed writers share, and test it against random ones.

One matrix can hide an edit in noise, as quantising after it makes; the same direction in many
matrices cannot. The pooled direction's power in the derived writers is compared with that in the
base's, and the same ratio for random directions says what the change does to any direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from registry.artifact.forensics.dtypes import F32
from registry.artifact.forensics.pairing import Pair
from registry.artifact.forensics.record import Record
from registry.artifact.forensics.source import BLOCK_ELEMENTS, Reader, spans

CONTROLS: Final = 8
MAX_CONFIRMED: Final = 64
_MAX_POOLED: Final = 256


@dataclass(slots=True)
class Pooled:
    """Hold medians over the changed writers, for the pooled direction.

    `share`: part of the pooled power in that direction; `power`: its norm in what they write,
    derived over base; `opposition`: cosine of the change with minus what was there;
    `control_power` and `control_spread`: the same ratio for random directions.
    """

    writers: int = 0
    share: float = 0.0
    power: float = 1.0
    opposition: float = 0.0
    control_power: float = 1.0
    control_spread: float = 0.0


def pool(records: Sequence[Record]) -> tuple[F32 | None, float]:
    """Return the direction that the writers' best ones share, and its share of their power.

    Each counts by its consistency; also sets `alignment`, the cosine with it, on every record
    that has a direction.
    """
    with_one = [one for one in records if one.side == "writes" and one.direction is not None]
    if not with_one:
        return None, 0.0
    chosen = sorted(with_one, key=lambda one: -one.consistency)[:_MAX_POOLED]
    rows = np.stack([one.direction for one in chosen if one.direction is not None])
    weights = np.array([max(one.consistency, 1e-3) for one in chosen], dtype=np.float32)
    _, sizes, right = np.linalg.svd(rows * weights[:, None], full_matrices=False)
    shared = right[0].astype(np.float32)
    for one in records:
        if one.direction is not None and one.direction.shape == shared.shape:
            one.alignment = min(1.0, abs(float(one.direction @ shared)))
    return shared, float(sizes[0] ** 2 / np.square(sizes).sum())


def confirm(
    pairs: Sequence[Pair], shared: F32, share: float, base: Reader, derived: Reader
) -> Pooled:
    """Read changed writers once more, and compare the shared direction with random ones."""
    step = max(1, len(pairs) // MAX_CONFIRMED)
    chosen = list(pairs)[::step][:MAX_CONFIRMED]
    noise = np.random.default_rng(1).standard_normal((CONTROLS, len(shared)), dtype=np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    probes = np.concatenate([shared[None], noise])
    powers: list[float] = []
    oppositions: list[float] = []
    controls: list[Any] = []
    for pair in chosen:
        before, change = _seen(pair, probes, base, derived)
        after = before + change
        ratios = np.linalg.norm(after, axis=1) / np.maximum(np.linalg.norm(before, axis=1), 1e-30)
        powers.append(float(ratios[0]))
        controls.extend(float(value) for value in ratios[1:])
        sizes = float(np.linalg.norm(change[0]) * np.linalg.norm(before[0]))
        oppositions.append(-float(change[0] @ before[0]) / max(sizes, 1e-30))
    return Pooled(
        writers=len(chosen),
        share=share,
        power=float(np.median(powers)),
        opposition=float(np.median(oppositions)),
        control_power=float(np.median(controls)),
        control_spread=float(np.std(controls)),
    )


def _seen(pair: Pair, probes: F32, base: Reader, derived: Reader) -> tuple[F32, F32]:
    """Return (probes x writing) what each direction gets before, and the change of it."""
    m, n = pair.base.shape
    by_rows = pair.name.stream_axis == 0
    shape = (len(probes), n if by_rows else m)
    before, change = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for first, count in spans(m, max(1, BLOCK_ELEMENTS // n)):
        b = base.rows(pair.base, first, count)
        x = derived.rows(pair.derived, first, count) - b
        if by_rows:
            part = probes[:, first : first + count]
            before += part @ b
            change += part @ x
        else:
            before[:, first : first + count] = probes @ b.T
            change[:, first : first + count] = probes @ x.T
    return before, change
