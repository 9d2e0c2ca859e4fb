"""Hold the rules against the naive evaluator on many random scenarios.

    python -m bench.reference_million --count 1000000 --processes 2 --seed 1

Prints how many agree and how fast, and for every distinct difference the smallest scenario that
shows it, ready for `lictor evaluate`. Exit code 1 when there is a difference.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import Facts, ModelFacts, Use
from compliance.rules.library import CATALOGUE_FOLDER, build_library
from tests.compliance.reference.generate import Maker
from tests.compliance.reference.judge import differences, reference
from tests.compliance.reference.pending import PENDING, is_pending

HOUSE = Path(__file__).resolve().parents[1] / "tests" / "scenarios" / "_house"
BATCH = 2000
LISTS = (
    *("parents", "evidence", "datasets", "notices", "distributed_files"),
    *("modalities", "licence_texts"),
)
Found = dict[str, int]  # a sort of difference -> the first seed that shows it


def catalogue() -> Library:
    """Load the shipped catalogue and the invented licences for kinds it lacks."""
    paths = [*CATALOGUE_FOLDER.glob("*.yaml"), *HOUSE.glob("*.yaml")]
    return build_library({path.name: path.read_bytes() for path in paths})


def compare(facts: Facts, library: Library) -> list[str]:
    """List the differences between the rules and the reference on one scenario."""
    return differences(evaluate(facts, library), reference(facts, library), library)


def sort_of(difference: str) -> str:
    """Reduce a difference to its sort, so that one cause is told once."""
    words = difference.split(" of [")[0].split(": rules say")[0]
    who, opening, rest = words.partition("(")
    names = [part.strip(" '") for part in rest.rstrip(")").split(",")]
    return f"{who}{names[0]} {names[-1]}" if opening and len(names) == 4 else who


def run(first: int, count: int) -> tuple[Counter[str], Found, int]:
    """Compare `count` scenarios from seed `first`.

    Gives how often each sort of difference shows, the first seed of each, and how many scenarios
    differ for a cause that is known (`reference.pending`).
    """
    library = catalogue()
    maker = Maker(library)
    seen: Counter[str] = Counter()
    where: Found = {}
    pending = 0
    for seed in range(first, first + count):
        differences = compare(maker.facts(seed), library)
        if is_pending(differences):
            pending += 1
            continue
        for one in differences:
            seen[sort_of(one)] += 1
            where.setdefault(sort_of(one), seed)
    return seen, where, pending


def shrink(facts: Facts, library: Library, sort: str) -> Facts:
    """Drop whatever the difference does not need."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(facts):
            if any(sort_of(one) == sort for one in compare(candidate, library)):
                facts, smaller = candidate, True
                break
    return facts


def _smaller(facts: Facts) -> Iterator[Facts]:
    for at, model in enumerate(facts.models):
        if model.id != facts.subject:
            yield replace(facts, models=facts.models[:at] + facts.models[at + 1 :])
    for name in ("matters", "waivers"):
        for less in _without_one(getattr(facts, name)):
            yield replace(facts, **{name: less})
    for name, blank in asdict(Use()).items():
        if name != "purposes" and getattr(facts.use, name) != blank:
            yield replace(facts, use=replace(facts.use, **{name: blank}))
    for at, model in enumerate(facts.models):
        for less in _smaller_model(model):
            yield replace(facts, models=(*facts.models[:at], less, *facts.models[at + 1 :]))


def _smaller_model(model: ModelFacts) -> Iterator[ModelFacts]:
    if model.publisher is not None:
        yield replace(model, publisher=None)
    for name in LISTS:
        for less in _without_one(getattr(model, name)):
            yield replace(model, **{name: less})


def _without_one(items: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for at in range(len(items)):
        yield items[:at] + items[at + 1 :]


def scenario(facts: Facts) -> str:
    """Write facts as a SCENARIO.yaml."""
    document = _kept(asdict(facts))
    publisher = {model.id: model.publisher for model in facts.models}
    for model in document["models"]:
        if publisher.get(model["id"]) == "":
            model["publisher"] = "(nobody)"  # a file has no word for it, and no licensor that name
        if "licence_texts" in model:
            model["license_texts"] = [one["path"] for one in model.pop("licence_texts")]
    months = document.get("use", {}).pop("past_monthly_active_users", None)
    if months:
        document["use"]["past_monthly_active_users"] = dict(months)
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100)


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _kept(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, [], {}, "")}
    if isinstance(value, (list, tuple)):
        return [_kept(item) for item in value]
    return value


def spread(first: int, count: int, processes: int) -> tuple[Counter[str], Found, int]:
    """Run batches in several processes and add them up."""
    starts = range(first, first + count, BATCH)
    sizes = [min(BATCH, first + count - start) for start in starts]
    total: Counter[str] = Counter()
    where: Found = {}
    pending = 0
    with ProcessPoolExecutor(processes) as pool:
        for seen, seeds, known in pool.map(run, starts, sizes):
            total += seen
            pending += known
            for sort, seed in seeds.items():
                where.setdefault(sort, seed)
    return total, where, pending


def main() -> int:
    """Compare, report, and say by the exit code whether all agreed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=10, help="differences to print")
    asked = parser.parse_args()
    began = time.perf_counter()
    total, where, pending = spread(asked.seed, asked.count, asked.processes)
    seconds = time.perf_counter() - began
    print(f"{asked.count} scenarios in {seconds:.0f} s, {sum(total.values())} differences")
    for rule, reason in PENDING.items():
        print(f"known: {rule}: {reason}")
    print(f"{pending} scenarios differ for a known cause only")
    library = catalogue()
    maker = Maker(library)
    for sort, times in total.most_common(asked.show):
        small = shrink(maker.facts(where[sort]), library, sort)
        print(f"\n# {times} x {sort} (seed {where[sort]})")
        print("".join(f"# {one}\n" for one in compare(small, library)) + scenario(small))
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
