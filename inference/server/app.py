"""One replica's HTTP API: OpenAI's shapes, health, metrics. Bearer is the replica's own token."""

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference import problem
from inference.body import bearer_token, parse_object, read_body
from inference.contract import (
    GUARD_HEADER,
    UNMANAGED_HEADER,
    GuardBypassed,
    Json,
    KeyRefused,
    ServingError,
    TooBusy,
)
from inference.protocol import EngineStats
from inference.server.events import ChatEvents, TextEvents, Writer
from inference.server.generate import Step, steps
from inference.server.meter import metered
from inference.server.response_events import ResponseEvents
from inference.server.response_object import ResponseObject
from inference.server.responses import read_responses_job
from inference.server.runtime import Job, Runtime
from inference.server.stream import EventStream, caller_left
from inference.watch import ClientGone

CLIENT_CLOSED: Final = 499
MAX_QUEUED: Final = 1024
RETRY_SECONDS: Final = 2
UNMANAGED: Final = (UNMANAGED_HEADER.lower().encode(), b"true")
Background = Callable[[], Awaitable[None]]


class RuntimeApi:
    """The handlers of one runtime.

    `token` None means that callers need none; `max_queued` is how many choices may wait for a
    slot before new requests are refused with 429.
    """

    def __init__(self, runtime: Runtime, *, token: str | None, max_queued: int) -> None:
        self.runtime = runtime
        self._token = token
        self._max_queued = max_queued
        metrics = runtime.metrics
        metrics.gauge(
            "permit_remaining_seconds",
            "Seconds until the serving permit runs out",
            lambda: runtime.lease.remaining_seconds,
        )
        metrics.gauge(
            "ready", "1 when the model is loaded and may serve", lambda: float(self._ready())
        )
        metrics.watch_engine(self._engine_stats)

    async def chat(self, request: Request) -> Response:
        """Serve POST /v1/chat/completions."""

        def read(body: Json) -> tuple[Job, Writer]:
            job = self.runtime.chat_job(body)
            return job, ChatEvents(job)

        return await self._serve(request, read)

    async def response(self, request: Request) -> Response:
        """Serve POST /v1/responses."""

        def read(body: Json) -> tuple[Job, Writer]:
            job = read_responses_job(self.runtime, body)
            return job, ResponseEvents(ResponseObject(job, body))

        return await self._serve(request, read)

    async def completion(self, request: Request) -> Response:
        """Serve POST /v1/completions."""

        def read(body: Json) -> tuple[Job, Writer]:
            job = self.runtime.completion_job(body)
            return job, TextEvents(job)

        return await self._serve(request, read)

    async def models(self, request: Request) -> Response:
        self._authorise(request)
        self.runtime.lease.check()
        model = {"id": self.runtime.name, "object": "model", "created": 0, "owned_by": "lictor"}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _request: Request) -> Response:
        """Say that this process works; one whose engine broke is to be replaced."""
        model = self.runtime.model
        if model is not None and model.engine.health().state == "failed":
            self.runtime.loaded()
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Say whether requests would be served: permit, model and engine are there."""
        self.runtime.lease.check()
        self.runtime.loaded()
        return JSONResponse({"status": "ready"})

    async def metrics_page(self, _request: Request) -> Response:
        return self.runtime.metrics.page()

    def _ready(self) -> bool:
        try:
            self.runtime.lease.check()
            self.runtime.loaded()
        except ServingError:
            return False
        return True

    def _engine_stats(self) -> EngineStats:
        model = self.runtime.model
        return EngineStats() if model is None else model.engine.stats()

    def _authorise(self, request: Request) -> None:
        if self._token is None:
            return
        given = bearer_token(request) or ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise KeyRefused("the replica's token is missing or wrong")

    def _require_guard(self, request: Request) -> None:
        """Refuse a request that the guard of this replica's permit did not read.

        The header proves nothing by itself: only the gateway has the replica's token. It keeps a
        gateway that does not know of the guard, or of this one, from passing a request on.
        """
        lease = self.runtime.lease
        lease.check()
        if lease.managed and request.headers.get(GUARD_HEADER) != lease.guard:
            raise GuardBypassed(
                "this replica's permit names a guard, and the request was not read by it"
                if lease.guard
                else "this replica's permit names no guard, and the request was read by one"
            )

    async def _serve(
        self, request: Request, read: Callable[[Json], tuple[Job, Writer]]
    ) -> Response:
        try:
            self._authorise(request)
            self._require_guard(request)
            body = parse_object(await read_body(request))
            started = time.monotonic()
            self._refuse_if_full()
            # Rendering a long conversation takes a while; other streams must not wait for it.
            job, writer = await asyncio.to_thread(read, body)
            steps = self._steps(job, request, started)
            if job.fields.stream:
                return await EventStream.opened(steps, writer)
            async for _step in steps:
                pass
            return JSONResponse(writer.whole())
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED)
        except ServingError as error:
            self.runtime.metrics.refused.labels(error.code).inc()
            raise

    def _refuse_if_full(self) -> None:
        """Bound the engine's queue: who would wait too long is told at once to come back."""
        model = self.runtime.model
        if model is not None and model.engine.stats().queued >= self._max_queued:
            raise TooBusy(
                f"{self._max_queued} choices are waiting already; try again shortly",
                retry_after=RETRY_SECONDS,
            )

    def _steps(self, job: Job, request: Request, started: float) -> AsyncGenerator[Step, None]:
        model = self.runtime.loaded()
        running = steps(
            model.engine,
            job.runs,
            check=self.runtime.lease.check,
            gone=partial(caller_left, request.receive),
            text_of=model.format.text_of,
        )
        return metered(running, job.runs, metrics=self.runtime.metrics, started=started)


def build_runtime(
    runtime: Runtime,
    *,
    token: str | None,
    background: tuple[Background, ...] = (),
    max_queued: int = MAX_QUEUED,
) -> Starlette:
    """Return the ASGI application; `background` runs for as long as it is up."""
    api = RuntimeApi(runtime, token=token, max_queued=max_queued)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(work()) for work in background]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/responses", api.response, methods=["POST"]),
            Route("/v1/completions", api.completion, methods=["POST"]),
            Route("/v1/models", api.models),
            Route("/healthz", api.health),
            Route("/readyz", api.ready),
            Route("/metrics", api.metrics_page),
        ],
        exception_handlers=problem.HANDLERS,
        lifespan=lifespan,
    )
    if not runtime.lease.managed:
        app.add_middleware(_SaysUnmanaged)
    return app


class _SaysUnmanaged:
    """Mark every answer of a runtime that nobody governs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def marked(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), UNMANAGED]
            return send(message)

        await self._app(scope, receive, marked)
