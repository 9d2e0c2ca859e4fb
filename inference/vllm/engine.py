"""vLLM as an engine: token ids in, token ids out, over its own HTTP server.

The prompt goes as ids, rendered here: so the reasoning mode is what our prompt says, whatever the
server's template honours. A thinking budget is kept by stopping the server where the thought has to
end and asking again behind the end; that costs reading the prompt once more, and holds on every
version. Penalties therefore count, after a forced end, only what came since.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from inference.contract import Json
from inference.protocol import EngineError, EngineStats, GenerateRequest, Health, TokenChunk
from inference.sequence import Sequence
from inference.vllm.server import Server

STATS_SECONDS: Final = 1.0
DRAIN_LOOK_SECONDS: Final = 0.05
_ID_PREFIX: Final = "token_id:"
_TIMEOUT: Final = httpx.Timeout(10.0, read=600.0)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Event:
    """New tokens of a stream, with their log-probabilities where asked for."""

    ids: list[int]
    logprobs: list[float]
    tops: list[dict[int, float]]
    reason: str | None


class VllmEngine:
    """Generate on a vLLM server; `slots` is how many sequences it was told to run at once."""

    def __init__(self, server: Server, *, slots: int = 0) -> None:
        self._server = server
        self._slots = slots
        self._client = httpx.AsyncClient(
            base_url=server.url,
            timeout=_TIMEOUT,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )
        self._model = ""
        self._running: dict[str, bool] = {}
        self._stats = EngineStats(slots_total=slots)
        self._state: Health = Health("starting")
        self._watching: asyncio.Task[None] | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        return self._client

    @property
    def model(self) -> str:
        """The name under which the server knows its model."""
        return self._model

    async def start(self) -> None:
        """Wait until the server answers. Raises: EngineError."""
        await self._server.start(self._client)
        try:
            listed = (await self._client.get("/v1/models")).raise_for_status().json()
            self._model = str(listed["data"][0]["id"])
        except (httpx.HTTPError, ValueError, LookupError) as error:
            raise EngineError(
                f"{self._server.url} does not answer as vLLM does: {error}"
            ) from error
        self._state = Health("ready")
        self._watching = asyncio.create_task(self._watch())

    async def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]:
        """Yield chunks until one with a finish reason; leaving early ends it on the server too.

        Raises: EngineError; ValueError for what the server refuses.
        """
        if self.health().state != "ready":
            raise EngineError(self.health().reason or f"the engine is {self.health().state}")
        if request.request_id in self._running:
            raise ValueError(f"request {request.request_id!r} is under way already")
        if request.constraint is not None and not request.constraint.json_schema:
            raise ValueError("vLLM enforces a JSON schema here, and no other grammar")
        self._running[request.request_id] = True
        sequence = Sequence(request)
        try:
            while sequence.finish_reason is None:
                forced = _force(sequence)
                if forced is not None:
                    yield forced
                    continue
                async with contextlib.aclosing(self._phase(sequence)) as phase:
                    async for chunk in phase:
                        yield chunk
        finally:
            self._running.pop(request.request_id, None)

    def abort(self, request_id: str) -> None:
        """End a request at its next token; closing its stream ends it at once."""
        if request_id in self._running:
            self._running[request_id] = False

    async def drain(self, deadline_seconds: float) -> None:
        self._state = Health("draining")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + deadline_seconds
        while self._running and loop.time() < deadline:
            await asyncio.sleep(DRAIN_LOOK_SECONDS)

    def health(self) -> Health:
        failure = self._server.failure()
        return Health("failed", failure) if failure else self._state

    def stats(self) -> EngineStats:
        """Return what the server said of itself within the last second."""
        return self._stats

    def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        self._state = Health("draining")
        self._server.stop()

    async def _phase(self, sequence: Sequence) -> AsyncGenerator[TokenChunk, None]:
        """Let the server go on until the sequence ends, or must go on under other terms."""
        before = len(sequence.output_ids)
        constraint = sequence.request.constraint
        free = constraint is not None and constraint.in_thought
        async for event in self._events(_body(sequence, self._model, constrained=not free)):
            if not self._running.get(sequence.request_id, False):
                sequence.finish_reason = "abort"
                yield TokenChunk((), finish_reason="abort")
                return
            kept, shown = _take(sequence, event, free=free)
            if event.reason == "stop" and sequence.finish_reason is None and kept == len(event.ids):
                sequence.finish_reason = "stop"
            if shown or sequence.finish_reason is not None:
                yield _chunk(sequence, event, shown)
            if (
                sequence.finish_reason is not None
                or kept < len(event.ids)
                or _turns(sequence, free)
            ):
                return
        if len(sequence.output_ids) == before:
            # Else this would go round for ever.
            raise EngineError("vLLM ended a stream without a token")

    async def _events(self, body: Json) -> AsyncIterator[_Event]:
        try:
            async with self._client.stream("POST", "/v1/completions", json=body) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _refusal(answer)
                async for line in answer.aiter_lines():
                    data = line.removeprefix("data: ")
                    if data in ("", "[DONE]"):
                        continue
                    yield _event(json.loads(data))
        except httpx.HTTPError as error:
            raise EngineError(f"the connection to vLLM broke: {error!r}") from error

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                page = (await self._client.get("/metrics")).raise_for_status().text
                self._stats = _stats(page, self._slots)
            await asyncio.sleep(STATS_SECONDS)


def _force(sequence: Sequence) -> TokenChunk | None:
    """Close a thought that has to end; None where nothing is forced."""
    ids = []
    while sequence.finish_reason is None and (token := sequence.forced_token()) is not None:
        sequence.accept(token)
        ids.append(token)
    if not ids or sequence.thought is None:
        return None
    reason, forced_end = sequence.finish_reason, sequence.thought.forced_end
    return TokenChunk(tuple(ids), finish_reason=reason, forced_end=forced_end)


def _take(sequence: Sequence, event: _Event, *, free: bool) -> tuple[int, int]:
    """Accept an event's tokens up to where terms change: how many were taken, and are output."""
    kept = shown = 0
    for token in event.ids:
        if sequence.finish_reason is not None or _turns(sequence, free):
            break
        shown += sequence.accept(token)
        kept += 1
    return kept, shown


