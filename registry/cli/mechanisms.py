"""`lictor mechanisms`: the safety mechanisms in a checkpoint's files, and what became of them."""

from pathlib import Path

import click

from registry.cli.failure import plain
from registry.cli.output import print_json

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", metavar="FOLDER", type=_FOLDER)
@click.option("--base", metavar="FOLDER", type=_FOLDER, help="Say what became of this one's.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def mechanisms(folder: Path, base: Path | None, as_json: bool) -> None:
    """List the safety mechanisms in a checkpoint's files; with --base, what became of that one's.

    \b
    Nothing is executed. What no file shows is unknown, not absent: whether the weights refuse is
    measured by `lictor measure`, what was done to them by `lictor compare`.
    Exit codes: 0 nothing of concern, 1 something of concern or to review, 2 bad input.
    Example:  lictor mechanisms ./tuned --base ./original
    """
    from registry.artifact.mechanisms.compare import compare_inventories, verdict_of
    from registry.artifact.mechanisms.inventory import inventory

    found = inventory(folder)
    changes = compare_inventories(inventory(base), found) if base else None
    if as_json:
        told = found.to_json()
        if changes is not None:
            told |= {"verdict": verdict_of(changes), "changes": [one.to_json() for one in changes]}
        print_json(told)
    elif changes is None:
        for one in found.mechanisms:
            mark = "!" if one.is_concern else " "
            click.echo(plain(f"{mark} {one.kind:<22} {one.name[:40]:<40} {one.excerpt[:80]}"))
            click.echo(plain(f"    {one.place}  {one.fingerprint[:19]}"))
        for file, why in found.unreadable:
            click.echo(plain(f"? {file} {why}"))
    else:
        for change in changes:
            click.echo(plain(f"{change.severity:<9} {change.kind}: {change.what}"))
            click.echo(plain(f"          {change.place}"))
        click.echo(f"{verdict_of(changes)}: {len(changes)} differences")
    if not as_json:
        for line in found.to_json()["not_in_files"]:
            click.echo(f"note  {line}")
    bad = (
        any(one.is_concern for one in found.mechanisms)
        if changes is None
        else verdict_of(changes) != "unchanged"
    )
    raise SystemExit(1 if bad else 0)
