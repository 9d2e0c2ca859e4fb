"""Write steps as the events of OpenAI's Responses API.

Law: items open and close one after the other, each with all its parts; what the last event says
was said by the events before it.
"""

import json
from json.encoder import encode_basestring
from typing import Any, Final, Literal

from inference import problem
from inference.chat.output import Delta
from inference.contract import Json, ServingError
from inference.server import answer, response_object
from inference.server.events import joined
from inference.server.generate import Step
from inference.server.response_object import ResponseObject

Kind = Literal["reasoning", "content", "tool_call"]
NAMES: Final[dict[Kind, tuple[str, str]]] = {
    "reasoning": ("rs", "response.reasoning_text"),
    "content": ("msg", "response.output_text"),
    "tool_call": ("fc", "response.function_call_arguments"),
}


class ResponseEvents:
    """The writer of one response; it has one choice."""

    def __init__(self, response: ResponseObject) -> None:
        self._response = response
        self._number = 0
        self._output: list[Json] = []
        self._item: _Item | None = None

    def opening(self) -> bytes:
        begun = self._response.json([])
        return b"".join(
            self._event(f"response.{moment}", response=begun)
            for moment in ("created", "in_progress")
        )

    def step(self, step: Step) -> bytes:
        shown = joined(step.deltas)
        if self._response.hides_thought:
            shown = [delta for delta in shown if delta.kind != "reasoning"]
        parts = [self._delta(delta) for delta in shown]
        if step.last:
            parts.append(self._ended())
        return b"".join(parts)

    def closing(self) -> bytes:
        status = self._response.status
        return self._event(f"response.{status}", response=self._response.json(self._output))

    def fault(self, error: ServingError) -> bytes:
        """Return the error event of every stream of this service: clients raise it."""
        return problem.event(error)

    def whole(self) -> Json:
        return self._response.json(self._response.output())

    def _delta(self, delta: Delta) -> bytes:
        opened = b""
        begins_call = delta.call is not None and bool(delta.call.id)
        if self._item is None or self._item.kind != delta.kind or begins_call:
            opened = self._open(delta)
        if self._item is None or not delta.text:
            return opened
        return opened + self._item.said(delta.text, self._next())

    def _open(self, delta: Delta) -> bytes:
        closed = self._close("completed")
        prefix = NAMES[delta.kind][0]
        index = len(self._output)
        item = self._item = _Item(delta, f"{prefix}_{self._response.token}_{index}", index)
        self._output.append(item.json(None, "in_progress"))
        added = self._event(
            "response.output_item.added", output_index=index, item=self._output[index]
        )
        if item.kind == "tool_call":
            return closed + added
        part = self._event("response.content_part.added", **item.place, part=item.part(""))
        return closed + added + part

    def _close(self, status: str) -> bytes:
        """Return the events that end the open item."""
        item, self._item = self._item, None
        if item is None:
            return b""
        text, index = item.text, item.index
        done = self._event(f"{item.event}.done", **item.place, **item.done(text))
        if item.kind != "tool_call":
            done += self._event("response.content_part.done", **item.place, part=item.part(text))
        self._output[index] = item.json(text, status)
        return done + self._event(
            "response.output_item.done", output_index=index, item=self._output[index]
        )

    def _ended(self) -> bytes:
        """Close what is open; a complete answer has a message, be it empty, or calls."""
        if self._response.status != "completed":
            return self._close("incomplete")
        said = any(item["type"] != "reasoning" for item in self._output)
        opened = b"" if said else self._open(Delta("content", ""))
        return opened + self._close("completed")

    def _event(self, name: str, /, **members: Any) -> bytes:
        body = {"type": name, "sequence_number": self._next(), **members}
        text = json.dumps(body, ensure_ascii=False)
        return f"event: {name}\ndata: {text}\n\n".encode()

    def _next(self) -> int:
        self._number += 1
        return self._number - 1


class _Item:
    """The item that is being written."""

    def __init__(self, first: Delta, item_id: str, index: int) -> None:
        self.kind = first.kind
        self.index = index
        self.event = NAMES[first.kind][1]
        self._id = item_id
        self._texts: list[str] = []
        self._call = answer.delta_json(first)["tool_calls"][0] if first.call else None
        self.place: Json = {"item_id": item_id, "output_index": index}
        more: Json = {"logprobs": []} if first.kind == "content" else {}
        if first.kind != "tool_call":
            self.place["content_index"] = 0
        body = json.dumps({"type": f"{self.event}.delta", **self.place, **more})
        head = f"event: {self.event}.delta\ndata: {body.removesuffix('}')}"
        self._head = head.encode() + b', "delta": '

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def said(self, text: str, number: int) -> bytes:
        self._texts.append(text)
        written: bytes = encode_basestring(text).encode()
        return self._head + written + b', "sequence_number": %d}\n\n' % number

    def part(self, text: str) -> Json:
        if self.kind == "reasoning":
            return response_object.thought_part(text)
        return response_object.text_part(text)

    def done(self, text: str) -> Json:
        """Return what this item's own last event says."""
        if self.kind == "tool_call":
            return {"arguments": text, "name": (self._call or {})["function"]["name"]}
        return {"text": text, "logprobs": []} if self.kind == "content" else {"text": text}

    def json(self, text: str | None, status: str) -> Json:
        """Return the item; `text` None: it is only beginning."""
        if self._call is not None:
            function = {**self._call["function"], "arguments": text or ""}
            call = {**self._call, "function": function}
            return response_object.function_call(self._id, call, status)
        made = response_object.thought if self.kind == "reasoning" else response_object.message
        return made(self._id, text, status)
