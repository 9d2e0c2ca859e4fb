"""`lictor watch`: list and remove the repositories that the server reads again."""

import click

from registry.cli.failure import BadRequest
from registry.cli.output import print_json


@click.group()
def watch() -> None:
    """List or remove watched repositories; `lictor import --watch` adds one.

    \b
    The server reads them where LICTOR_HUB_ENDPOINT is set for it.
    Example:  lictor watch list
    """


@watch.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print the watches as JSON.")
def list_watches(as_json: bool) -> None:
    """List what is watched, when it was read, and what went wrong."""
    from registry.cli.failure import plain
    from registry.cli.hub_server import HubServer

    rows = list(HubServer.from_environment().each("watches/"))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        read = f"read {row['read_at']}" if row["read_at"] else "not read yet"
        wrong = f"  failed {row['failures']} times: {row['last_error']}" if row["failures"] else ""
        name = f"{row['repo']}@{row['revision'] or 'main'}"
        click.echo(plain(f"{name}  {row['commit'][:12] or '-'}  {read}{wrong}"))
    if not rows:
        click.echo("Nothing is watched.")


@watch.command(name="remove")
@click.argument("name", metavar="ORG/NAME[@REVISION]")
def remove(name: str) -> None:
    """Stop watching a repository."""
    from registry.cli.hub_server import HubServer

    repo, _, revision = name.partition("@")
    server = HubServer.from_environment()
    for row in server.each("watches/"):
        if (row["repo"], row["revision"]) == (repo, revision):
            server.delete(f"watches/{row['id']}/")
            click.echo(f"{name} is no longer watched.")
            return
    raise BadRequest(f"{name!r} is not watched; `lictor watch list` shows what is.")
