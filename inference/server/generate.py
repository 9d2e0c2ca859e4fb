"""Run the choices of one request on the engine, token batch by token batch, under the permit.

Owns the merging of choices, the watch over permit and caller, and the promise that whatever ends
a request early is aborted in the engine too. Knows nothing about HTTP's shapes.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from inference.chat.output import AnswerParser, Delta
from inference.contract import NotServing, RequestRefused, ServingError
from inference.protocol import EngineBackend, GenerateRequest, TokenChunk
from inference.server.answer import Choice, TokenLogprob
from inference.watch import ClientGone, Watch, ended

QUEUE_CHUNKS: Final = 256


@dataclass(frozen=True, slots=True)
class Step:
    """New text of one choice; `last` when the choice is complete."""

    choice: Choice
    deltas: tuple[Delta, ...]
    logprobs: tuple[TokenLogprob, ...]
    last: bool


@dataclass(slots=True)
class Run:
    """One choice under way: its engine request, what reads its tokens, what it has produced."""

    request: GenerateRequest
    parser: AnswerParser
    choice: Choice


async def steps(
    engine: EngineBackend,
    runs: Sequence[Run],
    *,
    check: Callable[[], None],
    gone: Callable[[], Awaitable[bool]] | None,
    text_of: Callable[[int], str],
) -> AsyncGenerator[Step, None]:
    """Yield the steps of all choices as they come; return when every choice is complete.

    `check()` passes before the engine is asked for anything and before each step is given out.

    Raises: what `check` raises, ClientGone, NotServing. Whatever the way out, requests that
    still run are aborted.
    """
    check()
    async with Watch(check, gone=gone) as watch:
        source = _alone(engine, runs[0], watch) if len(runs) == 1 else _merged(engine, runs, watch)
        try:
            async for run, chunk in source:
                yield _take(run, chunk, text_of)
        finally:
            await source.aclose()


async def _alone(
    engine: EngineBackend, run: Run, watch: Watch
) -> AsyncGenerator[tuple[Run, TokenChunk], None]:
    chunks = cast("AsyncGenerator[TokenChunk, None]", engine.generate(run.request))
    try:
        while run.choice.finish_reason is None:
            yield run, await watch.over(anext(chunks))
    except (ServingError, ClientGone):
        raise
    except ValueError as error:
        raise RequestRefused(str(error)) from error
    except Exception as error:
        raise NotServing("the engine broke off", retry_after=1) from error
    finally:
        engine.abort(run.request.request_id)
        await chunks.aclose()


async def _merged(
    engine: EngineBackend, runs: Sequence[Run], watch: Watch
) -> AsyncGenerator[tuple[Run, TokenChunk], None]:
    queue: asyncio.Queue[tuple[Run, TokenChunk | Exception]] = asyncio.Queue(QUEUE_CHUNKS)
    pumps = {id(run): asyncio.create_task(_pump(engine, run, queue)) for run in runs}
    try:
        while pumps:
            run, chunk = await watch.over(queue.get())
            if id(run) not in pumps:
                continue
            if isinstance(chunk, ValueError):
                raise RequestRefused(str(chunk)) from chunk
            if isinstance(chunk, Exception):
                raise NotServing("the engine broke off", retry_after=1) from chunk
            yield run, chunk
            if run.choice.finish_reason is not None:
                engine.abort(run.request.request_id)
                await ended(pumps.pop(id(run)))
    finally:
        # All aborts before the first wait: a wait may be cancelled.
        for run in runs:
            if id(run) in pumps:
                engine.abort(run.request.request_id)
        await ended(*pumps.values())


async def _pump(
    engine: EngineBackend, run: Run, queue: asyncio.Queue[tuple[Run, TokenChunk | Exception]]
) -> None:
    try:
        async for chunk in engine.generate(run.request):
            await queue.put((run, chunk))
    except Exception as error:  # noqa: BLE001  the outermost loop of a task: it goes to the reader
        await queue.put((run, error))


def _take(run: Run, chunk: TokenChunk, text_of: Callable[[int], str]) -> Step:
    """Read one chunk into the run's choice."""
    choice = run.choice
    deltas: list[Delta] = []
    for token_id in chunk.token_ids:
        deltas += run.parser.push(token_id)
        choice.completion_tokens += 1
        if run.parser.stop_found is not None:
            break
    logprobs = _logprobs(chunk, text_of)
    choice.forced_end = chunk.forced_end or choice.forced_end
    choice.budget_exhausted = choice.forced_end is not None
    choice.finish_reason = "stop" if run.parser.stop_found is not None else chunk.finish_reason
    if choice.finish_reason is not None:
        deltas += run.parser.finish()
    choice.reasoning_tokens = run.parser.reasoning_tokens
    choice.logprobs += logprobs
    for delta in deltas:
        choice.add(delta)
    return Step(choice, tuple(deltas), tuple(logprobs), last=choice.finish_reason is not None)


def _logprobs(chunk: TokenChunk, text_of: Callable[[int], str]) -> list[TokenLogprob]:
    if not chunk.logprobs:
        return []
    tops = chunk.top_logprobs or ({},) * len(chunk.logprobs)
    return [
        TokenLogprob(
            token_id, text_of(token_id), value, tuple((text_of(i), p) for i, p in top.items())
        )
        for token_id, value, top in zip(chunk.token_ids, chunk.logprobs, tops, strict=False)
    ]
