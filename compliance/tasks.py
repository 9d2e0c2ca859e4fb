"""Run compliance's work on workers; ids in, the database is the queue, running twice is safe.

The sweeps are the guarantee, the hints only hurry. No task decides anything that a service does
not decide again from the rows.
"""

import logging
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from compliance.evidence import measure as measuring
from compliance.evidence.asking import AskingFailedError, questions
from compliance.evidence.kept import Kept
from compliance.evidence.runner import Runner, RuntimeRunner, ServingFailedError
from compliance.evidence.suite import DEFAULT_SUITE, load_suite
from compliance.models import Assessment, EvidenceJob, Matter, Review
from compliance.selectors_duties import fallen_due, out_of_step, to_look_at
from compliance.selectors_licences import outdated
from compliance.services import comparisons, duties, measurements, staleness
from compliance.services.assess import assess, reassess
from compliance.services.evidence import has_current_measurement
from compliance.services.hub_reviews import review_changed_terms
from compliance.services.matters import end_what_matters_end
from compliance.services.measurements import Claim, LeaseLostError
from compliance.services.people import lock
from compliance.services.uses import DEFAULT_USE, read_use
from registry import storage
from registry.errors import LictorError
from registry.models import Checkpoint, Organisation

log = logging.getLogger(__name__)

ACTOR = "system:compliance"
_SWEEP = 50
# A page takes up to ten seconds to fail, and the task has a limit.
_LOOKS = 5
_LOOK_EVERY = timedelta(hours=12)
# A measurement may outlast the common limit; it stays below the broker's visibility timeout, and
# the job's lease keeps a redelivered task from doing it twice.
_MEASURE_SOFT_SECONDS = 840
_MEASURE_HARD_SECONDS = 870
_MIB = 1 << 20


@shared_task
def assess_default(checkpoint_id: str) -> None:
    """Judge a new checkpoint for the default use, and again whatever it is the parent of."""
    checkpoint = Checkpoint.objects.select_related("model", "organisation").get(pk=checkpoint_id)
    now = timezone.now()
    assess(checkpoint, DEFAULT_USE, actor=ACTOR, now=now)
    with transaction.atomic():
        reassess([checkpoint], actor=ACTOR, now=now)
    review_changed_terms(checkpoint, now=now)
    _queue_measurement(checkpoint)


def _queue_measurement(checkpoint: Checkpoint) -> None:
    """Ask for what a derivative will be asked for anyway: how its weights and refusals changed."""
    base = measurements.default_base(checkpoint)
    if base is None or checkpoint.kind != Checkpoint.Kind.WEIGHTS:
        return
    jobs = EvidenceJob.objects.filter(checkpoint=checkpoint, base=base)
    try:
        if not jobs.filter(suite=comparisons.SUITE).exists():
            comparisons.queue(checkpoint, base, by=ACTOR)
        if jobs.exclude(suite=comparisons.SUITE).exists():
            return
        suite = load_suite(DEFAULT_SUITE)
        if not has_current_measurement(checkpoint, base, suite.digest):
            measurements.queue(checkpoint, base, suite=suite.name, by=ACTOR)
    except LictorError as error:
        log.warning("no measurement of %s: %s", checkpoint.digest, error.detail)


@shared_task
def sweep_assessments() -> int:
    """Judge what was never judged, and again what a new catalogue or a new day may change."""
    done = 0
    digest = read_use(DEFAULT_USE).digest
    judged = Assessment.objects.filter(use_digest=digest).values("checkpoint")
    for row in Checkpoint.objects.exclude(pk__in=judged).order_by("created_at")[:_SWEEP]:
        done += _quietly(assess_default, str(row.pk))
    now = timezone.now()
    for item in outdated(now.date(), _SWEEP):
        done += _quietly(assess, item.checkpoint, item.use, actor=ACTOR, now=now)
    return done


def _quietly(act: Any, *arguments: Any, **named: Any) -> int:
    """Run one item of a sweep; one that fails is logged and does not hold up the others."""
    try:
        act(*arguments, **named)
    except LictorError as error:
        log.warning("a sweep left out %s: %s", arguments[:1], error.detail)
        return 0
    return 1


@shared_task
def sweep_evidence_jobs() -> int:
    """Put every job that waits, or whose worker vanished, before the workers."""
    waiting = measurements.waiting_jobs(timezone.now())
    for job_id in waiting:
        measure.delay(str(job_id))
    return len(waiting)


@shared_task
def sweep_standing() -> int:
    """End what filed matters end, mark expired approvals, and judge after lapsed waivers."""
    now = timezone.now()
    filed = Matter.objects.exclude(filed_on=None).values("organisation")
    done = 0
    for organisation in Organisation.objects.filter(pk__in=filed):
        with transaction.atomic():
            lock(organisation.pk)
            done += len(end_what_matters_end(organisation, actor=ACTOR, now=now))
    for review in Review.objects.filter(state=Review.State.APPROVED, expires_at__lte=now):
        done += _quietly(_expire, review.pk)
    return done + _after_lapsed_waivers()


