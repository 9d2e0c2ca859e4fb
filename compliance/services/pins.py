"""Lay down which licence text governs a checkpoint."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from compliance.models import LicencePin
from compliance.selectors_licences import library_for
from compliance.services.assess import reassess
from compliance.services.people import lock, require
from registry.errors import BadInput
from registry.ledger.append import append
from registry.models import Checkpoint, Organisation, User


def pin_licence(
    checkpoint: Checkpoint,
    *,
    licence_key: str,
    reason: str,
    actor: User,
    now: datetime | None = None,
) -> LicencePin:
    """Pin a checkpoint's licence to a text of the catalogue, in place of an earlier pin.

    Everything that rests on the checkpoint is judged again: open reviews bind anew, approvals
    whose ground moved become stale.
    Raises: RoleMissing; BadInput (licence_unknown, reason_missing).
    """
    require(actor, checkpoint.organisation, "licence.pin")
    _check(checkpoint.organisation, licence_key, reason)
    at = now or timezone.now()
    with transaction.atomic():
        organisation = lock(checkpoint.organisation_id)
        earlier = LicencePin.objects.filter(checkpoint=checkpoint, is_active=True)
        replaces = earlier.values_list("licence_key", flat=True).first()
        earlier.update(is_active=False)
        pin = LicencePin.objects.create(
            organisation=organisation,
            checkpoint=checkpoint,
            licence_key=licence_key,
            reason=reason.strip(),
            pinned_by=actor,
            pinned_by_name=actor.username,
        )
        append(
            organisation,
            actor=actor.username,
            action="licence.pinned",
            subject=checkpoint.digest,
            payload={
                "pin": str(pin.pk),
                "licence": licence_key,
                "reason": pin.reason,
                "replaces": replaces,
            },
        )
        reassess([checkpoint], actor=actor.username, now=at)
    return pin


def _check(organisation: Organisation, licence_key: str, reason: str) -> None:
    library = library_for(organisation)
    if library.get(licence_key) is None:
        known = ", ".join(sorted(library.licences))
        raise BadInput(
            f"The catalogue has no licence {licence_key!r}; known: {known}.",
            code="licence_unknown",
            place="licence",
        )
    if not reason.strip():
        raise BadInput("A pin needs a reason.", code="reason_missing", place="reason")
