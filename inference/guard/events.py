"""Read server-sent events of the three APIs: what each adds to the answer. Pure.

Only what is known is passed on: an event of an unknown kind could say anything.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from inference.contract import GuardFailed, Json

Kind = Literal["thought", "content", "call", "arguments"]
Part = tuple[Kind, str]
DELTA_MEMBERS: Final = frozenset(
    {"role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls"}
)
_OPENING: Final = frozenset({"response.created", "response.in_progress", "response.queued"})
_DELTAS: Final[Mapping[str, Kind]] = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "content",
    "response.reasoning_text.delta": "thought",
    "response.reasoning_summary_text.delta": "thought",
    "response.function_call_arguments.delta": "arguments",
}
_ADDED: Final = frozenset(
    {
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
    }
)
_DONE: Final = frozenset(
    {
        *("response.output_text.done", "response.refusal.done", "response.reasoning_text.done"),
        *("response.reasoning_summary_text.done", "response.reasoning_summary_part.done"),
        *("response.function_call_arguments.done", "response.content_part.done"),
        *("response.output_item.done",),
        *("response.completed", "response.incomplete", "response.failed"),
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """What one event means for the guard.

    `parts` are new texts of the answer; `repeats` are texts that it says again; `settles` marks
    an end, of an item or of all: it may go out only when everything before it was read to its
    end; `fails` marks the error event that a broken stream ends with; `body` is its JSON.
    """

    parts: tuple[Part, ...] = ()
    repeats: tuple[str, ...] = ()
    settles: bool = False
    fails: bool = False
    body: Json | None = None


def read_event(path: str, data: bytes) -> Event:
    """Read one whole event of the API at `path`.

    Raises: GuardFailed when it is of no known kind.
    """
    lines = data.decode("utf-8", errors="replace").split("\n")
    text = "\n".join(line[5:].strip() for line in lines if line.startswith("data:"))
    if not text:
        return Event()
    if text == "[DONE]":
        return Event(settles=True)
    try:
        body = json.loads(text)
        if "error" in body and body["error"] and "type" not in body:
            return Event(fails=True, body=body)
        if path == "/v1/responses":
            return _response(body)
        return _chunk(body)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, IndexError):
        raise _unknown() from None


def _unknown() -> GuardFailed:
    return GuardFailed("the replica sent an event that the guard cannot read")


def _chunk(body: Json) -> Event:
    choices = body["choices"]
    if not choices:
        return Event(settles=True, body=body)
    (choice,) = choices
    if choice["index"] != 0 or choice.get("logprobs"):
        raise _unknown()
    ends = choice.get("finish_reason") is not None
    if "text" in choice:
        parts: list[Part] = [("content", choice["text"])]
    else:
        parts = _delta(choice["delta"])
    return Event(parts=_said(parts), settles=ends, body=body)


def _delta(delta: Mapping[str, Any]) -> list[Part]:
    if any(value for name, value in delta.items() if name not in DELTA_MEMBERS):
        raise _unknown()
    thought, again = delta.get("reasoning") or "", delta.get("reasoning_content") or ""
    parts: list[Part] = [("thought", thought if again in ("", thought) else thought + again)]
    parts += [("content", delta.get(name) or "") for name in ("content", "refusal")]
    for call in delta.get("tool_calls") or []:
        function = call.get("function") or {}
        parts.append(("call", function.get("name") or ""))
        parts.append(("arguments", function.get("arguments") or ""))
    return parts


def _response(body: Json) -> Event:
    kind = body["type"]
    if kind in _OPENING:
        return Event(body=body)
    if kind in _DELTAS:
        return Event(parts=_said([(_DELTAS[kind], body["delta"])]), body=body)
    if kind in _ADDED:
        return Event(parts=_said(_added(body.get("item") or body.get("part"))), body=body)
    if kind in _DONE:
        return Event(repeats=tuple(_repeated(body)), settles=True, body=body)
    if kind == "error":
        return Event(fails=True, body=body)
    raise _unknown()


def _added(item: Any) -> list[Part]:
    if item["type"] == "function_call":
        return [("call", item["name"]), ("arguments", item.get("arguments") or "")]
    texts = [item, *(item.get("content") or []), *(item.get("summary") or [])]
    return [("content", one.get("text") or one.get("refusal") or "") for one in texts]


def _repeated(body: Json) -> list[str]:
    """List the texts in an event that says again what its deltas said."""
    response = body.get("response") or {}
    places = [body, body.get("part"), body.get("item"), *(response.get("output") or [])]
    found: list[str] = []
    for place in places:
        if isinstance(place, Mapping):
            parts = [place, *(place.get("content") or []), *(place.get("summary") or [])]
            found += [
                part[name]
                for part in parts
                for name in ("text", "refusal", "arguments")
                if isinstance(part.get(name), str)
            ]
    return found


def _said(parts: list[Part]) -> tuple[Part, ...]:
    if not all(isinstance(text, str) for _, text in parts):
        raise _unknown()
    return tuple((kind, text) for kind, text in parts if text)