def _expire(review_id: UUID) -> None:
    now = timezone.now()
    with transaction.atomic():
        review = Review.objects.select_related("checkpoint", "organisation").get(pk=review_id)
        lock(review.organisation_id)
        staleness.end_approval(review, actor=ACTOR, now=now, action="review.expired")


def _after_lapsed_waivers() -> int:
    """Judge again where a waiver lapsed since; a judgement with no lapsed waiver is left alone."""
    now = timezone.now()
    lapsed = Checkpoint.objects.filter(
        waivers__revoked_at=None,
        waivers__expires_at__lte=now,
        waivers__expires_at__gt=now - timedelta(days=2),
    ).distinct()
    for row in lapsed[:_SWEEP]:
        with transaction.atomic():
            reassess([row], actor=ACTOR, now=now)
    return lapsed.count()


@shared_task
def sweep_duties() -> int:
    """Bring duties in step with judgements, open those that fall due again, and look at pages."""
    now = timezone.now()
    done = sum(_quietly(duties.follow, row, now=now) for row in out_of_step(_SWEEP))
    done += duties.open_again(fallen_due(now, _SWEEP), now=now)
    for row in to_look_at(now - _LOOK_EVERY, _LOOKS):
        done += _quietly(duties.look, row, now=now)
    return done


@shared_task(soft_time_limit=_MEASURE_SOFT_SECONDS, time_limit=_MEASURE_HARD_SECONDS)
def measure(job_id: str) -> None:
    """Measure one job, unless somebody else holds it or it is done."""
    held = measurements.claim(UUID(job_id), timezone.now())
    if held is not None:
        measure_claimed(held, RuntimeRunner())


def measure_claimed(held: Claim, runner: Runner) -> None:
    """Do the work of a claimed job, and leave it done, failed with a message, or to a successor."""
    rows = EvidenceJob.objects.select_related("checkpoint__model", "base__model", "guard")
    job = rows.get(pk=held.job_id)
    try:
        if job.suite == comparisons.SUITE:
            _compare(held, job)
        else:
            _measure(held, job, runner)
    except LeaseLostError as error:
        log.warning("measurement given up: %s", error)
    except (ServingFailedError, AskingFailedError, LictorError, OSError) as error:
        _fail(held, f"The measurement failed: {error}")
    except SoftTimeLimitExceeded:
        if job.suite == comparisons.SUITE:
            # What was compared is kept; the sweep gives the rest to the next attempt.
            log.warning("job %s goes on with the next attempt", held.job_id)
            return
        _fail(held, f"The measurement took longer than {_MEASURE_SOFT_SECONDS} s and was stopped.")


def _fail(held: Claim, message: str) -> None:
    try:
        measurements.fail(held, message)
    except LeaseLostError as error:
        log.warning("%s; the message was: %s", error, message)


def _measure(held: Claim, job: EvidenceJob, runner: Runner) -> None:
    suite = load_suite(job.suite)
    started_at = timezone.now()
    guard = job.guard
    times = 2 if guard is None else 3
    progress = _Progress(held, total=times * len(questions(suite)))
    measured = measuring.measure(
        suite,
        base=lambda folder: storage.materialise(job.base, folder),
        derived=lambda folder: storage.materialise(job.checkpoint, folder),
        work=work_folder(held.job_id),
        runner=runner,
        report=progress,
        guard=None if guard is None else guard.document,
        kept=Kept(
            Path(settings.LICTOR_VAR) / "readings",
            {"base": job.base.digest, "derived": job.checkpoint.digest},
        ),
    )
    progress.write()
    measurements.finish(held, suite, measured, started_at=started_at)


def _compare(held: Claim, job: EvidenceJob) -> None:
    started_at = timezone.now()
    progress = _Progress(held, total=0)
    message = f"Comparing the weights with those of {job.base.model.name}."

    def report(done: int, total: int) -> None:
        progress.total = total // _MIB
        progress(done // _MIB, message)

    work = work_folder(held.job_id)
    found = comparisons.compare_pair(job, work, report)
    progress.write()
    comparisons.finish(held, found, started_at=started_at)
    shutil.rmtree(work, ignore_errors=True)


def work_folder(job_id: UUID) -> Path:
    return Path(settings.LICTOR_VAR) / "measurements" / str(job_id)


class _Progress:
    """Write progress at most once a second: each write takes the database's write lock."""

    def __init__(self, held: Claim, *, total: int) -> None:
        self.held, self.total = held, total
        self.done, self.message = 0, ""
        self._written_at = 0.0

    def __call__(self, done: int, message: str) -> None:
        is_new_step = message != self.message
        self.done, self.message = done, message
        if is_new_step or time.monotonic() - self._written_at >= 1.0:
            self.write()

    def write(self) -> None:
        measurements.report(self.held, done=self.done, total=self.total, message=self.message)
        self._written_at = time.monotonic()
