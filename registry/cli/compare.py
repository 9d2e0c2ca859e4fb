"""`lictor compare`: what was done to a checkpoint to get another one?"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import plain
from registry.cli.output import print_json, print_rows, show_progress

if TYPE_CHECKING:
    from registry.artifact.forensics.scan import Comparison

_SHOWN = 12


@click.command()
@click.argument("base", metavar="BASE_DIR", type=click.Path(path_type=Path))
@click.argument("derived", metavar="DERIVED_DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write a heat map as SVG.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep results in FILE, and go on from it.",
)
@click.option(
    "--other-parent",
    "other_parents",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What a merge may have been made with beside BASE; may be given up to four times.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=lambda: min(8, os.cpu_count() or 1),
    show_default="the cores, at most 8",
    help="Threads; the answer is the same.",
)
@click.option(
    "--digests/--no-digests", default=True, help="Hash both folders, to name what was compared."
)
def compare(
    base: Path,
    derived: Path,
    as_json: bool,
    picture: Path | None,
    resume: Path | None,
    other_parents: tuple[Path, ...],
    workers: int,
    digests: bool,
) -> None:
    """Say what was done to the weights and safety-relevant files of BASE to get DERIVED.

    \b
    Reads safetensors only, piece by piece. Exit 0 when compared, 2 on bad input.
    It raises concerns and clears nothing: see docs/safety-evidence.md.
    Example:  lictor compare ./base ./derived --picture change.svg
    """
    if len(other_parents) > 4:
        raise click.UsageError("--other-parent may be given up to four times.")
    # Threads here each take a tensor; those of the linear algebra library would only be in the
    # way. It reads this when numpy is first imported, which is below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from registry.artifact.forensics.picture import draw
    from registry.artifact.forensics.report import report
    from registry.artifact.forensics.scan import compare_weights

    progress = partial(show_progress, doing="comparing") if sys.stderr.isatty() else None
    stop = threading.Event()
    with ThreadPoolExecutor(2) as beside:
        # Both read the same pages at about the same time, so the disk gives them once.
        hashed = [beside.submit(_digest(one, stop)) for one in (base, derived) if digests]
        try:
            found = compare_weights(
                base,
                derived,
                progress=progress,
                resume=resume,
                workers=workers,
                other_parents=other_parents,
            )
            names = [one.result() for one in hashed] or [None, None]
        finally:
            stop.set()
    answer = report(
        found, base_digest=names[0], derived_digest=names[1], files=_file_changes(base, derived)
    )
    if picture is not None:
        picture.write_text(draw(answer), encoding="utf-8")
    if as_json:
        print_json(answer)
    else:
        _print(found, answer)


class _Stopped(Exception):  # noqa: N818 - nothing failed; the answer is no longer wanted
    pass


def _digest(folder: Path, stop: threading.Event) -> Callable[[], str | None]:
    """Give what hashes a folder, until `stop` says that nobody waits for it."""

    def watch(_done: int, _total: int) -> None:
        if stop.is_set():
            raise _Stopped

    def hash_folder() -> str | None:
        from registry.artifact.manifest import manifest_of

        return manifest_of(folder, progress=watch).digest

    return hash_folder


def _file_changes(base: Path, derived: Path) -> list[dict[str, Any]]:
    """List the safety-relevant files that differ, by their hashes."""
    from registry.artifact.folder import hash_files, list_folder
    from registry.artifact.forensics.files import changed_files, is_safety_relevant

    before, after = (
        {
            path: sha256
            for path, _, sha256 in hash_files(
                folder, [one for one in list_folder(folder) if is_safety_relevant(one.path)]
            )
        }
        for folder in (base, derived)
    )
    return changed_files(before, after)


def _print(found: "Comparison", answer: dict[str, Any]) -> None:
    rows = [
        ("classification", answer["classification"]),
        ("confidence", f"{answer['confidence']:.2f}"),
        ("explains", plain(answer["explains"])),
    ]
    if answer["rank"] is not None:
        rows.append(("rank", str(answer["rank"])))
    if answer["also"]:
        rows.append(("also", ", ".join(answer["also"])))
    counts = answer["tensors"]
    rows.append(("tensors", ", ".join(f"{n} {name}" for name, n in counts.items() if n)))
    touched = answer["layers"]["touched"]
    if touched:
        rows.append(("layers touched", ", ".join(map(str, touched))))
    rows.extend((("base", answer["base"] or "-"), ("derived", answer["derived"] or "-")))
    print_rows(rows)
    names = found.features.touched_writers + found.features.touched_readers
    for name in names[:_SHOWN]:
        click.echo(f"  touched  {plain(name)}")
    if len(names) > _SHOWN:
        click.echo(f"  touched  and {len(names) - _SHOWN} more (--json lists all)")
    for change in answer["files"]:
        click.echo(f"  file     {plain(str(change['file']))}: {plain(str(change['change']))}")
    for note in (*answer["notes"], *answer["limits"]):
        click.echo(f"Note: {note}")
