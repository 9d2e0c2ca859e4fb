"""Read which tools a request offers, and whether the model must call one. Functions only.

Owns the shape and the limits of `tools`, `tool_choice` and `parallel_tool_calls`. Knows nothing
about templates or how a model writes a call.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from inference.chat.messages import checked_json
from inference.chat.turns import Tool
from inference.contract import RequestRefused

MAX_TOOLS: Final = 128
MAX_TOOLS_CHARS: Final = 256 * 1024
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
REQUEST_FIELDS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})

Body = Mapping[str, Any]
Choice = Literal["auto", "none", "required"]


@dataclass(frozen=True, slots=True)
class ToolWish:
    """What a request offers the model to call.

    `tools` are those the model is shown: none at all with `tool_choice: none`, which is how that
    choice is kept. `callable_tools` are those it may call: one, where `tool_choice` names it.
    """

    tools: tuple[Tool, ...] = ()
    callable_tools: tuple[Tool, ...] = ()
    must_call: bool = False
    may_call_many: bool = True

    @property
    def is_bound(self) -> bool:
        """Tell whether something must be enforced, rather than left to the model."""
        strict = any(tool.strict for tool in self.tools)
        return bool(self.tools) and (self.must_call or strict or not self.may_call_many)


NO_TOOLS: Final = ToolWish()


def read_tools(body: Body) -> ToolWish:
    """Read the offer.

    Raises: RequestRefused naming the field.
    """
    tools = _tools(body.get("tools"))
    many = body.get("parallel_tool_calls")
    if many is not None and not isinstance(many, bool):
        raise RequestRefused(
            "parallel_tool_calls must be true or false", param="parallel_tool_calls"
        )
    choice, named = _choice(body.get("tool_choice"))
    if not tools:
        if choice == "required" or named is not None:
            raise RequestRefused("tool_choice asks for a call; send tools", param="tool_choice")
        return NO_TOOLS
    if choice == "none":
        return NO_TOOLS
    callable_tools = tools if named is None else _named(tools, named)
    return ToolWish(
        tools,
        callable_tools,
        must_call=choice == "required" or named is not None,
        may_call_many=many is not False,
    )


def _named(tools: Sequence[Tool], name: str) -> tuple[Tool, ...]:
    found = tuple(tool for tool in tools if tool.name == name)
    if not found:
        raise RequestRefused(f"tool_choice names {name!r}, which tools lack", param="tool_choice")
    return found


def _choice(value: object) -> tuple[Choice, str | None]:
    """Return the choice, and the one function it names."""
    if value is None:
        return "auto", None
    if value in ("auto", "none", "required"):
        return value, None
    function = value.get("function") if isinstance(value, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or value != {"type": "function", "function": {"name": name}}:
        raise RequestRefused(
            "tool_choice must be auto, none, required or "
            '{"type": "function", "function": {"name": ...}}',
            param="tool_choice",
        )
    return "required", name


def _tools(value: object) -> tuple[Tool, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TOOLS:
        raise RequestRefused(f"tools must be a list of 1 to {MAX_TOOLS} functions", param="tools")
    tools = tuple(_tool(f"tools[{index}]", tool) for index, tool in enumerate(value))
    if len({tool.name for tool in tools}) != len(tools):
        raise RequestRefused("tools has two functions of one name", param="tools")
    if len(json.dumps(value)) > MAX_TOOLS_CHARS:
        raise RequestRefused(f"tools exceed {MAX_TOOLS_CHARS} characters", param="tools")
    return tools


def _tool(at: str, tool: Any) -> Tool:
    if not isinstance(tool, Mapping) or tool.get("type") != "function":
        raise RequestRefused(f"{at}.type must be function", param=f"{at}.type")
    function = tool.get("function")
    if set(tool) != {"type", "function"} or not isinstance(function, Mapping):
        raise RequestRefused(f"{at} must hold type and function only", param=at)
    at += ".function"
    unknown = sorted(set(function) - {"name", "description", "parameters", "strict"})
    if unknown:
        raise RequestRefused(f"{at}.{unknown[0]} is not accepted", param=f"{at}.{unknown[0]}")
    name = function.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RequestRefused(
            f"{at}.name must be 1 to 64 letters, digits, _ or -", param=f"{at}.name"
        )
    if not isinstance(function.get("description", ""), str | None):
        raise RequestRefused(f"{at}.description must be a string", param=f"{at}.description")
    if not isinstance(function.get("strict"), bool | None):
        raise RequestRefused(f"{at}.strict must be true or false", param=f"{at}.strict")
    return Tool(
        name,
        parameters=_parameters(f"{at}.parameters", function.get("parameters")),
        spec=checked_json(tool, at),
        strict=bool(function.get("strict")),
    )


def _parameters(at: str, schema: object) -> Mapping[str, Any]:
    """Return the schema of the arguments object; without one, a function takes none."""
    if schema is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        raise RequestRefused(f"{at} must be a JSON schema of type object", param=at)
    return {**schema, "type": "object"}
