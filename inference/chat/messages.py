"""Read the `messages` of a request: text only, known roles only, thoughts of earlier turns out.

Owns the shape of a message, and that every call of a tool is answered before the talk goes on.
Knows nothing about templates or tokens.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from inference.chat.turns import CLOSER, OPENER, ToolCall, Turn
from inference.contract import RequestRefused
from inference.reasoning import strip_toggle_words

MAX_MESSAGES: Final = 1024
MAX_TEXT_CHARS: Final = 1_000_000
MAX_CALLS: Final = 128
MAX_ID_CHARS: Final = 256
MAX_DEPTH: Final = 32
ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
MEMBERS: Final = frozenset({"role", "content", "name"})
MORE_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "assistant": frozenset({"reasoning", "reasoning_content", "refusal", "tool_calls"}),
    "tool": frozenset({"tool_call_id"}),
}


def read_messages(value: object) -> list[Turn]:
    """Return the turns; an assistant's earlier thoughts are dropped, however they were sent.

    That holds between calls of tools and their answers too: a thought is never said twice.

    Raises: RequestRefused naming the place of the first fault.
    """
    if not isinstance(value, list) or not value:
        raise RequestRefused("messages must be a non-empty list", param="messages")
    if len(value) > MAX_MESSAGES:
        raise RequestRefused(
            f"messages has {len(value)} entries; {MAX_MESSAGES} at most", param="messages"
        )
    turns = [_turn(f"messages[{index}]", message) for index, message in enumerate(value)]
    if sum(len(turn.text) for turn in turns) > MAX_TEXT_CHARS:
        raise RequestRefused(f"messages exceed {MAX_TEXT_CHARS} characters", param="messages")
    if turns[-1].role not in ("user", "tool"):
        raise RequestRefused(
            "the last message must be the user's or a tool's: an answer begun by the caller could "
            "get round the model's own safeguards, so continuing one is not offered",
            param=f"messages[{len(turns) - 1}].role",
        )
    if all(turn.role in ("assistant", "tool") for turn in turns):
        raise RequestRefused("messages must hold a user or system message", param="messages")
    return _answered(turns)


def without_toggle_words(turns: Sequence[Turn]) -> list[Turn]:
    """Take the toggle words out of system and user text; an assistant's words are its own."""
    return [
        replace(turn, text=strip_toggle_words(turn.text))
        if turn.role in ("system", "user")
        else turn
        for turn in turns
    ]


def checked_json(value: Any, at: str, depth: int = 0) -> Any:
    """Return a JSON value that can be shown to a model: not too deep, no infinite numbers.

    Raises: RequestRefused naming `at`.
    """
    if depth > MAX_DEPTH:
        raise RequestRefused(f"{at} is nested deeper than {MAX_DEPTH} levels", param=at)
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise RequestRefused(f"{at} holds a number that is too large", param=at)
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list):
        for item in inner:
            checked_json(item, at, depth + 1)
    return value


def _turn(at: str, message: object) -> Turn:
    if not isinstance(message, Mapping):
        raise RequestRefused(f"{at} must be an object", param=at)
    role = ROLES.get(str(message.get("role")))
    if role is None:
        raise RequestRefused(f"{at}.role must be one of {', '.join(ROLES)}", param=f"{at}.role")
    unknown = sorted(set(message) - MEMBERS - MORE_MEMBERS.get(role, frozenset()))
    if unknown:
        raise RequestRefused(
            f"{at}.{unknown[0]} is not accepted in a message of role {message['role']}",
            param=f"{at}.{unknown[0]}",
        )
    text = _text(f"{at}.content", message.get("content"), may_be_null=role == "assistant")
    if role == "assistant":
        calls = _calls(f"{at}.tool_calls", message.get("tool_calls"))
        return Turn(role, _without_thought(text), calls)
    if role == "tool":
        return Turn(role, text, call_id=_id(f"{at}.tool_call_id", message.get("tool_call_id")))
    return Turn(role, text)


def _answered(turns: list[Turn]) -> list[Turn]:
    """Give each tool turn the name of the function it answers for.

    Raises: RequestRefused for an answer nobody asked for, or a call that nobody answered.
    """
    open_calls: dict[str, str] = {}
    told = []
    for index, turn in enumerate(turns):
        at = f"messages[{index}]"
        if turn.role != "tool" and open_calls:
            raise RequestRefused(
                f"{at}: the call {next(iter(open_calls))!r} before it has no answer; add a message "
                "of role tool with that tool_call_id",
                param=at,
            )
        if turn.role == "tool" and turn.call_id not in open_calls:
            raise RequestRefused(
                f"{at}.tool_call_id {turn.call_id!r} answers no call of the assistant's message "
                "before it",
                param=f"{at}.tool_call_id",
            )
        if turn.role == "tool":
            turn = replace(turn, name=open_calls.pop(turn.call_id))
        open_calls |= {call.id: call.name for call in turn.calls}
        told.append(turn)
    if open_calls:
        raise RequestRefused(
            f"the call {next(iter(open_calls))!r} has no answer; add a message of role tool",
            param="messages",
        )
    return told


def _calls(at: str, value: object) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CALLS:
        raise RequestRefused(f"{at} must be a list of 1 to {MAX_CALLS} calls", param=at)
    calls = tuple(_call(f"{at}[{index}]", call) for index, call in enumerate(value))
    if len({call.id for call in calls}) != len(calls):
        raise RequestRefused(f"{at} has two calls with one id", param=at)
    return calls


def _call(at: str, call: Any) -> ToolCall:
    if not isinstance(call, Mapping) or call.get("type", "function") != "function":
        raise RequestRefused(f"{at} must be a call of type function", param=at)
    function = call.get("function")
    if (
        not isinstance(function, Mapping)
        or not isinstance(function.get("name"), str)
        or not function["name"]
    ):
        raise RequestRefused(f"{at}.function must be an object with a name", param=f"{at}.function")
    where = f"{at}.function.arguments"
    return ToolCall(
        id=_id(f"{at}.id", call.get("id")),
        name=function["name"],
        arguments=_arguments(where, function.get("arguments")),
    )


def _arguments(at: str, text: object) -> Mapping[str, Any]:
    """Read the arguments: a JSON object in a string, as this service writes them."""
    if text in (None, ""):
        return {}
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RequestRefused(f"{at} must be a string that holds a JSON object", param=at)
    checked: Mapping[str, Any] = checked_json(value, at)
    return checked


def _id(at: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARS:
        raise RequestRefused(f"{at} must be a string of 1 to {MAX_ID_CHARS} characters", param=at)
    return value


def _text(at: str, content: object, *, may_be_null: bool) -> str:
    if isinstance(content, str):
        return content
    if content is None and may_be_null:
        return ""
    if isinstance(content, list):
        return "\n".join(_part(f"{at}[{index}]", part) for index, part in enumerate(content))
    raise RequestRefused(f"{at} must be a string or a list of text parts", param=at)


def _part(at: str, part: Any) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind != "text":
        raise RequestRefused(
            f"{at}.type is {kind!r}; only text is accepted: this service fetches no media",
            param=f"{at}.type",
        )
    text = part.get("text")
    if not isinstance(text, str):
        raise RequestRefused(f"{at}.text must be a string", param=f"{at}.text")
    return text


def _without_thought(text: str) -> str:
    """Drop a thought at the beginning; an unfinished one is all of the text."""
    if CLOSER in text:
        return text.rpartition(CLOSER)[2].strip()
    return "" if text.lstrip().startswith(OPENER) else text
