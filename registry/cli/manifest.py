"""`lictor manifest`: hash a checkpoint folder and print its identity."""

import sys
from pathlib import Path

import click

from registry.cli.output import print_json, show_progress


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print manifest and digest as JSON.")
def manifest(folder: Path, as_json: bool) -> None:
    """Hash a checkpoint folder; print its files and the digest that is its identity.

    \b
    Links, pickles, archives and unsafe file names are refused.
    Example:  lictor manifest ./my-checkpoint
    """
    from registry.artifact.manifest import manifest_of

    progress = show_progress if sys.stderr.isatty() else None
    found = manifest_of(folder, progress=progress)
    if as_json:
        print_json({"digest": found.digest, "manifest": found.to_json()})
        return
    for entry in found.files:
        click.echo(f"{entry.sha256}  {entry.size:>15,}  {entry.path}")
    click.echo(f"{len(found.files)} files, {found.total_bytes:,} bytes")
    click.echo(found.digest)
