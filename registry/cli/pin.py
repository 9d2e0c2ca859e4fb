"""`lictor pin`: lay down which licence text governs a checkpoint."""

import click

from registry.cli.output import print_json


@click.command()
@click.argument("checkpoint", metavar="NAME_OR_ID")
@click.argument("licence", metavar="LICENCE")
@click.option("--reason", required=True, help="Why this text; kept in the ledger.")
@click.option("--json", "as_json", is_flag=True, help="Print the pin as JSON.")
def pin(checkpoint: str, licence: str, reason: str, as_json: bool) -> None:
    """Pin a checkpoint to a licence of the catalogue; what rests on it is judged again.

    \b
    Needs the role of a legal reviewer.
    Example:  lictor pin acme/chat nvidia-open-model-2025-10-24 --reason "Read at intake."
    """
    from registry.cli.client import Server
    from registry.cli.named import checkpoint_named

    server = Server.from_environment()
    row = checkpoint_named(server, checkpoint)
    body = {"checkpoint": row["id"], "licence": licence, "reason": reason}
    made = server.post("licence-pins/", body)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{row['name']} {row['digest']} is pinned to {made['licence']}.")
