"""`lictor review`: open reviews, read them, approve or refuse a stage."""

import sys
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import BadRequest, plain
from registry.cli.findings import as_text
from registry.cli.intended_use import use_of, use_options
from registry.cli.output import print_json

if TYPE_CHECKING:
    from registry.cli.client import Server

_STAGE = click.option(
    "--stage",
    required=True,
    type=click.Choice(["legal", "security", "safety"]),
    help="The one you decide.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@click.group()
def review() -> None:
    """Open reviews, read them, approve or refuse them.

    \b
    Example:  lictor review list --state open
    """


@review.command("list")
@click.option("--state", help="Only those in this state, such as open or approved.")
@click.option("--checkpoint", metavar="NAME_OR_ID", help="Only those of this checkpoint.")
@_JSON
def list_reviews(state: str | None, checkpoint: str | None, as_json: bool) -> None:
    """List reviews, newest first.

    \b
    Example:  lictor review list --state open
    """
    from registry.cli.client import Server
    from registry.cli.named import checkpoint_named

    server = Server.from_environment()
    only = {"state": state} if state else {}
    if checkpoint:
        only["checkpoint"] = checkpoint_named(server, checkpoint)["id"]
    rows = list(server.each("reviews/", **only))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        stages = ", ".join(f"{stage['stage']} {stage['state']}" for stage in row["stages"])
        click.echo(f"{row['id']}  {row['state']:<10} {row['decision']:<22} {stages}")


@review.command()
@click.argument("review_id", metavar="ID", type=click.UUID)
@_JSON
def show(review_id: Any, as_json: bool) -> None:
    """Show a review with its findings.

    \b
    Example:  lictor review show 1f0c6e0a-6a5e-4a55-9c53-3f3a4f6f2b11
    """
    from registry.cli.client import Server

    server = Server.from_environment()
    row, assessment, name = _read(server, str(review_id))
    if as_json:
        print_json({**row, "report": assessment["report"]})
        return
    click.echo(as_text(name, assessment))
    _print_state(row)


@review.command("open")
@click.argument("checkpoint", metavar="NAME_OR_ID")
@use_options
@_JSON
def open_review(checkpoint: str, as_json: bool, **use: Any) -> None:
    """Ask people whether a checkpoint may be used this way.

    \b
    Example:  lictor review open acme/chat --purpose hosted_service --commercial
    """
    from registry.cli.client import Server
    from registry.cli.named import checkpoint_named

    intended = use_of(use)
    server = Server.from_environment()
    found = checkpoint_named(server, checkpoint)
    row = server.post("reviews/", {"checkpoint": found["id"], "use": intended})
    _answer(row, as_json)


@review.command()
@click.argument("review_id", metavar="ID", type=click.UUID)
@_STAGE
@click.option("--comment", default="", help="Why; kept in the ledger.")
@click.option("--condition", "conditions", multiple=True, help="Holds the user to it. Repeatable.")
@click.option("--yes", is_flag=True, help="Do not ask at the terminal.")
@_JSON
def approve(
    review_id: Any, stage: str, comment: str, conditions: tuple[str, ...], yes: bool, as_json: bool
) -> None:
    """Show the findings, then approve one stage, bound to exactly what was shown.

    \b
    Example:  lictor review approve ID --stage legal --comment "Read and agreed."
    """
    from registry.cli.client import Server

    server = Server.from_environment()
    row, assessment, name = _read(server, str(review_id))
    click.echo(as_text(name, assessment), err=as_json)
    if assessment["seen_digest"] != row["seen_digest"]:
        raise BadRequest("The review changed while it was read; run the command again.")
    if sys.stdin.isatty() and not yes:
        click.confirm(f"Approve the {stage} stage on these findings?", abort=True, err=True)
    _answer(_decide(server, row, stage, "approve", comment, conditions), as_json)


@review.command()
@click.argument("review_id", metavar="ID", type=click.UUID)
@_STAGE
@click.option("--comment", required=True, help="Why; kept in the ledger.")
@_JSON
def refuse(review_id: Any, stage: str, comment: str, as_json: bool) -> None:
    """Refuse one stage, with the reason.

    \b
    Example:  lictor review refuse ID --stage security --comment "No guardrail evidence."
    """
    from registry.cli.client import Server

    server = Server.from_environment()
    row = server.get(f"reviews/{review_id}/")
    _answer(_decide(server, row, stage, "refuse", comment, ()), as_json)


def _read(server: "Server", review_id: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Read a review, the judgement it rests on and the model's name."""
    row = server.get(f"reviews/{review_id}/")
    assessment = server.get(f"assessments/{row['assessment']}/")
    return row, assessment, server.get(f"checkpoints/{row['checkpoint']}/")["name"]


def _decide(
    server: "Server",
    row: dict[str, Any],
    stage: str,
    verdict: str,
    comment: str,
    conditions: tuple[str, ...],
) -> dict[str, Any]:
    body = {
        "stage": stage,
        "verdict": verdict,
        "seen_digest": row["seen_digest"],
        "comment": comment,
        "conditions": list(conditions),
    }
    return server.post(f"reviews/{row['id']}/decide/", body)


def _answer(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(row)
    else:
        _print_state(row)


def _print_state(row: dict[str, Any]) -> None:
    click.echo(f"review {row['id']}: {row['state']}, opened by {plain(row['opened_by'])}")
    for stage in row["stages"]:
        by = f" by {plain(stage['by'])}" if stage["by"] else ""
        click.echo(f"  {stage['stage']}: {stage['state']}{by}")
