"""Render the checkpoint's own chat template with the callers' text kept out of its sight.

The template gets a mark for each text, so nothing a caller writes can steer it: not its toggle
words, not its control tokens, not its branches. That holds for descriptions of tools, arguments
and results too. Owns the check that the rendered tail is what was wanted. Knows nothing about
token ids.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.chat.probe import WORDS, probe_profile, probe_tools, probe_trim
from inference.chat.said import SCHEMA_WORDS, Marks, Said, escaped, stands_in
from inference.chat.sandbox import BoundedTemplate
from inference.chat.turns import CLOSER, OPENER, Tool, ToolCall, Turn
from inference.contract import Mode, RenderingFailed, RequestRefused, ToolsNotSupported
from inference.reasoning import TOGGLE_WORD


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the prompt: written by the template, or `said` by a caller."""

    text: str
    said: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt in pieces, and whether the model starts inside a thought."""

    pieces: tuple[Piece, ...]
    starts_in_thought: bool

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


class ChatTemplate:
    """A checkpoint's template, and what probing it showed.

    Law: for a fixed template, the same turns, tools and mode give the same text; the text of a
    turn appears in it unchanged, but for outer whitespace where the template itself trims that.
    """

    def __init__(
        self, source: str, *, specials: Mapping[str, str] | None = None, context_tokens: int
    ) -> None:
        self._template = BoundedTemplate(source)
        self._specials = dict(specials or {})
        self.profile = probe_profile(self._write, context_tokens)
        self.tool_support = probe_tools(self._write)
        self._trims = {
            role: probe_trim(self._write, role) for role in ("system", "user", "assistant", "tool")
        }

    def render(self, turns: Sequence[Turn], mode: Mode, tools: Sequence[Tool] = ()) -> Rendered:
        """Render the turns so that reasoning is `mode`, and prove that it is.

        Raises: RequestRefused if the template drops a message; ToolsNotSupported if it has no
        place for tools; RenderingFailed if the tail is not what was wanted.
        """
        self._check_tools(turns, tools)
        marks = Marks()
        messages = [self._message(turn, marks) for turn in turns]
        shown = [marks.value(tool.spec, words=SCHEMA_WORDS) for tool in tools]
        rendered = self._fill(messages, mode, shown)
        _check_turns(turns, messages, rendered)
        _check_shown(shown, rendered)
        parts = marks.parts(rendered)
        own = [part for part in parts if isinstance(part, str)]
        pieces = (
            Piece(part, said=False) if isinstance(part, str) else self._said(*part)
            for part in parts
        )
        return Rendered(
            tuple(piece for piece in pieces if piece.text), self._checked_tail(own, mode)
        )

    def _check_tools(self, turns: Sequence[Turn], tools: Sequence[Tool]) -> None:
        if self.tool_support is not None:
            return
        place = next((i for i, turn in enumerate(turns) if turn.calls or turn.role == "tool"), None)
        if tools or place is not None:
            raise ToolsNotSupported(
                "this model's chat template has no place for tools and their calls; "
                "send the conversation without them",
                param="tools" if tools else f"messages[{place}]",
            )

    def _message(self, turn: Turn, marks: Marks) -> dict[str, Any]:
        message: dict[str, Any] = {"role": turn.role, "content": marks.mark(turn.text, turn.role)}
        if turn.calls:
            message["tool_calls"] = [self._call(call, marks) for call in turn.calls]
        if turn.role == "tool":
            message |= {"tool_call_id": marks.shared(turn.call_id), "name": marks.mark(turn.name)}
        return message

    def _call(self, call: ToolCall, marks: Marks) -> dict[str, Any]:
        as_text = self.tool_support is not None and self.tool_support.arguments == "text"
        arguments = (
            marks.mark(json.dumps(call.arguments, ensure_ascii=False))
            if as_text
            else marks.value(call.arguments)
        )
        function = {"name": marks.mark(call.name), "arguments": arguments}
        return {"id": marks.shared(call.id), "type": "function", "function": function}

    def _fill(self, messages: list[dict[str, Any]], mode: Mode, tools: list[Any]) -> str:
        names: dict[str, Any] = {"tools": tools} if tools else {}
        if self.profile.by_keyword:
            names["enable_thinking"] = mode == "on"
        elif self.profile.has_toggle:
            # The template obeys the last signal among system and user texts: this is the last.
            said_by = [message["role"] in ("system", "user") for message in messages]
            last = len(said_by) - 1 - said_by[::-1].index(True)
            word = {**messages[last], "content": messages[last]["content"] + WORDS[mode]}
            messages = [*messages[:last], word, *messages[last + 1 :]]
        return self._write(messages, **names)

    def _said(self, said: Said, times: int) -> Piece:
        left, right = self._trims.get(said.role, (False, False))
        text = said.text.lstrip() if left else said.text
        return Piece(escaped(text.rstrip() if right else text, times), said=True)

    def _checked_tail(self, own: Sequence[str], mode: Mode) -> bool:
        """Look at what the template itself wrote."""
        tail = own[-1].rstrip()
        if self.profile.has_toggle and (mode == "off") != tail.endswith(CLOSER):
            raise RenderingFailed(
                f"reasoning should be {mode}, but the prompt ends with {tail[-40:]!r}"
            )
        if self.profile.has_toggle and not self.profile.by_keyword:
            left_over = [word for part in own if (word := TOGGLE_WORD.search(part))]
            if left_over:
                raise RenderingFailed(f"the template leaves {left_over[0].group()} in the prompt")
        return tail.endswith(OPENER)

    def _write(self, messages: Sequence[Mapping[str, Any]], **names: object) -> str:
        given = {"tools": None, "documents": None, **self._specials, **names}
        return self._template.render(messages=messages, add_generation_prompt=True, **given)


def _check_turns(
    turns: Sequence[Turn], messages: Sequence[Mapping[str, Any]], rendered: str
) -> None:
    """Raise RequestRefused if the template shows a text or a call not at all."""
    for index, (turn, message) in enumerate(zip(turns, messages, strict=True)):
        marks = [message["content"]] if turn.text else []
        marks += [call["function"]["name"] for call in message.get("tool_calls", ())]
        if not all(stands_in(rendered, mark) for mark in marks):
            article = "an" if turn.role == "assistant" else "a"
            raise RequestRefused(
                f"messages[{index}]: this model's template leaves out {article} {turn.role} "
                "message at this place",
                param=f"messages[{index}]",
            )


def _check_shown(tools: Sequence[Mapping[str, Any]], rendered: str) -> None:
    for index, tool in enumerate(tools):
        if not stands_in(rendered, tool["function"]["name"]):
            raise ToolsNotSupported(
                f"tools[{index}]: this model's template leaves it out", param=f"tools[{index}]"
            )
