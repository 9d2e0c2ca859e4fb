"""Write an organisation's policy, put a version in force, retire it.

Every move is one transaction under the organisation's lock: the compare-and-set, the ledger entry,
and the new judgement of everything that is approved. What is not approved cannot serve, and a vote
is preceded by a new judgement; so a large inventory's rest is judged again by a worker.
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from compliance.models import Assessment, PolicyVersion, Review
from compliance.policy.document import CODE, Policy, read_policy
from compliance.policy.lifecycle import PolicyMoveError, State, check_move
from compliance.policy.trial import TrialResult, run_trials, untested_rules
from compliance.rules.faults import InputFaults
from compliance.selectors_policies import policy_of
from compliance.services.assess import assess
from compliance.services.people import lock, require
from compliance.services.policy_hints import JUDGE_AGAIN, hurry_on_commit
from registry.errors import BadInput, Conflict, Duplicate, Fault, SeparationOfDuties, StaleState
from registry.ledger.append import append
from registry.models import Organisation, User

WRITE = "policy.write"
ACTIVATE = "policy.activate"
AT_ONCE = 50
"""Judgements that are made anew in the act itself; above that, only those of approvals."""
_MAX_REASON = 4_000
_State = PolicyVersion.State


def check(document: str) -> tuple[Policy, tuple[TrialResult, ...]]:
    """Read a document and run its own tests; writes nothing.

    Raises: BadInput (policy_invalid) listing every fault with its place.
    """
    try:
        policy = read_policy(document.encode(), source="policy")
    except InputFaults as error:
        listed = [Fault(one.place, CODE, one.message) for one in error.faults]
        raise BadInput.listing(listed, code=CODE) from error
    return policy, run_trials(policy)


def save(organisation: Organisation, *, document: str, reason: str, actor: User) -> PolicyVersion:
    """Write the next version, which counts for nothing until somebody else activates it.

    A version whose own tests fail can be saved, and not activated.
    Raises: RoleMissing; BadInput (policy_invalid, reason_missing); Duplicate.
    """
    require(actor, organisation, WRITE)
    if not reason.strip():
        raise BadInput("Say what the version changes.", code="reason_missing", place="reason")
    policy, ran = check(document)
    with transaction.atomic():
        lock(organisation.pk)
        rows = PolicyVersion.objects.for_org(organisation)
        last = rows.order_by("-number").first()
        if last is not None and last.digest == policy.digest:
            raise Duplicate(
                f"Version {last.number} says exactly this.", extra={"policy": str(last.pk)}
            )
        number = (rows.aggregate(Max("number"))["number__max"] or 0) + 1
        row = PolicyVersion.objects.create(
            organisation=organisation,
            number=number,
            name=policy.name,
            document=document,
            digest=policy.digest,
            rules_digest=policy.rules_digest,
            reason=reason.strip()[:_MAX_REASON],
            author=actor,
            author_name=actor.username,
        )
        passed = sum(one.passed for one in ran)
        _note(row, "policy.created", actor, {"tests_passed": passed, "tests": len(ran)})
    return row


def activate(
    row: PolicyVersion, *, actor: User, version: int | None = None, now: datetime | None = None
) -> PolicyVersion:
    """Put a version in force in place of the one that is.

    1. Its own tests must pass.
    2. The version in force is retired, and this one takes its place.
    3. What is approved is judged anew; approvals whose outcome moved become stale. The rest is
       judged by a worker, which the sweep guarantees.

    Raises: RoleMissing; SeparationOfDuties; StaleState; Conflict (policy_tests_fail).
    """
    require(actor, row.organisation, ACTIVATE)
    at = now or timezone.now()
    with transaction.atomic():
        held = _hold(row, "active", actor, version)
        _refuse_failing(held)
        replaced = _retire_active(held, actor, at)
        _move(
            held,
            _State.ACTIVE,
            activated_at=at,
            activated_by=actor,
            activated_by_name=actor.username,
            retired_at=None,
            retired_by_name="",
        )
        _note(held, "policy.activated", actor, {"replaces": replaced})
        _judge_again(held.organisation, actor=actor.username, now=at)
    return held


def retire(
    row: PolicyVersion, *, actor: User, version: int | None = None, now: datetime | None = None
) -> PolicyVersion:
    """Take the version in force away, so that the licences alone count.

    Raises: RoleMissing; SeparationOfDuties; StaleState.
    """
    require(actor, row.organisation, ACTIVATE)
    at = now or timezone.now()
    with transaction.atomic():
        held = _hold(row, "retired", actor, version)
        _move(held, _State.RETIRED, retired_at=at, retired_by_name=actor.username)
        _note(held, "policy.retired", actor, {})
        _judge_again(held.organisation, actor=actor.username, now=at)
    return held


def _hold(row: PolicyVersion, new: State, actor: User, version: int | None) -> PolicyVersion:
    lock(row.organisation_id)
    held: PolicyVersion = PolicyVersion.objects.select_related("organisation", "author").get(
        pk=row.pk
    )
    if version is not None and held.version != version:
        raise StaleState(f"Version {held.number} was moved by somebody else; read it again.")
    old: Any = held.state
    try:
        check_move(
            old,
            new,
            author=held.author.username,
            activated_by=held.activated_by_name,
            person=actor.username,
        )
    except PolicyMoveError as error:
        said = f"Version {held.number} of the policy: {error}"
        if error.code == "move_not_allowed":
            raise StaleState(said) from error
        raise SeparationOfDuties(said) from error
    return held


def _refuse_failing(held: PolicyVersion) -> None:
    policy = policy_of(held)
    failed = [one for one in run_trials(policy) if not one.passed]
    if not failed:
        return
    said = "; ".join(f"'{one.name}': {', '.join(one.faults)}" for one in failed)
    raise Conflict(
        f"{len(failed)} of the version's own tests fail, so it cannot be activated. {said}",
        code="policy_tests_fail",
        extra={"tests": [{"name": one.name, "faults": list(one.faults)} for one in failed]},
    )


def _retire_active(held: PolicyVersion, actor: User, at: datetime) -> int | None:
    active = PolicyVersion.objects.filter(organisation=held.organisation_id, state=_State.ACTIVE)
    number = active.values_list("number", flat=True).first()
    active.update(
        state=_State.RETIRED,
        version=F("version") + 1,
        retired_at=at,
        retired_by_name=actor.username,
    )
    return number


def _judge_again(organisation: Organisation, *, actor: str, now: datetime) -> None:
    rows = Assessment.objects.filter(organisation=organisation, is_current=True)
    rows = rows.select_related("checkpoint__model", "checkpoint__organisation")
    approved = set(
        Review.objects.filter(organisation=organisation, state=Review.State.APPROVED).values_list(
            "checkpoint_id", "use_digest"
        )
    )
    all_at_once = rows.count() <= AT_ONCE
    for row in rows.order_by("checkpoint_id", "use_digest").iterator(chunk_size=200):
        if all_at_once or (row.checkpoint_id, row.use_digest) in approved:
            assess(row.checkpoint, row.use, actor=actor, now=now)
    if not all_at_once:
        hurry_on_commit(JUDGE_AGAIN, organisation.pk)


def _move(held: PolicyVersion, state: str, **fields: Any) -> None:
    moved = PolicyVersion.objects.filter(pk=held.pk, state=held.state, version=held.version).update(
        state=state, version=F("version") + 1, **fields
    )
    if not moved:
        raise StaleState(f"Version {held.number} was moved by somebody else; read it again.")
    held.refresh_from_db()


def _note(row: PolicyVersion, action: str, actor: User, more: dict[str, Any]) -> None:
    append(
        row.organisation,
        actor=actor.username,
        action=action,
        subject=row.digest,
        payload={
            "policy": str(row.pk),
            "name": row.name,
            "version": row.number,
            "rules_digest": row.rules_digest,
            "author": row.author_name,
            "reason": row.reason,
            **more,
        },
    )


def trials_of(row: PolicyVersion) -> tuple[TrialResult, ...]:
    """Run a version's own tests. Raises: Conflict when it cannot be read."""
    return run_trials(policy_of(row))


def untested_of(row: PolicyVersion) -> tuple[str, ...]:
    """List the rules that none of the version's tests sees fire."""
    return untested_rules(policy_of(row))
