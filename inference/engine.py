"""Run the native engine: schedule, run, postprocess, in one thread; answer into asyncio.

Owns the loop and the hand-over between the engine's thread and its callers'. Knows tokens and
slots; text, templates and permits live above.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.cache import memory_budget_bytes, slots_that_fit
from inference.models.nemotron_h import NemotronH
from inference.protocol import EngineError, EngineStats, GenerateRequest, TokenChunk
from inference.sampler import Sampled, Sampler
from inference.scheduler import PrefillPiece, Scheduler, Step
from inference.sequence import Sequence

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """Hold one request's way back to its caller."""

    sequence: Sequence
    sampler: Sampler
    loop: asyncio.AbstractEventLoop
    queue: "asyncio.Queue[TokenChunk | Exception]"

    def send(self, item: TokenChunk | Exception) -> None:
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, item)
        except RuntimeError:
            log.debug("the caller's loop of %s is closed", self.sequence.request_id)


class NativeEngine:
    """Serve a NemotronH model with continuous batching.

    Each of up to `max_batch` slots holds `context_tokens` tokens, allocated once: what is admitted
    fits. There are fewer slots where `cache_bytes` (None: a share of the memory) hold no more.

    Raises: CacheTooLarge when not even one slot fits.
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
    ) -> None:
        self._model = model
        slots = slots_that_fit(
            model,
            wanted=max_batch,
            context_tokens=context_tokens,
            dtype=dtype,
            budget_bytes=memory_budget_bytes() if cache_bytes is None else cache_bytes,
        )
        self._cache = model.make_cache(slots, context_tokens, dtype)
        self._scheduler = Scheduler(num_slots=slots, slot_tokens=context_tokens)
        self._threads = threads
        self._open: dict[str, _Open] = {}
        self._arriving: deque[_Open] = deque()
        self._aborting: deque[_Open] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._failure: str | None = None
        self._prompt_tokens = 0
        self._generated_tokens = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def context_tokens(self) -> int:
        return self._scheduler.slot_tokens

    async def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]:
        """Yield chunks until one with a finish reason; leaving early aborts the request.

        Raises: EngineError when the engine broke; ValueError for a request that cannot be run,
        which leaves all others alone.
        """
        self._check(request)
        opened = _Open(
            Sequence(request),
            Sampler(request.sampling, request.prompt_ids),
            asyncio.get_running_loop(),
            asyncio.Queue(),
        )
        with self._wake:
            if self._failure is not None or self._stopping:
                raise EngineError(self._failure or "the engine is stopping")
            self._arriving.append(opened)
            self._wake.notify()
        try:
            while True:
                item = await opened.queue.get()
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

    def stats(self) -> EngineStats:
        return EngineStats(
            queued=self._scheduler.num_waiting + len(self._arriving),
            running=self._scheduler.num_running,
            slots_total=self._scheduler.num_slots,
            slots_used=self._scheduler.num_running,
            prompt_tokens_total=self._prompt_tokens,
            generated_tokens_total=self._generated_tokens,
        )

    def failure(self) -> str | None:
        """Return why the engine broke, or None while it is well."""
        return self._failure

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
        vocabulary = self._model.config.vocab_size
        closer = request.thinking.end_ids if request.thinking else ()
        strange = [
            token_id
            for token_id in (*request.prompt_ids, *request.sampling.stop_ids, *closer)
            if not 0 <= token_id < vocabulary
        ]
        if strange:
            raise ValueError(
                f"token id {strange[0]} is not in the model's vocabulary of {vocabulary}; "
                "the tokenizer does not belong to these weights"
            )

    def _leave(self, opened: _Open) -> None:
        with self._wake:
            if not self._stopping:
                self._aborting.append(opened)
                self._wake.notify()

    def _run(self) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while self._take_orders():
                    self._step(self._scheduler.next_step())
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
        request_id = opened.sequence.request_id
        if self._open.get(request_id) is opened:
            self._scheduler.end(request_id)
            del self._open[request_id]
            opened.send(TokenChunk((), finish_reason="abort"))

    def _admit(self, opened: _Open) -> None:
        try:
            self._scheduler.add(opened.sequence)
        except ValueError as error:
            opened.send(error)
            return
        self._open[opened.sequence.request_id] = opened

    def _step(self, step: Step) -> None:
        if step.decode:
            logits = _finite(self._model.decode(*self._batch(step.decode), self._cache))
            for sequence, row in zip(step.decode, logits, strict=True):
                self._advance(sequence, row)
        if step.prefill is not None:
            self._prefill(step.prefill)

    @staticmethod
    def _batch(sequences: tuple[Sequence, ...]) -> tuple[Tensor, Tensor, Tensor]:
        ids = torch.tensor([one.output_ids[-1] for one in sequences])
        slots = torch.tensor([one.slot for one in sequences])
        positions = torch.tensor([one.position for one in sequences])
        return ids, slots, positions

    def _prefill(self, piece: PrefillPiece) -> None:
        sequence = piece.sequence
        ids = torch.tensor(sequence.request.prompt_ids[piece.start : piece.end])
        logits = self._model.prefill(ids, sequence.slot, piece.start, self._cache)
        self._scheduler.prefilled(piece)
        self._prompt_tokens += piece.end - piece.start
        if piece.is_last:
            self._advance(sequence, _finite(logits))

    def _advance(self, sequence: Sequence, logits: Tensor) -> None:
        opened = self._open[sequence.request_id]
        forced = sequence.forced_token()
        sampled = opened.sampler.choose(
            logits, sequence.output_ids, forced=forced, may_stop=sequence.may_stop()
        )
        is_output = sequence.accept(sampled.token_id)
        self._generated_tokens += 1
        if sequence.finish_reason is not None:
            self._scheduler.end(sequence.request_id)
            del self._open[sequence.request_id]
        opened.send(_chunk(sequence, sampled, is_output=is_output))

    def _close(self, error: EngineError) -> None:
        with self._wake:
            self._stopping = True
            waiting = [*self._open.values(), *self._arriving]
            self._open.clear()
            self._arriving.clear()
        self._scheduler.end_all()
        for opened in waiting:
            opened.send(error)


def _finite(logits: Tensor) -> Tensor:
    """Stop rather than serve what a NaN would choose; it may also stay in the cache.

    Raises: ArithmeticError.
    """
    if not bool(torch.isfinite(logits).all()):
        raise ArithmeticError("the model computed logits that are not finite")
    return logits


def _chunk(sequence: Sequence, sampled: Sampled, *, is_output: bool) -> TokenChunk:
    thought = sequence.thought
    reported = is_output and sampled.logprob is not None
    return TokenChunk(
        token_ids=(sampled.token_id,) if is_output else (),
        logprobs=(sampled.logprob,) if reported and sampled.logprob is not None else (),
        top_logprobs=(sampled.top,) if reported else (),
        finish_reason=sequence.finish_reason,
        forced_end=thought.forced_end if thought else None,
    )
