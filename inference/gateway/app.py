"""The gateway: key -> endpoint -> guard -> ready replica, streamed through. No Django, no model.

The endpoint's reasoning policy is inside the replica's permit, where the runtime applies it: no
field of a request can widen it here, because this door does not read them. An endpoint's guard
is its route's, which must be the one that the replica's permit names.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inference import hints, problem
from inference.body import bearer_token, parse_object, read_body
from inference.contract import GuardFailed, Json, RequestRefused, ServingError, TooBusy
from inference.gateway.proxy import forward
from inference.gateway.refresh import Refresher
from inference.gateway.routes import Endpoint, Replica, RouteTable
from inference.guard.path import GuardedRequest
from inference.guard.stages import GuardRunner, Side
from inference.metrics import GatewayMetrics
from inference.watch import ClientGone, Watch

CLIENT_CLOSED: Final = 499
SERVED_PATHS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/completions")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """`max_running` is the number of requests one endpoint may have under way at once."""

    issuer_url: str
    token: str
    hints_url: str | None = None
    max_running: int = 64
    refresh_seconds: float = 1.0


class Gateway:
    """The handlers, and the state they share."""

    def __init__(self, settings: GatewaySettings, table: RouteTable) -> None:
        self.settings = settings
        self.table = table
        self.metrics = GatewayMetrics()
        self.running: Counter[str] = Counter()
        self._client: httpx.AsyncClient | None = None
        self.metrics.gauge(
            "route_age_seconds",
            "Seconds since routes were last asked for with success",
            lambda: min(table.age_seconds, 1e9),
        )
        self.metrics.gauge(
            "ready_replicas",
            "Replicas with a fresh permit",
            lambda: sum(count for _, count in table.counts()),
        )
        self.metrics.gauge("running_requests", "Requests under way", lambda: self.running.total())

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with AsyncExitStack() as stack:
            # Neither proxies nor netrc of the environment may see keys or change where we ask.
            issuer = await stack.enter_async_context(
                httpx.AsyncClient(base_url=self.settings.issuer_url, trust_env=False)
            )
            self._client = await stack.enter_async_context(
                httpx.AsyncClient(limits=limits, trust_env=False)
            )
            refresher = Refresher(
                self.table,
                issuer=issuer,
                token=self.settings.token,
                metrics=self.metrics,
                every_seconds=self.settings.refresh_seconds,
            )
            tasks = [asyncio.create_task(refresher.run())]
            if self.settings.hints_url:
                listening = hints.listen(self.settings.hints_url, refresher.wake)
                tasks.append(asyncio.create_task(listening))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    async def complete(self, request: Request) -> Response:
        """Serve a POST to one of `SERVED_PATHS`."""
        name = "-"
        try:
            key_digest = self.table.identify(bearer_token(request))
            body = await read_body(request)
            asked = parse_object(body)
            endpoint = self.table.endpoint(_model_of(asked), key_digest)
            name = endpoint.name
            self._refuse_if_full(endpoint)
            guarded = self._guarded(endpoint, request.url.path, asked)
            response = await self._pass_on(request, endpoint, key_digest, body, guarded)
        except ClientGone:
            response = Response(status_code=CLIENT_CLOSED)
        except ServingError as error:
            self._count_guard_failure(name, error)
            response = problem.answer(error)
        self.metrics.requests.labels(name, str(response.status_code)).inc()
        return response

    def _refuse_if_full(self, endpoint: Endpoint) -> None:
        if self.running[endpoint.id] >= self.settings.max_running:
            raise TooBusy(
                f"endpoint {endpoint.name!r} has {self.settings.max_running} requests under way; "
                "try again shortly",
                retry_after=1,
            )

    def _guarded(self, endpoint: Endpoint, path: str, asked: Json) -> GuardedRequest | None:
        if endpoint.guard is None:
            return None

        def on_withheld(side: Side) -> None:
            self.metrics.withheld.labels(endpoint.name, side).inc()

        runner = GuardRunner(endpoint.guard, self._started_client())
        return GuardedRequest(runner, path, asked, on_withheld=on_withheld)

    def _count_guard_failure(self, name: str, error: ServingError) -> None:
        if isinstance(error, GuardFailed):
            self.metrics.guard_failures.labels(name).inc()

    def _started_client(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("the gateway was not started")
        return self._client

    async def _pass_on(
        self,
        request: Request,
        endpoint: Endpoint,
        key_digest: str,
        body: bytes,
        guarded: GuardedRequest | None,
    ) -> Response:
        def check(replica: Replica | None = None) -> None:
            self.table.check(endpoint, key_digest, replica)

        def on_cut(error: ServingError) -> None:
            self._count_guard_failure(endpoint.name, error)
            self.metrics.cut_streams.labels(endpoint.name, error.code).inc()

        def on_done() -> None:
            self.running[endpoint.id] -= 1

        self.running[endpoint.id] += 1
        handed_over = False
        try:
            if guarded is not None:
                async with Watch(check, gone=request.is_disconnected) as watch:
                    refusal = await watch.over(guarded.enter())
                if refusal is not None:
                    return refusal
            # Only now: a guard may think for long, and replicas come and go.
            replicas = self.table.ready_replicas(endpoint)
            handed_over = True
            return await forward(
                self._started_client(),
                request.url.path,
                body,
                replicas=replicas,
                check=check,
                gone=request.is_disconnected,
                on_cut=on_cut,
                on_done=on_done,
                guarded=guarded,
            )
        finally:
            if not handed_over:
                on_done()

    async def models(self, request: Request) -> Response:
        """List the endpoints this key opens; those that ended are not offered."""
        key_digest = self.table.identify(bearer_token(request))
        listed = [
            {
                "id": endpoint.name,
                "object": "model",
                "created": 0,
                "owned_by": endpoint.org,
                "checkpoint": endpoint.checkpoint,
            }
            for endpoint in self.table.visible_to(key_digest)
            if endpoint.ended is None
        ]
        return JSONResponse({"object": "list", "data": sorted(listed, key=lambda m: str(m["id"]))})

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        self.table.require_fresh()
        return JSONResponse({"status": "ready", "generation": self.table.generation})

    async def metrics_page(self, _request: Request) -> Response:
        return self.metrics.page()


def build_gateway(settings: GatewaySettings, *, table: RouteTable | None = None) -> Starlette:
    """Return the ASGI application; its lifespan polls the issuer."""
    gateway = Gateway(settings, table or RouteTable())
    return Starlette(
        routes=[
            *(Route(path, gateway.complete, methods=["POST"]) for path in SERVED_PATHS),
            Route("/v1/models", gateway.models),
            Route("/healthz", gateway.health),
            Route("/readyz", gateway.ready),
            Route("/metrics", gateway.metrics_page),
        ],
        exception_handlers=problem.HANDLERS,
        lifespan=gateway.lifespan,
    )


def _model_of(asked: Json) -> str:
    model = asked.get("model")
    if not isinstance(model, str) or not model:
        raise RequestRefused("model must name an endpoint", param="model")
    return model
