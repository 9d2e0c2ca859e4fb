"""Turn notices of other rooms into queued work."""

from uuid import UUID

from compliance import policy_tasks
from compliance.services import measurements, policy_hints
from compliance.tasks import assess_default, measure
from registry.outbox import register
from registry.signals import CHECKPOINT_REGISTERED


def on_checkpoint_registered(checkpoint_id: str) -> None:
    """Judge a new checkpoint; the sweep does it if this hint is lost."""
    assess_default.delay(checkpoint_id)


def on_job_queued(job_id: UUID) -> None:
    """Hurry a worker to a measurement; the sweep does it if this hint is lost."""
    measure.delay(str(job_id))


def on_dry_run_queued(run_id: UUID) -> None:
    """Hurry a worker to a dry run; the sweep does it if this hint is lost."""
    policy_tasks.dry_run.delay(str(run_id))


def on_policy_moved(organisation_id: UUID) -> None:
    """Hurry the sweep that judges again what was judged under another policy."""
    policy_tasks.sweep_policies.delay()


def connect() -> None:
    """Ask for the notices; called once, when the apps are ready."""
    measurements.set_hint(on_job_queued)
    policy_hints.set_hint(policy_hints.DRY_RUN, on_dry_run_queued)
    policy_hints.set_hint(policy_hints.JUDGE_AGAIN, on_policy_moved)
    register(CHECKPOINT_REGISTERED, on_checkpoint_registered)
