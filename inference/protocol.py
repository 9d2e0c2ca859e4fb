"""Say what an engine is asked and what it answers: token ids in, token ids out.

Templates, reasoning wishes, text, stop strings and policy live above this, once for all engines.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "abort"]
ForcedEnd = Literal["newline", "hard"]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Say how to choose tokens; temperature 0 is greedy, `top_k` 0 and `top_p` 1 leave all in.

    `logprobs` is how many alternatives to report a token, None for no report at all.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    max_tokens: int = 16
    min_tokens: int = 0
    ignore_eos: bool = False
    logprobs: int | None = None
    stop_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ThinkingBudget:
    """Bound a thought: at most `max_tokens` tokens, then `end_ids` are forced one a step.

    In the last `soft_window_tokens` of the budget the thought already ends after a newline
    (`newline_ids`), so that it is cut between lines rather than within one.
    """

    max_tokens: int
    end_ids: tuple[int, ...]
    in_thought: bool = True
    newline_ids: tuple[int, ...] = ()
    soft_window_tokens: int = 0


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    request_id: str
    prompt_ids: tuple[int, ...]
    sampling: SamplingParams
    thinking: ThinkingBudget | None = None


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """Carry new tokens of one request; `finish_reason` is set on the last chunk.

    The stop token itself is not among `token_ids`.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    top_logprobs: tuple[dict[int, float], ...] = ()
    finish_reason: FinishReason | None = None
    forced_end: ForcedEnd | None = None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Count requests and slots now, and tokens since the start."""

    queued: int
    running: int
    slots_total: int
    slots_used: int
    prompt_tokens_total: int
    generated_tokens_total: int


class EngineError(Exception):
    """The engine broke and every open request with it; the process should be replaced."""


class EngineBackend(Protocol):
    """An engine. `generate` may be called from any number of tasks of one event loop."""

    def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]: ...
    def abort(self, request_id: str) -> None: ...
    def stats(self) -> EngineStats: ...
    def failure(self) -> str | None: ...
    def stop(self) -> None: ...
