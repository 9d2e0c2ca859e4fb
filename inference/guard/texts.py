"""Find every text that a request brings to the model, or an answer to the caller. Pure.

What is not known to be harmless is read: only the labels that no model sees, and the few words
that the protocol itself fixes (roles, kinds of parts), are passed over.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from inference.contract import GuardFailed, Json, RequestRefused
from inference.server.fields import LABELS

UNREAD: Final = LABELS | {"model"}
# Members whose names come from the caller too, such as the properties of a tool.
NAMED: Final = frozenset({"tools", "tool_choice", "response_format", "text"})
PROTOCOL_MEMBERS: Final = frozenset({"role", "type"})
PROTOCOL_WORDS: Final = frozenset(
    {
        *("system", "developer", "user", "assistant", "tool"),
        *("text", "input_text", "output_text", "refusal", "reasoning", "reasoning_text"),
        *("message", "function", "function_call", "function_call_output"),
    }
)
# Settings that have a few fixed words; any other word in them is read.
SETTINGS: Final = frozenset(
    {"reasoning", "reasoning_effort", "tool_choice", "truncation", "service_tier"}
)
SETTING_WORDS: Final = frozenset(
    {
        *("on", "off", "auto", "none", "minimal", "low", "medium", "high", "xhigh", "required"),
        *("mode", "effort", "enabled", "max_tokens", "exclude", "summary", "disabled", "default"),
    }
)
TOGGLE_WORDS: Final = ("/no_think", "/think")
MAX_DEPTH: Final = 64


def refuse_unreadable(body: Mapping[str, Any]) -> None:
    """Refuse what a guard could not read, before anything else looks at it.

    Raises: RequestRefused naming the field.
    """
    for name in ("logprobs", "top_logprobs"):
        # They show tokens the answer does not say, and before the guard has read on.
        if body.get(name) not in (None, False):
            raise RequestRefused(
                f"{name} is not offered on an endpoint with a guard; leave it out", param=name
            )
    many = body.get("n")
    if body.get("stream") and many not in (None, 1):
        raise RequestRefused(
            "n above 1 is not offered with stream on an endpoint with a guard; "
            "ask without stream, or once for each choice",
            param="n",
        )
    prompt = body.get("prompt")
    if isinstance(prompt, list) and not all(isinstance(item, str) for item in prompt):
        raise RequestRefused("prompt must be text on an endpoint with a guard", param="prompt")


def request_text(body: Mapping[str, Any]) -> str:
    """Return all that a request says, one text a line, in its order.

    Law: whatever reaches the model is in it, also where a chat template takes toggle words out of
    a text and so joins what stood on both sides.
    """
    found = [
        text
        for name, value in body.items()
        if name not in UNREAD
        for text in _texts(value, names=name in NAMED)
        if not (name in SETTINGS and text in SETTING_WORDS)
    ]
    said = "\n".join(dict.fromkeys(found))
    joined = _without_toggle_words(said)
    return said if joined == said else f"{said}\n{joined}"


def choice_text(choice: Mapping[str, Any]) -> str:
    """Return what one choice of a chat answer or of a raw completion says.

    Raises: GuardFailed when it has neither shape.
    """
    if isinstance(choice.get("text"), str):
        return str(choice["text"])
    if not isinstance(choice.get("message"), Mapping):
        raise GuardFailed("the replica's answer has a form that the guard cannot read")
    return _joined(choice["message"])


def output_text(output: object) -> str:
    """Return what the items of a response say."""
    if not isinstance(output, list):
        raise GuardFailed("the replica's answer has a form that the guard cannot read")
    return _joined(output)


def decoded(arguments: str) -> list[str]:
    """Return the strings inside a call's arguments, which are JSON in a string; none if not."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return []
    return list(_texts(value, names=True))


def _joined(value: object) -> str:
    return "\n".join(dict.fromkeys(_texts(value, names=False)))


def _texts(value: object, *, names: bool, depth: int = 0) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise RequestRefused(f"the body is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, names=names, depth=depth + 1)
    elif isinstance(value, Mapping):
        yield from _members(value, names, depth)


def _members(value: Mapping[str, Any], names: bool, depth: int) -> Iterator[str]:
    for name, item in value.items():
        if names:
            yield name
        elif name in PROTOCOL_MEMBERS and isinstance(item, str) and item in PROTOCOL_WORDS:
            continue
        yield from _texts(item, names=names, depth=depth + 1)
        if name == "arguments" and isinstance(item, str):
            # The model reads them decoded, and so does whoever runs the call.
            yield from decoded(item)


def _without_toggle_words(text: str) -> str:
    """Take the words out until none is left: templates differ in how often they look."""
    before = None
    while before != text:
        before = text
        for word in TOGGLE_WORDS:
            text = text.replace(word, "")
    return text


def parse(data: bytes) -> Json:
    """Read an answer of a replica.

    Raises: GuardFailed.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise GuardFailed("the replica's answer is no JSON object, so the guard cannot read it")
    return body
