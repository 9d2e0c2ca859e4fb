"""Compare the weights of two checkpoints: pair, examine, look twice where needed, judge."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import numpy as np

from registry.artifact.forensics.directions import Pooled, confirm, pool
from registry.artifact.forensics.examine import examine
from registry.artifact.forensics.features import Features, gather, is_saturated, is_touched
from registry.artifact.forensics.pairing import Pair, Pairing, pair_up
from registry.artifact.forensics.parents import fit_parents
from registry.artifact.forensics.record import SKETCH, Record
from registry.artifact.forensics.resume import Journal, key_of
from registry.artifact.forensics.source import Reader, Source
from registry.artifact.forensics.verdict import Verdict, classify

Progress = Callable[[int, int], None]

WIDE_SKETCH: Final = 112
_WIDE_PROBES: Final = 6
_WIDEST_PROBE: Final = 1 << 15
_BATCH: Final = 256


@dataclass(slots=True)
class Comparison:
    """Hold the verdict and all that it rests on."""

    verdict: Verdict
    features: Features
    pairing: Pairing
    records: list[Record]
    pooled: Pooled


def compare_weights(
    base: Path,
    derived: Path,
    *,
    progress: Progress | None = None,
    resume: Path | None = None,
    workers: int = 1,
    other_parents: Sequence[Path] = (),
) -> Comparison:
    """Say what was done to the weights of `base` to get those of `derived`.

    `other_parents` are what a merge may have been made with, beside the base. `progress` gets
    (bytes done, bytes in all) of both sides; `resume` is a file that keeps each tensor's result for
    a later run; each worker takes about 10 MiB. Same files, same answer, for any number of workers.

    Raises: BadInput for a folder without valid safetensors weights.
    """
    with ExitStack() as opened:
        left, right, *others = (
            opened.enter_context(Source(one)) for one in (base, derived, *other_parents)
        )
        with np.errstate(all="ignore"):
            pairing = pair_up(left, right)
        readers = _Readers(left, right, workers)
        with Journal(resume, key_of(left.state, right.state)) as journal:
            records = _examine_all(pairing, readers, journal, progress, workers)
        with np.errstate(all="ignore"):
            _look_again(pairing, records, readers)
            probes = _probe_ranks(pairing, records, readers)
            pooled = _pooled(pairing, records, readers)
        parents = fit_parents(left, right, others, pairing.pairs, records)
    features = gather(pairing, records, probes, pooled)
    features.parents = parents
    return Comparison(classify(features), features, pairing, records, pooled)


class _Readers:
    """Lend each thread a pair of readers with their buffers."""

    def __init__(self, base: Source, derived: Source, workers: int) -> None:
        self._idle: SimpleQueue[tuple[Reader, Reader]] = SimpleQueue()
        for _ in range(max(1, workers)):
            self._idle.put((Reader(base), Reader(derived)))

    @contextmanager
    def lend(self) -> Iterator[tuple[Reader, Reader]]:
        taken = self._idle.get()
        try:
            yield taken
        finally:
            self._idle.put(taken)


def _examine_all(
    pairing: Pairing,
    readers: _Readers,
    journal: Journal,
    progress: Progress | None,
    workers: int,
) -> list[Record]:
    total = sum(_size(pair) for pair in pairing.pairs)
    done, records = 0, []

    def one(pair: Pair) -> tuple[Pair, Record, bool]:
        known = journal.get(pair.name.canonical)
        if known is not None:
            return pair, known, True
        with readers.lend() as (base, derived):
            return pair, examine(pair, pairing.hidden, base, derived), False

    with ThreadPoolExecutor(max(1, workers)) as pool_of_threads:
        for first in range(0, len(pairing.pairs), _BATCH):
            batch = pairing.pairs[first : first + _BATCH]
            for pair, record, is_known in pool_of_threads.map(one, batch):
                if not is_known:
                    journal.add(record)
                records.append(record)
                done += _size(pair)
                if progress is not None:
                    progress(done, total)
    return records


def _size(pair: Pair) -> int:
    return pair.base.size_bytes + pair.derived.size_bytes


def _look_again(pairing: Pairing, records: list[Record], readers: _Readers) -> None:
    """Ask the matrices that look touched once more, without the base's strongest directions.

    A strong direction of a matrix is nearly one left and one right vector, so a change that merely
    leans on both, as training's does, is a multiple of it. A projection is one in every direction.
    """
    with readers.lend() as (base, derived):
        for record, pair in zip(records, pairing.pairs, strict=True):
            if is_touched(record):
                again = examine(pair, pairing.hidden, base, derived, is_second=True)
                record.held = again.held


def _probe_ranks(pairing: Pairing, records: list[Record], readers: _Readers) -> list[Record]:
    """Examine some matrices again, with a sketch that is wide enough for ranks up to 64."""
    full = [
        (record, pair)
        for record, pair in zip(records, pairing.pairs, strict=True)
        if record.status == "changed"
        and record.rank
        and is_saturated(record)
        and min(record.shape) > SKETCH
        and max(record.shape) <= _WIDEST_PROBE
    ]
    # A rank shows best where a matrix could have a much higher one.
    best = sorted(full, key=lambda item: (-min(item[0].shape), item[0].parameters))
    half = best[: max(_WIDE_PROBES, len(best) // 2)]
    chosen = half[:: max(1, len(half) // _WIDE_PROBES)][:_WIDE_PROBES]
    with readers.lend() as (base, derived):
        return [examine(pair, 0, base, derived, q=WIDE_SKETCH) for _, pair in chosen]


def _pooled(pairing: Pairing, records: Sequence[Record], readers: _Readers) -> Pooled:
    shared, share = pool(records)
    if shared is None:
        return Pooled()
    pairs = [
        pair
        for record, pair in zip(records, pairing.pairs, strict=True)
        if record.side == "writes" and record.direction is not None
    ]
    with readers.lend() as (base, derived):
        return confirm(pairs, shared, share, base, derived)
