"""Bring one endpoint a step nearer to what it should be; the moves that only one worker can win.

1. Take the endpoint's lease by compare-and-set; whoever does not get it leaves.
2. Look: desired state, replica rows, their processes, the right to serve.
3. Plan (`deployer.domain.reconcile`, pure).
4. Write what was seen, then act. Effects on processes stay outside transactions; each row is moved
   by a filtered update, so a second worker that acts on old knowledge changes nothing.
"""

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from compliance.selectors import Ended, Entitled, entitlement
from deployer.domain.lifecycle import LIVE, may_move
from deployer.domain.reconcile import Action, Desired, Plan, Right, Seen, reconcile
from deployer.models import Endpoint, Replica
from deployer.targets.base import Observed, TargetError, TargetKind
from deployer.targets.kinds import kind_of
from registry.ledger.append import append

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
_REMEMBERED = timedelta(minutes=15)


def reconcile_endpoint(
    pk: UUID | str, *, target: TargetKind | None = None, now: datetime | None = None
) -> bool:
    """Do one round; return whether another should follow soon (something is under way).

    Running it twice, late or in two workers at once gives the same end state.
    """
    moment = now or timezone.now()
    if (lease := _take_lease(pk, moment)) is None:
        return False
    try:
        endpoint = Endpoint.objects.select_related("target", "checkpoint__model", "review").get(
            pk=pk
        )
        return _round(endpoint, target or kind_of(endpoint.target), moment)
    finally:
        # Only one's own: a lease that ran out meanwhile belongs to somebody else.
        Endpoint.objects.filter(pk=pk, lease_expires_at=lease).update(lease_expires_at=None)


def _take_lease(pk: UUID | str, now: datetime) -> datetime | None:
    free, until = Q(lease_expires_at=None) | Q(lease_expires_at__lt=now), now + LEASE
    taken = Endpoint.objects.filter(free, pk=pk).update(lease_expires_at=until)
    return until if taken == 1 else None


def _round(endpoint: Endpoint, target: TargetKind, now: datetime) -> bool:
    rows = _rows(endpoint, now)
    observed = {row.pk: target.observe(row) for row in rows if row.state in ("starting", "ready")}
    for row in rows:
        if (seen := observed.get(row.pk)) is not None:
            _write_seen(row, seen, now)
    right = entitlement(endpoint.review, endpoint.checkpoint, now)
    plan = reconcile(
        Desired(
            running=endpoint.desired == Endpoint.Desired.RUNNING,
            replicas=endpoint.desired_replicas,
            generation=endpoint.generation,
        ),
        tuple(_seen(row, observed.get(row.pk)) for row in rows),
        right=_right(right),
        now=now,
    )
    _write_phase(endpoint, plan, right.cause if isinstance(right, Ended) else None)
    by_key = {str(row.pk): row for row in rows}
    for action in plan.actions:
        _act(endpoint, target, action, by_key.get(action.key), now)
    return bool(plan.actions) or plan.phase in ("progressing", "degraded")


def _rows(endpoint: Endpoint, now: datetime) -> list[Replica]:
    """Return what lives, and what failed lately, which decides how long to wait."""
    recent_failure = Q(state="failed", stopped_at__gt=now - _REMEMBERED)
    rows = Replica.objects.filter(Q(state__in=LIVE) | recent_failure, endpoint=endpoint)
    return list(rows.select_related("checkpoint", "endpoint"))


def _right(right: object) -> Right:
    if isinstance(right, Ended):
        return "ended"
    return "entitled" if isinstance(right, Entitled) else "not_entitled"


def _seen(row: Replica, observed: Observed | None) -> Seen:
    return Seen(
        key=str(row.pk),
        state=row.state,
        generation=row.generation,
        index=row.index,
        alive=None if observed is None else observed.alive,
        ready=observed is not None and observed.ready,
        changed_at=row.stopped_at or row.started_at or row.created_at,
        reason=(observed.reason if observed else "") or row.message,
    )


def _write_seen(row: Replica, seen: Observed, now: datetime) -> None:
    if seen.url and seen.url != row.url:
        Replica.objects.filter(pk=row.pk).update(url=seen.url)
        row.url = seen.url
    if seen.ready and row.state == "starting":
        _move(row, "ready", ready_at=now)


def _write_phase(endpoint: Endpoint, plan: Plan, cause: dict[str, Any] | None) -> None:
    """Write the phase, and note in the ledger when an endpoint comes up or its licence ends."""
    with transaction.atomic():
        moved = (
            Endpoint.objects.filter(pk=endpoint.pk)
            .exclude(phase=plan.phase)
            .update(phase=plan.phase, ended=cause, observed_generation=endpoint.generation)
        )
        if moved and plan.phase in ("ready", "ended", "failed"):
            append(
                endpoint.organisation,
                actor="system:reconciler",
                action=f"endpoint.{plan.phase}",
                subject=endpoint.name,
                payload=cause or {"message": plan.message},
            )
    Endpoint.objects.filter(pk=endpoint.pk).update(
        message=plan.message, observed_generation=endpoint.generation
    )


def _act(
    endpoint: Endpoint, target: TargetKind, action: Action, row: Replica | None, now: datetime
) -> None:
    if action.act == "start":
        _start(endpoint, target, action.index, now)
    elif row is not None and action.act == "fail":
        target.stop(row)
        _move(row, "failed", message=action.reason, stopped_at=now)
    elif row is not None and _is_stopping(row, action.reason):
        target.stop(row)
        _move(row, "stopped", stopped_at=timezone.now())


def _is_stopping(row: Replica, reason: str) -> bool:
    return row.state == "stopping" or _move(row, "stopping", message=reason)


def _start(endpoint: Endpoint, target: TargetKind, index: int, now: datetime) -> None:
    try:
        with transaction.atomic():
            row = Replica.objects.create(
                organisation=endpoint.organisation,
                endpoint=endpoint,
                checkpoint=endpoint.checkpoint,
                generation=endpoint.generation,
                index=index,
            )
    except IntegrityError:
        return  # another worker has this place
    try:
        handle = target.start(row)
    except TargetError as error:
        log.warning("replica %s of %s: %s", row.pk, endpoint.name, error)
        _move(row, "failed", message=str(error)[:500], stopped_at=now)
        return
    if not _move(row, "starting", handle=handle, started_at=now):
        # Somebody gave this place up while the process was starting.
        row.handle = handle
        target.stop(row)


def _move(row: Replica, new: str, **fields: Any) -> bool:
    """Move a replica from the state it was read in; False when somebody else moved it first."""
    if not may_move(row.state, new):
        return False
    moved = Replica.objects.filter(pk=row.pk, state=row.state).update(state=new, **fields)
    if moved == 1:
        row.state = new
        for name, value in fields.items():
            setattr(row, name, value)
    return moved == 1


def endpoints_due() -> list[UUID]:
    """Return the endpoints that a sweep should look at: all that should run, or have replicas."""
    live = Q(replicas__state__in=LIVE)
    running = Q(desired=Endpoint.Desired.RUNNING)
    rows = Endpoint.objects.filter(live | running).order_by(F("created_at").asc())
    return list(dict.fromkeys(rows.values_list("pk", flat=True)))
