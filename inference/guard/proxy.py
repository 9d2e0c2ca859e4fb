"""A guard alone in front of one OpenAI-compatible server, without a control plane.

For measuring what a guard does and for trying one out. It asks for no permit, and says so on
each answer; a managed endpoint has its guard inside the gateway.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inference import problem
from inference.body import parse_object, read_body
from inference.contract import UNMANAGED_HEADER, NotServing, ServingError
from inference.gateway.app import CLIENT_CLOSED, SERVED_PATHS
from inference.gateway.proxy import forward
from inference.gateway.routes import Replica
from inference.guard.path import GuardedRequest
from inference.guard.stages import GuardRunner
from inference.permit import PermitHolder
from inference.watch import ClientGone
from registry.artifact.guard import Guard


class GuardProxy:
    """The handlers; `token` is sent to the upstream as its bearer token."""

    def __init__(self, guard: Guard, upstream: str, token: str) -> None:
        self._guard = guard
        self._upstream = Replica("upstream", upstream.rstrip("/"), token, PermitHolder("upstream"))
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
            self._client = client
            yield

    async def complete(self, request: Request) -> Response:
        """Serve a POST to one of the paths that a gateway serves."""
        try:
            answer = await self._complete(request)
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED)
        except ServingError as error:
            answer = problem.answer(error)
        answer.headers[UNMANAGED_HEADER] = "true"
        return answer

    async def _complete(self, request: Request) -> Response:
        body = await read_body(request)
        path = request.url.path
        runner = GuardRunner(self._guard, self._started())
        guarded = GuardedRequest(runner, path, parse_object(body), on_withheld=lambda _side: None)
        refusal = await guarded.enter()
        if refusal is not None:
            return refusal
        return await forward(
            self._started(),
            path,
            body,
            replicas=[self._upstream],
            check=lambda _replica: None,
            gone=request.is_disconnected,
            on_cut=lambda _error: None,
            on_done=lambda: None,
            guarded=guarded,
        )

    async def passed(self, request: Request) -> Response:
        """Pass on what holds no text of a caller: the list of models, and readiness."""
        try:
            answer = await self._started().get(
                self._upstream.url + request.url.path,
                headers={"Authorization": f"Bearer {self._upstream.token}"},
            )
        except httpx.HTTPError as error:
            raise NotServing("the server behind the guard cannot be reached") from error
        kind = answer.headers.get("content-type")
        return Response(answer.content, status_code=answer.status_code, media_type=kind)

    def _started(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("the proxy was not started")
        return self._client


def build_guard_proxy(guard: Guard, upstream: str, *, token: str = "none") -> Starlette:  # noqa: S107
    """Return the ASGI application."""
    proxy = GuardProxy(guard, upstream, token)
    return Starlette(
        routes=[
            *(Route(path, proxy.complete, methods=["POST"]) for path in SERVED_PATHS),
            Route("/v1/models", proxy.passed),
            Route("/readyz", proxy.passed),
        ],
        exception_handlers=problem.HANDLERS,
        lifespan=proxy.lifespan,
    )
