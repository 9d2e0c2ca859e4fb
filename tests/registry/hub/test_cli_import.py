"""Check `lictor import` from the command to the database: real Hub client, real server."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from registry.artifact.manifest import manifest_of
from registry.cli import lictor
from registry.hub.facts import RECORD_FILE
from registry.models import Checkpoint, HubImport, HubWatch, LedgerEntry, LineageEdge, Organisation
from registry.services import create_token
from tests.compliance.building import Cast, make_cast
from tests.registry.hub.fake_hub import FakeHub, Fault
from tests.registry.hub.shapes import BASE, NEMOTRON, add_llama, add_nemotron, card, small

Run = Callable[..., Result]


@pytest.fixture
def cast(keys: Path, blobs: Path, live_server: Any) -> Cast:
    return make_cast()


@pytest.fixture
def run(live_server: Any, cast: Cast, hub: FakeHub) -> Run:
    organisation = Organisation.objects.get(membership__user=cast.submitter)
    _, secret = create_token(organisation=organisation, owner=cast.submitter, name="cli")

    def call(*arguments: str, code: int = 0, **env: str) -> Result:
        told = {
            "LICTOR_URL": live_server.url,
            "LICTOR_TOKEN": secret,
            "HF_ENDPOINT": hub.url,
            **env,
        }
        done = CliRunner().invoke(lictor, list(arguments), env=told)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        return done

    return call


def said(done: Result) -> Any:
    return json.loads(done.stdout)


def test_an_import_registers_the_parents_first_and_joins_them(run: Run, hub: FakeHub) -> None:
    add_nemotron(hub)

    made = said(run("import", NEMOTRON, "--json"))

    assert [one["hub"]["repo"] for one in made["parents"]] == [BASE]
    edge = LineageEdge.objects.get(child=made["subject"]["hub"]["checkpoint"])
    assert (edge.parent_name, edge.relation) == (BASE, "finetune")
    assert str(edge.parent_id) == made["parents"][0]["hub"]["checkpoint"]


def test_what_was_not_fetched_is_the_hubs_word_and_metadata_only(run: Run, hub: FakeHub) -> None:
    repo = add_nemotron(hub)

    done = run("import", NEMOTRON)

    row = HubImport.objects.get(repo=NEMOTRON)
    assert (row.checkpoint.kind, row.is_verified, row.commit) == ("metadata", False, repo.sha)
    assert "never served" in done.stdout
    paths = [one["path"] for one in row.checkpoint.manifest["files"]]
    assert RECORD_FILE in paths
    assert "model-00001-of-00002.safetensors" not in paths


def test_a_config_that_asks_for_code_is_kept_aside_and_said(run: Run, hub: FakeHub) -> None:
    add_nemotron(hub)

    done = run("import", NEMOTRON)

    row = HubImport.objects.get(repo=NEMOTRON).checkpoint
    assert "refused/config.json" in [one["path"] for one in row.manifest["files"]]
    assert row.config == {}
    assert "remote code" in done.stdout


def test_the_same_commit_again_changes_nothing_and_says_so(run: Run, hub: FakeHub) -> None:
    add_nemotron(hub)
    run("import", NEMOTRON)
    entries = LedgerEntry.objects.count()

    again = run("import", NEMOTRON)

    assert "already imported; nothing has changed" in again.stdout
    assert LedgerEntry.objects.count() == entries
    assert Checkpoint.objects.count() == 2


def test_a_licence_changed_upstream_is_told_and_in_the_ledger(run: Run, hub: FakeHub) -> None:
    hub.add("org/model", small())
    run("import", "org/model")
    hub.add(
        "org/model", small(LICENSE=b"Other\n") | {"README.md": card({"license": "cc-by-nc-4.0"})}
    )

    made = said(run("import", "org/model", "--json"))["subject"]

    assert made["result"] == "new"
    assert made["licence_changed"] is True
    assert {one["kind"] for one in made["changes"]} == {"commit", "licence", "card"}
    entry = LedgerEntry.objects.get(action="hub.licence_changed")
    assert any("The card names another licence" in one for one in entry.payload["changes"])
    assert Checkpoint.objects.filter(model__name="org/model").count() == 2


def test_weights_alone_changing_makes_another_checkpoint(run: Run, hub: FakeHub) -> None:
    hub.add("org/model", small())
    run("import", "org/model")
    hub.add("org/model", small() | {"model.safetensors": small()["model.safetensors"][:-1] + b"x"})

    made = said(run("import", "org/model", "--json"))["subject"]

    assert (made["result"], made["licence_changed"]) == ("new", False)
    assert {one["kind"] for one in made["changes"]} == {"commit", "weights"}


def test_a_status_that_changes_without_a_commit_is_kept(run: Run, hub: FakeHub) -> None:
    repo = hub.add("org/model", small())
    run("import", "org/model")
    repo.security = {"scansDone": True, "filesWithIssues": [{"path": "x", "level": "unsafe"}]}

    made = said(run("import", "org/model", "--json"))["subject"]

    assert made["result"] == "seen_again"
    assert [one["kind"] for one in made["changes"]] == ["security"]
    assert HubImport.objects.get().seen["security"] == repo.security
    assert LedgerEntry.objects.filter(action="hub.seen_again").count() == 1


def test_parents_that_cannot_be_read_are_known_unknowns(run: Run, hub: FakeHub) -> None:
    fields = {"license": "mit", "base_model": ["org/gone", "org/private"]}
    hub.add("org/private", small())
    hub.private.add("org/private")
    hub.add("org/child", small() | {"README.md": card(fields)})

    done = run("import", "org/child")

    assert done.stdout.count("UNKNOWN: missing") == 2
    edges = LineageEdge.objects.filter(parent=None).order_by("parent_name")
    assert [one.parent_name for one in edges] == ["org/gone", "org/private"]


def test_models_that_name_each_other_both_register(run: Run, hub: FakeHub) -> None:
    hub.add("org/a", small(a=b"") | {"README.md": card({"license": "mit", "base_model": "org/b"})})
    hub.add("org/b", small(b=b"") | {"README.md": card({"license": "mit", "base_model": "org/a"})})

    run("import", "org/a")

    names = {(e.child.model.name, e.parent_name, e.parent_id is None) for e in _edges()}
    assert names == {("org/a", "org/b", False), ("org/b", "org/a@circular", True)}


def _edges() -> list[LineageEdge]:
    return list(LineageEdge.objects.select_related("child__model"))


def test_weights_are_verified_by_the_client_and_by_the_server(
    run: Run, hub: FakeHub, tmp_path: Path
) -> None:
    hub.add("org/model", small())

    made = said(run("import", "org/model", "--weights", "--to", str(tmp_path / "m"), "--json"))

    row = HubImport.objects.get()
    assert (row.is_verified, row.checkpoint.kind) == (True, "weights")
    assert row.checkpoint.digest == manifest_of(tmp_path / "m").digest
    assert made["subject"]["checkpoint"]["weights_bytes"] == 16


def test_remote_code_stops_before_the_weights_are_fetched(run: Run, hub: FakeHub) -> None:
    add_nemotron(hub)

    done = run("import", NEMOTRON, "--weights", code=2)

    assert "--drop-remote-code" in done.stderr
    assert not [path for path in hub.paths() if path.startswith("/cdn/")]
    assert not HubImport.objects.filter(repo=NEMOTRON).exists()


def test_remote_code_is_taken_out_on_request_and_said(
    run: Run, hub: FakeHub, tmp_path: Path
) -> None:
    add_nemotron(hub)
    options = ["--weights", "--drop-remote-code", "--to", str(tmp_path / "m")]

    run("import", NEMOTRON, *options)

    row = HubImport.objects.get(repo=NEMOTRON)
    assert row.is_verified
    assert row.altered == ["config.json: what asks for remote code was taken out"]
    config = (tmp_path / "m" / "config.json").read_text()
    assert "auto_map" not in config
    assert "Infinity" in config
    assert not (tmp_path / "m" / "configuration_nemotron_h.py").exists()


def test_the_server_refuses_weights_that_are_not_the_hubs(
    run: Run, hub: FakeHub, live_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = hub.add("org/model", small())
    wrong = small()["model.safetensors"][:-1] + b"x"
    # A client that lies: it hands over a record of the true commit with other weights.
    from registry.cli import import_weights

    true = import_weights.download

    def lying(client: Any, commit: Any, wanted: Any, folder: Path, **more: Any) -> Any:
        entries = true(client, commit, wanted, folder, **more)
        (folder / "model.safetensors").write_bytes(wrong)
        entry = type(entries[0])
        return [
            entry(one.path, len(wrong), hashlib.sha256(wrong).hexdigest())
            if one.path == "model.safetensors"
            else one
            for one in entries
        ]

    monkeypatch.setattr(import_weights, "download", lying)

    done = run("import", repo.name, "--weights", "--to", str(tmp_path / "m"), code=2)

    assert "hub_mismatch" in done.stderr
    assert not Checkpoint.objects.exists()


def test_offline_registers_what_was_kept_and_asks_nobody(run: Run, hub: FakeHub) -> None:
    add_nemotron(hub)
    first = said(run("import", NEMOTRON, "--json"))
    HubImport.objects.all().delete()
    LineageEdge.objects.all().delete()
    Checkpoint.objects.all().delete()
    hub.asked.clear()

    made = said(run("import", NEMOTRON, "--offline", "--json"))

    assert hub.asked == []
    assert made["subject"]["hub"]["digest"] == first["subject"]["hub"]["digest"]
    assert made["subject"]["hub"]["seen"]["source"] == "cache"


def test_offline_says_what_nobody_kept(run: Run) -> None:
    done = run("import", "org/never", "--offline", code=2)

    assert "offline" in done.stderr
    assert "org/never" in done.stderr


@pytest.mark.parametrize("name", ["model", "a/b/c", "org/", "../x", "org/na me"])
def test_a_bad_name_is_said(run: Run, name: str) -> None:
    assert "is not an ORG/NAME" in run("import", name, code=2).stderr


def test_a_busy_hub_exits_with_1_and_registers_nothing(run: Run, hub: FakeHub) -> None:
    hub.add("org/model", small())
    hub.faults["/api/models"] = Fault(times=9, status=429, headers={"Retry-After": "600"})

    assert "rate_limited" in run("import", "org/model", code=1).stderr
    assert not Checkpoint.objects.exists()


def test_a_gated_model_is_registered_with_its_gate_and_unread_licence(
    run: Run, hub: FakeHub
) -> None:
    add_llama(hub)

    done = run("import", "meta-llama/Llama-3.1-8B")

    row = HubImport.objects.get()
    assert "LICENSE: gated" in done.stdout
    assert row.seen["card"]["license"] == "llama3.1"
    assert [one["path"] for one in row.checkpoint.manifest["files"]] == [RECORD_FILE]


def test_terminal_escapes_in_a_card_do_not_reach_the_terminal(run: Run, hub: FakeHub) -> None:
    fields = {"license": "other", "license_name": "\x1b]0;owned\x07mine"}
    hub.add("org/model", small() | {"README.md": card(fields)})

    assert "\x1b" not in run("import", "org/model").stdout


def test_a_watch_is_stored_listed_and_removed(run: Run, hub: FakeHub) -> None:
    hub.add("org/model", small())
    run("import", "org/model", "--watch")
    run("import", "org/model", "--watch")

    assert "org/model@main" in run("watch", "list").stdout
    assert HubWatch.objects.count() == 1
    run("watch", "remove", "org/model")
    assert "Nothing is watched" in run("watch", "list").stdout
    assert "is not watched" in run("watch", "remove", "org/model", code=2).stderr
