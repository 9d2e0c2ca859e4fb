"""Issue serving permits: read the database afresh, then sign. Used by the permit issuer alone.

Nothing is cached: whether a replica may serve is asked of standing, approval and rows each time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import F

from compliance.models import Guard, Review
from compliance.selectors import Ended, Entitled, entitlement
from compliance.selectors_guards import required_guards
from deployer.domain.lifecycle import STARTED
from deployer.models import Deployment, Endpoint, EndpointKey, Replica
from deployer.tokens import replica_token
from inference.contract import ReasoningPolicy
from inference.permit import PermitClaims, sign
from registry.errors import NotEntitled, NotFound, StandingEnded
from registry.keys import private_key
from registry.ledger.chain import key_id, public_key_pem

# By endpoint and generation.
Guards = Mapping[tuple[UUID, int], Guard | None]


@dataclass(frozen=True)
class Request:
    """Hold what a runtime says of itself when it asks: which replica, what it loaded."""

    replica: UUID
    checkpoint: str


def public_keys() -> list[dict[str, str]]:
    key = private_key("permit").public_key()
    return [{"kid": key_id(key), "public_key_pem": public_key_pem(key)}]


def renew(request: Request, *, now: datetime) -> str:
    """Sign the next permit of a replica.

    Raises: StandingEnded with the clause; NotEntitled saying why; NotFound.
    """
    replica = _replica(request.replica)
    endpoint = replica.endpoint
    started = _started_under(replica)
    right = entitlement(started.review, replica.checkpoint, now)
    if isinstance(right, Ended):
        detail = str(right.cause.get("detail", "The licence ended."))
        raise StandingEnded(detail, extra=dict(right.cause))
    if not isinstance(right, Entitled):
        raise NotEntitled(right.detail, code=right.code)
    _check_desired(endpoint, replica)
    _check_guard(started)
    if request.checkpoint != replica.checkpoint.digest:
        raise NotEntitled(
            f"The runtime loaded {request.checkpoint}; {replica.checkpoint.digest} is approved.",
            code="checkpoint_mismatch",
        )
    claims = PermitClaims(
        replica=str(replica.pk),
        permit_id=str(uuid4()),
        endpoint=str(endpoint.pk),
        endpoint_name=endpoint.name,
        checkpoint=replica.checkpoint.digest,
        decision=right.decision,
        serial=_next_serial(replica),
        issued_at=int(now.timestamp()),
        reasoning_policy=ReasoningPolicy.from_json(endpoint.reasoning_policy),
        guard=started.guard.digest if started.guard else None,
        ttl_seconds=settings.LICTOR_PERMIT_TTL_SECONDS,
    )
    key = private_key("permit")
    permit = sign(key, claims, key_id=key_id(key.public_key()))
    Replica.objects.filter(pk=replica.pk, serial=claims.serial).update(
        permit=permit, permit_issued_at=now
    )
    return permit


def _replica(pk: UUID) -> Replica:
    rows = Replica.objects.select_related(
        "endpoint__review", "endpoint__guard", "checkpoint", "endpoint__checkpoint"
    )
    found: Replica | None = rows.filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no replica {pk}.")
    return found


@dataclass(frozen=True)
class _Started:
    """Hold what a replica was started under: an approval, and the guard before it."""

    review: Review | None
    guard: Guard | None


def _started_under(replica: Replica) -> _Started:
    """Return what this replica was started under.

    While an endpoint changes over, the old replicas serve on under the approval before.
    """
    endpoint = replica.endpoint
    if replica.generation == endpoint.generation:
        return _Started(endpoint.review, endpoint.guard)
    made = Deployment.objects.filter(endpoint=endpoint, generation=replica.generation)
    deployment = made.select_related("review", "guard").first()
    if deployment is None:
        return _Started(None, None)
    return _Started(deployment.review, deployment.guard)


def _check_guard(started: _Started) -> None:
    """Refuse a replica whose guard is not the one that its approval rests on, or was retired."""
    held = started.guard
    if held is not None and held.retired_at is not None:
        raise NotEntitled(f"The guard {held.name} was retired.", code="guard_retired")
    required = required_guards(started.review) if started.review else ()
    missing = [one for one in required if held is None or one.pk != held.pk]
    if missing:
        raise NotEntitled(
            f"The approval rests on the guard {missing[0].name} ({missing[0].digest}), which does "
            "not stand in front of this replica.",
            code="guard_missing",
        )


def _check_desired(endpoint: Endpoint, replica: Replica) -> None:
    """Refuse a replica that should not serve any more, whatever its process thinks."""
    if replica.state not in {*STARTED, "pending"}:
        raise NotEntitled(f"The replica is {replica.state}.", code="replica_over")
    if endpoint.desired != Endpoint.Desired.RUNNING:
        raise NotEntitled(f"The endpoint {endpoint.name} is stopped.", code="endpoint_stopped")


def _next_serial(replica: Replica) -> int:
    """Raise the serial by one in the database, so that two askers never share one."""
    while True:
        moved = Replica.objects.filter(pk=replica.pk, serial=replica.serial).update(
            serial=F("serial") + 1
        )
        if moved == 1:
            return replica.serial + 1
        replica.refresh_from_db(fields=["serial"])


def routes(*, now: datetime) -> dict[str, Any]:
    """Describe every endpoint for the gateway: keys, ended clauses, guards, replicas, permits."""
    endpoints = Endpoint.objects.select_related("checkpoint", "review", "organisation", "guard")
    keys = EndpointKey.objects.filter(revoked_at=None).exclude(expires_at__lte=now)
    ready = Replica.objects.filter(state__in=STARTED).exclude(url="").select_related("checkpoint")
    by_endpoint: dict[UUID, list[Replica]] = {}
    for replica in ready:
        by_endpoint.setdefault(replica.endpoint_id, []).append(replica)
    held, guards = list(keys), _guards_of([one for rows in by_endpoint.values() for one in rows])
    return {
        "generation": int(now.timestamp()),
        "endpoints": [
            _route(endpoint, held, by_endpoint.get(endpoint.pk, []), guards, now)
            for endpoint in endpoints
        ],
    }


def _guards_of(replicas: list[Replica]) -> Guards:
    """Read which guard each generation of these replicas was started behind."""
    made = Deployment.objects.filter(
        endpoint__in={one.endpoint_id for one in replicas},
        generation__in={one.generation for one in replicas},
    ).select_related("guard")
    return {(one.endpoint_id, one.generation): one.guard for one in made}


def _route(
    endpoint: Endpoint,
    keys: list[EndpointKey],
    replicas: list[Replica],
    guards: Guards,
    now: datetime,
) -> dict[str, Any]:
    right = entitlement(endpoint.review, endpoint.checkpoint, now)
    serves = isinstance(right, Entitled) and endpoint.desired == Endpoint.Desired.RUNNING
    serving = _serving(endpoint, replicas, guards) if serves else []
    checkpoint = serving[0].checkpoint if serving else endpoint.checkpoint
    guard = guards.get((endpoint.pk, serving[0].generation)) if serving else endpoint.guard
    if guard is not None and guard.retired_at is not None:
        serving = []
    return {
        "id": str(endpoint.pk),
        "name": endpoint.name,
        "org": endpoint.organisation.slug,
        "checkpoint": checkpoint.digest,
        "reasoning_policy": endpoint.reasoning_policy,
        "keys": [
            {
                "id": str(key.pk),
                "sha256": key.sha256,
                "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            }
            for key in keys
            if key.endpoint_id == endpoint.pk
            or (key.endpoint_id is None and key.organisation_id == endpoint.organisation_id)
        ],
        "ended": right.cause if isinstance(right, Ended) else None,
        "guard": {"digest": guard.digest, "document": guard.document} if guard else None,
        "replicas": [_replica_route(replica) for replica in serving],
    }


def _serving(endpoint: Endpoint, replicas: list[Replica], guards: Guards) -> list[Replica]:
    """Choose the replicas of one checkpoint: the wanted one once it is ready, else the one before.

    A route names one checkpoint and one guard, and the gateway takes no permit for another.
    """

    def pair(one: Replica) -> tuple[UUID, UUID | None]:
        guard = guards.get((one.endpoint_id, one.generation))
        return one.checkpoint_id, guard.pk if guard else None

    wanted = [one for one in replicas if pair(one) == (endpoint.checkpoint_id, endpoint.guard_id)]
    before = [one for one in replicas if one not in wanted]
    before_ready = [one for one in before if one.state == Replica.State.READY]
    if not before_ready or any(one.state == Replica.State.READY for one in wanted):
        return wanted
    last = max(before_ready, key=lambda one: one.generation)
    return [one for one in before if pair(one) == pair(last)]


def _replica_route(replica: Replica) -> dict[str, Any]:
    return {
        "id": str(replica.pk),
        "url": replica.url,
        "token": replica_token(str(replica.pk)),
        "permit": replica.permit or None,
    }
