"""`lictor check`: judge in a pipeline: scenario files here, or a checkpoint on the server."""

from pathlib import Path
from typing import Any

import click

from registry.cli.failure import BadRequest
from registry.cli.findings import UNKNOWN_EXIT, as_sarif, as_text, exit_code_of
from registry.cli.intended_use import is_given, use_of, use_options
from registry.cli.output import print_json

FORMATS = ("text", "json", "sarif", "github")
FAIL_CODES = {"deny": 5, "needs_review": 4, "conditions": 3}


@click.command()
@click.argument("named", metavar="NAME_OR_PATH...", nargs=-1, required=True)
@use_options
@click.option(
    "--offline", is_flag=True, help="Judge scenario files, or folders of them, without a server."
)
@click.option(
    "--fail-on",
    type=click.Choice(list(FAIL_CODES)),
    help="Exit 0 for anything milder. Default offline: needs_review; with a server: conditions.",
)
@click.option(
    "--as-of", metavar="DATE", help="Offline: the day where a file names none; else today."
)
@click.option("--format", "shape", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def check(
    named: tuple[str, ...],
    offline: bool,
    fail_on: str | None,
    as_of: str | None,
    shape: str,
    as_json: bool,
    **use: Any,
) -> None:
    """Judge for a pipeline, and fail with the findings.

    \b
    With a server: an id, org/name (its newest checkpoint) or org/name@sha256:..., and the use.
    Offline: scenario files, or folders in which every *.yaml with models is one.
    Exit codes: 0 allow or milder than --fail-on, 3 conditions, 4 needs review, 5 deny,
    2 bad input or refused by the server, 1 other failures. The worst of several counts.
    Example:  lictor check acme/chat --purpose hosted_service --commercial --format sarif
    Example:  lictor check --offline models/ --format github --fail-on deny
    """
    form = "json" if as_json else shape
    if offline:
        if is_given(use):
            raise BadRequest("Offline, each scenario states its own use; leave the options out.")
        _check_files(tuple(map(Path, named)), form, fail_on or "needs_review", as_of)
    if as_of is not None:
        raise BadRequest("--as-of goes with --offline; a server judges today.")
    if len(named) != 1:
        raise BadRequest("Name one checkpoint, or add --offline to judge scenario files.")
    _check_on_server(named[0], form, fail_on or "conditions", use)


def _check_files(paths: tuple[Path, ...], form: str, fail_on: str, as_of: str | None) -> None:
    from registry.cli.check_files import check_files
    from registry.cli.days import day

    raise SystemExit(check_files(paths, form=form, fail_on=fail_on, today=day(as_of)))


def _check_on_server(checkpoint: str, form: str, fail_on: str, use: dict[str, Any]) -> None:
    from importlib.metadata import version

    from registry.cli.client import Server
    from registry.cli.named import checkpoint_named

    if form == "github":
        raise BadRequest("Annotations point at files; use --format sarif for a checkpoint.")
    intended = use_of(use)
    server = Server.from_environment()
    row = checkpoint_named(server, checkpoint)
    assessment = server.post("assessments/", {"checkpoint": row["id"], "use": intended})
    if form == "json":
        print_json(assessment)
    elif form == "sarif":
        print_json(as_sarif(row["name"], row["digest"], assessment, version("lictor")))
    else:
        click.echo(as_text(row["name"], assessment))
    code = exit_code_of(assessment)
    # A decision this version does not know fails whatever was asked.
    raise SystemExit(0 if FAIL_CODES[fail_on] > code > UNKNOWN_EXIT else code)
