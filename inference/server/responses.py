"""Read requests of OpenAI's Responses API as chat requests. Pure but for running the chat job.

Owns the allow-list of its fields and items, and the refusal of whatever needs kept state: this
service stores no answers. What chat and responses share is decided once, by chat.
"""

from collections.abc import Mapping
from typing import Any, Final

from inference.contract import Json, RequestRefused
from inference.server.runtime import Job, Runtime

STATELESS: Final = "this service keeps no answers; send the whole conversation as input"
# Fields that need kept state, and the only values of them that ask for none.
STATE_FIELDS: Final[Mapping[str, object]] = {
    "previous_response_id": None,
    "conversation": None,
    "background": False,
    "store": False,
}
# Fields that would change the answer, and the only values of them that leave it as it is.
FIXED_FIELDS: Final[Mapping[str, tuple[object, ...]]] = {
    "truncation": (None, "disabled"),
    "service_tier": (None, "auto", "default"),
    "stream_options": (None, {}, {"include_obfuscation": False}),
    "include": (None, []),
}
# Passed on to chat under the same names.
SHARED_FIELDS: Final = (
    *("model", "stream", "temperature", "top_p", "parallel_tool_calls"),
    *("user", "metadata", "safety_identifier", "prompt_cache_key"),
)
OWN_FIELDS: Final = frozenset(
    {"input", "instructions", "max_output_tokens", "reasoning", "text", "tools", "tool_choice"}
)
FIELDS: Final = OWN_FIELDS | set(SHARED_FIELDS) | set(STATE_FIELDS) | set(FIXED_FIELDS)
TEXT_PARTS: Final[Mapping[str, frozenset[str]]] = {
    "input_text": frozenset({"type", "text"}),
    "output_text": frozenset({"type", "text", "annotations", "logprobs"}),
    "refusal": frozenset({"type", "refusal"}),
}
MAX_LABELS: Final = 16
MAX_LABEL_CHARS: Final = 512
ITEM_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "message": frozenset({"type", "id", "status", "role", "content"}),
    "function_call": frozenset({"type", "id", "status", "call_id", "name", "arguments"}),
    "function_call_output": frozenset({"type", "id", "status", "call_id", "output"}),
}


def read_responses_job(runtime: Runtime, body: Json) -> Job:
    """Accept a request.

    Raises: RequestRefused and what `Runtime.chat_job` raises; its fields bear the caller's names.
    """
    chat = chat_body(body)
    try:
        return runtime.chat_job(chat)
    except RequestRefused as error:
        error.param = _own_name(error.param)
        raise


def chat_body(body: Json) -> Json:
    """Return the chat request that asks for the same.

    Raises: RequestRefused naming the field or the item.
    """
    _check_fields(body)
    text = _format(body.get("text"))
    made = {
        "messages": _instructions(body.get("instructions")) + _messages(body.get("input")),
        "max_completion_tokens": body.get("max_output_tokens"),
        "reasoning": _reasoning(body.get("reasoning")),
        "response_format": text,
        "tools": _tools(body.get("tools")),
        "tool_choice": _tool_choice(body.get("tool_choice")),
        **{name: body.get(name) for name in SHARED_FIELDS},
    }
    return {name: value for name, value in made.items() if value is not None}


def _check_fields(body: Json) -> None:
    unknown = sorted(set(body) - FIELDS)
    if unknown:
        raise RequestRefused(
            f"field(s) not accepted: {', '.join(unknown)}; nothing is ignored in silence",
            param=unknown[0],
        )
    for name, none in STATE_FIELDS.items():
        if body.get(name) not in (None, none):
            raise RequestRefused(f"{name} is not offered: {STATELESS}", param=name)
    for name, same in FIXED_FIELDS.items():
        if body.get(name) not in same:
            raise RequestRefused(f"{name} {body[name]!r} is not offered; leave it out", param=name)
    _check_labels(body)


def _check_labels(body: Json) -> None:
    """Hold what the answer repeats to short strings."""
    labels = body.get("metadata") or {}
    texts = labels.values() if isinstance(labels, Mapping) else [None]
    if len(texts) > MAX_LABELS or not all(_is_label(text) for text in texts):
        raise RequestRefused(
            f"metadata must hold up to {MAX_LABELS} strings of up to {MAX_LABEL_CHARS} characters",
            param="metadata",
        )
    for name in ("user", "safety_identifier", "prompt_cache_key"):
        if body.get(name) is not None and not _is_label(body[name]):
            raise RequestRefused(
                f"{name} must be a string of up to {MAX_LABEL_CHARS} characters", param=name
            )


