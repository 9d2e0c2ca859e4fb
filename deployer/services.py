"""Write what should run: each function is one transaction, one act, one ledger entry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from compliance.models import Guard, Review
from compliance.selectors import Ended, Entitled, approved_review, entitlement
from compliance.selectors_guards import required_guards
from deployer.models import Deployment, Endpoint, EndpointKey, Target
from inference.contract import ReasoningPolicy
from registry.artifact.gpus import gpu_named
from registry.artifact.memory_plan import plan
from registry.auth import new_secret
from registry.errors import (
    BadInput,
    Conflict,
    Duplicate,
    StaleState,
    StandingEnded,
    Unprocessable,
)
from registry.ledger.append import append
from registry.models import Checkpoint, Organisation, User
from registry.outbox import publish
from registry.signals import DESIRED_CHANGED


class Keep:
    """Say that something stays as it is, where None means to take it away."""


KEEP: Final = Keep()
KEY_PREFIX = "lek_"
# A target without a GPU: replicas run on the CPU and no GPU memory is planned.
CPU = "cpu"


def create_target(
    organisation: Organisation, *, name: str, kind: str, gpu: str, actor: User
) -> Target:
    """Name a place to deploy to. Raises: BadInput for an unknown GPU; Duplicate."""
    if gpu != CPU:
        gpu_named(gpu)
    try:
        with transaction.atomic():
            target = Target.objects.create(organisation=organisation, name=name, kind=kind, gpu=gpu)
            _note(actor, "target.created", organisation, name, {"kind": kind, "gpu": gpu})
    except IntegrityError as error:
        raise Duplicate(f"There is a target {name!r} already.") from error
    return target


def deploy(
    organisation: Organisation,
    *,
    name: str,
    checkpoint: Checkpoint,
    target: Target,
    review: Review | None,
    reasoning_policy: Mapping[str, Any],
    replicas: int,
    actor: User,
    guard: Guard | None = None,
    now: datetime | None = None,
) -> Endpoint:
    """Create an endpoint that should serve an approved checkpoint.

    `guard` None takes the one that the approval asks for, if it asks for any.
    Raises: Conflict (codes not_approved, guard_missing, guard_retired), StandingEnded,
    Unprocessable (codes no_weights, does_not_fit), BadInput for a policy, Duplicate for a name
    in use.
    """
    approved = _require_right(review, checkpoint, now or timezone.now())
    stands_guard = _guard_for(approved, guard, is_named=guard is not None)
    policy = _policy(reasoning_policy)
    memory = _preflight(checkpoint, target)
    try:
        with transaction.atomic():
            endpoint = Endpoint.objects.create(
                organisation=organisation,
                name=name,
                target=target,
                checkpoint=checkpoint,
                review=approved,
                guard=stands_guard,
                desired_replicas=replicas,
                reasoning_policy=policy,
            )
            _record(endpoint, memory, actor, "endpoint.created")
    except IntegrityError as error:
        raise Duplicate(f"There is an endpoint {name!r} already.") from error
    return endpoint


def change(
    endpoint: Endpoint,
    *,
    version: int,
    actor: User,
    checkpoint: Checkpoint | None = None,
    review: Review | None = None,
    reasoning_policy: Mapping[str, Any] | None = None,
    replicas: int | None = None,
    guard: Guard | Keep | None = KEEP,
    now: datetime | None = None,
) -> Endpoint:
    """Change what an endpoint should serve; the new replicas start before the old ones stop.

    `guard` None takes the guard away, where the approval allows it; left out, it stays, unless
    the approval asks for another.
    Raises: StaleState when `version` is not the current one, and what `deploy` raises.
    """
    served = checkpoint or endpoint.checkpoint
    approval = review if review is not None or checkpoint is not None else endpoint.review
    approved = _require_right(approval, served, now or timezone.now())
    named = endpoint.guard if isinstance(guard, Keep) else guard
    stands_guard = _guard_for(approved, named, is_named=not isinstance(guard, Keep))
    memory = _preflight(served, endpoint.target)
    policy = endpoint.reasoning_policy if reasoning_policy is None else _policy(reasoning_policy)
    with transaction.atomic():
        moved = Endpoint.objects.filter(pk=endpoint.pk, version=version).update(
            checkpoint=served,
            review=approved,
            guard=stands_guard,
            reasoning_policy=policy,
            desired=Endpoint.Desired.RUNNING,
            desired_replicas=endpoint.desired_replicas if replicas is None else replicas,
            generation=F("generation") + 1,
            version=F("version") + 1,
        )
        if moved != 1:
            raise StaleState(f"The endpoint {endpoint.name} was changed by somebody else.")
        endpoint.refresh_from_db()
        _record(endpoint, memory, actor, "endpoint.changed")
    return endpoint


def stop(endpoint: Endpoint, *, actor: User) -> Endpoint:
    """Have an endpoint serve nothing; stopping a stopped one changes nothing."""
    with transaction.atomic():
        running = Endpoint.objects.filter(pk=endpoint.pk, desired=Endpoint.Desired.RUNNING)
        if running.update(desired=Endpoint.Desired.STOPPED, version=F("version") + 1) == 1:
            _note(actor, "endpoint.stopped", endpoint.organisation, endpoint.name, {})
            publish(DESIRED_CHANGED, str(endpoint.pk))
    endpoint.refresh_from_db()
    return endpoint


def issue_key(endpoint: Endpoint, *, name: str, actor: User) -> tuple[EndpointKey, str]:
    """Make a data-path key for one endpoint; the secret is returned once."""
    secret, prefix, digest = new_secret(KEY_PREFIX)
    with transaction.atomic():
        key = EndpointKey.objects.create(
            organisation=endpoint.organisation,
            endpoint=endpoint,
            name=name,
            prefix=prefix,
            sha256=digest,
        )
        details = {"endpoint": endpoint.name, "name": name}
        _note(actor, "endpoint_key.issued", endpoint.organisation, prefix, details)
    return key, secret


def revoke_key(key: EndpointKey, *, actor: User, now: datetime | None = None) -> None:
    """End a key; the gateway stops taking it within a second."""
    with transaction.atomic():
        rows = EndpointKey.objects.filter(pk=key.pk, revoked_at=None)
        if rows.update(revoked_at=now or timezone.now()) == 1:
            _note(actor, "endpoint_key.revoked", key.organisation, key.prefix, {})


def approval_for(checkpoint: Checkpoint, use_digest: str | None) -> Review | None:
    """Find the approval to deploy by: for this use, or the newest for any."""
    return approved_review(checkpoint, use_digest)


def _require_right(review: Review | None, checkpoint: Checkpoint, now: datetime) -> Review:
    right = entitlement(review, checkpoint, now)
    if isinstance(right, Ended):
        raise StandingEnded(
            str(right.cause.get("detail", "The licence ended.")), extra=dict(right.cause)
        )
    if not isinstance(right, Entitled) or review is None:
        reason = "" if isinstance(right, Entitled) else right.detail
        raise Conflict(
            f"{checkpoint.model.name} is not approved for deployment. {reason}".strip(),
            code="not_approved",
        )
    return review


def _guard_for(review: Review, guard: Guard | None, *, is_named: bool) -> Guard | None:
    """Choose the guard of an endpoint: what the approval rests on must stand in front of it."""
    required = required_guards(review)
    if len(required) > 1:
        names = ", ".join(f"{one.name} ({one.digest})" for one in required)
        raise Conflict(
            f"The approval rests on {len(required)} guards, and an endpoint has one: {names}. "
            "Measure the checkpoint behind one guard that does what all of them do.",
            code="guard_missing",
        )
    if required and not is_named:
        guard = required[0]
    if required and (guard is None or guard.pk != required[0].pk):
        given = "none" if guard is None else f"{guard.name} ({guard.digest})"
        raise Conflict(
            f"The approval rests on a measurement behind the guard {required[0].name} "
            f"({required[0].digest}); the endpoint was to have {given}.",
            code="guard_missing",
            extra={"guard": str(required[0].pk)},
        )
    if guard is not None and guard.retired_at is not None:
        raise Conflict(f"The guard {guard.name} was retired.", code="guard_retired")
    return guard


def _policy(value: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(ReasoningPolicy.from_json(dict(value)).to_json())
    except ValueError as error:
        raise BadInput(str(error), code="bad_reasoning_policy", place="reasoning_policy") from error


def _preflight(checkpoint: Checkpoint, target: Target) -> dict[str, Any]:
    """Prove that the checkpoint can run there; return the memory plan that proves it."""
    if checkpoint.kind != Checkpoint.Kind.WEIGHTS:
        raise Unprocessable(
            f"{checkpoint.model.name} was registered without weights; there is nothing to serve.",
            code="no_weights",
        )
    if target.gpu == CPU:
        return {"gpu": CPU, "note": "runs on the CPU; no GPU memory is planned"}
    planned = plan(checkpoint.config, gpu_named(target.gpu))
    if not planned.fits:
        raise Unprocessable(
            f"{checkpoint.model.name} needs {planned.needed_bytes:,} B at batch 1; a "
            f"{target.gpu} has {planned.budget_bytes:,} B to give.",
            code="does_not_fit",
            extra={"plan": planned.to_json()},
        )
    return planned.to_json()


def _record(endpoint: Endpoint, memory: dict[str, Any], actor: User, action: str) -> None:
    Deployment.objects.create(
        organisation=endpoint.organisation,
        endpoint=endpoint,
        generation=endpoint.generation,
        checkpoint=endpoint.checkpoint,
        review=endpoint.review,
        guard=endpoint.guard,
        requested_by=actor,
        requested_by_name=actor.username,
        memory_plan=memory,
    )
    details = {
        "checkpoint": endpoint.checkpoint.digest,
        "review": str(endpoint.review.pk),
        "generation": endpoint.generation,
        "replicas": endpoint.desired_replicas,
        "reasoning_policy": endpoint.reasoning_policy,
        "guard": endpoint.guard.digest if endpoint.guard else None,
    }
    _note(actor, action, endpoint.organisation, endpoint.name, details)
    publish(DESIRED_CHANGED, str(endpoint.pk))


def _note(
    actor: User, action: str, organisation: Organisation, subject: str, payload: dict[str, Any]
) -> None:
    append(organisation, actor=actor.username, action=action, subject=subject, payload=payload)
