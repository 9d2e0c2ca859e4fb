"""Keep one replica's serving permit alive, or lose it: the runtime's side of the permit.

Each second the issuer is asked again. Its 451 is kept as the reason; its silence is covered for
as long as the held permit lasts, and no longer.
"""

import asyncio
import logging
import random
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import httpx

from inference import hints
from inference.contract import (
    RENEW_EVERY_SECONDS,
    Json,
    PermitInvalid,
    PermitRefused,
    ReasoningPolicy,
    RenewRequest,
    StandingEnded,
)
from inference.metrics import RuntimeMetrics
from inference.permit import PermitHolder, read_keys

TIMEOUT: Final = httpx.Timeout(2.0)
State = Literal["ready", "loading", "draining"]
log = logging.getLogger(__name__)


class Lease(Protocol):
    """The right to serve, as the API sees it."""

    @property
    def managed(self) -> bool: ...

    def check(self) -> None:
        """Return if serving is allowed now.

        Raises: StandingEnded, PermitRefused.
        """
        ...

    @property
    def policy(self) -> ReasoningPolicy: ...

    @property
    def name(self) -> str | None:
        """Name under which this replica serves; None: any."""
        ...

    @property
    def guard(self) -> str | None:
        """Digest of the guard that must have read each request; None: there is none."""
        ...

    @property
    def remaining_seconds(self) -> float: ...


@dataclass(frozen=True)
class Unmanaged:
    """No permit, because the operator of this one process said so on its command line."""

    managed: bool = False
    policy: ReasoningPolicy = field(default_factory=ReasoningPolicy)
    name: str | None = None
    guard: str | None = None
    remaining_seconds: float = 0.0

    def check(self) -> None:
        return


class IssuedLease:
    """A lease renewed from the issuer.

    Laws: `check` passes only while a verified permit is fresh; after a 451 it refuses at once and
    until a *higher* serial arrives; an unreachable issuer never extends anything.
    """

    managed = True

    def __init__(
        self,
        holder: PermitHolder,
        *,
        issuer: httpx.AsyncClient,
        token: str,
        metrics: RuntimeMetrics,
        every_seconds: float = RENEW_EVERY_SECONDS,
    ) -> None:
        self.holder = holder
        self.state: State = "loading"
        self.wake = asyncio.Event()
        self._issuer = issuer
        self._token = token
        self._metrics = metrics
        self._every_seconds = every_seconds
        self._ended: Json | None = None
        self._last_fault = ""

    def check(self) -> None:
        if self._ended is not None:
            raise StandingEnded(self._ended)
        self.holder.current()

    @property
    def policy(self) -> ReasoningPolicy:
        return self.holder.current().reasoning_policy

    @property
    def name(self) -> str | None:
        return self.holder.current().endpoint_name

    @property
    def guard(self) -> str | None:
        return self.holder.current().guard

    @property
    def remaining_seconds(self) -> float:
        return self.holder.remaining_seconds

    async def run(self) -> None:
        while True:
            await self.renew()
            # Jitter, so that the replicas of one host do not ask in step.
            await hints.wait(self.wake, self._every_seconds * random.uniform(0.9, 1.1))  # noqa: S311

    async def renew(self) -> None:
        """Ask once; on any failure the held permit simply grows old."""
        try:
            outcome = await self._renew()
        except (httpx.HTTPError, ValueError, PermitRefused) as error:
            outcome = "failed"
            self._tell(f"permit not renewed: {error!r}")
        self._metrics.permit_renewals.labels(outcome).inc()

    async def _renew(self) -> str:
        if not self.holder.keys:
            await self._fetch_keys()
        sent_at = self.holder.clock()
        body: RenewRequest = {
            "replica": self.holder.audience,
            "checkpoint": str(self.holder.checkpoint),
            "state": self.state,
        }
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = await self._issuer.post(
            "/permits/renew", json=body, headers=headers, timeout=TIMEOUT
        )
        if answer.status_code in (403, 404, 451):
            return self._refused(answer)
        token = answer.raise_for_status().json()["permit"]
        await self._store(str(token), sent_at)
        self._ended = None
        self._tell("")
        return "ok"

    async def _store(self, token: str, sent_at: float) -> None:
        try:
            self.holder.store(token, sent_at)
        except PermitInvalid:
            # Perhaps signed with a key published since: ask for the keys once and try again.
            await self._fetch_keys()
            self.holder.store(token, sent_at)

    def _refused(self, answer: httpx.Response) -> str:
        self.holder.drop()
        if answer.status_code == 451:
            body = answer.json()
            self._ended = body if isinstance(body, dict) else {}
        self._tell(f"the issuer refused a permit: HTTP {answer.status_code} {answer.text[:300]}")
        return "ended" if answer.status_code == 451 else "refused"

    async def _fetch_keys(self) -> None:
        answer = await self._issuer.get("/keys", timeout=TIMEOUT)
        self.holder.keys = read_keys(answer.raise_for_status().json())

    def _tell(self, fault: str) -> None:
        if fault and fault != self._last_fault:
            log.warning("%s", fault)
        self._last_fault = fault
