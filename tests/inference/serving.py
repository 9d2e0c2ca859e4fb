"""Run ASGI applications on ephemeral ports of this machine, inside the test's event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.applications import Starlette

from inference.chat.format import ChatFormat
from inference.gateway.app import GatewaySettings, build_gateway
from inference.metrics import RuntimeMetrics
from inference.permit import PermitHolder
from inference.server.app import build_runtime
from inference.server.lease import IssuedLease, Unmanaged
from inference.server.runtime import Model, Runtime
from tests.inference import tiny
from tests.inference.fake_engine import FakeEngine
from tests.inference.fake_issuer import CHECKPOINT, GATEWAY_TOKEN, REPLICA_TOKEN

CONTEXT_TOKENS = 2048


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """Serve `app`; give its base URL."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()


@asynccontextmanager
async def managed_runtime(
    engine: FakeEngine,
    issuer_url: str,
    *,
    endpoint: str = "assistant",
    form: ChatFormat | None = None,
    every_seconds: float = 0.1,
) -> AsyncIterator[str]:
    """Serve a runtime that renews its permit from `issuer_url`."""
    async with httpx.AsyncClient(base_url=issuer_url) as issuer:
        metrics = RuntimeMetrics()
        lease = IssuedLease(
            PermitHolder(f"{endpoint}-replica", checkpoint=CHECKPOINT),
            issuer=issuer,
            token=REPLICA_TOKEN,
            metrics=metrics,
            every_seconds=every_seconds,
        )
        runtime = Runtime(lease=lease, name="folder", metrics=metrics)
        runtime.model = Model(engine, form or tiny.chat_format(), CONTEXT_TOKENS)
        await lease.renew()
        async with served(
            build_runtime(runtime, token=REPLICA_TOKEN, background=(lease.run,))
        ) as url:
            yield url


@asynccontextmanager
async def unmanaged_runtime(
    engine: FakeEngine, form: ChatFormat | None = None
) -> AsyncIterator[str]:
    runtime = Runtime(lease=Unmanaged(), name="nano", metrics=RuntimeMetrics())
    runtime.model = Model(engine, form or tiny.chat_format(), CONTEXT_TOKENS)
    async with served(build_runtime(runtime, token=None)) as url:
        yield url


@asynccontextmanager
async def gateway(issuer_url: str, **more: int) -> AsyncIterator[str]:
    """Serve a gateway that has loaded its routes at least once."""
    settings = GatewaySettings(issuer_url, GATEWAY_TOKEN, refresh_seconds=0.1, **more)
    async with served(build_gateway(settings)) as url, httpx.AsyncClient() as client:
        for _ in range(100):
            if (await client.get(url + "/readyz")).status_code == 200:
                break
            await asyncio.sleep(0.02)
        yield url


async def until(fact: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a fact to hold.

    Raises: TimeoutError.
    """
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.01)
