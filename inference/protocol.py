"""Say what an engine is asked and what it answers: token ids in, token ids out.

Templates, reasoning wishes, text, stop strings and policy live above this, once for all engines.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    (`newline_ids`), so that it is cut between lines rather than within one. A request that does
    not begin `in_thought` may still have `start_ids`: where the model writes them, a thought opens.
    """

    max_tokens: int
    end_ids: tuple[int, ...]
    in_thought: bool = True
    start_ids: tuple[int, ...] = ()
    newline_ids: tuple[int, ...] = ()
    soft_window_tokens: int = 0


class TokenConstraint(Protocol):
    """Say which tokens may come next in one sequence, such as those of a JSON schema.

    One object serves one sequence: it is told each token of the output in order, also those that
    were forced, and asked before each choice. `json_schema` is what an engine that enforces
    schemas itself is given instead of the object.
    """

    json_schema: str

    @property
    def in_thought(self) -> bool:
        """Tell whether a thought is running, in which nothing is bound yet."""
        ...

    def allowed(self) -> "NDArray[np.bool_] | None":
        """Return (vocab,) bool, at least one of them true; None where every token may come."""
        ...

    def accept(self, token_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    request_id: str
    prompt_ids: tuple[int, ...]
    sampling: SamplingParams
    thinking: ThinkingBudget | None = None
    constraint: TokenConstraint | None = None


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
    """Count requests, state slots and KV blocks now, and tokens and preemptions since the start.

    An engine that does not know a number of slots or blocks says 0.
    """

    queued: int = 0
    running: int = 0
    slots_total: int = 0
    slots_used: int = 0
    kv_blocks_total: int = 0
    kv_blocks_used: int = 0
    prompt_tokens_total: int = 0
    generated_tokens_total: int = 0
    preemptions_total: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """Say whether an engine can take requests; `reason` says why not."""

    state: Literal["starting", "ready", "draining", "failed"]
    reason: str = ""


class EngineError(Exception):
    """The engine broke and every open request with it; the process should be replaced."""


class EngineBackend(Protocol):
    """An engine. `generate` may be called from any number of tasks of one event loop.

    `drain` lets what runs end within the deadline, and takes nothing new; `stop` ends everything
    and returns when the engine's threads or processes have ended.
    """

    async def start(self) -> None:
        """Get ready to generate. Raises: EngineError."""
        ...

    def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]: ...
    def abort(self, request_id: str) -> None: ...
    async def drain(self, deadline_seconds: float) -> None: ...
    def health(self) -> Health: ...
    def stats(self) -> EngineStats: ...
    def stop(self) -> None: ...
