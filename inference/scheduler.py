"""Decide who runs next. Takes and gives sequences, slots and blocks; knows no tensors.

Each step decodes every sequence that has been read, and reads pieces of those that have not. A
request waits in line until a slot and blocks for all its tokens are free. Sequences then grow;
when no block is left, the youngest gives up its place and is read again later (preemption).
"""

from collections import deque
from dataclasses import dataclass

from inference.cache import CacheSize, Pool, blocks_for
from inference.sequence import Sequence

PREFILL_TOKENS = 512


class TooLong(ValueError):  # noqa: N818  the name says what happened
    """The prompt and the tokens asked for do not fit the context."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Read tokens [start, end) of a sequence."""

    sequence: Sequence
    start: int
    end: int

    @property
    def is_last(self) -> bool:
        return self.end == self.sequence.read_until


@dataclass(frozen=True, slots=True)
class Step:
    decode: tuple[Sequence, ...]
    pieces: tuple[Piece, ...]


class Scheduler:
    """Line up requests for a cache of the given size.

    A step reads at most `prefill_tokens` tokens, padding included.

    Laws: a slot and a block have at most one owner; whatever ends a sequence gives both back
    exactly once; requests are admitted in the order in which they came; the oldest is never
    preempted, so every step brings some sequence forward.
    """

    def __init__(
        self, size: CacheSize, *, context_tokens: int, prefill_tokens: int = PREFILL_TOKENS
    ) -> None:
        self.context_tokens = context_tokens
        self.slots = Pool(size.slots)
        self.blocks = Pool(size.blocks)
        self.preemptions = 0
        self._block_tokens = size.block_tokens
        self._prefill_tokens = prefill_tokens
        self._waiting: deque[Sequence] = deque()
        self._running: dict[str, Sequence] = {}

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        return len(self._running)

    def add(self, sequence: Sequence) -> None:
        """Put a request in line. Raises: as `check`; ValueError for an id in use."""
        known = any(one.request_id == sequence.request_id for one in self._waiting)
        if known or sequence.request_id in self._running:
            raise ValueError(f"request {sequence.request_id!r} is under way already")
        self.check(sequence)
        self._waiting.append(sequence)

    def check(self, sequence: Sequence) -> None:
        """Tell whether a request can be run at all; reads nothing that changes.

        Raises: TooLong; ValueError without a prompt or without room for one token.
        """
        if not sequence.request.prompt_ids:
            raise ValueError("a prompt has at least one token")
        if sequence.request.sampling.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1")
        if sequence.max_cache_tokens > self.context_tokens:
            raise TooLong(
                f"{sequence.max_cache_tokens} tokens asked for; the context holds "
                f"{self.context_tokens}"
            )

    def next_step(self) -> Step:
        """Make room, admit who fits, say what to run; the caller reports back (`read`, `end`)."""
        self._grow()
        self._admit()
        decode = tuple(one for one in self._running.values() if not one.is_reading)
        return Step(decode, self._pieces())

    def read(self, piece: Piece) -> None:
        """Note that a piece is in the cache."""
        piece.sequence.num_read = piece.end

    def end(self, request_id: str) -> Sequence | None:
        """Take a request out, wherever it is; None when it is not here (any more)."""
        sequence = self._running.pop(request_id, None)
        if sequence is not None:
            self._unseat(sequence)
            return sequence
        for waiting in self._waiting:
            if waiting.request_id == request_id:
                self._waiting.remove(waiting)
                return waiting
        return None

    def end_all(self) -> list[Sequence]:
        ids = [*self._running, *(one.request_id for one in self._waiting)]
        ended = [self.end(request_id) for request_id in ids]
        return [one for one in ended if one is not None]

    def _grow(self) -> None:
        """Give every decoding sequence a block for its next token, the oldest first."""
        for sequence in list(self._running.values()):
            if sequence.request_id not in self._running:
                continue
            missing = blocks_for(sequence.num_tokens, self._block_tokens) - len(sequence.blocks)
            while missing > self.blocks.free:
                self._preempt()
                if not sequence.slot:
                    break
            else:
                sequence.blocks += self.blocks.take(missing)

    def _preempt(self) -> None:
        """Send the youngest back to the head of the line; it keeps what it has generated."""
        sequence = self._running.popitem()[1]
        self._unseat(sequence)
        self._waiting.appendleft(sequence)
        self.preemptions += 1

    def _admit(self) -> None:
        while self._waiting and self.slots.free:
            needed = blocks_for(self._waiting[0].num_tokens, self._block_tokens)
            # One block for each that runs already: else the newcomer would soon be thrown out.
            if needed + len(self._running) > self.blocks.free and self._running:
                return
            sequence = self._waiting.popleft()
            (slot,) = self.slots.take(1)
            sequence.seat(slot, self.blocks.take(needed))
            self._running[sequence.request_id] = sequence

    def _pieces(self) -> tuple[Piece, ...]:
        """Choose what to read: rows of one width, in order of arrival, within the step's bound."""
        pieces: list[Piece] = []
        width = 0
        for sequence in self._running.values():
            if not sequence.is_reading:
                continue
            left = sequence.read_until - sequence.num_read
            wider = max(width, min(left, self._prefill_tokens))
            if pieces and wider * (len(pieces) + 1) > self._prefill_tokens:
                break
            width = wider
            end = sequence.num_read + min(left, width)
            pieces.append(Piece(sequence, sequence.num_read, end))
        return tuple(pieces)

    def _unseat(self, sequence: Sequence) -> None:
        self.slots.give([sequence.slot])
        self.blocks.give(sequence.blocks)
        sequence.unseat()
