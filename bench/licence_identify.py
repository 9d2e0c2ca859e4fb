"""Measure how long it takes to say which licence a text is: python -m bench.licence_identify.

The texts are invented around the catalogue's own clauses, one of each licence's length, and read
as they are, with one word changed, among other words, two in a row, and as something unknown. With
LICTOR_LICENCE_TEXTS, the real texts are read as well. Prints ms of processor time a text (other
work on the machine does not count) and the memory that catalogue, index and reading take.
"""

import json
import os
import resource
import statistics
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench.machine import describe_machine, describe_run
from compliance.rules.catalogue import Library
from compliance.rules.facts import LicenceText
from compliance.rules.library import bundled_library
from compliance.rules.licence_file import read_text
from compliance.rules.text import sketch, text_digest
from compliance.rules.text_folder import known_texts
from compliance.rules.text_index import build_index

LIMIT_MS = 50.0
WORDS = 1500
UNKNOWN_WORDS = 20_000
Case = tuple[str, str, str]


def invented(library: Library) -> tuple[Library, dict[str, str]]:
    """Know every licence by a text of about WORDS words that holds its recorded clauses."""
    texts = {
        key: _text(key, [one.quote for one in item.clauses])
        for key, item in library.licences.items()
    }
    known = {
        key: replace(item, text_sha256=(text_digest(texts[key]),), text_sketch=sketch(texts[key]))
        for key, item in library.licences.items()
    }
    return Library(known, f"invented:{library.digest}"), texts


def _text(key: str, quotes: list[str]) -> str:
    lines = [*quotes]
    at = 0
    while sum(len(line.split()) for line in lines) < WORDS:
        lines.append(f"Under {key} matter {at} is settled by rule {at * 7} of part {at * 13}.")
        at += 1
    return "\n".join(lines)


def cases(texts: dict[str, str]) -> Iterator[Case]:
    """Give (kind, text, expected outcome)."""
    keys = sorted(texts)
    for at, key in enumerate(keys):
        text = texts[key]
        words = text.split()
        middle = len(words) // 2
        yield "as published", text, "exact"
        yield "one word changed", " ".join([*words[:middle], "never", *words[middle + 1 :]]), "near"
        yield "among other words", f"Read this first of all.\n{text}\nSigned in ink.", "contains"
        yield "two in a row", f"{text}\n{texts[keys[at - 1]]}", "exact"
    yield (
        "unknown",
        " ".join(f"word{at % 977} of nothing" for at in range(UNKNOWN_WORDS // 3)),
        "unknown",
    )


def measure(library: Library, texts: dict[str, str]) -> list[dict[str, Any]]:
    """Read every case and say how long each kind took; a wrong outcome stops the run."""
    spent: dict[str, list[float]] = {}
    read_text(LicenceText(path="warm", text="warm up the index"), library)
    for kind, text, expected in cases(texts):
        start = time.process_time()
        reading = read_text(LicenceText(path="x", text=text), library)
        spent.setdefault(kind, []).append((time.process_time() - start) * 1e3)
        if reading.outcome != expected:
            raise click.ClickException(f"{kind}: {reading.outcome}, expected {expected}")
    return [
        {
            "case": kind,
            "texts": len(each),
            "median_ms": round(statistics.median(each), 2),
            "worst_ms": round(max(each), 2),
        }
        for kind, each in spent.items()
    ]


def index_cost(library: Library) -> dict[str, float]:
    """Say what the look-up tables of the whole catalogue take."""
    tracemalloc.start()
    start = time.perf_counter()
    index = build_index(library)
    spent = (time.perf_counter() - start) * 1e3
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "licences": len(index.licences),
        "build_ms": round(spent, 1),
        "mib": round(held / 2**20, 2),
    }


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), default=Path("bench/results"))
def main(out: Path) -> None:
    """Measure invented texts, then real ones where they are at hand; write one result."""
    bundled = bundled_library()
    library, texts = invented(bundled)
    result: dict[str, Any] = {
        **describe_run("bench.licence_identify", sys.argv[1:]),
        "machine": describe_machine(),
        "index": index_cost(bundled),
        "invented": measure(library, texts),
    }
    folder = os.environ.get("LICTOR_LICENCE_TEXTS", "")
    if folder:
        result["real"] = measure(bundled, dict(known_texts(Path(folder), bundled)))
    result["process_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    out.mkdir(parents=True, exist_ok=True)
    (out / "licence_identify.json").write_text(json.dumps(result, indent=2) + "\n")
    for name in ("invented", "real"):
        for row in result.get(name, ()):
            late = "" if row["median_ms"] < LIMIT_MS else "  OVER THE LIMIT"
            click.echo(
                f"{name:<9} {row['case']:<18} {row['texts']:>4} texts  median "
                f"{row['median_ms']:7.2f} ms  worst {row['worst_ms']:7.2f} ms{late}"
            )
    index = result["index"]
    click.echo(
        f"index of {index['licences']} licences: {index['build_ms']} ms, {index['mib']} MiB; "
        f"process peak {result['process_peak_mib']} MiB"
    )


if __name__ == "__main__":
    main()
