"""Match the tensors of two checkpoints, whatever their names, shards and fusions.

Fused experts are taken apart; a fused qkv or gate_up matrix is when the other side has the
parts. Rows of a tensor lie together in a file, so a part is only another offset and copies nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from registry.artifact.forensics.dtypes import QUANTISED, READABLE, SCALE_SUFFIXES, scale_for
from registry.artifact.forensics.layers import LayerMap, align_layers
from registry.artifact.forensics.names import EMBEDDINGS, LM_HEAD, Name, read_name, with_layer
from registry.artifact.forensics.source import Reader, Source, View
from registry.errors import BadInput

MAX_EXPERTS: Final = 4096
MAX_SCALE_VALUES: Final = 1 << 22
_FUSED: Final = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}
_VOCABULARY: Final = (EMBEDDINGS, LM_HEAD)

Named = dict[str, tuple[Name, View]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Hold one tensor on both sides; `name` is that of the derived side."""

    name: Name
    base: View
    derived: View


@dataclass(slots=True)
class Pairing:
    """List what has a counterpart and what has not; names are canonical."""

    pairs: list[Pair] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    resized: dict[str, tuple[int, int]] = field(default_factory=dict)
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    layers: LayerMap | None = None
    hidden: int = 0
    base_parameters: int = 0
    derived_parameters: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def coverage(self) -> float:
        """Share of the parameters of the smaller side that have a counterpart."""
        paired = sum(pair.base.elements for pair in self.pairs)
        return paired / max(1, min(self.base_parameters, self.derived_parameters))


def pair_up(base: Source, derived: Source) -> Pairing:
    """Match two checkpoints; reads headers, scales and a small sample of the layers.

    Raises: BadInput for a checkpoint in which two names mean one tensor.
    """
    left, right = _named(base), _named(derived)
    result = Pairing(
        base_parameters=sum(view.elements for _, view in left.values()),
        derived_parameters=sum(view.elements for _, view in right.values()),
    )
    _take_apart(left, right)
    _take_apart(right, left)
    _tie(left, right, result, "base")
    _tie(right, left, result, "derived")
    result.layers = align_layers(Reader(base), _by_layer(left), Reader(derived), _by_layer(right))
    wanted = _renamed(right, result.layers)
    result.hidden = _hidden(left) or _hidden(right)
    seen = set()
    for name, view, counterpart in wanted:
        found = left.get(counterpart)
        if found is None:
            result.extra.append(name.canonical)
            continue
        seen.add(counterpart)
        _match(result, name, found[1], view)
    result.missing = sorted(left.keys() - seen)
    return result


def _match(result: Pairing, name: Name, base: View, derived: View) -> None:
    if base.shape == derived.shape:
        result.pairs.append(Pair(name, base, derived))
        return
    both_matrices = base.is_matrix and derived.is_matrix
    if (
        name.canonical in _VOCABULARY
        and both_matrices
        and base.shape[1] == derived.shape[1]
        and not (base.scale or derived.scale)
    ):
        rows = min(base.shape[0], derived.shape[0])
        result.resized[name.canonical] = (base.shape[0], derived.shape[0])
        result.pairs.append(Pair(name, base.rows(0, rows), derived.rows(0, rows)))
        return
    result.reshaped[name.canonical] = (base.shape, derived.shape)


def _named(source: Source) -> Named:
    """Name every tensor, with scales put to their matrices and experts taken apart."""
    raw = {view.raw_name: view for view in source.views()}
    scales, reader = _scales(raw), Reader(source)
    used = set(scales.values())
    named: Named = {}
    for view in raw.values():
        if view.raw_name in used:
            continue
        if scale_name := scales.get(view.raw_name):
            scale = raw[scale_name]
            values = reader.numbers(scale, 0, scale.elements).reshape(scale.shape) * np.float32(
                SCALE_SUFFIXES[scale_name.rsplit(".", 1)[-1]]
            )
            view = View(
                *(view.raw_name, view.dtype, view.shape, view.shard, view.offset),
                scale=scale_for(values, view.shape),
            )
        for name, part in _parts(read_name(view.raw_name), view):
            if name.canonical in named:
                other = named[name.canonical][1].raw_name
                raise BadInput(
                    f"{source.folder}: tensors {other!r} and {view.raw_name!r} mean the same.",
                    code="weights_ambiguous",
                    place=view.raw_name,
                    remedy="Keep one of them.",
                )
            named[name.canonical] = (name, part)
    return named


