"""Queue comparisons of weights and files, and keep what they find as evidence.

A comparison is a job like a measurement, with the same lease and fence; its place of a suite is
taken by `SUITE`, a name that no suite can have. Results of tensors are kept beside the job while it
runs, so that whoever takes it over goes on where the last one was.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from compliance.models import Evidence, EvidenceJob
from compliance.services import evidence, measurements
from compliance.services.measurements import Claim
from compliance.services.people import require
from registry import storage
from registry.artifact.forensics.code import code_digest
from registry.artifact.forensics.files import changed_files
from registry.artifact.forensics.report import LIMITS, report
from registry.artifact.forensics.scan import compare_weights
from registry.artifact.mechanisms.compare import compare_inventories, verdict_of
from registry.artifact.mechanisms.inventory import inventory
from registry.artifact.mechanisms.shapes import NOT_IN_FILES
from registry.errors import Unprocessable
from registry.models import Checkpoint, User

KIND: Final = "weight_comparison"
FILES_KIND: Final = "file_comparison"
SUITE: Final = "weights:compare"
TOOL: Final = "lictor.compare/1"
FILES_TOOL: Final = "lictor.mechanisms/1"
FILES_LIMITS: Final = (
    *NOT_IN_FILES,
    "Texts are taken for texts about safety by English words; others are told as other changes.",
    "Templates are compared as programs and not rendered: two that differ may render alike.",
    "Guard models and control vectors are known by their names and sizes.",
)
# The record is signed and kept for ever: of a model with many experts, only what tells most.
MAX_MATRICES: Final = 2_000
_OPEN: Final = (EvidenceJob.State.QUEUED, EvidenceJob.State.RUNNING)

Progress = Callable[[int, int], None]


def request_comparison(
    checkpoint: Checkpoint, *, actor: User, base: Checkpoint | None = None
) -> EvidenceJob:
    """Ask for a comparison with a base; the job of the same pair is given back.

    Raises: RoleMissing; Unprocessable (not_measurable).
    """
    require(actor, checkpoint.organisation, "evidence.attach")
    chosen = base or measurements.default_base(checkpoint)
    if chosen is None:
        raise Unprocessable(
            "No registered parent with weights; name a base, or register the parent.",
            code="not_measurable",
            place="base",
        )
    return queue(checkpoint, chosen, by=actor.username)


def queue(checkpoint: Checkpoint, base: Checkpoint, *, by: str) -> EvidenceJob:
    """Write a job, unless one of this pair is open or was done by this very code.

    Raises: Unprocessable (not_measurable).
    """
    measurements.check_pair(checkpoint, base)
    names = {"checkpoint": checkpoint, "base": base, "suite": SUITE}
    if (done := _done_job(names)) is not None:
        return done
    try:
        with transaction.atomic():
            job = EvidenceJob.objects.filter(**names, state__in=_OPEN).first()
            if job is None:
                job = EvidenceJob.objects.create(
                    organisation_id=checkpoint.organisation_id, requested_by_name=by, **names
                )
                transaction.on_commit(partial(measurements.hurry, job.pk))
            return job
    except IntegrityError:
        return EvidenceJob.objects.get(**names, state__in=_OPEN)


def _done_job(names: dict[str, Any]) -> EvidenceJob | None:
    rows = EvidenceJob.objects.filter(**names, state=EvidenceJob.State.DONE)
    found: list[EvidenceJob] = [
        row
        for row in rows.select_related("evidence").order_by("-created_at")
        if row.evidence is not None and row.evidence.record["body"]["code"] == code_digest()
    ]
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Compared:
    """Hold what was found: the report on weights, and what became of mechanisms in files."""

    weights: dict[str, Any]
    files: dict[str, Any]


def compare_pair(job: EvidenceJob, work: Path, progress: Progress) -> Compared:
    """Lay both checkpoints out in `work` and compare them; gives the plain forms of the reports.

    `progress` gets (bytes done, bytes in all) and may raise to give up. The results so far stay in
    `work`, the laid out files do not.
    Raises: BadInput; Unavailable (blob_lost).
    """
    work.mkdir(parents=True, exist_ok=True)
    folders = {"base": (job.base, work / "base"), "derived": (job.checkpoint, work / "derived")}
    try:
        for checkpoint, folder in folders.values():
            storage.materialise(checkpoint, folder)
        base, derived = work / "base", work / "derived"
        files = _compare_files(base, derived)
        found = compare_weights(base, derived, progress=progress, resume=work / "tensors.jsonl")
        weights = report(
            found,
            base_digest=job.base.digest,
            derived_digest=job.checkpoint.digest,
            files=changed_files(_digests(job.base), _digests(job.checkpoint)),
        )
        return Compared(weights, files)
    finally:
        for _, folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def _compare_files(base: Path, derived: Path) -> dict[str, Any]:
    before, after = inventory(base), inventory(derived)
    changes = compare_inventories(before, after)
    return {
        "verdict": verdict_of(changes),
        "changes": [one.to_json() for one in changes],
        "base": before.to_json(),
        "derived": after.to_json(),
    }


def _digests(checkpoint: Checkpoint) -> dict[str, str]:
    return {entry["path"]: entry["sha256"] for entry in checkpoint.manifest["files"]}


def finish(
    held: Claim, compared: Compared, *, started_at: datetime, now: datetime | None = None
) -> Evidence:
    """Store what was found as evidence and end the job, in one transaction.

    Two records are left, on the files and on the weights; that on the weights is given back.
    Raises: LeaseLostError, and then nothing is written.
    """
    found = compared.weights
    at = now or timezone.now()
    with transaction.atomic():
        job = EvidenceJob.objects.select_related("checkpoint__model", "base__model").get(
            pk=held.job_id
        )
        body = {
            "code": code_digest(),
            "job": str(job.pk),
            "base_digest": job.base.digest,
            "derived_digest": job.checkpoint.digest,
            "started_at": started_at.isoformat(),
            "finished_at": at.isoformat(),
        }
        write = partial(
            evidence.record,
            job.checkpoint,
            method=Evidence.Method.MEASURED,
            by="system:compare",
            base=job.base,
            now=at,
        )
        write(
            kind=FILES_KIND,
            result=compared.files["verdict"],
            summary=_files_summary(compared.files),
            body={
                **body,
                "tool": FILES_TOOL,
                "mechanisms": compared.files,
                "limitations": list(FILES_LIMITS),
            },
        )
        row = write(
            kind=KIND,
            result=found["classification"],
            summary=_summary(found),
            body={**body, "tool": TOOL, "report": _kept(found), "limitations": list(LIMITS)},
        )
        measurements.report(
            held, now=at, evidence=row, state=EvidenceJob.State.DONE, message=_summary(found)
        )
    return row


def _files_summary(files: dict[str, Any]) -> str:
    """Say how many changes weigh, and the worst of them."""
    weighty = [one for one in files["changes"] if one["severity"] != "harmless"]
    if not weighty:
        count = len(files["base"]["mechanisms"])
        return f"The files show {count} mechanisms of the base, and none was taken away."
    rest = f" ({len(weighty) - 1} more)" if len(weighty) > 1 else ""
    return f"{weighty[0]['what']}{rest}"


def _summary(found: dict[str, Any]) -> str:
    name = found["classification"].replace("_", " ")
    return f"{name} (confidence {found['confidence']:.2f}): {found['explains']}"[:500]


def _kept(found: dict[str, Any]) -> dict[str, Any]:
    """Drop the least changed matrices of a very large model, and say how many."""
    matrices = found["matrices"]
    if len(matrices) <= MAX_MATRICES:
        return found
    ordered = sorted(
        matrices, key=lambda one: (not one.get("touched", False), -one["energy"], one["name"])
    )
    left_out = len(matrices) - MAX_MATRICES
    return {**found, "matrices": ordered[:MAX_MATRICES], "matrices_left_out": left_out}
