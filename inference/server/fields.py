"""The request fields that are accepted, and their ranges. Everything else is refused by name.

An allow-list, so that a field that some other server honours (`chat_template`, media addresses)
is never passed over in silence. Knows nothing about models or engines.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference.chat import tools
from inference.contract import FieldsContradict, RequestRefused
from inference.reasoning import REQUEST_FIELDS

MAX_CHOICES: Final = 4
MAX_STOPS: Final = 4
MAX_STOP_CHARS: Final = 256
MAX_TOP_LOGPROBS: Final = 20

# Labels for the caller's own books; they change nothing in the answer.
LABELS: Final = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "store"})
COMMON: Final = LABELS | {
    "model",
    "n",
    "stream",
    "stream_options",
    "stop",
    "seed",
    "logprobs",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "max_tokens",
    "min_tokens",
    "ignore_eos",
}
CHAT: Final = (
    COMMON
    | REQUEST_FIELDS
    | tools.REQUEST_FIELDS
    | {"messages", "max_completion_tokens", "top_logprobs", "response_format"}
)
COMPLETION: Final = COMMON | {"prompt"}

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fields:
    """What one request asks for; None where the model's or the server's default applies."""

    model: str
    choices: int
    stream: bool
    include_usage: bool
    stops: tuple[str, ...]
    seed: int | None
    logprobs: int | None
    temperature: float | None
    top_p: float | None
    top_k: int
    min_p: float
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    max_tokens: int | None
    min_tokens: int
    ignore_eos: bool


def read_chat_fields(body: Body) -> Fields:
    """Check the fields of a chat request, but for messages, reasoning, tools and response_format.

    Raises: RequestRefused naming the field.
    """
    _refuse_unknown(body, CHAT)
    wanted = _flag(body, "logprobs")
    top = _whole(body, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    if top is not None and not wanted:
        raise RequestRefused("top_logprobs needs logprobs: true", param="top_logprobs")
    return _fields(body, (top or 0) if wanted else None)


def read_completion_fields(body: Body) -> Fields:
    """Check the fields of a raw completion request, but for the prompt."""
    _refuse_unknown(body, COMPLETION)
    return _fields(body, _whole(body, "logprobs", 0, MAX_TOP_LOGPROBS))


def read_prompt(body: Body) -> str:
    """Return the prompt text.

    Token ids are not taken: they could place control tokens where only the template may.
    """
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt:
        raise RequestRefused("prompt must be one non-empty string", param="prompt")
    return prompt


def _fields(body: Body, logprobs: int | None) -> Fields:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RequestRefused("model must be a non-empty string", param="model")
    stream = _flag(body, "stream")
    return Fields(
        model=model,
        choices=_whole(body, "n", 1, MAX_CHOICES) or 1,
        stream=stream,
        include_usage=_include_usage(body, stream=stream),
        stops=_stops(body.get("stop")),
        seed=_whole(body, "seed", -(2**63), 2**63 - 1),
        logprobs=logprobs,
        temperature=_number(body, "temperature", 0.0, 2.0),
        top_p=_number(body, "top_p", 0.0, 1.0, above=True),
        top_k=max(0, _whole(body, "top_k", -1, 1_000_000) or 0),
        min_p=_number(body, "min_p", 0.0, 1.0) or 0.0,
        presence_penalty=_number(body, "presence_penalty", -2.0, 2.0) or 0.0,
        frequency_penalty=_number(body, "frequency_penalty", -2.0, 2.0) or 0.0,
        repetition_penalty=_number(body, "repetition_penalty", 0.0, 2.0, above=True) or 1.0,
        max_tokens=_max_tokens(body),
        min_tokens=_whole(body, "min_tokens", 0, 10_000_000) or 0,
        ignore_eos=_flag(body, "ignore_eos"),
    )


def _refuse_unknown(body: Body, known: frozenset[str]) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        raise RequestRefused(
            f"field(s) not accepted: {', '.join(unknown)}; nothing is ignored in silence",
            param=unknown[0],
        )


def check_bound(fields: Fields, *, by: str, is_json: bool) -> None:
    """Refuse what could break an answer whose shape is promised by the field `by`.

    A stop string would cut JSON in two; it does not reach into calls of tools.

    Raises: FieldsContradict naming both fields.
    """
    clashes = {
        "ignore_eos": fields.ignore_eos,
        "min_tokens": fields.min_tokens > 0,
        "stop": is_json and bool(fields.stops),
    }
    for name in (name for name, clash in clashes.items() if clash):
        raise FieldsContradict(
            f"{name} and {by} contradict each other: what {by} promises could not be kept; "
            "send one of them",
            param=f"{name}, {by}",
        )


def _max_tokens(body: Body) -> int | None:
    old = _whole(body, "max_tokens", 1, 10_000_000)
    new = _whole(body, "max_completion_tokens", 1, 10_000_000)
    if old is not None and new is not None and old != new:
        raise FieldsContradict(
            f"max_tokens says {old} and max_completion_tokens says {new}; send one of them",
            param="max_tokens, max_completion_tokens",
        )
    return new if old is None else old


def _include_usage(body: Body, *, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, Mapping) or set(options) - {"include_usage"}:
        raise RequestRefused(
            "stream_options: only {'include_usage': true or false}", param="stream_options"
        )
    if not stream:
        raise RequestRefused("stream_options needs stream: true", param="stream_options")
    return _flag(options, "include_usage")


def _stops(value: object) -> tuple[str, ...]:
    stops = [] if value is None else value if isinstance(value, list) else [value]
    good = [stop for stop in stops if isinstance(stop, str) and 0 < len(stop) <= MAX_STOP_CHARS]
    if len(good) != len(stops) or len(stops) > MAX_STOPS:
        raise RequestRefused(
            f"stop must be up to {MAX_STOPS} strings of 1 to {MAX_STOP_CHARS} characters",
            param="stop",
        )
    return tuple(good)


def _flag(body: Body, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestRefused(f"{name} must be true or false", param=name)
    return bool(value)


def _whole(body: Body, name: str, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestRefused(f"{name} must be a whole number from {low} to {high}", param=name)
    return value


def _number(body: Body, name: str, low: float, high: float, *, above: bool = False) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    inside = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not inside or (above and value == low):
        edge = "above" if above else "from"
        raise RequestRefused(f"{name} must be a number {edge} {low:g} to {high:g}", param=name)
    return float(value)