def _scales(raw: dict[str, View]) -> dict[str, str]:
    """Map the name of each quantised matrix to that of its scale, where the scale is usable."""
    found = {}
    for name, view in raw.items():
        if view.dtype not in QUANTISED or len(view.shape) != 2 or not view.is_matrix:
            continue
        stem = name.removesuffix(".weight")
        for suffix in SCALE_SUFFIXES:
            scale = raw.get(f"{stem}.{suffix}")
            if (
                scale is not None
                and scale.dtype in READABLE
                and 0 < scale.elements <= min(MAX_SCALE_VALUES, 1 << 18)
                and scale_for(np.zeros(scale.shape, dtype=np.float32), view.shape)
            ):
                found[name] = f"{stem}.{suffix}"
                break
    return found


def _parts(name: Name, view: View) -> Iterator[tuple[Name, View]]:
    fused = name.kind.startswith("experts.") and len(view.shape) == 3
    if not fused or not 0 < view.shape[0] <= MAX_EXPERTS:
        yield name, view
        return
    stem, _, last = name.canonical.removesuffix(".weight").rpartition(".")
    for index in range(view.shape[0]):
        canonical = f"{stem}.{index}.{last}.weight"
        yield Name(canonical, name.layer, name.kind), view.expert(index)


def _take_apart(mine: Named, other: Named) -> None:
    """Split my fused matrices where the other side has the parts, by the sizes found there."""
    for canonical in list(mine):
        name, view = mine[canonical]
        kind = name.kind.rsplit(".", 1)[-1]
        if kind not in _FUSED or not view.is_matrix or canonical in other:
            continue
        if view.scale is not None and view.scale.rows not in (1, view.shape[0]):
            continue
        names = [canonical.replace(kind, part) for part in _FUSED[kind]]
        found = [other[one] for one in names if one in other]
        rows = [part.shape[0] for _, part in found if part.is_matrix]
        if len(rows) != len(names) or sum(rows) != view.shape[0]:
            continue
        del mine[canonical]
        first = 0
        for one, (other_name, _), count in zip(names, found, rows, strict=True):
            mine[one] = (other_name, view.rows(first, first + count))
            first += count


def _tie(mine: Named, other: Named, result: Pairing, side: str) -> None:
    """Let embeddings stand for a head that one side does not store because the two are one."""
    if LM_HEAD in other and LM_HEAD not in mine and EMBEDDINGS in mine:
        view = mine[EMBEDDINGS][1]
        if len(view.shape) == 2 and view.shape[1:] == other[LM_HEAD][1].shape[1:]:
            mine[LM_HEAD] = (read_name(LM_HEAD), view)
            result.notes.append(f"The {side} ties its head to its embeddings; compared as such.")


def _by_layer(named: Named) -> dict[int, dict[str, View]]:
    layers: dict[int, dict[str, View]] = {}
    for name, view in named.values():
        if name.layer is not None:
            rest = name.canonical.split(".", 2)[2]
            layers.setdefault(name.layer, {})[rest] = view
    return layers


def _renamed(named: Named, layers: LayerMap) -> list[tuple[Name, View, str]]:
    """Give (name, view, canonical name of the base's tensor), through the map of layers."""
    rows = []
    for name, view in named.values():
        counterpart = name
        if name.layer is not None and layers.moved:
            origin = layers.origin.get(name.layer)
            counterpart = with_layer(name, origin) if origin is not None else name
            if origin is None:
                rows.append((name, view, ""))
                continue
        rows.append((name, view, counterpart.canonical))
    return rows


def _hidden(named: Named) -> int:
    """Read the size of the residual stream from the embeddings, else from the final norm."""
    for canonical, axis in ((EMBEDDINGS, 1), (LM_HEAD, 1), ("norm.weight", 0)):
        if canonical in named:
            shape = named[canonical][1].shape
            if len(shape) > axis:
                return shape[axis]
    return 0
