"""Pass one request to a replica and its answer back, watching the right to serve all the while.

A stream goes through unchanged, event by event, and is cut between two events when the right
ends. An answer in one piece is held until it is whole, so that a refusal can still replace it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import httpx
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from inference import problem
from inference.contract import NotServing, ServingError
from inference.gateway.routes import Replica
from inference.guard.path import GuardedRequest
from inference.watch import Watch

NOT_SERVING: Final = 503
MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
PASSED_HEADERS: Final = ("content-type", "retry-after", "cache-control")
# A thought may take minutes before its first byte when it is not streamed: the permit, not a
# read timeout, decides how long to wait.
TIMEOUT: Final = httpx.Timeout(None, connect=2.0)

Check = Callable[[Replica], None]
OnCut = Callable[[ServingError], None]
log = logging.getLogger(__name__)


async def forward(
    client: httpx.AsyncClient,
    path: str,
    body: bytes,
    *,
    replicas: Sequence[Replica],
    check: Check,
    gone: Callable[[], Awaitable[bool]],
    on_cut: OnCut,
    on_done: Callable[[], None],
    guarded: GuardedRequest | None = None,
) -> Response:
    """Send the body to the first replica that accepts a connection; return its answer.

    `check(replica)` raises when the answer must not go on. `on_done` is called once, when the
    last byte is out or the request has failed. `guarded` has let the body pass; what comes back is
    for it to read.

    Raises: ServingError, ClientGone.
    """
    handed_over = False
    headers = {} if guarded is None else guarded.headers
    try:
        upstream, replica = await _connect(
            client, path, body, replicas, check=check, gone=gone, headers=headers
        )
        may_go_on = partial(check, replica)
        if not upstream.headers.get("content-type", "").startswith("text/event-stream"):
            whole = await _whole_answer(upstream, may_go_on, gone)
            if guarded is None:
                return whole
            async with Watch(may_go_on, gone=gone) as watch:
                return await watch.over(guarded.leave_whole(whole))
        stream = _Stream(upstream, may_go_on, on_cut, on_done)
        if guarded is not None:
            guarded.leave_stream(stream, may_go_on, on_cut)
        handed_over = True
        return stream
    finally:
        if not handed_over:
            on_done()


class _Stream(StreamingResponse):
    """A streamed answer that lets go of its source however it ends: also unread, or hung up on."""

    def __init__(
        self,
        upstream: httpx.Response,
        check: Callable[[], None],
        on_cut: OnCut,
        on_done: Callable[[], None],
    ) -> None:
        super().__init__(
            _events(upstream, check, on_cut),
            status_code=upstream.status_code,
            headers=_passed_headers(upstream),
        )
        self._upstream = upstream
        self._on_done = on_done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_done()
            await self._upstream.aclose()


async def _connect(
    client: httpx.AsyncClient,
    path: str,
    body: bytes,
    replicas: Sequence[Replica],
    *,
    check: Check,
    gone: Callable[[], Awaitable[bool]],
    headers: Mapping[str, str],
) -> tuple[httpx.Response, Replica]:
    for replica in replicas:
        request = client.build_request(
            "POST",
            replica.url + path,
            content=body,
            headers={
                "Authorization": f"Bearer {replica.token}",
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                **headers,
            },
            timeout=TIMEOUT,
        )
        try:
            sending = client.send(request, stream=True)
            async with Watch(partial(check, replica), gone=gone) as watch:
                upstream = await watch.over(sending)
            if upstream.status_code != NOT_SERVING or replica is replicas[-1]:
                return upstream, replica
            # Still loading, or without a permit: it has not begun, so another one may.
            await upstream.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            log.warning("replica %s cannot be reached: %s", replica.id, error)
        except httpx.HTTPError as error:
            # The request may have run: asking another replica could run it twice.
            raise NotServing("the replica broke off", retry_after=1) from error
    raise NotServing("no replica of this endpoint can be reached", retry_after=2)


async def _whole_answer(
    upstream: httpx.Response, check: Callable[[], None], gone: Callable[[], Awaitable[bool]]
) -> Response:
    try:
        async with Watch(check, gone=gone) as watch:
            whole = await watch.over(_read_all(upstream))
    except httpx.HTTPError as error:
        raise NotServing("the replica broke off", retry_after=1) from error
    finally:
        await upstream.aclose()
    headers = _passed_headers(upstream)
    return Response(whole, status_code=upstream.status_code, headers=headers)


def _passed_headers(upstream: httpx.Response) -> dict[str, str]:
    return {name: upstream.headers[name] for name in PASSED_HEADERS if name in upstream.headers}


async def _events(
    upstream: httpx.Response, check: Callable[[], None], on_cut: OnCut
) -> AsyncIterator[bytes]:
    """Yield whole events; end with an error event when the right to serve ends or the source does.

    The check comes last before each yield: nothing is given out on an old answer.
    """
    parts = upstream.aiter_raw()
    held = b""
    try:
        async with Watch(check) as watch:
            while part := await watch.over(_next_part(parts)):
                whole, mark, held = (held + part).rpartition(b"\n\n")
                if len(held) > MAX_EVENT_BYTES:
                    raise NotServing("the replica sent an event without end")
                if mark:
                    check()
                    yield whole + mark
    except ServingError as error:
        on_cut(error)
        yield problem.event(error)
    except httpx.HTTPError:
        broken = NotServing("the replica broke off")
        on_cut(broken)
        yield problem.event(broken)


async def _next_part(parts: AsyncIterator[bytes]) -> bytes:
    """Return the next bytes, none at the end."""
    try:
        return await anext(parts)
    except StopAsyncIteration:
        return b""


async def _read_all(upstream: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in upstream.aiter_raw():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise NotServing(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)
