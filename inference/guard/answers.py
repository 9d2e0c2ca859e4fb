"""Write what a caller gets instead of a text that the guard withheld. Pure.

In OpenAI's own shapes: a choice ends with `content_filter`, a response is `incomplete` for that
reason. What was found, and by which pattern, is in the operator's log and not in the answer: it
would tell how to get round it. A `guard` member says which guard it was and on which side.
"""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

from inference.contract import Json
from inference.guard.stages import Side
from registry.artifact.guard import Guard

CONTENT_FILTER: Final = "content_filter"
DONE: Final = b"data: [DONE]\n\n"
RESPONSES: Final = "/v1/responses"
COMPLETIONS: Final = "/v1/completions"
NO_USAGE: Final = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
NO_RESPONSE_USAGE: Final = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


class Refusals:
    """The refusals of one guard on one request of the API at `path`."""

    def __init__(self, guard: Guard, path: str, body: Mapping[str, Any]) -> None:
        self._guard = guard
        self._path = path
        self._model = str(body.get("model") or "")
        options = body.get("stream_options")
        self._include_usage = isinstance(options, Mapping) and bool(options.get("include_usage"))

    def whole(self) -> Json:
        """Return the answer to a request that never reached the model; it cost no tokens."""
        if self._path == RESPONSES:
            return self.response(self._blank_response())
        choice = self.choice({"index": 0, "logprobs": None})
        kind = "text_completion" if self._path == COMPLETIONS else "chat.completion"
        return {
            **self._blank(kind, [choice]),
            "usage": dict(NO_USAGE),
            "guard": self.note("input"),
        }

    def stream(self) -> bytes:
        """Return the same as a whole stream."""
        if self._path == RESPONSES:
            blank = self._blank_response()
            created = {"type": "response.created", "sequence_number": 0, "response": blank}
            return _named_event(created) + self._response_end(blank, 1, "input")
        kind = "text_completion" if self._path == COMPLETIONS else "chat.completion.chunk"
        blank = self._blank(kind, [])
        return self._chunk_end(blank, self._guard.refusal, "input", opens=True)

    def choice(self, choice: Mapping[str, Any]) -> Json:
        """Return a choice that says the refusal alone."""
        ended = {"index": choice.get("index", 0), "finish_reason": CONTENT_FILTER, "logprobs": None}
        if self._path == COMPLETIONS:
            return {**ended, "text": self._guard.refusal}
        return {**ended, "message": {"role": "assistant", "content": self._guard.refusal}}

    def response(self, response: Mapping[str, Any], side: Side = "input") -> Json:
        """Return a response whose only item is the refusal."""
        part = {"type": "refusal", "refusal": self._guard.refusal}
        token = str(response.get("id") or "").removeprefix("resp_")
        item = {
            "id": f"msg_{token}_guard",
            "type": "message",
            "role": "assistant",
            "content": [part],
            "status": "incomplete",
        }
        return {
            **response,
            "status": "incomplete",
            "incomplete_details": {"reason": CONTENT_FILTER},
            "output": [item],
            "usage": response.get("usage") or dict(NO_RESPONSE_USAGE),
            "guard": self.note(side),
        }

    def cut(self, last: Mapping[str, Any] | None, *, has_shown_text: bool) -> bytes:
        """Return the events that end a stream whose rest is withheld.

        `last` is the body of the last event that was read; its id and model go on.
        """
        if self._path == RESPONSES:
            seen = last or {}
            response = seen.get("response") or self._blank_response()
            number = int(seen.get("sequence_number") or 0) + 1
            return self._response_end(response, number, "output")
        kind = "text_completion" if self._path == COMPLETIONS else "chat.completion.chunk"
        blank = self._blank(kind, [])
        blank |= {name: last[name] for name in ("id", "created", "model") if last and name in last}
        text = ("\n\n" if has_shown_text else "") + self._guard.refusal
        return self._chunk_end(blank, text, "output", opens=False)

    def note(self, side: Side) -> Json:
        return {"digest": self._guard.digest, "name": self._guard.name, "withheld": side}

    def _chunk_end(self, blank: Json, text: str, side: Side, *, opens: bool) -> bytes:
        said: Json
        ended: Json
        if self._path == COMPLETIONS:
            said, ended = {"text": text}, {"text": ""}
        else:
            role: Json = {"role": "assistant"} if opens else {}
            said = {"delta": {**role, "content": text}}
            ended = {"delta": {}}
        first = {"index": 0, **said, "finish_reason": None, "logprobs": None}
        last = {"index": 0, **ended, "finish_reason": CONTENT_FILTER, "logprobs": None}
        events = [
            _event({**blank, "choices": [first]}),
            _event({**blank, "choices": [last], "guard": self.note(side)}),
        ]
        if self._include_usage and side == "input":
            events.append(_event({**blank, "usage": dict(NO_USAGE)}))
        return b"".join([*events, DONE])

    def _response_end(self, response: Mapping[str, Any], number: int, side: Side) -> bytes:
        whole = self.response(response, side)
        (item,) = whole["output"]
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        bare = {**item, "content": [], "status": "in_progress"}
        empty = {"type": "refusal", "refusal": ""}
        (part,) = item["content"]
        events: list[Json] = []
        if side == "input":
            # After other items these would contradict the places that those took.
            events = [
                {"type": "response.output_item.added", "output_index": 0, "item": bare},
                {"type": "response.content_part.added", **place, "part": empty},
                {"type": "response.refusal.delta", **place, "delta": part["refusal"]},
                {"type": "response.refusal.done", **place, "refusal": part["refusal"]},
                {"type": "response.content_part.done", **place, "part": part},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
            ]
        events.append({"type": "response.incomplete", "response": whole})
        return b"".join(
            _named_event({**event, "sequence_number": at})
            for at, event in enumerate(events, start=number)
        )

    def _blank(self, kind: str, choices: list[Json]) -> Json:
        prefix = "cmpl" if self._path == COMPLETIONS else "chatcmpl"
        return {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self._model,
            "choices": choices,
        }

    def _blank_response(self) -> Json:
        return {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": self._model,
            "output": [],
            "instructions": None,
            "metadata": None,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "temperature": None,
            "top_p": None,
            "reasoning": {"effort": None, "summary": None},
            "usage": None,
        }


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def _named_event(body: Mapping[str, Any]) -> bytes:
    return f"event: {body['type']}\n".encode() + _event(body)
