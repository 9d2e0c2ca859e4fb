"""Turn notices of other rooms into queued work."""

from compliance.tasks import assess_default
from registry.outbox import register
from registry.signals import CHECKPOINT_REGISTERED


def on_checkpoint_registered(checkpoint_id: str) -> None:
    """Judge a new checkpoint; the sweep does it if this hint is lost."""
    assess_default.delay(checkpoint_id)


def connect() -> None:
    """Ask for the notices; called once, when the apps are ready."""
    register(CHECKPOINT_REGISTERED, on_checkpoint_registered)
