"""The gateway's picture of the world: endpoints, keys, replicas and their permits.

Loaded from the issuer's `GET /routes`; believed for as long as a permit lives, counted from the
moment the question was sent, and not a moment longer. Knows nothing about HTTP.
"""

import hashlib
import itertools
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from inference.contract import (
    PERMIT_TTL_SECONDS,
    EndpointUnknown,
    Json,
    KeyRefused,
    NotServing,
    OutOfScope,
    PermitOutdated,
    PermitRefused,
    StandingEnded,
)
from inference.permit import Clock, KeySet, PermitHolder, suspend_aware_clock
from registry.artifact.guard import Guard, read_guard
from registry.errors import BadInput

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replica:
    id: str
    url: str
    token: str = field(repr=False)
    holder: PermitHolder = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint; `keys` maps the hex SHA-256 of a key to its expiry (unix seconds, or None).

    `guard` None: nothing is read. A guard that could not be understood leaves no replicas.
    """

    id: str
    name: str
    org: str
    checkpoint: str
    keys: Mapping[str, float | None] = field(repr=False)
    ended: Json | None
    replicas: tuple[Replica, ...]
    guard: Guard | None = field(default=None, repr=False)

    @property
    def guard_digest(self) -> str | None:
        return None if self.guard is None else self.guard.digest

    def opens_to(self, key_digest: str, now: float) -> bool:
        if key_digest not in self.keys:
            return False
        expires_at = self.keys[key_digest]
        return expires_at is None or now < expires_at


class RouteTable:
    """Answer who may call what, and which replica may serve it now.

    Laws: nothing is answered when the last successful load is `ttl` old; a replica is offered
    only while its own permit is fresh and names the guard that the endpoint has, or none when it
    has none; an endpoint with `ended` is never offered.
    """

    def __init__(
        self,
        *,
        clock: Clock = suspend_aware_clock,
        wall_clock: Clock = time.time,
        ttl_seconds: float = PERMIT_TTL_SECONDS,
    ) -> None:
        self.clock = clock
        self.wall_clock = wall_clock
        self.ttl_seconds = ttl_seconds
        self.generation = -1
        self._endpoints: dict[str, Endpoint] = {}
        self._loaded_at = float("-inf")
        # Never pruned: a replica that goes and comes back must not get an old serial accepted.
        self._holders: dict[str, PermitHolder] = {}
        self._turn = itertools.count()

    def load(
        self, body: object, sent_at: float, *, keys: KeySet, issuer_now: float | None = None
    ) -> list[str]:
        """Replace the picture; return what was left out and why.

        A single bad endpoint is left out, so that it cannot keep the others from ending.

        Raises: ValueError if the body is no route list at all.
        """
        entries = body.get("endpoints") if isinstance(body, dict) else None
        if not isinstance(entries, list):
            raise ValueError("the issuer's routes are not {'endpoints': [...]}")
        faults: list[str] = []
        fresh: dict[str, Endpoint] = {}
        for entry in entries:
            try:
                endpoint = self._endpoint(entry, sent_at, keys, issuer_now, faults)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                faults.append(f"endpoint left out: {error!r}")
                continue
            fresh[endpoint.id] = endpoint
        self._endpoints = fresh
        self._loaded_at = min(sent_at, self.clock())
        self.generation = int(body.get("generation", -1)) if isinstance(body, dict) else -1
        return faults

    @property
    def age_seconds(self) -> float:
        """Seconds since the last successful load was asked for."""
        return self.clock() - self._loaded_at

    @property
    def is_fresh(self) -> bool:
        return self.age_seconds < self.ttl_seconds

    def require_fresh(self) -> None:
        if not self.is_fresh:
            raise NotServing(
                f"the control plane has not answered for over {self.ttl_seconds} s; "
                "nothing is served without it",
                retry_after=2,
            )

    def identify(self, key: str | None) -> str:
        """Return the digest of a key that opens at least one endpoint.

        Raises: NotServing, KeyRefused.
        """
        self.require_fresh()
        digest = hashlib.sha256((key or "").encode()).hexdigest()
        if key is None or not self.visible_to(digest):
            raise KeyRefused("the API key is missing, unknown or expired")
        return digest

    def visible_to(self, key_digest: str) -> list[Endpoint]:
        now = self.wall_clock()
        return [e for e in self._endpoints.values() if e.opens_to(key_digest, now)]

    def endpoint(self, name: str, key_digest: str) -> Endpoint:
        """Return the endpoint of this name that the key opens, if it may serve.

        Raises: EndpointUnknown, OutOfScope, StandingEnded.
        """
        named = [e for e in self._endpoints.values() if e.name == name]
        if not named:
            raise EndpointUnknown(f"there is no endpoint named {name!r}", param="model")
        now = self.wall_clock()
        opened = [e for e in named if e.opens_to(key_digest, now)]
        if not opened:
            raise OutOfScope(f"this API key does not open endpoint {name!r}", param="model")
        if opened[0].ended is not None:
            raise StandingEnded(opened[0].ended)
        return opened[0]

    def ready_replicas(self, endpoint: Endpoint) -> list[Replica]:
        """Return the replicas with a fresh permit, each call beginning with another one.

        Raises: NotServing if there is none.
        """
        ready = [r for r in endpoint.replicas if _holds_permit(r, endpoint)]
        if not ready:
            raise NotServing(f"no replica of endpoint {endpoint.name!r} is ready", retry_after=2)
        start = next(self._turn) % len(ready)
        return ready[start:] + ready[:start]

    def check(self, begun: Endpoint, key_digest: str, replica: Replica | None = None) -> None:
        """Confirm that a request may go on: as it `begun`, and on that replica if it has one.

        Raises: StandingEnded, KeyRefused, NotServing.
        """
        endpoint = self._endpoints.get(begun.id)
        if endpoint is not None and endpoint.ended is not None:
            raise StandingEnded(endpoint.ended)
        self.require_fresh()
        if endpoint is None:
            raise NotServing("the endpoint was withdrawn")
        if not endpoint.opens_to(key_digest, self.wall_clock()):
            raise KeyRefused("the API key was withdrawn or expired")
        if endpoint.guard_digest != begun.guard_digest:
            raise NotServing("the endpoint's guard was changed; ask again", retry_after=1)
        if replica is not None and replica.holder.current().guard != endpoint.guard_digest:
            raise NotServing("the replica's permit names another guard", retry_after=2)

    def counts(self) -> Iterator[tuple[str, int]]:
        """Yield each endpoint's name and its number of ready replicas."""
        for endpoint in self._endpoints.values():
            yield endpoint.name, sum(_holds_permit(r, endpoint) for r in endpoint.replicas)

    def _endpoint(
        self,
        entry: Mapping[str, Any],
        sent_at: float,
        keys: KeySet,
        issuer_now: float | None,
        faults: list[str],
    ) -> Endpoint:
        ended = entry["ended"]
        if ended is not None and not isinstance(ended, dict):
            raise ValueError("'ended' is neither null nor a problem body")
        endpoint = Endpoint(
            id=str(entry["id"]),
            name=str(entry["name"]),
            org=str(entry["org"]),
            checkpoint=str(entry["checkpoint"]),
            keys={str(k["sha256"]).lower(): _instant(k["expires_at"]) for k in entry["keys"]},
            ended=ended,
            replicas=tuple(self._replica(r) for r in entry["replicas"]),
        )
        try:
            endpoint = replace(
                endpoint, guard=_guard(entry.get("guard"), self._endpoints.get(endpoint.id))
            )
        except (BadInput, KeyError, TypeError, ValueError) as error:
            # It may still end, and say why; but nothing is served past a guard that is not known.
            faults.append(f"endpoint {endpoint.name}: its guard cannot be used: {error}")
            return replace(endpoint, replicas=())
        for replica, route in zip(endpoint.replicas, entry["replicas"], strict=True):
            replica.holder.keys = keys
            replica.holder.checkpoint = endpoint.checkpoint
            try:
                _take_permit(replica.holder, route.get("permit"), endpoint.id, sent_at, issuer_now)
            except PermitRefused as error:
                faults.append(f"replica {replica.id}: {error.detail}")
        return endpoint

    def _replica(self, route: Mapping[str, Any]) -> Replica:
        replica_id = str(route["id"])
        holder = self._holders.get(replica_id)
        if holder is None:
            holder = self._holders[replica_id] = PermitHolder(replica_id, clock=self.clock)
        return Replica(replica_id, str(route["url"]).rstrip("/"), str(route["token"]), holder)


