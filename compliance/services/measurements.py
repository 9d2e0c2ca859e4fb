"""Queue measurements of guardrails and move their jobs; the row is the queue.

A worker claims a job by compare-and-set and holds it by a lease that it renews as it goes.
`attempts` is the fence: after a lost lease the number is another's and nothing can be written.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from compliance.evidence import guardrail
from compliance.evidence.replacement import Measured, judge_guarded, with_control
from compliance.evidence.suite import DEFAULT_SUITE, Suite, load_suite
from compliance.models import Evidence, EvidenceJob, Guard
from compliance.services import evidence
from compliance.services.people import require
from registry.errors import Conflict, Unprocessable
from registry.models import Checkpoint, LineageEdge, User
from registry.selectors import closure_up

LEASE: Final = timedelta(seconds=150)
MAX_ATTEMPTS: Final = 3
_OPEN: Final = (EvidenceJob.State.QUEUED, EvidenceJob.State.RUNNING)


_hint: list[Callable[[UUID], None]] = []
log = logging.getLogger(__name__)


def set_hint(send: Callable[[UUID], None]) -> None:
    """Name what hurries a worker to a new job; it may fail, and then the sweep does the work."""
    _hint[:] = [send]


def hurry(job_id: UUID) -> None:
    """Tell a worker of a job; when that fails, the sweep will find it."""
    for send in _hint:
        try:
            send(job_id)
        except Exception:  # noqa: BLE001 - whatever the broker's client raises, the row remains
            log.warning("the broker takes no hints; the sweep will find job %s", job_id)


class LeaseLostError(Exception):
    """Say that another worker took the job; this one must stop and write nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Hold the right to work on one job; `attempt` is the fencing number."""

    job_id: UUID
    attempt: int


def default_base(checkpoint: Checkpoint) -> Checkpoint | None:
    """Find the registered parent that has weights; of several, the first by name."""
    edges = LineageEdge.objects.filter(
        child=checkpoint, parent__kind=Checkpoint.Kind.WEIGHTS
    ).select_related("parent__model")
    edge = edges.order_by("parent_name", "parent__digest").first()
    return edge.parent if edge is not None else None


def request_measurement(
    checkpoint: Checkpoint,
    *,
    actor: User,
    base: Checkpoint | None = None,
    suite: str = DEFAULT_SUITE,
    guard: Guard | None = None,
) -> EvidenceJob:
    """Ask for a measurement against a base; a job for the same pair and suite is given back.

    With a `guard` the model is measured alone and behind it.
    Raises: RoleMissing; BadInput (suite_unknown, suite_invalid); Unprocessable (not_measurable);
    Conflict (guard_retired).
    """
    require(actor, checkpoint.organisation, "evidence.attach")
    chosen = base or default_base(checkpoint)
    if chosen is None:
        raise Unprocessable(
            "No registered parent with weights; name a base, or register the parent.",
            code="not_measurable",
            place="base",
        )
    wanted = load_suite(suite)
    if guard is not None and guard.retired_at is not None:
        raise Conflict(f"The guard {guard.name} was retired.", code="guard_retired")
    # A guard model may answer otherwise tomorrow: behind a guard the answers are always new.
    if guard is None and (done := _done_job(checkpoint, chosen, wanted)) is not None:
        return done
    return queue(checkpoint, chosen, suite=suite, by=actor.username, guard=guard)


def _done_job(checkpoint: Checkpoint, base: Checkpoint, suite: Suite) -> EvidenceJob | None:
    """Find the finished job of this very pair and suite; greedy answers would be the same."""
    rows = EvidenceJob.objects.filter(
        checkpoint=checkpoint,
        base=base,
        suite=suite.name,
        guard=None,
        state=EvidenceJob.State.DONE,
    ).select_related("evidence")
    found: list[EvidenceJob] = [
        row
        for row in rows.order_by("-created_at")
        if row.evidence and row.evidence.record["body"]["suite"]["digest"] == suite.digest
    ]
    return found[0] if found else None


def queue(
    checkpoint: Checkpoint, base: Checkpoint, *, suite: str, by: str, guard: Guard | None = None
) -> EvidenceJob:
    """Write a job unless one for the same pair and suite is open. Raises: as above."""
    load_suite(suite)
    check_pair(checkpoint, base)
    names = {"checkpoint": checkpoint, "base": base, "suite": suite, "guard": guard}
    try:
        with transaction.atomic():
            job = EvidenceJob.objects.filter(**names, state__in=_OPEN).first()
            if job is None:
                job = EvidenceJob.objects.create(
                    organisation_id=checkpoint.organisation_id, requested_by_name=by, **names
                )
                transaction.on_commit(partial(hurry, job.pk))
            return job
    except IntegrityError:
        return EvidenceJob.objects.get(**names, state__in=_OPEN)


def check_pair(checkpoint: Checkpoint, base: Checkpoint) -> None:
    """Refuse a pair that is no pair of ancestor and descendant with weights.

    Raises: Unprocessable (not_measurable).
    """
    if base.pk not in closure_up(checkpoint).checkpoints or base.pk == checkpoint.pk:
        raise Unprocessable(
            f"{base.model.name} is no registered ancestor of {checkpoint.model.name}.",
            code="not_measurable",
            place="base",
        )
    for row in (base, checkpoint):
        if row.kind != Checkpoint.Kind.WEIGHTS:
            raise Unprocessable(
                f"{row.model.name} is registered without weights and cannot be run.",
                code="not_measurable",
                place="base" if row is base else "checkpoint",
            )


def waiting_jobs(now: datetime) -> list[UUID]:
    """List the jobs that a worker may claim now, oldest first."""
    rows = EvidenceJob.objects.filter(_claimable(now)).order_by("created_at")
    return list(rows.values_list("pk", flat=True))


def _claimable(now: datetime) -> Q:
    queued = Q(state=EvidenceJob.State.QUEUED)
    return queued | Q(state=EvidenceJob.State.RUNNING, lease_expires_at__lt=now)


def claim(job_id: UUID, now: datetime) -> Claim | None:
    """Take a job that waits or whose worker vanished; None when somebody holds it.

    One that was tried too often fails here, so that a job which kills its worker ends.
    """
    mine = EvidenceJob.objects.filter(_claimable(now), pk=job_id)
    worn_out = mine.filter(attempts__gte=MAX_ATTEMPTS).update(
        state=EvidenceJob.State.FAILED,
        lease_expires_at=None,
        message=f"Given up: {MAX_ATTEMPTS} workers ended while they measured it.",
    )
    if worn_out:
        return None
    attempts = mine.values_list("attempts", flat=True).first()
    if attempts is None:
        return None
    won = mine.filter(attempts=attempts).update(
        state=EvidenceJob.State.RUNNING,
        attempts=F("attempts") + 1,
        lease_expires_at=now + LEASE,
        done=0,
        message="Starting.",
    )
    return Claim(job_id, attempts + 1) if won else None


def report(held: Claim, *, now: datetime | None = None, **fields: Any) -> None:
    """Write progress and renew the lease. Raises: LeaseLostError."""
    at = now or timezone.now()
    rows = EvidenceJob.objects.filter(
        pk=held.job_id, state=EvidenceJob.State.RUNNING, attempts=held.attempt
    )
    if not rows.update(lease_expires_at=at + LEASE, **fields):
        raise LeaseLostError(f"job {held.job_id} is no longer attempt {held.attempt}")


def fail(held: Claim, message: str) -> None:
    """End the job with a message for people. Raises: LeaseLostError."""
    rows = EvidenceJob.objects.filter(
        pk=held.job_id, state=EvidenceJob.State.RUNNING, attempts=held.attempt
    )
    failed = EvidenceJob.State.FAILED
    if not rows.update(state=failed, lease_expires_at=None, message=message[:2_000]):
        raise LeaseLostError(f"job {held.job_id} is no longer attempt {held.attempt}")


def finish(
    held: Claim,
    suite: Suite,
    measured: Measured,
    *,
    started_at: datetime,
    now: datetime | None = None,
) -> Evidence:
    """Store what was measured as evidence and end the job, in one transaction.

    A job with a guard leaves two records: of the model alone, and of it behind the guard, which
    is the one given back. Raises: LeaseLostError, and then nothing is written.
    """
    at = now or timezone.now()
    with transaction.atomic():
        job = EvidenceJob.objects.select_related("checkpoint__model", "base__model", "guard").get(
            pk=held.job_id
        )
        write = partial(
            _record, job, suite, started_at=started_at, at=at, reused=dict(measured.reused)
        )
        row, outcome = write(measured.alone), measured.alone
        if job.guard is not None and measured.guarded is not None:
            outcome = judge_guarded(measured.alone, measured.guarded)
            row = write(outcome, control=measured.alone)
        report(
            held,
            now=at,
            evidence=row,
            state=EvidenceJob.State.DONE,
            message=outcome.summary,
        )
    return row


def _record(
    job: EvidenceJob,
    suite: Suite,
    outcome: guardrail.Outcome,
    *,
    started_at: datetime,
    at: datetime,
    reused: dict[str, int],
    control: guardrail.Outcome | None = None,
) -> Evidence:
    body = guardrail.record_body(
        suite,
        outcome,
        base=job.base.digest,
        derived=job.checkpoint.digest,
        started_at=started_at.isoformat(),
        finished_at=at.isoformat(),
    )
    guard = job.guard if control is not None else None
    if control is not None and guard is not None:
        body = with_control(body, control, guard.digest)
    return evidence.record(
        job.checkpoint,
        kind=guardrail.KIND,
        result=outcome.result,
        method=Evidence.Method.MEASURED,
        summary=outcome.summary,
        body={**body, "reused_answers": reused, "job": str(job.pk)},
        by="system:measure",
        base=job.base,
        guard=guard,
        now=at,
    )
