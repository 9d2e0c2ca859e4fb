"""`lictor matter`: see what litigation would end, and file it."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from registry.cli.failure import BadRequest, plain
from registry.cli.output import print_json

if TYPE_CHECKING:
    from registry.cli.client import Server

_OPTIONS = (
    click.option("--reference", required=True, help="Your own file number, unique."),
    click.option("--title", required=True),
    click.option(
        "--kind",
        required=True,
        type=click.Choice(["patent", "copyright", "trademark", "trade_secret", "other"]),
    ),
    click.option(
        "--model-infringes", "models", multiple=True, metavar="ORG/NAME", help="Repeatable."
    ),
    click.option(
        "--output-infringes", "outputs", multiple=True, metavar="ORG/NAME", help="Repeatable."
    ),
    click.option("--in-response/--not-in-response", default=None, help="Unknown if absent."),
    click.option("--filed-on", metavar="DATE", help="YYYY-MM-DD; today if absent."),
    click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON."),
)
F = TypeVar("F", bound=Callable[..., Any])


def _matter_options(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group()
def matter() -> None:
    """See what litigation would end, and file it.

    \b
    Example:  lictor matter what-if --reference A-1 --title "A v. B" --kind patent \\
                --model-infringes acme/base
    """


@matter.command("what-if")
@_matter_options
def what_if(as_json: bool, **fields: Any) -> None:
    """Say what filing would end, with the clauses; nothing is written.

    \b
    Example:  lictor matter what-if --reference A-1 --title "A v. B" --kind patent \\
                --model-infringes acme/base
    """
    from registry.cli.client import Server

    radius = _radius(Server.from_environment(), _body(fields))
    if as_json:
        print_json(radius)
    else:
        _print_radius(radius)


@matter.command("file")
@_matter_options
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
def file_matter(as_json: bool, yes: bool, **fields: Any) -> None:
    """File a matter: what it ends, ends now, and nothing gives it back.

    \b
    What it would end is shown first, and asked about.
    Example:  lictor matter file --reference A-1 --title "A v. B" --kind patent \\
                --model-infringes acme/base
    """
    from registry.cli.client import Server

    server, body = Server.from_environment(), _body(fields)
    _print_radius(_radius(server, body), err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise BadRequest("Filing cannot be undone; give --yes where no terminal can ask.")
        click.confirm("File it? This cannot be undone.", abort=True, err=True)
    made = server.post("matters/", body)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made['reference']} {made['status']} on {made['filed_on']}: {made['id']}")


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "reference": fields["reference"],
        "title": fields["title"],
        "kind": fields["kind"],
        "status": "filed",
        "filed_on": fields["filed_on"],
        "alleges_model_infringes": list(fields["models"]),
        "alleges_output_infringes": list(fields["outputs"]),
        "in_response": fields["in_response"],
    }


def _radius(server: "Server", body: dict[str, Any]) -> dict[str, Any]:
    return server.post("matters/what-if/", body)


def _print_radius(radius: dict[str, Any], *, err: bool = False) -> None:
    def say(line: str) -> None:
        click.echo(plain(line), err=err)

    for row in radius["checkpoints"]:
        say(f"would end   checkpoint {row['name']} {row['digest']}")
    for row in radius["endpoints"]:
        say(f"would end   endpoint {row['name']}")
    for row in radius["doubts"]:
        say(f"in doubt    checkpoint {row['name']}: {row['because']}")
    for row in radius["clauses"]:
        say(f"by {row['licence']} section {row['section']}: “{row['quote']}”")
    if not radius["checkpoints"] and not radius["doubts"]:
        say("Filing this would end nothing that is registered.")
