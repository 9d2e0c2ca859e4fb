"""Send one answer's events as they come, and let go of their source however that ends."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inference.contract import ServingError
from inference.server.events import Writer
from inference.server.generate import Step
from inference.watch import ClientGone

SSE: Final = "text/event-stream"


class EventStream(Response):
    """A stream of events that aborts its request however it ends.

    The first step is awaited before the status line goes out, so that a refusal is still a
    refusal and not the first event of a success. The source watches the caller: to be sent to is
    how a caller that left is not noticed.
    """

    def __init__(
        self, source: AsyncGenerator[Step, None], first: Step | None, writer: Writer
    ) -> None:
        super().__init__(media_type=SSE, headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._source = source
        self._first = first
        self._writer = writer

    @classmethod
    async def opened(cls, source: AsyncGenerator[Step, None], writer: Writer) -> "EventStream":
        """Raises: ServingError and ClientGone, when the first step does not come."""
        try:
            first: Step | None = await anext(source)
        except StopAsyncIteration:
            first = None
        return cls(source, first, writer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for data in self._events():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (ClientGone, OSError):
            return
        finally:
            with suppress(RuntimeError):
                await self._source.aclose()

    async def _events(self) -> AsyncIterator[bytes]:
        writer = self._writer
        try:
            yield writer.opening() + (b"" if self._first is None else writer.step(self._first))
            async for step in self._source:
                if data := writer.step(step):
                    yield data
        except ServingError as error:
            yield writer.fault(error)
            return
        yield writer.closing()


async def caller_left(receive: Receive) -> bool:
    """Return, true, when the caller hangs up; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return True
