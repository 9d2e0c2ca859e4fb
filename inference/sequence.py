"""Follow one request through its life: prompt, tokens, thought, end. No torch, no text."""

from dataclasses import dataclass, field

from inference.protocol import FinishReason, ForcedEnd, GenerateRequest, ThinkingBudget


@dataclass
class Thought:
    """Count the tokens of a thought and say when its end must be forced."""

    budget: ThinkingBudget
    used: int = 0
    forced_end: ForcedEnd | None = None
    _has_ended: bool = False
    _pending: list[int] = field(default_factory=list)
    _tail: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.is_open = self.budget.in_thought

    def forced_token(self) -> int | None:
        """Return the token that must come next, or None where the model chooses."""
        if not self.is_open:
            return None
        if not self._pending and (reason := self._must_end()) is not None:
            self.forced_end = reason
            # Part of the end may stand already, chosen by the model itself.
            self._pending = list(self.budget.end_ids[self._matched() :])
        return self._pending[0] if self._pending else None

    def accept(self, token_id: int) -> None:
        """Take the next token into account; the end sequence itself costs no budget."""
        if not self.is_open:
            self._watch_for_start(token_id)
            return
        if self._pending:
            self._pending.pop(0)
        else:
            self.used += 1
        self._tail = [*self._tail, token_id][-len(self.budget.end_ids) :]
        if tuple(self._tail) == self.budget.end_ids:
            self.is_open = False
            self._has_ended = True
            if self.forced_end is None:
                self.used -= len(self.budget.end_ids)

    def _watch_for_start(self, token_id: int) -> None:
        """Open the thought where the model itself does: at the beginning, blank lines aside."""
        start = self.budget.start_ids
        if self._has_ended or not start:
            return
        if not self._tail and token_id in self.budget.newline_ids:
            return
        self._tail.append(token_id)
        if tuple(self._tail) == start:
            self.is_open = True
            self._tail = []
        elif tuple(self._tail) != start[: len(self._tail)]:
            # The answer has begun: what looks like an opener from here on is text.
            self._has_ended = True

    def _must_end(self) -> ForcedEnd | None:
        left = self.budget.max_tokens - self.used
        if left <= 0:
            return "hard"
        at_newline = bool(self._tail) and self._tail[-1] in self.budget.newline_ids
        return "newline" if at_newline and left <= self.budget.soft_window_tokens else None

    def _matched(self) -> int:
        """Return how many tokens of the end sequence the tail already holds."""
        for length in range(min(len(self._tail), len(self.budget.end_ids) - 1), 0, -1):
            if tuple(self._tail[-length:]) == self.budget.end_ids[:length]:
                return length
        return 0


class Sequence:
    """Hold one request's state.

    `num_read` tokens of prompt and output are in the cache; while that is below `read_until`
    they are read in pieces, afterwards one a step as they are generated.
    """

    def __init__(self, request: GenerateRequest) -> None:
        self.request = request
        self.output_ids: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.thought = Thought(request.thinking) if request.thinking else None
        self.slot = 0
        self.blocks: list[int] = []
        self.num_read = 0
        self.read_until = 0

    @property
    def request_id(self) -> str:
        return self.request.request_id

    @property
    def num_tokens(self) -> int:
        """Prompt and output so far."""
        return len(self.request.prompt_ids) + len(self.output_ids)

    @property
    def is_reading(self) -> bool:
        return self.num_read < self.read_until

    @property
    def max_cache_tokens(self) -> int:
        return len(self.request.prompt_ids) + self.request.sampling.max_tokens

    def token_ids(self, start: int, end: int) -> list[int]:
        """Return tokens [start, end) of prompt and output."""
        prompt = self.request.prompt_ids
        mine = list(prompt[start:end])
        if end > len(prompt):
            mine += self.output_ids[max(0, start - len(prompt)) : end - len(prompt)]
        return mine

    def seat(self, slot: int, blocks: list[int]) -> None:
        """Give the sequence its place in the cache; everything known so far is to be read."""
        self.slot, self.blocks = slot, blocks
        self.num_read, self.read_until = 0, self.num_tokens

    def unseat(self) -> None:
        self.slot, self.blocks = 0, []
        self.num_read = self.read_until = 0

    def forced_token(self) -> int | None:
        return self.thought.forced_token() if self.thought else None

    def may_stop(self) -> bool:
        """Tell whether a stop token may end this now."""
        sampling = self.request.sampling
        return not sampling.ignore_eos and len(self.output_ids) >= sampling.min_tokens

    def accept(self, token_id: int) -> bool:
        """Take one token; return whether it belongs to the output (a stop token does not)."""
        sampling = self.request.sampling
        if token_id in sampling.stop_ids and self.may_stop():
            self.finish_reason = "stop"
            return False
        self.output_ids.append(token_id)
        if self.thought is not None:
            self.thought.accept(token_id)
        if self.request.constraint is not None:
            self.request.constraint.accept(token_id)
        if len(self.output_ids) >= sampling.max_tokens:
            self.finish_reason = "length"
        return True
