"""`lictor endpoint`: list and stop endpoints, and make keys for them."""

import click

from registry.cli.failure import plain
from registry.cli.output import print_json

_JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@click.group()
def endpoint() -> None:
    """List and stop endpoints, and make keys for them.

    \b
    Example:  lictor endpoint list
    """


@endpoint.command("list")
@_JSON
def list_endpoints(as_json: bool) -> None:
    """List endpoints.

    \b
    Example:  lictor endpoint list --json
    """
    from registry.cli.client import Server

    rows = list(Server.from_environment().each("endpoints/"))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        line = f"{row['name']:<24} {row['phase']:<12} {row['model']:<32} {row['message']}"
        click.echo(plain(line.rstrip()))


@endpoint.command()
@click.argument("name", metavar="NAME_OR_ID")
@_JSON
def stop(name: str, as_json: bool) -> None:
    """Stop serving an endpoint.

    \b
    Example:  lictor endpoint stop chat
    """
    from registry.cli.client import Server
    from registry.cli.named import endpoint_named

    server = Server.from_environment()
    found = endpoint_named(server, name)
    row = server.post(f"endpoints/{found['id']}/stop/", {})
    if as_json:
        print_json(row)
    else:
        click.echo(f"{row['name']} is to be {row['desired']}; now {row['phase']}.")


@endpoint.command()
@click.argument("name", metavar="NAME_OR_ID")
@click.option("--name", "key_name", default="cli", show_default=True, help="The key's own name.")
@_JSON
def key(name: str, key_name: str, as_json: bool) -> None:
    """Make a key for the gateway; it is printed this once and kept nowhere.

    \b
    Example:  export LICTOR_KEY=$(lictor endpoint key chat)
    """
    from registry.cli.client import Server
    from registry.cli.named import endpoint_named

    server = Server.from_environment()
    found = endpoint_named(server, name)
    made = server.post(f"endpoints/{found['id']}/keys/", {"name": key_name})
    if as_json:
        print_json(made)
    else:
        click.echo(made["key"])
