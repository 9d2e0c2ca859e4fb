"""What a conversation is made of, once read: turns, calls of tools, and descriptions of tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

OPENER: Final = "<think>"
CLOSER: Final = "</think>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a function by the model, answered by a later turn with the same id."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message whose text is final: thoughts are already out.

    `calls` are an assistant's; `call_id` and `name` say which call a `tool` turn answers.
    """

    role: str
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `spec` is what the caller sent, to be shown to the model.

    `parameters` is a JSON schema of an object. `strict` asks that it be enforced even where the
    model is free not to call.
    """

    name: str
    parameters: Mapping[str, Any]
    spec: Mapping[str, Any]
    strict: bool = False
