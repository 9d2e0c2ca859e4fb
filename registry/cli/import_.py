"""`lictor import`: read a model from a Hub on this machine, and register what was read."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import BadRequest, CommandFailed
from registry.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from registry.cli.hub_server import HubServer
    from registry.hub.intake import Reading
    from registry.hub.lineage import Source

_LABELS = {
    "new": "imported now",
    "unchanged": "already imported; nothing has changed",
    "seen_again": "imported before; the Hub says something new about it",
}


@click.command(name="import")
@click.argument("name", metavar="ORG/NAME[@REVISION]")
@click.option("--weights", is_flag=True, help="Fetch the weights too, verified as they come in.")
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="Where to put them; the cache if not."
)
@click.option(
    "--drop-remote-code",
    is_flag=True,
    help="Take out of its configuration what asks for its own code to be run, and say so.",
)
@click.option("--depth", type=click.IntRange(0, 30), default=8, show_default=True)
@click.option("--offline", is_flag=True, help="Use what an earlier import kept; ask nobody.")
@click.option("--watch", is_flag=True, help="Have the server read it again, every hour.")
@click.option("--json", "as_json", is_flag=True, help="Print everything registered as JSON.")
def import_(
    name: str,
    weights: bool,
    folder: Path | None,
    drop_remote_code: bool,
    depth: int,
    offline: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """Import a model from the Hub: one pinned commit, its terms, and what it was made from.

    \b
    Texts, hashes and statuses only, unless --weights. What the Hub says of weights that were not
    fetched is kept as its word; such a checkpoint is judged and never served.
    DEPTH is how many levels of parents are read. HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the
    proxy variables count. Needs LICTOR_URL and LICTOR_TOKEN.
    Example:  lictor import nvidia/NVIDIA-Nemotron-Nano-9B-v2
    """
    from registry.cli.hub_server import HubServer
    from registry.hub.facts import is_repo
    from registry.hub.lineage import read_lineage

    repo, _, revision = name.partition("@")
    if not is_repo(repo):
        raise BadRequest(f"{repo!r} is not an ORG/NAME.")
    if offline and (weights or watch):
        raise BadRequest("--offline goes with neither --weights nor --watch.")
    server = HubServer.from_environment()
    source = _source(offline)
    readings = _asking(
        lambda: read_lineage(source, repo, revision or None, depth=depth, tell=_telling())
    )
    done = [_register(server, reading) for reading in readings[: -1 if weights else None]]
    if weights:
        done.append(_with_weights(server, source, readings[-1], folder, drop_remote_code))
    watched = server.post("watches/", {"repo": repo, "revision": revision}) if watch else None
    if as_json:
        print_json({"subject": done[-1], "parents": done[:-1], "watch": watched})
    else:
        _show(done, watched)


def _source(offline: bool) -> "Source":
    from registry.hub.cache import Kept
    from registry.hub.intake import Hub

    told = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if offline or told:
        return Kept()
    from huggingface_hub import get_token

    return Hub(endpoint=os.environ.get("HF_ENDPOINT") or None, token=get_token())


def _asking(act: Callable[[], Any]) -> Any:
    """Turn a refusal into exit code 2, or 1 for what may pass."""
    from registry.hub.refusals import HubRefusal

    try:
        return act()
    except HubRefusal as error:
        kind = CommandFailed if error.is_transient else BadRequest
        raise kind(f"{error.title} ({error.reason}).", error.detail) from error


def _telling() -> Callable[[str], None]:
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda repo: click.echo(f"reading {repo}", err=True)


def _register(server: "HubServer", reading: "Reading") -> dict[str, Any]:
    """Send the texts of one reading and register it without weights."""
    from registry.hub.cache import keep
    from registry.hub.folder import metadata_files

    if reading.seen["source"] == "hub":
        keep(reading)
    files = metadata_files(reading)
    server.send_texts([data for _, data in files.contents])
    body = {
        "kind": "metadata",
        "manifest": files.manifest.to_json(),
        "record": _record(reading)[0],
        "seen": files.seen,
    }
    return server.post("imports/", body)


def _with_weights(
    server: "HubServer", source: "Source", reading: "Reading", to: Path | None, drop: bool
) -> dict[str, Any]:
    """Fetch every file that can be registered, then register the folder as it is."""
    from registry.cli.import_weights import fetch
    from registry.cli.register import _upload
    from registry.hub.cache import keep
    from registry.hub.intake import Hub

    if not isinstance(source, Hub):
        raise BadRequest("--weights needs a Hub; HF_HUB_OFFLINE is set.")
    hub: Hub = source
    folder = to or keep(reading) / "files"
    fetched = _asking(lambda: fetch(hub, reading, folder, drop_remote_code=drop))
    record, data = _record(reading)
    server.send_texts([data, *fetched.originals_data])
    _upload(server, folder, fetched.manifest)
    body = {
        "kind": "weights",
        "manifest": fetched.manifest.to_json(),
        "record": record,
        "seen": {**reading.seen, "left_out": fetched.left_out},
        "originals": fetched.originals,
    }
    return server.post("imports/", body)


def _record(reading: "Reading") -> tuple[str, bytes]:
    from hashlib import sha256

    data = reading.commit.canonical_bytes()
    return sha256(data).hexdigest(), data


def _show(done: list[dict[str, Any]], watched: dict[str, Any] | None) -> None:
    for made in done:
        _show_one(made)
        click.echo()
    if watched:
        click.echo(f"watched  {watched['repo']}@{watched['revision'] or 'main'}")


def _show_one(made: dict[str, Any]) -> None:
    hub, seen = made["hub"], made["hub"]["seen"]
    card = seen["card"]
    told = [card[key] for key in ("license", "license_name", "license_link") if card[key]]
    rows = [
        ("checkpoint", f"{hub['repo']}  {_LABELS.get(made['result'], made['result'])}"),
        ("commit", hub["commit"]),
        ("id", hub["checkpoint"]),
        ("digest", hub["digest"]),
        ("card says", ", ".join(told) or "no licence"),
        ("weights", _weights(hub)),
    ]
    rows += [("altered", one) for one in hub["altered"]]
    rows += [("parent", _parent(one)) for one in seen["parents"]]
    rows += [("data set", f"{one['id']}  {_terms(one)}") for one in seen["datasets"]]
    rows += [("not read", f"{one['path']}: {one['reason']}") for one in seen["left_out"]]
    rows += [("not known", one) for one in seen["unknown"]]
    rows += [("changed", f"{one['kind']}: {one['says']}") for one in made["changes"]]
    if made["licence_changed"]:
        rows.append(("LICENCE", "What says under which terms it comes has changed upstream."))
    from registry.cli.failure import plain

    print_rows([(label, plain(text)) for label, text in rows])


def _weights(hub: dict[str, Any]) -> str:
    if hub["is_verified"]:
        return "verified against the Hub's hashes"
    return "not fetched; their hashes are the Hub's word, and this checkpoint is never served"


def _parent(one: dict[str, Any]) -> str:
    said = "assumed" if one["said_by"] == "nobody" else f"says the {one['said_by']}"
    known = "" if one["state"] == "read" else f"  UNKNOWN: {one['state']}"
    return f"{one['id']}  {one['relation']} ({said}){known}"


def _terms(one: dict[str, Any]) -> str:
    return one["license"] or ("names no licence" if one["state"] == "read" else one["state"])
