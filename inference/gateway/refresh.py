"""Ask the issuer for routes every second, sooner on a hint; what fails simply grows old."""

import asyncio
import logging
import random
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from inference import hints
from inference.contract import RENEW_EVERY_SECONDS, PermitRefused
from inference.gateway.routes import RouteTable
from inference.metrics import GatewayMetrics
from inference.permit import read_keys

TIMEOUT: Final = httpx.Timeout(2.0)
KEYS_EVERY_REFRESHES: Final = 30
log = logging.getLogger(__name__)


class Refresher:
    """Keep one RouteTable up to date."""

    def __init__(
        self,
        table: RouteTable,
        *,
        issuer: httpx.AsyncClient,
        token: str,
        metrics: GatewayMetrics,
        every_seconds: float = RENEW_EVERY_SECONDS,
    ) -> None:
        self.table = table
        self.wake = asyncio.Event()
        self._issuer = issuer
        self._token = token
        self._metrics = metrics
        self._every_seconds = every_seconds
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._keys_due = 0
        self._last_fault = ""

    async def run(self) -> None:
        while True:
            await self.refresh()
            # Jitter, so that many gateways do not ask in step.
            await hints.wait(self.wake, self._every_seconds * random.uniform(0.9, 1.1))  # noqa: S311

    async def refresh(self) -> None:
        """Ask once; on any failure leave the table to its age."""
        try:
            await self._refresh()
        except (httpx.HTTPError, ValueError, PermitRefused) as error:
            self._metrics.refreshes.labels("failed").inc()
            self._tell(f"routes not refreshed: {error!r}")

    async def _refresh(self) -> None:
        if self._keys_due <= 0:
            answer = await self._issuer.get("/keys", timeout=TIMEOUT)
            self._keys = read_keys(answer.raise_for_status().json())
            self._keys_due = KEYS_EVERY_REFRESHES
        sent_at = self.table.clock()
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = await self._issuer.get("/routes", headers=headers, timeout=TIMEOUT)
        faults = self.table.load(
            answer.raise_for_status().json(),
            sent_at,
            keys=self._keys,
            issuer_now=_issuer_now(answer),
        )
        self._metrics.refreshes.labels("ok").inc()
        # A permit that does not verify may be signed with a key published since: look next time.
        self._keys_due = 0 if faults else self._keys_due - 1
        self._tell("; ".join(faults))

    def _tell(self, fault: str) -> None:
        if fault and fault != self._last_fault:
            log.warning("%s", fault)
        self._last_fault = fault


def _issuer_now(answer: httpx.Response) -> float | None:
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
