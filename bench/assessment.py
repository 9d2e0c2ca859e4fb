"""Measure the licence engine at the Hub's size: python -m bench.assessment [--models N ...].

Three questions: how long is everything, how long is one event by what it touches, and how long is
one `evaluate`. Each runs on this machine alone; there is no peer that answers them. The registry is
synthetic (see `bench.hub_shape`).
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

from bench.hub_shape import make_models
from bench.machine import describe_machine
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import Facts, Use
from compliance.rules.inventory import Inventory
from compliance.rules.library import bundled_library
from compliance.rules.survey import Outcome, Survey, outcome_of

AS_OF = date(2026, 11, 23)
USE = Use(
    purposes=("hosted_service",),
    commercial=True,
    monthly_active_users=20_000,
    annual_revenue_usd=5_000_000,
    licensee_home="DE",
    jurisdictions=("DE", "US"),
)
TOUCHES = (1, 10, 100, 1_000, 10_000, 100_000)
SAMPLE = 20_000


def _judge(facts: Facts) -> Outcome:
    """Judge in a worker; the catalogue was loaded before the processes parted."""
    return outcome_of(evaluate(facts, bundled_library()))


@click.command(help=__doc__)
@click.option("--models", multiple=True, type=int, default=(10_000, 100_000, 1_000_000))
@click.option("--processes", type=int, default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("bench/results"))
def main(models: tuple[int, ...], processes: int, out: Path) -> None:
    """Run all three and write one result."""
    bundled_library()
    with get_context("fork").Pool(processes) as pool:

        def mapper(_: Callable[[Facts], Outcome], facts: Iterable[Facts]) -> Iterator[Outcome]:
            return pool.imap(_judge, facts, chunksize=32)

        rows = [_everything(count, mapper) for count in models]
        events = _events(rows[-1][1])
    result = {
        "what": "licence assessment at scale",
        "command": f"python -m bench.assessment {' '.join(sys.argv[1:])}".strip(),
        "machine": describe_machine(),
        "processes": processes,
        "licences": len(bundled_library().licences),
        "everything": [row for row, _ in rows],
        "events": events,
        "one": _one(rows[-1][1]),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "assessment.json").write_text(json.dumps(result, indent=2) + "\n")
    click.echo(json.dumps(result, indent=2))


def _everything(count: int, mapper: Any) -> tuple[dict[str, Any], Survey]:
    inventory = Inventory(make_models(count))
    _ = inventory.ranks
    survey = Survey(inventory, bundled_library(), use=USE, as_of=AS_OF, mapper=mapper)
    began = time.perf_counter()
    survey.run()
    seconds = time.perf_counter() - began
    row = {
        "models": count,
        "seconds": round(seconds, 2),
        "microseconds_per_model": round(seconds / count * 1e6, 1),
        "sorts_judged": survey.sorts_judged,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    click.echo(json.dumps(row), err=True)
    return row, survey


def _events(survey: Survey) -> list[dict[str, Any]]:
    """Change the licence of models with about so many descendants, and judge what that touches."""
    inventory = survey.inventory
    _ = inventory.children
    sizes = {}
    for number in range(min(len(inventory), 4_000)):
        sizes[number] = len(inventory.descendants([number]))
    rows = []
    for wanted in TOUCHES:
        number = min(sizes, key=lambda at: abs(sizes[at] - wanted))
        if not 0.3 * wanted <= sizes[number] <= 3 * wanted or not inventory.described(number):
            continue
        known = inventory.facts(number)
        other = "cc-by-nc-4.0" if known.license != "cc-by-nc-4.0" else "mit"
        before = survey.sorts_judged
        began = time.perf_counter()
        touched = survey.touch([inventory.redeclare(replace(known, license=other))])
        seconds = time.perf_counter() - began
        rows.append(
            {
                "touched": len(touched),
                "seconds": round(seconds, 4),
                "new_sorts": survey.sorts_judged - before,
            }
        )
    return rows


def _one(survey: Survey) -> dict[str, Any]:
    """Time single judgements, closure included, over models spread through the registry."""
    inventory = survey.inventory
    step = max(1, len(inventory) // SAMPLE)
    times = []
    for number in range(0, len(inventory), step):
        if inventory.described(number):
            facts = survey.facts(number)
            began = time.perf_counter()
            evaluate(facts, survey.library)
            times.append((time.perf_counter() - began) * 1e3)
    cuts = statistics.quantiles(times, n=100)
    return {
        "judgements": len(times),
        "p50_ms": round(cuts[49], 3),
        "p99_ms": round(cuts[98], 3),
        "max_ms": round(max(times), 3),
    }


if __name__ == "__main__":
    main()
