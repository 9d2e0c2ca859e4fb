"""`lictor notices`: write the files that a release has to carry."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from registry.cli.catalogue import installed_library
from registry.cli.output import print_json

_MISSING_EXIT = 1


@click.command()
@click.argument("scenario", metavar="SCENARIO.yaml", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="Write them here."
)
@click.option("--json", "as_json", is_flag=True, help="Print files and what is missing as JSON.")
def notices(scenario: Path, out: Path | None, as_json: bool) -> None:
    """Write NOTICE, ATTRIBUTION.md and licence texts for the subject of a scenario.

    \b
    Texts are copied only as they came with a model; what is missing is named, never made up.
    Exit codes: 0 complete, 1 something is missing, 2 bad input.
    Example:  lictor notices scenario.yaml -o release/
    """
    from compliance.rules.evaluate import evaluate
    from compliance.rules.faults import InputFaults
    from compliance.rules.notices import notice_bundle
    from compliance.rules.scenario import load_scenario
    from registry.errors import BadInput

    try:
        facts = load_scenario(scenario, as_of=datetime.now(UTC).date())
    except InputFaults as error:
        raise BadInput(str(error), code=error.code, place=error.source) from error
    library = installed_library()
    bundle = notice_bundle(evaluate(facts, library), facts, library)
    if out is not None:
        for name, text in bundle.files.items():
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"files": dict(bundle.files), "missing": list(bundle.missing)})
    else:
        _tell(bundle.files, bundle.missing, out)
    raise SystemExit(_MISSING_EXIT if bundle.missing else 0)


def _tell(files: Mapping[str, str], missing: tuple[str, ...], out: Path | None) -> None:
    for name, text in files.items():
        if out is None:
            click.echo(f"--- {name}\n{text}")
        else:
            click.echo(f"wrote {out / name}")
    for line in missing:
        click.echo(f"missing: {line}", err=True)
