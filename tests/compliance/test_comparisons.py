"""Comparisons of weights as jobs: real files in, signed evidence out, whatever happens between."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bench.compare_changes import Bench, ablate
from bench.compare_models import Maker, save
from compliance import tasks
from compliance.models import Evidence, EvidenceJob
from compliance.services import comparisons, measurements
from compliance.services.evidence import attest, is_genuine
from compliance.services.measurements import LeaseLostError
from registry.artifact.forensics import scan
from registry.artifact.manifest import manifest_of
from registry.errors import BadInput, RoleMissing, Unprocessable
from registry.keys import make_key, private_key
from registry.models import Checkpoint
from registry.storage import blob_path
from tests.compliance.building import Cast, make_cast, make_checkpoint
from tests.compliance.test_evidence import StandIn, guarded

pytestmark = pytest.mark.django_db

DEMO = Path(__file__).resolve().parents[2] / "demo" / "checkpoints"


@pytest.fixture(autouse=True)
def _installation(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LICTOR_KEYS = tmp_path / "keys"
    settings.LICTOR_VAR = tmp_path / "var"
    settings.LICTOR_BLOBS = tmp_path / "blobs"
    make_key("ledger")
    monkeypatch.setattr(tasks.measure, "delay", lambda job_id: None)


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def stored(cast: Cast, name: str, folder: Path, parent: Checkpoint | None = None) -> Checkpoint:
    """Register a folder's files as the service would, in the store."""
    row = make_checkpoint(cast, name, parent=parent)
    manifest = manifest_of(folder)
    Checkpoint.objects.filter(pk=row.pk).update(digest=manifest.digest, manifest=manifest.to_json())
    row.refresh_from_db()
    for entry in row.manifest["files"]:
        place = blob_path(entry["sha256"])
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / entry["path"], place)
    return row


@pytest.fixture
def pair(cast: Cast) -> tuple[Checkpoint, Checkpoint]:
    base = stored(cast, "acme/base", DEMO / "nano-base")
    return base, stored(cast, "acme/lora", DEMO / "nano-lora", base)


@pytest.fixture
def job(cast: Cast, pair: tuple[Checkpoint, Checkpoint]) -> EvidenceJob:
    return comparisons.request_comparison(pair[1], actor=cast.security)


def run(job: EvidenceJob) -> EvidenceJob:
    held = measurements.claim(job.pk, timezone.now())
    assert held is not None
    tasks.measure_claimed(held, StandIn(base=guarded, derived=guarded))
    job.refresh_from_db()
    return job


def test_a_compared_pair_ends_with_signed_evidence(
    job: EvidenceJob, pair: tuple[Checkpoint, Checkpoint]
) -> None:
    done = run(job)

    assert done.state == "done", done.message
    assert 0 < done.done == done.total
    row = done.evidence
    assert row is not None
    assert (row.kind, row.result, row.method) == ("weight_comparison", "adapter_merge", "measured")
    body = row.record["body"]
    assert body["report"]["rank"] == 8
    assert (body["base_digest"], body["derived_digest"]) == (pair[0].digest, pair[1].digest)
    assert body["code"].startswith("sha256:")
    stored_row = Evidence.objects.get(pk=row.pk)
    assert is_genuine(stored_row, private_key("ledger").public_key())


def test_nothing_is_left_in_the_work_folder(job: EvidenceJob, settings: Any) -> None:
    run(job)

    assert not tasks.work_folder(job.pk).exists()


def test_a_pair_is_compared_once_by_the_same_code(
    cast: Cast, job: EvidenceJob, pair: tuple[Checkpoint, Checkpoint]
) -> None:
    assert comparisons.request_comparison(pair[1], actor=cast.security) == job
    run(job)
    assert comparisons.request_comparison(pair[1], actor=cast.security) == job
    assert EvidenceJob.objects.count() == 1


def test_other_code_compares_again(
    cast: Cast, job: EvidenceJob, pair: tuple[Checkpoint, Checkpoint], monkeypatch: Any
) -> None:
    run(job)
    monkeypatch.setattr(comparisons, "code_digest", lambda: "sha256:other")

    assert comparisons.request_comparison(pair[1], actor=cast.security) != job


