"""Run the native engine: schedule, run, postprocess, in one thread; answer into asyncio.

Owns the loop and the hand-over between the engine's thread and its callers'. Knows tokens, slots
and blocks; text, templates and permits live above.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from inference.cache import memory_budget_bytes, plan_cache
from inference.models.nemotron_h import NemotronH
from inference.protocol import EngineError, EngineStats, GenerateRequest, Health, TokenChunk
from inference.runner import Runner, compile_beside
from inference.sampler import Chooser, Row, Sampled, choose
from inference.scheduler import Piece, Scheduler, Step
from inference.sequence import Sequence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)
_DRAIN_LOOK_SECONDS = 0.05

Item = TokenChunk | Exception
Compiling = Literal["off", "beside", "first"]


@dataclass(slots=True, eq=False)
class _Open:
    """Hold one request, and its way back to its caller: items, and whoever waits for them."""

    sequence: Sequence
    chooser: Chooser
    loop: asyncio.AbstractEventLoop
    items: deque[Item] = field(default_factory=deque)
    waiter: asyncio.Future[None] | None = None

    async def next_item(self) -> Item:
        """Return all tokens that are there as one chunk; wait while there are none."""
        while not self.items:
            self.waiter = self.loop.create_future()
            await self.waiter
        item = self.items.popleft()
        while self.items and isinstance(item, TokenChunk) and item.finish_reason is None:
            after = self.items[0]
            if isinstance(after, Exception):
                break
            item = _joined(item, after)
            self.items.popleft()
        return item


class NativeEngine:
    """Serve a NemotronH model with continuous batching.

    Up to `max_batch` sequences of up to `context_tokens` tokens run at once, in a cache that is
    allocated once: as large as `cache_bytes` (None: a share of the memory) allows. `compiling`
    the decode step happens not at all, `beside` serving, or `first`, before `start` returns.

    Raises: CacheTooLarge when not even one sequence fits.
    """

    def __init__(
        self,
        model: NemotronH,
        *,
        max_batch: int = 16,
        context_tokens: int = 8192,
        dtype: torch.dtype = torch.float32,
        threads: int | None = None,
        cache_bytes: int | None = None,
        compiling: Compiling = "off",
    ) -> None:
        size = plan_cache(
            model.cache_cost(dtype),
            max_batch=max_batch,
            context_tokens=context_tokens,
            budget_bytes=memory_budget_bytes() if cache_bytes is None else cache_bytes,
        )
        self._vocab_size = model.config.vocab_size
        self._runner = Runner(model, size, context_tokens=context_tokens, dtype=dtype)
        self._scheduler = Scheduler(size, context_tokens=context_tokens)
        self._threads = threads
        self._open: dict[str, _Open] = {}
        self._arriving: deque[_Open] = deque()
        self._aborting: deque[_Open] = deque()
        self._outbox: deque[tuple[_Open, Item]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._draining = False
        self._failure: str | None = None
        self._prompt_tokens = 0
        self._generated_tokens = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        self._compiler = None
        if compiling != "off":
            self._compiler = compile_beside(self._runner, threads=threads)
        self._compiles_first = compiling == "first"

    @property
    def context_tokens(self) -> int:
        return self._scheduler.context_tokens

    async def start(self) -> None:
        """Wait for the compiler where it was to come first; the thread runs already."""
        if self._compiler is not None and self._compiles_first:
            await asyncio.to_thread(self._compiler.join)

    async def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]:
        """Yield chunks until one with a finish reason; leaving early aborts the request.

        Raises: EngineError when the engine broke; ValueError for a request that cannot be run,
        which leaves all others alone.
        """
        self._check(request)
        opened = _Open(
            Sequence(request),
            Chooser(request.sampling, request.prompt_ids),
            asyncio.get_running_loop(),
        )
        with self._wake:
            if self._failure is not None or self._stopping or self._draining:
                raise EngineError(self._failure or "the engine is stopping")
            self._arriving.append(opened)
            self._wake.notify()
        try:
            while True:
                item = await opened.next_item()
                if isinstance(item, Exception):
                    raise item
                yield item
                if item.finish_reason is not None:
                    return
        finally:
            # By identity: another request may bear the same id by now.
            self._leave(opened)

    def abort(self, request_id: str) -> None:
        """End a request wherever it is; one that has ended already is no error."""
        with self._wake:
            found = self._open.get(request_id)
            opened = [] if found is None else [found]
            opened += [one for one in self._arriving if one.sequence.request_id == request_id]
        for one in opened:
            self._leave(one)

    async def drain(self, deadline_seconds: float) -> None:
        """Take nothing new, and return when all that ran has ended, or at the deadline."""
        self._draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + deadline_seconds
        while self._open or self._arriving:
            if loop.time() >= deadline or self._failure is not None:
                return
            await asyncio.sleep(_DRAIN_LOOK_SECONDS)

    def health(self) -> Health:
        if self._failure is not None:
            return Health("failed", self._failure)
        return Health("draining" if self._draining or self._stopping else "ready")

    def stats(self) -> EngineStats:
        scheduler = self._scheduler
        return EngineStats(
            queued=scheduler.num_waiting + len(self._arriving),
            running=scheduler.num_running,
            slots_total=scheduler.slots.size,
            slots_used=scheduler.slots.used,
            kv_blocks_total=scheduler.blocks.size,
            kv_blocks_used=scheduler.blocks.used,
            prompt_tokens_total=self._prompt_tokens,
            generated_tokens_total=self._generated_tokens,
            preemptions_total=scheduler.preemptions,
        )

    def stop(self) -> None:
        """End every request and the thread; returns when the thread has ended."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _check(self, request: GenerateRequest) -> None:
        """Refuse in the caller's task what would raise in the engine's thread."""
        self._scheduler.check(Sequence(request))
        thinking = request.thinking
        markers = (*thinking.end_ids, *thinking.start_ids) if thinking else ()
        strange = [
            token_id
            for token_id in (*request.prompt_ids, *request.sampling.stop_ids, *markers)
            if not 0 <= token_id < self._vocab_size
        ]
        if strange:
            raise ValueError(
                f"token id {strange[0]} is not in the model's vocabulary of {self._vocab_size}; "
                "the tokenizer does not belong to these weights"
            )

    def _leave(self, opened: _Open) -> None:
        with self._wake:
            if not self._stopping and opened.sequence.finish_reason is None:
                self._aborting.append(opened)
                self._wake.notify()

    def _run(self) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while self._take_orders():
                    self._step(self._scheduler.next_step())
                    self._post()
        except Exception as error:
            log.exception("the engine broke")
            self._failure = f"{type(error).__name__}: {error}"
        self._close(EngineError(self._failure or "the engine is stopping"))

    def _take_orders(self) -> bool:
        """Take arrivals and aborts, wait while there is nothing to do; False means stop."""
        with self._wake:
            while not (self._arriving or self._aborting or self._stopping):
                if self._scheduler.num_running or self._scheduler.num_waiting:
                    return True
                self._wake.wait()
            if self._stopping:
                return False
            # Under the lock, so that an abort finds a request at every moment of its life.
            while self._arriving:
                self._admit(self._arriving.popleft())
            while self._aborting:
                self._end_early(self._aborting.popleft())
        return True

    def _end_early(self, opened: _Open) -> None:
        if self._open.get(opened.sequence.request_id) is opened:
            self._end(opened, TokenChunk((), finish_reason="abort"))

    def _admit(self, opened: _Open) -> None:
        try:
            self._scheduler.add(opened.sequence)
        except ValueError as error:
            self._outbox.append((opened, error))
            return
        self._open[opened.sequence.request_id] = opened

    def _step(self, step: Step) -> None:
        if step.decode:
            self._advance(step.decode, self._runner.decode(step.decode))
        if step.pieces:
            self._read(step.pieces)

    def _read(self, pieces: tuple[Piece, ...]) -> None:
        logits = self._runner.prefill(pieces)
        for piece in pieces:
            self._scheduler.read(piece)
            self._prompt_tokens += piece.end - piece.start
        done = [row for row, piece in enumerate(pieces) if piece.is_last]
        if done:
            self._advance(tuple(pieces[row].sequence for row in done), logits[done])

    def _advance(self, sequences: tuple[Sequence, ...], logits: Tensor) -> None:
        opened = [self._open[one.request_id] for one in sequences]
        rows = [self._row(one) for one in opened]
        turns = [n for n, row in enumerate(rows) if row is not None]
        if len(turns) < len(rows):
            logits = logits[turns]
        sampled = choose(logits, [row for row in rows if row is not None]) if turns else []
        for n, one in zip(turns, sampled, strict=True):
            self._accept(opened[n], one)

    def _row(self, opened: _Open) -> Row | None:
        """Say what this sequence's turn is; None if its constraint broke and ended it."""
        sequence = opened.sequence
        forced = sequence.forced_token()
        allowed: NDArray[np.bool_] | None = None
        if forced is None and sequence.request.constraint is not None:
            try:
                allowed = sequence.request.constraint.allowed()
            except Exception as error:  # noqa: BLE001  a caller's grammar ends that caller only
                self._end(opened, error)
                return None
        may_stop = sequence.may_stop() or sequence.request.sampling.ignore_eos
        return Row(opened.chooser, sequence.output_ids, forced, may_stop, allowed)

    def _accept(self, opened: _Open, sampled: Sampled) -> None:
        sequence = opened.sequence
        try:
            is_output = sequence.accept(sampled.token_id)
        except Exception as error:  # noqa: BLE001  as above
            self._end(opened, error)
            return
        self._generated_tokens += 1
        chunk = _chunk(sequence, sampled, is_output=is_output)
        if sequence.finish_reason is not None:
            self._end(opened, chunk)
        else:
            self._outbox.append((opened, chunk))

    def _end(self, opened: _Open, last: Item) -> None:
        self._scheduler.end(opened.sequence.request_id)
        del self._open[opened.sequence.request_id]
        self._outbox.append((opened, last))

    def _post(self) -> None:
        """Hand what a step brought to the callers' loop: one call, however many there are."""
        while self._outbox:
            loop = self._outbox[0][0].loop
            mail = []
            while self._outbox and self._outbox[0][0].loop is loop:
                mail.append(self._outbox.popleft())
            try:
                loop.call_soon_threadsafe(_deliver, mail)
            except RuntimeError:
                log.debug("a caller's loop is closed")

    def _close(self, error: EngineError) -> None:
        with self._wake:
            self._stopping = True
            waiting = [*self._open.values(), *self._arriving]
            self._open.clear()
            self._arriving.clear()
        self._scheduler.end_all()
        self._outbox.extend((opened, error) for opened in waiting)
        self._post()


def _deliver(mail: list[tuple[_Open, Item]]) -> None:
    for opened, item in mail:
        opened.items.append(item)
        if opened.waiter is not None and not opened.waiter.done():
            opened.waiter.set_result(None)


def _joined(first: TokenChunk, second: TokenChunk) -> TokenChunk:
    return TokenChunk(
        token_ids=first.token_ids + second.token_ids,
        logprobs=first.logprobs + second.logprobs,
        top_logprobs=first.top_logprobs + second.top_logprobs,
        finish_reason=second.finish_reason,
        forced_end=second.forced_end or first.forced_end,
    )


def _chunk(sequence: Sequence, sampled: Sampled, *, is_output: bool) -> TokenChunk:
    thought = sequence.thought
    reported = is_output and sampled.logprob is not None
    return TokenChunk(
        token_ids=(sampled.token_id,) if is_output else (),
        logprobs=(sampled.logprob,) if reported and sampled.logprob is not None else (),
        top_logprobs=(sampled.top or {},) if reported else (),
        finish_reason=sequence.finish_reason,
        forced_end=thought.forced_end if thought else None,
    )
