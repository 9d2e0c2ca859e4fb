"""`lictor policy`: test an organisation's rules offline, and put them in force on a server."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.catalogue import installed_library
from registry.cli.failure import CommandFailed, plain
from registry.cli.output import print_json

if TYPE_CHECKING:
    from compliance.policy.document import Policy
    from registry.cli.client import Server

_FILE = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
_ID = click.argument("policy_id", metavar="ID", type=click.UUID)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_POLL_SECONDS = 1.0
_TESTS_FAILED = 1


@click.group()
def policy() -> None:
    """Test an organisation's rules offline, and put them in force on a server.

    \b
    Offline: test, judge. The others talk to the server.
    Example:  lictor policy test policy.yaml
    """


@policy.command()
@_FILE
@_JSON
def test(file: Path, as_json: bool) -> None:
    """Check a policy and run the tests beside its rules; nothing is written.

    \b
    Exit codes: 0 all pass, 1 a test fails, 2 the policy is not valid.
    Example:  lictor policy test policy.yaml
    """
    from compliance.policy.trial import run_trials, untested_rules

    read = _read(file)
    ran = run_trials(read)
    failed = [one for one in ran if not one.passed]
    if as_json:
        tests = [
            {"name": one.name, "passed": one.passed, "faults": list(one.faults)} for one in ran
        ]
        untested = list(untested_rules(read))
        print_json({"name": read.name, "digest": read.digest, "tests": tests, "untested": untested})
    else:
        for one in ran:
            click.echo(plain(f"{'pass' if one.passed else 'FAIL'}  {one.name}"))
            for fault in one.faults:
                click.echo(plain(f"      {fault}"))
        for rule in untested_rules(read):
            click.echo(f"note  no test sees {rule} fire")
        click.echo(
            plain(f"{read.name}: {len(read.rules)} rules, {len(ran)} tests, {len(failed)} failed")
        )
    raise SystemExit(_TESTS_FAILED if failed else 0)


def _read(file: Path) -> "Policy":
    from compliance.policy.document import read_policy
    from compliance.rules.faults import InputFaults
    from registry.errors import BadInput

    try:
        return read_policy(file.read_bytes(), source=file.name)
    except InputFaults as error:
        raise BadInput(str(error), code=error.code, place=error.source) from error


@policy.command()
@_FILE
@click.argument("scenario", metavar="SCENARIO.yaml", type=click.Path(path_type=Path))
@click.option(
    "--as-of",
    metavar="DATE",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The day, YYYY-MM-DD, where the scenario names none; else today.",
)
@_JSON
def judge(file: Path, scenario: Path, as_of: datetime | None, as_json: bool) -> None:
    """Judge a scenario by the licences and by a policy.

    \b
    Exit codes: 0 allow, 3 allow with conditions, 4 needs review, 5 deny, 2 bad input.
    Example:  lictor policy judge policy.yaml scenario.yaml --as-of 2026-11-23
    """
    from compliance.policy.apply import apply
    from compliance.rules.evaluate import evaluate
    from compliance.rules.faults import InputFaults
    from compliance.rules.report import EXIT_CODES, render_text
    from compliance.rules.scenario import load_scenario
    from registry.errors import BadInput

    read = _read(file)
    try:
        facts = load_scenario(scenario, as_of=(as_of or datetime.now(UTC)).date())
    except InputFaults as error:
        raise BadInput(str(error), code=error.code, place=error.source) from error
    library = installed_library()
    report = apply(evaluate(facts, library), facts, read, library=library)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(render_text(report), nl=False)
    raise SystemExit(EXIT_CODES[report.decision])


@policy.command("list")
@_JSON
def list_versions(as_json: bool) -> None:
    """List the versions of your organisation's policy, newest first.

    \b
    Example:  lictor policy list
    """
    from registry.cli.client import Server

    rows = list(Server.from_environment().each("policies/"))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        head = f"{row['id']}  {row['number']:>3}  {row['state']:<8}"
        click.echo(plain(f"{head} {row['author']}  {row['name']}"))


@policy.command()
@_FILE
@click.option("--reason", required=True, help="What the version changes; kept in the ledger.")
@_JSON
def save(file: Path, reason: str, as_json: bool) -> None:
    """Write the next version; it counts for nothing until somebody else activates it.

    \b
    Example:  lictor policy save policy.yaml --reason "No AGPL in hosted use."
    """
    from registry.cli.client import Server

    _read(file)
    body = {"document": file.read_text("utf-8"), "reason": reason}
    _answer(Server.from_environment().post("policies/", body), as_json)


@policy.command()
@_ID
@_JSON
def activate(policy_id: Any, as_json: bool) -> None:
    """Put a version in force; approvals whose outcome it changes become stale.

    \b
    Example:  lictor policy activate 1f0c6e0a-6a5e-4a55-9c53-3f3a4f6f2b11
    """
    from registry.cli.client import Server

    _answer(Server.from_environment().post(f"policies/{policy_id}/activate/", {}), as_json)


@policy.command()
@_ID
@_JSON
def retire(policy_id: Any, as_json: bool) -> None:
    """Take the version in force away, so that the licences alone count.

    \b
    Example:  lictor policy retire 1f0c6e0a-6a5e-4a55-9c53-3f3a4f6f2b11
    """
    from registry.cli.client import Server

    _answer(Server.from_environment().post(f"policies/{policy_id}/retire/", {}), as_json)


@policy.command("dry-run")
@_ID
@_JSON
def dry_run(policy_id: Any, as_json: bool) -> None:
    """Say what a version would change over the whole inventory before it takes effect.

    \b
    Example:  lictor policy dry-run 1f0c6e0a-6a5e-4a55-9c53-3f3a4f6f2b11
    """
    from registry.cli.client import Server

    server = Server.from_environment()
    run = _wait(server, server.post(f"policies/{policy_id}/dry-run/", {}))
    if as_json:
        print_json(run)
        return
    result = run["result"]
    for one in result["changes"]:
        rules = ", ".join(
            [f"+{rule}" for rule in one["raised"]] + [f"-{rule}" for rule in one["dropped"]]
        )
        ends = "  ends its approval" if one["ends_approval"] else ""
        use = ", ".join(one["use"].get("purposes", []))
        click.echo(
            plain(f"{one['name']} ({use}): {one['before']} -> {one['after']}  {rules}{ends}")
        )
    click.echo(
        f"{result['changed']} of {result['total']} judgements change: {result['stricter']} "
        f"stricter, {result['milder']} milder; {result['approvals_ended']} approvals end."
    )


def _wait(server: "Server", run: dict[str, Any]) -> dict[str, Any]:
    while run["state"] in ("queued", "running"):
        click.echo(f"{run['done']} of {run['total']} judged", err=True)
        time.sleep(_POLL_SECONDS)
        run = server.get(f"policies/dry-runs/{run['id']}/")
    if run["state"] != "done":
        raise CommandFailed("The dry run failed.", str(run["message"]))
    return run


def _answer(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    click.echo(plain(f"{row['name']} version {row['number']}: {row['state']}  {row['id']}"))
    for one in row["tests"]:
        if not one["passed"]:
            click.echo(plain(f"  test fails: {one['name']}: {'; '.join(one['faults'])}"))
