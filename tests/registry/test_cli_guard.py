"""Check `lictor guard` and `lictor measure`: offline, and against a live server."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from django.utils import timezone

from compliance.evidence.replacement import Measured
from compliance.evidence.suite import load_suite
from compliance.models import EvidenceJob, Guard
from compliance.services import measurements
from deployer.models import Endpoint
from registry.cli import lictor
from registry.models import Checkpoint
from tests.build import make_approval, make_target
from tests.compliance.building import Cast
from tests.compliance.test_guards import DOCUMENT, KEPT, LOST, UNTOLD, child, measured
from tests.registry.test_cli_online import Run, _no_proxy, cast, run, said

__all__ = ["_no_proxy", "cast", "child", "run"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guard.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


def test_a_guard_is_checked_without_a_server(file: Path) -> None:
    done = CliRunner().invoke(lictor, ["guard", "check", str(file), "--json"])

    assert done.exit_code == 0, done.output
    assert said(done)["input"] == ["rules"]
    assert said(done)["digest"].startswith("sha256:")


def test_every_fault_of_a_guard_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "guard.json"
    path.write_text(json.dumps(DOCUMENT | {"name": "", "timeout_seconds": 0}))
    done = CliRunner().invoke(lictor, ["guard", "check", str(path)])

    assert done.exception is not None
    assert "name" in str(done.exception)
    assert "timeout_seconds" in str(done.exception)


@pytest.mark.django_db(transaction=True)
class TestOnline:
    def test_a_guard_is_added_listed_and_retired(self, cast: Cast, run: Run, file: Path) -> None:
        made = said(run(cast.security, "guard", "add", str(file), "--json"))
        assert "in use" in run(cast.operator, "guard", "list").stdout
        again = run(cast.security, "guard", "add", str(file), code=2)
        assert "registered" in again.output
        run(cast.security, "guard", "retire", "demo-rules", "--reason", "weak")

        assert Guard.objects.get(pk=made["id"]).retired_at is not None
        assert "retired" in run(cast.operator, "guard", "list").stdout

    def test_an_unknown_guard_is_told(self, cast: Cast, run: Run, child: Checkpoint) -> None:
        done = run(cast.security, "measure", "acme/tuned", "--guard", "nobody", code=2)

        assert "nobody" in done.output

    @pytest.mark.parametrize(
        ("alone", "behind", "code", "result"),
        [(LOST, KEPT, 0, "replaced"), (LOST, LOST, 1, "removed"), (UNTOLD, KEPT, 3, "inconcl")],
    )
    def test_a_measurement_is_waited_for_and_its_exit_code_tells(
        self,
        cast: Cast,
        run: Run,
        child: Checkpoint,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
        alone: Any,
        behind: Any,
        code: int,
        result: str,
    ) -> None:
        """The worker's part is done while the command sleeps between two looks."""

        def work(_seconds: float) -> None:
            job = EvidenceJob.objects.get()
            held = measurements.claim(job.pk, timezone.now())
            assert held is not None
            found = Measured(alone=alone, guarded=behind)
            measurements.finish(held, load_suite(job.suite), found, started_at=timezone.now())

        run(cast.security, "guard", "add", str(file))
        clock = SimpleNamespace(sleep=work, monotonic=time.monotonic)
        monkeypatch.setattr(sys.modules["registry.cli.measure"], "time", clock)
        done = run(cast.security, "measure", "acme/tuned", "--guard", "demo-rules", code=code)

        assert result in done.stdout

    def test_a_guard_is_named_when_deploying(
        self, cast: Cast, run: Run, child: Checkpoint, file: Path
    ) -> None:
        made = said(run(cast.security, "guard", "add", str(file), "--json"))
        measured(cast, child, KEPT, None, None)
        make_approval(cast, child)
        make_target(cast)
        arguments = ("acme/tuned", "--endpoint", "chat", "--target", "here")
        run(cast.operator, "deploy", *arguments, "--guard", made["digest"][:20])

        assert str(Endpoint.objects.get().guard_id) == made["id"]
