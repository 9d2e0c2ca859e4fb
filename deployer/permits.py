"""Issue serving permits: read the database afresh, then sign. Used by the permit issuer alone.

Nothing is cached: whether a replica may serve is asked of standing, approval and rows each time.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import F

from compliance.models import Review
from compliance.selectors import Ended, Entitled, entitlement
from deployer.domain.lifecycle import STARTED
from deployer.models import Deployment, Endpoint, EndpointKey, Replica
from deployer.tokens import replica_token
from inference.contract import ReasoningPolicy
from inference.permit import PermitClaims, sign
from registry.errors import NotEntitled, NotFound, StandingEnded
from registry.keys import private_key
from registry.ledger.chain import key_id, public_key_pem


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
    right = entitlement(_approval(replica), replica.checkpoint, now)
    if isinstance(right, Ended):
        detail = str(right.cause.get("detail", "The licence ended."))
        raise StandingEnded(detail, extra=dict(right.cause))
    if not isinstance(right, Entitled):
        raise NotEntitled(right.detail, code=right.code)
    _check_desired(endpoint, replica)
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
        ttl_seconds=settings.LICTOR_PERMIT_TTL_SECONDS,
    )
    key = private_key("permit")
    permit = sign(key, claims, key_id=key_id(key.public_key()))
    Replica.objects.filter(pk=replica.pk, serial=claims.serial).update(
        permit=permit, permit_issued_at=now
    )
    return permit


def _replica(pk: UUID) -> Replica:
    rows = Replica.objects.select_related("endpoint__review", "checkpoint", "endpoint__checkpoint")
    found: Replica | None = rows.filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no replica {pk}.")
    return found


def _approval(replica: Replica) -> Review | None:
    """Return the approval that this replica was started under.

    While an endpoint changes over, the old replicas serve on under the approval before.
    """
    endpoint = replica.endpoint
    if replica.generation == endpoint.generation:
        approved: Review = endpoint.review
        return approved
    made = Deployment.objects.filter(endpoint=endpoint, generation=replica.generation)
    deployment = made.select_related("review").first()
    return deployment.review if deployment else None


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
    """Describe every endpoint for the gateway: keys, ended clauses, ready replicas, permits."""
    endpoints = Endpoint.objects.select_related("checkpoint", "review", "organisation")
    keys = EndpointKey.objects.filter(revoked_at=None).exclude(expires_at__lte=now)
    ready = Replica.objects.filter(state__in=STARTED).exclude(url="").select_related("checkpoint")
    by_endpoint: dict[UUID, list[Replica]] = {}
    for replica in ready:
        by_endpoint.setdefault(replica.endpoint_id, []).append(replica)
    held = list(keys)
    return {
        "generation": int(now.timestamp()),
        "endpoints": [
            _route(endpoint, held, by_endpoint.get(endpoint.pk, []), now) for endpoint in endpoints
        ],
    }


def _route(
    endpoint: Endpoint, keys: list[EndpointKey], replicas: list[Replica], now: datetime
) -> dict[str, Any]:
    right = entitlement(endpoint.review, endpoint.checkpoint, now)
    serves = isinstance(right, Entitled) and endpoint.desired == Endpoint.Desired.RUNNING
    serving = _serving(endpoint, replicas) if serves else []
    checkpoint = serving[0].checkpoint if serving else endpoint.checkpoint
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
        "replicas": [_replica_route(replica) for replica in serving],
    }


def _serving(endpoint: Endpoint, replicas: list[Replica]) -> list[Replica]:
    """Choose the replicas of one checkpoint: the wanted one once it is ready, else the one before.

    A route names one checkpoint, and the gateway takes no permit for another.
    """
    wanted = [one for one in replicas if one.checkpoint_id == endpoint.checkpoint_id]
    before = [one for one in replicas if one.checkpoint_id != endpoint.checkpoint_id]
    before_ready = [one for one in before if one.state == Replica.State.READY]
    if not before_ready or any(one.state == Replica.State.READY for one in wanted):
        return wanted
    last = max(before_ready, key=lambda one: one.generation)
    return [one for one in before if one.checkpoint_id == last.checkpoint_id]


def _replica_route(replica: Replica) -> dict[str, Any]:
    return {
        "id": str(replica.pk),
        "url": replica.url,
        "token": replica_token(str(replica.pk)),
        "permit": replica.permit or None,
    }
