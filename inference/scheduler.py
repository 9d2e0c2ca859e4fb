"""Decide who runs next. Takes and gives sequences and slot numbers; knows no tensors.

Each step decodes every sequence whose prompt is read, and reads one piece of one prompt. A new
request waits in line until a slot is free; a slot is enough memory for the longest sequence
admitted, so nothing that was admitted ever has to be thrown out.
"""

from collections import deque
from dataclasses import dataclass

from inference.sequence import Sequence


class TooLong(ValueError):  # noqa: N818  the name says what happened
    """The prompt and the tokens asked for do not fit a slot."""


@dataclass(frozen=True, slots=True)
class PrefillPiece:
    """Read prompt tokens [start, end) of a sequence."""

    sequence: Sequence
    start: int
    end: int

    @property
    def is_last(self) -> bool:
        return self.end == len(self.sequence.request.prompt_ids)


@dataclass(frozen=True, slots=True)
class Step:
    prefill: PrefillPiece | None
    decode: tuple[Sequence, ...]

    @property
    def is_empty(self) -> bool:
        return self.prefill is None and not self.decode


class Scheduler:
    """Line up requests for `num_slots` slots of `slot_tokens` tokens each.

    Laws: a slot has at most one owner; whatever ends a sequence gives its slot back exactly once;
    requests are admitted in the order in which they came.
    """

    def __init__(self, *, num_slots: int, slot_tokens: int, piece_tokens: int = 256) -> None:
        self.num_slots = num_slots
        self.slot_tokens = slot_tokens
        self._piece_tokens = piece_tokens
        self._free = list(range(num_slots))[::-1]
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
        if sequence.max_cache_tokens > self.slot_tokens:
            raise TooLong(
                f"{sequence.max_cache_tokens} tokens asked for; a slot holds {self.slot_tokens}"
            )

    def next_step(self) -> Step:
        """Admit who fits and say what to run; the caller reports back (`prefilled`, `end`)."""
        while self._free and self._waiting:
            sequence = self._waiting.popleft()
            sequence.slot = self._free.pop()
            self._running[sequence.request_id] = sequence
        prefill = next((one for one in self._running.values() if not one.is_prefilled), None)
        piece = None
        if prefill is not None:
            start = prefill.num_prefilled
            end = min(start + self._piece_tokens, len(prefill.request.prompt_ids))
            piece = PrefillPiece(prefill, start, end)
        ready = tuple(one for one in self._running.values() if one.is_prefilled)
        return Step(piece, ready)

    def prefilled(self, piece: PrefillPiece) -> None:
        piece.sequence.num_prefilled = piece.end

    def end(self, request_id: str) -> Sequence | None:
        """Take a request out, wherever it is; None when it is not here (any more)."""
        sequence = self._running.pop(request_id, None)
        if sequence is not None:
            self._free.append(sequence.slot)
            sequence.slot = -1
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
