"""Turn notices of other rooms into queued work."""

from uuid import UUID

from compliance.services import measurements
from compliance.tasks import assess_default, measure
from registry.outbox import register
from registry.signals import CHECKPOINT_REGISTERED


def on_checkpoint_registered(checkpoint_id: str) -> None:
    """Judge a new checkpoint; the sweep does it if this hint is lost."""
    assess_default.delay(checkpoint_id)


def on_job_queued(job_id: UUID) -> None:
    """Hurry a worker to a measurement; the sweep does it if this hint is lost."""
    measure.delay(str(job_id))


def connect() -> None:
    """Ask for the notices; called once, when the apps are ready."""
    measurements.set_hint(on_job_queued)
    register(CHECKPOINT_REGISTERED, on_checkpoint_registered)
