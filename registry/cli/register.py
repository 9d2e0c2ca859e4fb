"""`lictor register`: hash a folder, send what the server lacks, register it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import BadRequest
from registry.cli.output import print_json, print_rows, show_progress

if TYPE_CHECKING:
    from registry.artifact.manifest import Manifest
    from registry.cli.client import Server


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", required=True, metavar="ORG/NAME", help="The model's name.")
@click.option(
    "--kind", type=click.Choice(["weights", "metadata"]), default="weights", show_default=True
)
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="ORG/BASE:RELATION[@DIGEST]",
    help="What it was made from: finetune, adapter, merge, quantized, ... Repeatable.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME:LICENCE:USE",
    help="What it was trained on; the licence may be empty. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the checkpoint as JSON.")
def register(
    folder: Path,
    name: str,
    kind: str,
    parents: tuple[str, ...],
    datasets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Register a checkpoint folder; only files that the server lacks are sent.

    \b
    The same folder again is the same checkpoint. Needs LICTOR_URL and LICTOR_TOKEN.
    Example:  lictor register ./my-model --name acme/chat --parent acme/base:finetune
    """
    from registry.artifact.manifest import manifest_of
    from registry.cli.client import Server

    body: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "parents": [_parent(text) for text in parents],
        "datasets": [_dataset(text) for text in datasets],
    }
    server = Server.from_environment()
    manifest = manifest_of(folder, progress=show_progress if sys.stderr.isatty() else None)
    sent = _upload(server, folder, manifest)
    made = server.post("checkpoints/", {**body, "manifest": manifest.to_json()})
    if as_json:
        print_json(made)
        return
    print_rows(
        [
            ("checkpoint", made["name"]),
            ("id", made["id"]),
            ("digest", made["digest"]),
            ("sent", f"{sent:,} of {manifest.total_bytes:,} bytes"),
        ]
    )


def _upload(server: "Server", folder: Path, manifest: "Manifest") -> int:
    """Send the files that the server lacks; return how many bytes were sent."""
    by_digest = {entry.sha256: entry for entry in manifest.files}
    missing = server.post("blobs/missing/", {"sha256": sorted(by_digest)})["missing"]
    wanted = [by_digest[sha256] for sha256 in missing if sha256 in by_digest]
    total, done = sum(entry.size for entry in wanted), 0

    def sent(count: int) -> None:
        nonlocal done
        done += count
        if sys.stderr.isatty():
            show_progress(done, total, doing="sending")

    for entry in wanted:
        server.put_file(folder, entry, sent)
    return total


def _parent(text: str) -> dict[str, Any]:
    named, _, digest = text.partition("@")
    name, _, relation = named.rpartition(":")
    if not name or not relation:
        raise BadRequest(f"--parent {text!r}: write ORG/BASE:RELATION, as acme/base:finetune.")
    return {"name": name, "relation": relation, "digest": digest or None}


def _dataset(text: str) -> dict[str, Any]:
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[0] or not parts[2]:
        raise BadRequest(f"--dataset {text!r}: write NAME:LICENCE:USE, as acme/faq:mit:training.")
    return {"name": parts[0], "license": parts[1], "use": parts[2]}
