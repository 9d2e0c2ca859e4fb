"""`lictor guard`: check and try a guard offline; register, list and retire guards on a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import BadRequest, plain
from registry.cli.output import print_json, print_rows
from registry.cli.serve import become

if TYPE_CHECKING:
    from registry.artifact.guard import Guard
    from registry.cli.client import Server

_FILE = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
_NAME = click.argument("name", metavar="NAME_OR_ID")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_REFUSED = 1


@click.group()
def guard() -> None:
    """Check and try a guard offline; register, list and retire guards on a server.

    \b
    Offline: check, serve. The others talk to the server.
    Example:  lictor guard check guard.json
    """


@guard.command()
@_FILE
@_JSON
def check(file: Path, as_json: bool) -> None:
    """Check a configuration and print its digest; every fault is listed with its place.

    \b
    Example:  lictor guard check guard.json
    """
    read = _read(file)
    stages = {"input": read.input, "output": read.output}
    told = {side: [stage.kind for stage in found] for side, found in stages.items()}
    if as_json:
        print_json({"name": read.name, "digest": read.digest, **told})
        return
    rows = [("name", plain(read.name)), ("digest", read.digest)]
    rows += [(side, ", ".join(kinds) or "goes by unread") for side, kinds in told.items()]
    print_rows(rows)


def _read(file: Path) -> "Guard":
    from registry.artifact.guard import MAX_GUARD_BYTES, read_guard
    from registry.artifact.strict_json import read_json_object

    return read_guard(read_json_object(file, max_bytes=MAX_GUARD_BYTES))


@guard.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Stand a guard in front of an OpenAI-compatible server, to try it out.

    \b
    All options go to the proxy: see `lictor guard serve --help`.
    Example:  lictor guard serve guard.json --upstream http://127.0.0.1:8000 --port 8080
    """
    become("guard", *arguments)


@guard.command()
@_FILE
@_JSON
def add(file: Path, as_json: bool) -> None:
    """Register a guard; it cannot be changed afterwards.

    \b
    Example:  lictor guard add guard.json
    """
    from registry.cli.client import Server

    document = _read(file).document
    row = Server.from_environment().post("guards/", {"document": dict(document)})
    if as_json:
        print_json(row)
    else:
        print_rows([(label, plain(str(row[label]))) for label in ("name", "id", "digest")])


@guard.command("list")
@_JSON
def list_guards(as_json: bool) -> None:
    """List guards; retired ones say since when.

    \b
    Example:  lictor guard list
    """
    from registry.cli.client import Server

    rows = list(Server.from_environment().each("guards/"))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        since = f"retired {row['retired_at'][:10]}" if row["retired_at"] else "in use"
        click.echo(plain(f"{row['name']:<24} {row['id']} {row['digest'][:19]} {since}"))


@guard.command()
@_NAME
@click.option("--reason", required=True, help="Why; it goes into the ledger.")
@_JSON
def retire(name: str, reason: str, as_json: bool) -> None:
    """Retire a guard; what it stands in front of stops serving at once.

    \b
    Example:  lictor guard retire house-rules --reason "a way round it was found"
    """
    from registry.cli.client import Server

    server = Server.from_environment()
    row = server.post(f"guards/{guard_named(server, name)['id']}/retire/", {"reason": reason})
    if as_json:
        print_json(row)
    else:
        click.echo(plain(f"{row['name']} is retired; nothing is served behind it any more."))


def guard_named(server: "Server", name: str) -> dict[str, Any]:
    """Find a guard by id, digest (or its beginning) or name.

    Raises: BadRequest when there is none, or several in use.
    """
    from registry.cli.named import is_id

    if is_id(name):
        return server.get(f"guards/{name}/")
    rows = [
        row
        for row in server.each("guards/")
        if row["name"] == name or (name.startswith("sha256:") and row["digest"].startswith(name))
    ]
    in_use = [row for row in rows if not row["retired_at"]] or rows
    if len(in_use) == 1:
        return in_use[0]
    if not in_use:
        raise BadRequest(f"There is no guard {name!r}; `lictor guard list` shows them.")
    raise BadRequest(
        f"{len(in_use)} guards are named {name!r}; name one by its id:",
        *(f"{row['id']}  {row['digest']}" for row in in_use),
    )
