"""Register guards and retire them; each act is one transaction and one ledger entry.

A registered guard never changes: its digest is what was measured and what permits carry.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from compliance.models import Evidence, Guard
from compliance.services.assess import reassess
from compliance.services.hints import hint_on_commit
from compliance.services.people import lock, require
from registry.artifact.guard import read_guard
from registry.errors import BadInput, Duplicate
from registry.ledger.append import append
from registry.models import Organisation, User

MANAGE: Final = "guard.manage"


def register(organisation: Organisation, *, document: Mapping[str, Any], actor: User) -> Guard:
    """Keep a guard's configuration; whether it is any good is for a measurement to say.

    Raises: RoleMissing; BadInput (guard_invalid) listing every fault; Duplicate.
    """
    require(actor, organisation, MANAGE)
    guard = read_guard(dict(document))
    try:
        with transaction.atomic():
            row = Guard.objects.create(
                organisation=organisation,
                name=guard.name,
                digest=guard.digest,
                document=guard.document,
                created_by=actor,
                created_by_name=actor.username,
            )
            _note(row, "guard.registered", actor, {"name": row.name})
    except IntegrityError as error:
        held = Guard.objects.get(organisation=organisation, digest=guard.digest)
        told = " It was retired: a guard that was is not taken up again." if held.retired_at else ""
        raise Duplicate(
            f"This very guard is registered as {held.name}.{told}", extra={"guard": str(held.pk)}
        ) from error
    return row


def retire(guard: Guard, *, reason: str, actor: User, now: datetime | None = None) -> Guard:
    """End a guard: what it stands in front of serves nothing more, and approvals that rest on it
    are judged again. Retiring a retired one changes nothing.

    Raises: RoleMissing; BadInput (reason_missing).
    """
    require(actor, guard.organisation, MANAGE)
    if not reason.strip():
        raise BadInput("Say why the guard is retired.", code="reason_missing", place="reason")
    at = now or timezone.now()
    with transaction.atomic():
        lock(guard.organisation_id)
        rows = Guard.objects.filter(pk=guard.pk, retired_at=None)
        if rows.update(retired_at=at, retired_by_name=actor.username):
            _note(guard, "guard.retired", actor, {"reason": reason.strip()[:4_000]})
            hint_on_commit("guard")
            measured = Evidence.objects.filter(guard=guard).select_related("checkpoint")
            reassess({row.checkpoint for row in measured}, actor=actor.username, now=at)
    guard.refresh_from_db()
    return guard


def _note(row: Guard, action: str, actor: User, payload: dict[str, Any]) -> None:
    append(
        row.organisation,
        actor=actor.username,
        action=action,
        subject=row.digest,
        payload={"guard": str(row.pk), **payload},
    )
