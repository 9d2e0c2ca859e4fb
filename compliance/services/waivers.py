"""Accept an unmet or unclear finding for a time, with a name and a reason."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from compliance.models import Waiver
from compliance.services.assess import reassess
from compliance.services.people import lock, require
from registry.errors import BadInput, Fault, StaleState
from registry.ledger.append import append
from registry.models import Checkpoint, User

MAX_DAYS = 365


def grant(
    checkpoint: Checkpoint,
    *,
    rule: str,
    licence_key: str,
    reason: str,
    expires_at: datetime,
    actor: User,
    now: datetime | None = None,
) -> Waiver:
    """Waive one rule of one licence ("*" for any) for this checkpoint until a day.

    Raises: RoleMissing; BadInput (waiver_invalid) listing every fault.
    """
    require(actor, checkpoint.organisation, "waiver.grant")
    at = now or timezone.now()
    _check(rule, licence_key, reason, expires_at, at)
    with transaction.atomic():
        organisation = lock(checkpoint.organisation_id)
        waiver = Waiver.objects.create(
            organisation=organisation,
            checkpoint=checkpoint,
            rule=rule.strip(),
            licence_key=licence_key.strip(),
            reason=reason.strip(),
            owner=actor,
            owner_name=actor.username,
            expires_at=expires_at,
        )
        append(
            organisation,
            actor=actor.username,
            action="waiver.granted",
            subject=checkpoint.digest,
            payload={
                "waiver": str(waiver.pk),
                "rule": waiver.rule,
                "licence": waiver.licence_key,
                "reason": waiver.reason,
                "expires_at": expires_at.isoformat(),
            },
        )
        reassess([checkpoint], actor=actor.username, now=at)
    return waiver


def revoke(waiver: Waiver, *, actor: User, now: datetime | None = None) -> Waiver:
    """Take a waiver back; approvals that rested on it become stale.

    Raises: RoleMissing; StaleState when it is revoked already.
    """
    require(actor, waiver.organisation, "waiver.revoke")
    at = now or timezone.now()
    with transaction.atomic():
        organisation = lock(waiver.organisation_id)
        moved = Waiver.objects.filter(pk=waiver.pk, revoked_at=None).update(revoked_at=at)
        if not moved:
            raise StaleState(f"The waiver {waiver.pk} is revoked already.")
        append(
            organisation,
            actor=actor.username,
            action="waiver.revoked",
            subject=waiver.checkpoint.digest,
            payload={"waiver": str(waiver.pk), "rule": waiver.rule},
        )
        reassess([waiver.checkpoint], actor=actor.username, now=at)
    return Waiver.objects.get(pk=waiver.pk)


def _check(rule: str, licence_key: str, reason: str, expires_at: datetime, now: datetime) -> None:
    faults = [
        Fault(place, "waiver_invalid", "Is required.")
        for place, value in (("rule", rule), ("licence", licence_key), ("reason", reason))
        if not value.strip()
    ]
    if not now < expires_at <= now + timedelta(days=MAX_DAYS):
        faults.append(
            Fault("expires_at", "waiver_invalid", f"Must lie within {MAX_DAYS} days from now.")
        )
    if faults:
        raise BadInput.listing(faults, code="waiver_invalid")
