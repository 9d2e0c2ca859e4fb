"""`lictor check`: have the server judge a registered checkpoint for a use."""

from typing import Any

import click

from registry.cli.findings import as_sarif, as_text, exit_code_of
from registry.cli.intended_use import use_of, use_options
from registry.cli.output import print_json


@click.command()
@click.argument("checkpoint", metavar="NAME_OR_ID")
@use_options
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def check(checkpoint: str, shape: str, as_json: bool, **use: Any) -> None:
    """Judge a registered checkpoint for a use, on the server.

    \b
    NAME_OR_ID: an id, org/name (its newest checkpoint) or org/name@sha256:...
    Exit codes: 0 allow, 3 allow with conditions, 4 needs review, 5 deny,
    2 bad input or refused by the server, 1 other failures.
    Example:  lictor check acme/chat --purpose hosted_service --commercial --format sarif
    """
    from importlib.metadata import version

    from registry.cli.client import Server
    from registry.cli.named import checkpoint_named

    intended = use_of(use)
    server = Server.from_environment()
    row = checkpoint_named(server, checkpoint)
    assessment = server.post("assessments/", {"checkpoint": row["id"], "use": intended})
    if as_json or shape == "json":
        print_json(assessment)
    elif shape == "sarif":
        print_json(as_sarif(row["name"], row["digest"], assessment, version("lictor")))
    else:
        click.echo(as_text(row["name"], assessment))
    raise SystemExit(exit_code_of(assessment))
