"""The shapes of answers: OpenAI's objects, with the thought and what really ran beside them.

Pure: from what was generated to JSON. `reasoning` and `reasoning_content` always hold the same
text; the top-level `reasoning` member says which mode ran, who decided it, and what its budget did.
A call of a tool is streamed in two parts, its name and then its arguments, each whole.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from inference.chat.output import Delta
from inference.contract import Json
from inference.protocol import FinishReason, ForcedEnd
from inference.reasoning import ReasoningSetting

EndReason = FinishReason | Literal["tool_calls"]


class Bound(Protocol):
    """What held an answer to its grammar, and why it could not go on."""

    fault: str


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token: its text, its log-probability, and the likeliest others."""

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()

    def chat_json(self) -> Json:
        return {
            **_logprob_json(self.text, self.logprob),
            "top_logprobs": [_logprob_json(text, value) for text, value in self.top],
        }


@dataclass(slots=True)
class Choice:
    """What one choice has produced so far; token counts include what was not shown.

    `finish_reason` is set as the engine says it and read as callers know it: an answer that ends
    by itself after calls of tools ends with `tool_calls`, and one that its grammar could not
    complete is cut, which callers know as `length`.
    """

    index: int
    reasoning: str = ""
    content: str = ""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    budget_exhausted: bool = False
    forced_end: ForcedEnd | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)
    bound: Bound | None = None
    _ended: EndReason | None = None

    @property
    def finish_reason(self) -> EndReason | None:
        if self._ended == "stop" and self.bound is not None and self.bound.fault:
            return "length"
        return "tool_calls" if self._ended == "stop" and self.calls else self._ended

    @finish_reason.setter
    def finish_reason(self, reason: EndReason | None) -> None:
        self._ended = reason

    def add(self, delta: Delta) -> None:
        if delta.call is not None:
            self._add_call(delta)
        elif delta.kind == "reasoning":
            self.reasoning += delta.text
        else:
            self.content += delta.text

    def _add_call(self, delta: Delta) -> None:
        part = delta_json(delta)["tool_calls"][0]
        if part.pop("index") == len(self.calls):
            self.calls.append(part)
        else:
            self.calls[-1]["function"]["arguments"] += delta.text


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every part of one answer repeats."""

    id: str
    created: int
    model: str
    prompt_tokens: int
    setting: ReasoningSetting | None

    def chat_chunk(self, choices: list[Json], **more: Any) -> Json:
        return self._object("chat.completion.chunk", choices, more)

    def text_chunk(self, choices: list[Json], **more: Any) -> Json:
        return self._object("text_completion", choices, more)

    def chat(self, choices: Sequence[Choice]) -> Json:
        hide = self.setting is not None and self.setting.exclude
        listed = [
            {
                "index": choice.index,
                "message": _message(choice, hide=hide),
                "finish_reason": choice.finish_reason,
                "logprobs": _chat_logprobs(choice.logprobs),
            }
            for choice in choices
        ]
        return self._object("chat.completion", listed, self.closing(choices))

    def text(self, choices: Sequence[Choice]) -> Json:
        listed = [
            {
                "index": choice.index,
                "text": choice.content,
                "finish_reason": choice.finish_reason,
                "logprobs": text_logprobs(choice.logprobs),
            }
            for choice in choices
        ]
        return self._object("text_completion", listed, {"usage": self.usage(choices)})

    def closing(self, choices: Sequence[Choice]) -> Json:
        return {"usage": self.usage(choices), "reasoning": self.reasoning(choices)}

    def usage(self, choices: Sequence[Choice]) -> Json:
        completion = sum(choice.completion_tokens for choice in choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "completion_tokens_details": {
                "reasoning_tokens": sum(choice.reasoning_tokens for choice in choices)
            },
        }

    def reasoning(self, choices: Sequence[Choice]) -> Json:
        """Say what ran: of several choices, whether any met its budget."""
        if self.setting is None:
            return {}
        return {
            "mode": self.setting.mode,
            "source": self.setting.source,
            "budget": self.setting.budget_tokens,
            "budget_exhausted": any(choice.budget_exhausted for choice in choices),
            "forced_end": next((c.forced_end for c in choices if c.forced_end), None),
        }

    def _object(self, kind: str, choices: list[Json], more: Json) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **more,
        }


def chat_delta(
    index: int,
    delta: Json,
    *,
    finish_reason: EndReason | None = None,
    logprobs: Sequence[TokenLogprob] = (),
) -> Json:
    return {
        "index": index,
        "delta": delta,
        "finish_reason": finish_reason,
        "logprobs": _chat_logprobs(logprobs),
    }


def text_delta(
    index: int,
    text: str,
    *,
    finish_reason: EndReason | None = None,
    logprobs: Sequence[TokenLogprob] = (),
) -> Json:
    return {
        "index": index,
        "text": text,
        "finish_reason": finish_reason,
        "logprobs": text_logprobs(logprobs),
    }


def delta_json(delta: Delta) -> Json:
    if delta.call is not None:
        part: Json = {"index": delta.call.index, "function": {"arguments": delta.text}}
        if delta.call.id:
            part |= {"id": delta.call.id, "type": "function"}
            part["function"] = {"name": delta.call.name, "arguments": delta.text}
        return {"tool_calls": [part]}
    if delta.kind == "reasoning":
        return {"reasoning": delta.text, "reasoning_content": delta.text}
    return {"content": delta.text}


def event(body: Json) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def text_logprobs(logprobs: Sequence[TokenLogprob]) -> Json | None:
    """Return the older shape, of parallel lists."""
    if not logprobs:
        return None
    return {
        "tokens": [entry.text for entry in logprobs],
        "token_logprobs": [entry.logprob for entry in logprobs],
        "top_logprobs": [dict(entry.top) for entry in logprobs],
    }


def _message(choice: Choice, *, hide: bool) -> Json:
    message: Json = {"role": "assistant", "content": choice.content}
    if choice.calls:
        message |= {"content": choice.content or None, "tool_calls": choice.calls}
    if choice.reasoning and not hide:
        message |= {"reasoning": choice.reasoning, "reasoning_content": choice.reasoning}
    return message


def _chat_logprobs(logprobs: Sequence[TokenLogprob]) -> Json | None:
    return {"content": [entry.chat_json() for entry in logprobs]} if logprobs else None


def _logprob_json(text: str, value: float) -> Json:
    return {"token": text, "logprob": value, "bytes": list(text.encode())}
