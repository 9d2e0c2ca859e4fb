"""Say what a policy would change over the whole inventory before it takes effect.

The inventory is every (checkpoint, use) that was ever judged and counts. Nothing is written but the
run itself. A small inventory is judged at once, a long one by a worker that holds a lease and
renews it as it goes.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import F, Q
from django.utils import timezone

from compliance.models import Assessment, PolicyDryRun, PolicyVersion, Review
from compliance.policy.apply import apply
from compliance.policy.change import Change, compare
from compliance.policy.document import Policy
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.selectors_licences import library_for
from compliance.selectors_policies import active_version, dry_runs, policy_of, surroundings_of
from compliance.services.facts import collect
from compliance.services.people import require
from compliance.services.policies import ACTIVATE, WRITE
from compliance.services.policy_hints import DRY_RUN, hurry_on_commit
from compliance.services.uses import read_use
from registry.errors import LictorError, RoleMissing
from registry.models import Checkpoint, Organisation, User

AT_ONCE: Final = 25
MAX_LISTED: Final = 2_000
"""Most changes written out; all are counted."""
LEASE: Final = timedelta(seconds=120)
MAX_ATTEMPTS: Final = 3
_STEP: Final = 10
_State = PolicyDryRun.State


class LeaseLostError(Exception):
    """Say that another worker took the run; this one must stop and write nothing."""


def start(row: PolicyVersion, *, actor: User, now: datetime | None = None) -> PolicyDryRun:
    """Ask what a version would change; a short inventory is answered in the call.

    Raises: RoleMissing; Conflict when the version or the one in force cannot be read.
    """
    _require_either(actor, row.organisation)
    policy_of(row)
    total = _inventory(row.organisation).count()
    run = PolicyDryRun.objects.create(
        organisation=row.organisation,
        policy=row,
        against=active_version(row.organisation),
        total=total,
        requested_by_name=actor.username,
    )
    if total <= AT_ONCE:
        work(run.pk, now=now)
    else:
        hurry_on_commit(DRY_RUN, run.pk)
    done: PolicyDryRun = dry_runs(row.organisation).get(pk=run.pk)
    return done


def _require_either(actor: User, organisation: Organisation) -> None:
    try:
        require(actor, organisation, WRITE)
    except RoleMissing:
        require(actor, organisation, ACTIVATE)


def waiting_runs(now: datetime) -> list[UUID]:
    """List the runs that a worker may claim now, oldest first."""
    rows = PolicyDryRun.objects.filter(_claimable(now)).order_by("created_at")
    return list(rows.values_list("pk", flat=True))


def _claimable(now: datetime) -> Q:
    return Q(state=_State.QUEUED) | Q(state=_State.RUNNING, lease_expires_at__lt=now)


def work(run_id: UUID, *, now: datetime | None = None) -> bool:
    """Do one run unless somebody else holds it or it is done; say whether it was done here."""
    at = now or timezone.now()
    attempt = _claim(run_id, at)
    if attempt is None:
        return False
    run = PolicyDryRun.objects.select_related("policy", "against", "organisation").get(pk=run_id)
    try:
        result = _judge_inventory(run, attempt, at)
        _write(run, attempt, state=_State.DONE, result=result, finished_at=timezone.now())
    except LeaseLostError:
        return False
    except LictorError as error:
        _write(run, attempt, state=_State.FAILED, message=error.detail[:2_000])
    return True


def _claim(run_id: UUID, now: datetime) -> int | None:
    mine = PolicyDryRun.objects.filter(_claimable(now), pk=run_id)
    worn_out = mine.filter(attempts__gte=MAX_ATTEMPTS).update(
        state=_State.FAILED, message=f"Given up: {MAX_ATTEMPTS} workers ended in the middle of it."
    )
    attempts = None if worn_out else mine.values_list("attempts", flat=True).first()
    if attempts is None:
        return None
    won = mine.filter(attempts=attempts).update(
        state=_State.RUNNING,
        attempts=F("attempts") + 1,
        lease_expires_at=now + LEASE,
        done=0,
        message="",
    )
    return attempts + 1 if won else None


def _write(run: PolicyDryRun, attempt: int, **fields: Any) -> None:
    rows = PolicyDryRun.objects.filter(pk=run.pk, state=_State.RUNNING, attempts=attempt)
    if not rows.update(lease_expires_at=timezone.now() + LEASE, **fields):
        raise LeaseLostError(f"dry run {run.pk} is no longer attempt {attempt}")


def _inventory(organisation: Organisation) -> Any:
    return (
        Assessment.objects.filter(organisation=organisation, is_current=True)
        .select_related("checkpoint__model", "checkpoint__organisation")
        .order_by("checkpoint__model__name", "checkpoint_id", "use_digest")
    )


def _judge_inventory(run: PolicyDryRun, attempt: int, now: datetime) -> dict[str, Any]:
    organisation = run.organisation
    after = policy_of(run.policy)
    before = policy_of(run.against) if run.against else None
    library = library_for(organisation)
    approved = _approved(organisation)
    rows = list(_inventory(organisation))
    changed: list[dict[str, Any]] = []
    for at, row in enumerate(rows, start=1):
        change = _change(row, library, before, after, now)
        if change is not None:
            ends = (row.checkpoint_id, row.use_digest) in approved
            changed.append(_line(row, change, ends_approval=ends))
        if at % _STEP == 0 or at == len(rows):
            _write(run, attempt, done=at, total=len(rows))
    return _summary(organisation, rows, changed)


def _approved(organisation: Organisation) -> set[tuple[UUID, str]]:
    rows = Review.objects.filter(organisation=organisation, state=Review.State.APPROVED)
    return set(rows.values_list("checkpoint_id", "use_digest"))


def _change(
    row: Assessment, library: Library, before: Policy | None, after: Policy, now: datetime
) -> Change | None:
    facts = collect(row.checkpoint, read_use(row.use), now=now)
    plain, known = evaluate(facts, library), surroundings_of(row.checkpoint)
    return compare(
        apply(plain, facts, before, library=library, known=known),
        apply(plain, facts, after, library=library, known=known),
    )


def _line(row: Assessment, change: Change, *, ends_approval: bool) -> dict[str, Any]:
    return {
        "checkpoint": str(row.checkpoint_id),
        "name": row.checkpoint.model.name,
        "use": row.use,
        "ends_approval": ends_approval,
        **change.to_dict(),
    }


def _summary(
    organisation: Organisation, rows: list[Assessment], changed: list[dict[str, Any]]
) -> dict[str, Any]:
    judged = {row.checkpoint_id for row in rows}
    unjudged = Checkpoint.objects.for_org(organisation).exclude(pk__in=judged).count()
    moves = Counter((one["before"], one["after"]) for one in changed)
    rules = Counter(rule for one in changed for rule in {*one["raised"], *one["dropped"]})
    return {
        "total": len(rows),
        "changed": len(changed),
        "not_judged": unjudged,
        "stricter": sum(one["direction"] == "stricter" for one in changed),
        "milder": sum(one["direction"] == "milder" for one in changed),
        "approvals_ended": sum(one["ends_approval"] for one in changed),
        "moves": [
            {"before": before, "after": after, "count": count}
            for (before, after), count in sorted(moves.items())
        ],
        "rules": [{"rule": rule, "count": count} for rule, count in sorted(rules.items())],
        "changes": changed[:MAX_LISTED],
        "left_off": max(0, len(changed) - MAX_LISTED),
    }
