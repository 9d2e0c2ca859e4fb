"""Find what a person names: a checkpoint by model name or id, an endpoint by name or id."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from registry.cli.failure import BadRequest

if TYPE_CHECKING:
    from registry.cli.client import Server


def checkpoint_named(server: "Server", name: str) -> dict[str, Any]:
    """Find a checkpoint by id, `org/name` (its newest) or `org/name@sha256:...` (a beginning).

    Says on stderr which one it took where a name has several.
    """
    if is_id(name):
        return server.get(f"checkpoints/{name}/")
    model, _, digest = name.partition("@")
    rows = [
        row for row in server.each("checkpoints/", name=model) if row["digest"].startswith(digest)
    ]
    if not rows:
        raise BadRequest(f"There is no checkpoint {name!r} in your organisation.")
    if len(rows) > 1 and digest:
        raise BadRequest(
            f"{name!r} begins the digest of {len(rows)} checkpoints:",
            *(f"{row['id']}  {row['digest']}" for row in rows),
        )
    if len(rows) > 1:
        click.echo(
            f"{model} has {len(rows)} checkpoints; taking the newest, {rows[0]['digest']}.",
            err=True,
        )
    return rows[0]


def endpoint_named(server: "Server", name: str) -> dict[str, Any]:
    if is_id(name):
        return server.get(f"endpoints/{name}/")
    for row in server.each("endpoints/"):
        if row["name"] == name:
            return row
    raise BadRequest(f"There is no endpoint {name!r}; `lictor endpoint list` shows them.")


def is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