def _turns(sequence: Sequence, free: bool) -> bool:
    """Tell whether the next token comes under other terms than those the server has."""
    constraint = sequence.request.constraint
    if free and constraint is not None and not constraint.in_thought:
        return True
    return sequence.forced_token() is not None


def _body(sequence: Sequence, model: str, *, constrained: bool) -> Json:
    sampling, done = sequence.request.sampling, len(sequence.output_ids)
    body: Json = {
        "model": model,
        "prompt": sequence.token_ids(0, sequence.num_tokens),
        "stream": True,
        "return_token_ids": True,
        "skip_special_tokens": False,
        "max_tokens": _most(sequence),
        "min_tokens": min(max(0, sampling.min_tokens - done), _most(sequence)),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or -1,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        # Our stop ids are all there are; what the server's own configuration adds does not count.
        "ignore_eos": True,
        "stop_token_ids": [] if sampling.ignore_eos else list(sampling.stop_ids),
    }
    if sampling.seed is not None:
        # Another draw after a forced end, and the same one each time.
        body["seed"] = (sampling.seed + done) % 2**63
    if sampling.logprobs is not None:
        body |= {"logprobs": sampling.logprobs, "return_tokens_as_token_ids": True}
    if constrained and sequence.request.constraint is not None:
        schema = json.loads(sequence.request.constraint.json_schema)
        body |= {"structured_outputs": {"json": schema}, "ignore_eos": False}
    return body


def _most(sequence: Sequence) -> int:
    """Return how many tokens may come before somebody has to look again."""
    left = sequence.request.sampling.max_tokens - len(sequence.output_ids)
    thought = sequence.thought
    if thought is None or not thought.is_open:
        return left
    return max(1, min(left, thought.budget.max_tokens - thought.used))


def _chunk(sequence: Sequence, event: _Event, count: int) -> TokenChunk:
    return TokenChunk(
        token_ids=tuple(event.ids[:count]),
        logprobs=tuple(event.logprobs[:count]),
        top_logprobs=tuple(event.tops[:count]),
        finish_reason=sequence.finish_reason,
    )


def _event(body: Json) -> _Event:
    if "error" in body:
        raise EngineError(f"vLLM broke off: {body['error']}")
    choice: Json = (body.get("choices") or [{}])[0]
    logprobs: Json = choice.get("logprobs") or {}
    return _Event(
        ids=list(choice.get("token_ids") or ()),
        logprobs=[float(value) for value in logprobs.get("token_logprobs") or ()],
        tops=[_by_id(top or {}) for top in logprobs.get("top_logprobs") or ()],
        reason=choice.get("finish_reason"),
    )


def _by_id(top: dict[str, Any]) -> dict[int, float]:
    return {int(name.removeprefix(_ID_PREFIX)): float(value) for name, value in top.items()}


def _refusal(answer: httpx.Response) -> Exception:
    try:
        said = answer.json()
        message = str(said.get("error", said).get("message", said))
    except (ValueError, AttributeError):
        message = answer.text[:300]
    if 400 <= answer.status_code < 500:
        return ValueError(f"vLLM refuses the request: {message}")
    return EngineError(f"vLLM answers {answer.status_code}: {message}")


def _stats(page: str, slots: int) -> EngineStats:
    """Read vLLM's own metrics page; what it does not say stays 0."""
    sums: dict[str, float] = {}
    for line in page.splitlines():
        if line.startswith("vllm:"):
            name, _, value = line.rpartition(" ")
            key = name.partition("{")[0].removeprefix("vllm:")
            sums[key] = sums.get(key, 0.0) + float(value)

    def count(name: str) -> int:
        return int(sums.get(name, 0.0))

    running = count("num_requests_running")
    return EngineStats(
        queued=count("num_requests_waiting"),
        running=running,
        slots_total=slots,
        slots_used=running if slots else 0,
        prompt_tokens_total=count("prompt_tokens_total"),
        generated_tokens_total=count("generation_tokens_total"),
        preemptions_total=count("num_preemptions_total"),
    )
