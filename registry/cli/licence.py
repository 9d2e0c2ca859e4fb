"""`lictor licence`: check, propose and decide on an organisation's own licence records."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from registry.cli.failure import plain
from registry.cli.output import print_json

_JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_REASON = click.option("--reason", required=True, help="What was read, by whom; in the ledger.")
_FILE = click.argument("file", metavar="FILE.yaml", type=click.Path(path_type=Path, dir_okay=False))
_ID = click.argument("proposal_id", metavar="ID", type=click.UUID)
_SIGNS = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"}


@click.group()
def licence() -> None:
    """Read the licences that count for you; add and correct records under review.

    \b
    One legal reviewer proposes, another approves; docs/writing-a-licence.md explains the file.
    Example:  lictor licence propose house-1.yaml --reason "Counsel read the contract."
    """


@licence.command()
@_FILE
def check(file: Path) -> None:
    """Check a record offline against the bundled licences; every fault comes with its line.

    \b
    Exit codes: 0 sound, 2 not.
    Example:  lictor licence check house-1.yaml
    """
    from compliance.rules.faults import InputFaults
    from compliance.rules.merge import check_all
    from compliance.rules.yaml_places import line_of
    from registry.cli.catalogue import installed_base
    from registry.errors import BadInput

    raw, key = file.read_bytes(), file.name.removesuffix(".yaml")
    try:
        check_all(installed_base(), {key: raw})
    except InputFaults as error:
        text = raw.decode("utf-8", "replace")
        said = []
        for fault in error.faults:
            place = fault.place.removeprefix(f"{key}.yaml").removeprefix(f"{key}.").lstrip(".")
            line = line_of(text, place, fault.message)
            said.append(f"{file.name}:{line or 1}: {place or '(document)'}: {fault.message}")
        raise BadInput("\n  ".join([f"{len(said)} fault(s)", *said]), code=error.code) from error
    click.echo(f"{file.name}: sound")


@licence.command("list")
@click.option("--search", default="", help="Words of key, title, family or licensor.")
@click.option("--origin", type=click.Choice(["bundled", "operator", "organisation"]))
@_JSON
def list_licences(search: str, origin: str | None, as_json: bool) -> None:
    """List the licences by which your checkpoints are judged.

    \b
    Example:  lictor licence list --origin organisation
    """
    from registry.cli.client import Server

    rows = Server.from_environment().get("licences/", q=search, origin=origin or "")["results"]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        counsel = f"counsel {row['reviewed_by']}" if row["reviewed_by"] else ""
        line = f"{row['key']:<44} {row['status']:<12} {row['origin']:<13} {counsel}"
        click.echo(plain(line.rstrip()))


@licence.command()
@click.argument("key")
def show(key: str) -> None:
    """Print a record as it counts now: the YAML to start a correction from.

    \b
    Example:  lictor licence show mit > mit.yaml
    """
    from registry.cli.client import Server

    click.echo(Server.from_environment().get(f"licences/{key}/")["yaml"], nl=False)


@licence.command()
@click.argument("key")
@_JSON
def history(key: str, as_json: bool) -> None:
    """Show every version of your record of a licence, newest first, with its redline.

    \b
    Example:  lictor licence history mit
    """
    from registry.cli.client import Server

    rows = Server.from_environment().get(f"licences/{key}/history/")["versions"]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        _print(row)


@licence.command()
@_FILE
@_REASON
@_JSON
def propose(file: Path, reason: str, as_json: bool) -> None:
    """Propose a record; another legal reviewer decides on it.

    \b
    Example:  lictor licence propose mit.yaml --reason "Our copy carries a rider."
    """
    from registry.cli.client import Server
    from registry.errors import BadInput

    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: not UTF-8 ({error.reason} at byte {error.start}).") from error
    body = {"yaml": text, "reason": reason}
    _answer(Server.from_environment().post("licences/proposals/", body), as_json)


@licence.command()
@click.argument("key")
@_REASON
@_JSON
def retire(key: str, reason: str, as_json: bool) -> None:
    """Propose to take your record back; what lies under it counts again.

    \b
    Example:  lictor licence retire mit --reason "The rider was dropped."
    """
    from registry.cli.client import Server

    body = {"retire": key, "reason": reason}
    _answer(Server.from_environment().post("licences/proposals/", body), as_json)


@licence.command()
@_ID
@click.option("--reason", default="", help="Kept in the ledger.")
@click.option("--yes", is_flag=True, help="Do not ask at the terminal.")
@_JSON
def approve(proposal_id: Any, reason: str, yes: bool, as_json: bool) -> None:
    """Show what somebody else proposed and what it would touch, then put it in force.

    \b
    Example:  lictor licence approve ID --reason "Compared with the original."
    """
    from registry.cli.client import Server

    server = Server.from_environment()
    _print(server.get(f"licences/proposals/{proposal_id}/"), to_stderr=as_json)
    for item in server.get(f"licences/proposals/{proposal_id}/impact/")["judgements"]:
        line = f"  {item['name']}: {item['before']} -> {item['after']}"
        click.echo(plain(line), err=as_json)
    if sys.stdin.isatty() and not yes:
        click.confirm("Put it in force?", abort=True, err=True)
    path = f"licences/proposals/{proposal_id}/approve/"
    _answer(server.post(path, {"reason": reason}), as_json)


@licence.command()
@_ID
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@_JSON
def refuse(proposal_id: Any, reason: str, as_json: bool) -> None:
    """Refuse what somebody else proposed.

    \b
    Example:  lictor licence refuse ID --reason "Section 3 is misquoted."
    """
    from registry.cli.client import Server

    path = f"licences/proposals/{proposal_id}/refuse/"
    _answer(Server.from_environment().post(path, {"reason": reason}), as_json)


def _answer(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    click.echo(f"{row['id']}  {plain(row['key'])} version {row['number']}: {row['state']}")


def _print(row: dict[str, Any], *, to_stderr: bool = False) -> None:
    for line in _lines(row):
        click.echo(plain(line), err=to_stderr)


def _lines(row: dict[str, Any]) -> Iterator[str]:
    decided = f", {row['decided_by']} decided" if row["decided_by"] else ""
    yield f"{row['key']} version {row['number']} ({row['change']}): {row['state']}"
    yield f"  {row['author']} wrote it{decided}: {row['reason']}"
    diff = row["diff"]
    if diff is None:
        yield "  what it was written against is no longer at hand"
        return
    for field in diff["fields"]:
        yield f"  {field['name']}: {_redline(field)}"
    for clause in diff["clauses"]:
        yield f"  clause {clause['id']} (section {clause['section']}) {clause['change']}"
        for field in clause["fields"]:
            yield f"    {field['name']}: {_redline(field)}"


def _redline(field: dict[str, Any]) -> str:
    return " ".join(_SIGNS[piece["op"]].format(piece["text"]) for piece in field["redline"])
