"""Follow one request through its life: prompt, tokens, thought, end. No torch, no text."""

from dataclasses import dataclass, field

from inference.protocol import FinishReason, ForcedEnd, GenerateRequest, ThinkingBudget


@dataclass
class Thought:
    """Count the tokens of a thought and say when its end must be forced."""

    budget: ThinkingBudget
    used: int = 0
    is_open: bool = True
    forced_end: ForcedEnd | None = None
    _pending: list[int] = field(default_factory=list)
    _tail: list[int] = field(default_factory=list)

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
            return
        if self._pending:
            self._pending.pop(0)
        else:
            self.used += 1
        self._tail = [*self._tail, token_id][-len(self.budget.end_ids) :]
        if tuple(self._tail) == self.budget.end_ids:
            self.is_open = False
            if self.forced_end is None:
                self.used -= len(self.budget.end_ids)

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
    """Hold one request's state. Law: `position` is the next place in the cache to be written."""

    def __init__(self, request: GenerateRequest) -> None:
        self.request = request
        self.slot = -1
        self.num_prefilled = 0
        self.output_ids: list[int] = []
        self.finish_reason: FinishReason | None = None
        thinking = request.thinking
        self.thought = Thought(thinking) if thinking and thinking.in_thought else None

    @property
    def request_id(self) -> str:
        return self.request.request_id

    @property
    def is_prefilled(self) -> bool:
        return self.num_prefilled == len(self.request.prompt_ids)

    @property
    def position(self) -> int:
        """Return where the newest token goes: the prompt, then all but that token."""
        return len(self.request.prompt_ids) + len(self.output_ids) - 1

    @property
    def max_cache_tokens(self) -> int:
        return len(self.request.prompt_ids) + self.request.sampling.max_tokens

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
        if len(self.output_ids) >= sampling.max_tokens:
            self.finish_reason = "length"
        return True
