"""`lictor measure`: have a checkpoint's guardrails measured against its base."""

import time
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import CommandFailed, plain
from registry.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from registry.cli.client import Server

_POLL_SECONDS = 0.5
_LOST = frozenset({"reduced", "removed"})
_INCONCLUSIVE_EXIT = 3


@click.command()
@click.argument("checkpoint", metavar="NAME_OR_ID")
@click.option("--base", metavar="NAME_OR_ID", help="What to measure against; else the parent.")
@click.option("--guard", metavar="NAME_OR_ID", help="Measure behind this guard as well.")
@click.option("--suite", help="A suite by name; else the server's default.")
@click.option("--timeout", type=click.FloatRange(min=0), default=1800, help="Seconds to wait.")
@click.option("--no-wait", is_flag=True, help="Ask, and do not wait for the answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the record, or the job, as JSON.")
def measure(
    checkpoint: str,
    base: str | None,
    guard: str | None,
    suite: str | None,
    timeout: float,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Have refusals measured against the base; with a guard, alone and behind it.

    \b
    Exit codes: 0 retained or replaced, 1 reduced, removed or failed, 3 inconclusive.
    Example:  lictor measure acme/tuned --guard house-rules
    """
    from registry.cli.client import Server
    from registry.cli.guard import guard_named
    from registry.cli.named import checkpoint_named

    server = Server.from_environment()
    body: dict[str, Any] = {"checkpoint": checkpoint_named(server, checkpoint)["id"]}
    if base:
        body["base"] = checkpoint_named(server, base)["id"]
    if guard:
        body["guard"] = guard_named(server, guard)["id"]
    if suite:
        body["suite"] = suite
    job = server.post("evidence/measure/", body)
    if no_wait:
        print_json(job) if as_json else click.echo(f"Asked for; job {job['id']}.")
        return
    record = server.get(f"evidence/{_waited(server, job, timeout)['evidence']}/")
    if as_json:
        print_json(record)
    else:
        labels = ("result", "summary", "id", "record_digest")
        print_rows([(label, plain(str(record[label]))) for label in labels])
    if record["result"] in _LOST:
        raise SystemExit(1)
    if record["result"] == "inconclusive":
        raise SystemExit(_INCONCLUSIVE_EXIT)


def _waited(server: "Server", job: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Poll until the job is done; progress goes to stderr.

    Raises: CommandFailed when it failed or takes too long.
    """
    deadline = time.monotonic() + timeout
    shown = ""
    while job["state"] not in ("done", "failed"):
        line = f"{job['state']}: {job['done']} of {job['total'] or '?'} {job['message']}".rstrip()
        if line != shown:
            click.echo(plain(line), err=True)
            shown = line
        if time.monotonic() > deadline:
            raise CommandFailed(f"It is still {job['state']} after {timeout:.0f} s; it goes on.")
        time.sleep(_POLL_SECONDS)
        job = server.get(f"evidence/jobs/{job['id']}/")
    if job["state"] == "failed":
        raise CommandFailed(job["message"])
    return job
