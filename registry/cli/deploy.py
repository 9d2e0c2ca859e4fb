"""`lictor deploy`: serve an approved checkpoint under an endpoint's name."""

import time
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import BadRequest, CommandFailed, plain
from registry.cli.intended_use import is_given, use_of, use_options
from registry.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from registry.cli.client import Server

_POLL_SECONDS = 0.5
_SETTLED = frozenset({"ready", "failed", "ended", "stopped"})


@click.command()
@click.argument("checkpoint", metavar="NAME_OR_ID")
@click.option("--endpoint", required=True, help="The `model` that clients will ask for.")
@click.option("--target", required=True, help="Where to run, by name.")
@click.option("--replicas", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--reasoning-mode", type=click.Choice(["caller_decides", "always_on", "always_off"]))
@click.option("--budget", type=click.IntRange(min=0), help="Most tokens of thought a request.")
@click.option("--guard", metavar="NAME_OR_ID", help="Stands in front; else as the approval asks.")
@click.option("--review", type=click.UUID, help="Deploy by this approval; else the newest.")
@use_options
@click.option("--wait", is_flag=True, help="Wait until it is ready or has failed.")
@click.option("--timeout", type=click.FloatRange(min=0), default=600, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the endpoint as JSON.")
def deploy(
    checkpoint: str,
    endpoint: str,
    target: str,
    replicas: int,
    reasoning_mode: str | None,
    budget: int | None,
    guard: str | None,
    review: Any,
    wait: bool,
    timeout: float,
    as_json: bool,
    **use: Any,
) -> None:
    """Deploy an approved checkpoint; without an approval in force the server refuses.

    \b
    With --wait the exit code is 0 once it is ready and 1 when it is not.
    Example:  lictor deploy acme/chat --endpoint chat --target this-host --wait
    """
    from registry.cli.client import Server
    from registry.cli.guard import guard_named
    from registry.cli.named import checkpoint_named

    policy = {"mode": reasoning_mode, "max_budget_tokens": budget}
    body: dict[str, Any] = {
        "name": endpoint,
        "target": target,
        "replicas": replicas,
        "reasoning_policy": {key: value for key, value in policy.items() if value is not None},
        **_approval(review, use),
    }
    server = Server.from_environment()
    body["checkpoint"] = checkpoint_named(server, checkpoint)["id"]
    if guard:
        body["guard"] = guard_named(server, guard)["id"]
    made = server.post("endpoints/", body)
    if wait:
        made = _wait(server, made, timeout)
    if as_json:
        print_json(made)
    else:
        labels = ("name", "id", "model", "digest", "target", "phase")
        print_rows([(label, plain(str(made[label]))) for label in labels])
    if wait and made["phase"] != "ready":
        raise CommandFailed(f"{made['name']} is {made['phase']}: {made['message']}")


def _approval(review: Any, use: dict[str, Any]) -> dict[str, Any]:
    if review and is_given(use):
        raise BadRequest("Give either --review or the use (--purpose ...), not both.")
    if review:
        return {"review": str(review)}
    return {"use": use_of(use)} if is_given(use) else {}


def _wait(server: "Server", endpoint: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Poll until the phase is settled; each change is a line on stderr."""
    deadline = time.monotonic() + timeout
    shown = ""
    while True:
        seen = server.get(f"endpoints/{endpoint['id']}/")
        ready = sum(row["state"] == "ready" for row in seen["replicas"])
        line = f"{seen['phase']}: {ready} of {seen['desired_replicas']} ready {seen['message']}"
        if line != shown:
            click.echo(plain(line.rstrip()), err=True)
            shown = line
        if seen["phase"] in _SETTLED:
            return seen
        if time.monotonic() > deadline:
            raise CommandFailed(f"{seen['name']} is still {seen['phase']} after {timeout:.0f} s.")
        time.sleep(_POLL_SECONDS)
