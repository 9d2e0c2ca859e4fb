"""Check the online commands against a live server, over real HTTP."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from compliance.models import Matter, Review
from compliance.rules.facts import MATTER_KINDS, PURPOSES
from deployer.models import Endpoint
from registry.artifact.manifest import manifest_of
from registry.cli import lictor
from registry.cli.client import Server
from registry.cli.intended_use import PURPOSES as OFFERED
from registry.cli.matter import file_matter
from registry.models import Blob, Checkpoint, Organisation, User
from registry.services import create_token
from tests.build import make_approval, make_endpoint, make_target, small_files
from tests.compliance.building import NVIDIA, Cast, make_cast, make_checkpoint, make_person

USE = ["--purpose", "internal", "--no-commercial", "--jurisdiction", "DE", "--mau", "0"]
MATTER = ["--reference", "A-1", "--title", "A v. B", "--kind", "patent", "--not-in-response"]
Run = Callable[..., Result]


@pytest.fixture
def cast(keys: Path, blobs: Path, live_server: Any) -> Cast:
    return make_cast()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LICTOR_URL", "LICTOR_TOKEN", "LICTOR_GATEWAY", "LICTOR_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def run(live_server: Any) -> Run:
    """Run a command as one person; whatever it ends with, it is no traceback."""

    def as_person(person: User, *arguments: str, code: int = 0, stdin: str = "") -> Result:
        organisation = Organisation.objects.get(membership__user=person)
        _, secret = create_token(organisation=organisation, owner=person, name="cli")
        env = {"LICTOR_URL": live_server.url, "LICTOR_TOKEN": secret}
        done = CliRunner().invoke(lictor, list(arguments), env=env, input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        return done

    return as_person


def said(done: Result) -> Any:
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    for name, data in small_files(**{"empty.txt": b""}).items():
        (path / name).write_bytes(data)
    return path


def test_registering_sends_the_files_and_prints_the_identity(
    cast: Cast, run: Run, folder: Path
) -> None:
    done = run(cast.submitter, "register", str(folder), "--name", "acme/chat")

    row = Checkpoint.objects.get()
    assert row.digest == manifest_of(folder).digest
    assert row.digest in done.stdout
    assert str(row.pk) in done.stdout
    assert Blob.objects.count() == 3


def test_registering_again_sends_nothing_and_is_the_same_checkpoint(
    cast: Cast, run: Run, folder: Path
) -> None:
    command = ["register", str(folder), "--name", "acme/chat", "--json"]
    first = said(run(cast.submitter, *command))
    second = run(cast.submitter, *command[:-1])

    assert first["id"] in second.stdout
    assert "sent        0 of" in second.stdout
    assert Checkpoint.objects.count() == 1


def test_parents_and_datasets_are_declared(cast: Cast, run: Run, folder: Path) -> None:
    base = make_checkpoint(cast, "acme/base")
    options = [
        "--parent",
        f"acme/base:finetune@{base.digest}",
        "--dataset",
        "acme/faq:mit:training",
    ]
    made = said(
        run(cast.submitter, "register", str(folder), "--name", "acme/chat", *options, "--json")
    )

    assert made["parents"] == [
        {"name": "acme/base", "relation": "finetune", "checkpoint": str(base.pk)}
    ]
    assert Checkpoint.objects.get(pk=made["id"]).datasets.get().license == "mit"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--parent", "acme/base"], "write ORG/BASE:RELATION"),
        (["--dataset", "faq"], "write NAME:LICENCE:USE"),
        (["--parent", "acme/base:cousin"], "cousin"),
        (["--name", "nameless"], "name: "),
    ],
)
def test_what_cannot_be_registered_is_said_and_exits_with_2(
    cast: Cast, run: Run, folder: Path, options: list[str], says: str
) -> None:
    done = run(cast.submitter, "register", str(folder), "--name", "acme/chat", *options, code=2)

    assert says in done.stderr
    assert not Checkpoint.objects.exists()


def test_a_file_that_changes_after_hashing_is_not_registered(
    cast: Cast, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Server.put_file

    def changed(self: Server, where: Path, entry: Any, sent: Any) -> None:
        (where / entry.path).write_bytes(b"x" * entry.size)
        send(self, where, entry, sent)

    monkeypatch.setattr(Server, "put_file", changed)
    (folder / "empty.txt").unlink()

    run(cast.submitter, "register", str(folder), "--name", "acme/chat", code=2)

    assert not Checkpoint.objects.exists()


@pytest.mark.parametrize(
    ("license", "use", "code", "decision"),
    [
        ("apache-2.0", USE, 0, "allow"),
        ("other", USE, 4, "needs_review"),
        ("cc-by-nc-4.0", ["--purpose", "hosted_service", "--commercial"], 5, "deny"),
    ],
)
def test_a_check_exits_with_the_code_of_its_decision(
    cast: Cast, run: Run, license: str, use: list[str], code: int, decision: str
) -> None:
    row = make_checkpoint(cast, "acme/model", license=license)

    as_json = said(run(cast.submitter, "check", "acme/model", *use, "--json", code=code))
    as_text = run(cast.submitter, "check", str(row.pk), *use, code=code)

    assert as_json["decision"] == decision
    assert decision.replace("_", " ").upper() in as_text.stdout


def test_a_check_with_conditions_exits_with_3(cast: Cast, run: Run) -> None:
    make_checkpoint(cast, "acme/model")
    use = ["--purpose", "redistribution", "--no-commercial", "--jurisdiction", "DE", "--mau", "0"]

    done = said(run(cast.submitter, "check", "acme/model", *use, "--json", code=3))

    assert done["decision"] == "allow_with_conditions"


def test_sarif_has_a_rule_and_a_message_for_each_result(cast: Cast, run: Run) -> None:
    make_checkpoint(cast, "acme/model", license="cc-by-nc-4.0")
    use = ["--purpose", "hosted_service", "--commercial"]

    document = said(run(cast.submitter, "check", "acme/model", *use, "--format", "sarif", code=5))

    (one,) = document["runs"]
    rules = one["tool"]["driver"]["rules"]
    assert document["version"] == "2.1.0"
    assert one["tool"]["driver"]["name"] == "lictor"
    assert len({rule["id"] for rule in rules}) == len(rules) > 0
    assert "error" in {result["level"] for result in one["results"]}
    for result in one["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in {"error", "warning"}
    assert one["invocations"] == [{"executionSuccessful": True, "exitCode": 5}]


def test_a_name_with_several_checkpoints_says_which_one_it_took(cast: Cast, run: Run) -> None:
    older = make_checkpoint(cast, "acme/model")
    newer = make_checkpoint(cast, "acme/model", salt="2")

    newest = run(cast.submitter, "check", "acme/model", *USE, "--json")
    exact = run(cast.submitter, "check", f"acme/model@{older.digest[:20]}", *USE, "--json")

    assert said(newest)["checkpoint"] == str(newer.pk)
    assert newer.digest in newest.stderr
    assert (said(exact)["checkpoint"], exact.stderr) == (str(older.pk), "")


def test_an_unknown_or_foreign_checkpoint_exits_with_2(cast: Cast, run: Run) -> None:
    foreign = make_checkpoint(make_cast("other"), "other/model")

    by_name = run(cast.submitter, "check", "other/model", *USE, code=2)
    by_id = run(cast.submitter, "check", str(foreign.pk), *USE, code=2)

    assert "no checkpoint 'other/model'" in by_name.stderr
    assert "Not found (404 not_found)" in by_id.stderr


def test_every_fault_of_a_use_is_printed(cast: Cast, run: Run) -> None:
    make_checkpoint(cast, "acme/model")

    done = run(cast.submitter, "check", "acme/model", *USE, "--jurisdiction", "Germany", code=2)

    assert "use.jurisdictions: " in done.stderr
    assert done.stdout == ""


def test_a_missing_role_is_printed_with_what_it_needs(cast: Cast, run: Run) -> None:
    make_checkpoint(cast, "acme/model")

    done = run(cast.operator, "pin", "acme/model", NVIDIA, "--reason", "x", code=2)

    assert "Your roles do not allow this (403 role_missing)" in done.stderr
    assert "licence.pin needs a role" in done.stderr


def test_a_pin_governs_the_checkpoint(cast: Cast, run: Run) -> None:
    row = make_checkpoint(cast, "acme/model")

    made = said(run(cast.legal, "pin", "acme/model", NVIDIA, "--reason", "Read.", "--json"))

    assert (made["checkpoint"], made["licence"]) == (str(row.pk), NVIDIA)


def test_a_review_is_opened_shown_and_approved_in_both_stages(cast: Cast, run: Run) -> None:
    make_checkpoint(cast, "acme/model")
    opened = said(run(cast.asker, "review", "open", "acme/model", *USE, "--json"))
    listed = run(cast.legal, "review", "list", "--state", "open")
    shown = run(cast.legal, "review", "show", opened["id"])
    legal = run(cast.legal, "review", "approve", opened["id"], "--stage", "legal")
    both = said(
        run(cast.security, "review", "approve", opened["id"], "--stage", "security", "--json")
    )

    assert opened["id"] in listed.stdout
    assert "acme/model on " in shown.stdout
    assert legal.stdout.index("ALLOW") < legal.stdout.index("legal: approved by acme-lena")
    assert both["state"] == "approved"


def test_the_submitter_may_not_approve(cast: Cast, run: Run) -> None:
    erin = make_person(cast.organisation, "acme-both", "submitter", "legal_reviewer")
    row = make_checkpoint(cast, "acme/model")
    opened = said(run(erin, "review", "open", str(row.pk), *USE, "--json"))

    done = run(erin, "review", "approve", opened["id"], "--stage", "legal", code=2)

    assert "Somebody else must do this (403 separation_of_duties)" in done.stderr
    assert Review.objects.get().state == "open"


def test_a_refusal_closes_the_review(cast: Cast, run: Run) -> None:
    make_checkpoint(cast, "acme/model")
    opened = said(run(cast.asker, "review", "open", "acme/model", *USE, "--json"))

    done = run(cast.legal, "review", "refuse", opened["id"], "--stage", "legal", "--comment", "No.")

    assert "legal: refused by acme-lena" in done.stdout
    assert Review.objects.get().state == "refused"


def test_deploying_without_an_approval_is_refused(cast: Cast, run: Run) -> None:
    make_checkpoint(cast, "acme/model")
    make_target(cast)

    done = run(
        cast.operator, "deploy", "acme/model", "--endpoint", "chat", "--target", "here", code=2
    )

    assert "(409 " in done.stderr
    assert not Endpoint.objects.exists()


def test_what_is_approved_is_deployed_with_its_reasoning_policy(cast: Cast, run: Run) -> None:
    make_approval(cast, make_checkpoint(cast, "acme/model"))
    make_target(cast)
    command = ["deploy", "acme/model", "--endpoint", "chat", "--target", "here"]

    made = said(
        run(cast.operator, *command, "--reasoning-mode", "always_on", "--budget", "64", "--json")
    )

    assert made["name"] == "chat"
    assert made["reasoning_policy"]["mode"] == "always_on"
    assert made["reasoning_policy"]["max_budget_tokens"] == 64


@pytest.mark.parametrize(("phase", "code"), [("ready", 0), ("failed", 1), ("pending", 1)])
def test_waiting_ends_when_the_endpoint_is_ready_failed_or_late(
    cast: Cast, run: Run, phase: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_approval(cast, make_checkpoint(cast, "acme/model"))
    make_target(cast)
    command = ["deploy", "acme/model", "--endpoint", "chat", "--target", "here", "--wait"]
    post = Server.post

    def settled(self: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
        made = post(self, path, body)
        Endpoint.objects.update(phase=phase, message="seen")
        return made

    monkeypatch.setattr(Server, "post", settled)

    done = run(cast.operator, *command, "--timeout", "0", code=code)

    assert f"{phase}: 0 of 1 ready seen" in done.stderr


def test_endpoints_are_listed_keyed_and_stopped(cast: Cast, run: Run) -> None:
    endpoint = make_endpoint(cast)

    listed = run(cast.operator, "endpoint", "list")
    key = run(cast.operator, "endpoint", "key", "chat").stdout.strip()
    run(cast.operator, "endpoint", "stop", "chat")
    absent = run(cast.operator, "endpoint", "stop", "absent", code=2)

    assert "acme/model" in listed.stdout
    assert key.startswith("lek_")
    assert endpoint.keys.get().prefix in key
    endpoint.refresh_from_db()
    assert endpoint.desired == "stopped"
    assert "no endpoint 'absent'" in absent.stderr


def test_a_what_if_names_the_clause_and_writes_nothing(cast: Cast, run: Run) -> None:
    row = make_checkpoint(cast, "acme/model")
    run(cast.legal, "pin", "acme/model", NVIDIA, "--reason", "Read.")

    done = run(cast.legal, "matter", "what-if", *MATTER, "--model-infringes", "acme/model")

    assert f"would end   checkpoint acme/model {row.digest}" in done.stdout
    assert f"by {NVIDIA} section" in done.stdout
    assert not Matter.objects.exists()


def test_filing_asks_for_yes_where_no_terminal_can_ask(cast: Cast, run: Run) -> None:
    make_checkpoint(cast, "acme/model")
    command = ["matter", "file", *MATTER, "--model-infringes", "acme/model"]

    refused = run(cast.legal, *command, code=2)
    assert "give --yes" in refused.stderr
    assert not Matter.objects.exists()

    assert "A-1 filed on" in run(cast.legal, *command, "--yes").stdout
    assert Matter.objects.get().status == "filed"


def test_an_exported_ledger_is_checked_and_verifies_offline(
    cast: Cast, run: Run, tmp_path: Path
) -> None:
    make_endpoint(cast)
    auditor = make_person(cast.organisation, "acme-aki", "auditor")
    file = tmp_path / "ledger.jsonl"

    run(auditor, "ledger", "export", str(file))
    report = said(run(auditor, "ledger", "verify", str(file), "--json"))

    assert (report["intact"], report["org"]) == (True, str(cast.organisation.pk))
    assert report["count"] > 0


def test_a_refused_export_leaves_no_file(cast: Cast, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_text("before")

    run(cast.submitter, "ledger", "export", str(file), code=2)

    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.glob("*ledger*")] == ["ledger.jsonl"]


def test_long_lists_are_read_page_after_page(cast: Cast, live_server: Any) -> None:
    for salt in range(5):
        make_checkpoint(cast, "acme/model", salt=str(salt))
    _, secret = create_token(organisation=cast.organisation, owner=cast.submitter, name="cli")
    server = Server(live_server.url, secret)

    rows = list(server.each("checkpoints/", name="acme/model", page_size="2"))

    assert len({row["id"] for row in rows}) == 5


def test_the_words_offered_are_those_that_the_rules_know() -> None:
    kinds = next(option.type for option in file_matter.params if option.name == "kind")

    assert set(OFFERED) == PURPOSES
    assert set(kinds.choices) == MATTER_KINDS  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "command",
    [
        *(["register"], ["check"], ["pin"], ["deploy"], ["chat"], ["ledger", "export"]),
        *(["review", name] for name in ("list", "show", "open", "approve", "refuse")),
        *(["endpoint", name] for name in ("list", "stop", "key")),
        *(["matter", name] for name in ("what-if", "file")),
    ],
)
def test_each_online_command_has_json_and_an_example(command: list[str]) -> None:
    done = CliRunner().invoke(lictor, [*command, "--help"])

    assert done.exit_code == 0
    assert "Example:" in done.stdout
    assert "--json" in done.stdout
