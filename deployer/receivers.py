"""Turn the notices of other rooms into reconciling now rather than at the next sweep."""

from deployer.models import Endpoint
from deployer.tasks import reconcile
from registry import outbox, signals


def connect() -> None:
    outbox.register(signals.DESIRED_CHANGED, _desired_changed)
    outbox.register(signals.STANDING_CHANGED, _standing_changed)


def _desired_changed(endpoint_id: str) -> None:
    reconcile.delay(endpoint_id)


def _standing_changed(checkpoint_id: str) -> None:
    for pk in Endpoint.objects.filter(checkpoint__id=checkpoint_id).values_list("pk", flat=True):
        reconcile.delay(str(pk))
