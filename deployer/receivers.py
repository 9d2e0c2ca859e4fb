"""Turn the notices of other rooms into reconciling now rather than at the next sweep."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from compliance import dependants
from deployer.models import Endpoint
from deployer.tasks import reconcile
from registry import outbox, signals
from registry.models import Organisation


def connect() -> None:
    outbox.register(signals.DESIRED_CHANGED, _desired_changed)
    outbox.register(signals.STANDING_CHANGED, _standing_changed)
    dependants.register("endpoints", _serving)


def _desired_changed(endpoint_id: str) -> None:
    reconcile.delay(endpoint_id)


def _standing_changed(checkpoint_id: str) -> None:
    for pk in Endpoint.objects.filter(checkpoint__id=checkpoint_id).values_list("pk", flat=True):
        reconcile.delay(str(pk))


def _serving(organisation: Organisation, checkpoints: Iterable[UUID]) -> list[dict[str, Any]]:
    """List the endpoints that a what-if has to name: those that serve one of these checkpoints."""
    rows = Endpoint.objects.for_org(organisation).filter(checkpoint__in=list(checkpoints))
    return [
        {"id": str(row.pk), "name": row.name, "checkpoint": str(row.checkpoint_id)}
        for row in rows.exclude(desired=Endpoint.Desired.STOPPED)
    ]
