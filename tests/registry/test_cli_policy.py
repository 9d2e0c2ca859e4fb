"""Check `lictor policy`: offline without Django, online against a live server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from compliance.services.assess import assess
from registry.cli import lictor
from registry.models import User
from registry.services import create_token
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint
from tests.registry.test_cli import lictor as lictor_process

EXAMPLE = "docs/examples/policy.yaml"
SMALL = "name: small\nrules: [{id: all, when: 'true', then: deny, because: Everything.}]\n"
Run = Callable[..., Result]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_the_example_passes_its_own_tests_without_a_server() -> None:
    done = lictor_process("policy", "test", EXAMPLE)

    assert done.returncode == 0, done.stderr
    assert "Acme model policy: 7 rules, 13 tests, 0 failed" in done.stdout


def test_a_failing_test_exits_with_1_and_says_what_happened(small: Path) -> None:
    small.write_text(SMALL + "tests: [{name: never, expect: {all: silent}}]\n")

    done = lictor_process("policy", "test", str(small))
    as_json = lictor_process("policy", "test", str(small), "--json")

    assert done.returncode == as_json.returncode == 1
    assert "FAIL  never\n      all: fired, expected silent" in done.stdout
    assert "note  no test sees all fire" in done.stdout
    assert json.loads(as_json.stdout)["tests"] == [
        {"name": "never", "passed": False, "faults": ["all: fired, expected silent"]}
    ]


def test_a_broken_policy_exits_with_2_and_names_the_place(small: Path) -> None:
    small.write_text(SMALL.replace("'true'", "use.comercial"))

    done = lictor_process("policy", "test", str(small))

    assert done.returncode == 2
    assert "rules[0].when: column 5: unknown field 'comercial'" in done.stderr


def test_a_file_that_is_not_there_exits_with_2() -> None:
    done = lictor_process("policy", "test", "no-such-policy.yaml")

    assert done.returncode == 2
    assert "no-such-policy.yaml" in done.stderr


def test_a_scenario_is_judged_by_licences_and_policy(small: Path) -> None:
    scenario = "docs/examples/apache-qwen.yaml"

    plain = lictor_process("evaluate", scenario, "--as-of", "2026-11-23")
    done = lictor_process("policy", "judge", str(small), scenario, "--as-of", "2026-11-23")

    assert plain.returncode != 5
    assert done.returncode == 5
    assert "policy:all" in done.stdout


@pytest.fixture
def cast(keys: Path, blobs: Path, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Cast:
    for name in ("LICTOR_URL", "LICTOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    return make_cast()


@pytest.fixture
def run(live_server: Any, cast: Cast) -> Run:
    def as_person(person: User, *arguments: str, code: int = 0) -> Result:
        _, secret = create_token(organisation=cast.organisation, owner=person, name="cli")
        env = {"LICTOR_URL": live_server.url, "LICTOR_TOKEN": secret}
        done = CliRunner().invoke(lictor, ["policy", *arguments], env=env)
        assert done.exit_code == code, done.output
        return done

    return as_person


def test_a_policy_is_saved_tried_activated_and_retired(cast: Cast, run: Run, small: Path) -> None:
    assess(make_checkpoint(cast, "acme/model"), USE, actor="test")

    saved = run(cast.legal, "save", str(small), "--reason", "first", "--json")
    name = json.loads(saved.stdout)["id"]
    tried = run(cast.legal, "dry-run", name)
    active = run(cast.security, "activate", name)
    listed = run(cast.operator, "list")
    retired = run(cast.legal, "retire", name)

    assert "acme/model (hosted_service)" in tried.stdout
    assert "-> deny  +policy:all" in tried.stdout
    assert "1 of 1 judgements change: 1 stricter, 0 milder; 0 approvals end." in tried.stdout
    assert "small version 1: active" in active.stdout
    assert f"{name}    1  active   acme-lena  small" in listed.stdout
    assert "small version 1: retired" in retired.stdout


def test_the_author_cannot_activate_from_the_command_line(
    cast: Cast, run: Run, small: Path
) -> None:
    saved = run(cast.legal, "save", str(small), "--reason", "first", "--json")

    refused = run(cast.legal, "activate", json.loads(saved.stdout)["id"], code=2)

    assert "somebody else has to activate it" in refused.output
