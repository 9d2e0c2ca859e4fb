"""`lictor ledger`: export the ledger, and verify an export without a server."""

from pathlib import Path

import click

from registry.cli.output import print_json

TAMPERED_EXIT = 1


@click.group()
def ledger() -> None:
    """Export and verify the ledger of everything that was decided and done."""


@ledger.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    help="PEM file of the key you trust; without it the file's own key is used.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(file: Path, public_key: Path | None, as_json: bool) -> None:
    """Verify an exported ledger, without a server. Exit 0 when intact, 1 when not.

    \b
    Every changed, missing, added or moved entry is named.
    Example:  lictor ledger verify ledger.jsonl --public-key lictor-ledger.pem
    """
    from registry.ledger.chain import load_public_key
    from registry.ledger.export import verify_export

    key = load_public_key(public_key.read_bytes()) if public_key else None
    report = verify_export(file, key)
    if as_json:
        print_json(report.to_json())
    else:
        for problem in report.problems:
            click.echo(str(problem), err=True)
        verdict = "intact" if report.is_intact else f"NOT intact: {len(report.problems)} problems"
        click.echo(f"{report.org}: {report.count} entries, signed {report.signed_at}: {verdict}")
        if not report.key_trusted:
            click.echo(
                f"The key {report.kid} came from the file itself; compare it with the one your "
                "organisation published, or give --public-key.",
                err=True,
            )
    raise SystemExit(0 if report.is_intact else TAMPERED_EXIT)


@ledger.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def export(file: Path, as_json: bool) -> None:
    """Download the signed ledger and check that it arrived whole.

    \b
    A file that is there is replaced once the download is complete. Exit 0 when intact, 1 when not.
    Example:  lictor ledger export ledger.jsonl
    """
    from registry.cli.client import Server
    from registry.ledger.export import verify_export

    Server.from_environment().download("ledger/export/", file)
    report = verify_export(file)
    if as_json:
        print_json(report.to_json())
    else:
        for problem in report.problems:
            click.echo(str(problem), err=True)
        click.echo(f"{file}: {report.count} entries of {report.org}, signed {report.signed_at}")
    raise SystemExit(0 if report.is_intact else TAMPERED_EXIT)