def _take_permit(
    holder: PermitHolder,
    token: str | None,
    endpoint_id: str,
    sent_at: float,
    issuer_now: float | None,
) -> None:
    if token is None:
        holder.drop()
        return
    try:
        claims = holder.store(token, sent_at, issuer_now=issuer_now)
    except PermitOutdated:
        # The replica has not renewed since the last look: nothing new, nothing extended.
        return
    if claims.endpoint != endpoint_id:
        holder.drop()
        raise PermitRefused(f"its permit is for endpoint {claims.endpoint}, not {endpoint_id}")


def _holds_permit(replica: Replica, endpoint: Endpoint) -> bool:
    try:
        return replica.holder.current().guard == endpoint.guard_digest
    except PermitRefused:
        return False


def _guard(route: Mapping[str, Any] | None, before: Endpoint | None) -> Guard | None:
    """Read the guard of a route; one that is as it was a second ago is not read again.

    Raises: BadInput, KeyError, TypeError, ValueError.
    """
    if route is None:
        return None
    known = None if before is None else before.guard
    is_same = known is not None and known.document == route["document"]
    guard = known if known is not None and is_same else read_guard(route["document"])
    if guard.digest != route["digest"]:
        raise ValueError(f"it is {guard.digest}, not {route['digest']}")
    return guard


def _instant(value: object) -> float | None:
    """Read an expiry as unix seconds; ISO 8601 without an offset is UTC."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    moment = datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
