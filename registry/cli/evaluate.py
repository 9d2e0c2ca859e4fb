"""`lictor evaluate`: judge a scenario file."""

from datetime import UTC, date, datetime
from pathlib import Path

import click

from registry.cli.catalogue import installed_library
from registry.cli.output import print_json


@click.command()
@click.argument("scenario", metavar="SCENARIO.yaml", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole judgement as JSON.")
@click.option(
    "--as-of", metavar="DATE", help="The day, YYYY-MM-DD, where the file names none; else today."
)
def evaluate(scenario: Path, as_json: bool, as_of: str | None) -> None:
    """Judge a scenario: may this model be used so, and which clause says no?

    \b
    LICTOR_LICENCES may name a folder of licence records that lie over the bundled ones.
    Exit codes: 0 allow, 3 allow with conditions, 4 needs review, 5 deny, 2 bad input.
    Example:  lictor evaluate scenario.yaml --as-of 2026-11-23
    """
    from compliance.rules.faults import InputFaults
    from compliance.rules.report import evaluate_file, render_text
    from registry.errors import BadInput

    try:
        assessment, exit_code = evaluate_file(scenario, _day(as_of), installed_library())
    except InputFaults as error:
        raise BadInput(str(error), code=error.code, place=error.source) from error
    if as_json:
        print_json(assessment.to_dict())
    else:
        click.echo(render_text(assessment), nl=False)
    raise SystemExit(exit_code)


def _day(text: str | None) -> date:
    try:
        return datetime.now(UTC).date() if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a day: write YYYY-MM-DD.") from error
