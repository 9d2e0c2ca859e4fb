"""`lictor export` and `lictor check --offline`, as a pipeline runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from registry.cli.check import check
from registry.cli.export import export

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = """
models:
  - {id: acme/a, license: mit}
use: {purposes: [internal], commercial: true}
subject: acme/a
as_of: 2026-11-23
"""
DENIED = ALLOWED.replace("mit", "cc-by-nc-4.0")
OPEN = ALLOWED.replace("mit", "no-such-licence")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ok.yaml").write_text(ALLOWED)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "scenario.yaml").write_text(DENIED)
    (tmp_path / "other.yaml").write_text("name: no scenario\n")
    return tmp_path


@pytest.mark.parametrize(
    "form", ["cyclonedx", "cyclonedx-1.7", "spdx", "sarif", "html", "pdf", "json"]
)
def test_a_file_is_written_in_each_format(folder: Path, form: str) -> None:
    out = folder / "out"

    done = CliRunner().invoke(export, [str(folder / "ok.yaml"), "--format", form, "-o", str(out)])
    assert done.exit_code == 0
    assert f"wrote {out}" in done.stderr
    if form not in ("html", "pdf"):
        assert json.loads(out.read_text())


def test_without_a_file_it_goes_to_stdout(folder: Path) -> None:
    done = CliRunner().invoke(export, [str(folder / "ok.yaml"), "--format", "cyclonedx"])

    assert json.loads(done.stdout)["bomFormat"] == "CycloneDX"


@pytest.mark.parametrize(
    ("text", "fail_on", "code"),
    [
        (ALLOWED, "conditions", 0),
        (OPEN, "needs_review", 4),
        (OPEN, "deny", 0),
        (DENIED, "deny", 5),
        (DENIED, "needs_review", 5),
    ],
)
def test_the_exit_code_follows_the_worst_decision(
    tmp_path: Path, text: str, fail_on: str, code: int
) -> None:
    (tmp_path / "s.yaml").write_text(text)

    done = CliRunner().invoke(check, ["--offline", str(tmp_path), "--fail-on", fail_on])
    assert done.exit_code == code


def test_a_folder_gives_its_scenarios_and_nothing_else(folder: Path) -> None:
    done = CliRunner().invoke(check, ["--offline", str(folder), "--json"])

    told = json.loads(done.stdout)
    assert sorted(Path(path).name for path in told) == ["ok.yaml", "scenario.yaml"]
    assert done.exit_code == 5


def test_annotations_stand_on_the_models_line(folder: Path) -> None:
    path = folder / "bad" / "scenario.yaml"

    done = CliRunner().invoke(check, ["--offline", str(path), "--format", "github"])
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"::error file={path.as_posix()},line=3,title=cc-by-nc-4.0/")


def test_sarif_covers_all_files_in_one_run(folder: Path) -> None:
    done = CliRunner().invoke(check, ["--offline", str(folder), "--format", "sarif"])

    (run,) = json.loads(done.stdout)["runs"]
    assert {one["level"] for one in run["results"]} >= {"error"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--offline", "nowhere"], "neither a file nor a folder"),
        (["--offline", ".", "--purpose", "internal"], "states its own use"),
        (["a/b", "--as-of", "2026-11-23"], "goes with --offline"),
        (["a/b", "c/d"], "Name one checkpoint"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(check, arguments)

    assert done.exit_code != 0
    assert told in str(done.exception) + done.output


def test_a_broken_scenario_is_named_and_nothing_passes(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("models:\n  - {id: a/b, licence: mit}\n")

    done = CliRunner().invoke(check, ["--offline", str(tmp_path)])
    assert done.exit_code != 0
    assert "licence" in str(done.exception)


def lictor(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "registry.cli", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )


def test_the_pre_commit_hook_runs_on_the_files_it_names(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    name = "models/scenario-chat.yaml"
    (tmp_path / "models").mkdir()
    (tmp_path / name).write_text(DENIED)

    import re

    assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "models/values.yaml")
    program, *rest = hook["entry"].split()
    assert program == "lictor"
    assert lictor(*rest, name, cwd=tmp_path).returncode == 5


def test_the_action_runs_and_fails_with_the_findings(tmp_path: Path) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    script = action["runs"]["steps"][1]["run"]
    (tmp_path / "scenario.yaml").write_text(DENIED)
    shim = tmp_path / "bin" / "lictor"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m registry.cli "$@"\n')
    shim.chmod(0o755)

    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={
            "PATH": f"{shim.parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "LICTOR_PATHS": "scenario.yaml",
            "LICTOR_FAIL_ON": action["inputs"]["fail-on"]["default"],
            "LICTOR_SARIF": "out.sarif",
        },
    )
    assert done.returncode == 5
    assert "::error file=scenario.yaml,line=3" in done.stdout
    assert json.loads((tmp_path / "out.sarif").read_text())["version"] == "2.1.0"
