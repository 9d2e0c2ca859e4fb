"""Put a guard in the way of one request: its words before they go in, the answer as it comes out.

An answer in one piece is read whole. A stream is held back by the guard's window (see `hold`);
its right to be served is looked at again before each part goes out.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final, cast

from starlette.responses import Response, StreamingResponse

from inference import problem
from inference.contract import GUARD_HEADER, GuardFailed, Json, NotServing, ServingError
from inference.guard import texts
from inference.guard.answers import RESPONSES, Refusals
from inference.guard.events import read_event
from inference.guard.hold import Hold
from inference.guard.stages import GuardRunner, Side, Withheld
from inference.watch import Watch

Check = Callable[[], None]
OnCut = Callable[[ServingError], None]
OnWithheld = Callable[[Side], None]
SSE: Final = "text/event-stream"
EVENT_END: Final = b"\n\n"


class GuardedRequest:
    """One request to a guarded endpoint, from its arrival to its last byte.

    `on_withheld` is told the side when something is withheld.
    """

    def __init__(
        self, runner: GuardRunner, path: str, body: Json, *, on_withheld: OnWithheld
    ) -> None:
        self._runner = runner
        self._path = path
        self._body = body
        self._on_withheld = on_withheld
        self._refusals = Refusals(runner.guard, path, body)
        texts.refuse_unreadable(body)

    @property
    def headers(self) -> dict[str, str]:
        """What tells the replica, and the caller, which guard was in the way."""
        return {GUARD_HEADER: self._runner.guard.digest}

    async def enter(self) -> Response | None:
        """Ask about the request; return the answer when it is withheld from the model.

        Raises: GuardFailed.
        """
        if not self._runner.reads("input"):
            return None
        if await self._withheld("input", texts.request_text(self._body)) is None:
            return None
        if self._body.get("stream"):
            headers = {**self.headers, "Cache-Control": "no-store"}
            return Response(self._refusals.stream(), media_type=SSE, headers=headers)
        return _json_response(self._refusals.whole(), self.headers)

    async def leave_whole(self, answer: Response) -> Response:
        """Ask about an answer in one piece, and return what may go out.

        Raises: GuardFailed, also when the answer's form is not known.
        """
        answer.headers.update(self.headers)
        if answer.status_code != 200 or not self._runner.reads("output"):
            return answer
        body = texts.parse(bytes(answer.body))
        if self._path == RESPONSES:
            said = texts.output_text(body.get("output"))
            if await self._withheld("output", said) is None:
                return answer
            return _json_response(self._refusals.response(body, "output"), self.headers)
        return await self._choices(answer, body)

    def leave_stream(self, answer: StreamingResponse, check: Check, on_cut: OnCut) -> None:
        """Put the guard between a stream and its caller; `check` says whether it may go on."""
        answer.headers.update(self.headers)
        if answer.status_code == 200 and self._runner.reads("output"):
            source = cast(AsyncGenerator[bytes, None], answer.body_iterator)
            answer.body_iterator = self._held(source, check, on_cut)

    async def _choices(self, answer: Response, body: Json) -> Response:
        choices = body.get("choices")
        if not isinstance(choices, list):
            raise GuardFailed("the replica's answer has a form that the guard cannot read")
        kept: list[Any] = []
        withheld = False
        for choice in choices:
            if not isinstance(choice, dict):
                raise GuardFailed("the replica's answer has a form that the guard cannot read")
            refused = await self._withheld("output", texts.choice_text(choice))
            kept.append(choice if refused is None else self._refusals.choice(choice))
            withheld = withheld or refused is not None
        if not withheld:
            return answer
        told = {**body, "choices": kept, "guard": self._refusals.note("output")}
        return _json_response(told, self.headers)

    async def _withheld(self, side: Side, text: str) -> Withheld | None:
        found = await self._runner.check(side, text)
        if found is not None:
            self._on_withheld(side)
        return found

    async def _held(
        self, source: AsyncGenerator[bytes, None], check: Check, on_cut: OnCut
    ) -> AsyncIterator[bytes]:
        """Yield what may go out of a stream; end it where the guard withholds or fails."""
        hold = Hold(self._runner.guard.window_characters)
        last: Json | None = None
        try:
            async with aclosing(_whole_events(source)) as events, Watch(check) as watch:
                async for data in events:
                    event = read_event(self._path, data)
                    if event.fails:
                        # What is still held was not read, and goes with the stream.
                        yield data
                        return
                    last = _remembered(self._path, last, event.body)
                    hold.add(data, event)
                    if hold.is_due:
                        asking = self._withheld("output", hold.text)
                        if await watch.over(asking) is not None:
                            check()
                            yield self._refusals.cut(last, has_shown_text=hold.has_shown_text)
                            return
                        hold.passed()
                    if out := hold.ready():
                        check()
                        yield out
            if not hold.is_empty:
                raise NotServing("the replica broke off")
        except ServingError as error:
            on_cut(error)
            yield problem.event(error)


def _remembered(path: str, last: Json | None, body: Json | None) -> Json | None:
    """Keep what a cut needs: of a response its object, as begun, and the newest number."""
    if path != RESPONSES or body is None or last is None:
        return body or last
    kept = {**last, "sequence_number": body.get("sequence_number", 0)}
    if "response" in body and "response" not in kept:
        kept["response"] = body["response"]
    return kept


async def _whole_events(source: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield one event after the other; the source gives whole ones, several at a time."""
    async with aclosing(source):
        async for data in source:
            for one in data.split(EVENT_END):
                if one:
                    yield one + EVENT_END


def _json_response(body: Json, headers: dict[str, str]) -> Response:
    text = json.dumps(body, ensure_ascii=False).encode()
    return Response(text, media_type="application/json", headers=headers)
