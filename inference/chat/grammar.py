"""Write the grammar of what an answer must be: JSON of a schema, calls of tools, or either.

Grammars are llguidance's Lark. Owns `response_format` and how a call is spelled token by token.
Knows nothing about tokens but the ids of markers.

A schema is enforced as a whole whether `strict` is true, false or absent: a keyword that cannot be
enforced is refused, never passed over.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference.chat.calls import CallSyntax
from inference.chat.messages import checked_json
from inference.chat.tools import NAME, ToolWish
from inference.chat.turns import Tool
from inference.contract import RequestRefused

MAX_SCHEMA_CHARS: Final = 64 * 1024
# Bounded: a weak model that may write white space for ever sometimes does.
WHITE_SPACE: Final = r"[ \n\r\t]{0,40}"
PREFIX: Final = "%llguidance {}\nWS: /[ \\n\\r\\t]{1,8}/\nTEXT: /(.|\\n)*/\n"

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar; `field` is what the caller wrote it in, `json_schema` the schema if it is one."""

    text: str
    field: str
    json_schema: str = ""


def read_response_format(body: Body) -> Mapping[str, Any] | None:
    """Return the JSON schema the answer must meet; None for plain text.

    Raises: RequestRefused naming response_format.
    """
    wanted = body.get("response_format")
    if wanted in (None, {"type": "text"}):
        return None
    if wanted == {"type": "json_object"}:
        return {"type": "object"}
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        raise _refused("type must be text, json_object or json_schema")
    named = wanted.get("json_schema")
    if set(wanted) != {"type", "json_schema"} or not isinstance(named, Mapping):
        raise _refused("must hold type and json_schema, an object")
    if set(named) - {"name", "description", "schema", "strict"}:
        raise _refused("json_schema takes name, description, schema and strict")
    if not isinstance(named.get("name"), str) or not NAME.fullmatch(named["name"]):
        raise _refused("json_schema.name must be 1 to 64 letters, digits, _ or -")
    if not isinstance(named.get("strict"), bool | None):
        raise _refused("json_schema.strict must be true or false")
    schema = named.get("schema")
    if not isinstance(schema, Mapping):
        raise _refused("json_schema.schema must be an object")
    return schema


def answer_grammar(
    schema: Mapping[str, Any] | None,
    wish: ToolWish,
    syntax: CallSyntax | None,
    control_ids: Mapping[str, int],
) -> Grammar | None:
    """Return the grammar of the answer; None where the model may write what it likes."""
    calls = syntax is not None and bool(wish.callable_tools)
    if schema is None and not (calls and wish.is_bound):
        return None
    if syntax is None or not calls:
        text = _json(schema or {}, "response_format")
        whole = f"{PREFIX}start: WS? answer\nanswer: {text}\n"
        return Grammar(whole, "response_format", json.dumps(schema))
    rules = _call_rules(wish, syntax, control_ids)
    field = "tools"
    if wish.must_call:
        start = "start: WS? opener calls\n"
    elif schema is not None:
        start = f"start: WS? (answer | opener calls)\nanswer: {_json(schema, 'response_format')}\n"
        field = "response_format, tools"
    else:
        start = _free_start(syntax, control_ids)
    return Grammar(PREFIX + start + rules, field)


def _free_start(syntax: CallSyntax, control_ids: Mapping[str, int]) -> str:
    """Let text come before calls, or alone."""
    if syntax.opener in control_ids:
        return "start: TEXT | TEXT opener calls\n"
    return f"start: TEXT | head calls\nhead[lazy]: /(.|\\n)*{syntax.opener}/\n"


def _call_rules(wish: ToolWish, syntax: CallSyntax, control_ids: Mapping[str, int]) -> str:
    tools = wish.callable_tools
    opener, closer = (_marker(text, control_ids) for text in (syntax.opener, syntax.closer))
    lines = [f"opener: {opener}", f"closer: {closer}"]
    lines.append("call: " + " | ".join(f"call_{index}" for index in range(len(tools))))
    if syntax.is_list:
        more = '(", " call)*' if wish.may_call_many else ""
        lines.append(f'calls: "[" call {more} "]" closer')
    else:
        more = "(WS? opener one)*" if wish.may_call_many else ""
        lines += [f"calls: one {more}", 'one: "\\n" call "\\n" closer']
    lines += [_call(index, tool) for index, tool in enumerate(tools)]
    return "\n".join(lines) + "\n"


def _call(index: int, tool: Tool) -> str:
    head = json.dumps(f'{{"name": "{tool.name}", "arguments": ')
    return (
        f'call_{index}: {head} args_{index} "}}"\nargs_{index}: {_json(tool.parameters, "tools")}'
    )


def _marker(text: str, control_ids: Mapping[str, int]) -> str:
    token_id = control_ids.get(text)
    return json.dumps(text) if token_id is None else f"<[{token_id}]>"


def _json(schema: Mapping[str, Any], field: str) -> str:
    if "x-guidance" in schema:
        raise RequestRefused(f"{field}: x-guidance in a schema is not accepted", param=field)
    checked_json(schema, field)
    text = json.dumps({**schema, "x-guidance": {"whitespace_pattern": WHITE_SPACE}})
    if len(text) > MAX_SCHEMA_CHARS:
        raise RequestRefused(
            f"{field}: a schema has {len(text)} characters; {MAX_SCHEMA_CHARS} at most", param=field
        )
    return "%json " + text


def _refused(why: str) -> RequestRefused:
    return RequestRefused(f"response_format: {why}", param="response_format")
