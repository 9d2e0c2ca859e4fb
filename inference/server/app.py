"""One replica's HTTP API: OpenAI's shapes, health, metrics. Bearer is the replica's own token."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from inference import problem
from inference.body import bearer_token, parse_object, read_body
from inference.contract import UNMANAGED_HEADER, Json, KeyRefused, ServingError
from inference.server import answer
from inference.server.generate import Step, steps
from inference.server.runtime import Job, Runtime
from inference.watch import ClientGone

CLIENT_CLOSED: Final = 499
SSE: Final = "text/event-stream"
ENGINE_GAUGES: Final = {
    "queued": "Choices that wait for a slot",
    "running": "Choices that have a slot",
    "slots_total": "Slots for choices",
    "slots_used": "Slots taken",
}
Background = Callable[[], Awaitable[None]]


class RuntimeApi:
    """The handlers of one runtime; `token` None means that callers need none."""

    def __init__(self, runtime: Runtime, *, token: str | None) -> None:
        self.runtime = runtime
        self._token = token
        metrics, name = runtime.metrics, "lictor_runtime_"
        metrics.gauge(
            name + "permit_remaining_seconds",
            "Seconds until the serving permit runs out",
            lambda: runtime.lease.remaining_seconds,
        )
        metrics.gauge(
            name + "ready", "1 when the model is loaded and may serve", lambda: float(self._ready())
        )
        for field, text in ENGINE_GAUGES.items():
            metrics.gauge(name + field, text, partial(self._engine_stat, field))

    async def chat(self, request: Request) -> Response:
        """Serve POST /v1/chat/completions."""
        return await self._serve(request, self.runtime.chat_job)

    async def completion(self, request: Request) -> Response:
        """Serve POST /v1/completions."""
        return await self._serve(request, self.runtime.completion_job)

    async def models(self, request: Request) -> Response:
        self._authorise(request)
        self.runtime.lease.check()
        model = {"id": self.runtime.name, "object": "model", "created": 0, "owned_by": "lictor"}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
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

    def _engine_stat(self, field: str) -> float:
        model = self.runtime.model
        return 0.0 if model is None else float(getattr(model.engine.stats(), field))

    def _authorise(self, request: Request) -> None:
        if self._token is None:
            return
        given = bearer_token(request) or ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise KeyRefused("the replica's token is missing or wrong")

    async def _serve(self, request: Request, read: Callable[[Json], Job]) -> Response:
        try:
            self._authorise(request)
            job = read(parse_object(await read_body(request)))
            if job.fields.stream:
                return await _EventStream.opened(self._steps(job, None), job)
            return await self._whole(request, job)
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED)
        except ServingError as error:
            self.runtime.metrics.refused.labels(error.code).inc()
            raise

    async def _whole(self, request: Request, job: Job) -> Response:
        async for _step in self._steps(job, request.is_disconnected):
            pass
        choices = [run.choice for run in job.runs]
        shape = job.envelope.chat if job.is_chat else job.envelope.text
        return JSONResponse(shape(choices))

    async def _steps(
        self, job: Job, gone: Callable[[], Awaitable[bool]] | None
    ) -> AsyncIterator[Step]:
        """Pass the steps on and count them."""
        runtime, metrics = self.runtime, self.runtime.metrics
        model = runtime.loaded()
        started = time.monotonic()
        first = True
        async for step in steps(
            model.engine,
            job.runs,
            check=runtime.lease.check,
            gone=gone,
            text_of=model.format.text_of,
        ):
            if first:
                metrics.first_token_seconds.observe(time.monotonic() - started)
                first = False
            if step.last:
                metrics.requests.labels(step.choice.finish_reason).inc()
                metrics.generation_tokens.inc(step.choice.completion_tokens)
                metrics.reasoning_tokens.inc(step.choice.reasoning_tokens)
            yield step
        metrics.request_seconds.observe(time.monotonic() - started)


class _EventStream(StreamingResponse):
    """A stream of events that aborts its request however it ends.

    The first step is awaited before the status line goes out, so that a refusal is still a
    refusal and not the first event of a success.
    """

    def __init__(self, source: AsyncIterator[Step], first: Step | None, job: Job) -> None:
        super().__init__(_events(source, first, job), media_type=SSE)
        self.headers["Cache-Control"] = "no-store"
        self._source = source

    @classmethod
    async def opened(cls, source: AsyncIterator[Step], job: Job) -> "_EventStream":
        try:
            first: Step | None = await anext(source)
        except StopAsyncIteration:
            first = None
        return cls(source, first, job)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with suppress(RuntimeError):
                await self._source.aclose()  # type: ignore[attr-defined]


async def _events(
    source: AsyncIterator[Step], first: Step | None, job: Job
) -> AsyncIterator[bytes]:
    for run in job.runs if job.is_chat else ():
        opening = answer.chat_delta(run.choice.index, {"role": "assistant", "content": ""})
        yield answer.event(job.envelope.chat_chunk([opening]))
    try:
        if first is not None:
            yield b"".join(_step_events(first, job))
        async for step in source:
            if data := b"".join(_step_events(step, job)):
                yield data
    except ServingError as error:
        yield problem.event(error)
        return
    if job.fields.include_usage:
        shape = job.envelope.chat_chunk if job.is_chat else job.envelope.text_chunk
        yield answer.event(shape([], **job.envelope.closing([run.choice for run in job.runs])))
    yield b"data: [DONE]\n\n"


def _step_events(step: Step, job: Job) -> list[bytes]:
    return _chat_events(step, job) if job.is_chat else _text_events(step, job)


def _chat_events(step: Step, job: Job) -> list[bytes]:
    envelope, index = job.envelope, step.choice.index
    hide = envelope.setting is not None and envelope.setting.exclude
    shown = [d for d in step.deltas if not (hide and d.kind == "reasoning")]
    parts = [answer.chat_delta(index, answer.delta_json(delta)) for delta in shown]
    if step.logprobs:
        parts = parts or [answer.chat_delta(index, {})]
        parts[-1] |= answer.chat_delta(index, parts[-1]["delta"], logprobs=step.logprobs)
    events = [answer.event(envelope.chat_chunk([part])) for part in parts]
    if step.last:
        end = answer.chat_delta(index, {}, finish_reason=step.choice.finish_reason)
        ran = envelope.reasoning([step.choice])
        events.append(answer.event(envelope.chat_chunk([end], reasoning=ran)))
    return events


def _text_events(step: Step, job: Job) -> list[bytes]:
    text = "".join(delta.text for delta in step.deltas)
    if not (text or step.logprobs or step.last):
        return []
    part = answer.text_delta(
        step.choice.index,
        text,
        finish_reason=step.choice.finish_reason,
        logprobs=step.logprobs,
    )
    return [answer.event(job.envelope.text_chunk([part]))]


def build_runtime(
    runtime: Runtime, *, token: str | None, background: tuple[Background, ...] = ()
) -> Starlette:
    """Return the ASGI application; `background` runs for as long as it is up."""
    api = RuntimeApi(runtime, token=token)

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
        async def marked(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))  # type: ignore[call-overload]
                message["headers"] = [*headers, (UNMANAGED_HEADER.lower().encode(), b"true")]
            await send(message)

        await self._app(scope, receive, marked)  # type: ignore[arg-type]
