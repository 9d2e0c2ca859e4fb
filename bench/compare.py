"""`python -m bench.compare`: how fast, how much memory and how right `lictor compare` is.

    python -m bench.compare --speed        a pair of 2 GB files: seconds, memory, share of reading
    python -m bench.compare --calibrate    every kind of change, many seeds: the docs' table

Results go to bench/results/compare-{speed,calibration}.{json,md}.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

# One thread for each tensor; the linear algebra library's own would be counted twice.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bench.compare_cases import CASES, Case
from bench.compare_changes import Bench
from bench.compare_models import Maker, save
from bench.compare_speed import measure_speed
from bench.machine import describe_machine, describe_run, say
from registry.artifact.forensics.scan import Comparison, compare_weights

RESULTS: Final = Path(__file__).parent / "results"
_ALMOST_ALL: Final = 0.95
# (family, hidden, layers, vocabulary): widths of both families, alternating over the seeds.
SHAPES: Final = (
    ("hybrid", 256, 8, 512),
    ("transformer", 256, 6, 512),
    ("hybrid", 384, 8, 512),
    ("transformer", 192, 8, 384),
)
LARGE: Final = (("hybrid", 1024, 8, 1024), ("transformer", 2048, 6, 1024), ("hybrid", 4480, 6, 512))


def main() -> int:
    options = _options()
    RESULTS.mkdir(parents=True, exist_ok=True)
    if options.speed:
        found = measure_speed(options.gigabytes, options.workers)
        text = found.pop("markdown")
        _write("compare-speed", {**describe_machine(), **found}, text)
    if options.calibrate:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        rows = list(calibrate(seeds, options.minutes, set(options.only), options.large))
        name = "compare-calibration-large" if options.large else "compare-calibration"
        about = describe_run("bench.compare", sys.argv[1:])
        value = {"machine": describe_machine(), **about, "cases": summed_up(rows)}
        _write(name, value, table(rows))
        return 0 if _holds(rows) else 1
    return 0


def calibrate(
    seeds: Sequence[int], minutes: float, only: set[str], large: bool
) -> Iterator[dict[str, Any]]:
    """Yield one row for each (seed, case) until the seeds or the minutes are spent."""
    until = time.monotonic() + 60 * minutes
    shapes = LARGE if large else SHAPES
    plan = [(seed, shapes[index % len(shapes)]) for index, seed in enumerate(seeds)]
    scratch = Path(tempfile.mkdtemp(prefix="compare-", dir=_memory_disk()))
    try:
        for seed, (family, hidden, layers, vocab) in plan:
            maker = Maker(seed, family=family, hidden=hidden, layers=layers, vocab=vocab)
            bench = Bench(maker, seed)
            base = save(scratch / "base", bench.base)
            for salt, case in enumerate(CASES):
                if only and case.kind not in only:
                    continue
                if time.monotonic() > until:
                    say(f"time is up at seed {seed}")
                    return
                shape = f"{family} {hidden}"
                yield {"seed": seed, "shape": shape, **run_case(bench, case, salt, base, scratch)}
            say(f"seed {seed} done")
    finally:
        shutil.rmtree(scratch)


def run_case(bench: Bench, case: Case, salt: int, base: Path, scratch: Path) -> dict[str, Any]:
    """Make one derived checkpoint, compare it, and tell whether the answer is right."""
    made = case.make(bench.again(salt))
    folder = save(scratch / "derived", made.weights, dtype=made.dtype, dtypes=made.dtypes)
    began = time.perf_counter()
    found = compare_weights(base, folder)
    return {
        "kind": case.kind,
        "strength": case.strength,
        "accepted": list(case.accepted),
        "is_ablation": case.is_ablation,
        "bar": case.bar,
        "got": found.verdict.classification,
        "right": found.verdict.classification in case.accepted,
        "confidence": found.verdict.confidence,
        "rank": found.verdict.rank,
        "seconds": round(time.perf_counter() - began, 3),
        **_features(found),
    }


def _features(found: Comparison) -> dict[str, float]:
    features, pooled = found.features, found.pooled
    matrices = [one for one in found.records if one.side and one.status == "changed"]
    stream = sorted(one.consistency for one in matrices)
    strong = [one.consistency * (one.strength >= 0.15) for one in matrices]
    return {
        "touched": len(features.touched_writers) / max(1, features.writers),
        "touched_readers": len(features.touched_readers) / max(1, features.readers),
        "consistency_median": stream[len(stream) // 2] if stream else 0.0,
        "consistency_strong_max": max(strong, default=0.0),
        "strength_max": max((o.strength for o in matrices if o.consistency >= 0.5), default=0.0),
        "pooled_loss": pooled.control_power - pooled.power,
        "opposition": pooled.opposition,
        "cosine": features.cosine,
        "on_grid": features.on_grid,
        "excess": features.grid_excess,
        "low_rank": features.low_rank,
        "cliff": features.cliff,
        "spread": features.rank_spread,
        "unchanged": features.unchanged,
        "mask_bias": features.mask_bias,
    }


def summed_up(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each kind and strength its answers, and the least and most of every figure."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["kind"], row["strength"]].append(row)
    figures = [name for name in rows[0] if isinstance(rows[0][name], float)] if rows else []
    return [
        {
            "kind": kind,
            "strength": strength,
            "accepted": found[0]["accepted"],
            "seeds": sorted({row["seed"] for row in found}),
            "answers": dict(Counter(row["got"] for row in found)),
            "ranks": dict(Counter(str(row["rank"]) for row in found)),
            "figures": {
                name: [round(fold(float(row[name]) for row in found), 4) for fold in (min, max)]
                for name in figures
            },
        }
        for (kind, strength), found in groups.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Write the table: right answers and calls of ablation, by kind and strength."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["kind"], row["strength"]].append(row)
    lines = [
        "| change | strength | runs | called right | called ablation | other answers |",
        "|---|---|---:|---:|---:|---|",
    ]
    for (kind, strength), found in groups.items():
        right = sum(row["right"] for row in found)
        called = sum(row["got"] == "directional_ablation" for row in found)
        wrong: dict[str, int] = defaultdict(int)
        for row in found:
            if not row["right"]:
                wrong[row["got"]] += 1
        others = ", ".join(f"{name} {count}" for name, count in sorted(wrong.items()))
        lines.append(
            f"| {kind} | {strength} | {len(found)} | {right / len(found):.0%} | "
            f"{called / len(found):.0%} | {others} |"
        )
    return "\n".join([*_summary(rows), "", *lines]) + "\n"


def _summary(rows: list[dict[str, Any]]) -> list[str]:
    honest = [row for row in rows if not row["is_ablation"]]
    alarms = sum(row["got"] == "directional_ablation" for row in honest)
    bar = [row for row in rows if row["bar"]]
    caught = sum(row["got"] == "directional_ablation" for row in bar)
    seeds, shapes = {row["seed"] for row in rows}, sorted({row["shape"] for row in rows})
    upper = 1 - 0.05 ** (1 / len(honest)) if honest and not alarms else None
    return [
        f"{len(rows)} comparisons, {len(seeds)} seeds, {', '.join(shapes)}.",
        f"False alarms for ablation among honest changes: {alarms} of {len(honest)}"
        + (f" (one-sided 95 % upper bound {upper:.2%})." if upper else "."),
        f"Ablation from half strength up, found: {caught} of {len(bar)}"
        + (f" ({caught / len(bar):.1%})." if bar else "."),
    ]


def _holds(rows: list[dict[str, Any]]) -> bool:
    alarms = any(r["got"] == "directional_ablation" for r in rows if not r["is_ablation"])
    bar = [row["right"] for row in rows if row["bar"]]
    return not alarms and (not bar or sum(bar) >= _ALMOST_ALL * len(bar))


def _write(name: str, value: dict[str, Any], markdown: str) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(markdown, encoding="utf-8")
    say(markdown.split("\n\n", 1)[0])
    say(f"wrote {RESULTS / name}.md; peak memory of this process "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")  # fmt: skip


def _memory_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of each file")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--seeds", type=int, default=30, help="how many")
    parser.add_argument(
        "--first-seed", type=int, default=100, help="thresholds were set on seeds 0 to 7"
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument(
        "--large", action="store_true", help="widths up to 4480; a seed takes minutes"
    )
    parser.add_argument("--only", nargs="*", default=[], help="kinds of change")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
