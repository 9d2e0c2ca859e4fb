"""Read the `messages` of a request: text only, known roles only, thoughts of earlier turns out.

Owns the shape of a message. Knows nothing about templates or tokens.
"""

from collections.abc import Mapping
from typing import Any, Final

from inference.chat.template import CLOSER, OPENER, Turn
from inference.contract import RequestRefused
from inference.reasoning import strip_toggle_words

MAX_MESSAGES: Final = 1024
MAX_TEXT_CHARS: Final = 1_000_000
ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
MEMBERS: Final = frozenset({"role", "content", "name", "reasoning", "reasoning_content", "refusal"})


def read_messages(value: object) -> list[Turn]:
    """Return the turns; an assistant's earlier thoughts are dropped, however they were sent.

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
    if turns[-1].role != "user":
        raise RequestRefused(
            "the last message must be the user's: an answer begun by the caller could get round "
            "the model's own safeguards, so continuing one is not offered",
            param=f"messages[{len(turns) - 1}].role",
        )
    return turns


def without_toggle_words(turns: list[Turn]) -> list[Turn]:
    """Take the toggle words out of system and user text; an assistant's words are its own."""
    return [
        turn if turn.role == "assistant" else Turn(turn.role, strip_toggle_words(turn.text))
        for turn in turns
    ]


def _turn(at: str, message: object) -> Turn:
    if not isinstance(message, Mapping):
        raise RequestRefused(f"{at} must be an object", param=at)
    unknown = sorted(set(message) - MEMBERS)
    if unknown:
        raise RequestRefused(f"{at}.{unknown[0]} is not accepted", param=f"{at}.{unknown[0]}")
    role = ROLES.get(str(message.get("role")))
    if role is None:
        raise RequestRefused(f"{at}.role must be one of {', '.join(ROLES)}", param=f"{at}.role")
    text = _text(f"{at}.content", message.get("content"), may_be_null=role == "assistant")
    return Turn(role, _without_thought(text) if role == "assistant" else text)


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
