"""Count what one request takes: latencies, tokens, and how its choices end."""

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from inference.contract import ServingError
from inference.metrics import RuntimeMetrics
from inference.server.generate import Run, Step

TELL_SECONDS: Final = 1.0


async def metered(
    source: AsyncGenerator[Step, None],
    runs: Sequence[Run],
    *,
    metrics: RuntimeMetrics,
    started: float,
) -> AsyncGenerator[Step, None]:
    """Pass steps on and count them; `started` is when the request came, of `time.monotonic`."""
    meter = _Meter(metrics, started)
    refused = False
    try:
        async for step in source:
            meter.saw(step)
            yield step
        metrics.request_seconds.observe(time.monotonic() - started)
    except ServingError:
        refused = not meter.has_begun
        raise
    finally:
        if not refused:
            meter.ended(runs)
        await source.aclose()


class _Meter:
    def __init__(self, metrics: RuntimeMetrics, started: float) -> None:
        self._metrics = metrics
        self._started = started
        # Of each choice when it was last seen: its tokens, those of its thought, and the time.
        self._seen: dict[int, tuple[int, int, float]] = {}
        self._generated = self._thought = 0
        self._told_at = started

    @property
    def has_begun(self) -> bool:
        return bool(self._seen)

    def saw(self, step: Step) -> None:
        choice, now = step.choice, time.monotonic()
        tokens, thought, before = self._seen.get(choice.index, (0, 0, 0.0))
        fresh = choice.completion_tokens - tokens
        if not self._seen:
            self._metrics.first_token_seconds.observe(now - self._started)
        if before and fresh:
            self._metrics.inter_token_seconds.observe((now - before) / fresh, fresh)
        self._seen[choice.index] = (choice.completion_tokens, choice.reasoning_tokens, now)
        self._generated += fresh
        self._thought += choice.reasoning_tokens - thought
        if now - self._told_at > TELL_SECONDS:
            self._told_at = now
            self._tell()

    def ended(self, runs: Sequence[Run]) -> None:
        """Count the ends of all choices; one that has none was left by its caller, or cut."""
        for run in runs:
            self._metrics.ended.labels(run.choice.finish_reason or "abort").inc()
        self._tell()

    def _tell(self) -> None:
        """Add to the counters now and then: they take locks, and tokens come by the thousand."""
        self._metrics.generation_tokens.inc(self._generated)
        self._metrics.reasoning_tokens.inc(self._thought)
        self._metrics.answer_tokens.inc(self._generated - self._thought)
        self._generated = self._thought = 0
