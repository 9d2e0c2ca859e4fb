"""See what a chat template does by rendering it, rather than guess from what it says."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from inference.chat.calls import SYNTAXES, CallSyntax
from inference.chat.turns import CLOSER, OPENER
from inference.contract import Mode, ServingError
from inference.reasoning import Profile

WORDS: Final[Mapping[Mode, str]] = {"on": "/think", "off": "/no_think"}
PROBE: Final = "Lorem"
TOOL: Final = "dolor_sit"
RESULT: Final = "consectetur"
ARGUMENTS: Final = {"amet": "elit"}
# How a model that was trained on the words, though its template ignores them, closes a prompt.
SOFT_SWITCH_TAIL: Final = f"{OPENER}\n\n{CLOSER}\n\n"

Messages = Sequence[Mapping[str, Any]]
Write = Callable[..., str]


@dataclass(frozen=True, slots=True)
class ToolSupport:
    """What a template does with tools.

    `arguments` says whether it expects a call's arguments as an object or as written-out JSON.
    """

    syntax: CallSyntax
    arguments: Literal["object", "text"]


def probe_profile(write: Write, context_tokens: int) -> Profile:
    """Say how reasoning is switched: by a keyword, by words in texts, by both, or not at all.

    Words act if the template obeys them. They also act on the models whose template leaves the
    opener to the model and closes a prompt with an empty thought: those were trained on the words.
    """

    def tail(word: str = "", **names: object) -> str:
        return write([{"role": "user", "content": PROBE + word}], **names)

    def closed(word: str = "", **names: object) -> bool:
        return tail(word, **names).rstrip().endswith(CLOSER)

    default: Mode = "off" if closed() else "on"
    by_keyword = closed(enable_thinking=False) and not closed(enable_thinking=True)
    by_words = closed(WORDS["off"]) and not closed(WORDS["on"])
    if by_keyword:
        opens = tail(enable_thinking=True).rstrip().endswith(OPENER)
        soft = not opens and tail(enable_thinking=False).endswith(SOFT_SWITCH_TAIL)
        name: Literal["qwen3", "keyword"] = "qwen3" if soft or by_words else "keyword"
        return Profile(name, default, "last", context_tokens)
    if by_words:
        return Profile("nemotron-nano-v2", default, _winner(closed), context_tokens)
    always = tail().rstrip().endswith(OPENER)
    return Profile("none", "on" if always else "off", context_tokens=context_tokens)


def _winner(closed: Callable[[str], bool]) -> Literal["think", "last"]:
    """Say which word wins where one message holds both."""
    return "last" if closed(f"{WORDS['on']} {WORDS['off']}") else "think"


def probe_trim(write: Write, role: str) -> tuple[bool, bool]:
    """Say whether the template strips the white space before and behind a role's text."""
    text = f" {PROBE} "
    messages: Messages = {
        "system": [{"role": "system", "content": text}, {"role": "user", "content": "a"}],
        "user": [{"role": "user", "content": text}],
        "assistant": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": text},
            {"role": "user", "content": "a"},
        ],
        "tool": called({**ARGUMENTS}, result=text),
    }[role]
    try:
        before, found, after = write(messages).partition(PROBE)
    except ServingError:
        return False, False
    return bool(found) and not before.endswith(" "), bool(found) and not after.startswith(" ")


def probe_tools(write: Write) -> ToolSupport | None:
    """Say how the template shows tools and calls; None where it shows either of them not at all.

    A template that shows calls in a way that is not known counts as one that does not.
    """
    tools = [
        {"type": "function", "function": {"name": TOOL, "description": PROBE, "parameters": {}}}
    ]
    try:
        if TOOL not in write([{"role": "user", "content": "a"}], tools=tools):
            return None
    except ServingError:
        return None
    forms: tuple[tuple[Literal["object", "text"], object], ...] = (
        ("object", ARGUMENTS),
        ("text", json.dumps(ARGUMENTS)),
    )
    for form, arguments in forms:
        try:
            text = write(called(arguments, result=RESULT), tools=tools)
        except ServingError:
            continue
        syntax = next((one for one in SYNTAXES if _shows_call(text, one)), None)
        if syntax is not None and RESULT in text:
            return ToolSupport(syntax, form)
    return None


def called(arguments: object, *, result: str) -> Messages:
    """Return a conversation with one call of a tool, and its result."""
    call = {"id": "a", "type": "function", "function": {"name": TOOL, "arguments": arguments}}
    return [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result, "tool_call_id": "a", "name": TOOL},
    ]


def _shows_call(text: str, syntax: CallSyntax) -> bool:
    expected = {"name": TOOL, "arguments": ARGUMENTS}
    for found in syntax.pattern().finditer(text):
        try:
            value = json.loads(found[1])
        except ValueError:
            continue
        if value == ([expected] if syntax.is_list else expected):
            return True
    return False