def _is_label(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_LABEL_CHARS


def _own_name(param: str | None) -> str | None:
    """Return the name the caller gave a field of the chat request."""
    names = {
        "messages": "input",
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "response_format": "text.format",
    }
    for chat, own in names.items():
        # A place within messages is not the same place within input.
        if param is not None and param.startswith(chat):
            return own
    return param


def _instructions(value: object) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, str):
        raise RequestRefused("instructions must be a string", param="instructions")
    return [{"role": "system", "content": value}]


def _messages(value: object) -> list[Json]:
    if isinstance(value, str) and value:
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise RequestRefused("input must be a non-empty string or list of items", param="input")
    messages: list[Json] = []
    for index, item in enumerate(value):
        _add_item(messages, f"input[{index}]", item)
    return messages


def _add_item(messages: list[Json], at: str, item: object) -> None:
    """Append what an item says; calls of one turn of the model become one message."""
    if not isinstance(item, Mapping):
        raise RequestRefused(f"{at} must be an object", param=at)
    kind = item.get("type", "message")
    if kind == "reasoning":
        # A thought is never said twice; the model's template would drop it, too.
        return
    if kind == "item_reference":
        raise RequestRefused(f"{at}: an item cannot be referred to: {STATELESS}", param=at)
    if not isinstance(kind, str) or kind not in ITEM_MEMBERS:
        known = ", ".join([*ITEM_MEMBERS, "reasoning"])
        raise RequestRefused(f"{at}.type {kind!r} is not one of {known}", param=f"{at}.type")
    _only(at, item, ITEM_MEMBERS[kind])
    if kind == "message":
        content = _content(f"{at}.content", item.get("content"))
        messages.append({"role": item.get("role"), "content": content})
    elif kind == "function_call_output":
        content = _content(f"{at}.output", item.get("output"))
        tool: Json = {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
        messages.append(tool)
    else:
        _add_call(messages, item)


def _add_call(messages: list[Json], item: Mapping[str, Any]) -> None:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _content(at: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RequestRefused(f"{at} must be a string or a list of text parts", param=at)
    return "\n".join(_part(f"{at}[{index}]", part) for index, part in enumerate(value))


def _part(at: str, part: object) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str) or kind not in TEXT_PARTS:
        raise RequestRefused(
            f"{at}.type is {kind!r}; only {', '.join(TEXT_PARTS)} are accepted: this service "
            "fetches no media",
            param=f"{at}.type",
        )
    _only(at, part, TEXT_PARTS[kind])
    name = "refusal" if kind == "refusal" else "text"
    text = part.get(name)
    if not isinstance(text, str):
        raise RequestRefused(f"{at}.{name} must be a string", param=f"{at}.{name}")
    return text


def _only(at: str, value: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse members nobody reads; null says nothing, and clients send it back to us."""
    unknown = sorted(name for name in value if name not in known and value[name] is not None)
    if unknown:
        raise RequestRefused(f"{at}.{unknown[0]} is not accepted", param=f"{at}.{unknown[0]}")


def _reasoning(value: object) -> object:
    """Return chat's object; there is no summary, but the thought itself is in the answer."""
    if not isinstance(value, Mapping):
        return value
    if value.get("summary") not in (None, "auto"):
        raise RequestRefused(
            "reasoning.summary must be null or auto: thoughts are given as they are, "
            "not summarised",
            param="reasoning.summary",
        )
    return {name: item for name, item in value.items() if name != "summary"}


def _format(value: object) -> object:
    """Return chat's response_format."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise RequestRefused("text must be an object", param="text")
    _only("text", value, frozenset({"format"}))
    wanted = value.get("format")
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        return wanted
    named = {name: item for name, item in wanted.items() if name != "type" and item is not None}
    if not isinstance(named.get("description", ""), str):
        raise RequestRefused("text.format.description must be a string", param="text.format")
    return {"type": "json_schema", "json_schema": named}


def _tools(value: object) -> object:
    if not isinstance(value, list):
        return value
    # No tools: what some clients send instead of leaving the field out.
    return [_tool(f"tools[{index}]", tool) for index, tool in enumerate(value)] or None


def _tool(at: str, tool: object) -> Json:
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or kind != "function":
        raise RequestRefused(
            f"{at}.type is {kind!r}; only function is offered: this service runs no tools",
            param=f"{at}.type",
        )
    function = {name: item for name, item in tool.items() if name != "type" and item is not None}
    return {"type": "function", "function": function}


def _tool_choice(value: object) -> object:
    if isinstance(value, Mapping) and value.get("type") == "function":
        return {
            "type": "function",
            "function": {name: item for name, item in value.items() if name != "type"},
        }
    return value
