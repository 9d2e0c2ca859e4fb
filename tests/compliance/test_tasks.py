"""Check that measuring and the sweeps are safe to run twice, late, and after a crash."""

import json
import shutil
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from compliance import selectors, tasks
from compliance.evidence.guardrail import Outcome
from compliance.evidence.replacement import Measured
from compliance.evidence.runner import stop_leftovers
from compliance.evidence.suite import load_suite
from compliance.models import Assessment, Evidence, EvidenceJob, Review
from compliance.receivers import on_checkpoint_registered
from compliance.services import guards, measurements, reviews
from compliance.services.assess import assess
from compliance.services.uses import DEFAULT_USE, read_use
from registry.errors import BadInput, RoleMissing, Unprocessable
from registry.keys import make_key
from registry.launch import Running, is_alive, start_marker
from registry.models import Checkpoint, LedgerEntry, OutboxEvent
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint
from tests.compliance.test_evidence import StandIn, guarded, suite_bytes, unguarded

pytestmark = pytest.mark.django_db

DEMO = Path(__file__).resolve().parents[2] / "demo" / "checkpoints"


@pytest.fixture(autouse=True)
def _installation(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LICTOR_KEYS = tmp_path / "keys"
    settings.LICTOR_VAR = tmp_path / "var"
    settings.LICTOR_BLOBS = tmp_path / "blobs"
    make_key("ledger")
    suites = tmp_path / "suites"
    suites.mkdir()
    (suites / "tiny.json").write_bytes(suite_bytes())
    (suites / "demo-refusals.json").write_bytes(suite_bytes(suite="demo-refusals"))
    for module in (measurements, tasks):
        monkeypatch.setattr(module, "load_suite", lambda name: load_suite(name, suites))
    monkeypatch.setattr(tasks.measure, "delay", lambda job_id: None)


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def pair(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> tuple[Checkpoint, Checkpoint]:
    def materialise(checkpoint: Checkpoint, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.txt").write_text(checkpoint.digest)

    monkeypatch.setattr(tasks.storage, "materialise", materialise)
    base = make_checkpoint(cast, "acme/base")
    return base, make_checkpoint(cast, "acme/child", parent=base)


@pytest.fixture
def job(cast: Cast, pair: tuple[Checkpoint, Checkpoint]) -> EvidenceJob:
    return measurements.request_measurement(pair[1], actor=cast.security, suite="tiny")


def _run(job: EvidenceJob, runner: StandIn) -> EvidenceJob:
    held = measurements.claim(job.pk, timezone.now())
    assert held is not None
    tasks.measure_claimed(held, runner)
    job.refresh_from_db()
    return job


def test_a_measured_job_ends_with_signed_evidence(job: EvidenceJob) -> None:
    done = _run(job, StandIn(base=guarded, derived=unguarded))

    assert (done.state, done.done, done.total) == ("done", 180, 180)
    assert (done.evidence.result, done.evidence.method) == ("removed", "measured")
    body = done.evidence.record["body"]
    assert body["base_digest"] == job.base.digest
    assert body["derived_digest"] == job.checkpoint.digest
    assert body["suite"]["digest"].startswith("sha256:")
    assert body["limitations"]
    assert OutboxEvent.objects.filter(topic="evidence_recorded").count() == 1


def test_a_job_that_is_done_is_not_done_again(job: EvidenceJob) -> None:
    _run(job, StandIn(base=guarded, derived=guarded))

    assert measurements.claim(job.pk, timezone.now()) is None
    tasks.measure(str(job.pk))
    assert Evidence.objects.count() == 1


def test_one_of_two_workers_gets_the_job(job: EvidenceJob) -> None:
    now = timezone.now()

    assert measurements.claim(job.pk, now) is not None
    assert measurements.claim(job.pk, now) is None


def test_a_vanished_workers_job_is_taken_over_and_the_old_worker_writes_nothing(
    job: EvidenceJob,
) -> None:
    now = timezone.now()
    old = measurements.claim(job.pk, now)
    new = measurements.claim(job.pk, now + measurements.LEASE + timedelta(seconds=1))

    assert (old.attempt, new.attempt) == (1, 2)
    with pytest.raises(measurements.LeaseLostError):
        measurements.report(old, done=5)
    tasks.measure_claimed(old, StandIn(base=guarded, derived=guarded))
    assert not Evidence.objects.exists()


def test_a_job_that_kills_its_workers_ends(job: EvidenceJob) -> None:
    now = timezone.now()
    for turn in range(measurements.MAX_ATTEMPTS):
        later = now + turn * (measurements.LEASE + timedelta(seconds=1))
        assert measurements.claim(job.pk, later) is not None

    assert measurements.claim(job.pk, now + timedelta(hours=1)) is None

    job.refresh_from_db()
    assert job.state == "failed"
    assert "Given up" in job.message


def test_a_failure_leaves_a_clear_message_and_a_new_job_can_be_asked_for(
    cast: Cast, job: EvidenceJob
) -> None:
    failed = _run(job, StandIn(base=guarded))

    assert failed.state == "failed"
    assert "out of memory" in failed.message
    again = measurements.request_measurement(job.checkpoint, actor=cast.security, suite="tiny")
    assert again.pk != job.pk


def test_asking_twice_gives_the_same_job_also_when_it_is_done(cast: Cast, job: EvidenceJob) -> None:
    def ask() -> EvidenceJob:
        return measurements.request_measurement(job.checkpoint, actor=cast.security, suite="tiny")

    assert ask().pk == job.pk
    _run(job, StandIn(base=guarded, derived=guarded))
    assert ask().pk == job.pk


def test_a_measured_loss_makes_the_approval_stale(
    cast: Cast, pair: tuple[Checkpoint, Checkpoint], job: EvidenceJob
) -> None:
    review = reviews.open_review(pair[1], USE, actor=cast.asker)
    for stage, person in (("legal", cast.legal), ("security", cast.security)):
        review = reviews.decide(
            review, stage=stage, verdict="approve", seen_digest=review.seen_digest, actor=person
        )

    _run(job, StandIn(base=guarded, derived=unguarded))

    review.refresh_from_db()
    assert review.state == "stale"


@pytest.mark.parametrize("who", ["operator"])
def test_an_operator_asks_for_no_measurement(
    cast: Cast, pair: tuple[Checkpoint, Checkpoint], who: str
) -> None:
    with pytest.raises(RoleMissing):
        measurements.request_measurement(pair[1], actor=getattr(cast, who), suite="tiny")


def test_what_cannot_be_measured_is_refused(
    cast: Cast, pair: tuple[Checkpoint, Checkpoint]
) -> None:
    base, child = pair
    card = make_checkpoint(cast, "acme/card", parent=base, kind="metadata")
    aside = make_checkpoint(cast, "acme/aside")

    for checkpoint, named in ((base, None), (card, None), (child, aside), (child, child)):
        with pytest.raises(Unprocessable):
            measurements.request_measurement(
                checkpoint, actor=cast.security, base=named, suite="tiny"
            )
    with pytest.raises(BadInput):
        measurements.request_measurement(child, actor=cast.security, suite="absent")


def test_what_a_killed_worker_left_running_is_stopped(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    time.sleep(0.05)
    running = Running(child.pid, start_marker(child.pid))
    note = tmp_path / "base.process.json"
    note.write_text(json.dumps({"pid": running.pid, "marker": running.marker}))

    assert stop_leftovers(tmp_path) == 1

    assert not is_alive(running)
    assert not note.exists()


def test_another_process_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        note = tmp_path / "base.process.json"
        note.write_text(json.dumps({"pid": child.pid, "marker": "1"}))

        assert stop_leftovers(tmp_path) == 0
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_new_checkpoint_is_judged_and_its_measurement_queued_once(
    pair: tuple[Checkpoint, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.assess_default, "delay", tasks.assess_default)
    monkeypatch.setattr("compliance.receivers.assess_default", tasks.assess_default)

    for _ in range(2):
        on_checkpoint_registered(str(pair[1].pk))

    row = Assessment.objects.get(checkpoint=pair[1])
    assert row.use_digest == read_use(DEFAULT_USE).digest
    jobs = EvidenceJob.objects.filter(checkpoint=pair[1], base=pair[0])
    assert sorted(jobs.values_list("suite", flat=True)) == ["demo-refusals", "weights:compare"]


def test_the_sweep_judges_what_nobody_judged_and_then_rests(
    pair: tuple[Checkpoint, Checkpoint],
) -> None:
    assert tasks.sweep_assessments() == 2
    assert tasks.sweep_assessments() == 0


def test_a_new_day_confirms_a_judgement_without_a_new_row(cast: Cast) -> None:
    row = assess(make_checkpoint(cast, "acme/model"), USE, actor="test")
    entries = LedgerEntry.objects.count()

    again = assess(row.checkpoint, USE, actor="test", now=timezone.now() + timedelta(days=1))

    assert again.pk == row.pk
    assert again.as_of == row.as_of + timedelta(days=1)
    assert LedgerEntry.objects.count() == entries


def test_a_parent_that_arrives_late_is_judged_into_its_children(cast: Cast) -> None:
    child = make_checkpoint(cast, "acme/child", parent_name="acme/base")
    before = assess(child, USE, actor="test")
    base = make_checkpoint(cast, "acme/base")
    child.parent_edges.update(parent=base)

    tasks.assess_default(str(base.pk))

    after = selectors.current_assessment(child, before.use_digest)
    assert "parent_unknown" in {item["rule"] for item in before.report["findings"]}
    assert "parent_unknown" not in {item["rule"] for item in after.report["findings"]}


def test_the_sweep_marks_an_expired_approval(cast: Cast) -> None:
    review = reviews.open_review(make_checkpoint(cast, "acme/model"), USE, actor=cast.asker)
    Review.objects.filter(pk=review.pk).update(
        state="approved", expires_at=timezone.now() - timedelta(seconds=1)
    )

    assert tasks.sweep_standing() == 1
    assert tasks.sweep_standing() == 0

    review.refresh_from_db()
    assert review.state == "stale"
    assert LedgerEntry.objects.filter(action="review.expired").count() == 1


def test_the_sweep_puts_waiting_jobs_before_the_workers(
    job: EvidenceJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(tasks.measure, "delay", sent.append)

    assert tasks.sweep_evidence_jobs() == 1
    measurements.claim(job.pk, timezone.now())
    assert tasks.sweep_evidence_jobs() == 0
    assert sent == [str(job.pk)]


@pytest.mark.flow
@pytest.mark.slow
@pytest.mark.skipif(
    not (DEMO / "nano-unguarded" / "model.safetensors").exists(),
    reason="the demo checkpoints are not here",
)
def test_the_real_runtime_and_gateway_guard_show_what_was_lost_and_what_replaces_it(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_checkpoint(cast, "lictor/nano-base")
    child = make_checkpoint(cast, "lictor/nano-unguarded", parent=base)
    folders = {base.digest: DEMO / "nano-base", child.digest: DEMO / "nano-unguarded"}

    def materialise(checkpoint: Checkpoint, folder: Path) -> None:
        shutil.copytree(folders[checkpoint.digest], folder)

    monkeypatch.setattr(tasks.storage, "materialise", materialise)
    monkeypatch.setattr(tasks, "load_suite", load_suite)
    monkeypatch.setattr(measurements, "load_suite", load_suite)
    document = json.loads((DEMO.parent / "guard.json").read_text())
    guard = guards.register(cast.organisation, document=document, actor=cast.security)
    job = measurements.request_measurement(child, actor=cast.security, guard=guard)

    tasks.measure(str(job.pk))

    job.refresh_from_db()
    assert (job.state, job.message) == ("done", job.evidence.summary)
    assert job.evidence.result == "replaced"
    assert Evidence.objects.get(checkpoint=child, guard=None).result == "removed"
    assert not tasks.work_folder(job.pk).exists()


def test_an_outcome_that_comes_after_the_lease_is_not_recorded(job: EvidenceJob) -> None:
    now = timezone.now()
    old = measurements.claim(job.pk, now)
    measurements.claim(job.pk, now + measurements.LEASE + timedelta(seconds=1))
    suite = measurements.load_suite("tiny")
    entries = LedgerEntry.objects.count()

    kept = Measured(alone=Outcome("retained", "Kept.", {}))
    with pytest.raises(measurements.LeaseLostError):
        measurements.finish(old, suite, kept, started_at=now)

    assert not Evidence.objects.exists()
    assert LedgerEntry.objects.count() == entries


def test_a_new_job_hurries_a_worker_and_a_dead_broker_costs_nothing(
    cast: Cast,
    pair: tuple[Checkpoint, Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    def dead(job_id: Any) -> None:
        raise ConnectionError(job_id)

    monkeypatch.setattr(measurements, "_hint", [dead])

    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        job = measurements.request_measurement(pair[1], actor=cast.security, suite="tiny")

    assert len(callbacks) == 1
    assert measurements.waiting_jobs(timezone.now()) == [job.pk]