def test_the_next_attempt_goes_on_where_the_last_one_was_cut_off(
    job: EvidenceJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    examine = scan.examine

    def cut_off(found: Any, *rest: Any, **named: Any) -> Any:
        if len(looked_at) == 30:
            raise LeaseLostError("killed here")
        looked_at.append(found.name.canonical)
        return examine(found, *rest, **named)

    monkeypatch.setattr(scan, "examine", cut_off)
    assert run(job).state == "running"
    before, again = set(looked_at), []

    def counted(found: Any, *rest: Any, **named: Any) -> Any:
        again.append(found.name.canonical)
        return examine(found, *rest, **named)

    monkeypatch.setattr(scan, "examine", counted)
    EvidenceJob.objects.update(lease_expires_at=timezone.now())

    assert run(job).state == "done"
    assert len(before & set(again)) <= 2


def test_an_ablation_is_evidence_that_contests_what_was_measured(
    cast: Cast, tmp_path: Path
) -> None:
    bench = Bench(Maker(3, hidden=96, layers=8, vocab=128), 3)
    base = stored(cast, "acme/big", save(tmp_path / "b", bench.base))
    edited = save(tmp_path / "d", ablate(bench.again(1), 1.0).weights)
    child = stored(cast, "acme/edited", edited, base)

    done = run(comparisons.request_comparison(child, actor=cast.security))

    assert done.evidence is not None
    assert done.evidence.result == "directional_ablation"
    assert done.evidence.record["body"]["report"]["layers"]["touched"] == list(range(8))


def test_a_file_that_was_cut_short_ends_the_job_with_its_reason(
    cast: Cast, pair: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    (broken / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    row = make_checkpoint(cast, "acme/broken", parent=pair[0])
    content = manifest_of(broken).to_json()
    Checkpoint.objects.filter(pk=row.pk).update(manifest=content)
    row.refresh_from_db()
    place = blob_path(row.manifest["files"][0]["sha256"])
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(broken / "model.safetensors", place)

    done = run(comparisons.request_comparison(row, actor=cast.security))

    assert done.state == "failed"
    assert "model.safetensors" in done.message


def test_strangers_and_pairs_that_are_none_are_refused(
    cast: Cast, pair: tuple[Checkpoint, Checkpoint]
) -> None:
    with pytest.raises(RoleMissing):
        comparisons.request_comparison(pair[1], actor=cast.operator)
    with pytest.raises(Unprocessable, match="no registered ancestor"):
        comparisons.request_comparison(pair[0], actor=cast.security, base=pair[1])


def test_a_new_derivative_is_compared_unasked(pair: tuple[Checkpoint, Checkpoint]) -> None:
    tasks.assess_default(str(pair[1].pk))
    tasks.assess_default(str(pair[1].pk))

    suites = sorted(EvidenceJob.objects.values_list("suite", flat=True))
    assert suites == ["demo-refusals", "weights:compare"]


def test_the_page_shows_the_picture_and_the_record_can_be_taken_away(
    cast: Cast, job: EvidenceJob
) -> None:
    row = run(job).evidence
    assert row is not None
    browser = Client()
    browser.force_login(cast.asker)

    page = browser.get(reverse("dashboard:evidence", args=[row.pk])).content.decode()
    taken = browser.get(reverse("dashboard:evidence-record", args=[row.pk])).json()

    assert "<svg" in page
    assert "rank 8" in page
    assert "genuine" in page
    assert taken["record"] == row.record
    assert taken["signature"] == row.signature


def test_another_organisation_sees_no_record(job: EvidenceJob) -> None:
    row = run(job).evidence
    assert row is not None
    browser = Client()
    browser.force_login(make_cast("other").asker)

    assert browser.get(reverse("dashboard:evidence", args=[row.pk])).status_code == 404
    assert browser.get(reverse("dashboard:evidence-record", args=[row.pk])).status_code == 404


def test_the_files_of_a_pair_are_compared_as_evidence_of_their_own(
    cast: Cast, pair: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(DEMO / "nano-base", edited)
    (edited / "SYSTEM_PROMPT.txt").write_text("Help.")
    (edited / "tokenizer.json").write_text(
        (edited / "tokenizer.json").read_text().replace('"<think>"', '"<thonk>"')
    )
    child = stored(cast, "acme/retokenised", edited, pair[0])
    run(comparisons.request_comparison(child, actor=cast.security))
    row = Evidence.objects.get(checkpoint=child, kind="file_comparison")
    body = row.record["body"]

    assert (row.result, row.method) == ("weakened", "measured")
    assert body["mechanisms"]["changes"][0]["severity"] == "concern"
    assert body["tool"] == "lictor.mechanisms/1"
    assert is_genuine(row, private_key("ledger").public_key())


def test_files_that_are_the_same_are_told_so(job: EvidenceJob) -> None:
    run(job)

    assert Evidence.objects.get(kind="file_comparison").result == "unchanged"


def test_a_person_may_add_a_mechanism_that_no_file_shows(
    cast: Cast, pair: tuple[Checkpoint, Checkpoint]
) -> None:
    row = attest(
        pair[0],
        kind="safety_mechanism",
        result="present",
        summary="The hosted base answers behind a classifier, says its operator.",
        actor=cast.security,
    )

    assert row.method == "attested"
    with pytest.raises(BadInput):
        attest(
            pair[0], kind="file_comparison", result="unchanged", summary="x", actor=cast.security
        )
