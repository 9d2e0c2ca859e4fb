"""`lictor export`: write a judgement for other tools and for people."""

import json
import sys
from pathlib import Path

import click

from registry.cli.catalogue import installed_library

FORMATS = ("cyclonedx", "cyclonedx-1.7", "spdx", "sarif", "html", "pdf", "json")


@click.command()
@click.argument("scenario", metavar="SCENARIO.yaml", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Else stdout.")
@click.option("--as-of", metavar="DATE", help="The day where the file names none; else today.")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The subject's files with their hashes, as `lictor manifest DIR --json` prints them.",
)
def export(
    scenario: Path, form: str, out: Path | None, as_of: str | None, manifest: Path | None
) -> None:
    """Judge a scenario and write it as CycloneDX, SPDX 3.0.1, SARIF, HTML, PDF or JSON.

    \b
    The same scenario on the same day gives the same bytes.
    Exit codes: 0 written (whatever the decision), 2 bad input.
    Example:  lictor export scenario.yaml --format pdf -o report.pdf
    """
    from importlib.metadata import version

    from compliance.interchange.formats import write
    from compliance.rules.evaluate import evaluate
    from compliance.rules.faults import InputFaults
    from compliance.rules.scenario import load_scenario
    from registry.cli.days import day
    from registry.errors import BadInput

    try:
        facts = load_scenario(scenario, as_of=day(as_of))
    except InputFaults as error:
        raise BadInput(str(error), code=error.code, place=error.source) from error
    library = installed_library()
    try:
        written = write(
            form,
            evaluate(facts, library),
            facts,
            library,
            version=version("lictor"),
            path=scenario.as_posix(),
            source=scenario.read_text(encoding="utf-8"),
            files={} if manifest is None else {facts.subject: _hashes(manifest)},
        )
    except RuntimeError as error:
        raise BadInput(str(error)) from error
    if out is None:
        sys.stdout.buffer.write(written)
    else:
        out.write_bytes(written)
        click.echo(f"wrote {out} ({len(written):,} bytes)", err=True)


def _hashes(path: Path) -> dict[str, str]:
    """Read path -> SHA-256 from a printed manifest; its digest must be that of its files."""
    from registry.artifact.manifest import Manifest
    from registry.errors import BadInput

    try:
        document = json.loads(path.read_bytes())
        manifest = Manifest.from_json(document["manifest"])
        told = document["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is not what `lictor manifest DIR --json` prints.") from error
    if manifest.digest != told:
        raise BadInput(f"{path}: the files do not add up to its digest {told}.")
    return {one.path: one.sha256 for one in manifest.files}
