"""The objects of OpenAI's Responses API: the response, and the items of its output. Pure."""

from collections.abc import Sequence
from typing import Final

from inference.contract import Json
from inference.server.answer import Choice
from inference.server.runtime import Job

ECHOED: Final = ("instructions", "max_output_tokens", "metadata", "user", "safety_identifier")
CUT: Final = "max_output_tokens"
ABORTED: Final = {"code": "server_error", "message": "the engine ended the answer early"}


class ResponseObject:
    """The response to one request, as it stands at one moment or another."""

    def __init__(self, job: Job, body: Json) -> None:
        self._job = job
        self._body = body
        self.token = job.envelope.id.rpartition("-")[2]

    @property
    def choice(self) -> Choice:
        return self._job.runs[0].choice

    @property
    def status(self) -> str:
        """Return how it ended: the reason is the choice's."""
        ends = {None: "in_progress", "length": "incomplete", "abort": "failed"}
        return ends.get(self.choice.finish_reason, "completed")

    @property
    def hides_thought(self) -> bool:
        setting = self._job.envelope.setting
        return setting is not None and setting.exclude

    def json(self, output: Sequence[Json]) -> Json:
        envelope, body, status = self._job.envelope, self._body, self.status
        sampling = self._job.runs[0].request.sampling
        text = body.get("text") or {}
        many = body.get("parallel_tool_calls")
        return {
            "id": f"resp_{self.token}",
            "object": "response",
            "created_at": envelope.created,
            "status": status,
            "error": ABORTED if status == "failed" else None,
            "incomplete_details": {"reason": CUT} if status == "incomplete" else None,
            "model": envelope.model,
            "output": list(output),
            **{name: body.get(name) for name in ECHOED},
            "parallel_tool_calls": many is not False,
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "text": {"format": text.get("format") or {"type": "text"}},
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "reasoning": self._reasoning(),
            "previous_response_id": None,
            "background": False,
            "store": False,
            "truncation": "disabled",
            "service_tier": "default",
            "usage": None if status == "in_progress" else self._usage(),
        }

    def output(self) -> list[Json]:
        """Return the items of a complete answer."""
        choice = self.choice
        items: list[Json] = []
        ended = "completed" if self.status == "completed" else "incomplete"
        if choice.reasoning and not self.hides_thought:
            whole = choice.content or choice.calls
            status = "completed" if whole else ended
            items.append(thought(f"rs_{self.token}_{len(items)}", choice.reasoning, status))
        if choice.content or (ended == "completed" and not choice.calls):
            items.append(message(f"msg_{self.token}_{len(items)}", choice.content, ended))
        for call in choice.calls:
            items.append(function_call(f"fc_{self.token}_{len(items)}", call, ended))
        return items

    def _reasoning(self) -> Json:
        setting = self._job.envelope.setting
        if setting is None:
            return {"effort": None, "summary": None}
        effort = "none" if setting.mode == "off" else setting.effort
        ran = self._job.envelope.reasoning([self.choice])
        return {"effort": effort, "summary": None, **ran}

    def _usage(self) -> Json:
        usage = self._job.envelope.usage([self.choice])
        return {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": usage["completion_tokens_details"],
            "total_tokens": usage["total_tokens"],
        }


def thought(item_id: str, text: str | None, status: str) -> Json:
    """Return a reasoning item; `text` None: one that is only beginning."""
    content = [] if text is None else [thought_part(text)]
    return {
        "id": item_id,
        "type": "reasoning",
        "summary": [],
        "content": content,
        "status": status,
    }


def message(item_id: str, text: str | None, status: str) -> Json:
    content = [] if text is None else [text_part(text)]
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "content": content,
        "status": status,
    }


def function_call(item_id: str, call: Json, status: str) -> Json:
    """Return the item of a call as chat writes it."""
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call["id"],
        "name": call["function"]["name"],
        "arguments": call["function"]["arguments"],
        "status": status,
    }


def thought_part(text: str) -> Json:
    return {"type": "reasoning_text", "text": text}


def text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
